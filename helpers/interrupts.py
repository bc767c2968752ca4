"""Makes Jupyter's ■ stop a cell that awaits at once, and say in a few lines what it stopped."""

import asyncio
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from helpers.heartbeat import is_yours

CANCELLED = "You interrupted this cell, and what it awaited was cancelled."
STOPPED = "You interrupted this cell."

_cell_was_cancelled = False


def listen(shell: Any) -> None:
    """From now on, an interrupt takes effect at once in each of the shell's cells.

    ipykernel (7.4) turns an interrupt during an await into the cancellation of the cell, and leaves
    it to be found when the event loop next wakes: which, with nothing else to do, it does when the
    awaited answer is there. So the loop is woken, as `asyncio.run` does on Ctrl-C. While the
    cell's own code holds the loop, with a blocking call inside an `async def`, the interrupt breaks
    into that code, as it does in a cell without `await`.

    Where nobody else has a say in it, the traceback is cut to the learner's own lines.
    """
    if _before_cell in shell.events.callbacks["pre_run_cell"]:
        return
    shell.events.register("pre_run_cell", _before_cell)
    _before_cell()  # the cell that imports us is already running
    if not shell.custom_exceptions:
        shell.set_custom_exc((KeyboardInterrupt, asyncio.CancelledError), _show)


def _before_cell(*_: object) -> None:
    """Put a handler before the kernel's own, which takes both away at the cell's end."""
    global _cell_was_cancelled
    _cell_was_cancelled = False
    if threading.current_thread() is not threading.main_thread():
        return  # a subshell: signals are the main thread's
    cancel_the_cell = signal.getsignal(signal.SIGINT)
    if not callable(cancel_the_cell) or cancel_the_cell is signal.default_int_handler:
        return  # no `await` in this cell: Python's own handler breaks into it
    loop, cell = asyncio.get_running_loop(), asyncio.current_task()

    def handle(number: int, frame: FrameType | None) -> None:
        global _cell_was_cancelled
        # Raised in any other task it would end the event loop, and the kernel with it.
        if cell is not None and asyncio.current_task(loop) is cell:
            raise KeyboardInterrupt
        _cell_was_cancelled = True
        cancel_the_cell(number, frame)
        loop.call_soon_threadsafe(lambda: None)

    signal.signal(signal.SIGINT, handle)


def _show(
    shell: Any,
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType | None,
    tb_offset: int | None = None,
) -> None:
    """Show what an interrupt ended; all that is no interrupt as it always is."""
    words = None
    if isinstance(error, asyncio.CancelledError):
        words = CANCELLED if _cell_was_cancelled else None
    elif not error.args:  # one with words of its own was raised by code
        words = STOPPED
    yours = _your_lines(trace)
    if words is None or yours is None:
        shell.showtraceback((kind, error, trace), running_compiled_code=True)
    else:
        said = KeyboardInterrupt(words)
        shell.showtraceback((KeyboardInterrupt, said, yours), tb_offset=0)


def _your_lines(trace: TracebackType | None) -> TracebackType | None:
    """Return the traceback without the frames of libraries; None if no other is in it."""
    if trace is None:
        return None
    inner = _your_lines(trace.tb_next)
    if not is_yours(trace.tb_frame):
        return inner
    return TracebackType(inner, trace.tb_frame, trace.tb_lasti, trace.tb_lineno)
