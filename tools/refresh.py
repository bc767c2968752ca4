"""Run the notebooks and store what they show: `python -m tools.refresh [--pictures] [NAME …]`.

An output whose text says the same as the stored one is left as it is, picture and addresses
included, so that a second run changes nothing. `--pictures` renews the pictures too.
"""

import argparse
import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from tools import notebooks

CELL_TIMEOUT = 120
"""Seconds. The slowest cell takes a tenth of it; a hanging kernel must not hang a refresh."""


def run(notebook: NotebookNode, folder: Path) -> NotebookNode:
    """Execute a copy in a fresh kernel, from its own folder, and return it.

    Raises:
        CellExecutionError: a cell failed that is not tagged `raises-exception`.
    """
    copy = nbformat.from_dict(notebook)
    client = NotebookClient(
        copy,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        coalesce_streams=True,
        store_widget_state=False,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()
    return copy


def refreshed(stored: NotebookNode, folder: Path, pictures: bool = False) -> NotebookNode:
    """Return the notebook with fresh outputs, old ones kept where they say the same."""
    fresh = notebooks.normalised(run(stored, folder))
    if not pictures:
        for new, old in zip(fresh.cells, notebooks.normalised(stored).cells, strict=True):
            if new.cell_type == "code" and notebooks.same_outputs(new.outputs, old.outputs):
                new.outputs = old.outputs
    return fresh


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.refresh", description=__doc__)
    parser.add_argument("names", nargs="*", help="beginnings of file names; all by default")
    parser.add_argument("--pictures", action="store_true", help="renew the pictures too")
    arguments = parser.parse_args()
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_MODEL"):
        os.environ[name] = ""  # the stored outputs are the mock server's
    os.environ["AWAITED_PROGRESS"] = ""  # and show nobody's progress
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(notebooks.ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    chosen = [
        path
        for path in notebooks.paths()
        if not arguments.names or any(path.name.startswith(name) for name in arguments.names)
    ]
    if not chosen:
        parser.error(f"no notebook's name begins with {' or '.join(arguments.names)}")
    for path in chosen:
        before = path.read_text("utf-8")
        try:
            after = notebooks.text(refreshed(notebooks.read(path), path.parent, arguments.pictures))
        except CellExecutionError as error:
            sys.exit(f"{path.name}: a cell failed that is not tagged raises-exception:\n{error}")
        path.write_text(after, "utf-8")
        print(f"{path.name}: {'unchanged' if after == before else 'refreshed'}")


if __name__ == "__main__":
    main()
