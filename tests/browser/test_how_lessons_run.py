"""What lesson 00 tells of *Run All* and ■ is what JupyterLab shows."""

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tests.browser.lab import KERNEL_IDLE, OpenNotebook, start_all
from tools import notebooks

pytestmark = pytest.mark.browser

SHOWN = """() => jupyterapp.shell.currentWidget.content.widgets.map(cell =>
    [cell.inputArea.promptNode.textContent, cell.outputArea.node.innerText.trim()])"""


def cell(source: str, *tags: str) -> NotebookNode:
    """A cell that shows something from an earlier run."""
    earlier = new_output("stream", name="stdout", text="as stored\n")
    metadata = {"tags": list(tags)}
    return new_code_cell(source, metadata=metadata, execution_count=7, outputs=[earlier])


def stored(folder: Path, *cells: NotebookNode) -> Path:
    folder.mkdir()
    path = folder / "small.ipynb"
    nbformat.write(new_notebook(cells=list(cells), metadata=notebooks.METADATA), path)
    return path


def test_all_go_blank_and_a_failure_on_purpose_takes_stars_and_not_turns(
    in_jupyterlab: Callable[[Path], OpenNotebook], tmp_path: Path
) -> None:
    page = in_jupyterlab(
        stored(
            tmp_path / "mine",
            cell("import asyncio\nawait asyncio.sleep(2)\nprint('one')"),
            cell("1 / 0", "raises-exception"),
            cell("await asyncio.sleep(2)\nprint('three')"),
            cell("print('four')"),
        )
    ).page
    assert page.evaluate(SHOWN) == [["[7]:", "as stored"]] * 4
    start_all(page)
    page.wait_for_timeout(300)
    assert page.evaluate(SHOWN) == [["[*]:", ""]] * 4
    error = page.locator(".jp-OutputArea-output:has-text('ZeroDivisionError')")
    error.wait_for()
    page.wait_for_timeout(300)
    failed, *behind = page.evaluate(SHOWN)[1:]
    assert failed[0] == "[2]:"
    assert failed[1].splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert "----> 1 1 / 0" in failed[1]
    assert behind == [["[ ]:", ""]] * 2
    page.wait_for_selector(".jp-RenderedText:has-text('four')")
    assert page.evaluate(SHOWN)[2:] == [["[3]:", "three"], ["[4]:", "four"]]


def test_the_square_ends_the_cell_that_runs_and_drops_those_behind_it(
    in_jupyterlab: Callable[[Path], OpenNotebook], tmp_path: Path
) -> None:
    page = in_jupyterlab(
        stored(
            tmp_path / "mine",
            cell("import asyncio, helpers\nprint('begun')"),
            cell("await asyncio.sleep(60)"),
            cell("print('three')"),
        )
    ).page
    start_all(page)
    page.wait_for_selector(".jp-RenderedText:has-text('begun')")
    page.wait_for_timeout(500)  # the next one runs
    page.locator(".jp-NotebookPanel-toolbar [data-command='notebook:interrupt-kernel']").click()
    page.wait_for_selector(".jp-OutputArea-output:has-text('KeyboardInterrupt')")
    page.wait_for_function(f"() => {KERNEL_IDLE}")
    page.wait_for_timeout(500)  # for a cell that would come after all
    assert page.evaluate(SHOWN)[2] == ["[ ]:", ""]
