"""Lesson 13's checks: did the workers ask, and is each line of a batch accounted for?

dask.distributed is loaded when the first exercise is checked: only that lesson needs it.
"""

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from statistics import median
from typing import Any

from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from openai.types import Batch

from helpers.checks.exercise import NotYet, Trial, count, describe, register
from helpers.checks.likely import explaining
from helpers.clients import async_client, model
from helpers.heartbeat import Heartbeat

QUESTIONS = tuple(f"Count to {number}." for number in ("six", "two", "five", "three", "four"))

MAX_TOKENS = 20
"""Enough for the mock server's words on most of them, and few for a small real model's patience."""

PATIENCE = 5.0
"""Seconds for a batch to be waited for and fetched: the slowest here takes one."""


class _Seen:
    """What the check's `ask` was called with. The workers are threads of this process: they share
    it, where a number of their own would be pickled into the task."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.loop = loop
        self.calls: Counter[str] = Counter()
        self.elsewhere = self.on_other_loops = 0
        self.under_way = self.most = 0
        self.answers: dict[str, str] = {}


_seen = _Seen()


async def ask(question: str) -> str:
    """Ask the endpoint; this is the `ask` that an answer to 13-1 is given.

    Raises:
        RuntimeError: it runs on another loop than the workers', which are threads of this process.
            A client used there fails now and then, and leaves sockets that nobody can close.
    """
    if asyncio.get_running_loop() is not _seen.loop:
        _seen.on_other_loops += 1
        raise RuntimeError("the worker's client is bound to a different event loop")
    from distributed import get_worker

    try:
        get_worker()
    except ValueError:  # called in the notebook itself
        _seen.elsewhere += 1
    _seen.calls[question] += 1
    _seen.under_way += 1
    _seen.most = max(_seen.most, _seen.under_way)
    try:
        reply = await async_client().chat.completions.create(
            model=model(),
            messages=[{"role": "user", "content": question}],
            max_tokens=MAX_TOKENS,
        )
    finally:
        _seen.under_way -= 1
    _seen.answers[question] = reply.choices[0].message.content or ""
    return _seen.answers[question]


@asynccontextmanager
async def _engine() -> AsyncIterator[Any]:
    """A cluster of two workers in this process, up in a tenth of a second."""
    if find_spec("distributed") is None:
        raise NotYet("dask.distributed is not installed: python -m pip install distributed")
    from distributed import Client, LocalCluster

    async with (
        LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=2,
            threads_per_worker=4,
            processes=False,
            dashboard_address="127.0.0.1:0",
            asynchronous=True,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster, asynchronous=True, set_as_default=False) as engine,  # type: ignore[no-untyped-call]
    ):
        with engine.as_current():  # `wait` and `as_completed` ask for it; a notebook has another
            yield engine


@register(
    "13-1",
    hints=(
        "What does the lambda return, and who awaits it?",
        "An engine awaits an `async def` that it is handed. It does not await what a plain "
        "function returns. And whose call is `future.result()`, with `asynchronous=True`?",
        "`engine.map(ask, questions)` gives the futures, `await engine.gather(futures)` their "
        "results, in order.",
    ),
)
async def asks_on_the_workers(trial: Trial) -> str:
    global _seen
    _seen = _Seen(asyncio.get_running_loop())
    async with _engine() as engine:
        with explaining(trial):
            try:
                answers = await trial.run_awaited(engine, ask, list(QUESTIONS))
            except NotYet as verdict:
                if _seen.on_other_loops:
                    raise NotYet(f"{verdict}\n{ITS_LOOP}") from None
                if "Could not serialize object of type coroutine" in str(verdict):
                    raise NotYet(
                        "The tasks returned coroutines, calls that have not started, and a "
                        "coroutine cannot be sent back from a worker."
                    ) from None
                raise
        _judge_asked(answers)
    asked = len(QUESTIONS)
    return f"{asked} questions, asked once each on the workers, {_seen.most} at a time; in order."


ITS_LOOP = "The worker's client belongs to the worker's loop: hand over the async def itself."


def _judge_asked(answers: object) -> None:
    if _seen.on_other_loops:
        raise NotYet(f"ask ran on another event loop than the worker's.\n{ITS_LOOP}")
    if not isinstance(answers, list | tuple):
        raise NotYet(f"run returned {describe(answers)}, where a list was wanted.")
    odd = next((answer for answer in answers if not isinstance(answer, str)), None)
    if odd is not None:
        kind = f"The list holds {describe(odd)}, where texts were wanted."
        if not _seen.calls:
            kind += "\nAnd ask never ran: the tasks are finished, and no question was asked."
        raise NotYet(kind)
    if len(answers) != len(QUESTIONS):
        raise NotYet(f"{len(QUESTIONS)} questions, and {count(len(answers), 'answer')}.")
    if _seen.elsewhere:
        raise NotYet(
            f"{_seen.elsewhere} of {len(QUESTIONS)} questions were asked here, in the notebook's "
            "process; the workers are to ask them."
        )
    for question in QUESTIONS:
        if _seen.calls[question] != 1:
            raise NotYet(f"{question!r} was asked {count(_seen.calls[question], 'time')}.")
    if list(answers) != [_seen.answers[question] for question in QUESTIONS]:
        raise NotYet("The answers do not stand in the order of the questions.")
    if _seen.most == 1:
        raise NotYet("Each question waited for the one before; the workers can ask all at once.")


# --- 13-2 -------------------------------------------------------------------------------------

PROMPTS = {
    "storm": ("Tell me of the storm.", 24),
    "wrong": ("Tell me of nothing.", -1),
    "sea": ("Tell me of the sea.", 12),
    "unlucky": ("Tell me of luck.", 20),
    "sun": ("Tell me of the sun.", 3),
    "moon": ("Tell me of the moon.", 6),
}
"""By `custom_id`: what is asked, and how many tokens the answer has, so that they end in an order
that is not their own; one is refused."""

UNLUCKY = "unlucky"
"""A model of this name meets the server's faults."""

AFTER = 3
"""Lines that are done when the second batch expires."""

OVER = ("completed", "failed", "expired", "cancelled")

SLOWLY = {"x-mock-pace": "dial=1,first=0.15"}
"""Makes each step of a batch last long enough to be met in it: `validating` among them."""

PAUSE = 0.01
"""Seconds between two looks at a batch that count as a pause: half of the starter's."""

BEAT = 0.002
"""Seconds between beats: a loop that is held through a pause of 0.02 is told by five to ten."""

MOSTLY = 0.8
"""The share of the pauses in which the loop must have been held: a busy machine holds some."""


@dataclass(slots=True)
class _Looks:
    """When an answer asked how far a batch is, and when it was told, on this process's clock."""

    asked: list[float] = field(default_factory=list)
    told: list[float] = field(default_factory=list)

    def client(self, base_url: str) -> AsyncOpenAI:
        """Return a client whose looks are noted here."""

        async def asks(request: Any) -> None:
            if _is_look(request):
                self.asked.append(time.monotonic())

        async def is_told(response: Any) -> None:
            if _is_look(response.request):
                self.told.append(time.monotonic())

        hooks = DefaultAsyncHttpxClient(event_hooks={"request": [asks], "response": [is_told]})
        return AsyncOpenAI(base_url=base_url, api_key="check", max_retries=0, http_client=hooks)

    def pauses(self) -> list[tuple[float, float]]:
        """Return the stretches between a look and the next one."""
        return list(zip(self.told, self.asked[1:], strict=False))


def _is_look(request: Any) -> bool:
    return request.method == "GET" and "/batches" in request.url.path


@register(
    "13-2",
    own_server=True,
    hints=(
        "How can a batch end, and which states come before? In which order do the lines of its "
        "files stand?",
        "`completed`, `failed`, `expired` and `cancelled` are ends. Each line says its "
        "`custom_id`. Either file's id is None where there is no such file. What had no turn "
        "stands in the error file, and its `response` is null; where a batch failed, in neither.",
        "Begin with `again = set(prompts)` and read the lines of both files, where they are there. "
        "Status 200: `answers[told['custom_id']] = …`. With a response whose status is below 500 "
        "and not 429 a line is done: `again.discard(told['custom_id'])`.",
    ),
)
async def accounts_for_each_line(trial: Trial) -> str:
    from helpers.pytest_plugin import running

    looks = _Looks()
    with running(["--pace", "1", "--first", "0", "--gap", "0.003"]) as mock:
        async with (
            AsyncOpenAI(base_url=mock.base_url, api_key="check", max_retries=0) as client,
            looks.client(mock.base_url) as theirs,
        ):
            judge = _Judge(trial, client, theirs)
            mock.batches(side_by_side=len(PROMPTS))
            mock.fail("503", model=UNLUCKY)
            with Heartbeat(BEAT, 2 * BEAT, where=True) as beat:
                new = await _begun(client, PROMPTS, SLOWLY)
                await judge.batch(new, PROMPTS, "One line was refused, one failed")
            _judge_pauses(looks, beat)
            mock.batches(side_by_side=1)
            expired = await _ended(
                client, await _begun(client, PROMPTS, {"x-mock-fault": f"expired; after={AFTER}"})
            )
            said = f"The batch expired after {AFTER} of {len(PROMPTS)} lines"
            await judge.batch(expired, PROMPTS, said)
            mock.fail("429", model=UNLUCKY)
            alone = {"unlucky": PROMPTS["unlucky"]}
            nothing = await _ended(client, await _begun(client, alone))
            await judge.batch(nothing, alone, "No line was answered")
            cancelled = await _cancelled(client)
            await judge.batch(cancelled, PROMPTS, "The batch was cancelled on its way")
            failed = await _ended(client, await _begun(client, PROMPTS, spoilt=True))
            await judge.batch(failed, PROMPTS, "The batch failed, as its file was refused")
    return (
        "Five batches, one each completed, expired, cancelled and failed, one without an answer: "
        "each line is accounted for."
    )


async def _begun(
    client: AsyncOpenAI,
    prompts: Mapping[str, tuple[str, int]],
    headers: Mapping[str, str] | None = None,
    *,
    spoilt: bool = False,
) -> Batch:
    """Begin a batch; with half a line more where its file is to be refused."""
    lines = [
        {
            "custom_id": name,
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {
                "model": UNLUCKY if name == "unlucky" else "any",
                "messages": [{"role": "user", "content": question}],
                "max_tokens": tokens,
            },
        }
        for name, (question, tokens) in prompts.items()
    ]
    content = "\n".join([*map(json.dumps, lines), *(['{"custom_id": '] if spoilt else [])])
    file = await client.files.create(file=("requests.jsonl", content.encode()), purpose="batch")
    return await client.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        extra_headers=headers or {},
    )


async def _ended(client: AsyncOpenAI, batch: Batch) -> Batch:
    """Wait for a batch's end."""
    while batch.status not in OVER:
        await asyncio.sleep(0.01)
        batch = await client.batches.retrieve(batch.id)
    return batch


async def _cancelled(client: AsyncOpenAI) -> Batch:
    """Begin a batch, and cancel it when its first line is answered; some are left."""
    batch = await _begun(client, PROMPTS, SLOWLY)
    while not batch.request_counts or not batch.request_counts.completed:
        await asyncio.sleep(0.01)
        batch = await client.batches.retrieve(batch.id)
    return await client.batches.cancel(batch.id)


async def _truth(
    client: AsyncOpenAI, batch: Batch, prompts: Mapping[str, object]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the answers, and why each other line is to be asked again."""
    answers: dict[str, str] = {}
    again = dict.fromkeys(prompts, "which had no turn")
    for file in filter(None, (batch.output_file_id, batch.error_file_id)):
        for line in (await client.files.content(file)).text.splitlines():
            told = json.loads(line)
            name, response = told["custom_id"], told["response"]
            if response is None:
                continue
            status = response["status_code"]
            again[name] = f"whose status was {status}"
            if status < 500 and status != 429:
                del again[name]
            if status == 200:
                answers[name] = response["body"]["choices"][0]["message"]["content"]
    return answers, again


@dataclass(frozen=True, slots=True)
class _Judge:
    """Tries an answer on one batch after another, with a client of its own, `theirs`."""

    trial: Trial
    client: AsyncOpenAI
    theirs: AsyncOpenAI

    async def batch(self, batch: Batch, prompts: Mapping[str, tuple[str, int]], what: str) -> None:
        texts = {name: question for name, (question, _) in prompts.items()}
        try:
            async with asyncio.timeout(PATIENCE):
                returned = await self.trial.run_awaited(self.theirs, batch.id, texts)
        except TimeoutError:
            batch = await self.client.batches.retrieve(batch.id)
            raise NotYet(
                f"The batch is {batch.status}{', for good' if batch.status in OVER else ''}, and "
                f"after {PATIENCE:g} seconds collect still waited for it."
            ) from None
        except NotYet as verdict:
            batch = await self.client.batches.retrieve(batch.id)
            said = what if batch.status in OVER else f"The batch was {batch.status}"
            raise NotYet(f"{said}. Then {verdict}") from None
        batch = await self.client.batches.retrieve(batch.id)
        if batch.status not in OVER:
            raise NotYet(
                f"collect did not wait for the end: the batch is {batch.status}. Before its end "
                "it is validating, in_progress and finalizing, or cancelling."
            )
        _judge_returned(returned, *await _truth(self.client, batch, prompts), prompts, what)


def _judge_pauses(looks: _Looks, beat: Heartbeat) -> None:
    """Expect a pause between two looks at a batch that takes its time, and a free loop in it."""
    pauses = looks.pauses()
    if len(pauses) > 2 and median(end - start for start, end in pauses) < PAUSE:
        raise NotYet(
            f"While the batch was at work, collect asked {len(looks.asked)} times how far it is, "
            "without a pause. A batch takes minutes to hours: await asyncio.sleep(…) between two "
            "looks, 0.02 seconds here."
        )
    # A second thread saw it stand still: else the whole process had no turn, on a busy machine.
    held = [
        beat.seconds_still(start, end) > (end - start) / 2
        and beat.looks_while_still(start, end) > 1
        for start, end in pauses
    ]
    if held and sum(held) >= MOSTLY * len(held):
        where = Counter(freeze.where for freeze in beat.freezes if freeze.where).most_common(1)
        raise NotYet(
            "In its pauses collect held the event loop"
            + (f", at {where[0][0]}" if where else "")
            + ". No other task could run: await asyncio.sleep(…) waits and lets them."
        )


def _judge_returned(
    returned: object,
    answers: Mapping[str, str],
    again: Mapping[str, str],
    prompts: Mapping[str, object],
    what: str,
) -> None:
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise NotYet(
            f"collect returned {describe(returned)}, where the answers and a list were wanted."
        )
    got, left = returned
    if not isinstance(got, dict) or not isinstance(left, list | tuple | set):
        raise NotYet(
            f"collect returned {describe(got)} and {describe(left)}; a dict and a list were wanted."
        )
    others = [name for name, text in got.items() if name in answers and text != answers[name]]
    if others:
        raise NotYet(
            f"{what}. {others[0]!r} has another line's answer: they stand in the file in the order "
            "in which they ended."
        )
    strange = [name for name in got if name not in answers]
    if strange:
        raise NotYet(f"{what}. {strange[0]!r} has no answer in the batch, and was given one.")
    missing = [name for name in answers if name not in got]
    if missing:
        raise NotYet(f"{what}. The answer to {missing[0]!r} is missing.")
    times = Counter(map(str, left))
    lost = [name for name in again if name not in times]
    if lost:
        raise NotYet(f"{what}. The list of those to ask again lacks {lost[0]!r}, {again[lost[0]]}.")
    extra = sorted(times.keys() - again.keys())
    if extra:
        why = "no line has that name"
        if extra[0] in prompts:
            why = "its request was wrong, and would be again"
        if extra[0] in answers:
            why = "it is answered"
        raise NotYet(f"{what}. {extra[0]!r} is in the list of those to ask again; {why}.")
    if max(times.values(), default=0) > 1:
        raise NotYet(f"{what}. A line stands twice in the list of those to ask again.")
