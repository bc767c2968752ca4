"""A way to open notebooks in the tests' chromium."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.lab import OpenNotebook, copied, open_notebook, running_lab

if TYPE_CHECKING:  # playwright comes with the extra `browser` alone
    from playwright.sync_api import Browser, Request

PICTURES = Path(__file__).parent / "screenshots"


@pytest.fixture
def in_jupyterlab(chromium: "Browser", tmp_path: Path) -> Iterator[Callable[[Path], OpenNotebook]]:
    """Return `in_jupyterlab(path)`: a copy of the notebook's folder served, the notebook open.

    After the test, fails it if the page asked for anything that is not on this machine.
    """
    foreign: list[str] = []

    def note(request: "Request") -> None:
        if not request.url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:")):
            foreign.append(request.url)

    with ExitStack() as stack:

        def opened(notebook: Path) -> OpenNotebook:
            folder = tmp_path / "served"
            name = copied(notebook, folder)
            lab = stack.enter_context(running_lab(folder, tmp_path / "jupyter"))
            context = stack.enter_context(
                chromium.new_context(viewport={"width": 1400, "height": 1000})
            )
            page = context.new_page()
            page.on("request", note)
            return open_notebook(page, lab, name, PICTURES)

        yield opened
    assert not foreign, f"the page reached beyond this machine: {foreign}"
