"""Lesson 12's checks turn down what is wrong for the right reason, and take what is right."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest
from openai import APIError, AsyncOpenAI

from helpers import model
from helpers.checks import lesson_12
from helpers.checks.lesson_12 import AT_ONCE, CUT, HOPELESS, SILENT, TRIES, schedules
from helpers.pytest_plugin import MockOpenAI
from helpers.replies import text
from tests.checks.judging import turned_down, verdict

Show = Callable[[str, str], None]
Batch = Callable[[AsyncOpenAI, list[str], Path, Show], Awaitable[Any]]


@pytest.fixture
def _one_server(mock_openai_server: MockOpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the check a server that runs already: a start takes longer than a trial."""
    monkeypatch.setattr(lesson_12, "running", lambda _: nullcontext(mock_openai_server))


# --- 12-1: a test is tested --------------------------------------------------------------------

CAPITAL = "What is the capital of France?"


async def the_starter(client: AsyncOpenAI, mock_openai: Any, answer: Any) -> None:
    assert answer(client, CAPITAL)
    mock_openai.fail("503; retry-after=0.01", times=2)
    assert await answer(client, "Hello") != ""


async def asks_for_more_than_was_promised(
    client: AsyncOpenAI, mock_openai: Any, answer: Any
) -> None:
    mock_openai.fail("no-done")
    assert await answer(client, "Hello")


async def scripts_for_nobody(client: AsyncOpenAI, mock_openai: Any, answer: Any) -> None:
    mock_openai.reply("Paris", when="capitol")
    await answer(client, CAPITAL)


async def mocks_the_client(client: AsyncOpenAI, mock_openai: Any, answer: Any) -> None:
    mock = AsyncMock()
    await answer(mock, CAPITAL)
    mock.chat.completions.create.assert_awaited_once()


async def counts_nothing(client: AsyncOpenAI, mock_openai: Any, answer: Any) -> None:
    mock_openai.reply("It is Paris.", when="capital")
    assert await answer(client, CAPITAL) == "It is Paris."
    mock_openai.fail("no-done")
    with pytest.raises(EOFError):
        await answer(client, "Hello")


async def forgets_the_half(client: AsyncOpenAI, mock_openai: Any, answer: Any) -> None:
    mock_openai.fail("503; retry-after=0.01", times=2)
    mock_openai.reply("It is Paris.", when="capital")
    assert await answer(client, CAPITAL) == "It is Paris."
    assert len(mock_openai.requests()) == 3


def is_plain(client: AsyncOpenAI, mock_openai: Any, answer: Any) -> None:
    mock_openai.requests()


@pytest.mark.usefixtures("_one_server")
@pytest.mark.parametrize(
    ("test", "because"),
    [
        (the_starter, "green with 5 of 6 that are broken:\none that lacks an await"),
        (asks_for_more_than_was_promised, "a function that is right: EOFError: cut short"),
        (scripts_for_nobody, "a function that is right: Scripted reply 1 was not used"),
        (mocks_the_client, "a function that is right: "),
        (counts_nothing, "green with 2 of 6 that are broken:\none that asks a second time"),
        (forgets_the_half, "green with 1 of 6 that are broken:\none that takes half an answer"),
        (is_plain, "is_plain(…) is a plain function"),
        (None, "The answer should be a function"),
    ],
)
def test_a_test_that_proves_too_little_or_too_much_is_turned_down(
    test: object, because: str
) -> None:
    said = turned_down("12-1", test)
    assert because in said
    assert "reached the server" not in said  # not the server that it asked


async def in_the_lessons_words(client: AsyncOpenAI, mock_openai: Any, answer: Any) -> None:
    mock_openai.fail("503; retry-after=0.01", times=2)
    mock_openai.reply("It is Paris.", when="capital of France")
    assert await answer(client, CAPITAL) == "It is Paris."
    assert [seen.status for seen in mock_openai.requests()] == [503, 503, 200]
    mock_openai.fail("no-done")
    with pytest.raises(EOFError):
        await answer(client, "Hello")
    assert len(mock_openai.requests()) == 4


async def by_pieces_and_a_strict_server(client: AsyncOpenAI, mock_openai: Any, answer: Any) -> None:
    mock_openai.strict()
    mock_openai.reply(text("One", " two"), when={"exactly": CAPITAL})
    assert await answer(client, CAPITAL) == "One two"
    (seen,) = mock_openai.requests()
    assert seen.outcome == "finished"
    mock_openai.strict(False)
    mock_openai.fail("429; retry-after=0.01")
    await answer(client, CAPITAL)
    mock_openai.fail("no-done; after=3")
    try:
        await answer(client, CAPITAL)
    except EOFError:
        return
    raise AssertionError("half an answer passed for a whole one")


@pytest.mark.usefixtures("_one_server")
@pytest.mark.parametrize("test", [in_the_lessons_words, by_pieces_and_a_strict_server])
def test_a_test_that_finds_each_break_is_accepted(test: object) -> None:
    seen = verdict("12-1", test)
    assert seen.passed, seen


# --- 12-2: a batch over twenty schedules -------------------------------------------------------

MAY_BREAK = (APIError, EOFError, json.JSONDecodeError, UnicodeDecodeError)


async def pieces(client: AsyncOpenAI, question: str) -> AsyncIterator[str]:
    messages: Any = [{"role": "user", "content": question}]
    ended = None
    create = client.chat.completions.create
    async with await create(model=model(), messages=messages, stream=True) as stream:
        async for chunk in stream:
            for choice in chunk.choices:
                yield choice.delta.content or ""
                ended = choice.finish_reason or ended
    if ended is None:
        raise EOFError(question)


def may_pass(error: Exception) -> bool:
    status, code = getattr(error, "status_code", 503), getattr(error, "code", None)
    return (status >= 500 or status in (408, 409, 429)) and code != "insufficient_quota"


def read(file: Path) -> dict[str, str]:
    with file.open("a", encoding="utf-8") as lines:
        lines.truncate(file.read_bytes().rfind(b"\n") + 1)
    return reads_whole_lines_only(file)


def reads_whole_lines_only(file: Path) -> dict[str, str]:
    return dict(map(json.loads, file.read_text("utf-8").splitlines())) if file.exists() else {}


def passes_over_half_a_line(file: Path) -> dict[str, str]:
    saved = file.read_text("utf-8") if file.exists() else ""
    return dict(map(json.loads, saved.splitlines()[: saved.count("\n")]))


def add(file: Path, question: str, answer: str) -> None:
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps([question, answer]) + "\n")


async def the_first_draft(
    client: AsyncOpenAI, questions: list[str], file: Path, show: Show
) -> dict[str, str]:
    for question in questions:
        text = ""
        async for piece in pieces(client, question):
            show(question, text := text + piece)
        add(file, question, text)
    return {}


def batch(
    *,
    at_once: int = AT_ONCE,
    tries: int = TRIES,
    retries: int = 0,
    passes: Callable[[Exception], bool] = may_pass,
    reads: Callable[[Path], dict[str, str]] = read,
    begins_anew: bool = True,
    tells: bool = True,
    shows: bool = True,
    obeys: bool = True,
    writes_at_once: bool = True,
    takes_what_is_empty: bool = False,
    asks_once: bool = True,
    in_a_group: bool = True,
) -> Batch:
    """Return the lesson's solution, or what it is with one thing wrong."""

    async def work(
        client: AsyncOpenAI, questions: list[str], file: Path, show: Show
    ) -> dict[str, str]:
        once, places = client.with_options(max_retries=retries), asyncio.Semaphore(at_once)
        failed: dict[str, str] = {}
        over: dict[str, str] = {}

        async def one(question: str) -> None:
            text = ""
            for left in reversed(range(tries)):
                text = "" if begins_anew else text
                try:
                    async with places:
                        async for piece in pieces(once, question):
                            text += piece
                            if shows:
                                show(question, text)
                    if not text and not takes_what_is_empty:
                        failed[question] = "no text"
                        return
                    if writes_at_once:
                        add(file, question, text)
                    over[question] = text
                    return
                except MAY_BREAK as error:
                    if not left or not passes(error):
                        failed[question] = type(error).__name__
                        return
                except asyncio.CancelledError:
                    if obeys:
                        raise
                await asyncio.sleep(0.01)

        done = reads(file)
        listed = dict.fromkeys(questions) if asks_once else questions
        left = [question for question in listed if question not in done]
        if in_a_group:
            async with asyncio.TaskGroup() as group:
                for question in left:
                    group.create_task(one(question))
        else:
            await asyncio.gather(*map(one, left))
        if not writes_at_once:
            for question, text in over.items():
                add(file, question, text)
        return failed if tells else {}

    return work


async def leaves_its_streams_open(
    client: AsyncOpenAI, questions: list[str], file: Path, show: Show
) -> dict[str, str]:
    """Hand each answer to a task of its own, and let that go on when cancelled."""
    work = batch()
    await asyncio.shield(asyncio.ensure_future(work(client, questions, file, show)))
    return {}


async def swallows_its_cancellation(
    client: AsyncOpenAI, questions: list[str], file: Path, show: Show
) -> Any:
    try:
        return await batch()(client, questions, file, show)
    except asyncio.CancelledError:
        return {}


async def a_task_group_alone(
    client: AsyncOpenAI, questions: list[str], file: Path, show: Show
) -> dict[str, str]:
    async def one(question: str) -> None:
        text = ""
        async for piece in pieces(client, question):
            show(question, text := text + piece)
        add(file, question, text)

    async with asyncio.TaskGroup() as group:
        for question in questions:
            if question not in read(file):
                group.create_task(one(question))
    return {}


LOST, DOUBLED, OVERPAID, HUNG = (f"{loss} in " for loss in ("lost", "doubled", "overpaid", "hung"))
slow = pytest.mark.slow


@pytest.mark.parametrize(
    ("answer", "because"),
    [
        pytest.param(the_first_draft, [LOST, DOUBLED, OVERPAID], id="the first draft"),
        pytest.param(
            batch(tries=1), [LOST, "was given up after 1 request"], id="one try", marks=slow
        ),
        pytest.param(batch(retries=2), [OVERPAID], id="tries that multiply", marks=slow),
        pytest.param(batch(begins_anew=False), [DOUBLED, "begins twice"], id="goes on", marks=slow),
        pytest.param(
            batch(asks_once=False), ["15 of 20", DOUBLED, "has 2 lines", OVERPAID], id="asks twice"
        ),
        pytest.param(
            batch(reads=reads_whole_lines_only),
            ["15 of 20", LOST, "in the second run: JSONDecodeError", "a kill in the last line"],
            id="stumbles over half a line",
        ),
        pytest.param(
            batch(reads=passes_over_half_a_line),
            ["15 of 20", LOST, "what was added is glued to it"],
            id="glues to half a line",
            marks=slow,
        ),
        pytest.param(
            batch(takes_what_is_empty=True),
            ["15 of 20", LOST, "is empty, and nobody was told why"],
            id="takes an empty answer",
        ),
        pytest.param(
            batch(reads=lambda _: {}),
            [DOUBLED, OVERPAID, "was asked again"],
            id="reads no file",
            marks=slow,
        ),
        pytest.param(
            batch(tells=False), [LOST, "was not told as failed"], id="tells no failure", marks=slow
        ),
        pytest.param(
            batch(passes=lambda _: True), [OVERPAID, "worth 1"], id="knows no end", marks=slow
        ),
        pytest.param(
            batch(shows=False), [HUNG, "was not shown as it grew"], id="shows nothing", marks=slow
        ),
        pytest.param(
            batch(writes_at_once=False),
            [LOST, "not in the file when the Ctrl-C came"],
            id="writes at the end",
            marks=slow,
        ),
        pytest.param(batch(obeys=False), [OVERPAID], id="tries again when cancelled", marks=slow),
        pytest.param(
            swallows_its_cancellation,
            [HUNG, "went on as if it were not"],
            id="swallows its cancellation",
            marks=slow,
        ),
        pytest.param(
            leaves_its_streams_open,
            ["the server was still at"],
            id="leaves streams open",
            marks=slow,
        ),
        pytest.param(
            a_task_group_alone, [LOST, "ExceptionGroup"], id="a task group alone", marks=slow
        ),
        pytest.param(
            batch(at_once=1),
            ["at most 1 went at a time, where 3 may"],
            id="one after another",
            marks=slow,
        ),
        pytest.param(
            batch(at_once=99),
            ["5 questions went at a time, where at most 3"],
            id="all at once",
            marks=slow,
        ),
        pytest.param(
            batch(in_a_group=False),
            ["when `show` had failed and the run was over, the server was still at"],
            id="gathers",
            marks=slow,
        ),
        pytest.param(None, ["The answer should be a function"], id="no function", marks=slow),
    ],
)
def test_a_batch_that_loses_doubles_or_overpays_is_turned_down(
    answer: object, because: list[str]
) -> None:
    said = turned_down("12-2", answer)
    assert all(each in said for each in because), said


def test_a_batch_that_gets_all_for_what_it_is_worth_is_accepted() -> None:
    seen = verdict("12-2", batch())
    assert seen.passed, seen


async def three_workers_at_a_queue(
    client: AsyncOpenAI, questions: list[str], file: Path, show: Show
) -> dict[str, str]:
    """Three at a queue, into which they put back what may be tried again."""
    done = read(file)
    queue: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
    failed: dict[str, str] = {}
    for question in dict.fromkeys(questions):
        if question not in done:
            queue.put_nowait((question, 1))

    async def worker() -> None:
        while not queue.empty():
            question, tries = queue.get_nowait()
            texts = [""]
            try:
                async for piece in pieces(client.with_options(max_retries=0), question):
                    texts.append(texts[-1] + piece)
                    show(question, texts[-1])
            except MAY_BREAK as error:
                if tries < TRIES and may_pass(error):
                    queue.put_nowait((question, tries + 1))
                else:
                    failed[question] = repr(error)
            else:
                if texts[-1]:
                    add(file, question, texts[-1])
                else:
                    failed[question] = "it said nothing"

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(worker())
    return failed


async def a_task_for_each_in_a_group(
    client: AsyncOpenAI, questions: list[str], file: Path, show: Show
) -> dict[str, str]:
    """A task for each question at once, and a condition that lets three of them ask."""
    free, once, failed = asyncio.Condition(), client.with_options(max_retries=0), {}
    under_way = 0

    async def try_once(question: str) -> Exception | None:
        nonlocal under_way
        async with free:
            await free.wait_for(lambda: under_way < AT_ONCE)
            under_way += 1
        text = ""
        try:
            async for piece in pieces(once, question):
                show(question, text := text + piece)
        except MAY_BREAK as error:
            return error
        finally:
            under_way -= 1
            async with free:
                free.notify_all()
        if not text:
            return LookupError("no text")
        add(file, question, text)
        return None

    async def three_times(question: str) -> None:
        for _ in range(TRIES):
            error = await try_once(question)
            if error is None:
                return
            if isinstance(error, LookupError) or not may_pass(error):
                break
        failed[question] = str(error)

    answered = read(file)
    async with asyncio.TaskGroup() as group:
        for question in set(questions):
            if question not in answered:
                group.create_task(three_times(question))
    return failed


@pytest.mark.parametrize(
    "answer",
    [three_workers_at_a_queue, pytest.param(a_task_for_each_in_a_group, marks=slow)],
)
def test_a_batch_by_another_road_is_accepted(answer: Batch) -> None:
    seen = verdict("12-2", answer)
    assert seen.passed, seen


def test_the_schedules_hold_each_kind_and_are_the_same_each_time() -> None:
    played = schedules()
    assert played == schedules()
    assert len({str(schedule) for schedule in played}) >= 15
    faults = Counter(
        fault.split(";")[0]
        for schedule in played
        for faults in schedule.faults.values()
        for fault in faults
    )
    assert {*CUT, SILENT.split(";")[0], "401", "quota"} <= faults.keys()
    assert sum(bool(schedule.interrupted) for schedule in played) == 5
    spent = [
        question
        for schedule in played
        for question in schedule.faults
        if schedule.worth(question, 0) == TRIES == len(schedule.faults[question])
    ]
    assert len(spent) == 5
    assert all(HOPELESS)
