"""Queueing every cell at once, as *Run All* does, shows what the notebook has stored."""

import asyncio
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook
from nbval.plugin import IPyNbFile, coalesce_streams, nocolors

from tests.run_all.queue import run_all
from tools import notebooks

# Slow, as nbval has run each lesson already, one cell at a time: this is the second proof.
pytestmark = pytest.mark.slow

NESTED = """\
import asyncio
import nest_asyncio

nest_asyncio.apply()
asyncio.run(asyncio.sleep(0.05, result="nested"))
"""


def differences(ran: NotebookNode, path: Path, session: pytest.Session) -> list[str]:
    """Return how the outputs differ from those stored at `path`, as nbval itself compares."""
    reference = IPyNbFile.from_parent(session, path=path)
    reference.setup_sanitize_files()
    cells = [cell for cell in ran.cells if cell.cell_type == "code"]
    found = []
    for number, (stored, cell) in enumerate(zip(reference.collect(), cells, strict=True), 1):
        stored.colors = nocolors
        if cell.execution_count is None and cell.source.strip():
            found.append(f"code cell {number} did not run to its end:\n{cell.source}")
        elif stored.options["check"] and not stored.compare_outputs(
            coalesce_streams(cell.outputs), coalesce_streams(stored.cell.outputs)
        ):
            found.append(f"code cell {number}:\n" + "\n".join(stored.comparison_traceback))
    return found


@pytest.mark.parametrize("path", notebooks.paths(), ids=lambda path: path.stem)
def test_run_all_shows_what_is_stored(path: Path, request: pytest.FixtureRequest) -> None:
    ran = asyncio.run(run_all(notebooks.read(path), path.parent))
    assert not (found := differences(ran, path, request.session)), "\n\n".join(found)


def one_by_one(folder: Path, *sources: str) -> Path:
    """Store a notebook of these cells with the outputs of a run that waits for each."""
    cells = [new_code_cell(source) for source in sources]
    notebook = new_notebook(cells=cells, metadata=notebooks.METADATA)
    NotebookClient(notebook, coalesce_streams=True, allow_errors=True).execute()
    path = folder / "one_by_one.ipynb"
    nbformat.write(notebook, path)
    return path


def test_a_nested_loop_that_drops_the_queued_cells_is_seen(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    path = one_by_one(tmp_path, NESTED, "print('second')", "print('third')")
    assert notebooks.read(path).cells[2].outputs[0].text == "third\n"
    ran = asyncio.run(run_all(notebooks.read(path), tmp_path, patience=2))
    found = differences(ran, path, request.session)
    assert "code cell 2 did not run to its end:\nprint('second')" in found
    assert "code cell 3 did not run to its end:\nprint('third')" in found


def test_a_cell_that_fails_untagged_keeps_the_others_from_running(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    path = one_by_one(tmp_path, "1 / 0", "print('second')")
    ran = asyncio.run(run_all(notebooks.read(path), tmp_path))
    assert differences(ran, path, request.session) == [
        "code cell 2 did not run to its end:\nprint('second')"
    ]


def test_an_output_that_differs_is_told(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    path = one_by_one(tmp_path, "object()", "print('mine')")
    changed = notebooks.read(path)
    changed.cells[1].outputs[0].text = "yours\n"
    nbformat.write(changed, path)
    ran = asyncio.run(run_all(changed, tmp_path))
    (found,) = differences(ran, path, request.session)
    assert found.startswith("code cell 2:")
    assert "yours" in found
