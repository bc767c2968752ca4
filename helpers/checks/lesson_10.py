"""Lesson 10's checks: does one visitor hold up another, and is an answer paid for without a reader?

Both answers are web applications: they are served, and visited.
"""

import asyncio
import json
from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

import httpx2

from helpers import observe
from helpers.checks.at_once import held_by, whole_answer
from helpers.checks.exercise import NotYet, Trial, count, describe, register, shorten
from helpers.endpoint import CLIENT_TAG, endpoint
from helpers.heartbeat import Heartbeat

QUESTIONS = ("Tell me a story.", "Tell me another story.", "Why is the sky blue?")
"""Of answers so long that all three are under way before the first of them ends."""

TEXT = "A visitor asks the application, and the application asks the model."

STALL = 0.5
"""Seconds that the server says nothing, so that a visitor leaves in time at any pace. Longer than
an application takes to let go of a request, and short to sit through if it does not."""

PATIENCE = 5.0
"""Seconds that a visitor waits for what takes some hundredths, so that a busy machine passes."""


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    body: object


@register(
    "10-1",
    hints=(
        "`ask` is awaited. What else in the endpoint asks the model, and with which client?",
        "`title_of` blocks. Either make it `async`, with `ask`, or let a thread run it.",
        '`async def title_of(tale)` with `return await ask(f"A title for: {tale}", '
        'max_tokens=20)`, and `"title": await title_of(text)` in the endpoint.',
    ),
)
async def nobody_waits_for_another(trial: Trial) -> str:
    told: list[str] = []

    async def visit(trial: Trial) -> list[_Reply]:
        async with _serving(trial, told) as visitor:
            visits = [_get(visitor, "/tale", question=question) for question in QUESTIONS]
            replies: list[_Reply] = await _in_time("/tale", asyncio.gather(*visits))
        return replies

    with Heartbeat() as heartbeat:
        replies = await visit(trial)
    for reply in replies:
        _expect_a_tale(reply, told)
    if not trial.sees_requests:
        return f"{len(replies)} visitors got a tale and a title each."
    requests = trial.requests
    if len(requests) != 2 * len(QUESTIONS):
        raise NotYet(
            f"{len(QUESTIONS)} visitors need {2 * len(QUESTIONS)} requests, one for a tale and one "
            f"for its title; there were {len(requests)}."
        )
    await _expect_the_tales_asked_for(replies)
    if frozen := await held_by(trial, heartbeat, visit):
        raise NotYet(
            f"The event loop stood still during {frozen} of {len(requests)} requests: nobody else "
            f"was answered meanwhile."
        )
    peak = observe.peak_in_flight(requests)
    if peak < len(QUESTIONS):
        raise NotYet(
            f"{len(QUESTIONS)} visitors came at once, and at most {count(peak, 'request')} of "
            f"theirs were in flight at a time: one visitor waits for another."
        )
    return (
        f"{len(replies)} visitors, {len(requests)} requests, {peak} in flight at once; the event "
        f"loop stayed free."
    )


def _expect_a_tale(reply: _Reply, told: list[str]) -> None:
    if reply.status != 200:
        raise NotYet("\n".join([f"A visitor got the status {reply.status}.", *told[:1]]))
    if not isinstance(reply.body, dict) or set(reply.body) != {"tale", "title"}:
        raise NotYet(f"A visitor got {_shown(reply.body)}; a tale and a title were wanted.")
    for part, text in reply.body.items():
        if not isinstance(text, str) or not text.strip():
            raise NotYet(f"A visitor's {part} is {describe(text)}, where text was wanted.")


async def _expect_the_tales_asked_for(replies: list[_Reply]) -> None:
    wholes = await asyncio.gather(*(asyncio.to_thread(whole_answer, q) for q in QUESTIONS))
    for question, whole, reply in zip(QUESTIONS, wholes, replies, strict=True):
        assert isinstance(reply.body, dict)
        if not whole.startswith(reply.body["tale"]):
            raise NotYet(f"Who asked {question!r} got the tale {shorten(reply.body['tale'])!r}.")


@register(
    "10-2",
    hints=(
        "An endpoint that awaits a whole answer is not told that its visitor left. It must ask.",
        "Two tasks: one awaits the answer, one awaits messages until the disconnect. "
        "`asyncio.wait` with `return_when=asyncio.FIRST_COMPLETED` ends with the first that is "
        "done. Then neither may go on.",
        "`await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)` in a "
        '`try`; `return await answering if answering.done() else ""`; and in `finally` cancel '
        "both.",
    ),
)
async def stops_when_nobody_waits(trial: Trial) -> str:
    told: list[str] = []
    async with _serving(trial, told) as visitor:
        await _the_whole_comes(trial, visitor)
        if not trial.sees_requests:
            return "A visitor who stays gets the summary."
        await _stops_when_left(visitor)
        await _no_200_when_refused(visitor)
    return (
        "Who stayed got the summary; when the visitor left, the model stopped; when the model "
        "refused, so did the application."
    )


async def _the_whole_comes(trial: Trial, visitor: httpx2.AsyncClient) -> None:
    reply = await _in_time("/summary", _get(visitor, "/summary", text=TEXT))
    if reply.status != 200:
        raise NotYet(f"A visitor who stays got the status {reply.status}.")
    if not isinstance(reply.body, str) or not reply.body.strip():
        raise NotYet(f"A visitor who stays got {_shown(reply.body)}, where text was wanted.")
    if not trial.sees_requests:
        return
    if len(trial.requests) != 1:
        raise NotYet(
            f"One visitor came; {count(len(trial.requests), 'request')} reached the server."
        )
    sent = trial.requests[0]
    if sent.outcome != "finished":
        raise NotYet(f"A visitor stayed, and the request of his summary was {sent.outcome}.")
    whole = await asyncio.to_thread(whole_answer, f"Summarise: {TEXT}", sent.tokens_sent)
    if reply.body != whole:
        raise NotYet(f"A visitor who stays got {describe(reply.body)}; the summary is another.")


async def _stops_when_left(visitor: httpx2.AsyncClient) -> None:
    """Leave while the server is silent: the request must be abandoned for that."""
    await _order(f"slow-head; seconds={STALL}")
    before = await _latest()
    visit = asyncio.ensure_future(visitor.get("/summary", params={"text": TEXT}))
    while await _latest() == before and not visit.done():  # noqa: ASYNC110 - nothing tells it
        await asyncio.sleep(0.01)
    if visit.done():
        raise NotYet("The second visitor was answered without a request.")
    visit.cancel()
    await asyncio.wait({visit})
    seen = await asyncio.to_thread(observe.last_request, STALL + PATIENCE)
    if seen.outcome != "abandoned":
        raise NotYet(
            f"The visitor left before the model had begun, and the request went on: "
            f"{seen.tokens_sent} of {seen.tokens_planned} tokens, {seen.outcome}, and paid for."
        )


async def _no_200_when_refused(visitor: httpx2.AsyncClient) -> None:
    await _order("400")
    try:
        reply = await _in_time("/summary", visitor.get("/summary", params={"text": TEXT}))
    except NotYet:
        return  # broken off: no 200 either
    if reply.status_code < 400:
        raise NotYet(
            f"The model refused, and the visitor got the status {reply.status_code} with "
            f"{describe(_unpacked(reply.text))}."
        )


def _serving(trial: Trial, told: list[str]) -> AbstractAsyncContextManager[httpx2.AsyncClient]:
    from helpers.web import serving  # its web server is not to be had in a web page

    return serving(_application(trial), told.append)


def _application(trial: Trial) -> Any:
    if not callable(trial.answer) or isinstance(trial.answer, type):
        raise NotYet(
            f"The answer should be the application, a `FastAPI()`; it is {describe(trial.answer)}."
        )
    if not hasattr(trial.answer, "router"):
        raise NotYet(
            "The answer should be the application, the `FastAPI()` that has the endpoint; not the "
            "endpoint's function."
        )
    return trial.answer


async def _in_time(path: str, visit: Awaitable[Any]) -> Any:
    """Return what comes of a visit.

    Raises:
        NotYet: the application cannot be visited there, or not in time.
    """
    try:
        return await asyncio.wait_for(visit, 5 * PATIENCE)
    except TimeoutError:
        raise NotYet(f"{path} did not answer within {5 * PATIENCE:g} seconds.") from None
    except httpx2.TransportError as error:
        raise NotYet(f"The response of {path} broke off. {error}".rstrip()) from None


async def _get(visitor: httpx2.AsyncClient, path: str, **params: str) -> _Reply:
    reply = await visitor.get(path, params=params)
    return _Reply(reply.status_code, _unpacked(reply.text))


def _unpacked(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _shown(body: object) -> str:
    return shorten(json.dumps(body) if isinstance(body, dict | list) else describe(body))


async def _latest() -> int:
    seen = await asyncio.to_thread(observe.journal)
    return max((request.id for request in seen.requests), default=0)


async def _order(fault: str) -> None:
    """Let this process's next request meet a fault."""
    place = endpoint()
    order = {"fault": fault, "times": 1, "client": CLIENT_TAG}
    async with httpx2.AsyncClient(trust_env=False, headers=place.authorization) as http:
        (await http.post(place.control("faults"), json=order)).raise_for_status()
