"""Lesson 08's checks turn down what is wrong for the right reason, and take what is right."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from typing import Any, get_args

import httpx2
import pytest
from openai import APIError, APIStatusError, AsyncOpenAI

from helpers import model
from helpers.checks.lesson_08 import Kind, schedules
from tests.checks.judging import turned_down, verdict

Write = Callable[[str], None]
TypeOut = Callable[[AsyncOpenAI, str, Write, float], Awaitable[None]]


def asked(question: str) -> dict[str, Any]:
    return {"model": model(), "messages": [{"role": "user", "content": question}], "stream": True}


slow = pytest.mark.slow


# --- 08-1: left in time -----------------------------------------------------------------------


async def leaves_them_open(
    client: AsyncOpenAI, questions: list[str], seconds: float
) -> list[str | None]:
    found: list[str | None] = []
    for question in questions:
        text = ""
        async for chunk in await client.chat.completions.create(**asked(question)):
            text += chunk.choices[0].delta.content or ""
            if "." in text:
                break
        found.append(text[: text.find(".") + 1])
    return found


async def sentence(client: AsyncOpenAI, question: str) -> str | None:
    text = ""
    async with await client.chat.completions.create(**asked(question)) as stream:
        async for chunk in stream:
            text += chunk.choices[0].delta.content or ""
            if "." in text:
                return text[: text.find(".") + 1]
    return None


async def in_time(client: AsyncOpenAI, question: str, seconds: float) -> str | None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await sentence(client, question)
    return None


async def together(client: AsyncOpenAI, questions: list[str], seconds: float) -> list[str | None]:
    return await asyncio.gather(*(in_time(client, question, seconds) for question in questions))


async def one_after_another(
    client: AsyncOpenAI, questions: list[str], seconds: float
) -> list[str | None]:
    return [await in_time(client, question, seconds) for question in questions]


async def bounds_each_read(
    client: AsyncOpenAI, questions: list[str], seconds: float
) -> list[str | None]:
    hurried = client.with_options(timeout=seconds, max_retries=0)

    async def one(question: str) -> str | None:
        with suppress(APIError):
            return await sentence(hurried, question)
        return None

    return await asyncio.gather(*map(one, questions))


async def all_or_none(
    client: AsyncOpenAI, questions: list[str], seconds: float
) -> list[str | None]:
    calls = [asyncio.create_task(sentence(client, question)) for question in questions]
    await asyncio.wait(calls, timeout=seconds)
    if all(call.done() for call in calls):
        return [call.result() for call in calls]
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    return [None] * len(questions)


async def a_sentence_too_many(
    client: AsyncOpenAI, questions: list[str], seconds: float
) -> list[str | None]:
    return [f"{text} Indeed." if text else None for text in await together(client, questions, 3)]


@pytest.mark.parametrize(
    ("answer", "because"),
    [
        (leaves_them_open, "the server wrote on in 4 of 4 answers"),
        (one_after_another, "were asked one after another"),
        (a_sentence_too_many, "In place 1 stands the text"),
        pytest.param(bounds_each_read, "and was not back after", marks=slow),
        pytest.param(all_or_none, "In place 1 stands None", marks=slow),
    ],
)
def test_beginnings_are_turned_down(answer: object, because: str) -> None:
    assert because in turned_down("08-1", answer)


async def tasks_and_a_wait(
    client: AsyncOpenAI, questions: list[str], seconds: float
) -> list[str | None]:
    calls = [asyncio.create_task(sentence(client, question)) for question in questions]
    _, late = await asyncio.wait(calls, timeout=seconds)
    for call in late:
        call.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    return [None if call in late else call.result() for call in calls]


async def a_generator_closed_where_it_is_left(
    client: AsyncOpenAI, questions: list[str], seconds: float
) -> list[str | None]:
    async def pieces(question: str) -> Any:
        async with await client.chat.completions.create(**asked(question)) as stream:
            async for chunk in stream:
                yield chunk.choices[0].delta.content or ""

    async def one(question: str) -> str | None:
        text = ""
        async with aclosing(pieces(question)) as reader:
            async for piece in reader:
                text += piece
                if "." in text:
                    break
        return text.partition(".")[0] + "."

    async def bounded(question: str) -> str | None:
        try:
            return await asyncio.wait_for(one(question), seconds)
        except TimeoutError:
            return None

    return await asyncio.gather(*map(bounded, questions))


@pytest.mark.parametrize(
    "answer",
    [
        tasks_and_a_wait,
        a_generator_closed_where_it_is_left,
        pytest.param(together, marks=slow),
    ],
)
def test_beginnings_are_accepted(answer: object) -> None:
    assert "the server stopped in the middle of each answer" in verdict("08-1", answer).saw[0]


# --- 08-2: twenty schedules -------------------------------------------------------------------


class Broken(Exception):
    """A stream without an end."""


MAY_BREAK = (APIError, Broken, json.JSONDecodeError, UnicodeDecodeError)


async def read(client: AsyncOpenAI, question: str, write: Write) -> tuple[str, str]:
    """Write the pieces of one try; return the text and how it ended."""
    text, ended, refused = "", "", False
    async with await client.chat.completions.create(**asked(question)) as stream:
        async for chunk in stream:
            for choice in chunk.choices or []:
                if choice.delta and choice.delta.content:
                    text += choice.delta.content
                    write(choice.delta.content)
                refused = refused or bool(choice.delta and choice.delta.refusal)
                ended = choice.finish_reason or ended
    return text, "refusal" if refused else ended


def has_its_code(error: Exception) -> bool:
    return isinstance(error, APIError) and error.code in (
        "insufficient_quota",
        "context_length_exceeded",
    )


def has_its_status(error: Exception) -> bool:
    return isinstance(error, APIStatusError) and (
        error.status_code < 500 and error.status_code not in (408, 409, 429)
    )


def asks_for_too_much_time(error: Exception) -> bool:
    return isinstance(error, APIStatusError) and error.response.headers.get("retry-after") == "10"


def hopeless(error: Exception) -> bool:
    return has_its_code(error) or has_its_status(error) or asks_for_too_much_time(error)


def retrying(
    *,
    tries: int = 3,
    retries: int = 0,
    again: Callable[[Exception, str], bool] = lambda error, text: not text and not hopeless(error),
    deadline: bool = True,
    looks_at_the_end: bool = True,
    looks_at_the_text: bool = True,
    obeys: bool = False,
    breaks: tuple[type[Exception], ...] = MAY_BREAK,
) -> TypeOut:
    """Return an answer that is right but for what is named."""

    async def type_out(client: AsyncOpenAI, question: str, write: Write, seconds: float) -> None:
        once = client.with_options(max_retries=retries)
        written: list[str] = []

        def note(piece: str) -> None:
            written.append(piece)
            write(piece)

        async with asyncio.timeout(seconds if deadline else None):
            for left in reversed(range(tries)):
                try:
                    text, ended = await read(once, question, note)
                    if looks_at_the_end and not ended:
                        raise Broken("no end")
                    break
                except breaks as error:
                    if not left or not again(error, "".join(written)):
                        raise
                    asked = getattr(error, "response", httpx2.Response(200)).headers
                await asyncio.sleep(float(asked.get("retry-after", 0.02)) if obeys else 0.02)
        if looks_at_the_end and (ended != "stop" or (looks_at_the_text and not text)):
            raise Broken(ended)

    return type_out


async def the_colleagues(client: AsyncOpenAI, question: str, write: Write, seconds: float) -> None:
    for _ in range(5):
        try:
            stream = await client.chat.completions.create(**asked(question))
            async for chunk in stream:
                write(chunk.choices[0].delta.content or "")
            return
        except Exception:
            continue


async def shows_all_at_the_end(
    client: AsyncOpenAI, question: str, write: Write, seconds: float
) -> None:
    pieces: list[str] = []
    await retrying()(client, question, pieces.append, seconds)
    write("".join(pieces))


async def takes_no_cancellation(
    client: AsyncOpenAI, question: str, write: Write, seconds: float
) -> None:
    with suppress(asyncio.CancelledError):
        await retrying()(client, question, write, seconds)


async def leaves_the_stream_open(
    client: AsyncOpenAI, question: str, write: Write, seconds: float
) -> None:
    begun = asyncio.get_running_loop().time()
    stream = await client.with_options(max_retries=0).chat.completions.create(**asked(question))
    async for chunk in stream:
        write(chunk.choices[0].delta.content or "")
        if asyncio.get_running_loop().time() > begun + seconds:
            raise TimeoutError


@pytest.mark.parametrize(
    ("answer", "because"),
    [
        (the_colleagues, ("lost in 9.", "doubled in 3.", "overpaid in 7.", "hung in 3.")),
        (
            retrying(again=lambda error, text: not hopeless(error)),
            ("doubled in 4. For one, error-event; after=6: the beginning stands there twice",),
        ),
        (
            retrying(again=lambda error, text: not text),
            ("overpaid in 4. For one,", "context_length_exceeded: 3 requests, worth 2"),
        ),
        pytest.param(
            retrying(deadline=False), ("hung in 2.", "had 0.4 seconds, and went on"), marks=slow
        ),
        (
            retrying(looks_at_the_end=False),
            ("lost in 9. For one, reasoning-only: returned as if all were written",),
        ),
        (
            retrying(looks_at_the_text=False),
            ("19 of 20", "an empty answer: returned as if all were written, 0 characters."),
        ),
        pytest.param(
            retrying(
                obeys=True,
                again=lambda error, text: (
                    not text and not has_its_code(error) and not has_its_status(error)
                ),
            ),
            ("19 of 20", "hung in 1.", "slept 2 seconds away, and its TimeoutError hides the 429"),
            marks=slow,
        ),
        pytest.param(
            retrying(breaks=MAY_BREAK[:3]),
            ("lost in 2.", "gave up after 1 request: UnicodeDecodeError"),
            marks=slow,
        ),
        pytest.param(retrying(tries=4), ("overpaid in 1.", "4 requests, worth 3"), marks=slow),
        pytest.param(retrying(tries=1), ("lost in 14.",), marks=slow),
        pytest.param(retrying(retries=2), ("overpaid in 2.",), marks=slow),
        pytest.param(
            shows_all_at_the_end, ("nothing is written of what", "before the end"), marks=slow
        ),
        pytest.param(
            takes_no_cancellation, ("was cancelled, and did not end as cancelled",), marks=slow
        ),
        pytest.param(leaves_the_stream_open, ("ended, and the server wrote on",), marks=slow),
    ],
)
def test_an_answer_that_loses_doubles_overpays_or_hangs_is_told_which(
    answer: object, because: tuple[str, ...]
) -> None:
    said = turned_down("08-2", answer)
    for word in because:
        assert word in said


async def with_a_reader_and_a_queue(
    client: AsyncOpenAI, question: str, write: Write, seconds: float
) -> None:
    """The tries in a task of their own; what came goes through a queue to the writer."""
    pieces: asyncio.Queue[str | None] = asyncio.Queue()

    async def reader() -> None:
        try:
            await retrying()(client, question, pieces.put_nowait, seconds)
        finally:
            pieces.put_nowait(None)

    async with asyncio.TaskGroup() as group:
        group.create_task(reader())
        while (piece := await pieces.get()) is not None:
            write(piece)


@pytest.mark.parametrize("answer", [retrying(), with_a_reader_and_a_queue])
def test_an_answer_that_survives_all_schedules_is_accepted(answer: object) -> None:
    assert "nothing lost, doubled, overpaid or hung" in verdict("08-2", answer).saw[0]


def test_there_are_twenty_schedules_and_the_same_ones_each_time() -> None:
    assert len(schedules()) == 20
    assert schedules() == schedules()
    assert {schedule.kind for schedule in schedules()} == set(get_args(Kind))


def test_what_is_no_function_that_can_be_awaited_is_told_once() -> None:
    assert "plain function" in turned_down("08-2", lambda *arguments: None)
