"""Lesson 06's checks tell one loop from several, and an answer from an answer paid for twice."""

import asyncio
import gc
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from openai import AsyncOpenAI

from helpers import async_client, blocking_client, check, model
from helpers.checks import Verdict
from helpers.checks.exercise import find, judge
from tools import notebooks

LESSON = notebooks.FOLDER / "06_event_loops_and_notebooks.ipynb"


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    """Wrong answers leave clients to the garbage collector: let it come while nobody minds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


async def ask(client: AsyncOpenAI, text: str) -> str:
    answer = await client.chat.completions.create(
        model=model(), messages=[{"role": "user", "content": text}]
    )
    return str(answer.choices[0].message.content)


async def ask_alone(text: str) -> str:
    async with async_client(max_retries=2) as own:
        return await ask(own, text)


def judged(name: str, answer: object) -> Verdict:
    return asyncio.run(check(name, answer))


def cell(cell_id: str, function: str) -> Any:
    """Return the function that a cell of the lesson defines."""
    source = next(cell.source for cell in notebooks.read(LESSON).cells if cell.id == cell_id)
    names: dict[str, Any] = {"asyncio": asyncio, "ask": ask, "async_client": async_client}
    exec(source, names)
    return names[function]


# --- 06-1: a plain function that works where a loop runs ------------------------------------------


def test_the_function_that_starts_a_second_loop_is_turned_down() -> None:
    verdict = judged("06-1", cell("exercise-1-starter", "caption"))
    assert verdict.saw == (
        "caption('Count to three.') raised RuntimeError: "
        "asyncio.run() cannot be called from a running event loop",
        "0 requests reached the server.",
    )


def test_the_function_with_a_loop_and_a_client_of_its_own_passes() -> None:
    verdict = judged("06-1", cell("exercise-1-solution", "caption"))
    assert verdict.passed
    assert verdict.saw == ("Two plain calls inside the running loop returned two texts.",)


def in_a_portal(text: str) -> str:
    with start_blocking_portal() as portal:
        return portal.call(ask_alone, text)


def with_the_blocking_client(text: str) -> str:
    answer = blocking_client().chat.completions.create(
        model=model(), messages=[{"role": "user", "content": text}]
    )
    return str(answer.choices[0].message.content)


def in_a_pool_that_is_dropped(text: str) -> str:
    return ThreadPoolExecutor(1).submit(asyncio.run, ask_alone(text)).result()


@pytest.mark.parametrize(
    "caption", [in_a_portal, with_the_blocking_client, in_a_pool_that_is_dropped]
)
def test_other_ways_to_a_plain_answer_pass(caption: Callable[[str], str]) -> None:
    assert judged("06-1", caption).passed


def test_a_function_made_async_is_told_that_plain_code_cannot_await_it() -> None:
    verdict = judged("06-1", ask_alone)
    assert not verdict.passed
    assert "returned a coroutine, a call that has not started" in verdict.saw[0]
    assert verdict.saw[0].endswith("plain code cannot await it.")


def test_a_client_carried_into_a_second_loop_is_told_the_error() -> None:
    def caption(text: str) -> str:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(asyncio.run, ask(shared, text)).result()

    shared = async_client(max_retries=2)
    verdict = judged("06-1", caption)
    assert not verdict.passed
    assert verdict.saw[0].endswith("raised RuntimeError: Event loop is closed")
    assert verdict.saw[1] == "2 requests reached the server."


def test_a_side_loop_left_behind_by_each_call_is_counted() -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    def caption(text: str) -> str:
        loops.append(asyncio.new_event_loop())
        threading.Thread(target=loops[-1].run_forever, daemon=True).start()
        return asyncio.run_coroutine_threadsafe(ask_alone(text), loops[-1]).result()

    try:
        verdict = judged("06-1", caption)
    finally:
        for loop in loops:
            loop.call_soon_threadsafe(loop.stop)
    assert verdict.saw[0] == "Two calls returned, and 2 threads still run that they started."


def test_waiting_for_the_loop_that_one_holds_up_is_stopped() -> None:
    async def tried() -> Verdict:
        loop = asyncio.get_running_loop()

        def caption(text: str) -> str:
            return asyncio.run_coroutine_threadsafe(ask_alone(text), loop).result()

        return await judge(replace(find("06-1"), time_limit=0.5), caption)

    assert find("06-1").time_limit < 30
    verdict = asyncio.run(tried())
    assert not verdict.passed
    assert "It held the event loop for over 0.5 seconds; I ended it." in verdict.saw


def test_a_function_without_an_answer_is_told_what_it_returned() -> None:
    verdict = judged("06-1", lambda text: None)
    assert not verdict.passed
    assert verdict.saw[0].endswith("returned None instead of a text.")


def never_closed(text: str) -> str:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, ask(async_client(max_retries=2), text)).result()


def closed_and_not_awaited(text: str) -> str:
    async def once() -> str:
        own = async_client(max_retries=2)
        answer = await ask(own, text)
        own.close()  # type: ignore[unused-coroutine]
        return answer

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, once()).result()


def blocking_and_never_closed(text: str) -> str:
    answer = blocking_client(max_retries=2).chat.completions.create(
        model=model(), messages=[{"role": "user", "content": text}]
    )
    return str(answer.choices[0].message.content)


@pytest.mark.filterwarnings("ignore:coroutine 'AsyncAPIClient.close' was never awaited")
@pytest.mark.parametrize(
    "caption", [never_closed, closed_and_not_awaited, blocking_and_never_closed]
)
def test_clients_that_nobody_closed_are_counted(caption: Callable[[str], str]) -> None:
    verdict = judged("06-1", caption)
    assert not verdict.passed
    assert verdict.saw[0] == (
        "The texts are right, and 2 clients that it made are still open, connections included."
    )


def closed_by_hand(text: str) -> str:
    async def once() -> str:
        own = async_client(max_retries=2)
        try:
            return await ask(own, text)
        finally:
            await own.close()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, once()).result()


def in_a_runner_of_a_thread(text: str) -> str:
    said: list[str] = []

    def alone() -> None:
        with asyncio.Runner() as runner:
            said.append(runner.run(ask_alone(text)))

    thread = threading.Thread(target=alone)
    thread.start()
    thread.join()
    return said[0]


def blocking_and_closed(text: str) -> str:
    with blocking_client(max_retries=2) as own:
        answer = own.with_options(timeout=9).chat.completions.create(
            model=model(), messages=[{"role": "user", "content": text}]
        )
    return str(answer.choices[0].message.content)


@pytest.mark.parametrize("caption", [closed_by_hand, in_a_runner_of_a_thread, blocking_and_closed])
def test_whoever_closes_its_client_passes(caption: Callable[[str], str]) -> None:
    verdict = judged("06-1", caption)
    assert verdict.passed, verdict


NESTED = """
import asyncio
import nest_asyncio
from helpers import async_client, check, model

async def ask_alone(text):
    async with async_client(max_retries=2) as own:
        messages = [{"role": "user", "content": text}]
        answer = await own.chat.completions.create(model=model(), messages=messages)
        return answer.choices[0].message.content

def caption(text):
    nest_asyncio.apply()
    return asyncio.run(ask_alone(text))

def nightly(questions):
    return [caption(question) for question in questions]

print(asyncio.run(check("06-1", caption)), asyncio.run(check("06-2", nightly)), sep="\\n---\\n")
"""


def test_nest_asyncio_is_turned_down_in_a_process_of_its_own() -> None:
    said = subprocess.run(
        [sys.executable, "-c", NESTED],
        capture_output=True,
        text=True,
        cwd=notebooks.ROOT,
        check=True,
        timeout=60,
    ).stdout
    first, second = said.split("\n---\n")
    for verdict in (first, second):
        assert verdict.startswith(
            "not yet  asyncio.run is no longer Python's own: nest_asyncio has"
        )
        assert "restart the kernel" in verdict


# --- 06-2: each answer paid for once --------------------------------------------------------------


def test_the_script_that_tries_again_is_shown_its_bill() -> None:
    verdict = judged("06-2", cell("exercise-2-starter", "nightly"))
    assert not verdict.passed
    assert verdict.saw[0] == (
        "4 answers came back for 7 requests: nobody read what 3 of them brought."
    )


def test_the_script_with_one_loop_passes() -> None:
    verdict = judged("06-2", cell("exercise-2-solution", "nightly"))
    assert verdict.saw == ("4 questions, 4 answers, 4 requests: each paid for once.",)
    assert verdict.passed


async def awaited(questions: list[str]) -> list[str]:
    return [await ask_alone(question) for question in questions]


def a_client_for_each_run(questions: list[str]) -> list[str]:
    return [asyncio.run(ask_alone(question)) for question in questions]


@pytest.mark.parametrize("nightly", [awaited, a_client_for_each_run])
def test_other_ways_to_pay_once_pass(nightly: Callable[[list[str]], Any]) -> None:
    assert judged("06-2", nightly).passed


def test_a_script_whose_client_stays_open_is_told() -> None:
    def nightly(questions: list[str]) -> list[str]:
        async def main() -> list[str]:
            client = async_client(max_retries=2)
            return [await ask(client, question) for question in questions]

        return asyncio.run(main())

    verdict = judged("06-2", nightly)
    assert not verdict.passed
    assert verdict.saw[0].startswith("The texts are right, and 1 client that it made is still open")


def test_a_script_that_keeps_its_loop_for_all_questions_passes() -> None:
    def nightly(questions: list[str]) -> list[str]:
        client = async_client(max_retries=2)
        with asyncio.Runner() as runner:
            answers = [runner.run(ask(client, question)) for question in questions]
            runner.run(client.close())
        return answers

    assert judged("06-2", nightly).passed


def test_answers_in_another_order_than_the_questions_are_turned_down() -> None:
    async def nightly(questions: list[str]) -> list[str]:
        return await asyncio.gather(*map(ask_alone, reversed(questions)))

    verdict = judged("06-2", nightly)
    assert verdict.saw == (
        "The answers do not stand in the order of the questions.",
        "4 requests reached the server.",
    )


def test_answers_as_they_come_are_turned_down() -> None:
    async def nightly(questions: list[str]) -> list[str]:
        calls = [ask_alone(question) for question in questions]
        return [await call for call in asyncio.as_completed(calls)]

    verdict = judged("06-2", nightly)
    assert verdict.saw[0] == "The answers do not stand in the order of the questions."


def test_a_script_that_skips_what_failed_is_told_how_many_answers_it_lost() -> None:
    def nightly(questions: list[str]) -> list[str]:
        client = async_client(max_retries=2)
        answers = []
        for question in questions:
            try:
                answers.append(asyncio.run(ask(client, question)))
            except RuntimeError:
                continue
        return answers

    verdict = judged("06-2", nightly)
    assert verdict.saw == (
        "4 questions were asked for, and 2 answers came back.",
        "4 requests reached the server.",
    )


def test_more_retries_of_the_sdk_are_shown_not_to_help() -> None:
    def nightly(questions: list[str]) -> list[str]:
        client = async_client(max_retries=9)
        return [asyncio.run(ask(client, question)) for question in questions]

    verdict = judged("06-2", nightly)
    assert "raised RuntimeError: Event loop is closed" in verdict.saw[0]
    assert verdict.saw[1] == "2 requests reached the server."


def test_made_up_answers_are_told_that_the_server_saw_nothing() -> None:
    verdict = judged("06-2", lambda questions: ["one, two, three"] * len(questions))
    assert verdict.saw[0] == "4 texts came back, and only 0 were asked of the server."
