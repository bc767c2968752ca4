"""Lesson 03's checks tell a forgotten await from a superfluous one, and both from a repair."""

import asyncio
import warnings
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from helpers import async_client, blocking_client, check, hint, model
from helpers.checks import Verdict
from helpers.checks.exercise import Trial
from tools import notebooks

LESSON = notebooks.FOLDER / "03_the_forgotten_await.ipynb"


def judged(name: str, answer: object) -> Verdict:
    return asyncio.run(check(name, answer))


def judged_cell(name: str, cell_id: str) -> Verdict:
    """Judge the function that a cell of the lesson defines."""
    source = next(cell.source for cell in notebooks.read(LESSON).cells if cell.id == cell_id)

    async def judge() -> Verdict:
        async with async_client(max_retries=0) as client:
            names: dict[str, Any] = {
                "client": client,
                "blocking": blocking_client(),
                "model": model,
            }
            before = set(names)
            exec(source, names)
            (function,) = names.keys() - before - {"__builtins__"}
            return await check(name, names[function])

    return asyncio.run(judge())


def ask(text: str) -> dict[str, Any]:
    return {"model": model(), "messages": [{"role": "user", "content": text}]}


async def once(text: str) -> str:
    async with async_client(max_retries=0) as client:
        reply = await client.chat.completions.create(**ask(text))
        return str(reply.choices[0].message.content)


Answer = Callable[[str], Any]


# --- 03-1: a forgotten await --------------------------------------------------------------------


def test_the_function_that_forgets_is_turned_down_with_the_error_it_raised() -> None:
    assert judged_cell("03-1", "exercise-1-starter").saw == (
        "capital_of('France') raised AttributeError: 'coroutine' object has no attribute 'choices'",
        "0 requests reached the server.",
    )


def test_the_function_that_awaits_its_call_passes() -> None:
    verdict = judged_cell("03-1", "exercise-1-solution")
    assert verdict.passed
    assert verdict.saw[0].startswith("1 request reached the server; ")


async def awaits_the_text(country: str) -> str:
    reply: Any = async_client().chat.completions.create(**ask(country))
    return str(await reply.choices[0].message.content)


def hands_the_coroutine_on(country: str) -> Coroutine[Any, Any, str]:
    return once(country)


async def hands_the_coroutine_up(country: str) -> Awaitable[str]:
    return once(country)


async def turns_it_into_text(country: str) -> str:
    call = async_client().chat.completions.create(**ask(country))
    text = str(call)
    call.close()
    return text


async def quotes_it(country: str) -> str:
    call = async_client().chat.completions.create(**ask(country))
    text = f"Answer: {call}"
    call.close()
    return text


async def prints_the_whole_reply(country: str) -> str:
    async with async_client(max_retries=0) as client:
        return str(await client.chat.completions.create(**ask(country)))


async def asks_for_the_models(country: str) -> str:
    async with async_client(max_retries=0) as client:
        await client.models.list()
    return "Paris"


async def returns_nothing_to_read(country: str) -> str:
    await once(country)
    return ""


async def returns_the_whole_reply(country: str) -> object:
    async with async_client(max_retries=0) as client:
        return await client.chat.completions.create(**ask(country))


def blocks(country: str) -> str:
    return str(blocking_client().chat.completions.create(**ask(country)).choices[0].message.content)


async def asks_twice(country: str) -> str:
    await once(country)
    return await once(country)


async def invents(country: str) -> str:
    return f"The capital of {country} is well known."


@pytest.mark.parametrize(
    ("answer", "reason", "requests"),
    [
        (awaits_the_text, "'coroutine' object has no attribute 'choices'", "0 requests"),
        (hands_the_coroutine_on, "gave a coroutine, a call that has not started", "0 requests"),
        (hands_the_coroutine_up, "gave a coroutine, a call that has not started", "0 requests"),
        (turns_it_into_text, "a coroutine's repr as its text", "0 requests"),
        (quotes_it, "a coroutine's repr as its text", "0 requests"),
        (prints_the_whole_reply, "the answer's printed form", "1 request"),
        (asks_for_the_models, "no question to a model", "1 request"),
        (returns_nothing_to_read, "an empty text", "1 request"),
        (returns_the_whole_reply, "it returned a ChatCompletion", "1 request"),
        (blocks, "callers cannot await it", "1 request"),
        (asks_twice, "one request a question: 1 here", "2 requests"),
        (invents, "one request a question: 1 here", "0 requests"),
    ],
)
def test_a_wrong_repair_is_told_what_was_seen(answer: Answer, reason: str, requests: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        verdict = judged("03-1", answer)
    assert not verdict.passed
    assert reason in verdict.saw[0]
    assert verdict.saw[1] == f"{requests} reached the server."


# --- 03-2: a superfluous await, and the retries that hide it -----------------------------------


def test_the_function_that_pays_three_times_is_told_its_bill() -> None:
    assert judged_cell("03-2", "exercise-2-starter").saw == (
        "2 of 2 texts came back as '(no summary)'.",
        "6 requests reached the server.",
    )


def test_the_function_that_asks_once_and_waits_beside_others_passes() -> None:
    assert judged_cell("03-2", "exercise-2-solution").saw == (
        "2 texts, 2 requests, and both were under way at once.",
    )


async def drops_the_await(text: str) -> str:
    return blocks(text)


async def forgets_the_await(text: str) -> str:
    try:
        reply: Any = async_client().chat.completions.create(**ask(text))
        return str(reply.choices[0].message.content)
    except AttributeError:
        return "(no summary)"


async def keeps_the_loop(text: str) -> str:
    for _ in range(3):
        summary = await once(text)
    return summary


async def still_awaits_the_answer(text: str) -> str:
    answer: Any = blocks(text)
    return str(await answer)


@pytest.mark.parametrize(
    ("answer", "reason", "requests"),
    [
        (drops_the_await, "only after the first had ended", "2 requests"),
        (forgets_the_await, "2 of 2 texts came back as '(no summary)'", "0 requests"),
        (keeps_the_loop, "one request a text: 2 here", "6 requests"),
        (still_awaits_the_answer, "raised TypeError", "2 requests"),
    ],
)
def test_a_wrong_saving_is_told_what_was_seen(answer: Answer, reason: str, requests: str) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="coroutine .* was never awaited")
        verdict = judged("03-2", answer)
    assert not verdict.passed
    assert reason in verdict.saw[0]
    assert verdict.saw[1] == f"{requests} reached the server."


# --- on an endpoint that keeps no journal ------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "cell_id"), [("03-1", "exercise-1-solution"), ("03-2", "exercise-2-solution")]
)
def test_without_a_journal_a_solution_passes_by_its_result(
    name: str, cell_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trial, "sees_requests", False)
    assert judged_cell(name, cell_id).passed


@pytest.mark.parametrize(
    ("name", "cell_id"), [("03-1", "exercise-1-starter"), ("03-2", "exercise-2-starter")]
)
def test_without_a_journal_a_starter_is_still_turned_down(
    name: str, cell_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trial, "sees_requests", False)
    assert not judged_cell(name, cell_id).passed


@pytest.mark.parametrize(
    ("name", "word"), [("03-1", "Put await in front"), ("03-2", "Await client")]
)
def test_the_third_hint_says_what_to_write(name: str, word: str) -> None:
    assert word in [hint(name) for _ in range(3)][-1]
