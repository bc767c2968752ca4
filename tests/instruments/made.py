"""Requests and heartbeats as they might have been, for tests that need exact ones."""

from helpers.heartbeat import Freeze, Heartbeat
from helpers.observe import Outcome, Request


def request(
    number: int,
    arrived: float,
    *,
    wait: float = 0.4,
    tokens: int = 5,
    gap: float = 0.1,
    outcome: Outcome = "finished",
    stream: bool = True,
    status: int | None = 200,
    planned: int | None = None,
    retry: int = 0,
    path: str = "/v1/chat/completions",
) -> Request:
    """A request that waits, then sends `tokens`, `gap` seconds apart, and ends one gap later."""
    times = tuple(arrived + wait + gap * i for i in range(tokens)) if stream else ()
    ended = (times[-1] if times else arrived + wait) + gap
    return Request(
        id=number,
        method="POST",
        path=path,
        model="mock-chat",
        stream=stream,
        status=status,
        retry=retry,
        fault=None,
        arrived=arrived,
        first_byte=None if outcome == "running" and not times else arrived + wait,
        tokens=times,
        ended=None if outcome == "running" else ended,
        outcome=outcome,
        tokens_sent=tokens,
        tokens_planned=planned or tokens,
        in_flight=1,
    )


def one_after_another(number: int = 3) -> tuple[Request, ...]:
    return tuple(request(i + 1, 100 + i * 1.0) for i in range(number))


def together(number: int = 3) -> tuple[Request, ...]:
    return tuple(request(i + 1, 200 + i * 0.01) for i in range(number))


def heartbeat(*frozen: tuple[float, float]) -> Heartbeat:
    """A heartbeat that ended, with the given freezes on the same clock as the requests."""
    beat = Heartbeat()
    beat.started, beat.ended = 0.0, 1000.0
    beat._freezes = [Freeze(start, end) for start, end in frozen]
    beat._lags = list(frozen)
    return beat
