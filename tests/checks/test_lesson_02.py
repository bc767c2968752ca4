"""Lesson 02's checks take the solutions and turn each wrong answer down for its own reason."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx2
import pytest
from openai import AsyncStream
from openai.types.chat import ChatCompletionChunk

from helpers import async_client, blocking_client, check, model
from helpers.endpoint import endpoint
from tools import notebooks

Lesson = dict[str, Any]


@pytest.fixture(autouse=True, scope="module")
def _tellable() -> Iterator[None]:
    """A pace at which the check judges what came when, whatever else keeps the machine busy."""
    url = endpoint().base_url.removesuffix("/v1") + "/mock/pace"
    before = httpx2.get(url).json()["pace"]
    httpx2.put(url, json={"pace": 0.3}).raise_for_status()
    yield
    httpx2.put(url, json={"pace": before}).raise_for_status()


@pytest.fixture
def lesson() -> Lesson:
    """The names that the lesson's setup and its first function define."""
    names: Lesson = {}
    for id in ("setup", "ask-whole"):
        run_cell(id, names)
    return names


def run_cell(id: str, names: Lesson) -> None:
    """Run the definitions of a cell: what stands before its first call."""
    cells = notebooks.read(notebooks.FOLDER / "02_async_streaming.ipynb").cells
    (source,) = (cell.source for cell in cells if cell.id == id)
    exec(source.split("\n\n\n")[0], names)


def verdict(exercise: str, answer: object, lesson: Lesson) -> str:
    async def judged() -> str:
        async with async_client(max_retries=0) as lesson["client"]:
            return repr(await check(exercise, answer))

    return asyncio.run(judged())


@pytest.mark.parametrize(
    ("exercise", "name", "needs"),
    [("1", "api_predict", []), ("2", "show_and_keep", ["exercise-1-solution"])],
)
def test_a_starter_is_turned_down_and_a_solution_taken(
    exercise: str, name: str, needs: list[str], lesson: Lesson
) -> None:
    for id in needs:
        run_cell(id, lesson)
    run_cell(f"exercise-{exercise}-starter", lesson)
    assert verdict(f"02-{exercise}", lesson[name], lesson).startswith("not yet")
    run_cell(f"exercise-{exercise}-solution", lesson)
    assert verdict(f"02-{exercise}", lesson[name], lesson).startswith("passed")


# --- 02-1: text, as it comes --------------------------------------------------------------------

Wrong = Callable[[Lesson], Callable[[Any], object]]


async def a_stream(lesson: Lesson, conversation: Any) -> AsyncStream[ChatCompletionChunk]:
    stream: AsyncStream[ChatCompletionChunk] = await lesson["client"].chat.completions.create(
        model=model(), messages=conversation, stream=True
    )
    return stream


def without_the_guard(lesson: Lesson) -> Callable[[Any], object]:
    async def api_predict(conversation: Any) -> AsyncIterator[str | None]:
        async for chunk in await a_stream(lesson, conversation):
            yield chunk.choices[0].delta.content

    return api_predict


def stops_at_the_first_empty_text(lesson: Lesson) -> Callable[[Any], object]:
    async def api_predict(conversation: Any) -> AsyncIterator[str]:
        async with await a_stream(lesson, conversation) as stream:
            async for chunk in stream:
                if not chunk.choices[0].delta.content:
                    return
                yield chunk.choices[0].delta.content

    return api_predict


def collects_first(lesson: Lesson) -> Callable[[Any], object]:
    async def api_predict(conversation: Any) -> AsyncIterator[str]:
        chunks = [chunk async for chunk in await a_stream(lesson, conversation)]
        for chunk in chunks:
            if chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content

    return api_predict


def skips_every_other_piece(lesson: Lesson) -> Callable[[Any], object]:
    async def api_predict(conversation: Any) -> AsyncIterator[str]:
        skip = False
        async for chunk in await a_stream(lesson, conversation):
            if chunk.choices[0].delta.content:
                if not skip:
                    yield chunk.choices[0].delta.content
                skip = not skip

    return api_predict


def returns_the_text(lesson: Lesson) -> Callable[[Any], object]:
    async def api_predict(conversation: Any) -> str:
        text = ""
        async for chunk in await a_stream(lesson, conversation):
            text += chunk.choices[0].delta.content or ""
        return text

    return api_predict


def forgets_the_await(lesson: Lesson) -> Callable[[Any], object]:
    async def api_predict(conversation: Any) -> AsyncIterator[str]:
        async for chunk in lesson["client"].chat.completions.create(
            model=model(), messages=conversation, stream=True
        ):
            yield chunk.choices[0].delta.content

    return api_predict


def blocks(lesson: Lesson) -> Callable[[Any], object]:
    async def api_predict(conversation: Any) -> AsyncIterator[str]:
        for piece in blocking(conversation):
            yield piece

    return api_predict


def is_the_blocking_twin(lesson: Lesson) -> Callable[[Any], object]:
    return blocking


def blocking(conversation: Any) -> Iterator[str]:
    for chunk in blocking_client().chat.completions.create(
        model=model(), messages=conversation, stream=True
    ):
        if chunk.choices[0].delta.content:
            yield chunk.choices[0].delta.content


def asks_twice(lesson: Lesson) -> Callable[[Any], object]:
    async def api_predict(conversation: Any) -> AsyncIterator[str]:
        await lesson["ask"](conversation)
        async for chunk in await a_stream(lesson, conversation):
            if chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content

    return api_predict


def asks_something_else(lesson: Lesson) -> Callable[[Any], object]:
    async def api_predict(conversation: Any) -> AsyncIterator[str]:
        async for chunk in await a_stream(lesson, lesson["haiku"]):
            if chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content

    return api_predict


def repeats_what_was_said(lesson: Lesson) -> Callable[[Any], object]:
    async def api_predict(conversation: Any) -> AsyncIterator[str]:
        text = ""
        async for chunk in await a_stream(lesson, conversation):
            if chunk.choices[0].delta.content:
                text += chunk.choices[0].delta.content
                yield text

    return api_predict


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (asks_something_else, "yielded the text 'A call without await,"),
        (repeats_what_was_said, "which is not the answer."),
        (without_the_guard, "Piece 1 of 47 is empty: ''. Hand on text only."),
        (stops_at_the_first_empty_text, "It ended without a single piece."),
        (collects_first, "had sent the last token before the first piece came."),
        (skips_every_other_piece, "The server sent 45 tokens; 23 came out."),
        (returns_the_text, "A call gave a coroutine"),
        (forgets_the_await, "TypeError: 'async for' requires an object with __aiter__"),
        (blocks, "It held the event loop while it waited"),
        (is_the_blocking_twin, "A call gave a generator. `async for` needs an async generator"),
        (asks_twice, "2 requests for one answer: it is paid for twice."),
    ],
)
def test_a_wrong_api_predict_is_told_why(wrong: Wrong, says: str, lesson: Lesson) -> None:
    said = verdict("02-1", wrong(lesson), lesson)
    assert said.startswith("not yet")
    assert says in said


# --- 02-2: shown and kept -----------------------------------------------------------------------


async def shows_at_the_end(lesson: Lesson, conversation: Any, show: Callable[[str], None]) -> str:
    pieces = [piece async for piece in lesson["api_predict"](conversation)]
    for piece in pieces:
        show(piece)
    return "".join(pieces)


async def keeps_the_last(lesson: Lesson, conversation: Any, show: Callable[[str], None]) -> str:
    async for piece in lesson["api_predict"](conversation):
        show(piece)
    return str(piece)


async def keeps_a_list(
    lesson: Lesson, conversation: Any, show: Callable[[str], None]
) -> list[object]:
    pieces: list[object] = []
    async for piece in lesson["api_predict"](conversation):
        show(piece)
        pieces.append(piece)
    return pieces


async def asks_for_a_whole_answer(
    lesson: Lesson, conversation: Any, show: Callable[[str], None]
) -> str:
    text = str(await lesson["ask"](conversation))
    show(text)
    return text


async def shows_nothing(lesson: Lesson, conversation: Any, show: Callable[[str], None]) -> str:
    return str(await lesson["ask"](conversation))


async def leaves_after_one(lesson: Lesson, conversation: Any, show: Callable[[str], None]) -> str:
    async for piece in lesson["api_predict"](conversation):
        show(piece)
        return str(piece)
    return ""


async def blocks_meanwhile(lesson: Lesson, conversation: Any, show: Callable[[str], None]) -> str:
    stream = blocking_client().chat.completions.create(
        model=model(), messages=conversation, stream=True
    )
    pieces = [chunk.choices[0].delta.content or "" for chunk in stream if not show("…")]
    return "…" * len(pieces)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (leaves_after_one, "characters; the answer has"),
        (blocks_meanwhile, "It held the event loop while it waited"),
        (shows_at_the_end, "had sent the last token before the first piece was shown."),
        (keeps_the_last, "is not the text shown"),
        (keeps_a_list, "It returned a list; the log wants the text."),
        (asks_for_a_whole_answer, "The request did not ask for a stream."),
        (shows_nothing, "Nothing was shown."),
    ],
)
def test_a_wrong_show_and_keep_is_told_why(
    wrong: Callable[..., Any], says: str, lesson: Lesson
) -> None:
    run_cell("exercise-1-solution", lesson)

    async def show_and_keep(conversation: Any, show: Callable[[str], None]) -> object:
        return await wrong(lesson, conversation, show)

    said = verdict("02-2", show_and_keep, lesson)
    assert said.startswith("not yet")
    assert says in said


def test_a_plain_function_that_shows_and_keeps_is_turned_down_as_it_cannot_be_awaited(
    lesson: Lesson,
) -> None:
    def show_and_keep(conversation: Any, show: Callable[[str], None]) -> str:
        return asyncio.run(asks_for_a_whole_answer(lesson, conversation, show))

    assert "asyncio.run() cannot be called" in verdict("02-2", show_and_keep, lesson)
    assert "is a plain function" in verdict("02-2", lambda _, show: show("a") or "a", lesson)


def test_the_starter_that_pays_twice_hears_just_that(lesson: Lesson) -> None:
    run_cell("exercise-1-solution", lesson)
    run_cell("exercise-2-starter", lesson)
    said = verdict("02-2", lesson["show_and_keep"], lesson)
    assert "2 requests for one answer: it is paid for twice." in said
