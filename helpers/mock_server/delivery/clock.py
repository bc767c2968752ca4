"""Waits: for a moment, and never longer than the client does."""

import asyncio
import time
from collections.abc import Awaitable
from typing import TypeVar

from starlette.types import Receive

from helpers.mock_server.protocol.asgi import Gone

T = TypeVar("T")


async def unless_gone(work: Awaitable[T], receive: Receive) -> T:
    """Return what some work gives; give it up when the client hangs up.

    Raises:
        Gone: the client hung up before.
    """
    working = asyncio.ensure_future(work)
    listening = asyncio.ensure_future(until_gone(receive))
    try:
        await asyncio.wait([working, listening], return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Gone
        return working.result()
    finally:
        listening.cancel()
        working.cancel()


async def until_gone(receive: Receive) -> None:
    """Return when the client has hung up, or has its whole answer."""
    while (await receive())["type"] != "http.disconnect":
        pass


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
