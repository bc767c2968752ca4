"""Lesson 05's checks: what one failure may cost, and what a second run may ask for."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from openai import APIConnectionError, APIError, APIStatusError, OpenAIError, RateLimitError

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
    names: dict[str, Any] = {"asyncio": asyncio, "json": json, "APIError": APIError, **given}
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


async def or_none(
    ask: Ask, question: str, kind: type[Exception] | tuple[type[Exception], ...] = APIError
) -> str | None:
    try:
        return await ask(question)
    except kind:
        return None


def keeps_out_only(*kinds: type[Exception]) -> Any:
    async def page(ask: Ask, questions: list[str]) -> list[str | None]:
        return await asyncio.gather(*(or_none(ask, question, kinds) for question in questions))

    return page


async def in_a_group_that_cancels(ask: Ask, questions: list[str]) -> list[str]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask(question)) for question in questions]  # type: ignore[arg-type]
    return [task.result() for task in tasks]


async def in_a_group_that_is_caught(ask: Ask, questions: list[str]) -> list[str | None]:
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ask(question)) for question in questions]
    except* APIConnectionError:
        pass
    return [None if task.cancelled() or task.exception() else task.result() for task in tasks]


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


async def hides_every_error(ask: Ask, questions: list[str]) -> list[str | None]:
    results = await asyncio.gather(*map(ask, questions), return_exceptions=True)
    return [None if isinstance(result, BaseException) else result for result in results]


async def hides_every_error_in_each_call(ask: Ask, questions: list[str]) -> list[str | None]:
    async def one(question: str) -> str | None:
        try:
            return await ask(question)
        except BaseException:
            return None

    return await asyncio.gather(*map(one, questions))


async def in_a_group_that_expects_the_failure(ask: Ask, questions: list[str]) -> list[str | None]:
    """A right answer of another kind: each call catches its own failure, and no other error."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(or_none(ask, question)) for question in questions]
    return [task.result() for task in tasks]


def plain_with_a_coroutine_to_await(ask: Ask, questions: list[str]) -> Any:
    """Another: not itself `async`, and as good in a cell's `await`."""
    return asyncio.gather(*(or_none(ask, question) for question in questions))


async def waited_for(ask: Ask, questions: list[str]) -> list[str | None]:
    """Another: `wait` hands back tasks, and raises nothing."""
    tasks = [asyncio.create_task(ask(question)) for question in questions]  # type: ignore[arg-type]
    await asyncio.wait(tasks)
    return [None if isinstance(task.exception(), APIError) else task.result() for task in tasks]


@pytest.mark.parametrize(
    "answer",
    [
        in_a_group_that_expects_the_failure,
        plain_with_a_coroutine_to_await,
        waited_for,
        keeps_out_only(OpenAIError),
    ],
)
def test_a_page_of_another_kind_passes(answer: object) -> None:
    verdict = judged("05-1", answer)
    assert verdict.passed, verdict


def holds_the_loop(ask: Ask, questions: list[str]) -> list[str | None]:
    return [None for _ in questions]


async def last_one_first(ask: Ask, questions: list[str]) -> list[str | None]:
    answers = await asyncio.gather(*(or_none(ask, question) for question in questions))
    return [answers[3], answers[1], answers[2], answers[0]]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (in_a_group_that_cancels, "page raised its error: of the other 3 answers none came back"),
        (in_a_group_that_is_caught, "One call failed, and 3 of the others were cancelled"),
        (one_after_another, "Each call waited for the one before"),
        (errors_among_the_answers, "In its place stands an APIConnectionError"),
        (without_the_failed_one, "4 questions were asked; the list has 3 items"),
        (as_they_come, "In its place stands the text"),
        (asks_again, "Question 1 was asked 2 times"),
        (gives_up_on_the_rest, "It returned while 3 calls were still under way"),
        (hides_every_error, "a NameError, and page hid that one too"),
        (hides_every_error_in_each_call, "a NameError, and page hid that one too"),
        (keeps_out_only(APIConnectionError), "raised RateLimitError: Error code: 429"),
        (keeps_out_only(APIConnectionError, RateLimitError), "raised InternalServerError: "),
        (keeps_out_only(APIConnectionError, APIStatusError), "raised APIError: The server had"),
        (keeps_out_only(Exception), "a NameError, and page hid that one too"),
        (holds_the_loop, "is a plain function: called in a cell, it holds the loop"),
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
        "4 answers had come when a call failed, and the file held 0 of them. "
        "A run that is killed then loses the rest."
    )


def test_the_run_that_goes_on_from_its_file_passes() -> None:
    assert judged_cell("05-2", "exercise-2-solution").saw == (
        "Run 1 failed with 6 answers kept, the last of which I cut in half. "
        "Run 2 paid for 2 more: 7 prompts, 7 lines.",
    )


def missing(prompts: list[str], file: Path) -> list[str]:
    """Return the prompts whose answers a file lacks, and take half a line off the file's end."""
    *whole, torn = (file.read_text("utf-8") if file.exists() else "").split("\n")
    if torn:
        file.write_text("".join(line + "\n" for line in whole), "utf-8")
    done = {json.loads(line)["prompt"] for line in whole}
    return [prompt for prompt in dict.fromkeys(prompts) if prompt not in done]


def every_line(file: Path) -> list[str]:
    return file.read_text("utf-8").splitlines() if file.exists() else []


def whole_lines(file: Path) -> list[str]:
    return file.read_text("utf-8").split("\n")[:-1] if file.exists() else []


def empty(file: Path) -> None:
    file.write_text("", "utf-8")


def put(ask: Ask, file: Path) -> Callable[[str], Awaitable[None]]:
    """Return what asks a prompt and puts its line down, four at a time."""
    places = asyncio.Semaphore(4)

    async def one(prompt: str) -> None:
        async with places:
            await put_down(ask, prompt, file)

    return one


async def put_down(ask: Ask, prompt: str, file: Path) -> None:
    row = {"prompt": prompt, "answer": await ask(prompt)}
    with file.open("a", encoding="utf-8") as out:
        out.write(json.dumps(row) + "\n")


async def for_all(one: Callable[[str], Awaitable[None]], prompts: list[str]) -> None:
    """Let each end, and raise what the first of them raised."""
    results = await asyncio.gather(*map(one, prompts), return_exceptions=True)
    for result in filter(None, results):
        raise result


async def cuts_off_what_is_paid_for(ask: Ask, prompts: list[str], file: Path) -> None:
    one = put(ask, file)
    async with asyncio.TaskGroup() as group:
        for prompt in missing(prompts, file):
            group.create_task(one(prompt))  # type: ignore[arg-type]


async def cuts_off_the_other_workers(ask: Ask, prompts: list[str], file: Path) -> None:
    left = iter(missing(prompts, file))

    async def worker() -> None:
        for prompt in left:
            await put_down(ask, prompt, file)

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(worker())


async def in_a_row(ask: Ask, prompts: list[str], file: Path) -> None:
    for prompt in missing(prompts, file):
        await put_down(ask, prompt, file)


async def all_at_once(ask: Ask, prompts: list[str], file: Path) -> None:
    await for_all(lambda prompt: put_down(ask, prompt, file), missing(prompts, file))


async def never_reads_its_file(ask: Ask, prompts: list[str], file: Path) -> None:
    await for_all(put(ask, file), prompts)


async def starts_its_file_anew(ask: Ask, prompts: list[str], file: Path) -> None:
    left = missing(prompts, file)
    empty(file)
    await for_all(put(ask, file), left)


async def leaves_the_rest_running(ask: Ask, prompts: list[str], file: Path) -> None:
    await asyncio.gather(*map(put(ask, file), missing(prompts, file)))


async def writes_plain_text(ask: Ask, prompts: list[str], file: Path) -> None:
    with file.open("a", encoding="utf-8") as out:
        for prompt in prompts:
            print(await ask(prompt), file=out, flush=True)


async def believes_every_line(ask: Ask, prompts: list[str], file: Path) -> None:
    done = {json.loads(line)["prompt"] for line in every_line(file)}
    await for_all(put(ask, file), [p for p in dict.fromkeys(prompts) if p not in done])


async def writes_on_behind_the_half_line(ask: Ask, prompts: list[str], file: Path) -> None:
    done = {json.loads(line)["prompt"] for line in whole_lines(file)}
    await for_all(put(ask, file), [p for p in dict.fromkeys(prompts) if p not in done])


async def asks_twice_what_stands_there_twice(ask: Ask, prompts: list[str], file: Path) -> None:
    left = missing(prompts, file)
    await for_all(put(ask, file), [prompt for prompt in prompts if prompt in left])


async def writes_when_it_ends(ask: Ask, prompts: list[str], file: Path) -> None:
    rows: list[dict[str, str]] = []
    places = asyncio.Semaphore(4)

    async def one(prompt: str) -> None:
        async with places:
            rows.append({"prompt": prompt, "answer": await ask(prompt)})

    left = missing(prompts, file)
    try:
        await for_all(one, left)
    finally:
        with file.open("a", encoding="utf-8") as out:
            out.writelines(json.dumps(row) + "\n" for row in rows)


async def never_flushes(ask: Ask, prompts: list[str], file: Path) -> None:
    places = asyncio.Semaphore(4)

    async def one(prompt: str) -> None:
        async with places:
            answer = await ask(prompt)
        out.write(json.dumps({"prompt": prompt, "answer": answer}) + "\n")

    left = missing(prompts, file)
    with file.open("a", encoding="utf-8") as out:
        await for_all(one, left)


async def hides_that_it_failed(ask: Ask, prompts: list[str], file: Path) -> None:
    with contextlib.suppress(BaseException):
        await for_all(put(ask, file), missing(prompts, file))


async def skips_what_failed(ask: Ask, prompts: list[str], file: Path) -> None:
    left = missing(prompts, file)
    await asyncio.gather(*map(put(ask, file), left), return_exceptions=True)


async def stops_early(ask: Ask, prompts: list[str], file: Path) -> None:
    await for_all(put(ask, file), missing(prompts, file)[:3])


async def starts_no_more_after_a_failure(ask: Ask, prompts: list[str], file: Path) -> None:
    """A right answer of another kind: those under way arrive, and no others begin."""
    left = iter(missing(prompts, file))
    failures: list[Exception] = []

    async def worker() -> None:
        for prompt in left:
            try:
                await put_down(ask, prompt, file)
            except APIError as error:
                failures.append(error)
            if failures:
                return

    await asyncio.gather(*(worker() for _ in range(4)))
    if failures:
        raise ExceptionGroup("the run broke off", failures)


async def begins_with_the_last(ask: Ask, prompts: list[str], file: Path) -> None:
    """Another, as a set of prompts may: a call fails before there is an answer to keep."""
    await for_all(put(ask, file), missing(prompts, file)[::-1])


async def writes_in_a_thread(ask: Ask, prompts: list[str], file: Path) -> None:
    """Another: four workers ask, and what writes does not hold the loop."""
    left = missing(prompts, file)
    waiting = iter(left)

    def write(row: dict[str, str]) -> None:
        with file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(row) + "\n")

    async def worker(_: str) -> None:
        for prompt in waiting:
            answer = await ask(prompt)
            await asyncio.to_thread(write, {"prompt": prompt, "answer": answer})

    await for_all(worker, left[:4])


@pytest.mark.parametrize(
    "answer", [starts_no_more_after_a_failure, begins_with_the_last, writes_in_a_thread]
)
def test_a_run_of_another_kind_passes(answer: object) -> None:
    verdict = judged("05-2", answer)
    assert verdict.passed, verdict


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (in_a_row, "Each call waited for the one before"),
        (all_at_once, "7 calls were under way at once; the server takes 4"),
        (never_reads_its_file, "The second run asked for 5 answers that the first had paid for"),
        (starts_its_file_anew, "After both runs the file lacks 5 prompts"),
        (leaves_the_rest_running, "The run had failed, and 2 of its calls went on"),
        (cuts_off_what_is_paid_for, "When one call failed, 2 calls under way ended with it"),
        (cuts_off_the_other_workers, "When one call failed, 2 calls under way ended with it"),
        (writes_plain_text, "Line 1 of the file is no JSON: 1, 2, 3."),
        (believes_every_line, "I cut the file's last line in half. Then believes_every_line("),
        (writes_on_behind_the_half_line, "Line 6 of the file is no JSON: {"),
        (asks_twice_what_stands_there_twice, "stands twice in the list, and its answer was paid"),
        (writes_when_it_ends, "4 answers had come when a call failed, and the file held 0 of"),
        (never_flushes, "4 answers had come when a call failed, and the file held 0 of them"),
        (hides_that_it_failed, "A call failed, and run returned as if all were done"),
        (skips_what_failed, "A call failed, and run returned as if all were done"),
        (stops_early, "It ended and had asked for 3 of 7 prompts"),
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
