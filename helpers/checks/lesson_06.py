"""Lesson 06's checks: does plain code work where a loop runs, and was each answer paid for once?"""

import threading
import time

from helpers.checks.at_once import mock_answers
from helpers.checks.exercise import NotYet, Trial, count, describe, describe_call, register

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
    for question in QUESTIONS[:2]:  # a client that is carried to a second loop fails there
        result = trial.call_here(question)
        if not isinstance(result, str) or not result.strip():
            call = describe_call(trial.answer, (question,))
            raise NotYet(f"{call} returned {describe(result)} instead of a text.")
    _expect_requests(trial, 2)
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
    answers = await trial.run(list(QUESTIONS))
    if not isinstance(answers, list | tuple):
        raise NotYet(f"It returned {describe(answers)}, where a list of answers was wanted.")
    texts = [answer for answer in answers if isinstance(answer, str) and answer.strip()]
    asked = count(len(QUESTIONS), "question")
    if len(texts) != len(QUESTIONS) or len(answers) != len(QUESTIONS):
        raise NotYet(f"{asked} were asked for, and {count(len(texts), 'answer')} came back.")
    _expect_requests(trial, len(QUESTIONS))
    if not trial.sees_requests:
        return f"{asked}, {len(texts)} answers."
    if texts != mock_answers(list(QUESTIONS), trial.requests):
        raise NotYet("The answers do not stand in the order of the questions.")
    return f"{asked}, {len(texts)} answers, {len(trial.requests)} requests: each paid for once."


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
