"""Waits: for a moment, for a place, and never longer than the client does."""

import asyncio
import contextlib
import time

from starlette.types import Receive

from helpers.mock_server.protocol.asgi import Gone


class Clock:
    """Waits for a moment, or for the client to hang up, whichever comes first."""

    __slots__ = ("_loop", "_receive", "_watcher", "gone", "sleeper")

    def __init__(self, receive: Receive) -> None:
        self._loop = asyncio.get_running_loop()
        self._receive = receive
        self._watcher: asyncio.Task[None] | None = None
        self.sleeper: asyncio.Future[None] | None = None
        """What is waited for; cancelled when the client hangs up."""
        self.gone = False

    def __enter__(self) -> "Clock":
        return self

    def __exit__(self, *_: object) -> None:
        if self._watcher is not None:
            self._watcher.cancel()

    async def until(self, moment: float) -> None:
        """Wait until `time.monotonic()` is `moment`.

        Raises:
            Gone: the client hung up meanwhile.
        """
        delay = moment - time.monotonic()
        if delay <= 0:
            if self.gone:
                raise Gone
            return
        sleeper = self._loop.create_future()
        timer = self._loop.call_later(delay, _wake, sleeper)
        try:
            await self.outcome(sleeper)
        finally:
            timer.cancel()

    async def outcome(self, future: "asyncio.Future[None]") -> None:
        """Wait until a future is done.

        Raises:
            Gone: the client hung up meanwhile.
        """
        self.watch()
        self.sleeper = future
        try:
            await future
        except asyncio.CancelledError:
            if not self.gone:
                raise
        if self.gone:
            raise Gone

    async def breathe(self) -> None:
        """Let others run.

        Raises:
            Gone: the client hung up meanwhile.
        """
        self.watch()
        await asyncio.sleep(0)
        if self.gone:
            raise Gone

    def watch(self) -> None:
        """See to it that a hang-up is noticed from now on.

        Raises:
            Gone: it has been noticed.
        """
        if self._watcher is None:
            self._watcher = self._loop.create_task(self._watch())
        elif self.gone:
            raise Gone

    async def _watch(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while (await self._receive())["type"] != "http.disconnect":
                pass
            self.gone = True
            if self.sleeper is not None:
                self.sleeper.cancel()


def _wake(sleeper: "asyncio.Future[None]") -> None:
    if not sleeper.done():
        sleeper.set_result(None)


class Alarms:
    """One timer for all that are to wake in the same millisecond.

    A timer for each token of a thousand streams takes more of the processor than their bytes do.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._sleepers: dict[int, list[asyncio.Future[None]]] = {}

    def at(self, moment: float) -> "asyncio.Future[None]":
        """Return a future that is done at a moment, to the millisecond."""
        sleeper: asyncio.Future[None] = self.loop.create_future()
        slot = round(moment * 1000)
        sleepers = self._sleepers.get(slot)
        if sleepers is None:
            self._sleepers[slot] = [sleeper]
            self.loop.call_later(max(0.0, slot / 1000 - time.monotonic()), self._ring, slot)
        else:
            sleepers.append(sleeper)
        return sleeper

    def _ring(self, slot: int) -> None:
        for sleeper in self._sleepers.pop(slot):
            if not sleeper.done():
                sleeper.set_result(None)


_alarms: Alarms | None = None


def alarms() -> Alarms:
    """Return the alarms of the running loop."""
    global _alarms
    loop = asyncio.get_running_loop()
    if _alarms is None or _alarms.loop is not loop:
        _alarms = Alarms(loop)
    return _alarms
