"""Lesson 09 in JupyterLab: its buttons do what its page says, and its server hears Stop."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.lab import OpenNotebook
from tools import notebooks

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.browser

LESSON = notebooks.FOLDER / "09_a_live_interface.ipynb"


@pytest.fixture
def page(
    in_jupyterlab: Callable[[Path], OpenNotebook], monkeypatch: pytest.MonkeyPatch
) -> OpenNotebook:
    """The lesson, run to its end."""
    monkeypatch.setenv("MOCK_PACE", "1.0")  # the reader's: an answer is seen to grow
    opened = in_jupyterlab(LESSON)
    opened.run_all()
    return opened


def output_of(page: "Page", source: str) -> "Locator":
    """Return what stands below the cell in which `source` stands."""
    cell = page.locator(".jp-CodeCell", has=page.locator(".jp-InputArea", has_text=source))
    return cell.locator(".jp-OutputArea").first


def press(where: "Locator", name: str) -> None:
    where.get_by_role("button", name=name, exact=True).click()


def outcomes(opened: OpenNotebook, number: int) -> str:
    """Run a new cell at the notebook's end that tells how the latest requests ended."""
    page = opened.page
    cells = page.locator(".jp-CodeCell").count()
    page.evaluate(
        """async source => {
            const panel = jupyterapp.shell.currentWidget;
            panel.content.activeCellIndex = panel.content.widgets.length - 1;
            await jupyterapp.commands.execute('notebook:insert-cell-below');
            panel.content.activeCell.model.sharedModel.setSource(source);
            await jupyterapp.commands.execute('notebook:change-cell-to-code');
            await jupyterapp.commands.execute('notebook:run-cell');
        }""",
        f"[one.outcome for one in journal(settle=5).requests[-{number}:]]",
    )
    page.wait_for_function(f"document.querySelectorAll('.jp-CodeCell').length > {cells}")
    last = page.locator(".jp-CodeCell").last.locator(".jp-OutputArea-output")
    last.wait_for()
    return last.text_content() or ""


def test_each_button_does_what_the_lesson_says(page: OpenNotebook) -> None:
    forgotten = output_of(page.page, "button.on_click(on_ask)")
    press(forgotten, "Ask")
    started = output_of(page.page, "running: set[")
    press(started, "Ask")
    line = started.locator(".widget-html-content")
    line.get_by_text(re.compile("what is left is red")).wait_for()
    assert forgotten.locator(".widget-html-content").text_content() == "Nothing yet."
    # The click of the cell has told its warning; that of the finger told it to nobody.
    assert page.page.locator("pre", has_text="was never awaited").count() == 1

    prints = output_of(page.page, "under_with, appended")
    press(prints, "Press")
    prints.get_by_text("appended, after the await").wait_for()
    assert "under with" not in " ".join(
        page.page.locator(".jp-OutputArea-output").all_text_contents()
    )

    raw, escaped = output_of(page.page, "onerror=").locator(".widget-html-content").all()
    raw.get_by_text("Your page obeyed.").wait_for()
    assert "<img src=" in (escaped.text_content() or "")
    assert escaped.locator("img").count() == 0

    both = output_of(page.page, "pairs = window(")
    press(both, "Ask both")
    both.locator("i", has_text="The connection to the model was lost. Ask again.").wait_for()
    both.locator("[role=log]", has_text="what is left is red").wait_for()
    page.photograph("two-models", ".jp-OutputArea:has(input) >> nth=1")


def test_the_chat_streams_stops_and_asks_again_and_a_second_run_works_too(
    page: OpenNotebook,
) -> None:
    for name in ("first", "second"):
        chat = output_of(page.page, "chat, box = window(unhurried)")
        log = chat.locator("[role=log]")
        chat.locator("input").fill("Count to 400.")  # takes 8 s: a busy browser is in time for Stop
        press(chat, "Send")
        chat.get_by_text(re.compile("user Count to 400.+assistant .{20}", re.DOTALL)).wait_for()
        assert chat.get_by_role("button", name="Send", exact=True).is_disabled()
        press(chat, "Stop")
        log.locator("i", has_text="Stopped.").wait_for()
        assert "abandoned" in outcomes(page, 1)
        half = log.text_content() or ""
        press(chat, "Again")
        chat.get_by_role("button", name="Stop", exact=True, disabled=False).wait_for()
        chat.get_by_role("button", name="Stop", exact=True, disabled=True).wait_for(timeout=30_000)
        assert len(log.text_content() or "") > len(half)
        assert "finished" in outcomes(page, 1)
        page.photograph(f"chat-{name}", ".jp-OutputArea:has(input)")
        if name == "first":
            page.run_all()
