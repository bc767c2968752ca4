"""Lesson 03's checks tell a forgotten await from a superfluous one, and both from a repair."""

import asyncio
import contextlib
import sys
import warnings
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from openai import APIConnectionError

from helpers import async_client, blocking_client, check, hint, model
from helpers.checks import Verdict
from helpers.checks.exercise import Trial
from tests.pace import embedded_server_at
from tests.starving import starved
from tools import notebooks

LESSON = notebooks.FOLDER / "03_the_forgotten_await.ipynb"


def judged(name: str, answer: object) -> Verdict:
    return asyncio.run(check(name, answer))


def source_of(cell_id: str) -> str:
    return next(cell.source for cell in notebooks.read(LESSON).cells if cell.id == cell_id)


def judged_cell(name: str, cell_id: str) -> Verdict:
    """Judge the function that a cell of the lesson defines."""

    async def judge() -> Verdict:
        async with async_client(max_retries=0) as client:
            names: dict[str, Any] = {
                "client": client,
                "blocking": blocking_client(),
                "model": model,
            }
            exec(source_of("three-forgotten").partition("\n\n\n")[0], names)
            before = set(names)
            exec(source_of(cell_id), names)
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


# --- 03-1: a forgotten await that nothing complains of ------------------------------------------


def test_the_function_that_forgets_is_told_what_it_returned() -> None:
    assert judged_cell("03-1", "exercise-1-starter").saw == (
        "capital_of('France') returned a coroutine's repr as its text: the call never started.",
        "0 requests reached the server.",
    )


def test_the_function_that_awaits_its_call_passes() -> None:
    verdict = judged_cell("03-1", "exercise-1-solution")
    assert verdict.passed
    assert verdict.saw[0].startswith("1 request reached the server; ")


def capital(country: str) -> str:
    return f"What is the capital of {country}?"


async def awaits_the_text(country: str) -> str:
    reply: Any = async_client().chat.completions.create(**ask(capital(country)))
    return str(await reply.choices[0].message.content)


async def uses_it_unawaited(country: str) -> str:
    reply: Any = async_client().chat.completions.create(**ask(capital(country)))
    return str(reply.choices[0].message.content)


async def awaits_and_keeps_nothing(country: str) -> str:
    async with async_client(max_retries=0) as client:
        reply: Any = client.chat.completions.create(**ask(capital(country)))
        await reply
        return str(reply.choices[0].message.content)


async def awaits_and_shows_the_call(country: str) -> str:
    call = once(capital(country))
    await call
    return str(call)


async def awaits_twice(country: str) -> str:
    call = once(capital(country))
    await call
    return await call


async def awaits_the_blocking_client(country: str) -> str:
    answer: Any = blocking_client().chat.completions.create(**ask(capital(country)))
    return str((await answer).choices[0].message.content)


async def hands_the_coroutine_up(country: str) -> Awaitable[str]:
    return once(capital(country))


async def turns_it_into_text(country: str) -> str:
    call = async_client().chat.completions.create(**ask(capital(country)))
    text = str(call)
    call.close()
    return text


async def prints_the_whole_reply(country: str) -> str:
    async with async_client(max_retries=0) as client:
        return str(await client.chat.completions.create(**ask(capital(country))))


async def asks_for_the_models(country: str) -> str:
    async with async_client(max_retries=0) as client:
        await client.models.list()
    return "Paris"


async def returns_nothing_to_read(country: str) -> str:
    await once(capital(country))
    return ""


async def returns_the_whole_reply(country: str) -> object:
    async with async_client(max_retries=0) as client:
        return await client.chat.completions.create(**ask(capital(country)))


def is_plain(country: str) -> str:
    return read(blocking_client().chat.completions.create(**ask(capital(country))))


async def blocks(country: str) -> str:
    return is_plain(country)


def read(reply: Any) -> str:
    return str(reply.choices[0].message.content)


async def asks_twice(country: str) -> str:
    await once(capital(country))
    return await once(capital(country))


async def asks_another_question(country: str) -> str:
    return await once("Why is the sky blue?")


async def asks_for_the_country_alone(country: str) -> str:
    return await once(country)


async def invents(country: str) -> str:
    return f"The capital of {country} is well known."


@pytest.mark.parametrize(
    ("answer", "reason", "requests"),
    [
        (hands_the_coroutine_up, "gave a coroutine, a call that has not started", "0 requests"),
        (turns_it_into_text, "the call never started", "0 requests"),
        (awaits_and_shows_the_call, "was awaited, and its result not kept", "1 request"),
        (prints_the_whole_reply, "the answer's printed form", "1 request"),
        (asks_for_the_models, "no question to a model", "1 request"),
        (returns_nothing_to_read, "an empty text", "1 request"),
        (returns_the_whole_reply, "it returned a ChatCompletion", "1 request"),
        (is_plain, "is a plain function: called in a cell, it holds the loop", "1 request"),
        (blocks, "that is the blocking client, inside an `async def`", "1 request"),
        (asks_twice, "one request a question: 1 here", "2 requests"),
        (asks_another_question, "the server was not asked for that capital", "1 request"),
        (asks_for_the_country_alone, "the server was not asked for that capital", "1 request"),
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


def test_who_asks_twice_is_helped_to_keep_what_came() -> None:
    judged("03-1", asks_twice)
    assert "Await once" in hint("03-1")


@pytest.mark.parametrize(
    ("answer", "sentence", "hinted"),
    [
        (awaits_the_text, "it was never awaited: a call that has not started", "in front of"),
        (uses_it_unawaited, "it was never awaited: a call that has not started", "in front of"),
        (awaits_and_keeps_nothing, "was awaited, but its result was not kept", "reply = await"),
        (awaits_twice, "was awaited before, and runs once", "keep what `await` gives"),
        (awaits_the_blocking_client, "is an answer already, and paid for", "Which client"),
    ],
)
def test_an_error_is_told_in_a_plain_sentence_and_the_hint_is_about_it(
    answer: Answer, sentence: str, hinted: str
) -> None:
    verdict = judged("03-1", answer)
    raised, plainly = verdict.saw[0].splitlines()
    assert "raised" in raised
    assert sentence in plainly
    assert hinted in hint("03-1")
    assert hint("03-1").startswith("hint "), "and the usual ones go on"


def hands_the_coroutine_on(country: str) -> Coroutine[Any, Any, str]:
    return once(capital(country))


def makes_a_task(country: str) -> Awaitable[str]:
    return asyncio.ensure_future(once(capital(country)))


async def asks_in_other_words(country: str) -> str:
    return await once(f"Tell me the capital city of {country}, please.")


async def asks_in_a_thread(country: str) -> str:
    return await asyncio.to_thread(is_plain, country)


async def asks_for_a_few_tokens(country: str) -> str:
    async with async_client(max_retries=0) as client:
        return read(await client.chat.completions.create(**ask(capital(country)), max_tokens=8))


@pytest.mark.parametrize(
    "answer",
    [
        hands_the_coroutine_on,
        makes_a_task,
        asks_in_other_words,
        asks_in_a_thread,
        asks_for_a_few_tokens,
    ],
)
def test_a_right_repair_by_another_road_is_taken(answer: Answer) -> None:
    verdict = judged("03-1", answer)
    assert verdict.passed, verdict


# --- 03-1 on a machine that is too busy ---------------------------------------------------------

without_usleep = pytest.mark.skipif(sys.platform == "win32", reason="no usleep")

PACE = 0.25
"""The server's, at which the request takes 0.4 s: longer than it takes to leave a process without a
turn once the server has it."""

ALL_OF_IT = (0.5, 1.0, 3.0)
"""Seconds without a turn that cover the request, and those of the two askings after it."""


@without_usleep
def test_a_right_repair_is_taken_though_its_process_had_no_turn_during_the_request() -> None:
    with embedded_server_at(PACE):
        verdict = judged("03-1", starved(hands_the_coroutine_on, *ALL_OF_IT[:1]))
    assert verdict.passed, verdict
    assert verdict.saw[0].startswith("1 request reached the server; "), "a second asking is aside"


@without_usleep
@pytest.mark.slow
@pytest.mark.parametrize("starved_askings", [1, 2])
def test_a_blocking_call_is_told_as_soon_as_its_process_has_turns(starved_askings: int) -> None:
    with embedded_server_at(PACE):
        verdict = judged("03-1", starved(blocks, *ALL_OF_IT[:starved_askings]))
    assert "that is the blocking client" in verdict.saw[0]
    assert verdict.saw[1] == "1 request reached the server."


@without_usleep
@pytest.mark.slow
def test_where_the_process_never_has_a_turn_it_is_said_that_nothing_can_be_told() -> None:
    with embedded_server_at(PACE):
        verdict = judged("03-1", starved(hands_the_coroutine_on, *ALL_OF_IT))
    assert not verdict.passed
    assert "so busy that it cannot be told" in verdict.saw[0]


@without_usleep
@pytest.mark.slow
def test_a_blocking_call_does_not_pass_where_the_process_never_has_a_turn() -> None:
    with embedded_server_at(PACE):
        verdict = judged("03-1", starved(blocks, *ALL_OF_IT))
    assert not verdict.passed
    # Which of the two depends on how soon the starving begins: it waits for the request to be seen.
    told = ("so busy that it cannot be told", "that is the blocking client")
    assert any(sentence in verdict.saw[0] for sentence in told)


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
    return is_plain(text)


async def forgets_the_await(text: str) -> str:
    try:
        return await uses_it_unawaited(text)
    except AttributeError:
        return "(no summary)"


async def asks_three_times(text: str) -> str:
    for _ in range(3):
        summary = await once(text)
    return summary


async def still_awaits_the_answer(text: str) -> str:
    answer: Any = is_plain(text)
    return str(await answer)


@pytest.mark.parametrize(
    ("answer", "reason", "requests"),
    [
        (drops_the_await, "only after the first had ended", "2 requests"),
        (forgets_the_await, "2 of 2 texts came back as '(no summary)'", "0 requests"),
        (asks_three_times, "one request a text: 2 here", "6 requests"),
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


async def keeps_the_loop_and_the_except(text: str) -> str:
    for _ in range(3):
        try:
            return await once(text)
        except Exception:
            continue
    return "(no summary)"


async def keeps_the_except(text: str) -> str:
    try:
        return await once(text)
    except Exception:
        return "(no summary)"


async def tries_again_and_raises_at_last(text: str) -> str:
    for _ in range(2):
        with contextlib.suppress(Exception):
            return await once(text)
    return await once(text)


@pytest.mark.parametrize(
    ("answer", "still_wrong", "helps"),
    [
        (
            keeps_the_loop_and_the_except,
            "after 3 tries it returned the text '(no summary)'.",
            "What keeps the error from the caller?",
        ),
        (
            keeps_the_except,
            "after one try it returned the text '(no summary)'.",
            "What keeps the error from the caller?",
        ),
        (
            tries_again_and_raises_at_last,
            "it was tried 3 times. Trying again mends no mistake.",
            "Take the loop away",
        ),
    ],
)
def test_a_saving_that_would_hide_the_next_mistake_is_told_what_is_still_wrong(
    answer: Answer, still_wrong: str, helps: str
) -> None:
    verdict = judged("03-2", answer)
    assert not verdict.passed
    assert verdict.saw[0].startswith("The summaries come. But then I let the call fail")
    assert still_wrong in verdict.saw[0]
    assert helps in hint("03-2")


def hands_the_call_on(text: str) -> Coroutine[Any, Any, str]:
    return once(text)


async def tries_a_lost_connection_again(text: str) -> str:
    for _ in range(3):
        try:
            return await once(text)
        except APIConnectionError:
            await asyncio.sleep(1)
    return await once(text)


async def waits_in_a_thread(text: str) -> str:
    return await asyncio.to_thread(is_plain, text)


async def says_what_went_wrong(text: str) -> str:
    try:
        return await once(text)
    except Exception as error:
        raise RuntimeError("No summary came.") from error


@pytest.mark.parametrize(
    "answer",
    [hands_the_call_on, tries_a_lost_connection_again, waits_in_a_thread, says_what_went_wrong],
)
def test_a_right_saving_by_another_road_is_taken(answer: Answer) -> None:
    verdict = judged("03-2", answer)
    assert verdict.passed, verdict


def test_calls_of_other_tasks_do_not_fail_with_those_of_the_answer() -> None:
    async def judge() -> tuple[Verdict, list[str]]:
        said: list[str] = []
        done = asyncio.Event()

        async def in_the_background() -> None:
            while not done.is_set():
                said.append(await once("Hello"))

        async with async_client(max_retries=0):
            other = asyncio.create_task(in_the_background())
            verdict = await check("03-2", slowly_hides)
            done.set()
            await other
        return verdict, said

    async def slowly_hides(text: str) -> str:
        try:
            return await once(text)
        except TypeError:
            await asyncio.sleep(0.2)
            return "(no summary)"

    # The background's requests are counted with the answer's, so without a journal.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trial, "sees_requests", False)
        verdict, said = asyncio.run(judge())
    assert "I let the call fail" in verdict.saw[0]
    assert said
    assert all(text.startswith("Hello!") for text in said)


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
    ("name", "word"), [("03-1", "Put `await` in front"), ("03-2", "Await client")]
)
def test_the_third_hint_says_what_to_write(name: str, word: str) -> None:
    assert word in [hint(name) for _ in range(3)][-1]
