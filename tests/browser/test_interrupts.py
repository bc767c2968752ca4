"""JupyterLab's ■ during an await: the cell ends at once, and the server sees the client hang up."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.lab import KERNEL_IDLE, OpenNotebook, start_all, written

pytestmark = pytest.mark.browser

SET_UP = """\
from helpers import async_client, journal, model

question = [{"role": "user", "content": "Why is the sky blue?"}]
async_client(), model()
print("asking")
"""
ASK = "await async_client().chat.completions.create(model=model(), messages=question)"
TELL = "print([(request.outcome, request.tokens_sent) for request in journal(settle=5).requests])"

AT_ONCE = 2.5
"""Seconds: a few tenths on an idle machine. The answer takes 16."""


def test_stop_abandons_an_awaited_request_at_once_and_says_so_in_a_few_lines(
    in_jupyterlab: Callable[[Path], OpenNotebook], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOCK_PACE", "8")
    opened = in_jupyterlab(written(tmp_path / "mine", SET_UP, ASK, TELL))
    page = opened.page
    start_all(page)
    page.wait_for_selector(".jp-RenderedText:has-text('asking')")
    page.wait_for_timeout(1000)  # the request is on its way; the page cannot tell when it arrives
    page.locator(".jp-NotebookPanel-toolbar [data-command='notebook:interrupt-kernel']").click()
    pressed = time.monotonic()
    error = page.locator(".jp-OutputArea-output:has-text('KeyboardInterrupt')")
    error.wait_for(timeout=30_000)
    assert time.monotonic() - pressed < AT_ONCE
    said = error.text_content() or ""
    assert said.strip().endswith("and what it awaited was cancelled.")
    assert len(said.splitlines()) < 12
    opened.photograph("interrupted", ".jp-Notebook")
    page.wait_for_function(f"() => {KERNEL_IDLE}")
    page.evaluate("jupyterapp.shell.currentWidget.content.activeCellIndex = 2")
    page.evaluate("jupyterapp.commands.execute('notebook:run-cell')")
    page.wait_for_selector(".jp-RenderedText:has-text('abandoned')", timeout=30_000)
    assert "[('abandoned', 0)]" in page.locator(".jp-RenderedText").all_text_contents()[-1]
