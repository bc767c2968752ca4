"""Lesson 05's checks: what one failure may cost, and what a second run may ask for."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from openai import APIConnectionError

from helpers import async_client, check, hint
from helpers.checks import Verdict
from helpers.checks.exercise import Trial
from tools import notebooks

LESSON = notebooks.FOLDER / "05_many_at_once.ipynb"

Ask = Callable[[str], Awaitable[str]]


def judged(name: str, answer: object) -> Verdict:
    async def tried() -> Verdict:
        async with async_client():  # the shared client belongs to this loop
            return await check(name, answer)

    return asyncio.run(tried())


def judged_cell(name: str, cell_id: str) -> Verdict:
    """Judge the function that a cell of the lesson defines."""
    source = next(cell.source for cell in notebooks.read(LESSON).cells if cell.id == cell_id)
    given = {"Awaitable": Awaitable, "Callable": Callable, "Path": Path, "Ask": Ask}
    names: dict[str, Any] = {"asyncio": asyncio, "json": json, **given}
    before = set(names)
    exec(source, names)
    (function,) = names.keys() - before - {"__builtins__"}
    return judged(name, names[function])


# --- 05-1: one of four fails --------------------------------------------------------------------


def test_the_page_that_fails_with_one_call_is_told_what_it_lost() -> None:
    assert judged_cell("05-1", "exercise-1-starter").saw == (
        "One call of 4 failed, and page raised its error: of the other 3 answers none came back.",
        "4 requests reached the server.",
    )


def test_the_page_that_keeps_the_others_passes() -> None:
    assert judged_cell("05-1", "exercise-1-solution").saw == (
        "4 calls at once, 1 failed; 3 answers kept, in order.",
    )


async def or_none(ask: Ask, question: str) -> str | None:
    try:
        return await ask(question)
    except APIConnectionError:
        return None


async def in_a_group_that_cancels(ask: Ask, questions: list[str]) -> list[str]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask(question)) for question in questions]  # type: ignore[arg-type]
    return [task.result() for task in tasks]


async def one_after_another(ask: Ask, questions: list[str]) -> list[str | None]:
    return [await or_none(ask, question) for question in questions]


async def errors_among_the_answers(ask: Ask, questions: list[str]) -> list[Any]:
    return await asyncio.gather(*map(ask, questions), return_exceptions=True)


async def without_the_failed_one(ask: Ask, questions: list[str]) -> list[str]:
    results = await asyncio.gather(*map(ask, questions), return_exceptions=True)
    return [result for result in results if isinstance(result, str)]


async def as_they_come(ask: Ask, questions: list[str]) -> list[str | None]:
    calls = [or_none(ask, question) for question in questions]
    return [await earliest for earliest in asyncio.as_completed(calls)]


async def asks_again(ask: Ask, questions: list[str]) -> list[str | None]:
    try:
        return list(await asyncio.gather(*map(ask, questions)))
    except APIConnectionError:
        return await asyncio.gather(*(or_none(ask, question) for question in questions))


async def gives_up_on_the_rest(ask: Ask, questions: list[str]) -> list[str | None]:
    tasks = [asyncio.ensure_future(ask(question)) for question in questions]
    try:
        return list(await asyncio.gather(*tasks))
    except APIConnectionError:
        return [None] * len(questions)


async def last_one_first(ask: Ask, questions: list[str]) -> list[str | None]:
    answers = await asyncio.gather(*(or_none(ask, question) for question in questions))
    return [answers[3], answers[1], answers[2], answers[0]]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (in_a_group_that_cancels, "page raised its error: of the other 3 answers none came back"),
        (one_after_another, "Each call waited for the one before"),
        (errors_among_the_answers, "In its place stands an APIConnectionError"),
        (without_the_failed_one, "4 questions were asked; the list has 3 items"),
        (as_they_come, "In its place stands the text"),
        (asks_again, "Question 1 was asked 2 times"),
        (gives_up_on_the_rest, "It returned while 3 calls were still under way"),
        (last_one_first, "do not stand in the order of the questions"),
    ],
)
def test_a_wrong_page_is_told_what_was_seen(answer: object, reason: str) -> None:
    verdict = judged("05-1", answer)
    assert not verdict.passed
    assert reason in verdict.saw[0]


# --- 05-2: a run that breaks off ----------------------------------------------------------------


def test_the_run_that_writes_at_its_end_is_told_what_it_lost() -> None:
    assert judged_cell("05-2", "exercise-2-starter").saw[0] == (
        "4 answers had come when a call failed, and the file holds 0 of them."
    )


def test_the_run_that_goes_on_from_its_file_passes() -> None:
    assert judged_cell("05-2", "exercise-2-solution").saw == (
        "Run 1 failed with 4 answers kept; run 2 asked for the rest. "
        "8 prompts, 8 answers paid for, 8 in the file.",
    )


def done_in(file: Path) -> set[str]:
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    return {json.loads(line)["prompt"] for line in lines}


def forget(file: Path) -> None:
    file.unlink(missing_ok=True)


async def put_down(ask: Ask, prompt: str, file: Path) -> None:
    row = {"prompt": prompt, "answer": await ask(prompt)}
    with file.open("a", encoding="utf-8") as out:
        out.write(json.dumps(row) + "\n")


async def in_a_row(ask: Ask, prompts: list[str], file: Path) -> None:
    for prompt in prompts:
        if prompt not in done_in(file):
            await put_down(ask, prompt, file)


async def all_at_once(ask: Ask, prompts: list[str], file: Path) -> None:
    async with asyncio.TaskGroup() as group:
        for prompt in prompts:
            if prompt not in done_in(file):
                group.create_task(put_down(ask, prompt, file))


async def bounded(ask: Ask, prompts: list[str], file: Path) -> None:
    places = asyncio.Semaphore(4)

    async def one(prompt: str) -> None:
        async with places:
            await put_down(ask, prompt, file)

    async with asyncio.TaskGroup() as group:
        for prompt in prompts:
            group.create_task(one(prompt))


async def starts_its_file_anew(ask: Ask, prompts: list[str], file: Path) -> None:
    done = done_in(file)
    forget(file)
    await bounded(ask, [prompt for prompt in prompts if prompt not in done], file)


async def leaves_the_rest_running(ask: Ask, prompts: list[str], file: Path) -> None:
    places = asyncio.Semaphore(4)

    async def one(prompt: str) -> None:
        async with places:
            await put_down(ask, prompt, file)

    done = done_in(file)
    await asyncio.gather(*(one(prompt) for prompt in prompts if prompt not in done))


async def writes_plain_text(ask: Ask, prompts: list[str], file: Path) -> None:
    with file.open("a", encoding="utf-8") as out:
        for prompt in prompts:
            print(await ask(prompt), file=out, flush=True)


async def skips_what_failed(ask: Ask, prompts: list[str], file: Path) -> None:
    """A right answer of another kind: the failure ends nothing, and the next run repairs it."""
    places = asyncio.Semaphore(4)

    async def one(prompt: str) -> None:
        async with places:
            with contextlib.suppress(APIConnectionError):
                await put_down(ask, prompt, file)

    done = done_in(file)
    await asyncio.gather(*(one(prompt) for prompt in prompts if prompt not in done))


def test_a_run_that_leaves_the_failed_prompt_to_the_next_passes() -> None:
    assert judged("05-2", skips_what_failed).passed


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (in_a_row, "Each call waited for the one before"),
        (all_at_once, "8 calls were under way at once; the server takes 4"),
        (bounded, "The second run asked for 4 answers that the first had paid for"),
        (starts_its_file_anew, "After both runs the file lacks 4 prompts"),
        (leaves_the_rest_running, "The run had failed, and 3 of its calls went on"),
        (writes_plain_text, "Line 1 of the file is no JSON"),
    ],
)
def test_a_wrong_run_is_told_what_was_seen(answer: object, reason: str) -> None:
    verdict = judged("05-2", answer)
    assert not verdict.passed
    assert reason in verdict.saw[0]


# --- on an endpoint that keeps no journal -------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2])
def test_without_a_journal_the_checks_judge_by_what_was_asked(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trial, "sees_requests", False)
    assert judged_cell(f"05-{number}", f"exercise-{number}-solution").passed
    assert not judged_cell(f"05-{number}", f"exercise-{number}-starter").passed


@pytest.mark.parametrize(("name", "word"), [("05-1", "return_exceptions"), ("05-2", "out.flush()")])
def test_the_third_hint_says_what_to_write(name: str, word: str) -> None:
    assert word in [hint(name) for _ in range(3)][-1]
