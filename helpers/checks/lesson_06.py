"""Lesson 06's checks: does plain code work where a loop runs, and was each answer paid for once?"""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from openai import AsyncOpenAI, OpenAI

from helpers.checks.at_once import mock_answers
from helpers.checks.exercise import NotYet, Trial, count, describe, describe_call, register
from helpers.clients import async_client, blocking_client

QUESTIONS = ("Count to three.", "Count to six.", "Count to four.", "Count to five.")
"""Short answers. Four, as a client carried through several loops fails in every other one; not the
shortest first, so that they end in an order that is not their own."""

HELD_UP = 10.0
"""Seconds for 06-1. A usual wrong answer waits for a loop that it holds up itself, for ever; two
short answers of a slow real model take less."""

ENDING = 1.0
"""Seconds for threads that are ending: an executor's outlive it by some milliseconds."""


@register(
    "06-1",
    hints=(
        "A loop already runs in this thread. In which other place could one begin?",
        "A new thread has no loop, so asyncio.run works there. So does a loop that runs in a "
        "thread all the time. Which client may be used there? async_client() without options is "
        "the notebook's, bound to the notebook's loop.",
        "In an async def once(): open `async with async_client(max_retries=2) as own`, return "
        "await ask(own, text). Then `with ThreadPoolExecutor(1) as pool:`, and in it "
        "`return pool.submit(asyncio.run, once()).result()`.",
    ),
    time_limit=HELD_UP,
)
async def caption(trial: Trial) -> str:
    before = set(threading.enumerate())
    with _asyncio_left_alone(), _clients_made() as clients:
        for question in QUESTIONS[:2]:  # a client that is carried to a second loop fails there
            result = trial.call_here(question)
            if not isinstance(result, str) or not result.strip():
                call = describe_call(trial.answer, (question,))
                raise NotYet(f"{call} returned {describe(result)} instead of a text.")
    _expect_requests(trial, 2)
    _expect_closed(clients)
    left = _still_running(set(threading.enumerate()) - before)
    if left:
        still = "thread still runs" if left == 1 else "threads still run"
        raise NotYet(f"Two calls returned, and {left} {still} that they started.")
    return "Two plain calls inside the running loop returned two texts."


@register(
    "06-2",
    hints=(
        "Which event loop does the client's open connection belong to, and does it still run?",
        "Each asyncio.run makes a loop and closes it. How many does this program need? And "
        "async_client() without options is the notebook's client: with options it is your own.",
        "Write one async def main() with `async with async_client(max_retries=2) as client` and "
        "the for loop inside, and call asyncio.run(main()) once.",
    ),
)
async def nightly(trial: Trial) -> str:
    with _asyncio_left_alone(), _clients_made() as clients:
        answers = await trial.run(list(QUESTIONS))
    if not isinstance(answers, list | tuple):
        raise NotYet(f"It returned {describe(answers)}, where a list of answers was wanted.")
    texts = [answer for answer in answers if isinstance(answer, str) and answer.strip()]
    asked = count(len(QUESTIONS), "question")
    if len(texts) != len(QUESTIONS) or len(answers) != len(QUESTIONS):
        raise NotYet(f"{asked} were asked for, and {count(len(texts), 'answer')} came back.")
    _expect_requests(trial, len(QUESTIONS))
    _expect_closed(clients)
    if not trial.sees_requests:
        return f"{asked}, {len(texts)} answers."
    if texts != mock_answers(list(QUESTIONS), trial.requests):
        raise NotYet("The answers do not stand in the order of the questions.")
    return f"{asked}, {len(texts)} answers, {len(trial.requests)} requests: each paid for once."


@contextmanager
def _asyncio_left_alone() -> Iterator[None]:
    """Expect the answer to turn loops by asyncio's own means.

    Raises:
        NotYet: something in this process has replaced them; what is replaced stays so.
    """
    yield
    if asyncio.run.__module__ != "asyncio.runners":
        raise NotYet(
            f"asyncio.run is no longer Python's own: {asyncio.run.__module__} has replaced it, for "
            f"the whole kernel.\nTake it out, restart the kernel, and run the lesson from its top."
        )


Clients = list[OpenAI | AsyncOpenAI]


@contextmanager
def _clients_made() -> Iterator[Clients]:
    """Collect the clients that are made in this block: held, so that none is closed by chance."""
    made: Clients = []

    def noting(kind: type[Any]) -> Any:
        usual = kind.__init__

        def __init__(self: Any, *arguments: Any, **options: Any) -> None:
            usual(self, *arguments, **options)
            made.append(self)

        return patch.object(kind, "__init__", __init__)

    with noting(OpenAI), noting(AsyncOpenAI):
        yield made


def _expect_closed(clients: Clients) -> None:
    shared = (blocking_client(), async_client())
    left = sum(not one.is_closed() and one not in shared for one in clients)
    if left:
        raise NotYet(
            f"The texts are right, and {count(left, 'client')} that it made "
            f"{'is' if left == 1 else 'are'} still open, connections included."
        )


def _still_running(threads: set[threading.Thread]) -> int:
    """Return how many of the threads go on, when those that are ending have had time to.

    A loop's own executor, where it looks up the endpoint's name, goes with its loop.
    """
    deadline = time.monotonic() + ENDING
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return sum(each.is_alive() and not each.name.startswith("asyncio_") for each in threads)


def _expect_requests(trial: Trial, expected: int) -> None:
    seen = len(trial.requests) if trial.sees_requests else expected
    if seen > expected:
        raise NotYet(
            f"{expected} answers came back for {seen} requests: "
            f"nobody read what {seen - expected} of them brought."
        )
    if seen < expected:
        raise NotYet(f"{expected} texts came back, and only {seen} were asked of the server.")
