"""Ctrl-C: the first lets what is in flight come to its end, the second leaves at once."""

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

WORDS = (
    "Interrupted: no further call begins; those in flight are paid for and are waited for. "
    "Once more leaves at once, without them."
)


@contextmanager
def on_interrupt(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` on the first interrupt, in the running event loop; the second one cancels.

    Outside of the main thread, where Python lets nobody listen, it changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    heard = 0

    def hear(*_: object) -> None:
        nonlocal heard
        heard += 1
        if heard == 1:
            print(f"\n{WORDS}", file=sys.stderr)
            loop.call_soon_threadsafe(stop)
        elif task is not None:
            loop.call_soon_threadsafe(task.cancel)

    before = signal.signal(signal.SIGINT, hear)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
