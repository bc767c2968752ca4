"""The doctor in a real kernel: the same table of cells, and the whole course."""

from pathlib import Path
from typing import Any

import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from tests.instruments.broken_cells import BROKEN, CORRECT, SET_UP
from tests.instruments.cells import NEXT_CELL
from tools import notebooks

LOAD = "%load_ext helpers.doctor"
AGAIN = SET_UP[SET_UP.index("prompts") :]
"""Gives the names back that a broken cell may have taken."""

ON_PURPOSE = ("raises-exception", "pitfall-", "exercise")
SHOWS_ONE = {"async-def-call", "coroutine-look", "forget", "three-forgotten", "three-columns"}
"""Ids of cells that show a coroutine which nobody awaits, without an error of their own."""


def ran(notebook: Any, folder: Path) -> list[Any]:
    client = NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        allow_errors=True,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def cards(cell: Any) -> list[str]:
    said = (output.get("data", {}).get("text/plain", "") for output in cell.outputs)
    return [text for text in said if text.startswith("doctor ")]


def test_in_a_kernel_a_card_stands_under_the_usual_output_of_a_broken_cell_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOCK_PACE", "0")
    broken = ["ask()", "answer = ask()\nanswer.upper()", "def answer():\n    return await ask()"]
    sources = [LOAD, SET_UP, *broken, "await ask()", "%unload_ext helpers.doctor", broken[0]]
    cells = ran(new_notebook(cells=[new_code_cell(source) for source in sources]), tmp_path)
    for cell in cells[2:5]:
        assert len(cards(cell)) == 1, cell.source
        assert len(cell.outputs) == 2
        assert cell.outputs[-1].output_type == "display_data"
    for cell in (*cells[:2], *cells[5:]):
        assert cards(cell) == [], cell.source


@pytest.mark.slow
def test_in_a_kernel_every_broken_cell_gets_its_card_and_no_other_does(tmp_path: Path) -> None:
    broken = [cell for cells in BROKEN.values() for cell in cells if NEXT_CELL not in cell]
    correct = [cell for cell in CORRECT if cell]
    sources = [LOAD, SET_UP]
    for cell in broken:
        sources += [cell, AGAIN]
    sources += correct
    cells = ran(new_notebook(cells=[new_code_cell(source) for source in sources]), tmp_path)
    for cell in cells:
        assert len(cards(cell)) == (1 if cell.source in broken else 0), cell.source


@pytest.mark.slow
@pytest.mark.parametrize("path", notebooks.paths(), ids=lambda path: path.stem)
def test_no_correct_cell_of_the_course_gets_a_card(path: Path) -> None:
    notebook = notebooks.read(path)
    notebook.cells.insert(0, new_code_cell(LOAD))
    for cell in ran(notebook, path.parent):
        broken = any(tag.startswith(ON_PURPOSE) for tag in cell.metadata.get("tags", ()))
        if not broken and cell.id not in SHOWS_ONE:
            assert cards(cell) == [], cell.source
