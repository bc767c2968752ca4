"""The columns in JupyterLab: they grow, they stop, they show a model's text as text."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.lab import KERNEL_IDLE, OpenNotebook, start_all, written

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

SET_UP = """\
import asyncio
from helpers import async_client, blocking_client, journal, model, side_by_side, timeline

question = [{"role": "user", "content": "Why is the sky blue?"}]

def ask(messages):
    stream = blocking_client().chat.completions.create(
        model=model(), messages=messages, stream=True
    )
    for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            yield chunk.choices[0].delta.content

async def ask_async(messages):
    stream = await async_client().chat.completions.create(
        model=model(), messages=messages, stream=True
    )
    async for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            yield chunk.choices[0].delta.content
"""

HOSTILE = '<img src=x onerror="window.harmed = true"><script>window.harmed = 1</script>\\n & <b>'
"""Written as it stands between quotes in a cell."""


@pytest.fixture
def notebook(
    in_jupyterlab: Callable[[Path], OpenNotebook],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., OpenNotebook]:
    def opened(*sources: str, pace: str = "2") -> OpenNotebook:
        monkeypatch.setenv("MOCK_PACE", pace)
        return in_jupyterlab(written(tmp_path / "mine", SET_UP, *sources))

    return opened


def wait_until_all_ran(page: "Page") -> None:
    page.wait_for_function(f"() => window.allRan && {KERNEL_IDLE}", timeout=60_000)


def clock(head: str) -> float:
    return float(re.search(r"([\d.]+) s", head).group(1))  # type: ignore[union-attr]


def texts(page: "Page") -> list[str]:
    return page.locator(".awaited-text").all_text_contents()


def both_have_text(least: int) -> str:
    return f"""() => {{
        const texts = [...document.querySelectorAll('.awaited-text')].map(t => t.textContent);
        return texts.length === 2 && texts.every(text => text.trim().length >= {least});
    }}"""


def last_output(page: "Page") -> str:
    return page.locator(".jp-OutputArea-output").all_text_contents()[-1]


def test_both_columns_grow_while_they_run_and_leave_a_table(
    notebook: Callable[..., OpenNotebook],
) -> None:
    opened = notebook("await side_by_side(question, first=ask_async, second=ask_async)")
    page = opened.page
    start_all(page)
    page.wait_for_function(both_have_text(10), timeout=60_000)
    early = texts(page)
    page.wait_for_function(both_have_text(max(map(len, early)) + 10))
    assert all(late.startswith(text.strip()) for text, late in zip(early, texts(page), strict=True))
    wait_until_all_ran(page)
    assert page.locator(".awaited-columns").count() == 0
    assert page.locator(".jp-RenderedHTML table").count() == 1
    second = page.locator(".jp-RenderedHTML td").all_text_contents()[1]
    assert second.endswith("what is left is red.")
    opened.photograph("columns-still", ".jp-RenderedHTML table")


def test_a_saved_notebook_shows_no_dead_widget_when_it_is_opened_again(
    notebook: Callable[..., OpenNotebook],
) -> None:
    opened = notebook("await side_by_side(question, first=ask_async, second=ask_async)\ntimeline()")
    page = opened.page
    opened.run_all()
    page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    saved = "!jupyterapp.shell.currentWidget?.context?.model?.dirty"
    page.wait_for_function(f"() => {saved}")
    page.reload()
    page.wait_for_function(
        f"() => window.jupyterapp?.shell.currentWidget?.context?.isReady && {KERNEL_IDLE}"
    )
    page.wait_for_selector(".jp-RenderedHTML table")
    shown = page.locator(".jp-OutputArea-output").all_text_contents()
    assert not [text for text in shown if "widget" in text.lower()]
    (figure,) = page.locator(".jp-RenderedHTML img").all()
    assert figure.get_attribute("alt").startswith("Timeline of 2 requests.")  # type: ignore[union-attr]
    opened.photograph_whole("columns-reloaded")


def test_a_blocking_column_grows_while_the_other_stands_still(
    notebook: Callable[..., OpenNotebook],
) -> None:
    opened = notebook("await side_by_side(question, OpenAI=ask, AsyncOpenAI=ask_async)", pace="4")
    page = opened.page
    start_all(page)
    page.wait_for_function(
        "() => document.querySelector('.awaited-text')?.textContent.trim().length > 40",
        timeout=60_000,
    )
    blocking, waiting = page.locator(".awaited-column").all_text_contents()
    assert clock(waiting) < 0.5 < 1.5 < clock(blocking)
    assert "0 requests" in waiting
    assert "1 request" in blocking
    opened.photograph("columns-frozen", ".awaited-columns")
    wait_until_all_ran(page)
    assert "held the event loop" in page.locator("td").all_text_contents()[0]


def test_stop_cancels_the_columns_and_the_server_sees_the_hang_up(
    notebook: Callable[..., OpenNotebook],
) -> None:
    opened = notebook(
        "await side_by_side(question, in_thread=True, OpenAI=ask, AsyncOpenAI=ask_async)",
        "print([r.outcome for r in journal(settle=5).requests])",
        "timeline(journal())",
        pace="8",
    )
    page = opened.page
    start_all(page)
    page.wait_for_function(both_have_text(60), timeout=60_000)
    opened.photograph("columns-live", ".awaited-columns")
    page.locator(".awaited-stop").click()
    wait_until_all_ran(page)
    stopped = page.locator("td").all_text_contents()
    assert [re.search(r"(\w+) after", cell.split(", ")[1]).group(1) for cell in stopped] == [  # type: ignore[union-attr]
        "stopped",
        "stopped",
    ]
    assert not any(cell.endswith("what is left is red.") for cell in stopped)
    printed = page.locator(".jp-RenderedText[data-mime-type*=stdout]").all_text_contents()
    assert printed == ["['abandoned', 'abandoned']\n"]
    opened.photograph("timeline-abandoned", ".jp-RenderedHTML img")


def test_a_model_s_text_is_shown_and_never_obeyed(notebook: Callable[..., OpenNotebook]) -> None:
    opened = notebook(
        f"""async def hostile():
    for letter in {HOSTILE!r}.replace("\\\\n", "\\n"):
        yield letter
        await asyncio.sleep(0.01)

await side_by_side(**{{"<i>name</i>": hostile, "whole": lambda: {HOSTILE!r}}})"""
    )
    page = opened.page
    start_all(page)
    page.wait_for_function(
        "() => document.querySelector('.awaited-text')?.textContent.includes('<script>')",
        timeout=60_000,
    )
    wait_until_all_ran(page)
    cells = page.locator("td").all_text_contents()
    assert all('<img src=x onerror="window.harmed = true"><script>' in cell for cell in cells)
    assert page.locator("th").all_text_contents() == ["<i>name</i>", "whole"]
    assert page.locator("td img, td script, td b, th i").count() == 0
    assert page.evaluate("window.harmed") is None


def test_a_second_run_of_the_cell_starts_afresh(notebook: Callable[..., OpenNotebook]) -> None:
    opened = notebook("await side_by_side(question, first=ask_async, second=ask_async)")
    opened.run_all()
    opened.run_all()
    page = opened.page
    assert page.locator(".jp-RenderedHTML table").count() == 1
    assert page.locator(".awaited-columns").count() == 0
    assert all("1 request, 55 pieces" in cell for cell in page.locator("td").all_text_contents())


def test_saved_and_opened_again_the_table_is_there_and_no_dead_widget(
    notebook: Callable[..., OpenNotebook],
) -> None:
    opened = notebook("await side_by_side(question, first=ask_async, second=ask_async)")
    opened.run_all()
    page = opened.page
    page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_function("() => !jupyterapp.shell.currentWidget.context.model.dirty")
    page.reload()
    page.wait_for_selector(".jp-RenderedHTML table", timeout=60_000)
    page.wait_for_function("() => window.jupyterapp?.shell.currentWidget?.sessionContext?.isReady")
    assert "Error displaying widget" not in page.locator(".jp-Notebook").text_content()  # type: ignore[operator]
