"""Lesson 07: callers that await, and a book by parts of which one fails."""

import asyncio
import inspect
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from openai import APIStatusError

from helpers import observe
from helpers.checks.exercise import NotYet, Trial, count, describe, register, shorten
from helpers.checks.failures import lost_connection, refused
from helpers.clients import async_client, model

TEXTS = (
    "The semaphore has three places. A fourth task waits until one of the three is done.",
    "Too short to shorten.",
    "The loop runs one task at a time. Whoever waits for the network lets another one run.",
    "A stream is read while it is written. A whole answer is read when the last word is there.",
)
"""One of them is under the thirty characters that a summary begins at."""

PAID = 3


@register(
    "07-1",
    hints=(
        "An f-string takes whatever it is given and writes down its repr. What was it given?",
        "Start at the bottom: `heading` has to await `extract_summary`. Then look who calls it.",
        "`async def heading`, with `await` inside the f-string's braces; in `digest`, "
        "`return await asyncio.gather(*(heading(text) for text in texts))`.",
    ),
)
async def every_floor_awaits(trial: Trial) -> str:
    headings = _items(await trial.run_awaited(list(TEXTS)), "digest", "headings")
    for heading in headings:
        if inspect.iscoroutine(heading):
            heading.close()
    if any(map(inspect.iscoroutine, headings)):
        raise NotYet("digest returned coroutines: heading has become async, and nobody awaits it.")
    odd = [heading for heading in headings if not isinstance(heading, str)]
    if odd:
        raise NotYet(f"Each heading should be a text; one is {describe(odd[0])}.")
    for heading in headings:
        if "<coroutine object" in heading:
            raise NotYet(f"A heading reads {shorten(heading)!r}: the repr of a call not started.")
    if len(headings) != len(TEXTS):
        raise NotYet(f"{len(TEXTS)} texts went in, {count(len(headings), 'heading')} came out.")
    if headings[1] != f"* {TEXTS[1]}":
        raise NotYet(
            f"Second in the list was a text too short to shorten; second in the result is "
            f"{describe(headings[1])}. A heading is '* ' and the summary, in the texts' order."
        )
    if not all(heading.startswith("* ") and heading[2:].strip() for heading in headings):
        raise NotYet("A heading is '* ' and a summary; one lacks either.")
    if trial.sees_requests:
        requests = trial.requests
        if len(requests) != PAID:
            raise NotYet(f"{PAID} texts are long enough for a summary; each needs one request.")
        peak = observe.peak_in_flight(requests)
        if peak == 1:
            raise NotYet("The summaries came one after another. They can be under way together.")
        if peak < PAID:
            raise NotYet(f"At most {peak} of the {PAID} requests were in flight at a time.")
        _each_of_its_own_text(headings, await _mock_summaries())
    return f"{len(headings)} headings in order; the short text needed no request."


def _each_of_its_own_text(headings: list[str], summaries: list[str]) -> None:
    seen = [" ".join(heading[2:].split()) for heading in headings]
    if sorted(seen) == sorted(summaries) and seen != summaries:
        raise NotYet("All headings are there, in another order than their texts.")
    for number, (one, summary) in enumerate(zip(seen, summaries, strict=True), 1):
        if one != summary:
            raise NotYet(
                f"Heading {number} reads {shorten(one)!r}; the summary of text {number} is "
                f"{shorten(summary)!r}."
            )


async def _mock_summaries() -> list[str]:
    """Ask the mock server, which says the same each time; not as requests of the answer's."""
    headers = {"x-mock-client": "check", "x-mock-pace": "0.01"}
    async with async_client(default_headers=headers) as client:

        async def one(text: str) -> str:
            answer = await client.chat.completions.create(
                model=model(),
                messages=[
                    {"role": "system", "content": "Summarise the text."},
                    {"role": "user", "content": text},
                ],
            )
            return " ".join((answer.choices[0].message.content or "").split())

        return await asyncio.gather(*map(one, TEXTS))


PARTS = tuple(f"Part {number}. Count to {number % 4 + 3}." for number in range(1, 9))
"""Of different lengths, so that they end in an order that is not their own."""

UNLUCKY = 3
"""The part whose first two tries fail: the last try it may have must be used."""

AT_ONCE = 3
TRIES = 3

WAIT = 0.05
"""Seconds that make a wait before a new try: more than the loop takes to come round to it, and
less than anybody would write."""

MOST_TRIES = 2 * TRIES
"""After so many a failing part answers: an answer that would go on for ever comes to its end."""

BRIEF = 16
"""Tokens: enough to count to six. A slow model of a learner's own has eight answers to write."""


@register(
    "07-2",
    hints=(
        "What is repeated here: the part that failed, or everything?",
        "Write an inner `async def one(part)` that takes a place of a semaphore and holds the "
        "tries for its part. A `TaskGroup` runs `one` for all parts: it leaves none under way.",
        "Inside `async with places:` go through `for wait in (0.1, 0.2, 0):`; `return await "
        "summarise(part)` under a `try`; on `(APIConnectionError, RateLimitError, "
        "InternalServerError)`, and on nothing else, keep the error; then sleep so long. When no "
        "try is left, return the error.",
    ),
)
async def only_what_failed_is_asked_again(trial: Trial) -> str:
    tries: Counter[str] = Counter()
    answers: dict[str, str] = {}
    failed: list[float] = []
    waited: list[float] = []
    under_way = most_under_way = 0

    async def summarise(part: str) -> str:
        nonlocal under_way, most_under_way
        tries[part] += 1
        if tries[part] > MOST_TRIES:
            return part
        under_way += 1
        most_under_way = max(most_under_way, under_way)
        try:
            if part == PARTS[UNLUCKY]:
                waited.extend(time.monotonic() - before for before in failed[-1:])
                if tries[part] < TRIES:
                    await asyncio.sleep(0)  # as any call, it lets others run first
                    failed.append(time.monotonic())
                    raise lost_connection()
            answer = await client.chat.completions.create(
                model=model(),
                messages=[{"role": "user", "content": part}],
                max_completion_tokens=BRIEF,
            )
        finally:
            under_way -= 1
        answers[part] = f"{part} {answer.choices[0].message.content}"
        return answers[part]

    client = async_client().with_options(max_retries=0)  # as the lesson says of `summarise`
    try:
        returned = await trial.run_awaited(list(PARTS), summarise)
    except NotYet as verdict:
        tried = tries[PARTS[UNLUCKY]]
        if not 0 < tried < TRIES or verdict.__context__ is None:
            raise
        raise NotYet(
            f"Part {UNLUCKY + 1} was tried {count(tried, 'time')}, and patiently gave up; it "
            f"answers at try {TRIES}."
        ) from None
    again = sum(number - 1 for part, number in tries.items() if part != PARTS[UNLUCKY])
    if again:
        raise NotYet(
            f"Only part {UNLUCKY + 1} failed, yet {count(again, 'call')} asked anew for parts "
            f"that had not."
        )
    if most_under_way > AT_ONCE:
        raise NotYet(f"{most_under_way} calls were under way at once; {AT_ONCE} are the bound.")
    result = _items(returned, "patiently", "summaries")
    if any(isinstance(each, BaseException) for each in result):
        raise NotYet(
            f"Among the summaries is an error: part {UNLUCKY + 1} was tried "
            f"{count(tries[PARTS[UNLUCKY]], 'time')}, and answers at the third."
        )
    _in_order(result, answers)
    if most_under_way == 1:
        raise NotYet(f"The parts came one after another; {AT_ONCE} may be under way at once.")
    if min(waited) < WAIT:
        raise NotYet(
            f"Part {UNLUCKY + 1} failed, and was asked for again at once. A server that is down, "
            f"or full, is so a moment later too: wait a little before a new try."
        )
    await _gives_up(trial)
    await _mends_no_mistake(trial)
    await _ends_when_cancelled(trial)
    return (
        f"{len(PARTS)} summaries in order, each asked for once and part {UNLUCKY + 1} three times; "
        f"at most {most_under_way} calls at once."
    )


def _in_order(result: list[object], answers: dict[str, str]) -> None:
    expected = [answers.get(part) for part in PARTS]
    if result == expected:
        return
    if Counter(map(repr, result)) == Counter(map(repr, expected)):
        raise NotYet("All summaries are there, in another order than their parts.")
    lost = sum(each not in result for each in expected)
    raise NotYet(f"{lost} of the {len(PARTS)} summaries are not in the result.")


LONGER = 0.2
"""Seconds for a call that does not fail: it is under way when another has failed for good."""


async def _gives_up(trial: Trial) -> None:
    """A part that never answers must not be asked for ever, nor be lost in silence."""
    for error in (lost_connection(), refused(429), refused(503)):
        tries = await _tries_of_a_part_that_fails(trial, error)
        if tries != TRIES:
            more = f"{count(tries, 'time')}{' and more' if tries > MOST_TRIES else ''}"
            raise NotYet(
                f"A part that fails each time with {_named(error)} was tried {more}; it should be "
                f"{TRIES} times."
            )


async def _mends_no_mistake(trial: Trial) -> None:
    """No second try mends a request that is wrong, nor an error that is none of the API's."""
    for error in (refused(400), refused(401), refused(404), ValueError("no such part")):
        if await _tries_of_a_part_that_fails(trial, error) != 1:
            raise NotYet(
                f"A part raised {_named(error)}, which no second try mends, and was tried again. "
                f"Catch only what may pass: a lost connection, a timeout, 429, 5xx."
            )


def _named(error: Exception) -> str:
    """Return the error's name, with its status if it has one."""
    status = f" ({error.status_code})" if isinstance(error, APIStatusError) else ""
    return f"{type(error).__name__}{status}"


async def _tries_of_a_part_that_fails(trial: Trial, error: Exception) -> int:
    """Return how often a part was tried that raises this error each time, beside two that answer.

    Raises:
        NotYet: the error was neither raised nor put into the part's place, or calls went on.
    """
    tries = under_way = 0

    async def summarise(part: str) -> str:
        nonlocal tries, under_way
        under_way += 1
        try:
            if part != PARTS[0]:
                await asyncio.sleep(LONGER)
                return part
            tries += 1
            await asyncio.sleep(0)
            if tries <= MOST_TRIES:
                raise error
            return part
        finally:
            under_way -= 1

    result = None
    try:
        result = await trial.run_awaited(list(PARTS[:AT_ONCE]), summarise)
    except NotYet as verdict:  # that it raises is as it should be
        _is_the_error(verdict.__context__, error)
    await asyncio.sleep(0)  # calls that were cancelled end in this turn
    name = type(error).__name__
    if under_way:
        raise NotYet(
            f"A part failed for good with {name}, and when patiently ended {under_way} other calls "
            f"were still under way: paid for, and nobody gets their answers."
        )
    if result is not None and tries <= MOST_TRIES:
        _shows_the_error(_items(result, "patiently", "summaries"), name)
    return tries


def _is_the_error(raised: BaseException | None, error: Exception) -> None:
    kind = type(error)
    if isinstance(raised, BaseExceptionGroup) and raised.subgroup(kind):
        return
    if not isinstance(raised, kind):
        raise NotYet(
            f"A part failed for good with {kind.__name__}; what patiently raised is "
            f"{type(raised).__name__}: {raised}"
        ) from None


def _shows_the_error(result: list[object], error: str) -> None:
    if len(result) < AT_ONCE:
        raise NotYet(f"A part failed for good with {error}, and the result leaves it out.")
    if not isinstance(result[0], BaseException):
        raise NotYet(
            f"A part failed for good with {error}; in its place is {describe(result[0])}, and "
            f"nobody sees the error."
        )


async def _ends_when_cancelled(trial: Trial) -> None:
    """Whoever stops the run must not find that it takes this for one more failure."""
    tries: Counter[str] = Counter()
    begun = asyncio.Event()

    async def summarise(part: str) -> str:
        tries[part] += 1
        begun.set()
        if tries[part] == 1:
            await asyncio.sleep(LONGER)
        return part

    run = asyncio.create_task(trial.run_awaited(list(PARTS[:AT_ONCE]), summarise))
    await begun.wait()
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    if not run.cancelled() or max(tries.values()) > 1:
        raise NotYet(
            "patiently was cancelled and did not end as cancelled: something in it caught the "
            "CancelledError. Catch errors of the API alone."
        )


def _items(returned: object, function: str, things: str) -> list[Any]:
    if isinstance(returned, str | bytes) or not isinstance(returned, Sequence):
        raise NotYet(f"{function} should return a list of {things}; not {describe(returned)}.")
    return list(returned)
