"""How an answer is tried: what a verdict says, and that no answer can hang or leak."""

import asyncio
import contextlib
import gc
import re
import time
import warnings
from collections.abc import AsyncIterator, Coroutine, Iterator

import pytest

from helpers import async_client, blocking_client, check, hint, model
from helpers.checks import NoSuchExercise
from helpers.checks.exercise import Exercise, NotYet, Trial, Verdict, describe, judge, register
from helpers.checks.likely import Likely, explaining


async def wants_42(trial: Trial) -> str:
    if await trial.run() != 42:
        raise NotYet("it is not 42")
    return "it is 42"


def verdict(answer: object, *arguments: object, time_limit: float = 5.0) -> Verdict:
    """Judge an answer that should return 42."""

    async def right_if_42(trial: Trial) -> str:
        result = await trial.run(*arguments)
        if result != 42:
            raise NotYet(f"it returned {describe(result)}")
        return "it returned 42"

    return asyncio.run(judge(Exercise("99-1", right_if_42, ("cool",), time_limit), answer))


def test_a_right_answer_passes_whether_plain_or_async() -> None:
    async def slowly() -> int:
        return 42

    assert repr(verdict(lambda: 42)) == "passed   it returned 42"
    assert verdict(slowly).passed


def test_a_wrong_answer_is_told_what_was_seen_and_where_a_hint_is() -> None:
    assert repr(verdict(lambda: None)).splitlines() == [
        "not yet  it returned None",
        "         0 requests reached the server.",
        'hint     hint("99-1")',
    ]


def test_an_answer_that_is_no_function_is_told_what_it_is() -> None:
    assert verdict("text").saw[0] == "The answer should be a function; it is the text 'text'."


def test_an_error_is_told_with_the_call() -> None:
    def fails(text: str) -> None:
        raise ValueError(f"no {text}")

    assert verdict(fails, "x" * 99).saw[0] == (
        f"fails('{'x' * 38}…) raised ValueError: no {'x' * 99}"
    )


def test_a_coroutine_that_a_plain_function_returns_is_not_awaited_for_it() -> None:
    def forgets() -> Coroutine[object, object, object]:
        return async_client().chat.completions.create(model=model(), messages=[])

    assert verdict(forgets).saw == (
        "it returned a coroutine, a call that has not started",
        "0 requests reached the server.",
    )


def test_a_forgotten_await_inside_warns_about_nothing_afterwards() -> None:
    async def forgets() -> object:
        return (
            async_client()
            .chat.completions.create(  # type: ignore[attr-defined]
                model=model(), messages=[]
            )
            .choices
        )

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "'coroutine' object has no attribute 'choices'" in verdict(forgets).saw[0]


def test_the_items_of_a_generator_are_the_result() -> None:
    def plain() -> Iterator[int]:
        yield 1

    async def slow() -> AsyncIterator[int]:
        yield 2

    async def both(trial: Trial) -> str:
        return str(await trial.run())

    for generator, items in ((plain, "[1]"), (slow, "[2]")):
        assert asyncio.run(judge(Exercise("99-2", both, ()), generator)).saw == (items,)


def test_requests_during_the_trial_are_counted() -> None:
    def asks() -> int:
        blocking_client().models.list()
        return 0

    assert verdict(asks).saw[1] == "1 request reached the server."


@pytest.mark.parametrize("limit", [0.2])
def test_an_answer_that_waits_for_ever_is_ended(limit: float) -> None:
    async def waits() -> None:
        await asyncio.Event().wait()

    assert verdict(waits, time_limit=limit).saw[0] == "No answer within 0.2 seconds."


def test_an_answer_that_holds_the_loop_is_broken_off() -> None:
    async def blocks() -> None:
        time.sleep(30)  # noqa: ASYNC251

    start = time.monotonic()
    assert "held the event loop" in verdict(blocks, time_limit=0.2).saw[0]
    assert time.monotonic() - start < 15


@pytest.fixture
def _little_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("helpers.checks.exercise.GRACE", 0.1)


@pytest.mark.usefixtures("_little_grace")
def test_an_answer_that_refuses_to_be_cancelled_cannot_keep_the_check() -> None:
    released = False

    async def stubborn() -> None:
        while not released:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)

    async def leaves() -> int:
        leaves.task = asyncio.create_task(stubborn())  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        return 42

    async def main() -> list[Verdict]:
        nonlocal released
        exercise = Exercise("99-1", wants_42, (), time_limit=0.2)
        said = [await judge(exercise, stubborn), await judge(exercise, leaves)]
        released = True
        return said

    kept, passed = asyncio.run(main())
    assert kept.saw[:2] == (
        "No answer within 0.2 seconds.",
        "1 task of it cannot be cancelled, and may run on.",
    )
    assert passed.passed
    assert "1 task of it cannot be cancelled" in passed.saw[1]


@pytest.mark.usefixtures("_little_grace")
def test_a_task_of_others_that_holds_the_loop_meanwhile_is_not_broken_off() -> None:
    """It may be a cell that the learner has queued behind the check."""

    async def main() -> tuple[Verdict, str]:
        async def other() -> str:
            time.sleep(0.8)  # noqa: ASYNC251 - past the limit and the grace
            return "ran"

        async def slow() -> int:
            await asyncio.sleep(0.1)
            return 42

        begun = asyncio.create_task(other())
        return await judge(Exercise("99-1", wants_42, (), time_limit=0.2), slow), await begun

    assert asyncio.run(main())[1] == "ran"


def test_whoever_closes_the_shared_client_is_told_so() -> None:
    async def ask() -> None:
        async with async_client() as client:
            await client.models.list()
        await client.models.list()

    first, *more = repr(verdict(ask)).splitlines()
    assert "RuntimeError: Cannot send a request, as the client has been closed." in first
    assert more[0].endswith("The lesson shares one client, and `async with` or close() ended it.")


def test_a_function_among_the_arguments_is_told_by_its_name() -> None:
    def show(piece: str) -> None:
        raise ValueError(piece)

    assert verdict(lambda shown: shown("no"), show).saw[0] == "<lambda>(show) raised ValueError: no"


def test_your_own_interrupt_is_not_swallowed() -> None:
    async def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verdict(interrupted)


def test_tasks_that_an_answer_leaves_behind_are_ended() -> None:
    ended: list[str] = []

    async def leaves() -> int:
        async def work() -> None:
            try:
                await asyncio.sleep(30)
            finally:
                ended.append("work")

        leaves.task = asyncio.create_task(work())  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        return 42

    assert verdict(leaves).passed
    assert ended == ["work"]


def test_a_task_that_others_start_meanwhile_goes_on() -> None:
    """In a notebook it may be the next cell of a *Run All*."""

    async def main() -> str:
        loop = asyncio.get_running_loop()
        others: list[asyncio.Task[str]] = []
        arrived = asyncio.Event()

        async def next_cell() -> str:
            await asyncio.sleep(0.02)
            return "ran"

        async def answer() -> int:
            await arrived.wait()
            return 42

        def arrive() -> None:
            others.append(loop.create_task(next_cell()))
            arrived.set()

        loop.call_soon(arrive)
        assert (await judge(exercise, answer)).passed
        return await others[0]

    exercise = Exercise("99-1", wants_42, ())
    assert asyncio.run(main()) == "ran"


def test_the_loop_makes_its_tasks_as_before_when_the_check_is_over() -> None:
    async def main() -> object:
        await judge(Exercise("99-1", wants_42, ()), lambda: 42)
        return asyncio.get_running_loop().get_task_factory()

    assert asyncio.run(main()) is None


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("helpers.checks.exercise._exercises", {})
    monkeypatch.setattr("helpers.checks.import_module", lambda name: None)
    monkeypatch.setattr("helpers.checks._hints_given", {})

    @register("99-1", hints=("cool", "warm", "hot"))
    async def judged(trial: Trial) -> str:
        return str(await trial.run())


@pytest.mark.usefixtures("registered")
def test_hints_get_warmer_and_the_last_one_stays() -> None:
    given = [hint("99-1") for _ in range(4)]
    assert given[1:] == ["hint 2 of 3: warm", "hint 3 of 3: hot", "hint 3 of 3: hot"]
    assert repr(given[0]) == "hint 1 of 3: cool"


@pytest.mark.usefixtures("registered")
def test_an_exercise_that_is_not_there_is_told_what_there_is() -> None:
    with pytest.raises(LookupError, match=r"no exercise '99-2'. There are: 99-1."):
        hint("99-2")


@pytest.mark.usefixtures("registered")
def test_a_hint_for_what_was_seen_comes_first_and_once_and_not_for_another_answer() -> None:
    @register("99-1", hints=("cool", "warm"))
    async def judged(trial: Trial) -> str:
        with explaining(trial):
            if await trial.run() != 42:
                raise NotYet("It is another number.", "It is 42.")
        return "It is 42."

    def wrong() -> int:
        return 41

    asyncio.run(check("99-1", wrong))
    assert [hint("99-1"), hint("99-1")] == [
        "hint, for what the check saw: It is 42.",
        "hint 1 of 2: cool",
    ]
    asyncio.run(check("99-1", wrong))
    asyncio.run(check("99-1", lambda: 42))
    assert hint("99-1") == "hint 2 of 2: warm"


@pytest.mark.usefixtures("registered")
def test_what_an_error_means_in_this_exercise_goes_before_what_it_means_anywhere() -> None:
    own = Likely(re.compile("'Choice' object"), "Mine.", "My hint.")

    @register("99-1", hints=("cool",))
    async def judged(trial: Trial) -> str:
        with explaining(trial, own):
            return str(await trial.run())

    def fails() -> None:
        raise AttributeError("'Choice' object has no attribute 'delta'")

    saw = asyncio.run(check("99-1", fails)).saw[0]
    assert saw.splitlines() == [
        "fails() raised AttributeError: 'Choice' object has no attribute 'delta'",
        "Mine.",
    ]
    assert hint("99-1") == "hint, for what the check saw: My hint."


def test_a_lesson_that_is_not_there_is_told_so() -> None:
    with pytest.raises(LookupError, match="no lesson 77 has checks"):
        asyncio.run(check("77-1", print))


def test_without_a_journal_the_verdict_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trial, "sees_requests", False)
    assert verdict(lambda: 42).saw[1] == (
        "This endpoint keeps no journal: judged by results alone."
    )


@pytest.mark.parametrize("name", ["1-1", "01-01", "1.1", "lesson 1, exercise 1"])
def test_a_name_written_otherwise_is_told_its_spelling_and_no_traceback(name: str) -> None:
    with pytest.raises(NoSuchExercise) as raised:
        hint(name)
    (line,) = raised.value._render_traceback_()
    assert line.endswith(f'There is no exercise {name!r}. It is written "01-1".')


@pytest.mark.parametrize("name", [1, print, "1", ""])
def test_a_name_that_is_none_is_told_what_one_looks_like(name: object) -> None:
    with pytest.raises(LookupError, match='a text like "03-1"'):
        hint(name)  # type: ignore[arg-type]


def test_a_client_left_over_from_another_loop_says_nothing_in_a_later_cell(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def leaves_a_client() -> int:
        async def ask() -> None:
            await async_client(max_retries=2).models.list()

        asyncio.run(ask())
        return 42

    async def judged() -> Verdict:
        async def right_if_42(trial: Trial) -> str:
            return str(await trial.run())

        return await judge(Exercise("99-1", right_if_42, ()), leaves_a_client)

    async def later() -> None:
        assert (await judged()).passed
        gc.collect()
        await asyncio.sleep(0.05)
        gc.collect()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        asyncio.run(later())
    assert caplog.records == []
