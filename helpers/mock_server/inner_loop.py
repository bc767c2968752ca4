"""An event loop that runs only while somebody turns it: the server's, where it has no process."""

import asyncio
import contextvars
import heapq
import logging
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVarTuple

AT_ONCE = 100
"""Rounds of what is ready in one turn: a stream without delays breathes between its pieces, and
each breath would cost the outer loop a round of its own. Together they take a few thousandths of a
second."""

Given = TypeVarTuple("Given")

_log = logging.getLogger(__name__)


class InnerLoop(asyncio.AbstractEventLoop):
    """The part of an event loop that an ASGI application needs: calls, timers, futures and tasks.

    It has no thread and waits for nothing. `turn` runs what is due; `next_due` says when to turn it
    again. It may be turned in the middle of another loop's task: then it is the running loop for
    that long.
    """

    def __init__(self) -> None:
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._made = 0
        self.turning = False

    # --- what turns it ---

    def next_due(self) -> float | None:
        """Return when there is something to run, on `time.monotonic()`; None if never."""
        if self._ready:
            return 0.0
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def turn(self) -> None:
        """Run what is due by now, and what comes of it. Does nothing while it is being turned."""
        if self.turning:  # from a destructor, say: what it left is run by the turn under way
            return
        self.turning = True
        try:
            with _stepped_aside(self):
                for _ in range(AT_ONCE):
                    self._wake_timers()
                    if not self._ready:
                        return
                    for _ in range(len(self._ready)):
                        handle = self._ready.popleft()
                        if not handle.cancelled():
                            handle._run()
        finally:
            self.turning = False

    def _wake_timers(self) -> None:
        now = self.time()
        while self._timers and self._timers[0][0] <= now:
            self._ready.append(heapq.heappop(self._timers)[2])

    # --- what asyncio asks of a loop ---

    def time(self) -> float:
        return time.monotonic()

    def call_soon(
        self,
        callback: Callable[[*Given], object],
        *args: *Given,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[*Given], object],
        *args: *Given,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[*Given], object],
        *args: *Given,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._made += 1  # of two at one moment, the older first
        heapq.heappush(self._timers, (when, self._made, timer))
        return timer

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        pass  # it is passed over when its moment comes

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, **options: Any) -> "asyncio.Task[Any]":
        return asyncio.Task(coro, loop=self, **options)

    def is_running(self) -> bool:
        return self.turning

    def is_closed(self) -> bool:
        return False

    def get_debug(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        _log.error("%s", context.get("message"), exc_info=context.get("exception"))


@contextmanager
def _stepped_aside(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Let `loop` be the running one; the loop and the task that run now come back afterwards."""
    outer = asyncio._get_running_loop()
    task = None if outer is None else asyncio.current_task()
    # From Python 3.14 a thread has one current task, whatever its loop. Both calls are what asyncio
    # documents for extensions.
    if outer is not None and task is not None:
        asyncio.tasks._leave_task(outer, task)
    asyncio._set_running_loop(loop)
    try:
        yield
    finally:
        asyncio._set_running_loop(outer)
        if outer is not None and task is not None:
            asyncio.tasks._enter_task(outer, task)


def pause(seconds: float) -> None:
    """Sleep with the whole process, other event loops included.

    In a page `time.sleep` lets the page's event loop run meanwhile, where the runtime can do that:
    a blocking call would block nobody.
    """
    _sleep(max(0.0, seconds))


if sys.platform == "emscripten":
    from pyodide import webloop

    _sleep: Callable[[float], None] = webloop._orig_sleep
else:
    _sleep = time.sleep
