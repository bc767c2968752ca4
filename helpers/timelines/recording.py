"""What happened in a stretch of time: the requests that arrived in it, and the loop's heartbeat."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import ExitStack

from helpers import observe, sending
from helpers.heartbeat import Heartbeat
from helpers.observe import Request


class Recording:
    """A stretch of time: its requests, as the server saw them, and how the event loop fared.

        with recorded() as one_by_one:
            ...
        one_by_one.requests, one_by_one.peak_in_flight, one_by_one.heartbeat.longest_freeze

    Ends with the block; the requests still under way get a second to end.
    """

    def __init__(self, started: float) -> None:
        self.started = started
        """Seconds on `time.monotonic()`, as is `ended`."""
        self.ended: float | None = None
        self.heartbeat: Heartbeat | None = None
        """None where no event loop ran to listen to."""
        self.senders: Mapping[str, str] = {}
        """What the tasks are called that sent a request, by `request_id`, where they were given a
        name: `create_task(…, name="haiku")`."""
        self._requests: tuple[Request, ...] | None = None
        self._open = ExitStack()

    @property
    def requests(self) -> tuple[Request, ...]:
        """The requests that arrived in this stretch, oldest first.

        On an endpoint without a journal: `NO_JOURNAL`.
        """
        if self._requests is not None:
            return self._requests
        seen = observe.journal(settle=observe.SETTLE)
        if isinstance(seen, observe.NoJournal):
            return seen  # type: ignore[return-value]
        ended = float("inf") if self.ended is None else self.ended
        requests = tuple(r for r in seen.requests if self.started <= r.arrived <= ended)
        if self.ended is not None:
            self._requests = requests
        return requests

    @property
    def peak_in_flight(self) -> int:
        """The most of these requests that were under way at one time."""
        return observe.peak_in_flight(self.requests)

    def __enter__(self) -> "Recording":
        self.started, self.ended, self._requests = time.monotonic(), None, None
        self.senders = self._open.enter_context(sending.naming())
        self.heartbeat = Heartbeat() if _a_loop_runs() else None
        if self.heartbeat is not None:
            self._open.enter_context(self.heartbeat)
        return self

    def __exit__(self, *_: object) -> None:
        self.ended = time.monotonic()
        self._open.close()


def recorded() -> Recording:
    """Record a block of code, silently, to draw it later beside another.

        with recorded() as one_by_one:
            for question in questions: ask(question)
        with recorded() as together:
            await asyncio.gather(*map(ask_async, questions))
        timeline(one_by_one=one_by_one, together=together)

    The recording holds the block's `requests` and their `peak_in_flight`, also when it is over.
    """
    return Recording(time.monotonic())


def since_cell_started() -> Recording:
    """Return the stretch from the running cell's start, or this process's, until now."""
    recording = Recording(observe.cell_started() or 0.0)
    recording.ended = time.monotonic()
    return recording


def _a_loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
