"""Lesson 08: beginnings that are left in time, and an answer replayed over schedules of faults."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Literal, get_args

import httpx2
from openai import AsyncOpenAI

from helpers import observe
from helpers.checks.exercise import NotYet, Trial, count, describe, off_the_loop, register, shorten
from helpers.checks.hooked import hooked_client
from helpers.clients import async_client, model

AT_ONCE = "dial=1,first=0,gap=0"
"""The mock server's pace where nothing is to be seen of the time."""

OVER = 0.5
"""Seconds beyond a deadline that an answer may end: a busy machine is late, a lost one is later."""


NOTICES = 0.4
"""Seconds for the server to notice a hang-up, at its next token: four times the longest gap."""


async def _requests(after: int) -> tuple[observe.Request, ...]:
    """Return the requests since that id, with the loop left free for streams to close."""
    return (await off_the_loop(observe.journal, after, NOTICES)).requests


def _latest() -> int:
    return max((request.id for request in observe.journal().requests), default=0)


async def _whole(*questions: str) -> list[str]:
    """Ask the mock server, which says the same each time; not as requests of the answer's."""

    async def one(question: str) -> str:
        answer = await async_client().chat.completions.create(
            model=model(),
            messages=[{"role": "user", "content": question}],
            extra_headers={"x-mock-client": "check", "x-mock-pace": "0"},
        )
        return answer.choices[0].message.content or ""

    return await asyncio.gather(*map(one, questions))


# --- 08-1: left in time -----------------------------------------------------------------------

QUESTIONS = (
    "Tell me a story.",
    "What is a semaphore?",
    "Why is the sky blue?",
    "What is an event loop?",
)
SILENT, SLOW = QUESTIONS[1], QUESTIONS[3]
"""In the second round one answer goes silent, and one comes a word at a time."""

LONG = "dial=1,first=0.03,gap=0.005,tokens=400"
"""A first sentence is there after 0.15 s, the end of the answer after two: no two are confused."""

TRICKLE = "dial=1,first=0.02,gap=0.1"
"""No wait is long, and the whole takes five seconds."""

AMPLE = 3.0
HASTY = 0.4
"""Seconds that the two rounds allow: for all the sentences, and for those that come."""


@register(
    "08-1",
    hints=(
        "What does `break` leave, and what does it not? And who waits for whom?",
        "Write `async def opening` for one question, its stream in an `async with`, and gather "
        "as many as there are questions. What bounds the silent one, and the one that trickles?",
        "In `opening`: `async with asyncio.timeout(seconds):` around `async with await "
        "client.chat.completions.create(…, stream=True) as stream:` and its loop; `return` the "
        "sentence from inside; on `TimeoutError`, None.",
    ),
)
async def leaves_when_it_has_enough(trial: Trial) -> str:
    found, requests = await _openings(trial, AMPLE)
    if not trial.sees_requests:
        return f"{len(found)} beginnings came back."
    sentences = [whole[: whole.find(".") + 1] for whole in await _whole(*QUESTIONS)]
    _expect_sentences(found, sentences)
    if len(requests) != len(QUESTIONS):
        raise NotYet(f"{len(QUESTIONS)} questions went out as {count(len(requests), 'request')}.")
    _expect_left(requests)
    peak = observe.peak_in_flight(requests)
    # Of those asked in a row, two may overlap: the server has yet to notice that one was left.
    by_arrival = pairwise(sorted(requests, key=lambda request: request.arrived))
    if peak <= 2 and all(
        later.arrived > min(one.tokens, default=later.arrived) for one, later in by_arrival
    ):
        raise NotYet("The questions were asked one after another. They can all be asked at once.")
    if peak < len(QUESTIONS):
        raise NotYet(f"At most {peak} of {len(QUESTIONS)} requests were under way at a time.")
    wanted = [
        None if question in (SILENT, SLOW) else sentence
        for question, sentence in zip(QUESTIONS, sentences, strict=True)
    ]
    found, requests = await _openings(trial, HASTY, SILENT, SLOW)
    _expect_sentences(found, wanted)
    _expect_left(requests)
    return (
        f"{len(QUESTIONS)} beginnings, and the server stopped in the middle of each answer. One "
        f"that fell silent and one that trickled were left at the deadline."
    )


async def _openings(
    trial: Trial, seconds: float, *late: str
) -> tuple[list[object], tuple[observe.Request, ...]]:
    """Run the answer, with a server that is late with some; return its list and its requests."""

    async def hook(request: httpx2.Request) -> None:
        request.headers["x-mock-pace"] = LONG
        if any(question.encode() in request.content for question in late):
            request.headers["x-mock-pace"] = TRICKLE
            if SILENT.encode() in request.content:
                request.headers["x-mock-fault"] = "stall; after=3"

    before = _latest()
    async with hooked_client(hook) as client:
        try:
            async with asyncio.timeout(seconds + OVER):
                found = await trial.run_awaited(client, list(QUESTIONS), seconds)
        except TimeoutError:
            raise NotYet(
                f"It had {seconds:g} seconds, and was not back after {seconds + OVER:g}: a server "
                f"that falls silent, or trickles, holds it up."
            ) from None
        # Before the client's end, which would close what was left open.
        requests = await _requests(before) if trial.sees_requests else ()
    if not isinstance(found, list | tuple):
        raise NotYet(f"openings returned {describe(found)}, where a list was wanted.")
    if len(found) != len(QUESTIONS):
        raise NotYet(f"{len(QUESTIONS)} questions were asked; {len(found)} beginnings came back.")
    return list(found), requests


def _expect_sentences(found: Sequence[object], wanted: Sequence[str | None]) -> None:
    if found == wanted:
        return
    if Counter(map(repr, found)) == Counter(map(repr, wanted)):
        raise NotYet("All beginnings are there, in another order than their questions.")
    for number, (one, sentence) in enumerate(zip(found, wanted, strict=True), 1):
        if one != sentence:
            expected = "None: it never came" if sentence is None else repr(shorten(sentence))
            raise NotYet(
                f"In place {number} stands {describe(one)}; its first sentence is {expected}."
            )


def _expect_left(requests: tuple[observe.Request, ...]) -> None:
    on = sum(request.outcome != "abandoned" for request in requests)
    if on:
        raise NotYet(
            f"It had what it wanted, and the server wrote on in {on} of {len(requests)} answers: "
            f"their streams were left open."
        )


# --- 08-2: twenty schedules -------------------------------------------------------------------

QUESTION = "Write a haiku."
"""Eighteen tokens: twenty answers and their retries take little of a machine."""

PASSING = (
    "503",
    "429",
    "500",
    "409",
    "html",
    "empty",
    "not-sse",
    "bad-utf8; after=0",
    "disconnect; after=0",
)
"""A try that gives nothing, and after which another may give an answer."""

WHOLE = ("", "null-choices; after=5", "no-choices", "null-delta")
EMPTY = "an empty answer"
"""No fault of the mock server's: its answer is cut before the first character, and says "stop"."""
BROKEN = ("disconnect", "no-done", "error-event", "bad-json")
TOO_LATE = "429; retry-after=10"
"""Less than `wait_before_retry` waits, and more than the time that there is."""
HOPELESS = (
    "error-event; after=0; code=context_length_exceeded",
    "quota; retry-after=0.01",
    "401",
    TOO_LATE,
)
ENDED = ("content-filter; after=6", "reasoning-only", "refusal")
SILENCES = ("stall; after=4", "trickle")
"""How the last try of a schedule may go; `trickle` is a pace. One schedule more fails until no try
is left, and in another one the reader leaves."""

TRIES = 3

LEAST_PIECES = 5
"""A text that comes in as many is being written as it comes; the answer has 18 tokens."""

SECONDS = 4.0
"""What schedules without a silence allow: three tries with the SDK's waits take two."""

SHORT = 0.4
"""What those with a silence allow, in seconds."""

HURRIED = 2.0
"""What is left where the server asks for more: enough for two tries and the SDK's wait."""

Kind = Literal["whole", "broken", "hopeless", "ended", "silent", "left", "spent"]
Loss = Literal["lost", "doubled", "overpaid", "hung"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """What the server does at each try of one answer, and which kind of end that makes."""

    faults: tuple[str, ...]
    kind: Kind

    @property
    def seconds(self) -> float:
        if self.kind == "silent":
            return SHORT
        return HURRIED if self.faults[-1] == TOO_LATE else SECONDS

    @property
    def requests(self) -> int:
        """How many requests the answer is worth."""
        return min(len(self.faults), TRIES)

    def __str__(self) -> str:
        tries = [fault or "an answer" for fault in self.faults]
        return ", then ".join(tries) + (", and the reader leaves" if self.kind == "left" else "")


def schedules() -> tuple[Schedule, ...]:
    """Return the twenty, the same ones each time."""
    ends: list[tuple[Kind, str]] = [
        *(("whole", fault) for fault in WHOLE),
        ("ended", EMPTY),
        *(("broken", fault) for fault in BROKEN),
        *(("hopeless", fault) for fault in HOPELESS),
        *(("ended", fault) for fault in ENDED),
        *(("silent", fault) for fault in SILENCES),
        ("left", "trickle"),
        ("spent", ""),
    ]
    return tuple(_schedule(Random(seed), kind, fault) for seed, (kind, fault) in enumerate(ends))


def _schedule(dice: Random, kind: Kind, last: str) -> Schedule:
    before = {
        "whole": dice.randrange(1, TRIES),
        "silent": 0,  # a deadline is short, and nobody's waits are to use it up
        "left": 0,
        "spent": TRIES,
    }.get(kind, dice.randrange(TRIES - 1))  # one try is left, for those who would take it
    if kind == "broken":
        last += f"; after={dice.randrange(3, 10)}"
    return Schedule((*dice.sample(PASSING, before), last), kind)


@dataclass(slots=True, repr=False)
class _Run:
    """One schedule as it went."""

    schedule: Schedule
    whole: str
    """The answer, where nothing fails."""
    written: list[str] = field(default_factory=list)
    asked: int = 0
    request_ids: list[str] = field(default_factory=list)
    raised: BaseException | None = None
    returned: bool = False
    hung: bool = False

    @property
    def text(self) -> str:
        return "".join(self.written)

    def wear(self, request: httpx2.Request) -> None:
        """Give a request the fault of its turn."""
        faults = self.schedule.faults
        fault = faults[self.asked] if self.asked < len(faults) else ""
        self.asked += 1
        request.headers["x-mock-pace"] = TRICKLE if fault == "trickle" else AT_ONCE
        if fault == EMPTY:
            _stop_at(request, self.whole[0])
        elif fault not in ("", "trickle"):
            request.headers["x-mock-fault"] = fault


def _stop_at(request: httpx2.Request, sequence: str) -> None:
    """Have the answer cut before its first such sequence."""
    asked = {**json.loads(request.content), "stop": sequence}
    other = httpx2.Request(request.method, request.url, json=asked)
    request.headers["content-length"] = other.headers["content-length"]
    request.stream = other.stream


@register(
    "08-2",
    hints=(
        "When may you ask again: what must not have happened yet, and what must the error be?",
        "`one_try` shows the whole text each time. Make a `show` of your own that writes what "
        "is new in it and remembers what is written. Around the tries: a deadline; and when the "
        'model has ended otherwise than by "stop", an error outside of the loop that retries.',
        "`once = client.with_options(max_retries=0)`. In `async with asyncio.timeout(seconds) as "
        "deadline:` go through `for wait in (0.1, 0.2, None):`; `text, ended = await "
        "one_try(once, messages, show)` and `break` under a `try`; on `MAY_BREAK`: `raise` if "
        "anything is written, if `wait` is None, if `wait_before_retry(error, wait)` is, or if so "
        "long a wait would end after `deadline.when()`; else sleep so long. After the loop: "
        '`if ended != "stop" or not text: raise Broken(…)`.',
    ),
)
async def survives_twenty_schedules(trial: Trial) -> str:
    if not trial.sees_requests:
        return await _asks_once_where_nothing_fails(trial)
    (whole,) = await _whole(QUESTION)
    runs = [_Run(schedule, whole) for schedule in schedules()]
    by_number = {str(number): run for number, run in enumerate(runs)}

    async def hook(request: httpx2.Request) -> None:
        by_number[request.headers["x-schedule"]].wear(request)

    async def noted(response: httpx2.Response) -> None:
        ids = by_number[response.request.headers["x-schedule"]].request_ids
        ids.append(response.headers.get("x-request-id", ""))

    before = _latest()
    async with hooked_client(hook, noted) as client:
        numbered = [
            client.with_options(default_headers={"x-schedule": number}) for number in by_number
        ]
        ends = await asyncio.gather(
            *(_play(trial, run, one) for run, one in zip(runs, numbered, strict=True)),
            return_exceptions=True,
        )
        # Before the client's end, which would close what was left open.
        requests = await _requests(before)
    for end in ends:
        if end is not None:
            raise end
    on = {request.request_id for request in requests if request.outcome != "abandoned"}
    losses = [_losses(run, on) for run in runs]
    _expect_none(runs, losses)
    needed = sum(schedule.requests for schedule in schedules())
    return (
        f"{len(runs)} schedules of faults: nothing lost, doubled, overpaid or hung. "
        f"{needed} requests, and none of them in vain."
    )


async def _play(trial: Trial, run: _Run, client: AsyncOpenAI) -> None:
    """Run the answer on one schedule, and note what it did.

    Raises:
        NotYet: the answer cannot be called like that, or not awaited.
    """
    schedule = run.schedule

    def write(piece: str) -> None:
        if not isinstance(piece, str):
            raise TypeError(f"write takes a text, not {describe(piece)}")
        run.written.append(piece)
        if schedule.kind == "left" and run.text:
            task.cancel()

    async def called() -> None:
        await trial.run_awaited(client, QUESTION, write, schedule.seconds)

    task = asyncio.create_task(called())
    await asyncio.wait({task}, timeout=schedule.seconds + OVER)
    if not task.done():
        run.hung = True
        task.cancel()
        await asyncio.wait({task}, timeout=OVER)
    if task.cancelled():
        run.raised = asyncio.CancelledError()
    elif task.done() and (verdict := task.exception()) is not None:
        if not isinstance(verdict, NotYet) or verdict.__context__ is None:
            raise verdict
        run.raised = verdict.__context__
    else:
        run.returned = task.done()


def _losses(run: _Run, on: set[str]) -> dict[Loss, str]:
    """Return what went wrong, one of a sort, and what was seen of it.

    `on`: the ids of the requests whose answers the server did not have to break off.
    """
    schedule, text, whole = run.schedule, run.text, run.whole
    found: list[tuple[Loss, str]] = []
    if not whole.startswith(text) and schedule.faults[-1] != "refusal":
        if text.count(whole[:8]) > 1:
            found.append(("doubled", "the beginning stands there twice"))
        else:
            found.append(("lost", f"what is written is no beginning of the answer: {text[:20]!r}"))
    elif schedule.kind == "whole":
        found += _losses_of_a_whole_answer(run)
    elif schedule.kind in ("broken", "silent", "left") and not text:
        found.append(("lost", "nothing is written of what had come"))
    if run.returned and schedule.kind != "whole" and run.asked <= schedule.requests:
        found.append(("lost", f"returned as if all were written, {len(text)} characters"))
    if schedule.kind == "left" and not isinstance(run.raised, asyncio.CancelledError):
        found.append(("hung", "was cancelled, and did not end as cancelled"))
    if run.asked < schedule.requests:
        given_up = f"gave up after {count(run.asked, 'request')}"
        found.append(("lost", given_up + (f": {_said(run.raised)}" if run.raised else "")))
    if run.asked > schedule.requests:
        found.append(("overpaid", f"{run.asked} requests, worth {schedule.requests}"))
    elif schedule.kind in ("silent", "left") and on.intersection(run.request_ids):
        found.append(("overpaid", "ended, and the server wrote on"))
    if run.hung:
        found.append(("hung", f"had {schedule.seconds:g} seconds, and went on"))
    elif schedule.faults[-1] == TOO_LATE and isinstance(run.raised, TimeoutError):
        slept = f"slept {schedule.seconds:g} seconds away, and its TimeoutError hides the 429"
        found.append(("hung", slept))
    return dict(reversed(found))  # the first of a sort says most


def _losses_of_a_whole_answer(run: _Run) -> Iterator[tuple[Loss, str]]:
    if run.text != run.whole:
        raised = f", and raised {_said(run.raised)}" if run.raised else ""
        yield "lost", f"wrote {len(run.text)} of {len(run.whole)} characters{raised}"
    elif run.raised:
        yield "lost", f"all is written, and it raised {_said(run.raised)}"
    elif sum(map(bool, run.written)) < LEAST_PIECES:
        yield "hung", "nothing was to be seen before the end"


def _said(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {shorten(str(error), 60)}"


def _expect_none(runs: list[_Run], losses: list[dict[Loss, str]]) -> None:
    """Make sure that nothing went wrong.

    Raises:
        NotYet: it did; how often, by sort, and the first of each sort.
    """
    if not any(losses):
        return
    lines = [f"{sum(not seen for seen in losses)} of {len(runs)} schedules went well."]
    for sort in get_args(Loss):
        of_it = [(run, seen[sort]) for run, seen in zip(runs, losses, strict=True) if sort in seen]
        if of_it:
            run, what = min(of_it, key=lambda each: len(each[0].schedule.faults))
            lines.append(f"{sort} in {len(of_it)}. For one, {run.schedule}: {what}.")
    raise NotYet("\n".join(lines))


async def _asks_once_where_nothing_fails(trial: Trial) -> str:
    """Judge by results an answer at an endpoint that plays no faults."""
    written: list[str] = []
    asked = 0

    async def hook(_: httpx2.Request) -> None:
        nonlocal asked
        asked += 1

    async with hooked_client(hook) as client:
        try:
            await trial.run_awaited(client, QUESTION, written.append, AMPLE)
        except NotYet as verdict:
            # A model's end other than "stop" is to be raised, a mistake in the program is not.
            mistake = verdict.__context__
            if mistake is None or isinstance(mistake, NameError | TypeError | AttributeError):
                raise
    if not "".join(written):
        raise NotYet("Nothing was written.")
    if asked != 1:
        raise NotYet(f"One answer, and {asked} requests.")
    return f"{len(written)} pieces of one answer, for one request."
