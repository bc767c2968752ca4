"""Lesson 03's checks: was the call awaited, how often was the server asked, and by which client?"""

import asyncio
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from unittest.mock import patch

from openai.resources.chat.completions import AsyncCompletions, Completions

from helpers.checks.at_once import expect_no_printed_form, held_by
from helpers.checks.exercise import NotYet, Trial, count, describe, describe_call, register
from helpers.checks.likely import explaining
from helpers.heartbeat import Heartbeat
from helpers.observe import peak_in_flight

GAVE_UP = "(no summary)"
"""What the starter of 03-2 returns when each of its tries has failed."""

TEXTS = (
    "The sky is blue because air scatters blue light more than red.",
    "The sea is salty because rivers carry salts to it and only water leaves.",
)
"""Two, as what blocks shows itself only where something else could go on."""

COUNTRY = "France"
TOLD_OF_IT = ("capital", "France")
"""What the mock server's answer to any wording of the question holds, and hardly another answer."""


@register(
    "03-1",
    hints=(
        "What does `answer` hold: a text, or a call? How many requests has the server seen?",
        "A coroutine is always true, and str() gives its repr: nothing complains. One word starts "
        "the call and waits for its result.",
        "Put `await` in front of `ask(…)`, inside the `async def`.",
    ),
)
async def capital_of(trial: Trial) -> str:
    with explaining(trial), Heartbeat() as beat:
        result = await _text_for(trial, COUNTRY)
    _expect_requests(trial, 1, "question")
    told = f"{len(result)} characters of text came back"
    if not trial.sees_requests:
        return f"{told}."
    if await held_by(trial, beat, lambda again: again.run_awaited(COUNTRY)):
        raise NotYet(
            "The event loop stood still during the request: that is the blocking client, inside an "
            "`async def`."
        )
    if not all(word in result for word in TOLD_OF_IT):
        call = describe_call(trial.answer, (COUNTRY,))
        raise NotYet(
            f"{call} returned {describe(result)}: the server was not asked for that capital."
        )
    return f"1 request reached the server; {told}."


@register(
    "03-2",
    hints=(
        "The except hides an error. Take the try away, call the function, and read the message.",
        "The message names a ChatCompletion: the call was over before await saw it. "
        "Which of the two clients gives you something to await?",
        "Await client, not blocking, in one line; the loop and the try can go.",
    ),
)
async def summarise(trial: Trial) -> str:
    with explaining(trial):
        summaries = await asyncio.gather(*(_text_for(trial, text) for text in TEXTS))
    gave_up = summaries.count(GAVE_UP)
    if gave_up:
        raise NotYet(f"{gave_up} of {count(len(TEXTS), 'text')} came back as {GAVE_UP!r}.")
    _expect_requests(trial, len(TEXTS), "text")
    if trial.sees_requests and peak_in_flight(trial.requests) < len(TEXTS):
        raise NotYet(
            "The second request arrived only after the first had ended: "
            "the call holds the event loop while it waits.",
            "Which of the two clients waits without an `await`, and which gives you one to write?",
        )
    await _expect_a_mistake_to_come_out(trial)
    if not trial.sees_requests:
        return f"{len(TEXTS)} texts were summarised."
    return "2 texts, 2 requests, and both were under way at once."


async def _text_for(trial: Trial, argument: str) -> str:
    """Return the text that the answer gives for `argument`, once awaited."""
    result = await trial.run_awaited(argument)
    call = describe_call(trial.answer, (argument,))
    if inspect.iscoroutine(result):
        what = describe(result)
        result.close()
        raise NotYet(f"{call} gave {what}. Its body never ran.")
    if not isinstance(result, str):
        raise NotYet(
            f"{call} should return the text of the answer; it returned {describe(result)}."
        )
    if "<coroutine object" in result:
        raise NotYet(f"{call} returned {_whose_repr(trial)}")
    if not result.strip():
        raise NotYet(f"{call} returned an empty text.")
    expect_no_printed_form(call, result)
    return result


def _whose_repr(trial: Trial) -> str:
    if trial.sees_requests and trial.requests:
        return (
            "a coroutine's repr as its text. The call was awaited, and its result not kept: the "
            "name still holds the coroutine."
        )
    return "a coroutine's repr as its text: the call never started."


def _expect_requests(trial: Trial, number: int, thing: str) -> None:
    if not trial.sees_requests:
        return
    if any(not request.path.endswith("/chat/completions") for request in trial.requests):
        raise NotYet("What reached the server is no question to a model.")
    if len(trial.requests) != number:
        twice = len(trial.requests) > number
        raise NotYet(
            f"It takes one request a {thing}: {number} here.",
            "Await once, and keep what it gives in a name." if twice else "",
        )


async def _expect_a_mistake_to_come_out(trial: Trial) -> None:
    """Let each call fail as a mistake in the code does, and see who hears of it."""
    with _calls_that_fail() as calls:
        try:
            result = await trial.run_awaited(TEXTS[0])
        except NotYet:
            result = None
        else:
            if calls:
                raise NotYet(
                    "The summaries come. But then I let the call fail with a TypeError, as a "
                    f"mistake in the code does: after {_tries(len(calls))} it "
                    f"returned {describe(result)}. `except Exception` still hides the one "
                    "sentence that says what is wrong.",
                    "The client is right now. What keeps the error from the caller? It can go.",
                )
    if len(calls) > 1:
        raise NotYet(
            "The summaries come. But then I let the call fail with a TypeError, as a mistake in "
            f"the code does, and it was tried {len(calls)} times. Trying again mends no mistake.",
            "The client is right now. Take the loop away: the SDK tries again where that helps.",
        )


_failing: ContextVar[list[None] | None] = ContextVar("_failing", default=None)


@contextmanager
def _calls_that_fail() -> Iterator[list[None]]:
    """Let the SDK's chat calls fail that this context makes; count them in the list it yields."""
    calls: list[None] = []
    create, create_async = Completions.create, AsyncCompletions.create

    def fails() -> bool:
        if _failing.get() is not calls:  # another task's call
            return False
        calls.append(None)
        return True

    def failing(*arguments: Any, **options: Any) -> Any:
        if fails():
            raise TypeError("a mistake in the code")
        return create(*arguments, **options)

    async def failing_async(*arguments: Any, **options: Any) -> Any:
        if fails():
            raise TypeError("a mistake in the code")
        return await create_async(*arguments, **options)

    token = _failing.set(calls)
    try:
        with (
            patch.object(Completions, "create", failing),
            patch.object(AsyncCompletions, "create", failing_async),
        ):
            yield calls
    finally:
        _failing.reset(token)


def _tries(number: int) -> str:
    return "one try" if number == 1 else f"{number} tries"
