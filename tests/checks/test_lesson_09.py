"""Lesson 09's checks turn down what is wrong for the right reason, and take what is right."""

import asyncio
import html
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from openai import APIConnectionError, APIError, AsyncOpenAI, RateLimitError

from helpers import async_client, model
from tests.checks.judging import turned_down, verdict
from tools import notebooks

LESSON = notebooks.FOLDER / "09_a_live_interface.ipynb"

Draw = Callable[[str], None]
ShowUntil = Callable[[AsyncOpenAI, str, Draw, asyncio.Event], Awaitable[Any]]


def cell(cell_id: str, function: str) -> Any:
    """Return the function that a cell of the lesson defines."""
    sources = {cell.id: cell.source for cell in notebooks.read(LESSON).cells}
    names: dict[str, Any] = {
        "asyncio": asyncio,
        "model": model,
        "AsyncIterator": AsyncIterator,
        "AsyncOpenAI": AsyncOpenAI,
        "Draw": Draw,
    }
    exec(sources["read"].partition("\n\n\ndef into")[0], names)
    exec(sources[cell_id], names)
    return names[function]


def asked(question: str) -> dict[str, Any]:
    return {"model": model(), "messages": [{"role": "user", "content": question}]}


# --- 09-1: stopped, and heard -----------------------------------------------------------------


async def looks_and_closes(
    client: AsyncOpenAI, question: str, draw: Draw, stop: asyncio.Event
) -> str:
    text = ""
    async with await client.chat.completions.create(**asked(question), stream=True) as stream:
        async for chunk in stream:
            text += chunk.choices[0].delta.content or "" if chunk.choices else ""
            draw(text)
            if stop.is_set():
                break
    return text


async def read(client: AsyncOpenAI, question: str, draw: Draw, keep: list[str]) -> None:
    async with await client.chat.completions.create(**asked(question), stream=True) as stream:
        async for chunk in stream:
            if chunk.choices and (piece := chunk.choices[0].delta.content):
                keep.append(piece)
                draw("".join(keep))


async def loses_what_came(
    client: AsyncOpenAI, question: str, draw: Draw, stop: asyncio.Event
) -> str:
    reading = asyncio.create_task(read(client, question, draw, keep := []))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
    for task in (reading, stopping):
        task.cancel()
    await asyncio.wait({reading, stopping})
    return "" if reading.cancelled() else "".join(keep)


async def swallows_errors(
    client: AsyncOpenAI, question: str, draw: Draw, stop: asyncio.Event
) -> str:
    reading = asyncio.create_task(read(client, question, draw, keep := []))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
    for task in (reading, stopping):
        task.cancel()
    await asyncio.gather(reading, stopping, return_exceptions=True)
    return "".join(keep)


async def draws_once(client: AsyncOpenAI, question: str, draw: Draw, stop: asyncio.Event) -> str:
    reply = await client.chat.completions.create(**asked(question))
    draw(text := reply.choices[0].message.content or "")
    return text


async def says_it_in_words(
    client: AsyncOpenAI, question: str, draw: Draw, stop: asyncio.Event
) -> str:
    try:
        return await in_one_group(client, question, draw, stop)
    except APIError:
        return "Something went wrong."


class _Stopped(Exception):
    pass


async def in_one_group(client: AsyncOpenAI, question: str, draw: Draw, stop: asyncio.Event) -> str:
    keep: list[str] = []

    async def watch() -> None:
        await stop.wait()
        raise _Stopped

    try:
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch())
            await read(client, question, draw, keep)
            watching.cancel()
    except* _Stopped:
        pass
    except* APIError as errors:
        raise errors.exceptions[0] from None
    return "".join(keep)


async def leaves_its_watcher(
    client: AsyncOpenAI, question: str, draw: Draw, stop: asyncio.Event
) -> str:
    text = ""
    stopping = asyncio.ensure_future(stop.wait())
    async with await client.chat.completions.create(**asked(question), stream=True) as stream:
        pieces = aiter(stream)
        while True:
            coming = asyncio.ensure_future(anext(pieces, None))
            await asyncio.wait({coming, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done() or (chunk := coming.result()) is None:
                coming.cancel()
                with suppress(asyncio.CancelledError):
                    await coming
                break
            if chunk.choices and (piece := chunk.choices[0].delta.content):
                draw(text := text + piece)
    stopping.cancel()
    return text


async def leaves_its_reader_when_cancelled(
    client: AsyncOpenAI, question: str, draw: Draw, stop: asyncio.Event
) -> str:
    reading = asyncio.create_task(read(client, question, draw, keep := []))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
    for task in (reading, stopping):
        task.cancel()
    await asyncio.wait({reading, stopping})
    if not reading.cancelled():
        reading.result()
    return "".join(keep)


async def leaves_its_watcher_when_cancelled(
    client: AsyncOpenAI, question: str, draw: Draw, stop: asyncio.Event
) -> str:
    keep: list[str] = []
    reading = asyncio.create_task(read(client, question, draw, keep))
    stopping = asyncio.create_task(stop.wait())
    stopping.add_done_callback(lambda _: reading.cancel())
    try:
        await reading
    except APIError:
        stopping.cancel()
        raise
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
    stopping.cancel()
    return "".join(keep)


async def swallows_its_cancellation(
    client: AsyncOpenAI, question: str, draw: Draw, stop: asyncio.Event
) -> str:
    keep: list[str] = []
    reading = asyncio.create_task(read(client, question, draw, keep))
    stopping = asyncio.create_task(stop.wait())
    stopping.add_done_callback(lambda _: reading.cancel())
    try:
        await reading
    except asyncio.CancelledError:
        pass
    finally:
        stopping.cancel()
    return "".join(keep)


async def piece_by_piece(
    client: AsyncOpenAI, question: str, draw: Draw, stop: asyncio.Event
) -> str:
    text = ""
    stopping = asyncio.ensure_future(stop.wait())
    coming: asyncio.Future[Any] | None = None
    try:
        async with await client.chat.completions.create(**asked(question), stream=True) as stream:
            pieces = aiter(stream)
            while not stopping.done():
                coming = asyncio.ensure_future(anext(pieces, None))
                await asyncio.wait({coming, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if not coming.done() or (chunk := coming.result()) is None:
                    break
                if chunk.choices and (piece := chunk.choices[0].delta.content):
                    draw(text := text + piece)
    finally:
        for task in filter(None, (stopping, coming)):
            task.cancel()
    return text


def cancelled_by_a_watcher(
    client: AsyncOpenAI, question: str, draw: Draw, stop: asyncio.Event
) -> Awaitable[str]:
    """A plain function that returns a coroutine, whose task another task cancels."""

    async def answer() -> str:
        keep: list[str] = []
        reading = asyncio.create_task(read(client, question, draw, keep))

        async def watch() -> None:
            await stop.wait()
            reading.cancel()

        watching = asyncio.create_task(watch())
        try:
            await reading
        except asyncio.CancelledError:
            if not stop.is_set():
                raise
        finally:
            watching.cancel()
        return "".join(keep)

    return answer()


def test_the_colleagues_stop_is_turned_down_as_the_server_writes_on() -> None:
    said = turned_down("09-1", cell("exercise-1-starter", "show_until"))
    assert "Stop was pressed in the middle. The drawing ended, and the server wrote on" in said


@pytest.mark.parametrize(
    ("answer", "because"),
    [
        (looks_and_closes, "nothing stopped: the loop looks at it when the next piece comes"),
        (loses_what_came, "and what came back is ''"),
        (swallows_errors, "failed with a 500, and show_until returned the text ''"),
        (says_it_in_words, "returned the text 'Something went wrong.'"),
        (swallows_its_cancellation, "cancelled it in the middle, and it returned the text"),
        (leaves_its_watcher, "failed with a 500; it raised, and left 1 task behind"),
        (leaves_its_watcher_when_cancelled, "cancelled by its caller, and left 1 task behind"),
        (leaves_its_reader_when_cancelled, "cancelled by its caller, and left 2 tasks behind"),
        (draws_once, "an answer should be seen to grow"),
        (lambda *_: "Why?", "is a plain function"),
    ],
)
def test_a_stop_that_stops_too_little_is_turned_down(answer: object, because: str) -> None:
    assert because in turned_down("09-1", answer)


def test_the_solution_of_the_first_exercise_passes() -> None:
    said = verdict("09-1", cell("exercise-1-solution", "show_until"))
    assert said.passed, said


@pytest.mark.parametrize("answer", [in_one_group, piece_by_piece, cancelled_by_a_watcher])
def test_a_stop_by_another_road_passes(answer: ShowUntil) -> None:
    said = verdict("09-1", answer)
    assert said.passed, said


# --- the chat ----------------------------------------------------------------------------------


def chat_and_verbs(client: AsyncOpenAI) -> tuple[Any, dict[str, Any]]:
    """Return a chat as the lesson makes it, without a window, and what its cells define."""
    sources = {cell.id: cell.source for cell in notebooks.read(LESSON).cells}
    names: dict[str, Any] = {"asyncio": asyncio, "html": html, "model": model}
    names |= {"Any": Any, "AsyncOpenAI": AsyncOpenAI, "Callable": Callable}
    names |= {"dataclass": dataclass, "field": field}
    names |= {error.__name__: error for error in (APIConnectionError, APIError, RateLimitError)}
    for cell_id in ("chat", "words", "answer", "chat-verbs"):
        exec(sources[cell_id], names)
    return names["Chat"](client, lambda _: None), names


async def answered(client: AsyncOpenAI) -> tuple[Any, dict[str, Any]]:
    chat, names = chat_and_verbs(client)
    names["ask"](chat, "Why is the sky blue?")
    await asyncio.wait([chat.task])
    assert [one["role"] for one in chat.messages] == ["user", "assistant"]
    return chat, names


def test_an_answer_stays_when_the_call_for_another_one_fails() -> None:
    async def main() -> None:
        async with async_client() as client:
            chat, names = await answered(client)
            before = list(chat.messages)
            failing = {"x-mock-fault": "503"}
            chat.client = client.with_options(max_retries=0, default_headers=failing)
            names["again"](chat)
            await asyncio.wait([chat.task])
            assert chat.messages == before
            assert chat.note.startswith("The model failed.")
            names["ask"](chat, "And at night?")
            await asyncio.wait([chat.task])
            assert [one["role"] for one in chat.messages] == ["user", "assistant", "user"]

    asyncio.run(main())


def test_another_answer_takes_the_place_of_the_first_on_the_page_and_for_the_model() -> None:
    async def main() -> None:
        async with async_client() as client:
            chat, names = await answered(client)
            (_, old) = chat.messages
            pages: list[str] = []
            chat.draw = lambda chat: pages.append(names["page"](chat))
            names["again"](chat)
            await asyncio.wait([chat.task])
            assert len(chat.messages) == 2
            assert chat.messages[1] is not old
            assert all(page.count("<b>assistant</b>") == 1 for page in pages)

    asyncio.run(main())


def test_a_stop_before_the_first_step_leaves_the_answer_and_says_stopped() -> None:
    async def main() -> None:
        async with async_client() as client:
            chat, names = await answered(client)
            before = list(chat.messages)
            notes: list[str] = []
            chat.draw = lambda chat: notes.append(chat.note)
            names["again"](chat)
            chat.task.cancel()
            await asyncio.wait([chat.task])
            assert chat.messages == before
            assert notes == ["", "Stopped."]

    asyncio.run(main())


# --- 09-2: suggestions while somebody types -----------------------------------------------------


async def suggest(client: AsyncOpenAI, text: str, draw: Draw, pause: float = 0.2) -> None:
    await asyncio.sleep(pause)
    reply = await client.chat.completions.create(**asked(text))
    draw(reply.choices[0].message.content or "")


async def waits_for_each(client: AsyncOpenAI, typed: AsyncIterator[str], draw: Draw) -> None:
    async for text in typed:
        await suggest(client, text, draw, pause=0)


async def cancels_and_never_pauses(
    client: AsyncOpenAI, typed: AsyncIterator[str], draw: Draw
) -> None:
    asking: asyncio.Task[None] | None = None
    async for text in typed:
        if asking:
            asking.cancel()
        asking = asyncio.create_task(suggest(client, text, draw, pause=0))
    assert asking
    await asking


async def pauses_and_never_cancels(
    client: AsyncOpenAI, typed: AsyncIterator[str], draw: Draw
) -> None:
    latest, asking = "", set()

    async def once_it_stands(text: str) -> None:
        await asyncio.sleep(0.2)
        if text == latest:
            reply = await client.chat.completions.create(**asked(text))
            if text == latest:
                draw(reply.choices[0].message.content or "")

    async for latest in typed:
        asking.add(asyncio.create_task(once_it_stands(latest)))
    await asyncio.wait(asking)


async def leaves_before_the_last(
    client: AsyncOpenAI, typed: AsyncIterator[str], draw: Draw
) -> None:
    asking: asyncio.Task[None] | None = None
    async for text in typed:
        if asking:
            asking.cancel()
        asking = asyncio.create_task(suggest(client, text, draw))


async def through_a_queue(client: AsyncOpenAI, typed: AsyncIterator[str], draw: Draw) -> None:
    keys: asyncio.Queue[str | None] = asyncio.Queue()

    async def collect() -> None:
        async for text in typed:
            keys.put_nowait(text)
        keys.put_nowait(None)

    async with asyncio.TaskGroup() as group:
        group.create_task(collect())
        text = await keys.get()
        while text is not None:
            asking = asyncio.create_task(suggest(client, text, draw))
            key = asyncio.create_task(keys.get())
            await asyncio.wait({asking, key}, return_when=asyncio.FIRST_COMPLETED)
            text = await key
            if text is not None:
                asking.cancel()
            await asyncio.wait({asking})


async def streamed(client: AsyncOpenAI, typed: AsyncIterator[str], draw: Draw) -> None:
    asking: asyncio.Task[None] | None = None

    async def grow(text: str) -> None:
        await asyncio.sleep(0.15)
        await read(client, text, draw, [])

    async for text in typed:
        if asking is not None and asking.cancel():
            await asyncio.wait({asking})
        asking = asyncio.create_task(grow(text))
    if asking is not None:
        await asking


def test_the_colleagues_suggestions_are_turned_down_as_each_key_is_paid_for() -> None:
    said = turned_down("09-2", cell("exercise-2-starter", "suggestions"))
    assert "typed 7 keys and paused twice; 7 requests were sent" in said


@pytest.mark.parametrize(
    ("answer", "because"),
    [
        (waits_for_each, "stood there for seconds, and no suggestion came"),
        (cancels_and_never_pauses, "requests were sent"),
        (pauses_and_never_cancels, "It was waited for, and paid for"),
        (leaves_before_the_last, "no suggestion was drawn"),
    ],
)
def test_suggestions_that_cost_too_much_or_never_come_are_turned_down(
    answer: object, because: str
) -> None:
    assert because in turned_down("09-2", answer)


def test_the_solution_of_the_second_exercise_passes() -> None:
    said = verdict("09-2", cell("exercise-2-solution", "suggestions"))
    assert said.passed, said


def test_the_solution_of_the_second_exercise_leaves_nothing_behind_when_it_is_cancelled() -> None:
    suggestions = cell("exercise-2-solution", "suggestions")

    async def typed() -> AsyncIterator[str]:
        yield "Why"
        await asyncio.sleep(60)

    async def left() -> set[asyncio.Task[Any]]:
        before = asyncio.all_tasks()
        async with async_client() as client:
            call = asyncio.create_task(suggestions(client, typed(), print))
            await asyncio.sleep(0.05)
            call.cancel()
            await asyncio.wait([call])
            return asyncio.all_tasks() - before

    assert asyncio.run(left()) == set()


@pytest.mark.parametrize("answer", [through_a_queue, streamed])
def test_suggestions_by_another_road_pass(answer: object) -> None:
    said = verdict("09-2", answer)
    assert said.passed, said
