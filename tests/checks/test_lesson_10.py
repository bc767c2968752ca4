"""Lesson 10's checks turn down what is wrong for the right reason, and take what is right."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from openai import APIError, AsyncOpenAI

from helpers import async_client, blocking_client, model
from tests.checks.judging import turned_down, verdict
from tests.pace import embedded_server_at
from tests.starving import starved


def client() -> AsyncOpenAI:
    return async_client().with_options(max_retries=0)


def asking(question: str, **options: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": question}]
    return {"model": model(), "messages": messages, "max_tokens": 30, **options}


async def ask(question: str, **options: Any) -> str:
    reply = await client().chat.completions.create(**asking(question, **options))
    return reply.choices[0].message.content or ""


def ask_blocking(question: str, **options: Any) -> str:
    reply = blocking_client().chat.completions.create(**asking(question, **options))
    return reply.choices[0].message.content or ""


async def title_of(tale: str) -> str:
    return await ask(f"A title for: {tale}", max_tokens=20)


def title_of_blocking(tale: str) -> str:
    return ask_blocking(f"A title for: {tale}", max_tokens=20)


def application(path: str, endpoint: Callable[..., object], **options: Any) -> FastAPI:
    app = FastAPI()
    app.get(path, **options)(endpoint)
    return app


# --- 10-1: no visitor holds up another ---------------------------------------------------------


async def blocks_for_the_title(question: str) -> dict[str, str]:
    text = await ask(question)
    return {"tale": text, "title": title_of_blocking(text)}


async def forgets_the_await(question: str) -> dict[str, Any]:
    text = await ask(question)
    return {"tale": text, "title": title_of(text)}


async def awaits_a_text(question: str) -> dict[str, Any]:
    text = await ask(question)
    return {"tale": text, "title": await title_of_blocking(text)}  # type: ignore[misc]


async def makes_the_title_up(question: str) -> dict[str, str]:
    text = await ask(question)
    return {"tale": text, "title": text[:20]}


async def drops_the_title(question: str) -> dict[str, str]:
    text = await ask(question)
    await title_of(text)
    return {"tale": text}


async def tells_all_the_same(question: str) -> dict[str, str]:
    text = await ask("Why is the sky blue?")
    return {"tale": text, "title": await title_of(text)}


def one_at_a_time() -> Callable[[str], Awaitable[dict[str, str]]]:
    turn = asyncio.Lock()

    async def tale(question: str) -> dict[str, str]:
        async with turn:
            text = await ask(question)
            return {"tale": text, "title": await title_of(text)}

    return tale


async def a_title_of_none(question: str) -> dict[str, str | None]:
    text = await ask(question)
    await title_of(text)
    return {"tale": text, "title": None}


@pytest.mark.parametrize(
    ("endpoint", "because"),
    [
        (blocks_for_the_title, "The event loop stood still during 3 of 6 requests"),
        (forgets_the_await, "A visitor got the status 500.\nThe application raised"),
        pytest.param(awaits_a_text, "A visitor got the status 500", marks=pytest.mark.slow),
        (makes_the_title_up, "3 visitors need 6 requests, one for a tale and one for its title"),
        pytest.param(drops_the_title, "a tale and a title were wanted", marks=pytest.mark.slow),
        pytest.param(tells_all_the_same, "got the tale 'Sunlight", marks=pytest.mark.slow),
        (one_at_a_time(), "at most 1 request of theirs were in flight at a time"),
        pytest.param(a_title_of_none, "title is None, where text was", marks=pytest.mark.slow),
    ],
)
def test_tales_are_turned_down(endpoint: Callable[..., object], because: str) -> None:
    assert because in turned_down("10-1", application("/tale", endpoint))


@pytest.mark.parametrize(
    ("answer", "because"),
    [
        (blocks_for_the_title, "not the endpoint's function"),
        pytest.param(FastAPI, "should be the application", marks=pytest.mark.slow),
        pytest.param(None, "should be the application", marks=pytest.mark.slow),
        (FastAPI(), "A visitor got the status 404"),
    ],
)
def test_what_is_no_application_with_that_page_is_turned_down(answer: object, because: str) -> None:
    assert because in turned_down("10-1", answer)


async def awaits_everything(question: str) -> dict[str, str]:
    text = await ask(question)
    return {"tale": text, "title": await title_of(text)}


async def sends_the_title_to_a_thread(question: str) -> dict[str, str]:
    text = await ask(question)
    return {"tale": text, "title": await asyncio.to_thread(title_of_blocking, text)}


def all_of_it_in_a_thread(question: str) -> dict[str, str]:
    text = ask_blocking(question)
    return {"tale": text, "title": title_of_blocking(text)}


@pytest.mark.parametrize(
    "endpoint", [awaits_everything, sends_the_title_to_a_thread, all_of_it_in_a_thread]
)
def test_tales_are_accepted(endpoint: Callable[..., object]) -> None:
    seen = verdict("10-1", application("/tale", endpoint))
    assert seen.passed, seen


@pytest.mark.skipif(sys.platform == "win32", reason="no usleep")
def test_tales_are_accepted_though_the_process_had_no_turn_during_a_request() -> None:
    starves = starved(awaits_everything, 0.5)

    async def tale(question: str) -> dict[str, str]:
        return await starves(question)

    with embedded_server_at(0.25):  # a tale takes 0.3 s
        seen = verdict("10-1", application("/tale", tale))
    assert seen.passed, seen


# --- 10-2: nobody waits, nothing is paid -------------------------------------------------------


async def goes_on(text: str) -> str:
    return await ask(f"Summarise: {text}")


async def gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def waits_for_the_leaving_alone(request: Request, text: str) -> str:
    answering = asyncio.create_task(ask(f"Summarise: {text}"))
    done, _ = await asyncio.wait({answering, asyncio.create_task(gone(request))}, timeout=0.02)
    answering.cancel()
    return "" if not done else await answering


async def notices_and_cancels_nothing(request: Request, text: str) -> str:
    answering = asyncio.create_task(ask(f"Summarise: {text}"))
    leaving = asyncio.create_task(gone(request))
    await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
    return await answering if answering.done() else ""


async def looks_once(request: Request, text: str) -> str:
    if await request.is_disconnected():
        return ""
    return await ask(f"Summarise: {text}")


async def hides_the_refusal(request: Request, text: str) -> str:
    try:
        return await race(request, text)
    except APIError:
        return "No summary today."


async def asks_twice(request: Request, text: str) -> str:
    await ask("Say hello.")
    return await race(request, text)


async def summarises_something_else(request: Request, text: str) -> str:
    return await race(request, "Something else, and at length.")


async def race(request: Request, text: str) -> str:
    answering = asyncio.create_task(ask(f"Summarise: {text}"))
    leaving = asyncio.create_task(gone(request))
    try:
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return await answering if answering.done() else ""
    finally:
        answering.cancel()
        leaving.cancel()


@pytest.mark.parametrize(
    ("endpoint", "because"),
    [
        (goes_on, "The visitor left before the model had begun, and the request went on: 15 of 15"),
        (notices_and_cancels_nothing, "and the request went on"),
        pytest.param(looks_once, "and the request went on", marks=pytest.mark.slow),
        (waits_for_the_leaving_alone, "A visitor who stays got the text ''"),
        (hides_the_refusal, "got the status 200 with the text 'No summary today.'"),
        pytest.param(asks_twice, "2 requests reached the server.", marks=pytest.mark.slow),
        pytest.param(summarises_something_else, "is another", marks=pytest.mark.slow),
    ],
)
def test_summaries_are_turned_down(endpoint: Callable[..., object], because: str) -> None:
    assert because in turned_down("10-2", application("/summary", endpoint))


async def looks_again_and_again(request: Request, text: str) -> str:
    answering = asyncio.create_task(ask(f"Summarise: {text}"))
    try:
        while not answering.done() and not await request.is_disconnected():
            await asyncio.wait({answering}, timeout=0.02)
        return await answering if answering.done() else ""
    finally:
        answering.cancel()


async def streams_to_one_who_wants_it_whole(text: str) -> StreamingResponse:
    answering = asyncio.create_task(ask(f"Summarise: {text}"))

    async def pieces() -> AsyncIterator[str]:
        try:
            yield await answering
        finally:
            answering.cancel()

    return StreamingResponse(pieces(), media_type="text/plain")


async def in_a_task_group(request: Request, text: str) -> PlainTextResponse:
    async def leave(answering: "asyncio.Task[str]") -> None:
        await gone(request)
        answering.cancel()

    async with asyncio.TaskGroup() as group:
        answering = group.create_task(ask(f"Summarise: {text}"))
        leaving = group.create_task(leave(answering))
        answering.add_done_callback(lambda _: leaving.cancel())
    return PlainTextResponse("" if answering.cancelled() else answering.result())


@pytest.mark.parametrize(
    "endpoint",
    [
        race,
        looks_again_and_again,
        streams_to_one_who_wants_it_whole,
        pytest.param(in_a_task_group, marks=pytest.mark.slow),
    ],
)
def test_summaries_are_accepted(endpoint: Callable[..., object]) -> None:
    seen = verdict("10-2", application("/summary", endpoint))
    assert seen.passed, seen


@pytest.mark.slow
def test_a_refusal_may_become_a_status_of_the_applications_own() -> None:
    app = application("/summary", race)

    @app.exception_handler(APIError)
    async def no_answer(request: Request, error: APIError) -> JSONResponse:
        return JSONResponse({}, status_code=502)

    assert verdict("10-2", app).passed
