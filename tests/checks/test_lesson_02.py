"""Lesson 02's checks take the solutions and turn each wrong answer down for its own reason."""

import ast
import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from openai import AsyncStream
from openai.types.chat import ChatCompletionChunk

from helpers import async_client, blocking_client, check, hint, model
from tests.pace import embedded_server_at
from tools import notebooks

Lesson = dict[str, Any]


@pytest.fixture(autouse=True, scope="module")
def _tellable() -> Iterator[None]:
    """A pace at which the check judges what came when, whatever else keeps the machine busy."""
    with embedded_server_at(pace=0.3):
        yield


@pytest.fixture
def lesson() -> Lesson:
    """The names that the lesson has defined before its first solution is written."""
    names: Lesson = {}
    for id in ("setup", "ask-whole", "exercise-1-starter", "exercise-2-starter"):
        run_cell(id, names)
    return names


def run_cell(id: str, names: Lesson) -> None:
    """Run what a cell imports and defines, and none of its calls."""
    cells = notebooks.read(notebooks.FOLDER / "02_async_streaming.ipynb").cells
    (source,) = (cell.source for cell in cells if cell.id == id)
    # A cell may await at its top level, which is no Python until that is taken out.
    tree = compile(source, id, "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    tree.body = [part for part in tree.body if not isinstance(part, ast.Expr)]
    exec(compile(tree, id, "exec"), names)


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


async def texts(lesson: Lesson, conversation: Any) -> AsyncIterator[str]:
    """A right `api_predict`, for those below to spoil or to build on."""
    async with await a_stream(lesson, conversation) as stream:
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content


def collects_first(lesson: Lesson) -> Callable[[Any], object]:
    async def api_predict(conversation: Any) -> AsyncIterator[str]:
        for text in [text async for text in texts(lesson, conversation)]:
            yield text

    return api_predict


def keeps_the_rest_for_the_end(lesson: Lesson) -> Callable[[Any], object]:
    async def api_predict(conversation: Any) -> AsyncIterator[str]:
        pieces = texts(lesson, conversation)
        yield await anext(pieces)
        yield "".join([piece async for piece in pieces])

    return api_predict


def keeps_the_rest_for_the_end_in_pieces(lesson: Lesson) -> Callable[[Any], object]:
    async def api_predict(conversation: Any) -> AsyncIterator[str]:
        pieces = texts(lesson, conversation)
        yield await anext(pieces)
        for piece in [piece async for piece in pieces]:
            yield piece

    return api_predict


def skips_every_other_piece(lesson: Lesson) -> Callable[[Any], object]:
    async def api_predict(conversation: Any) -> AsyncIterator[str]:
        skip = False
        async for text in texts(lesson, conversation):
            if not skip:
                yield text
            skip = not skip

    return api_predict


def returns_the_text(lesson: Lesson) -> Callable[[Any], object]:
    async def api_predict(conversation: Any) -> str:
        return "".join([text async for text in texts(lesson, conversation)])

    return api_predict


def forgets_the_await(lesson: Lesson) -> Callable[[Any], object]:
    async def api_predict(conversation: Any) -> AsyncIterator[str]:
        async for chunk in lesson["client"].chat.completions.create(
            model=model(), messages=conversation, stream=True
        ):
            yield chunk.choices[0].delta.content

    return api_predict


def forgets_the_await_after_async_with(lesson: Lesson) -> Callable[[Any], object]:
    async def api_predict(conversation: Any) -> AsyncIterator[str]:
        async with lesson["client"].chat.completions.create(
            model=model(), messages=conversation, stream=True
        ) as stream:
            async for chunk in stream:
                yield chunk.choices[0].delta.content

    return api_predict


def forgets_the_stream(lesson: Lesson) -> Callable[[Any], object]:
    async def api_predict(conversation: Any) -> AsyncIterator[str]:
        answer = await lesson["client"].chat.completions.create(
            model=model(), messages=conversation
        )
        async for chunk in answer:
            yield chunk.choices[0].delta.content

    return api_predict


def reads_by_a_plain_for(lesson: Lesson) -> Callable[[Any], object]:
    async def api_predict(conversation: Any) -> AsyncIterator[str]:
        stream: Any = await a_stream(lesson, conversation)
        for chunk in stream:
            yield chunk.choices[0].delta.content

    return api_predict


def takes_a_message(lesson: Lesson) -> Callable[[Any], object]:
    async def api_predict(conversation: Any) -> AsyncIterator[str]:
        stream: Any = await a_stream(lesson, conversation)
        async for chunk in stream:
            yield chunk.choices[0].message.content

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
        async for text in texts(lesson, conversation):
            yield text

    return api_predict


def asks_something_else(lesson: Lesson) -> Callable[[Any], object]:
    async def api_predict(conversation: Any) -> AsyncIterator[str]:
        async for text in texts(lesson, lesson["haiku"]):
            yield text

    return api_predict


def repeats_what_was_said(lesson: Lesson) -> Callable[[Any], object]:
    async def api_predict(conversation: Any) -> AsyncIterator[str]:
        said = ""
        async for text in texts(lesson, conversation):
            said += text
            yield said

    return api_predict


def leaves_its_stream_open(lesson: Lesson) -> Callable[[Any], object]:
    async def api_predict(conversation: Any) -> AsyncIterator[str]:
        async for chunk in await a_stream(lesson, conversation):
            if chunk.choices and chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content

    return api_predict


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (asks_something_else, "yielded the text 'A call without await,"),
        (repeats_what_was_said, "which is not the answer."),
        (without_the_guard, "Piece 1 of 47 is empty: ''. Hand on text only."),
        (stops_at_the_first_empty_text, "It ended without a single piece."),
        (collects_first, "had sent the last token before the first piece came."),
        (keeps_the_rest_for_the_end, "tokens meanwhile: they were held back."),
        (keeps_the_rest_for_the_end_in_pieces, "tokens meanwhile: they were held back."),
        (skips_every_other_piece, "which is not the answer."),
        (returns_the_text, "A call gave a coroutine"),
        (blocks, "It held the event loop while it waited"),
        (is_the_blocking_twin, "A call gave a generator. `async for` needs an async generator"),
        (asks_twice, "2 requests for one answer: it is paid for twice."),
        (leaves_its_stream_open, "left after the first piece, and the server wrote on: "),
    ],
)
def test_a_wrong_api_predict_is_told_why(wrong: Wrong, says: str, lesson: Lesson) -> None:
    said = verdict("02-1", wrong(lesson), lesson)
    assert said.startswith("not yet")
    assert says in said


@pytest.mark.parametrize(
    ("wrong", "says", "hints"),
    [
        (forgets_the_await, "it was never awaited: a call that has not started", "made the coro"),
        (forgets_the_await_after_async_with, "it was never awaited", "made the coroutine"),
        (forgets_the_stream, "`stream=True` is missing", "create(…, stream=True)"),
        (reads_by_a_plain_for, "An AsyncStream is read by `async for`", "async for chunk in"),
        (takes_a_message, "a `delta`, the new piece, and no `message`", "delta.content"),
    ],
)
def test_an_error_of_api_predict_is_told_in_a_plain_sentence_and_the_hint_is_about_it(
    wrong: Wrong, says: str, hints: str, lesson: Lesson
) -> None:
    _, sentence, *_ = verdict("02-1", wrong(lesson), lesson).splitlines()
    assert says in sentence
    assert hints in hint("02-1")


def through_the_stream_helper(lesson: Lesson) -> Callable[[Any], object]:
    async def api_predict(conversation: Any) -> AsyncIterator[str]:
        async with lesson["client"].chat.completions.stream(
            model=model(), messages=conversation
        ) as events:
            async for event in events:
                if event.type == "content.delta" and event.delta:
                    yield event.delta

    return api_predict


def in_whole_words(lesson: Lesson) -> Callable[[Any], object]:
    async def api_predict(conversation: Any) -> AsyncIterator[str]:
        word = ""
        async for piece in texts(lesson, conversation):
            if piece.startswith(" "):
                yield word
                word = ""
            word += piece
        yield word

    return api_predict


def in_whole_sentences(lesson: Lesson) -> Callable[[Any], object]:
    async def api_predict(conversation: Any) -> AsyncIterator[str]:
        sentence = ""
        async for piece in texts(lesson, conversation):
            sentence += piece
            if piece.endswith((".", ",")):
                yield sentence
                sentence = ""

    return api_predict


def closes_it_at_last(lesson: Lesson) -> Callable[[Any], object]:
    async def api_predict(conversation: Any) -> AsyncIterator[str]:
        stream = await a_stream(lesson, conversation)
        try:
            async for chunk in stream:
                for choice in chunk.choices:
                    if choice.delta.content:
                        yield choice.delta.content
        finally:
            await stream.close()

    return api_predict


def hands_a_generator_on(lesson: Lesson) -> Callable[[Any], object]:
    def api_predict(conversation: Any) -> AsyncIterator[str]:
        return texts(lesson, conversation)

    return api_predict


def is_a_class(lesson: Lesson) -> Callable[[Any], object]:
    class Pieces(AsyncIterable[str]):
        def __init__(self, conversation: Any) -> None:
            self._conversation = conversation

        def __aiter__(self) -> AsyncIterator[str]:
            return texts(lesson, self._conversation)

    return Pieces


@pytest.mark.parametrize(
    "right",
    [
        through_the_stream_helper,
        in_whole_words,
        in_whole_sentences,
        closes_it_at_last,
        hands_a_generator_on,
        is_a_class,
    ],
)
def test_a_right_api_predict_by_another_road_is_taken(right: Wrong, lesson: Lesson) -> None:
    said = verdict("02-1", right(lesson), lesson)
    assert said.startswith("passed"), said


# --- 02-2: shown and kept -----------------------------------------------------------------------


async def shows_at_the_end(lesson: Lesson, conversation: Any, show: Callable[[str], None]) -> str:
    pieces = [piece async for piece in lesson["api_predict"](conversation)]
    for piece in pieces:
        show(piece)
    return "".join(pieces)


async def shows_the_rest_at_the_end(
    lesson: Lesson, conversation: Any, show: Callable[[str], None]
) -> str:
    pieces = lesson["api_predict"](conversation)
    first = await anext(pieces)
    show(first)
    rest = "".join([piece async for piece in pieces])
    show(rest)
    return str(first + rest)


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


def shown_by(answer: Callable[..., Any], lesson: Lesson) -> Callable[..., object]:
    """Return an answer to exercise 2, with the lesson's names and a right `api_predict`."""
    run_cell("exercise-1-solution", lesson)

    async def show_and_keep(conversation: Any, show: Callable[[str], None]) -> object:
        return await answer(lesson, conversation, show)

    return show_and_keep


async def shows_by_a_plain_for(
    lesson: Lesson, conversation: Any, show: Callable[[str], None]
) -> object:
    for piece in lesson["api_predict"](conversation):
        show(piece)
    return ""


async def awaits_the_pieces(
    lesson: Lesson, conversation: Any, show: Callable[[str], None]
) -> object:
    show(await lesson["api_predict"](conversation))
    return ""


@pytest.mark.parametrize("wrong", [shows_by_a_plain_for, awaits_the_pieces])
def test_an_async_generator_read_in_another_way_is_told_how(
    wrong: Callable[..., Any], lesson: Lesson
) -> None:
    assert "has many results, one after another" in verdict("02-2", shown_by(wrong, lesson), lesson)
    assert "`async for piece in …:`" in hint("02-2")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (leaves_after_one, "characters; the answer has"),
        (blocks_meanwhile, "It held the event loop while it waited"),
        (shows_at_the_end, "had sent the last token before the first piece was shown."),
        (shows_the_rest_at_the_end, "tokens meanwhile: they were held back."),
        (keeps_the_last, "is not the text shown"),
        (keeps_a_list, "It returned a list; the log wants the text."),
        (asks_for_a_whole_answer, "The request did not ask for a stream."),
        (shows_nothing, "Nothing was shown."),
    ],
)
def test_a_wrong_show_and_keep_is_told_why(
    wrong: Callable[..., Any], says: str, lesson: Lesson
) -> None:
    said = verdict("02-2", shown_by(wrong, lesson), lesson)
    assert said.startswith("not yet")
    assert says in said


def test_who_shows_a_whole_answer_is_helped_to_the_pieces(lesson: Lesson) -> None:
    verdict("02-2", shown_by(asks_for_a_whole_answer, lesson), lesson)
    assert "Which function hands on the pieces" in hint("02-2")


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


async def adds_up(lesson: Lesson, conversation: Any, show: Callable[[str], None]) -> str:
    text = ""
    async for piece in lesson["api_predict"](conversation):
        text += piece
        show(piece)
    return text


async def asks_by_itself(lesson: Lesson, conversation: Any, show: Callable[[str], None]) -> str:
    pieces = []
    async with await a_stream(lesson, conversation) as stream:
        async for chunk in stream:
            if chunk.choices:
                pieces.append(chunk.choices[0].delta.content or "")
                show(pieces[-1])
    return "".join(pieces)


@pytest.mark.parametrize("right", [adds_up, asks_by_itself])
def test_a_right_show_and_keep_by_another_road_is_taken(
    right: Callable[..., Any], lesson: Lesson
) -> None:
    said = verdict("02-2", shown_by(right, lesson), lesson)
    assert said.startswith("passed"), said
