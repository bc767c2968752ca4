"""Columns side by side: what each function comes to, whatever its form, and how it is shown."""

import asyncio
import gc
import html
import logging
import re
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from html.parser import HTMLParser
from typing import Any

import pytest
from openai import AsyncOpenAI, DefaultAioHttpClient

from helpers import sending
from helpers.clients import async_client, blocking_client, model
from helpers.observe import journal
from helpers.panels import Answer, Answers, live, side_by_side, still
from helpers.panels.column import Column
from helpers.timelines import timeline
from helpers.views import VIEW
from tests.pace import embedded_server_at

QUESTION: Any = [{"role": "user", "content": "Why is the sky blue?"}]
ENDING = "what is left is red."


def blocking(messages: Any) -> Iterator[str]:
    client = blocking_client()
    for chunk in client.chat.completions.create(model=model(), messages=messages, stream=True):
        if chunk.choices and chunk.choices[0].delta.content:
            yield chunk.choices[0].delta.content


async def streamed(messages: Any) -> AsyncIterator[str]:
    async with async_client(max_retries=0) as client:
        stream = await client.chat.completions.create(model=model(), messages=messages, stream=True)
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content


async def whole(messages: Any) -> str:
    return "".join([piece async for piece in streamed(messages)])


def plain(messages: Any) -> str:
    return "".join(blocking(messages))


def run(*arguments: object, **columns: Any) -> Answers:
    return asyncio.run(side_by_side(*arguments, **columns))


def test_every_form_of_function_comes_to_the_same_text() -> None:
    answers = run(
        QUESTION,
        generator=blocking,
        async_generator=streamed,
        async_def=whole,
        plain=plain,
        partial=partial(streamed),
        returns_a_coroutine=lambda messages: whole(messages),
        returns_a_generator=lambda messages: blocking(messages),
    )
    assert len({answer.text for answer in answers.values()}) == 1
    assert all(answer.text.endswith(ENDING) for answer in answers.values())
    assert [answer.outcome for answer in answers.values()] == ["finished"] * 7
    assert [answer.requests for answer in answers.values()] == [1] * 7
    assert answers["generator"].pieces == answers["async generator"].pieces > 10
    assert answers["plain"].pieces == answers["async def"].pieces == 1


def test_a_blocking_column_holds_up_the_others_and_is_named_for_it() -> None:
    answers = run(QUESTION, blocking=blocking, streamed=streamed)
    assert answers["blocking"].held_the_loop
    assert not answers["streamed"].held_the_loop
    first = answers["streamed"].first
    assert first is not None
    assert first > answers["blocking"].total, "the freeze was hidden"
    assert timeline(answers).requests[0].ended < timeline(answers).requests[1].arrived  # type: ignore[operator]


def test_a_blocking_call_inside_an_async_def_is_found_out() -> None:
    async def looks_async(messages: Any) -> str:
        return plain(messages)

    assert run(QUESTION, looks_async=looks_async)["looks async"].held_the_loop


def test_in_a_thread_a_blocking_column_holds_up_nobody() -> None:
    answers = run(QUESTION, in_thread=True, blocking=blocking, streamed=streamed)
    assert not answers["blocking"].held_the_loop
    assert answers["blocking"].text == answers["streamed"].text
    one, other = timeline(answers).requests
    assert max(one.arrived, other.arrived) < min(one.ended, other.ended)  # type: ignore[type-var]


def test_an_exit_ends_its_own_column_alone() -> None:
    async def leaves(messages: Any) -> str:
        sys.exit(3)

    answers = run(QUESTION, leaves=leaves, streamed=streamed)
    assert repr(answers["leaves"].error) == "SystemExit(3)"
    assert answers["streamed"].text.endswith(ENDING)


def test_a_timeline_of_columns_names_each_lane_for_the_column_that_sent_it() -> None:
    async def twice(messages: Any) -> str:
        return await whole(messages) + await whole(messages)

    answers = run(QUESTION, in_thread=True, once=blocking, twice=twice)
    figure = timeline(answers).figure()
    lanes = next(part for part in figure.axes if part.get_label() == "lanes")
    names = sorted(label.get_text() for label in lanes.get_yticklabels())
    assert names in (["once", "twice  2", "twice  3"], ["once", "twice  1", "twice  3"])
    assert {request.request_id for request in answers.requests} == set(answers.senders)


def test_an_error_ends_its_own_column_alone() -> None:
    def fails(messages: Any) -> Iterator[str]:
        yield "so far"
        raise ValueError("and no further")

    answers = run(QUESTION, fails=fails, streamed=streamed)
    assert answers["fails"].outcome == "failed"
    assert answers["fails"].text == "so far"
    assert repr(answers["fails"].error) == "ValueError('and no further')"
    assert answers["streamed"].text.endswith(ENDING)
    assert "fails: failed, 0 requests" in repr(answers)
    assert "ValueError: and no further" in repr(answers)


def test_what_is_not_text_is_named_and_the_way_out_shown() -> None:
    def forgets_the_content(messages: Any) -> Any:
        return blocking_client().chat.completions.create(model=model(), messages=messages)

    error = run(QUESTION, column=forgets_the_content)["column"].error
    assert "this is a ChatCompletion: return response.choices[0].message.content" in str(error)


def test_a_coroutine_in_place_of_a_function_is_turned_down_without_a_later_warning() -> None:
    with pytest.raises(TypeError, match="without calling it"):
        run(QUESTION, called=whole(QUESTION))
    gc.collect()  # a warning would fail the test


@pytest.fixture
def _slow_server() -> Iterator[None]:
    """Answers that take eight seconds, so that whatever ends sooner was stopped."""
    with embedded_server_at(pace=4):
        yield


@pytest.mark.usefixtures("_slow_server")
def test_cancelled_from_outside_it_ends_every_column_and_leaves_no_task() -> None:
    async def main() -> set[Any]:
        first_came, second_came = asyncio.Event(), threading.Event()

        async def one(messages: Any) -> AsyncIterator[str]:
            async for piece in streamed(messages):
                first_came.set()
                yield piece

        def two(messages: Any) -> Iterator[str]:
            for piece in blocking(messages):
                second_came.set()
                yield piece

        task = asyncio.create_task(side_by_side(QUESTION, in_thread=True, one=one, two=two))
        await first_came.wait()
        await asyncio.to_thread(second_came.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(main()) == set()
    assert [r.outcome for r in journal(settle=5).requests[-2:]] == ["abandoned"] * 2


def test_an_interrupt_inside_a_blocking_column_ends_the_cell_and_not_the_loop() -> None:
    def interrupted() -> Iterator[str]:
        yield "so far"
        raise KeyboardInterrupt

    async def main() -> str:
        with pytest.raises(KeyboardInterrupt):
            await side_by_side(blocking=interrupted, forever=partial(asyncio.sleep, 3600))
        return "the loop goes on"

    assert asyncio.run(main()) == "the loop goes on"


def test_requests_are_counted_per_column_and_retries_with_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def twice(messages: Any) -> str:
        return await whole(messages) + await whole(messages)

    async def refused(messages: Any) -> str:
        async with AsyncOpenAI(base_url="http://127.0.0.1:9/v1", api_key="none") as client:
            await client.with_options(max_retries=1).models.list()
        return ""

    async def over_aiohttp(messages: Any) -> str:
        async with async_client(http_client=DefaultAioHttpClient()) as client:
            answer = await client.chat.completions.create(model=model(), messages=messages)
        return answer.choices[0].message.content or ""

    def forgotten(messages: Any) -> str:
        async_client(max_retries=0).chat.completions.create(  # type: ignore[unused-coroutine]
            model=model(), messages=messages
        ).close()
        return "nothing was sent"

    columns = {"twice": twice, "refused": refused, "aio": over_aiohttp, "forgotten": forgotten}
    answers = run(QUESTION, **columns)
    assert [answer.requests for answer in answers.values()] == [2, 0, 1, 0]
    assert len(answers.requests) == 3, "what the server saw"
    assert not caplog.records, "the SDK's messages, read to count, were shown"


def test_a_request_that_waits_for_a_blocking_column_is_not_counted_before_it_is_sent(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    columns: list[Column] = []
    made = Column.__init__

    def keep(self: Column, *arguments: Any) -> None:
        made(self, *arguments)
        columns.append(self)

    async def holds_the_loop(messages: Any) -> str:
        # A log line sets no event.
        while not any("Sending HTTP Request" in said for said in caplog.messages):  # noqa: ASYNC110
            await asyncio.sleep(0)
        plain(messages)
        seen = len(journal().requests) - before
        return f"{seen} seen, {[column.facts().requests for column in columns]} counted"

    monkeypatch.setattr(Column, "__init__", keep)
    before = len(journal().requests)
    with caplog.at_level(logging.DEBUG, "openai._base_client"):
        answers = run(QUESTION, first=whole, second=holds_the_loop)
    assert answers["second"].text == "1 seen, [0, 1] counted"
    assert [answer.requests for answer in answers.values()] == [1, 1]


def test_listening_leaves_logging_as_it_was() -> None:
    logger = logging.getLogger("openai._base_client")
    before = logger.level, list(logger.filters)
    with sending.counting(), sending.counting(), sending.naming():
        pass
    assert (logger.level, list(logger.filters)) == before


def test_whoever_asked_for_the_sdk_s_messages_still_gets_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG, "openai._base_client"):
        assert run(QUESTION, plain=plain)["plain"].requests == 1
    assert any("Sending HTTP Request" in record.message for record in caplog.records)


# --- the still picture ------------------------------------------------------------------------

HOSTILE = '<img src=x onerror="alert(1)"></td><script>alert(1)</script>\n  & <time>1</time>'


def answer(**changed: Any) -> Answer:
    facts: dict[str, Any] = {
        "name": "OpenAI",
        "text": "So it is.",
        "outcome": "finished",
        "error": None,
        "requests": 1,
        "pieces": 3,
        "first": 0.41,
        "total": 1.5,
        "held": 0.1,
    }
    return Answer(**{**facts, **changed})


class Page(HTMLParser):
    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_model_s_text_names_and_errors_are_shown_as_text() -> None:
    hostile = answer(name="<b>x</b>", text=HOSTILE, error=ValueError("<script>no</script>"))
    shown = still.as_html([hostile, answer()])
    assert 'class="tex2jax_ignore mathjax_ignore"' in shown, "a $ is a dollar"
    page = Page(shown)
    assert set(page.tags) <= {"table", "tr", "th", "td", "br", "b", "time"}
    assert page.tags.count("b") == 1, "only our own, around the error"
    assert page.tags.count("time") == 4, "only our own"
    assert '<img src=x onerror="alert(1)"></td><script>alert(1)</script>' in page.text
    assert "<b>x</b>" in page.text
    assert "ValueError: <script>no</script>" in page.text


def test_more_columns_than_fit_abreast_stand_in_rows_below() -> None:
    shown = still.as_html([answer(name=f"way {number}") for number in range(6)])
    assert [row.count("<td") for row in shown.split("<tr>")] == [0, 0, 4, 0, 2]


def test_every_clock_stands_in_a_time_element_and_none_in_the_words() -> None:
    slow = answer(first=7.77, total=8.88)
    without = re.sub(r"<time>[^<]*</time>", "", still.as_html([slow]))
    assert "7.77" in still.as_html([slow])
    assert "8.88" in still.as_html([slow])
    for text in (without, still.as_text([slow])):
        assert "7.77" not in text
        assert "8.88" not in text
    assert still.as_text([slow]) == "OpenAI: finished, 1 request, 3 pieces of text\n    So it is."


def test_lines_and_indents_of_an_answer_survive() -> None:
    code = "def f():\n    return 1"
    assert "def f():<br>&nbsp;&nbsp;&nbsp;&nbsp;return 1" in still.as_html([answer(text=code)])
    assert "\n    def f():\n        return 1" in still.as_text([answer(text=code)])


def test_an_endless_answer_does_not_swell_the_notebook() -> None:
    assert len(still.as_html([answer(text="x" * 1_000_000)])) < 25_000


# --- the live view ----------------------------------------------------------------------------


def test_a_thousand_pieces_a_second_are_not_a_thousand_updates(
    in_ipython: Callable[[], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    paints: list[float] = []
    painted = live._Pane.paint
    monkeypatch.setattr(
        live._Pane, "paint", lambda pane: (paints.append(time.monotonic()), painted(pane))[1]
    )

    def fast() -> Iterator[str]:
        until = time.monotonic() + 0.35
        while time.monotonic() < until:
            yield "x"

    answers = run(fast=fast)
    assert answers["fast"].pieces > 1000
    assert 4 <= len(paints) <= 9, "one when shown, ten a second, and the last"


def test_the_live_view_has_no_text_and_one_table_takes_its_place(
    in_ipython: Callable[[], list[dict[str, Any]]],
) -> None:
    from ipywidgets import Widget

    run(QUESTION, one=whole)
    shown, emptied, table = in_ipython()
    assert list(shown) == [VIEW]
    assert emptied == {}, "a saved notebook would name a widget that is gone"
    assert sorted(table) == ["text/html", "text/plain"]
    assert html.unescape(table["text/html"]).count(ENDING) == 1
    assert not _living(Widget), "widgets stayed behind in the kernel"


def test_the_live_view_escapes_what_a_model_says(
    in_ipython: Callable[[], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    values: list[str] = []
    painted = live._Pane.paint

    def spy(pane: Any) -> None:
        painted(pane)
        values.extend([pane._head.value, pane._text.value])

    monkeypatch.setattr(live._Pane, "paint", spy)
    run(**{"<i>name</i>": lambda: HOSTILE})
    tags = {tag for value in values for tag in Page(value).tags}
    assert tags <= {"b", "br", "small", "div"}
    assert any("&lt;script&gt;" in value for value in values)


def test_stop_cancels_every_column(in_ipython: Callable[[], list[dict[str, Any]]]) -> None:
    async def click(button: Any) -> str:
        button.click()
        await asyncio.sleep(3600)
        return ""

    made: list[Any] = []
    original = live.Live.__init__

    def keep(self: Any, columns: Any, stop: Any) -> None:
        original(self, columns, stop)
        made.append(self._button)

    async def main() -> Answers:
        return await side_by_side(clicks=lambda: click(made[0]), waits=partial(asyncio.sleep, 3600))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live.Live, "__init__", keep)
        answers = asyncio.run(asyncio.wait_for(main(), 20))
    assert [a.outcome for a in answers.values()] == ["stopped", "stopped"]


def _living(kind: Any) -> list[Any]:
    from ipywidgets.widgets import widget

    return [one for one in widget._instances.values() if isinstance(one, kind) and one.comm]


def test_a_step_s_time_is_counted_to_its_own_column() -> None:
    async def work() -> None:
        time.sleep(0.03)  # noqa: ASYNC251 - this is what is measured
        await asyncio.sleep(0.05)

    async def neighbour() -> None:
        await asyncio.sleep(0.01)
        time.sleep(0.2)  # noqa: ASYNC251

    answers = run(work=work, neighbour=neighbour)
    assert 0.03 <= answers["work"].held < 0.15
    assert answers["neighbour"].held >= 0.2


def test_awaited_values_and_errors_come_through_unchanged() -> None:
    async def work() -> str:
        value = await asyncio.sleep(0, "value")
        try:
            await asyncio.wait_for(asyncio.sleep(3600), 0.001)
        except TimeoutError:
            value += ", timeout"
        return value

    assert run(work=work)["work"].text == "value, timeout"
