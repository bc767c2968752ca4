"""Where things are: a page's source in the repository, the repository in public."""

import re
import subprocess
from pathlib import Path

OWN = ("index.md", "api.md")
"""The pages whose source stands in `site/`, and at the top in the folder that Sphinx reads."""


def source(page: str) -> str:
    """Return the path in the repository of a page's source, as Sphinx names it from its top."""
    return f"site/{page}" if page in OWN else page


def linked(root: Path) -> list[str]:
    """Return the files that a page of `docs/` links to and that are no pages, to be downloaded."""
    texts = (page.read_text("utf-8") for page in sorted(root.glob("docs/*.md")))
    found = {link for text in texts for link in re.findall(r"\]\(\.\./([^)#]+)", text)}
    return sorted(each for each in found if not each.endswith((".md", ".ipynb")))


def repository(root: Path) -> str:
    """Return the repository's public address: README's, else the one it was cloned from."""
    found = re.search(r"<!-- launch: (https://\S+) -->", (root / "README.md").read_text("utf-8"))
    return public(found[1]) if found else origin(root)


def origin(root: Path) -> str:
    """Return the public address of the repository that `root` was cloned from; empty for none."""
    asked = ["git", "-C", str(root), "remote", "get-url", "origin"]
    try:
        found = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:  # no git here
        return ""
    return public(found)


def public(remote: str) -> str:
    """Return the web address of a git remote: `git@host:owner/name.git` has one, a path none.

    What a remote's address may hold of a name and a password is left out.
    """
    found = re.fullmatch(
        r"(?:https://|ssh://|git://)?(?:[^@/]+@)?([\w-]+(?:\.[\w-]+)+)(?::\d+/|[:/])"
        r"([\w.-]+/[\w.-]+?)(?:\.git)?/?",
        remote,
    )
    return f"https://{found[1]}/{found[2]}" if found else ""


def slug(repository: str) -> str:
    """Return `owner/name`."""
    return "/".join(repository.rsplit("/", 2)[1:])
