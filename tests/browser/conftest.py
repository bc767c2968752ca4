"""A chromium that can reach this machine only, and a way to open notebooks in it."""

import importlib.util
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.lab import OpenNotebook, copied, open_notebook, running_lab
from tests.needs import missing

if TYPE_CHECKING:  # playwright comes with the extra `browser` alone
    from playwright.sync_api import Browser, Request

PICTURES = Path(__file__).parent / "screenshots"
NAMES = ("chromium", "chromium-browser", "google-chrome")
SWITCHES = [
    "--no-sandbox",  # containers run as root
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-pings",
    # Whatever chromium, JupyterLab or an extension asks for: no name but this machine resolves.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


@pytest.fixture(scope="session")
def chromium() -> "Iterator[Browser]":
    """The machine's own chromium, headless."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        missing("chromium", "install it (on Debian: tests/browser/install-chromium)")
    if importlib.util.find_spec("playwright") is None:
        missing("playwright", "install the extra `browser`, as `make browser` does")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=SWITCHES)
        yield browser
        browser.close()


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
