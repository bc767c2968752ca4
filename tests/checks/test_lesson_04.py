"""Lesson 04's checks tell calls that overlap from a row, and a free loop from a frozen one."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import pytest
from openai import AsyncOpenAI

from helpers import async_client, blocking_client, check, model
from helpers.checks import Verdict, lesson_04
from helpers.checks.lesson_04 import fingerprint
from tests.starving import no_thread_has_a_turn
from tools import notebooks

LESSON = notebooks.FOLDER / "04_side_by_side.ipynb"

AskAsync = Callable[[str], Awaitable[str]]
Answer = Callable[[list[str]], Awaitable[Any]]


def ask(question: str) -> str:
    answer = blocking_client().chat.completions.create(**asked(question))
    return answer.choices[0].message.content or ""


def asked(question: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": question}]
    return {"model": model(), "messages": messages, "max_tokens": 20}


def asker(client: AsyncOpenAI) -> AskAsync:
    async def ask_async(question: str) -> str:
        answer = await client.chat.completions.create(**asked(question))
        return str(answer.choices[0].message.content)

    return ask_async


def verdict(name: str, answer: Callable[[AskAsync], Answer]) -> Verdict:
    """Judge an answer that is built on `ask_async`, in an event loop of its own."""

    async def judge() -> Verdict:
        async with async_client(max_retries=0) as client:
            return await check(name, answer(asker(client)))

    return asyncio.run(judge())


def verdict_on_cell(name: str, cell_id: str) -> Verdict:
    """Judge the function that a cell of the lesson defines."""
    source = next(cell.source for cell in notebooks.read(LESSON).cells if cell.id == cell_id)

    def answer(ask_async: AskAsync) -> Answer:
        names: dict[str, Any] = {
            "ThreadPoolExecutor": ThreadPoolExecutor,
            "ask": ask,
            "ask_async": ask_async,
            "asyncio": asyncio,
            "fingerprint": fingerprint,
        }
        before = set(names)
        exec(source, names)
        (function,) = names.keys() - before - {"__builtins__"}
        found: Answer = names[function]
        return found

    return verdict(name, answer)


# --- 04-1: at once, in order, the loop free ------------------------------------------------------


def test_threads_that_hold_the_loop_are_turned_down() -> None:
    said = verdict_on_cell("04-1", "exercise-1-starter").saw
    assert said[0] == "The event loop stood still during 3 of 3 requests."


def test_the_solution_of_the_first_exercise_passes() -> None:
    said = verdict_on_cell("04-1", "exercise-1-solution")
    assert said.passed, said
    assert "3 in flight at once; the event loop stayed free" in said.saw[0]


def test_awaits_in_a_list_are_turned_down_as_a_row() -> None:
    def answer(ask_async: AskAsync) -> Answer:
        async def report(questions: list[str]) -> list[str]:
            return [await ask_async(question) for question in questions]

        return report

    assert "each request waited for the one before" in verdict("04-1", answer).saw[0]


def test_answers_in_the_order_of_their_arrival_are_turned_down() -> None:
    def answer(ask_async: AskAsync) -> Answer:
        async def report(questions: list[str]) -> list[str]:
            return (await asyncio.gather(*map(ask_async, questions)))[::-1]

        return report

    assert "not stand in the order of the questions" in verdict("04-1", answer).saw[0]


def test_coroutines_in_place_of_answers_are_turned_down() -> None:
    def answer(ask_async: AskAsync) -> Answer:
        async def report(questions: list[str]) -> list[Awaitable[str]]:
            return [ask_async(question) for question in questions]

        return report

    assert verdict("04-1", answer).saw[:2] == (
        "Answer 1 is a coroutine, a call that has not started, where text was wanted.",
        "0 requests reached the server.",
    )


def test_a_plain_function_is_turned_down_as_it_holds_the_cell() -> None:
    def answer(ask_async: AskAsync) -> Answer:
        def report(questions: list[str]) -> Any:
            with ThreadPoolExecutor(max_workers=len(questions)) as pool:
                return list(pool.map(ask, questions))

        return report

    assert verdict("04-1", answer).saw == (
        "report(…) is a plain function: called in a cell, it holds the loop until it returns.",
        "3 requests reached the server.",
    )


def test_a_plain_function_whose_result_can_be_awaited_passes() -> None:
    def answer(ask_async: AskAsync) -> Answer:
        def report(questions: list[str]) -> Any:
            return asyncio.gather(*map(ask_async, questions))

        return report

    said = verdict("04-1", answer)
    assert said.passed, said


def test_an_async_generator_is_turned_down() -> None:
    def answer(ask_async: AskAsync) -> Any:
        async def report(questions: list[str]) -> Any:
            for text in await asyncio.gather(*map(ask_async, questions)):
                yield text

        return report

    assert "returned an async generator" in verdict("04-1", answer).saw[0]


def test_fewer_at_once_than_there_are_questions_are_turned_down() -> None:
    def answer(ask_async: AskAsync) -> Answer:
        places = asyncio.Semaphore(2)

        async def bounded(question: str) -> str:
            async with places:
                return await ask_async(question)

        async def report(questions: list[str]) -> list[str]:
            return await asyncio.gather(*map(bounded, questions))

        return report

    assert verdict("04-1", answer).saw[0] == "At most 2 of 3 requests were in flight at once."


def test_a_tuple_of_answers_passes() -> None:
    def answer(ask_async: AskAsync) -> Answer:
        async def report(questions: list[str]) -> tuple[str, ...]:
            return tuple(await asyncio.gather(*map(ask_async, questions)))

        return report

    said = verdict("04-1", answer)
    assert said.passed, said


async def in_threads_of_asyncio(questions: list[str]) -> list[str]:
    return await asyncio.gather(*(asyncio.to_thread(ask, question) for question in questions))


async def in_a_pool_that_is_awaited(questions: list[str]) -> list[str]:
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(max_workers=len(questions)) as pool:
        calls = [loop.run_in_executor(pool, ask, question) for question in questions]
        return await asyncio.gather(*calls)


async def in_one_thread_that_has_a_pool(questions: list[str]) -> list[str]:
    def report() -> list[str]:
        with ThreadPoolExecutor(max_workers=len(questions)) as pool:
            return list(pool.map(ask, questions))

    return await asyncio.to_thread(report)


@pytest.mark.parametrize(
    "report", [in_threads_of_asyncio, in_a_pool_that_is_awaited, in_one_thread_that_has_a_pool]
)
def test_threads_that_leave_the_loop_free_pass(report: Answer) -> None:
    said = verdict("04-1", lambda _: report)
    assert said.passed, said


def test_tasks_of_a_group_pass_and_one_in_a_row_of_them_does_not() -> None:
    def grouped(ask_async: AskAsync) -> Answer:
        async def report(questions: list[str]) -> list[str]:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(ask_async(one)) for one in questions]  # type: ignore[arg-type]
            return [task.result() for task in tasks]

        return report

    def in_a_row(ask_async: AskAsync) -> Answer:
        async def report(questions: list[str]) -> list[str]:
            return [await asyncio.create_task(ask_async(one)) for one in questions]  # type: ignore[arg-type]

        return report

    assert verdict("04-1", grouped).passed
    assert "each request waited for the one before" in verdict("04-1", in_a_row).saw[0]


# --- 04-2: and the computing aside ---------------------------------------------------------------


def test_a_row_of_calls_and_computing_is_turned_down() -> None:
    assert "At most 1 request in flight" in verdict_on_cell("04-2", "exercise-2-starter").saw[0]


def test_the_solution_of_the_second_exercise_passes() -> None:
    said = verdict_on_cell("04-2", "exercise-2-solution")
    assert said.passed, said


def test_computing_on_the_loop_is_turned_down() -> None:
    def answer(ask_async: AskAsync) -> Answer:
        async def signed(questions: list[str]) -> list[str]:
            return [fingerprint(text) for text in await asyncio.gather(*map(ask_async, questions))]

        return signed

    assert "the loop stood still while fingerprints were made" in verdict("04-2", answer).saw[0]


def test_computing_on_the_loop_in_short_stretches_is_turned_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def quick(text: str) -> str:
        done = time.thread_time() + 0.06  # three stretches, each too short to be called a freeze
        while time.thread_time() < done:
            pass
        return text[:8]

    monkeypatch.setattr(lesson_04, "fingerprint", quick)

    def answer(ask_async: AskAsync) -> Answer:
        async def one(question: str) -> str:
            return quick(await ask_async(question))

        async def signed(questions: list[str]) -> list[str]:
            return await asyncio.gather(*map(one, questions))

        return signed

    assert "the loop stood still while fingerprints were made" in verdict("04-2", answer).saw[0]


def test_a_plain_function_that_signs_is_turned_down() -> None:
    def answer(ask_async: AskAsync) -> Answer:
        def signed(questions: list[str]) -> Any:
            with ThreadPoolExecutor(max_workers=len(questions)) as pool:
                return list(pool.map(lambda question: fingerprint(ask(question)), questions))

        return signed

    assert "signed(…) is a plain function" in verdict("04-2", answer).saw[0]


def test_a_pool_whose_end_is_waited_for_on_the_loop_is_turned_down() -> None:
    def answer(ask_async: AskAsync) -> Answer:
        async def signed(questions: list[str]) -> list[str]:
            texts = await asyncio.gather(*map(ask_async, questions))
            with ThreadPoolExecutor(max_workers=3) as pool:
                return list(pool.map(fingerprint, texts))

        return signed

    assert "the loop stood still while fingerprints were made" in verdict("04-2", answer).saw[0]


def test_fingerprints_in_processes_pass() -> None:
    def answer(ask_async: AskAsync) -> Answer:
        async def signed(questions: list[str]) -> list[str]:
            loop = asyncio.get_running_loop()
            texts = await asyncio.gather(*map(ask_async, questions))
            making = [loop.run_in_executor(pool, fingerprint, text) for text in texts]
            return await asyncio.gather(*making)

        return signed

    with ProcessPoolExecutor(2) as pool:
        said = verdict("04-2", answer)
    assert said.passed, said


def test_a_tuple_of_fingerprints_passes() -> None:
    def answer(ask_async: AskAsync) -> Answer:
        async def one(question: str) -> str:
            return await asyncio.to_thread(fingerprint, await ask_async(question))

        async def signed(questions: list[str]) -> tuple[str, ...]:
            return tuple(await asyncio.gather(*map(one, questions)))

        return signed

    said = verdict("04-2", answer)
    assert said.passed, said


@pytest.mark.skipif(sys.platform == "win32", reason="no usleep")
def test_fingerprints_in_threads_pass_though_the_process_has_no_turn_meanwhile() -> None:
    def answer(ask_async: AskAsync) -> Answer:
        async def signed(questions: list[str]) -> Any:
            texts = await asyncio.gather(*map(ask_async, questions))
            signing = [asyncio.to_thread(fingerprint, text) for text in texts]
            starving = asyncio.to_thread(no_thread_has_a_turn, 0.5)
            return (await asyncio.gather(*signing, starving))[:3]

        return signed

    said = verdict("04-2", answer)
    assert said.passed, said


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda signatures: signatures[::-1], "not stand in the order"),
        (lambda signatures: ["0" * 8] * 3, "not those of the answers"),
        (lambda signatures: signatures[:2], "2 answers came back"),
        (lambda signatures: None, "returned None"),
    ],
)
def test_fingerprints_that_are_not_right_are_turned_down(
    change: Callable[[list[str]], Any], says: str
) -> None:
    def answer(ask_async: AskAsync) -> Answer:
        async def signed(questions: list[str]) -> Any:
            texts = await asyncio.gather(*map(ask_async, questions))
            signing = (asyncio.to_thread(fingerprint, text) for text in texts)
            return change(list(await asyncio.gather(*signing)))

        return signed

    assert says in verdict("04-2", answer).saw[0]


def test_a_fingerprint_takes_long_enough_to_be_felt() -> None:
    start = time.perf_counter()
    fingerprint("text")
    assert time.perf_counter() - start > 0.05
