"""Measures the event loop from inside: when it stood still, for how long, and at which line."""

import asyncio
import linecache
import sys
import sysconfig
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from helpers.page import in_page

INTERVAL = 0.01
"""Seconds between beats. A hundred a second cost about 1 % of a core (see `bench/`), and a freeze
is measured to within one beat."""

THRESHOLD = 0.1
"""Seconds late that count as a freeze: where a person stops to feel an answer as instant, what
asyncio's own debug mode calls slow, and above what a busy machine does to any loop."""

SAMPLES = 500
"""At most so many looks at one freeze's stack: ten seconds' worth, then the place is known."""


@dataclass(frozen=True, slots=True)
class Freeze:
    """A stretch in which the event loop ran nothing else. Times are on `time.monotonic()`."""

    start: float
    end: float
    where: str | None = None
    """The line of code that held the loop, if `Heartbeat(where=True)` looked."""

    @property
    def seconds(self) -> float:
        return self.end - self.start


class Heartbeat:
    """Listens to the running event loop: a beat that comes late tells of a frozen loop.

        with Heartbeat() as beat:      # or: async with
            await something()
        print(beat)                    # "The event loop never froze."

    `beat.freezes` holds every stretch that made a beat `threshold` seconds late, oldest first;
    `beat.longest_freeze` is the longest in seconds (0.0 for none). With `where=True` a second
    thread looks at the loop's thread while it is late, and each freeze names the line it stood at:
    yours, if any is on the stack. In a page there is no second thread, and no line. The text form
    holds no times and no number: a busy machine lets any loop wait now and then.
    """

    def __init__(
        self, interval: float = INTERVAL, threshold: float = THRESHOLD, *, where: bool = False
    ) -> None:
        self.interval = interval
        self.threshold = threshold
        self.started: float | None = None
        self.ended: float | None = None
        self._asked_where = where
        self._freezes: list[Freeze] = []
        self._lags: list[tuple[float, float]] = []
        self._looks: list[float] = []
        self._handle: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._due = 0.0
        self._lookout: _Lookout | None = None

    @property
    def freezes(self) -> tuple[Freeze, ...]:
        """The freezes so far, oldest first."""
        return tuple(self._freezes)

    @property
    def longest_freeze(self) -> float:
        """Seconds of the longest freeze so far; 0.0 when the loop never froze."""
        return max((freeze.seconds for freeze in self._freezes), default=0.0)

    def seconds_still(self, start: float, end: float) -> float:
        """Return the longest that the loop stood still at a stretch, between two moments."""
        still = (min(end, late[1]) - max(start, late[0]) for late in self._lags)
        return max(0.0, max(still, default=0.0))

    def looks_while_still(self, start: float, end: float) -> int:
        """Return how often a second thread saw the loop stand still, in the longest such stretch.

        Each look was a turn that this process had and the loop did not take. Hardly any, over a
        long stretch: the whole process had no turn, on a busy machine, and no call held the loop.
        Without `where=True` nobody looks.
        """
        still = [(max(start, late[0]), min(end, late[1])) for late in self._lags]
        longest = max(still, key=lambda stretch: stretch[1] - stretch[0], default=(end, start))
        return sum(longest[0] <= look <= longest[1] for look in self._looks)

    def start(self) -> None:
        """Begin to listen to the running event loop.

        Raises:
            RuntimeError: no event loop runs here, or it listens already.
        """
        if self._handle is not None:
            raise RuntimeError("This heartbeat is running. Stop it first, or make another.")
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError(
                "No event loop runs here, so there is nothing to listen to. "
                "Use the heartbeat in a notebook cell or inside an async def."
            ) from None
        self._freezes.clear()
        self._lags.clear()
        self._looks.clear()
        self.ended = None
        self.started = time.monotonic()
        self._due = self.started + self.interval
        if self._asked_where and not in_page():
            self._lookout = _Lookout(self.interval, self.threshold)
            self._lookout.expect(self._due)
            self._lookout.start()
        # A timer and no task: nothing to await, nothing to leave behind.
        self._handle = self._loop.call_later(self.interval, self._beat)

    def stop(self) -> None:
        """Stop listening. A freeze that lasts until now is counted. Stopping twice is harmless."""
        if self._handle is None:
            return
        self._handle.cancel()
        self._handle = None
        self.ended = time.monotonic()
        self._note(self.ended)
        if self._lookout is not None:
            self._lookout.stop()
            self._lookout = None

    def _beat(self) -> None:
        assert self._loop is not None
        now = time.monotonic()
        self._note(now)
        self._due = now + self.interval
        if self._lookout is not None:
            self._lookout.expect(self._due)
        self._handle = self._loop.call_later(self.interval, self._beat)

    def _note(self, now: float) -> None:
        late = now - self._due
        if late < self.interval:
            return
        # The loop was last known free one interval before the beat was due.
        start = self._due - self.interval
        self._lags.append((start, now))
        if self._lookout is not None:
            self._looks += self._lookout.looks()
        if late >= self.threshold:
            where = self._lookout.seen() if self._lookout is not None else None
            self._freezes.append(Freeze(start, now, where))

    def __enter__(self) -> "Heartbeat":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> "Heartbeat":
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        if not self._freezes:
            return "The event loop never froze."
        longest = max(self._freezes, key=lambda freeze: freeze.seconds)
        return (
            f"The event loop froze, longest at {longest.where}"
            if longest.where
            else ("The event loop froze.")
        )


class _Lookout:
    """A thread that looks at the loop's thread whenever a beat is overdue."""

    def __init__(self, interval: float, threshold: float) -> None:
        self._watched = threading.get_ident()
        # Two looks within the shortest freeze that counts, so that none goes unseen.
        self._period = max(threshold / 3, interval)
        self._patience = min(threshold / 3, interval)
        self._due = float("inf")
        self._seen: list[tuple[float, str]] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def expect(self, due: float) -> None:
        """The loop is alive; its next beat is due then."""
        self._due = due
        if self._seen:
            self._seen = []

    def seen(self) -> str | None:
        """Return the place seen most often since the beat was due."""
        seen = Counter(place for _, place in self._seen)
        return seen.most_common(1)[0][0] if seen else None

    def looks(self) -> list[float]:
        """Return when it looked since the beat was due."""
        return [moment for moment, _ in self._seen]

    def _watch(self) -> None:
        while not self._stopped.wait(self._period):
            seen = self._seen
            now = time.monotonic()
            if now - self._due > self._patience and len(seen) < SAMPLES:
                frame = sys._current_frames().get(self._watched)
                if frame is not None:
                    seen.append((now, _place(frame)))


def _place(frame: FrameType) -> str:
    """Say where a frame stands, in the innermost code that is yours, if any is."""
    innermost: FrameType | None = frame
    mine = innermost
    while mine is not None and not is_yours(mine):
        mine = mine.f_back
    chosen = mine or frame
    name = chosen.f_code.co_name
    source = linecache.getline(chosen.f_code.co_filename, chosen.f_lineno).strip()
    inside = "the cell" if name.startswith(("<module", "<cell line")) else f"{name}()"
    return f"line {chosen.f_lineno} of {inside}" + (f": {source}" if source else "")


_LIBRARIES = tuple(
    str(Path(folder))
    for folder in {
        sysconfig.get_path("stdlib"),
        sysconfig.get_path("platstdlib"),
        sysconfig.get_path("purelib"),
        sysconfig.get_path("platlib"),
        str(Path(__file__).parent),
    }
)


def is_yours(frame: FrameType) -> bool:
    """Whether a frame runs your code: no library, not the standard one, not this package."""
    file = frame.f_code.co_filename
    return not file.startswith(("<frozen", *_LIBRARIES))
