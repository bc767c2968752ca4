"""What an exercise is, and how an answer is tried."""

import asyncio
import gc
import inspect
import signal
import threading
import traceback
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

from helpers import observe
from helpers.endpoint import endpoint
from helpers.page import in_page

TIME_LIMIT = 30.0
"""Seconds for one answer: ten times what the slowest exercise takes at the usual pace, so that a
slow real model is not turned down, and short enough to sit through."""

GRACE = 1.0
"""Seconds more for an answer that was told to stop, before it is broken off where it stands."""

T = TypeVar("T")

TURNS = 5
"""Turns of the event loop that a thread would have left to others: a generator inside a generator,
left early, has closed after three."""

Judge = Callable[["Trial"], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Exercise:
    """One exercise: `judge` tries an answer and returns what was right, or raises `NotYet`."""

    name: str
    judge: Judge
    hints: tuple[str, ...]
    time_limit: float = TIME_LIMIT
    own_server: bool = False
    """Whether the judge runs a server of its own: what reached the lesson's says nothing then."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check saw. A notebook shows it as text."""

    name: str
    passed: bool
    saw: tuple[str, ...]
    hint: str = ""
    """The hint that fits what was seen; empty where the exercise's own do."""

    def __repr__(self) -> str:
        word = "passed" if self.passed else "not yet"
        first, *more = "\n".join(self.saw).split("\n")
        lines = [f"{word:<9}{first}", *(f"{'':<9}{line}" for line in more)]
        if not self.passed:
            lines.append(f'{"hint":<9}hint("{self.name}")')
        return "\n".join(lines)


class NotYet(Exception):
    """The answer is not right yet; the message says what was seen. `hint`: as in `Verdict`."""

    def __init__(self, saw: str, hint: str = "") -> None:
        super().__init__(saw)
        self.hint = hint


_exercises: dict[str, Exercise] = {}


def register(
    name: str,
    *,
    hints: tuple[str, ...],
    time_limit: float = TIME_LIMIT,
    own_server: bool = False,
) -> Callable[[Judge], Judge]:
    """Make the decorated function the judge of exercise `name`. Hints go from cool to warm."""

    def wrap(judge: Judge) -> Judge:
        _exercises[name] = Exercise(name, judge, hints, time_limit, own_server)
        return judge

    return wrap


def find(name: str) -> Exercise:
    """Return the registered exercise `name`.

    Raises:
        LookupError: there is no such exercise.
    """
    if name not in _exercises:
        known = ", ".join(sorted(_exercises))
        raise LookupError(f"There is no exercise {name!r}. There are: {known}.")
    return _exercises[name]


def registered() -> frozenset[str]:
    """Return the names of the exercises whose lessons have been loaded."""
    return frozenset(_exercises)


@dataclass(slots=True)
class Trial:
    """An answer under trial: runs it, and knows what the server saw meanwhile."""

    answer: Any
    _before: int = field(init=False)
    _last: float = field(init=False, default=float("inf"))
    _results: list[Any] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._before = max((r.id for r in observe.journal().requests), default=0)

    @property
    def sees_requests(self) -> bool:
        """Whether the endpoint keeps a journal; without one, judge by results alone."""
        return endpoint().keeps_journal

    @property
    def requests(self) -> tuple[observe.Request, ...]:
        """The requests since the trial began, each waited for until it ended."""
        requests = observe.journal(after=self._before, settle=observe.SETTLE).requests
        return tuple(request for request in requests if request.id <= self._last)

    @contextmanager
    def aside(self) -> Iterator["Trial"]:
        """Give a trial of the same answer, whose requests are not counted among this one's.

        Nor are any that come later: this trial has had its requests then.
        """
        again = Trial(self.answer)
        self._last = min(self._last, again._before)
        try:
            yield again
        finally:
            again.close()

    async def run(self, *arguments: object) -> Any:
        """Call the answer and return what comes of it.

        A coroutine is awaited. Of a generator, async or not, the items are returned as a list. A
        plain function runs in a thread, so that it cannot hold up the time limit; in a page, where
        there are none, it runs here.

        Raises:
            NotYet: the answer is no function, or its call raised an error.
        """
        if not callable(self.answer):
            raise NotYet(f"The answer should be a function; it is {describe(self.answer)}.")
        call = describe_call(self.answer, arguments)
        try:
            if _starts_at_once(self.answer):
                result = await off_the_loop(self._run_plainly, arguments)
            else:
                result = self.answer(*arguments)
                if inspect.iscoroutine(result):
                    result = await result
            if isinstance(result, AsyncIterator):
                result = [item async for item in result]
        except NotYet:  # from a judge's own function around the answer
            raise
        except Exception as error:
            raise _raised(call, error) from None
        self._results.append(result)
        return result

    async def run_awaited(self, *arguments: object) -> Any:
        """Call the answer on this thread, where the loop runs, and await what comes of it.

        Raises:
            NotYet: the answer is no function, its call raised an error, or it cannot be awaited.
        """
        if not callable(self.answer):
            raise NotYet(f"The answer should be a function; it is {describe(self.answer)}.")
        call = describe_call(self.answer, arguments)
        try:
            result = self.answer(*arguments)
            awaited = inspect.isawaitable(result)
            if awaited:
                result = await result
        except Exception as error:
            raise _raised(call, error) from None
        self._results.append(result)
        if not awaited:
            if isinstance(result, AsyncIterator):
                raise NotYet(f"{call} returned {describe(result)}, where `await` was to work.")
            raise NotYet(
                f"{_name(self.answer)}(…) is a plain function: "
                "called in a cell, it holds the loop until it returns."
            )
        return result

    def call_here(self, *arguments: object) -> Any:
        """Call a plain function on this thread, where the loop runs, as a line of a cell does.

        Raises:
            NotYet: the answer is no function, its call raised an error, or it must be awaited.
        """
        if not callable(self.answer):
            raise NotYet(f"The answer should be a function; it is {describe(self.answer)}.")
        call = describe_call(self.answer, arguments)
        try:
            result = self.answer(*arguments)
        except Exception as error:
            raise _raised(call, error) from None
        self._results.append(result)
        if inspect.isawaitable(result):
            raise NotYet(f"{call} returned {describe(result)}; plain code cannot await it.")
        return result

    def close(self) -> None:
        """Close the coroutines and futures among the results, so that none complains later."""
        for result in self._results:
            for item in result if isinstance(result, list | tuple | set) else (result,):
                if inspect.iscoroutine(item):
                    item.close()
                elif isinstance(item, asyncio.Future):
                    item.add_done_callback(lambda one: one.cancelled() or one.exception())
                    item.cancel()

    def _run_plainly(self, arguments: tuple[object, ...]) -> Any:
        result = self.answer(*arguments)
        return list(result) if isinstance(result, Iterator) else result


async def judge(exercise: Exercise, answer: object) -> Verdict:
    """Try `answer`, bounded in time; end the tasks that it leaves behind."""
    trial, hint = Trial(answer), ""
    with (
        warnings.catch_warnings(),
        _tasks_started() as started,
        _break_off_after(exercise.time_limit + GRACE, started),
    ):
        # The verdict says what was forgotten; Python's own warning would come at a random moment.
        warnings.filterwarnings("ignore", message="coroutine .* was never awaited")
        try:
            saw: list[str] = [await _within(exercise.time_limit, exercise.judge(trial))]
            passed = True
        except NotYet as verdict:
            passed, saw, hint = False, [str(verdict)], verdict.hint
        except TimeoutError:
            passed, saw = False, [f"No answer within {exercise.time_limit:g} seconds."]
        except _HeldTheLoop:
            passed = False
            saw = [f"It held the event loop for over {exercise.time_limit:g} seconds; I ended it."]
        finally:
            trial.close()
            # A client left over from another loop closes itself, when it is collected, on the loop
            # that happens to run, and fails there. Collected now, it starts a task of ours; later
            # it would complain under a cell that has nothing to do with it.
            gc.collect()
            stubborn = await _end_tasks(started)
    if stubborn:
        saw.append(f"{count(stubborn, 'task')} of it cannot be cancelled, and may run on.")
    if not trial.sees_requests and not exercise.own_server:
        saw.append("This endpoint keeps no journal: judged by results alone.")
    elif not passed and not exercise.own_server:
        saw.append(f"{count(len(trial.requests), 'request')} reached the server.")
    return Verdict(exercise.name, passed, tuple(saw), hint)


async def off_the_loop(function: Callable[..., T], *arguments: Any) -> T:
    """Call a blocking function in a thread; where there are none, here, after a few free turns."""
    if in_page():
        for _ in range(TURNS):
            await asyncio.sleep(0)
        return function(*arguments)
    return await asyncio.to_thread(function, *arguments)


def count(number: int, thing: str) -> str:
    """Return "1 request", "3 requests"."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def describe(value: object) -> str:
    """Return what a value is, in the course's words."""
    if inspect.iscoroutine(value):
        return "a coroutine, a call that has not started"
    if inspect.isasyncgen(value):
        return "an async generator, which has not started"
    if isinstance(value, asyncio.Future):
        return "a task or future, whose result nobody awaited"
    if isinstance(value, str):
        return f"the text {shorten(value)!r}"
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    name = type(value).__name__
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


def describe_call(function: Any, arguments: tuple[object, ...]) -> str:
    """Return the call as one would write it, long arguments cut short."""
    shown = (
        _name(argument) if inspect.isroutine(argument) else shorten(repr(argument))
        for argument in arguments
    )
    return f"{_name(function)}({', '.join(shown)})"


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def shorten(text: str, most: int = 40) -> str:
    """Cut a text to `most` characters, an ellipsis included."""
    return text if len(text) <= most else text[: most - 1] + "…"


def _starts_at_once(function: Any) -> bool:
    """Whether a call runs the body: not so for `async def` and for async generators."""
    return not (inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function))


CLOSED = "client has been closed"
"""In the words of the SDK's error about one."""


def _raised(call: str, error: Exception) -> NotYet:
    """Return the verdict on an answer that raised an error."""
    said = f"{call} raised {type(error).__name__}: {error}"
    if CLOSED in said:
        said += (
            "\nThe lesson shares one client, and `async with` or close() ended it."
            "\nMake one of your own, async_client(max_retries=2), and run the first cell again."
        )
    _let_go(error)
    return NotYet(said)


def _let_go(error: BaseException) -> None:
    """Free what the error's frames hold, now, while warnings about it are off."""
    traceback.clear_frames(error.__traceback__)
    if isinstance(error, AttributeError):
        error.obj = None
    error.__traceback__ = None


Tasks = set["asyncio.Future[Any]"]

_on_trial: ContextVar[Tasks | None] = ContextVar("_on_trial", default=None)


@contextmanager
def _tasks_started() -> Iterator[Tasks]:
    """Collect the tasks that this block's own code starts.

    Others start some meanwhile: the kernel does for each cell in its queue, and were those ended
    too, the rest of a *Run All* would be lost. A task's creator is known by its context.
    """
    loop = asyncio.get_running_loop()
    usual = loop.get_task_factory()
    started: Tasks = set()

    def factory(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> Any:
        make = usual or _plain_task
        task = make(loop, work, **options)
        if _on_trial.get() is started:
            started.add(task)
        return task

    token = _on_trial.set(started)
    loop.set_task_factory(factory)
    try:
        yield started
    finally:
        loop.set_task_factory(usual)
        _on_trial.reset(token)


def tasks_under_way() -> Tasks:
    """Return the tasks of the trial that goes on here, the answer's and the judge's, not done."""
    return {task for task in _on_trial.get() or () if not task.done()}


def _plain_task(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> Any:
    return asyncio.Task(work, loop=loop, **options)


async def _within(seconds: float, work: Awaitable[str]) -> str:
    """Return what comes of `work`, which need not obey when it is cancelled.

    Raises:
        TimeoutError: nothing came of it in time.
    """
    interrupts: list[KeyboardInterrupt] = []

    async def guarded() -> str:
        try:
            return await work
        except KeyboardInterrupt as interrupt:
            # Out of a task of its own, it would end the event loop and the kernel with it.
            interrupts.append(interrupt)
            return ""

    task = asyncio.ensure_future(guarded())
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        if not task.done():
            await _end_tasks({task})
    if interrupts:
        raise interrupts[0]
    if not task.done() or task.cancelled():
        raise TimeoutError
    return task.result()


async def _end_tasks(tasks: Tasks) -> int:
    """Cancel the tasks that are not done; return how many are not done even then."""
    left = {task for task in tasks if not task.done()}
    for task in left:
        task.cancel()
    if left:
        _, left = await asyncio.wait(left, timeout=GRACE)
    return len(left)


class _HeldTheLoop(BaseException):
    """Raised in the middle of an answer that blocks the event loop, where no timeout can run."""


@contextmanager
def _break_off_after(seconds: float, started: Tasks) -> Iterator[None]:
    """Raise `_HeldTheLoop` in a task of these that still holds the loop after so many seconds.

    It needs an alarm signal: on Windows, and off the main thread, it can only say what is wrong; in
    a page nobody is there to say it, and the page's own Restart ends it.
    """
    if in_page():
        yield
        return
    on_main_thread = threading.current_thread() is threading.main_thread()
    if not hasattr(signal, "SIGALRM") or not on_main_thread:
        alarm = threading.Timer(seconds + GRACE, print, ["It holds the event loop: interrupt it."])
        alarm.daemon = True
        alarm.start()
        try:
            yield
        finally:
            alarm.cancel()
        return

    def ring(*_: object) -> None:
        if asyncio.current_task() in started:  # no other task, and no loop at rest, is to be harmed
            raise _HeldTheLoop

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, GRACE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
