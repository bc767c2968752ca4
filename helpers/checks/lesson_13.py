"""Lesson 13's checks: did the workers ask, and is each line of a batch accounted for?

dask.distributed is loaded when the first exercise is checked: only that lesson needs it.
"""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Any

from openai import AsyncOpenAI
from openai.types import Batch

from helpers.checks.exercise import NotYet, Trial, count, describe, register
from helpers.checks.likely import explaining
from helpers.clients import async_client, model

QUESTIONS = tuple(f"Count to {number}." for number in ("six", "two", "five", "three", "four"))

MAX_TOKENS = 20
"""Enough for the mock server's words on most of them, and few for a small real model's patience."""

PATIENCE = 5.0
"""Seconds for a batch that ended long ago to be fetched: it takes hundredths."""


class _Seen:
    """What the check's `ask` was called with. The workers are threads of this process: they share
    it, where a number of their own would be pickled into the task."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.elsewhere = 0
        self.under_way = self.most = 0
        self.answers: dict[str, str] = {}


_seen = _Seen()


async def ask(question: str) -> str:
    """Ask the endpoint; this is the `ask` that an answer to 13-1 is given."""
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
    _seen = _Seen()
    async with _engine() as engine:
        with explaining(trial):
            try:
                answers = await trial.run_awaited(engine, ask, list(QUESTIONS))
            except NotYet as verdict:
                if "Could not serialize object of type coroutine" in str(verdict):
                    raise NotYet(
                        "The tasks returned coroutines, calls that have not started, and a "
                        "coroutine cannot be sent back from a worker."
                    ) from None
                raise
        _judge_asked(answers)
    asked = len(QUESTIONS)
    return f"{asked} questions, asked once each on the workers, {_seen.most} at a time; in order."


def _judge_asked(answers: object) -> None:
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


@register(
    "13-2",
    own_server=True,
    hints=(
        "How can a batch end? And in which order do the lines of its files stand?",
        "`completed`, `failed`, `expired` and `cancelled` are ends. Each line says its "
        "`custom_id`. Either file's id is None where there is no such file. What had no turn "
        "stands in the error file, and its `response` is null.",
        "Read the lines of both files, where they are there. `response` None: again. Status 200: "
        "`answers[told['custom_id']] = …`. Status 429, or 500 and above: again. Else leave it out.",
    ),
)
async def accounts_for_each_line(trial: Trial) -> str:
    from helpers.pytest_plugin import running

    with running(["--pace", "1", "--first", "0", "--gap", "0.003"]) as mock:
        async with AsyncOpenAI(base_url=mock.base_url, api_key="check", max_retries=0) as client:
            mock.batches(side_by_side=len(PROMPTS))
            mock.fail("503", model=UNLUCKY)
            batch = await _ended(client, PROMPTS)
            await _judge_batch(trial, client, batch, PROMPTS, "One line was refused, one failed")
            mock.batches(side_by_side=1)
            expired = await _ended(client, PROMPTS, f"expired; after={AFTER}")
            said = f"The batch expired after {AFTER} of {len(PROMPTS)} lines"
            await _judge_batch(trial, client, expired, PROMPTS, said)
            mock.fail("429", model=UNLUCKY)
            alone = {"unlucky": PROMPTS["unlucky"]}
            nothing = await _ended(client, alone)
            await _judge_batch(trial, client, nothing, alone, "No line was answered")
    return "Three batches, one completed, one expired, one without an answer: each line is told."


async def _ended(
    client: AsyncOpenAI, prompts: Mapping[str, tuple[str, int]], fault: str = ""
) -> Batch:
    """Begin a batch and wait for its end."""
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
    content = "\n".join(map(json.dumps, lines)).encode()
    file = await client.files.create(file=("requests.jsonl", content), purpose="batch")
    batch = await client.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        extra_headers={"x-mock-fault": fault} if fault else {},
    )
    while batch.status not in ("completed", "failed", "expired", "cancelled"):
        await asyncio.sleep(0.01)
        batch = await client.batches.retrieve(batch.id)
    return batch


async def _truth(client: AsyncOpenAI, batch: Batch) -> tuple[dict[str, str], set[str]]:
    answers: dict[str, str] = {}
    again: set[str] = set()
    for file in filter(None, (batch.output_file_id, batch.error_file_id)):
        for line in (await client.files.content(file)).text.splitlines():
            told = json.loads(line)
            response = told["response"]
            status = response["status_code"] if response else 500
            if status == 200:
                text = response["body"]["choices"][0]["message"]["content"]
                answers[told["custom_id"]] = text
            elif status == 429 or status >= 500:
                again.add(told["custom_id"])
    return answers, again


async def _judge_batch(
    trial: Trial,
    client: AsyncOpenAI,
    batch: Batch,
    prompts: Mapping[str, tuple[str, int]],
    what: str,
) -> None:
    answers, again = await _truth(client, batch)
    texts = {name: question for name, (question, _) in prompts.items()}
    try:
        async with asyncio.timeout(PATIENCE):
            returned = await trial.run_awaited(client, batch.id, texts)
    except TimeoutError:
        raise NotYet(
            f"The batch is {batch.status}, for good, and after {PATIENCE:g} seconds collect still "
            "waited for it."
        ) from None
    except NotYet as verdict:
        raise NotYet(f"{what}. Then {verdict}") from None
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
    _judge_again(what, Counter(map(str, left)), again)


def _judge_again(what: str, left: Counter[str], again: set[str]) -> None:
    lost = sorted(again - left.keys())
    if lost:
        raise NotYet(
            f"{what}. In the list of those to ask again {count(len(lost), 'line')} without an "
            f"answer cannot be found, such as {lost[0]!r}."
        )
    extra = sorted(left.keys() - again)
    if extra:
        why = (
            "its request was wrong, and would be again" if extra[0] == "wrong" else "it is answered"
        )
        raise NotYet(f"{what}. {extra[0]!r} is in the list of those to ask again; {why}.")
    if max(left.values(), default=0) > 1:
        raise NotYet(f"{what}. A line stands twice in the list of those to ask again.")
