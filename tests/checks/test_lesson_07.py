"""Lesson 07's checks turn down what is wrong for the right reason, and take what is right."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from openai import (
    APIConnectionError,
    APIError,
    APIStatusError,
    InternalServerError,
    RateLimitError,
)

from helpers import async_client, blocking_client, model
from tests.checks.judging import turned_down, verdict

Summarise = Callable[[str], Awaitable[str]]


async def extract_summary(text: str) -> str:
    if len(text) < 30:
        return text
    response = await async_client().chat.completions.create(
        model=model(),
        messages=[{"role": "system", "content": "Summarise."}, {"role": "user", "content": text}],
    )
    return response.choices[0].message.content or ""


async def heading(text: str) -> str:
    return f"* {await extract_summary(text)}"


# --- 07-1: every caller awaits ----------------------------------------------------------------


async def repr_of_a_call(texts: list[str]) -> list[str]:
    return [f"* {extract_summary(text)}" for text in texts]


async def nobody_awaits_heading(texts: list[str]) -> list[object]:
    return [heading(text) for text in texts]


async def one_after_another(texts: list[str]) -> list[str]:
    return [await heading(text) for text in texts]


async def as_they_come(texts: list[str]) -> list[str]:
    return [await done for done in asyncio.as_completed([heading(text) for text in texts])]


async def asks_for_the_short_one_too(texts: list[str]) -> list[str]:
    await extract_summary("A question that nobody asked for.")
    return await asyncio.gather(*map(heading, texts))


async def first_and_last_swapped(texts: list[str]) -> list[str]:
    first, *rest, last = await asyncio.gather(*map(heading, texts))
    return [last, *rest, first]


async def throws_the_answers_away(texts: list[str]) -> list[str]:
    await asyncio.gather(*map(heading, texts))
    return [f"* {text if len(text) < 30 else 'A summary.'}" for text in texts]


async def two_at_a_time(texts: list[str]) -> list[str]:
    places = asyncio.Semaphore(2)

    async def one(text: str) -> str:
        async with places:
            return await heading(text)

    return await asyncio.gather(*map(one, texts))


async def together(texts: list[str]) -> list[str]:
    return await asyncio.gather(*map(heading, texts))


async def in_a_group(texts: list[str]) -> list[str]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(heading(text)) for text in texts]
    return [task.result() for task in tasks]


def returns(make: Callable[[list[str]], object]) -> Callable[[list[str]], Awaitable[object]]:
    async def digest(texts: list[str]) -> object:
        return make(texts)

    return digest


def in_a_loop_of_its_own(texts: list[str]) -> list[str]:
    async def alone() -> list[str]:
        async with async_client(max_retries=2):
            return [f"* {text}" for text in texts]

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, alone()).result()


def in_threads_that_hold_the_loop(texts: list[str]) -> list[str]:
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda text: f"* {text}", texts))


async def yields_headings(texts: list[str]) -> AsyncIterator[str]:
    for text in texts:
        yield await heading(text)


@pytest.mark.parametrize(
    ("answer", "because"),
    [
        (repr_of_a_call, "the repr of a call not started"),
        (nobody_awaits_heading, "heading has become async, and nobody awaits it"),
        (one_after_another, "came one after another"),
        (as_they_come, "in the texts' order"),
        (asks_for_the_short_one_too, "each needs one request"),
        (first_and_last_swapped, "in another order than their texts"),
        (throws_the_answers_away, "Heading 1 reads 'A summary.'; the summary of text 1 is"),
        (two_at_a_time, "At most 2 of the 3 requests were in flight at a time"),
        (returns(lambda texts: "\n".join(texts)), "should return a list of headings"),
        (returns(lambda texts: texts[:3]), "4 texts went in, 3 headings came out"),
        (returns(lambda texts: [None for _ in texts]), "one is None"),
        (returns(lambda texts: ["", f"* {texts[1]}", "* ", "* x"]), "one lacks either"),
        (in_a_loop_of_its_own, "is a plain function: called in a cell, it holds the loop"),
        (in_threads_that_hold_the_loop, "is a plain function: called in a cell, it holds the"),
        (yields_headings, "returned an async generator, which has not started"),
    ],
)
def test_headings_are_turned_down(answer: object, because: str) -> None:
    assert because in turned_down("07-1", answer)


async def as_a_tuple(texts: list[str]) -> tuple[str, ...]:
    return tuple(await together(texts))


def plain_with_a_coroutine_to_await(texts: list[str]) -> Awaitable[list[str]]:
    return asyncio.gather(*map(heading, texts))


@pytest.mark.parametrize(
    "answer", [together, in_a_group, as_a_tuple, plain_with_a_coroutine_to_await]
)
def test_headings_are_accepted(answer: object) -> None:
    assert verdict("07-1", answer).passed


# --- 07-2: what failed is asked again, and nothing else ----------------------------------------


Kinds = type[BaseException] | tuple[type[BaseException], ...]

MAY_PASS = (APIConnectionError, RateLimitError, InternalServerError)

PAUSE = 0.06
"""Seconds before a new try."""


def bounded(
    at_once: int, tries: int, caught: Kinds = MAY_PASS, pause: float = PAUSE
) -> Callable[[list[str], Summarise], Awaitable[list[str]]]:
    async def patiently(parts: list[str], summarise: Summarise) -> list[str]:
        places = asyncio.Semaphore(at_once)

        async def one(part: str) -> str:
            async with places:
                for left in reversed(range(tries)):
                    try:
                        return await summarise(part)
                    except caught:
                        if not left:
                            raise
                    await asyncio.sleep(pause)
            raise AssertionError

        return await asyncio.gather(*map(one, parts))

    return patiently


async def starts_over(parts: list[str], summarise: Summarise) -> list[str]:
    while True:
        try:
            return await asyncio.gather(*map(summarise, parts))
        except APIError:
            continue


async def keeps_the_error(parts: list[str], summarise: Summarise) -> list[str | BaseException]:
    places = asyncio.Semaphore(3)

    async def one(part: str) -> str:
        async with places:
            return await summarise(part)

    return await asyncio.gather(*map(one, parts), return_exceptions=True)


async def in_order_of_their_ends(parts: list[str], summarise: Summarise) -> list[str]:
    runs = [bounded(3, 3)([part], summarise) for part in parts]
    places = asyncio.Semaphore(3)

    async def one(run: Awaitable[list[str]]) -> str:
        async with places:
            return (await run)[0]

    return [await done for done in asyncio.as_completed(map(one, runs))]


async def drops_what_failed(parts: list[str], summarise: Summarise) -> list[str]:
    kept = await keeps_the_error(parts, summarise)
    return [each for each in kept if isinstance(each, str)]


async def never_gives_up(parts: list[str], summarise: Summarise) -> list[str]:
    return await bounded(3, 1000)(parts, summarise)


def in_place_of_the_error(
    what: object, caught: Kinds = MAY_PASS
) -> Callable[[list[str], Summarise], Awaitable[list[object]]]:
    async def patiently(parts: list[str], summarise: Summarise) -> list[object]:
        places = asyncio.Semaphore(3)

        async def one(part: str) -> object:
            async with places:
                for _ in range(3):
                    try:
                        return await summarise(part)
                    except caught as error:
                        seen = error
                        await asyncio.sleep(PAUSE)
            return seen if what is APIError else what

        return await asyncio.gather(*map(one, parts))

    return patiently


async def leaves_out_what_failed_for_good(parts: list[str], summarise: Summarise) -> list[object]:
    summaries = await in_place_of_the_error(None)(parts, summarise)
    return [summary for summary in summaries if summary]


def for_ever(caught: Kinds) -> Callable[[list[str], Summarise], Awaitable[list[str]]]:
    async def patiently(parts: list[str], summarise: Summarise) -> list[str]:
        places = asyncio.Semaphore(3)

        async def one(part: str) -> str:
            async with places:
                while True:
                    try:
                        return await summarise(part)
                    except caught:
                        await asyncio.sleep(PAUSE)

        return await asyncio.gather(*map(one, parts))

    return patiently


def caught_in_a_group(
    caught: Kinds, pauses: tuple[float, ...] = (PAUSE, PAUSE, 0)
) -> Callable[[list[str], Summarise], Awaitable[list[str | BaseException]]]:
    async def patiently(parts: list[str], summarise: Summarise) -> list[str | BaseException]:
        places = asyncio.Semaphore(3)

        async def one(part: str) -> str | BaseException:
            async with places:
                for pause in pauses:
                    try:
                        return await summarise(part)
                    except caught as error:
                        failure = error
                    await asyncio.sleep(pause)
                return failure

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(part)) for part in parts]
        return [task.result() for task in tasks]

    return patiently


async def returns_what_it_has_when_cancelled(
    parts: list[str], summarise: Summarise
) -> list[str | BaseException]:
    try:
        return await kept_in_a_task_group(parts, summarise)
    except asyncio.CancelledError:
        return []


async def raises_its_own_slip(parts: list[str], summarise: Summarise) -> list[str]:
    places = asyncio.Semaphore(3)

    async def one(part: str) -> str:
        async with places:
            for _ in range(3):
                try:
                    return await summarise(part)
                except MAY_PASS as error:  # noqa: F841 - Python deletes it where it ends
                    await asyncio.sleep(PAUSE)
            raise error  # type: ignore[misc]  # noqa: F821

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(part)) for part in parts]
    return [task.result() for task in tasks]


async def returns_nothing(parts: list[str], summarise: Summarise) -> None:
    await bounded(3, 3)(parts, summarise)


@pytest.mark.parametrize(
    ("answer", "because"),
    [
        (starts_over, "Only part 4 failed, yet 14 calls asked anew"),
        (bounded(8, 3), "8 calls were under way at once; 3 are the bound"),
        (bounded(1, 3), "came one after another"),
        (bounded(3, 2), "Part 4 was tried 2 times, and patiently gave up; it answers at try 3."),
        (keeps_the_error, "part 4 was tried 1 time, and answers at the third"),
        (in_order_of_their_ends, "in another order than their parts"),
        (drops_what_failed, "1 of the 8 summaries are not in the result"),
        (never_gives_up, "was tried 7 times and more; it should be 3 times"),
        (raises_its_own_slip, "what patiently raised is ExceptionGroup"),
        (returns_nothing, "should return a list of summaries; not None"),
        (in_place_of_the_error(None), "APIConnectionError; in its place is None"),
        (in_place_of_the_error(""), "APIConnectionError; in its place is the text ''"),
        (leaves_out_what_failed_for_good, "APIConnectionError, and the result leaves it out"),
        (in_place_of_the_error(None, Exception), "APIConnectionError; in its place is None"),
        (for_ever(MAY_PASS), "was tried 7 times and more; it should be 3 times"),
        (for_ever(BaseException), "was tried 7 times and more; it should be 3 times"),
        (bounded(3, 3), "with APIConnectionError, and when patiently ended 2 other calls were"),
        (in_place_of_the_error(APIError), "with BadRequestError, and when patiently ended 2 other"),
        (caught_in_a_group(APIError), "raised BadRequestError (400), which no second try mends"),
        (caught_in_a_group((*MAY_PASS, ValueError)), "raised ValueError, which no second try"),
        (caught_in_a_group((APIConnectionError, APIStatusError)), "raised BadRequestError (400)"),
        (caught_in_a_group(APIConnectionError), "each time with RateLimitError (429) was tried 1"),
        (caught_in_a_group((APIConnectionError, RateLimitError)), "InternalServerError (503) was"),
        (caught_in_a_group(MAY_PASS, (0, 0, 0)), "failed, and was asked for again at once"),
        (caught_in_a_group(MAY_PASS, (PAUSE,) * 9), "was tried 7 times and more; it should be 3"),
        (
            caught_in_a_group((*MAY_PASS, asyncio.CancelledError)),
            "was cancelled and did not end as cancelled",
        ),
        (returns_what_it_has_when_cancelled, "was cancelled and did not end as cancelled"),
    ],
)
def test_a_book_run_is_turned_down(answer: object, because: str) -> None:
    assert because in turned_down("07-2", answer)


kept_in_a_task_group = caught_in_a_group(MAY_PASS)


async def in_a_tuple(parts: list[str], summarise: Summarise) -> tuple[str | BaseException, ...]:
    return tuple(await kept_in_a_task_group(parts, summarise))


async def raised_in_a_task_group(parts: list[str], summarise: Summarise) -> list[str]:
    places = asyncio.Semaphore(3)

    async def one(part: str) -> str:
        async with places:
            return (await bounded(1, 3)([part], summarise))[0]

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(part)) for part in parts]
    return [task.result() for task in tasks]


async def raised_when_all_have_ended(parts: list[str], summarise: Summarise) -> list[str]:
    places = asyncio.Semaphore(3)

    async def one(part: str) -> str:
        async with places:
            return (await bounded(1, 3)([part], summarise))[0]

    results = await asyncio.gather(*map(one, parts), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if isinstance(result, str)]


async def raised_when_the_others_were_cancelled(
    parts: list[str], summarise: Summarise
) -> list[str]:
    places = asyncio.Semaphore(3)

    async def one(part: str) -> str:
        async with places:
            for left in (2, 1, 0):
                try:
                    return await summarise(part)
                except MAY_PASS:
                    if not left:
                        raise
                await asyncio.sleep(PAUSE)
        raise AssertionError

    calls = [asyncio.create_task(one(part)) for part in parts]
    try:
        return await asyncio.gather(*calls)
    except BaseException:
        for call in calls:
            call.cancel()
        raise


async def in_three_rounds(parts: list[str], summarise: Summarise) -> list[str | BaseException]:
    places = asyncio.Semaphore(3)
    results: dict[str, str | BaseException] = {}

    async def one(part: str) -> None:
        async with places:
            try:
                results[part] = await summarise(part)
            except MAY_PASS as error:
                results[part] = error

    for pause in (0, PAUSE, PAUSE):
        await asyncio.sleep(pause)
        async with asyncio.TaskGroup() as group:
            for part in parts:
                if not isinstance(results.get(part), str):
                    group.create_task(one(part))
    return [results[part] for part in parts]


def plain_with_a_coroutine(parts: list[str], summarise: Summarise) -> Awaitable[list[object]]:
    return kept_in_a_task_group(parts, summarise)  # type: ignore[return-value]


async def by_its_status(parts: list[str], summarise: Summarise) -> list[object]:
    """By what the error's number says, and with waits that grow and stray."""
    places = asyncio.Semaphore(3)

    async def one(part: str) -> object:
        for wait in (0.1, 0.2, None):
            try:
                async with places:
                    return await summarise(part)
            except APIError as error:
                status = getattr(error, "status_code", None)
                passing = status in (None, 408, 409, 429) or status >= 500
                if not passing:
                    raise
                if wait is None:
                    return error
            await asyncio.sleep(wait * random.uniform(0.75, 1))
        raise AssertionError

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(part)) for part in parts]
    return [task.result() for task in tasks]


async def three_workers(parts: list[str], summarise: Summarise) -> list[object]:
    results: dict[str, object] = {}
    left = iter(parts)

    async def worker() -> None:
        for part in left:
            for pause in (PAUSE, PAUSE, 0):
                try:
                    results[part] = await summarise(part)
                    break
                except MAY_PASS as error:
                    results[part] = error
                await asyncio.sleep(pause)

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(worker())
    return [results[part] for part in parts]


@pytest.mark.parametrize(
    "answer",
    [
        kept_in_a_task_group,
        plain_with_a_coroutine,
        by_its_status,
        three_workers,
        in_a_tuple,
        raised_in_a_task_group,
        raised_when_all_have_ended,
        raised_when_the_others_were_cancelled,
        in_three_rounds,
    ],
)
def test_a_book_run_that_asks_again_for_the_failed_part_alone_is_accepted(answer: object) -> None:
    seen = verdict("07-2", answer)
    assert seen.passed
    assert "part 4 three times; at most 3 calls at once" in seen.saw[0]


def test_the_server_is_asked_once_for_each_summary() -> None:
    seen = verdict("07-2", keeps_the_error)
    assert seen.saw[-1] == "7 requests reached the server."


def test_a_blocking_call_awaited_is_told_by_its_error() -> None:
    async def pays_and_fails(texts: list[str]) -> list[str]:
        return [await blocking_client().models.list()]  # type: ignore[misc, list-item]

    assert "can't be used in 'await' expression" in turned_down("07-1", pays_and_fails)
