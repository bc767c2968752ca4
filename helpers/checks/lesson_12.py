"""Lesson 12: a test that is itself tested, and a batch replayed over schedules of faults."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal, get_args

import httpx2
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessageParam

from helpers import observe
from helpers.checks.exercise import NotYet, Trial, count, describe, register, shorten
from helpers.checks.hooked import hooked_client
from helpers.clients import async_client, model

if TYPE_CHECKING:
    from helpers.pytest_plugin import MockOpenAI

# --- 12-1: a test, tested ----------------------------------------------------------------------

Answer = Callable[[AsyncOpenAI, str], Awaitable[str]]


def _said(question: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": question}]


async def _pieces(client: AsyncOpenAI, question: str) -> AsyncIterator[str]:
    ended, create = None, client.chat.completions.create
    async with await create(model="any", messages=_said(question), stream=True) as stream:
        async for chunk in stream:
            for choice in chunk.choices:
                yield choice.delta.content or ""
                ended = choice.finish_reason or ended
    if ended is None:
        raise EOFError("cut short")


async def _joins_the_pieces(client: AsyncOpenAI, question: str) -> str:
    return "".join([piece async for piece in _pieces(client, question)])


async def _asks_for_the_final_completion(client: AsyncOpenAI, question: str) -> str:
    async with client.chat.completions.stream(model="any", messages=_said(question)) as events:
        choice = (await events.get_final_completion()).choices[0]
    if choice.finish_reason is None:
        raise EOFError("cut short")
    return choice.message.content or ""


async def _forgets_an_await(client: AsyncOpenAI, question: str) -> str:
    call = _joins_the_pieces(client, question)
    text = str(call)
    call.close()
    return text


async def _takes_half_for_whole(client: AsyncOpenAI, question: str) -> str:
    text = ""
    try:
        async for piece in _pieces(client, question):
            text += piece
    except EOFError:
        pass
    return text


async def _asks_twice(client: AsyncOpenAI, question: str) -> str:
    text = await _joins_the_pieces(client, question)
    await _joins_the_pieces(client, question)
    return text


async def _asks_something_else(client: AsyncOpenAI, question: str) -> str:
    return await _joins_the_pieces(client, "Hello")


async def _gives_up_at_once(client: AsyncOpenAI, question: str) -> str:
    return await _joins_the_pieces(client.with_options(max_retries=0), question)


async def _keeps_the_last_piece(client: AsyncOpenAI, question: str) -> str:
    text = ""
    async for piece in _pieces(client, question):
        text = piece or text
    return text


RIGHT: tuple[Answer, ...] = (_joins_the_pieces, _asks_for_the_final_completion)
BROKEN: Mapping[str, Answer] = {
    "lacks an await and returns a coroutine's repr": _forgets_an_await,
    "takes half an answer for a whole one": _takes_half_for_whole,
    "asks a second time for what it has": _asks_twice,
    "asks another question": _asks_something_else,
    "gives up at the first 503": _gives_up_at_once,
    "returns the last piece of the text alone": _keeps_the_last_piece,
}
"""Each breaks the promise in one way."""


@register(
    "12-1",
    hints=(
        "For each part of the promise: what would a function do that breaks it, and which line of "
        "your test would then fail?",
        "`mock_openai.reply(…, when=…)` gives a text to compare with, for that question alone; "
        "`mock_openai.requests()` has what reached the server, tries included; a fault `no-done` "
        "cuts an answer short.",
        '`mock_openai.reply("It is Paris.", when="capital")` and compare with `==` what `await '
        "answer(…)` returns; `[seen.status for seen in mock_openai.requests()] == [503, 503, "
        '200]`; then `mock_openai.fail("no-done")` and `with pytest.raises(EOFError): await '
        "answer(…)`.",
    ),
    own_server=True,
)
async def passes_what_is_right_alone(trial: Trial) -> str:
    with running(["--pace", "0"]) as mock:
        for right in RIGHT:
            if failure := await _failure(trial, mock, right):
                raise NotYet(f"It fails with a function that is right: {failure}")
        green = [name for name, broken in BROKEN.items() if not await _failure(trial, mock, broken)]
    if green:
        lines = [f"It stays green with {len(green)} of {len(BROKEN)} that are broken:"]
        raise NotYet("\n".join([*lines, *(f"one that {name}" for name in green)]))
    return (
        f"Green with {len(RIGHT)} functions that are right, red with {len(BROKEN)} that are broken."
    )


def running(options: list[str]) -> "AbstractContextManager[MockOpenAI]":
    """Run a mock server of the check's own."""
    from helpers import pytest_plugin  # here, as other checks need no pytest

    return pytest_plugin.running(options)


async def _failure(trial: Trial, mock: "MockOpenAI", answer: Answer) -> str:
    """Run the learner's test as pytest does; return why it failed, or "" if it passed.

    Raises:
        NotYet: it is no test that can be awaited.
    """
    import pytest  # here, as other checks need none

    async def named(client: AsyncOpenAI, question: str) -> str:
        return await answer(client, question)

    named.__name__ = "answer"
    mock.reset()
    async with AsyncOpenAI(base_url=mock.base_url, api_key="any") as client:
        try:
            await trial.run_awaited(client, mock, named)
        except pytest.fail.Exception as error:  # no `Exception`, to Python
            return str(error)
        except NotYet as verdict:
            error_of_its_own = verdict.__context__
            if error_of_its_own is None:
                raise
            said = str(error_of_its_own).split("\n")[0]
            return f"{type(error_of_its_own).__name__}: {said}" if said else "an assert."
    return mock.unmet()


# --- 12-2: a batch, over twenty schedules ------------------------------------------------------

QUESTIONS = (
    "Count to five.",
    "Count to seven.",
    "Count to nine.",
    "Count from one to ten.",
    "Write a haiku.",
)
"""Of ten to twenty tokens each: a hundred answers and their retries take little of a machine."""

AT_ONCE = 3
"""As the lesson says it."""

AT_ONCE_PACE = "dial=1,first=0,gap=0"
"""The mock server's pace where nothing is to be seen of the time."""

PASSING = ("503", "429", "500", "html", "empty", "bad-utf8", "error-body", "bad-json")
CUT = ("disconnect", "no-done", "error-event")
"""After some tokens; another try may give an answer."""
HOPELESS = ("quota; retry-after=0.01", "401", "400")
WORDLESS = ("refusal", "reasoning-only")
"""The model ends its answer, and there is no text: asking again in the same run buys the same."""
SILENT = "stall; after=4"
"""A server that says nothing more until its client leaves: here comes the Ctrl-C."""

TRIES = 3
SCHEDULES = 20

LEAST_TEXTS = 5
"""An answer that is shown so often, longer each time, is shown as it grows; the shortest has ten
tokens."""

SECONDS = 12.0
"""For one run of a batch, which takes one with the SDK's own waits: a lost one takes for ever."""

OVER = 2.0
"""Seconds for a run to end that was cancelled, or for the server to notice a hang-up: both take
some hundredths."""

PATIENCE = 1.5
"""Seconds that the Ctrl-C waits for the other answers to be in the file. It comes all the same."""

DUE = 0.5
"""Seconds within which the line of an answer that is over must be in the file: it takes a few
thousandths."""

TOGETHER = 0.2
"""Seconds in which a request too many comes in beside those that are held: they all start in the
same turn of the loop."""

A_SECOND_LONG = "dial=1,first=0,gap=0.02,tokens=60"
"""A pace at which an answer that goes on is not over before it is looked for."""

NOTICES = 0.5
"""Seconds for the server to notice a hang-up, at its next token: 25 times the gap."""

Loss = Literal["lost", "doubled", "overpaid", "hung"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """What the server does at each try of each question; beyond the last fault, it answers."""

    faults: Mapping[str, tuple[str, ...]]
    interrupted: str = ""
    """The question at whose silence the first run is cancelled; empty where none is."""
    twice: str = ""
    """The question that stands twice in the list; empty where none does."""
    torn: bool = False
    """Whether the file's last line is cut in half after the first run, as a kill may leave it."""

    @property
    def questions(self) -> list[str]:
        return [*self.faults, *([self.twice] if self.twice else [])]

    def of(self, question: str, turn: int) -> str:
        """Return the fault of a question's request, counted from 0. What is final stays so."""
        faults = self.faults[question]
        if _final(faults[0]):
            return faults[0]
        return faults[turn] if turn < len(faults) else ""

    def worth(self, question: str, turn: int) -> int:
        """Return how many requests a run is to spend on a question, from its request `turn` on."""
        for spent in range(TRIES):
            fault = self.of(question, turn + spent)
            if fault == "" or _final(fault):
                return spent + 1
        return TRIES

    def __str__(self) -> str:
        told = [
            f"{question} {', then '.join(faults)}"
            for question, faults in self.faults.items()
            if faults != ("",)
        ]
        told += [f"{self.twice} stands there twice"] if self.twice else []
        told += ["a kill in the last line"] if self.torn else []
        return "; ".join(told)


def _final(fault: str) -> bool:
    return fault in HOPELESS or fault in WORDLESS


def schedules() -> tuple[Schedule, ...]:
    """Return the twenty, the same ones each time."""
    return tuple(_schedule(Random(seed), seed) for seed in range(SCHEDULES))


def _schedule(dice: Random, number: int) -> Schedule:
    questions = dice.sample(QUESTIONS, 3)
    interrupted = number % 4 == 3
    faults: dict[str, tuple[str, ...]] = dict.fromkeys(questions, ("",))
    if interrupted:
        faults[questions[0]] = (SILENT,)
        shuffled = dice.sample(questions, len(questions))
        return Schedule({each: faults[each] for each in shuffled}, questions[0])
    faults[questions[0]] = _tries(dice, dice.randrange(1, TRIES))
    faults[questions[1]] = (
        (dice.choice(HOPELESS),) if number % 4 == 0 else _tries(dice, dice.randrange(1, TRIES))
    )
    if number % 4 == 1:
        faults[questions[2]] = _tries(dice, TRIES)  # no try is left, until the second run
    if number % 4 == 2:
        faults[questions[2]] = (WORDLESS[number // 4 % 2],)
    return Schedule(faults, twice=questions[2] if number % 4 == 0 else "", torn=number % 4 == 2)


def _tries(dice: Random, number: int) -> tuple[str, ...]:
    cut = f"{dice.choice(CUT)}; after={dice.randrange(3, 8)}"
    return (cut, *dice.sample(PASSING, number - 1))


@dataclass(slots=True, repr=False)
class _Run:
    """One run of the batch on one schedule, as it went."""

    schedule: Schedule
    file: Path
    before: Mapping[str, int]
    """How many requests each question had had."""
    asked: dict[str, int]
    answered_before: frozenset[str]
    shown: dict[str, list[str]] = field(default_factory=dict)
    shown_last: dict[str, float] = field(default_factory=dict)
    """When, on the loop's clock."""
    returned: object = None
    raised: BaseException | None = None
    cancelled: float | None = None
    """When it was, on the loop's clock."""
    hung: bool = False
    answered_after: frozenset[str] = frozenset()

    def show(self, question: str, text: str) -> None:
        if not isinstance(question, str) or not isinstance(text, str):
            raise TypeError(f"show takes two texts, not {describe(question)}, {describe(text)}")
        self.shown.setdefault(question, []).append(text)
        self.shown_last[question] = asyncio.get_running_loop().time()

    def worth(self, question: str) -> int:
        """Return how many requests the run is to spend on a question."""
        turn = self.before[question]
        if self.cancelled and question == self.schedule.interrupted:
            return 1
        return self.schedule.worth(question, turn)


@dataclass(slots=True, repr=False)
class _Replay:
    """One schedule, both runs of it."""

    schedule: Schedule
    file: Path
    asked: dict[str, int] = field(init=False)
    runs: list[_Run] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.asked = dict.fromkeys(self.schedule.faults, 0)

    def wear(self, request: httpx2.Request) -> None:
        """Give a request the fault of its turn."""
        request.headers["x-mock-pace"] = AT_ONCE_PACE
        question = _question(request)
        if question not in self.asked:
            return
        fault = self.schedule.of(question, self.asked[question])
        self.asked[question] += 1
        if fault:
            request.headers["x-mock-fault"] = fault


def _question(request: httpx2.Request) -> str:
    try:
        return str(json.loads(request.content)["messages"][-1]["content"])
    except (ValueError, LookupError, TypeError):
        return ""


@register(
    "12-2",
    hints=(
        "One question first: three tries, a text that begins anew with each, one line when it is "
        "over. Then the batch: which questions have a line already, and how many go at a time?",
        "`max_retries=0`, so that tries do not multiply. A semaphore around the stream, not "
        "around the waits. `except MAY_BREAK` around one try, and what `may_pass` refuses is the "
        "last. A task for each question that `read(file)` lacks, in a `TaskGroup`.",
        "`async def one(question)`: `waits = [0.2, 0.1]`; `while True:` begin with an empty text; "
        "in `try`, `async with places:` loop over `pieces(once, question, model())` and `show`, "
        'then `return add(file, question, text) if text else "no text"`; on `MAY_BREAK as '
        "error`: if `not waits or not may_pass(error)`, return `type(error).__name__`; else "
        "`await asyncio.sleep(waits.pop())`. A task for each of `set(questions) - "
        "read(file).keys()`; what returns a reason goes into the dictionary.",
    ),
)
async def works_through_twenty_schedules(trial: Trial) -> str:
    with TemporaryDirectory() as folder:
        if not trial.sees_requests:
            return await _works_where_nothing_fails(trial, Path(folder))
        replays = [
            _Replay(schedule, Path(folder, f"{number}.jsonl"))
            for number, schedule in enumerate(schedules())
        ]
        wholes = await _wholes()
        left_open = await _replay_all(trial, replays)
        losses = [_losses(replay, wholes) for replay in replays]
        _expect_none(replays, losses, left_open)
        await _expect_some_at_once(trial, Path(folder, "at-once.jsonl"))
        await _expect_none_behind_an_error(trial, Path(folder, "show.jsonl"))
    requests = sum(sum(replay.asked.values()) for replay in replays)
    return (
        f"{len(replays)} schedules, each run twice: nothing lost, doubled or overpaid.\n"
        f"{requests} requests, and none of them in vain; {AT_ONCE} questions at a time."
    )


async def _wholes() -> dict[str, str]:
    """Ask the mock server, which says the same each time; not as requests of the answer's."""

    async def one(question: str) -> str:
        answer = await async_client().chat.completions.create(
            model=model(),
            messages=_said(question),
            extra_headers={"x-mock-client": "check", "x-mock-pace": "0"},
        )
        return answer.choices[0].message.content or ""

    return dict(zip(QUESTIONS, await asyncio.gather(*map(one, QUESTIONS)), strict=True))


async def _replay_all(trial: Trial, replays: list[_Replay]) -> int:
    """Play all schedules at once; return how many requests are open when all is over."""
    before = max((request.id for request in observe.journal().requests), default=0)

    async def hook(request: httpx2.Request) -> None:
        replays[int(request.headers["x-schedule"])].wear(request)

    async with hooked_client(hook) as client:

        async def play(number: int, replay: _Replay) -> None:
            numbered = client.with_options(default_headers={"x-schedule": str(number)})
            await _run(trial, replay, numbered, replay.schedule.interrupted)
            if replay.schedule.torn:
                _cut_the_last_line(replay.file)
            if not replay.runs[-1].hung:
                await _run(trial, replay, numbered, "")

        ends = await asyncio.gather(
            *(play(number, replay) for number, replay in enumerate(replays)),
            return_exceptions=True,
        )
        # Before the client's end, which would close what was left open.
        requests = (await asyncio.to_thread(observe.journal, before, OVER)).requests
    for end in ends:
        if end is not None:
            raise end
    return sum(request.outcome == "running" for request in requests)


def _cut_the_last_line(file: Path) -> None:
    saved = file.read_bytes() if file.exists() else b""
    before = saved.rstrip(b"\n").rfind(b"\n") + 1
    if before < len(saved):
        file.write_bytes(saved[: (before + len(saved)) // 2])


async def _run(trial: Trial, replay: _Replay, client: AsyncOpenAI, interrupted: str) -> None:
    """Run the answer on one schedule, and note what it did.

    Raises:
        NotYet: the answer cannot be called like that, or not awaited.
    """
    await _called(trial, replay, client, interrupted)
    replay.runs[-1].answered_after = frozenset(_lines(replay.file, torn=replay.schedule.torn))


async def _called(trial: Trial, replay: _Replay, client: AsyncOpenAI, interrupted: str) -> None:
    run = _Run(
        replay.schedule,
        replay.file,
        dict(replay.asked),
        replay.asked,
        frozenset(_lines(replay.file, torn=replay.schedule.torn)),
    )
    replay.runs.append(run)
    questions = replay.schedule.questions

    async def called() -> object:
        return await trial.run_awaited(client, questions, replay.file, run.show)

    task = asyncio.create_task(called())
    if interrupted:
        run.cancelled = await _cancel_at(task, run, interrupted)
    await asyncio.wait({task}, timeout=OVER if run.cancelled else SECONDS)
    if not task.done():
        run.hung = True
        task.cancel()
        await asyncio.wait({task}, timeout=OVER)
    if not task.done():
        return
    if task.cancelled():
        run.raised = asyncio.CancelledError()
        return
    verdict = task.exception()
    if verdict is None:
        run.returned = task.result()
    elif isinstance(verdict, NotYet) and verdict.__context__ is not None:
        run.raised = verdict.__context__
    else:
        raise verdict


async def _cancel_at(task: "asyncio.Task[object]", run: _Run, silent: str) -> float | None:
    """Cancel a run once a silent answer has begun and the others are over; return when it was."""
    others = run.schedule.faults.keys() - {silent}
    loop = asyncio.get_running_loop()
    latest = loop.time() + SECONDS
    while not task.done() and loop.time() < latest:
        begun, over = bool(run.shown.get(silent)), others <= _lines(run.file).keys()
        if begun and over:
            break
        if begun or over:
            latest = min(latest, loop.time() + PATIENCE)
        await asyncio.sleep(0.02)  # the file is the answer's own: only looking tells
    return loop.time() if not task.done() and task.cancel() else None


def _lines(file: Path, *, torn: bool = False) -> dict[str, list[str]]:
    """Return the answers in a file, by question, as often as they stand there.

    `torn`: leave out what is no line.

    Raises:
        NotYet: a line is not what `add` writes.
    """
    found: dict[str, list[str]] = {}
    text = file.read_text("utf-8", errors="replace") if file.exists() else ""
    for line in text.splitlines():
        try:
            question, answer = json.loads(line)
        except (ValueError, TypeError):
            if torn:
                continue
            raise NotYet(f"In the file stands {shorten(line)!r}, no line of `add`'s.") from None
        found.setdefault(question, []).append(answer)
    return found


def _losses(replay: _Replay, wholes: Mapping[str, str]) -> dict[Loss, str]:
    """Return what went wrong, one of a sort, and what was seen of it."""
    found: list[tuple[Loss, str]] = []
    lines = _lines(replay.file, torn=replay.schedule.torn)
    if replay.schedule.torn and not replay.runs[-1].raised:
        found += _losses_of_half_a_line(replay.file)
    for question, answers in lines.items():
        found += _losses_of_lines(question, answers, wholes)
    for number, run in enumerate(replay.runs, 1):
        which = f"in the {('first', 'second')[number - 1]} run"
        after = replay.runs[1].before if number < len(replay.runs) else replay.asked
        for question in replay.schedule.faults:
            found += _losses_of_requests(run, question, after[question], which)
            found += _losses_of_show(run, question, wholes[question])
        in_file = run.answered_after if number < len(replay.runs) else lines.keys()
        found += _losses_of_the_end(run, frozenset(in_file), wholes, which)
    return dict(reversed(found))  # the first of a sort says most


def _losses_of_half_a_line(file: Path) -> Iterator[tuple[Loss, str]]:
    try:
        _lines(file)
    except NotYet:
        yield "lost", "the half line was left in the file, and what was added is glued to it"


def _losses_of_lines(
    question: str, answers: list[str], wholes: Mapping[str, str]
) -> Iterator[tuple[Loss, str]]:
    whole = wholes.get(question, "")
    if len(answers) > 1:
        yield "doubled", f"{question!r} has {len(answers)} lines"
    for answer in answers:
        if answer == whole:
            continue
        if answer == "":
            yield "lost", f"the line of {question!r} is empty, and nobody was told why"
        elif isinstance(answer, str) and answer.count(whole[:8]) > 1:
            yield "doubled", f"the answer to {question!r} begins twice"
        elif isinstance(answer, str) and whole.startswith(answer):
            yield "lost", f"{len(answer)} of {len(whole)} characters of {question!r} in the file"
        else:
            yield "lost", f"the line of {question!r} has {describe(answer)}"


def _losses_of_requests(
    run: _Run, question: str, after: int, which: str
) -> Iterator[tuple[Loss, str]]:
    before = run.before[question]
    spent, worth = after - before, run.worth(question)
    if question in run.answered_before:
        if spent:
            yield "overpaid", f"{question!r} had its line, and was asked again"
    elif spent > worth:
        yield "overpaid", f"{count(spent, 'request')} for {question!r} {which}, worth {worth}"
    elif spent < worth and not run.cancelled and not run.hung:
        raised = f": {type(run.raised).__name__}" if run.raised else ""
        yield "lost", f"{question!r} was given up after {count(spent, 'request')} {which}{raised}"


def _losses_of_show(run: _Run, question: str, whole: str) -> Iterator[tuple[Loss, str]]:
    wordless = run.schedule.faults[question][0] in WORDLESS
    for text in run.shown.get(question, []) if not wordless else []:  # a refusal has its own words
        if not whole.startswith(text):
            if text.count(whole[:8]) > 1:
                yield "doubled", f"shown for {question!r}: {shorten(text)!r}"
            else:
                yield "lost", f"shown for {question!r}: {shorten(text)!r}, no beginning of it"
            return


def _losses_of_the_end(
    run: _Run, in_file: frozenset[str], wholes: Mapping[str, str], which: str
) -> Iterator[tuple[Loss, str]]:
    if run.hung:
        yield "hung", f"it did not end {which}" + (", though cancelled" if run.cancelled else "")
        return
    for question in in_file - run.answered_before:
        if len(set(run.shown.get(question, []))) < LEAST_TEXTS:
            yield "hung", f"{question!r} was not shown as it grew"
    if run.cancelled:
        if not isinstance(run.raised, asyncio.CancelledError):
            yield "hung", "it was cancelled, and went on as if it were not"
        for question, texts in run.shown.items():
            whole = texts[-1] == wholes[question]
            if question not in in_file and whole and run.cancelled - run.shown_last[question] > DUE:
                yield "lost", f"{question!r} was over, and not in the file when the Ctrl-C came"
        return
    missing = run.schedule.faults.keys() - in_file
    if run.raised is not None:
        if missing:
            yield "lost", f"it raised {type(run.raised).__name__} {which}, and told no failures"
        return
    told = set(run.returned) if isinstance(run.returned, dict) else set()
    if missing - told:
        question = sorted(missing - told)[0]
        yield "lost", f"{question!r} has no line, and was not told as failed {which}"
    elif told - missing:
        yield "lost", f"{sorted(map(str, told - missing))[0]!r} was told as failed; it has a line"


def _expect_none(replays: list[_Replay], losses: list[dict[Loss, str]], left_open: int) -> None:
    """Make sure that nothing went wrong, and that no request was left open.

    Raises:
        NotYet: it did; how often, by sort, and one of each sort.
    """
    if not any(losses) and not left_open:
        return
    lines = [f"{sum(not seen for seen in losses)} of {len(replays)} schedules went well."]
    for sort in get_args(Loss):
        of_it = [
            (each, seen[sort]) for each, seen in zip(replays, losses, strict=True) if sort in seen
        ]
        if of_it:
            replay, what = min(of_it, key=lambda each: len(str(each[0].schedule)))
            lines += [f"{sort} in {len(of_it)}. For one: {what}.", f"  ({replay.schedule})"]
    if left_open:
        lines.append(f"When all was over, the server was still at {count(left_open, 'answer')}.")
    raise NotYet("\n".join(lines))


async def _expect_some_at_once(trial: Trial, file: Path) -> None:
    """Hold requests back until as many are there as may be, and see whether one more comes.

    Raises:
        NotYet: fewer came, or more.
    """
    held = most = 0
    full = asyncio.Event()

    async def hook(request: httpx2.Request) -> None:
        nonlocal held, most
        request.headers["x-mock-pace"] = AT_ONCE_PACE
        held += 1
        most = max(most, held)
        if held >= AT_ONCE and not full.is_set():
            await asyncio.sleep(TOGETHER)
            full.set()
        try:
            async with asyncio.timeout(PATIENCE):
                await full.wait()
        except TimeoutError:
            full.set()  # no more will come: the others need not wait as long
        held -= 1

    async with hooked_client(hook) as client:
        await trial.run_awaited(client, list(QUESTIONS), file, lambda *_: None)
    if most < AT_ONCE:
        raise NotYet(
            f"Nothing lost, doubled or overpaid. But of {len(QUESTIONS)} questions at most {most} "
            f"went at a time, where {AT_ONCE} may."
        )
    if most > AT_ONCE:
        raise NotYet(
            f"Nothing lost, doubled or overpaid. But {most} questions went at a time, where at "
            f"most {AT_ONCE} may."
        )


async def _expect_none_behind_an_error(trial: Trial, file: Path) -> None:
    """Let `show` fail while other answers are under way, and see whether they go on.

    Raises:
        NotYet: the answer has ended, and they do.
    """
    before = max((request.id for request in observe.journal().requests), default=0)
    shown: set[str] = set()

    async def hook(request: httpx2.Request) -> None:
        request.headers["x-mock-pace"] = A_SECOND_LONG

    def show(question: str, text: str) -> None:
        shown.add(question)
        if len(shown) == AT_ONCE:
            raise LookupError("show failed, as the check had it fail")

    async with hooked_client(hook) as client:
        with suppress(NotYet):  # the error is let out, as it may be
            await trial.run_awaited(client, list(QUESTIONS), file, show)
        requests = (await asyncio.to_thread(observe.journal, before, NOTICES)).requests
    on = sum(request.outcome == "running" for request in requests)
    if on:
        raise NotYet(
            f"Nothing lost, doubled or overpaid. But when `show` had failed and the run was over, "
            f"the server was still at {count(on, 'answer')}."
        )


async def _works_where_nothing_fails(trial: Trial, folder: Path) -> str:
    """Judge by results a batch at an endpoint that plays no faults."""
    asked = 0

    async def hook(_: httpx2.Request) -> None:
        nonlocal asked
        asked += 1

    file = folder / "batch.jsonl"
    async with hooked_client(hook) as client:
        for _ in range(2):
            await trial.run_awaited(client, [*QUESTIONS, QUESTIONS[0]], file, lambda *_: None)
    lines = _lines(file)
    if lines.keys() != set(QUESTIONS):
        raise NotYet(f"{len(QUESTIONS)} questions; {count(len(lines), 'answer')} in the file.")
    if asked != len(QUESTIONS) or any(len(answers) != 1 for answers in lines.values()):
        raise NotYet(f"{len(QUESTIONS)} questions, run twice: {count(asked, 'request')}.")
    return f"{len(lines)} answers, each asked for once, though it ran twice."
