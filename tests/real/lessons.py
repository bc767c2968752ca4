"""What may differ between a stored lesson and its run on a real model, and what may not."""

import os
from collections.abc import Mapping
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

from tools import notebooks

CELL_TIMEOUT = 120
"""Seconds. A cell with ten calls takes 5 s; the checks give up on an answer after 30 s."""


def run(notebook: NotebookNode, folder: Path, environment: Mapping[str, str]) -> NotebookNode:
    """Return a copy, run cell by cell to its end, whatever fails, in a kernel of its own."""
    copy = nbformat.from_dict(notebook)
    client = NotebookClient(
        copy,
        kernel_name="python3",
        timeout=CELL_TIMEOUT,
        coalesce_streams=True,
        allow_errors=True,
        store_widget_state=False,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute(env={**os.environ, **environment})
    return copy


def problems(stored: NotebookNode, fresh: NotebookNode) -> list[str]:
    """Return each cell that worked and now fails, failed and now works, or fails differently.

    What a cell says on stderr counts as part of how it fails.

    Words, numbers and speed are the model's own. So is the verdict on a wrong answer: what the
    journal alone gives away passes where there is none.
    """
    found = []
    pairs = zip(stored.cells, notebooks.normalised(fresh).cells, strict=True)
    for number, (old, new) in enumerate((o, n) for o, n in pairs if o.cell_type == "code"):
        if _errors(new) != _errors(old):
            what = f"should have {_told(_errors(old))}, but {_told(_errors(new))}"
        elif _warnings(new) != _warnings(old):
            what = f"should have warned {_warnings(old)!r}, but warned {_warnings(new)!r}"
        elif _passes(old) and not _passes(new):
            what = f"should have passed, but said:\n{_text(new)}"
        else:
            continue
        found.append(f"code cell {number + 1} {what}\n{new.source}")
    return found


def _errors(cell: NotebookNode) -> list[tuple[str, str]]:
    return [
        (output.ename, notebooks.sanitised(output.evalue))
        for output in cell.outputs
        if output.output_type == "error"
    ]


def _warnings(cell: NotebookNode) -> str:
    return notebooks.sanitised(
        "".join(output.text for output in cell.outputs if output.get("name") == "stderr")
    )


def _told(errors: list[tuple[str, str]]) -> str:
    return f"raised {': '.join(errors[0])}" if errors else "worked"


def _passes(cell: NotebookNode) -> bool:
    return any(line.startswith("passed ") for line in _text(cell).splitlines())


def _text(cell: NotebookNode) -> str:
    return "\n".join(
        output.get("text") or output.get("data", {}).get("text/plain", "")
        for output in cell.outputs
    )
