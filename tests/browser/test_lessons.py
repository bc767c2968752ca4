"""The lessons in JupyterLab itself, as their readers run them."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from tests.browser.lab import OpenNotebook
from tools import notebooks

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("path", notebooks.paths(), ids=lambda path: path.stem)
def test_run_all_takes_a_lesson_to_its_end(
    in_jupyterlab: Callable[[Path], OpenNotebook], path: Path
) -> None:
    in_jupyterlab(path).run_all()


TABLES = ".jp-OutputArea-output table:has(td)"
"""What the columns leave on the page when they have ended."""

WATCH_COLUMNS = """() => {
    window.columns = [];  // for each panel, the different texts of each of its columns
    const look = () => document.querySelectorAll('.awaited-columns').forEach(panel => {
        panel.seen ??= window.columns[window.columns.push([]) - 1];
        panel.querySelectorAll('.awaited-text').forEach((column, number) => {
            const seen = panel.seen[number] ??= [];
            const text = column.textContent.trim();
            if (text && text !== seen.at(-1)) seen.push(text);
        });
    });
    new MutationObserver(look).observe(
        document.body, {subtree: true, childList: true, characterData: true});
}"""


def test_the_two_columns_of_lesson_02_fill(
    in_jupyterlab: Callable[[Path], OpenNotebook], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOCK_PACE", "1.0")  # the reader's: fast columns fill between two looks
    notebook = in_jupyterlab(notebooks.FOLDER / "02_async_streaming.ipynb")
    notebook.page.evaluate(WATCH_COLUMNS)
    notebook.run_all()
    panels = notebook.page.evaluate("window.columns")
    tables = notebook.page.locator(TABLES)
    assert len(panels) == tables.count() > 0
    for number, columns in enumerate(panels):
        assert len(columns) == 2
        assert all(columns), f"a column stayed empty: {columns}"
        for seen in columns:
            assert all(late.startswith(early) for early, late in pairwise(seen)), seen
        filled = tables.nth(number).locator("td").all_text_contents()
        assert all(seen[-1] in text for seen, text in zip(columns, filled, strict=True))
        notebook.photograph(f"lesson-02-columns-{number + 1}", f"{TABLES} >> nth={number}")
    assert any(all(len(seen) > 3 for seen in columns) for columns in panels), "none grew live"
    notebook.photograph_whole("lesson-02")


RECONNECTS = 5_000
"""Milliseconds after which a browser has asked again that took a stream's end for a lost line:
chromium waits three seconds."""


def test_the_page_of_lesson_10_shows_the_stream_and_asks_once(
    in_jupyterlab: Callable[[Path], OpenNotebook], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOCK_PACE", "1.0")  # the reader's: the text is seen to grow
    notebook = in_jupyterlab(notebooks.FOLDER / "10_inside_a_web_application.ipynb")
    notebook.run_all()
    asked: list[str] = []
    notebook.page.on("request", lambda request: asked.append(request.url))
    frame = notebook.page.frame_locator(".awaited-page iframe")
    frame.locator("p").evaluate(
        """answer => {
            window.seen = [];
            new MutationObserver(() => window.seen.push(answer.textContent))
                .observe(answer, {childList: true, characterData: true, subtree: true});
        }"""
    )
    frame.locator("input").fill("Count to ten.")
    frame.locator("button").click()
    frame.get_by_text("10.").wait_for()
    seen = frame.locator("p").evaluate("() => window.seen.filter(text => text)")
    assert len(seen) > 5, "it did not grow"
    assert all(late.startswith(early) for early, late in pairwise(seen)), seen
    notebook.photograph("lesson-10-page", ".awaited-page")
    notebook.page.wait_for_timeout(RECONNECTS)
    assert len([url for url in asked if "/stream?" in url]) == 1
    notebook.photograph_whole("lesson-10")
