"""Lesson 03's checks: was the call awaited, how often was the server asked, and by which client?"""

import asyncio
import inspect

from helpers.checks.at_once import expect_no_printed_form
from helpers.checks.exercise import NotYet, Trial, count, describe, describe_call, register
from helpers.observe import peak_in_flight

GAVE_UP = "(no summary)"
"""What the starter of 03-2 returns when each of its tries has failed."""

TEXTS = (
    "The sky is blue because air scatters blue light more than red.",
    "The sea is salty because rivers carry salts to it and only water leaves.",
)
"""Two, as what blocks shows itself only where something else could go on."""


@register(
    "03-1",
    hints=(
        "The error names an attribute that a coroutine lacks. Which line made the coroutine?",
        "Calling create() of the async client only prepares the call. One word starts it.",
        "Put await in front of client.chat.completions.create(…), inside the async def.",
    ),
)
async def capital_of(trial: Trial) -> str:
    result = await _text_for(trial, "France")
    _expect_requests(trial, 1, "question")
    told = f"{len(result)} characters of text came back"
    if not trial.sees_requests:
        return f"{told}."
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
    summaries = await asyncio.gather(*(_text_for(trial, text) for text in TEXTS))
    gave_up = summaries.count(GAVE_UP)
    if gave_up:
        raise NotYet(f"{gave_up} of {count(len(TEXTS), 'text')} came back as {GAVE_UP!r}.")
    _expect_requests(trial, len(TEXTS), "text")
    if not trial.sees_requests:
        return f"{len(TEXTS)} texts were summarised."
    if peak_in_flight(trial.requests) < len(TEXTS):
        raise NotYet(
            "The second request arrived only after the first had ended: "
            "the call holds the event loop while it waits."
        )
    return "2 texts, 2 requests, and both were under way at once."


async def _text_for(trial: Trial, argument: str) -> str:
    """Return the text that the answer gives for `argument`, once awaited."""
    result = await trial.run(argument)
    call = describe_call(trial.answer, (argument,))
    if inspect.iscoroutine(result):
        what = describe(result)
        result.close()
        raise NotYet(f"{call} gave {what}. Its body never ran.")
    if not inspect.iscoroutinefunction(trial.answer):
        raise NotYet(f"{call} gave its result at once: callers cannot await it. Keep async def.")
    if not isinstance(result, str):
        raise NotYet(
            f"{call} should return the text of the answer; it returned {describe(result)}."
        )
    if "<coroutine object" in result:
        raise NotYet(f"{call} returned a coroutine's repr as its text: the call never started.")
    if not result.strip():
        raise NotYet(f"{call} returned an empty text.")
    expect_no_printed_form(call, result)
    return result


def _expect_requests(trial: Trial, number: int, thing: str) -> None:
    if not trial.sees_requests:
        return
    if any(not request.path.endswith("/chat/completions") for request in trial.requests):
        raise NotYet("What reached the server is no question to a model.")
    if len(trial.requests) != number:
        raise NotYet(f"It takes one request a {thing}: {number} here.")
