"""What every test file is held to, and the one browser of those that need it."""

import gc
import importlib.util
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.needs import missing
from tests.pace import expect_the_tests_pace

if TYPE_CHECKING:  # playwright comes with the extra `browser` alone
    from playwright.sync_api import Browser

collect_ignore = ["clients"]
"""Their environments are others: `make clients`."""


@pytest.fixture(autouse=True, scope="module")
def _nothing_left_open() -> Iterator[None]:
    """A socket or pipe that a file's tests leave open is that file's error.

    Collected here, at the file's end: elsewhere the warning, an error in these tests, strikes
    whichever test the collector happens to run in.

    What stood before the file is no garbage of its tests, and is not looked through again: a
    collection of all that pytest and the libraries have loaded takes longer than the answers whose
    overlap some tests judge, holds up event loop and threads, and a check ends with one.
    """
    gc.freeze()
    yield
    gc.collect()


@pytest.fixture(autouse=True, scope="module")
def _pace_as_found() -> Iterator[None]:
    yield
    expect_the_tests_pace()


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
    """The machine's own chromium, headless; it can reach this machine only."""
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
