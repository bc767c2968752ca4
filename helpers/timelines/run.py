"""The facts that a timeline shows: a stretch's requests, and how the event loop fared meanwhile."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from helpers import observe
from helpers.heartbeat import Freeze, Heartbeat
from helpers.observe import Request


@dataclass(frozen=True, slots=True)
class Run:
    """One lane group of a timeline: the requests, and the event loop's freezes meanwhile."""

    name: str
    """Empty when the figure shows this run alone."""
    requests: tuple[Request, ...]
    heartbeat: Heartbeat | None = None
    """None where nobody listened to the loop."""
    senders: Mapping[str, str] = field(default_factory=dict)
    """What the columns are called that sent the requests, by `request_id`."""
    since: float | None = None
    """When its time begins, where that is not with its first request."""

    @property
    def freezes(self) -> tuple[Freeze, ...]:
        """Freezes in the stretch that is drawn, cut to it."""
        if self.heartbeat is None:
            return ()
        cut = (
            Freeze(max(f.start, self.start), min(f.end, self.end), f.where)
            for f in self.heartbeat.freezes
        )
        return tuple(f for f in cut if f.seconds > 0)

    @property
    def start(self) -> float:
        """The first request's arrival; without requests, when the heartbeat began."""
        if self.since is not None:
            return self.since
        if self.requests:
            return min(request.arrived for request in self.requests)
        assert self.heartbeat is not None
        return self.heartbeat.started or 0.0

    @property
    def end(self) -> float:
        """The last thing known to have happened."""
        moments = [moment for request in self.requests for moment in _moments(request)]
        if not moments and self.heartbeat is not None:
            moments = [self.heartbeat.ended or self.start]
        return max(moments)

    @property
    def peak_in_flight(self) -> int:
        return observe.peak_in_flight(self.requests)


def _moments(request: Request) -> Iterable[float]:
    yield request.arrived
    if request.first_byte is not None:
        yield request.first_byte
    yield from request.tokens[-1:]
    if request.ended is not None:
        yield request.ended
