"""Writes the links that start the course somewhere else, which need its public address.

    python -m tools.launch https://github.com/OWNER/NAME     into README.md
    python -m tools.launch --hub https://hub.example.org ADDRESS     prints a class's link

The address stands in README.md alone, in the comment before the links. Without one README says
what to do by hand.
"""

import argparse
import re
import sys
from pathlib import Path
from urllib.parse import quote, urlencode

README = Path(__file__).resolve().parents[1] / "README.md"
FIRST = "notebooks/00_start_here.ipynb"
BRANCH = "main"

BLOCK = re.compile(r"<!-- launch: (\S+) -->\n(.*?)<!-- launched -->\n", re.DOTALL)
NOWHERE = "nowhere"
"""Stands for the address while there is none."""

ADDRESS = re.compile(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?")


def binder(slug: str) -> str:
    """Return the address that opens the first lesson on Binder. `slug`: owner/name at GitHub."""
    where = urlencode({"urlpath": f"lab/tree/{FIRST}"})
    return f"https://mybinder.org/v2/gh/{slug}/{BRANCH}?{where}"


def codespaces(slug: str) -> str:
    """Return the address that makes a codespace."""
    return f"https://codespaces.new/{slug}"


def class_link(hub: str, repository: str) -> str:
    """Return the link that fetches the lessons into a learner's home on a hub, and opens the first.

    What a learner has changed there stays as it is.
    """
    folder = repository.rstrip("/").removesuffix(".git").rpartition("/")[2]
    wanted = {"repo": repository, "branch": BRANCH, "urlpath": f"lab/tree/{folder}/{FIRST}"}
    return f"{hub.rstrip('/')}/hub/user-redirect/git-pull?{urlencode(wanted, quote_via=quote)}"


def block(address: str) -> str:
    """Return README's part on the ways that need an address, with links if there is one.

    Raises:
        ValueError: Binder and Codespaces cannot use the address.
    """
    if address == NOWHERE:
        first = "paste this repository's address at mybinder.org, with"
        ways = (
            f"- **Binder:** {first}\n  `{FIRST}` as the file to open.\n",
            "- **Codespaces:** on this repository's page at GitHub: Code, Codespaces, Create.\n",
        )
    else:
        found = ADDRESS.fullmatch(address)
        if not found:
            raise ValueError(f"An address looks like https://github.com/OWNER/NAME, not {address}")
        ways = (
            f"- **Binder:** [open the first lesson]({binder(found[1])}).\n",
            f"- **Codespaces:** [make one]({codespaces(found[1])}).\n",
        )
    return f"<!-- launch: {address} -->\n{''.join(ways)}<!-- launched -->\n"


def main() -> None:
    """Write the links, or print a class's."""
    parser = argparse.ArgumentParser(prog="python -m tools.launch")
    parser.add_argument("address", help="the repository's public address")
    parser.add_argument("--hub", help="print the link for a class on this hub, and write nothing")
    options = parser.parse_args()
    if options.hub:
        print(class_link(options.hub, options.address))
        return
    try:
        links = block(options.address)
    except ValueError as problem:
        sys.exit(str(problem))
    README.write_text(BLOCK.sub(lambda _: links, README.read_text("utf-8"), count=1), "utf-8")


if __name__ == "__main__":
    main()
