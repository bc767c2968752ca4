"""One column: runs a learner's function, whatever its form, and keeps what came when."""

import asyncio
import gc
import inspect
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from types import coroutine
from typing import Any, Literal, Protocol

from helpers import sending

Outcome = Literal["running", "finished", "failed", "stopped"]

HELD = 0.8
"""A column "held the event loop" when its own code ran for this share of its time. A blocking call
is close to 1; an async one waits most of its time, and even its first call stays under a half."""

FELT = 0.01
"""Seconds below which nobody waits: a function that returns at once spends all its time on its own
code and holds nothing up. The shortest blocking answer, at a fiftieth of the pace, takes 0.02."""

GRACE = 2.0
"""Seconds that a stopped thread gets to reach its next piece of text. It cannot be ended by force;
after that it is left to end by itself."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one column came to. Times are seconds since all columns started."""

    name: str
    text: str
    outcome: Outcome
    error: Exception | SystemExit | None
    requests: int
    """How many left for the server, retries included."""
    pieces: int
    """In how many pieces the text came; 1 for a function that returned it whole."""
    first: float | None
    """When the first text came; None if none did."""
    total: float
    held: float
    """Seconds for which the column's own code kept the event loop from running anything else."""

    @property
    def held_the_loop(self) -> bool:
        """Whether it kept the event loop for most of its time."""
        return self.held > max(HELD * self.total, FELT)

    def __str__(self) -> str:
        return self.text


class Column:
    """A running column. `facts()` can be read at any time, also while it runs."""

    def __init__(self, name: str, function: Callable[..., Any], in_thread: bool) -> None:
        self.name = name
        self.started = time.monotonic()
        """Where its clock is zero."""
        self.changed: Callable[[], None] = lambda: None
        """Called when a piece has come or the column has ended, in the event loop's thread."""
        self.interrupted = False
        """Whether Jupyter's interrupt, and no Stop button, ended it."""
        self.in_a_step = False
        """Whether its own code runs at this moment, in the event loop's thread."""
        self._function = function
        self._in_thread = in_thread
        self._pieces: list[str] = []
        self._first: float | None = None
        self._ended: float | None = None
        self._outcome: Outcome = "running"
        self._error: Exception | SystemExit | None = None
        self._counter = sending.Counter()
        self._held = 0.0
        self._step_began = 0.0
        self._stop = threading.Event()

    @property
    def running(self) -> bool:
        return self._outcome == "running"

    @property
    def request_names(self) -> tuple[str, ...]:
        """What the server called its requests, as far as it answered them."""
        return tuple(self._counter.names)

    def facts(self) -> Answer:
        ended = time.monotonic() if self._ended is None else self._ended
        return Answer(
            name=self.name,
            text="".join(self._pieces),
            outcome=self._outcome,
            error=self._error,
            requests=self._counter.sent,
            pieces=len(self._pieces),
            first=None if self._first is None else self._first - self.started,
            total=ended - self.started,
            held=self._held,
        )

    async def run(self, arguments: tuple[object, ...]) -> None:
        """Run the function to its end. Errors become part of the facts; nothing is raised."""
        sending.count_here(self._counter)
        try:
            await _timed(self._drive(arguments), self)
            self._outcome = "finished"
        except asyncio.CancelledError:
            self._outcome = "stopped"
        except KeyboardInterrupt:
            # Raised out of a task, it would end the event loop and the kernel with it.
            self._outcome, self.interrupted = "stopped", True
        except (Exception, SystemExit) as error:  # the latter would end the kernel as well
            self._outcome, self._error = "failed", error
        finally:
            self._ended = time.monotonic()
            self.changed()

    def step_begins(self) -> None:
        self._step_began = time.monotonic()
        self.in_a_step = True

    def step_ends(self) -> None:
        self.in_a_step = False
        self._held += time.monotonic() - self._step_began

    async def _drive(self, arguments: tuple[object, ...]) -> None:
        if self._in_thread and _starts_at_once(self._function):
            await self._drive_in_thread(arguments)
            return
        result = self._function(*arguments)
        if inspect.isawaitable(result):
            result = await result
        if isinstance(result, AsyncIterator):
            await self._drive_async(result)
        elif isinstance(result, Iterator):
            self._drive_blocking(result)
        else:
            self._add(result)

    async def _drive_async(self, pieces: AsyncIterator[Any]) -> None:
        if inspect.isasyncgen(pieces):
            async with aclosing(pieces):
                async for piece in pieces:
                    self._add(piece)
        else:
            async for piece in pieces:
                self._add(piece)

    def _drive_blocking(self, pieces: Iterator[Any]) -> None:
        # No pause between the pieces: that is what a plain `for` does to an event loop.
        try:
            for piece in pieces:
                self._add(piece)
        finally:
            _close(pieces)

    async def _drive_in_thread(self, arguments: tuple[object, ...]) -> None:
        work = asyncio.ensure_future(asyncio.to_thread(self._drain, arguments))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            self._stop.set()
            await asyncio.wait([work], timeout=GRACE)
            if work.done() and not work.cancelled():
                work.exception()  # seen; the column was stopped all the same
            raise

    def _drain(self, arguments: tuple[object, ...]) -> None:
        result = self._function(*arguments)
        if not isinstance(result, Iterator):
            self._add(result, paint=False)
            return
        try:
            for piece in result:
                if self._stop.is_set():
                    return
                self._add(piece, paint=False)
        finally:
            _close(result)
            if self._stop.is_set():
                # The SDK's stream, left half read, hangs up when it is collected, no sooner.
                del result
                gc.collect()

    def _add(self, piece: object, *, paint: bool = True) -> None:
        if not isinstance(piece, str):
            raise TypeError(_not_text(piece))
        if self._first is None and piece:
            self._first = time.monotonic()
        self._pieces.append(piece)
        if paint:
            self.changed()


class Steps(Protocol):
    def step_begins(self) -> None: ...

    def step_ends(self) -> None: ...


@coroutine
def _timed(work: Coroutine[Any, Any, None], watcher: Steps) -> Generator[Any, Any, None]:
    """Await `work`, and report when each of its steps takes the event loop and gives it back."""
    send: Any = None
    error: BaseException | None = None
    while True:
        watcher.step_begins()
        try:
            waits_for = work.send(send) if error is None else work.throw(error)
        except StopIteration:
            return
        finally:
            watcher.step_ends()
        send = error = None
        try:
            send = yield waits_for
        except GeneratorExit:
            work.close()
            raise
        except BaseException as thrown:
            error = thrown


def _starts_at_once(function: Callable[..., Any]) -> bool:
    call = getattr(function, "func", function)  # a functools.partial wraps another
    return not (inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call))


def _close(pieces: Iterator[Any]) -> None:
    close = getattr(pieces, "close", None)
    if close is not None:
        with suppress(Exception):
            close()


def _not_text(piece: object) -> str:
    kind = type(piece).__name__
    advice = {
        "ChatCompletion": "return response.choices[0].message.content",
        "ChatCompletionChunk": "yield chunk.choices[0].delta.content, if there is any",
        "coroutine": "await it first",
        "tuple": "did the call forget stream=True?",
        "NoneType": "yield content only if there is any",
    }.get(kind)
    return f"a column shows text, and this is a {kind}" + (f": {advice}" if advice else "")
