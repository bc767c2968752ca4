"""Lesson 13: who asked the questions, what a part keeps, what became of each line of a batch."""

import asyncio
import json
import re
import socket
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from distributed import Client, as_completed, wait
from openai import APIError, AsyncOpenAI

from helpers.checks import Verdict
from helpers.pytest_plugin import MockOpenAI
from tests.checks.judging import turned_down, verdict
from tests.pace import embedded_server_at
from tools import notebooks

LESSON = notebooks.FOLDER / "13_beyond_one_machine.ipynb"

Ask = Callable[[str], Awaitable[str]]
Answers = tuple[dict[str, str], list[str]]


def of_cell(cell_id: str, name: str) -> Any:
    """Return the function that a cell of the lesson defines."""
    source = next(cell.source for cell in notebooks.read(LESSON).cells if cell.id == cell_id)
    names: dict[str, Any] = {
        "asyncio": asyncio, "json": json, "Client": Client, "AsyncOpenAI": AsyncOpenAI,
        "wait": wait, "Ask": Ask, "Path": Path, "Any": Any, "suppress": suppress,
        "APIError": APIError,
    }  # fmt: skip
    exec(source, names)
    return names[name]


# --- 13-1: on the workers -----------------------------------------------------------------------


def test_the_job_that_asks_nothing_is_told_so() -> None:
    said = turned_down("13-1", of_cell("exercise-1-starter", "run"))
    assert "The list holds a coroutine" in said
    assert "ask never ran: the tasks are finished, and no question was asked" in said
    assert "0 requests reached the server" in said


def test_the_job_that_hands_ask_over_passes_beside_another_cluster() -> None:
    with ExitStack() as other:
        with suppress(OSError):  # there is one
            other.enter_context(socket.create_server(("127.0.0.1", 8787)))
        seen = verdict("13-1", of_cell("exercise-1-solution", "run"))
    assert seen.saw[0].startswith("5 questions, asked once each on the workers")


async def gathers_coroutines(engine: Client, ask: Ask, questions: list[str]) -> Any:
    return await engine.gather(engine.map(lambda question: ask(question), questions))


async def fetches_nothing(engine: Client, ask: Ask, questions: list[str]) -> Any:
    return await wait(engine.map(ask, questions))


async def hands_out_the_futures(engine: Client, ask: Ask, questions: list[str]) -> Any:
    return engine.map(ask, questions)


async def asks_in_the_notebook(engine: Client, ask: Ask, questions: list[str]) -> Any:
    return await asyncio.gather(*(ask(question) for question in questions))


async def runs_a_loop_for_each(engine: Client, ask: Ask, questions: list[str]) -> Any:
    return await engine.gather(engine.map(lambda question: asyncio.run(ask(question)), questions))


async def one_by_one(engine: Client, ask: Ask, questions: list[str]) -> Any:
    return [await engine.submit(ask, question) for question in questions]


async def as_they_come(engine: Client, ask: Ask, questions: list[str]) -> Any:
    return [await future async for future in as_completed(engine.map(ask, questions))]


async def twice_to_be_safe(engine: Client, ask: Ask, questions: list[str]) -> Any:
    await wait(engine.map(ask, questions, pure=False))
    return await engine.gather(engine.map(ask, questions, pure=False))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (gathers_coroutines, "a coroutine, a call that has not started"),
        (fetches_nothing, "The list holds a set, where texts were wanted"),
        (hands_out_the_futures, "The list holds"),
        (asks_in_the_notebook, "5 of 5 questions were asked here, in the notebook's process"),
        (runs_a_loop_for_each, "The worker's client belongs to the worker's loop"),
        (one_by_one, "Each question waited for the one before"),
        (as_they_come, "not stand in the order of the questions"),
        (twice_to_be_safe, "was asked 2 times"),
        (lambda engine, ask, questions: None, "is a plain function"),
    ],
)
def test_a_job_that_does_it_otherwise_hears_what_was_seen(answer: Any, told: str) -> None:
    with embedded_server_at(0.3):  # slow enough that the short answers overtake the long ones
        assert told in turned_down("13-1", answer)


async def awaits_in_a_wrapper(engine: Client, ask: Ask, questions: list[str]) -> list[str]:
    async def on_the_worker(question: str) -> str:
        return await ask(question)

    return list(await engine.gather(engine.map(on_the_worker, questions)))


async def awaits_each_future(engine: Client, ask: Ask, questions: list[str]) -> list[str]:
    futures = [engine.submit(ask, question) for question in questions]
    return [await future for future in futures]


def plain_and_returns_the_coroutine(engine: Client, ask: Ask, questions: list[str]) -> Any:
    return engine.gather(engine.map(ask, questions))


@pytest.mark.slow
@pytest.mark.parametrize(
    "answer", [awaits_in_a_wrapper, awaits_each_future, plain_and_returns_the_coroutine]
)
def test_a_job_that_gets_there_by_another_road_passes(answer: Any) -> None:
    seen = verdict("13-1", answer)
    assert seen.passed, seen


# --- a part and its file ------------------------------------------------------------------------


def test_a_call_that_fails_costs_its_own_line_alone_and_the_next_run_asks_it(
    tmp_path: Path, mock_openai: MockOpenAI
) -> None:
    prompts = [f"Say hello to reader {number}." for number in range(10)]
    answer_part = of_cell("answer-part", "answer_part")

    async def run() -> Any:
        async with AsyncOpenAI(base_url=mock_openai.base_url, api_key="k", max_retries=0) as client:

            async def ask(question: str, default_headers: dict[str, str]) -> str:
                asked: Any = [{"role": "user", "content": question}]
                reply = await client.with_options(
                    default_headers=default_headers
                ).chat.completions.create(model="any", messages=asked, max_tokens=8)
                return reply.choices[0].message.content or ""

            worker = SimpleNamespace(tag="worker")
            answer_part.__globals__.update(ask=ask, get_worker=lambda: worker)
            return await answer_part(1, prompts, str(tmp_path), {"x-mock-pace": "0"})

    def rows() -> list[Any]:
        return list(map(json.loads, (tmp_path / "part-001.jsonl").read_text().splitlines()))

    mock_openai.fail("503")
    assert asyncio.run(run()) == 10
    paid = [request for request in mock_openai.requests() if request.status == 200]
    assert len(rows()) == len(paid) == 9
    with (tmp_path / "part-001.jsonl").open("a") as file:
        file.write('{"line": 3, "prom')  # a run that died in the middle of a line
    assert asyncio.run(run()) == 1
    assert sorted(row["line"] for row in rows()) == list(range(10))


# --- 13-2: each line of a batch -----------------------------------------------------------------


def test_the_script_that_counts_on_the_order_is_told_whose_answer_it_gave() -> None:
    said = turned_down("13-2", of_cell("exercise-2-starter", "collect"))
    assert "'storm' has another line's answer" in said
    assert "in the order in which they ended" in said


def test_the_script_that_reads_both_files_passes() -> None:
    seen: Verdict = verdict("13-2", of_cell("exercise-2-solution", "collect"))
    assert seen.saw == (
        "Five batches, one each completed, expired, cancelled and failed, one without an answer: "
        "each line is accounted for.",
    )


async def collected(
    client: AsyncOpenAI,
    batch_id: str,
    *,
    ends: tuple[str, ...] = ("completed", "failed", "expired", "cancelled"),
    pause: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(0.02),
    of_failed: Iterable[str] = (),
    errors: bool = True,
    guards: bool = True,
    again: Callable[[int | None], bool] = lambda status: (
        not status or status in range(500, 600) or status == 429
    ),
) -> Answers:
    """Collect a batch as the solution does, but for one thing or another."""
    batch = await client.batches.retrieve(batch_id)
    while batch.status not in ends:
        await pause()
        batch = await client.batches.retrieve(batch_id)
    files = [batch.output_file_id] + ([batch.error_file_id] if errors else [])
    answers: dict[str, str] = {}
    left = list(of_failed) if batch.status == "failed" else []
    for file in files:
        if guards and not file:
            continue
        for row in (await client.files.content(str(file))).text.splitlines():
            told = json.loads(row)
            response = told["response"] or {"status_code": None}
            if response["status_code"] == 200:
                message = response["body"]["choices"][0]["message"]
                answers[told["custom_id"]] = message["content"]
            elif again(response["status_code"]):
                left.append(told["custom_id"])
    return answers, left


async def waits_for_completed(client: AsyncOpenAI, id: str, prompts: Any) -> Answers:
    return await collected(client, id, ends=("completed",))


async def knows_no_cancelled(client: AsyncOpenAI, id: str, prompts: Any) -> Answers:
    return await collected(client, id, ends=("completed", "expired", "failed"))


async def knows_no_failed(client: AsyncOpenAI, id: str, prompts: Any) -> Answers:
    return await collected(client, id, ends=("completed", "expired", "cancelled"))


async def waits_while_in_progress(client: AsyncOpenAI, id: str, prompts: Any) -> Answers:
    others = ("validating", "finalizing", "cancelling", "completed", "expired", "cancelled")
    return await collected(client, id, ends=(*others, "failed"))


async def takes_cancelling_for_an_end(client: AsyncOpenAI, id: str, prompts: Any) -> Answers:
    return await collected(client, id, ends=("cancelling", "completed", "expired", "failed"))


async def blocks_between_looks(client: AsyncOpenAI, id: str, prompts: Any) -> Answers:
    async def pause() -> None:
        time.sleep(0.02)  # noqa: ASYNC251  the mistake

    return await collected(client, id, pause=pause)


async def never_pauses(client: AsyncOpenAI, id: str, prompts: Any) -> Answers:
    return await collected(client, id, pause=lambda: asyncio.sleep(0))


async def takes_a_failed_batch_for_done(client: AsyncOpenAI, id: str, prompts: Any) -> Answers:
    return await collected(client, id)


async def forgets_what_was_limited(client: AsyncOpenAI, id: str, prompts: Any) -> Answers:
    return await collected(client, id, again=lambda status: not status or status >= 500)


async def reads_the_output_alone(client: AsyncOpenAI, id: str, prompts: Any) -> Answers:
    return await collected(client, id, errors=False)


async def counts_on_an_output(client: AsyncOpenAI, id: str, prompts: Any) -> Answers:
    return await collected(client, id, guards=False)


async def asks_all_again(client: AsyncOpenAI, id: str, prompts: Any) -> Answers:
    return await collected(client, id, again=lambda status: True)


async def forgets_what_had_no_turn(client: AsyncOpenAI, id: str, prompts: Any) -> Answers:
    return await collected(client, id, again=lambda status: bool(status) and status != 400)


async def puts_errors_among_the_answers(client: AsyncOpenAI, id: str, prompts: Any) -> Answers:
    answers, left = await collected(client, id)
    return {**dict.fromkeys(prompts, "no answer"), **answers}, left


async def forgets_the_await(client: AsyncOpenAI, id: str, prompts: Any) -> Any:
    return client.batches.retrieve(id).status  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (waits_for_completed, "The batch is expired, for good"),
        (knows_no_cancelled, "The batch is cancelled, for good"),
        (knows_no_failed, "The batch is failed, for good"),
        (waits_while_in_progress, "did not wait for the end: the batch is validating."),
        (takes_cancelling_for_an_end, "did not wait for the end: the batch is cancelling."),
        (blocks_between_looks, "In its pauses collect held the event loop, at line"),
        (never_pauses, "times how far it is, without a pause"),
        (
            takes_a_failed_batch_for_done,
            "as its file was refused. The list of those to ask again "
            "lacks 'storm', which had no turn.",
        ),
        (
            forgets_what_was_limited,
            "No line was answered. The list of those to ask again lacks "
            "'unlucky', whose status was 429.",
        ),
        (reads_the_output_alone, "lacks 'unlucky', whose status was 503"),
        (counts_on_an_output, "No line was answered. Then"),
        (asks_all_again, "'wrong' is in the list of those to ask again; its request was wrong"),
        (forgets_what_had_no_turn, "The batch expired after 3 of 6 lines"),
        (puts_errors_among_the_answers, "'wrong' has no answer in the batch, and was given one"),
        (forgets_the_await, "'coroutine' object has no attribute 'status'"),
    ],
)
def test_a_script_that_loses_a_line_hears_which(answer: Any, told: str) -> None:
    assert told in turned_down("13-2", answer)


def another_road() -> Any:
    """Return a class whose instances collect: what is missing in the output is looked up."""

    class Collector:
        async def __call__(
            self, client: AsyncOpenAI, batch_id: str, prompts: dict[str, str]
        ) -> Answers:
            async with asyncio.timeout(10):
                batch = await client.batches.retrieve(batch_id)
                while not batch.status.endswith("ed"):
                    await asyncio.sleep(0.05)
                    batch = await client.batches.retrieve(batch_id)
            rows: list[Any] = []
            for file in {batch.output_file_id, batch.error_file_id} - {None}:
                content = client.files.with_streaming_response.content(str(file))
                async with content as response:
                    rows += [json.loads(line) async for line in response.iter_lines()]
            by_id = {row["custom_id"]: row["response"] for row in rows}
            good = {k: r for k, r in by_id.items() if r and r["status_code"] == 200}
            bad = {k for k, r in by_id.items() if r and r["status_code"] in (400, 404, 422)}
            texts = {k: r["body"]["choices"][0]["message"]["content"] for k, r in good.items()}
            return texts, [name for name in prompts if name not in good and name not in bad]

    return Collector()


async def step_by_step(client: AsyncOpenAI, id: str, prompts: Any) -> Answers:
    return await collected(client, id, of_failed=prompts)


async def looks_ever_more_seldom(client: AsyncOpenAI, id: str, prompts: Any) -> Answers:
    pauses = iter(0.01 * 1.5**number for number in range(100))
    pause: Any = lambda: asyncio.sleep(next(pauses))  # noqa: E731
    return await collected(client, id, pause=pause, of_failed=prompts)


@pytest.mark.slow
@pytest.mark.parametrize("answer", [another_road(), step_by_step, looks_ever_more_seldom])
def test_a_script_that_gets_there_by_another_road_passes(answer: Any) -> None:
    seen = verdict("13-2", answer)
    assert seen.passed, seen


# --- the commands -------------------------------------------------------------------------------


def test_the_lesson_starts_a_cluster_by_the_commands_of_the_manual_on_loopback_alone() -> None:
    prose = " ".join(cell.source for cell in notebooks.read(LESSON).cells)
    manual = (notebooks.ROOT / "docs" / "many.md").read_text("utf-8").splitlines()
    commands = re.findall(r"`(dask (?:scheduler|worker) [^`]+)`", prose)
    assert len(commands) == 2
    for command in commands:
        assert command in manual
        assert "--host 127.0.0.1 --dashboard-address 127.0.0.1:" in command
