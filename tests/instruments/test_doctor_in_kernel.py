"""The doctor in a real kernel: the same table of cells, and the whole course."""

from pathlib import Path
from typing import Any

import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from tests.instruments.test_doctor import BROKEN, CORRECT, SET_UP
from tools import notebooks

LOAD = "%load_ext helpers.doctor"
ON_PURPOSE = ("raises-exception", "pitfall-")
BROKEN_UNTAGGED = {"summary = client.chat.completions.create(model=model(), messages=question)"}
"""First lines of cells that lesson 03 breaks on purpose, for a warning in a later cell."""


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


def test_in_a_kernel_every_broken_cell_gets_its_card_and_no_other_does(tmp_path: Path) -> None:
    broken = [cell for cell, card in BROKEN.items() if card]
    correct = [cell for cell in CORRECT if cell]
    sources = [LOAD, SET_UP, *broken, *correct, "%unload_ext helpers.doctor", broken[0]]
    cells = ran(new_notebook(cells=[new_code_cell(source) for source in sources]), tmp_path)
    told = {cell.source: cards(cell) for cell in cells[2 : 2 + len(broken)]}
    for source, said in told.items():
        assert [text.splitlines()[0][9:-1] for text in said] == [BROKEN[source][0]], source  # type: ignore[index]
    for cell in (*cells[:2], *cells[2 + len(broken) :]):
        assert cards(cell) == [], cell.source
    for cell in cells[2 : 2 + len(broken)]:
        kinds = [output.output_type for output in cell.outputs]
        assert kinds[-1] == "display_data", "the card stands under the usual output"


@pytest.mark.slow
@pytest.mark.parametrize("path", notebooks.paths(), ids=lambda path: path.stem)
def test_no_correct_cell_of_the_course_gets_a_card(path: Path) -> None:
    notebook = notebooks.read(path)
    notebook.cells.insert(0, new_code_cell(LOAD))
    for cell in ran(notebook, path.parent):
        broken = any(tag.startswith(ON_PURPOSE) for tag in cell.metadata.get("tags", ()))
        if not broken and cell.source.splitlines()[0] not in BROKEN_UNTAGGED:
            assert cards(cell) == [], cell.source
