"""The instrument itself: starts the columns together, shows them, and leaves a still picture."""

import asyncio
import inspect
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

from helpers import sending
from helpers.heartbeat import Heartbeat
from helpers.observe import Request
from helpers.panels.column import Answer, Column
from helpers.panels.live import PERIOD, Live
from helpers.panels.still import as_html, as_text
from helpers.timelines import Recording, recorded
from helpers.timelines.show import in_ipython


class Answers(Mapping[str, Answer]):
    """What came of each column, by its name. `timeline(answers)` draws their requests."""

    def __init__(
        self, answers: tuple[Answer, ...], recording: Recording, senders: Mapping[str, str]
    ) -> None:
        self._answers = {answer.name: answer for answer in answers}
        self._recording = recording
        self._senders = senders

    def __getitem__(self, name: str) -> Answer:
        return self._answers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._answers)

    def __len__(self) -> int:
        return len(self._answers)

    @property
    def requests(self) -> tuple[Request, ...]:
        """The requests of all columns, as the server saw them."""
        return self._recording.requests

    @property
    def senders(self) -> Mapping[str, str]:
        """The name of the column that sent a request, by what the server called the request."""
        return self._senders

    @property
    def heartbeat(self) -> Heartbeat | None:
        """How the event loop fared meanwhile."""
        return self._recording.heartbeat

    def __repr__(self) -> str:
        return as_text(tuple(self._answers.values()))

    def _ipython_display_(self) -> None:
        """Show nothing as a cell's value: the columns have shown themselves."""


async def side_by_side(
    *arguments: object,
    in_thread: bool = False,
    **columns: Callable[..., Any],
) -> Answers:
    """Run functions at once, a column each, and watch their texts grow.

        await side_by_side(question, OpenAI=ask, AsyncOpenAI=ask_async)

    Each function is called with the same `arguments`. It may be a generator of text or an async
    one, an `async def` that returns text, or a plain function that returns it. The column's name is
    the keyword; underscores in it become spaces.

    All start together and share the event loop. A blocking function holds it, and every other
    column and clock stands still until it is through; `in_thread=True` runs the blocking ones in
    threads of their own. An error ends its own column and is shown there. The Stop button cancels
    all columns, and so does Jupyter's interrupt, which alone reaches a function that blocks.

    In the end the live view gives way to a table, and the cell's value is what each column came to:
    `answers["OpenAI"].text`, `.requests`, `.pieces`, `.first` and `.total` in seconds, `.error`.

    Raises:
        TypeError: a column is not a function.
    """
    running = [
        Column(name.replace("_", " "), _function(name, column), in_thread)
        for name, column in columns.items()
    ]
    if not running:
        raise TypeError("Give at least one column, as in side_by_side(question, OpenAI=ask).")
    tasks: list[asyncio.Task[None]] = []
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for task in tasks:  # a click may come in another thread
            loop.call_soon_threadsafe(task.cancel)

    live = Live(running, stop) if in_ipython() else None
    try:
        with sending.counting(), _interrupts_reach(running), recorded() as recording:
            started = time.monotonic()
            for column in running:
                column.started = started
                tasks.append(asyncio.create_task(column.run(arguments)))
            try:
                await _watch(tasks, running, live.tick if live else lambda: None)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        if live is not None:
            live.close()
        answers = tuple(column.facts() for column in running)
        _show(answers)
    if any(column.interrupted for column in running):
        raise KeyboardInterrupt
    columns_own = {name: column.name for column in running for name in column.request_names}
    return Answers(answers, recording, {**recording.senders, **columns_own})


async def _watch(
    tasks: list["asyncio.Task[None]"], columns: list[Column], tick: Callable[[], None]
) -> None:
    """Keep the clocks going until all columns have ended, or one was interrupted."""
    pending: set[asyncio.Task[None]] = set(tasks)
    while pending and not any(column.interrupted for column in columns):
        _, pending = await asyncio.wait(
            pending, timeout=PERIOD, return_when=asyncio.FIRST_COMPLETED
        )
        tick()


@contextmanager
def _interrupts_reach(columns: list[Column]) -> Iterator[None]:
    """Have an interrupt break into a column that blocks.

    During an await ipykernel turns an interrupt into a cancellation, which waits for the event
    loop: for the very thing that a blocking column holds.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is None:
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if any(column.in_a_step for column in columns):
            raise KeyboardInterrupt
        if callable(before):
            before(number, frame)

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _show(answers: tuple[Answer, ...]) -> None:
    if not in_ipython():
        print(as_text(answers))
        return
    from IPython.display import display

    display(  # type: ignore[no-untyped-call]
        {"text/html": as_html(answers), "text/plain": as_text(answers)}, raw=True
    )


def _function(name: str, column: object) -> Callable[..., Any]:
    if callable(column):
        return column
    if inspect.iscoroutine(column):
        column.close()  # said here; Python's own warning would come later, somewhere else
    raise TypeError(
        f"Column {name!r} is a {type(column).__name__}, and it should be a function. "
        f"Give the function itself: side_by_side(question, {name}=ask), without calling it."
    )
