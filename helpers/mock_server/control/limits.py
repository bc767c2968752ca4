"""How much it takes: requests and tokens a minute, and how many are answered at one time."""

import asyncio
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

from helpers.mock_server.protocol.errors import ApiError

MAX_KEYS = 10_000
"""Keys whose budgets are remembered; of more, the one unused for longest starts anew."""

PERIOD = 60.0

MOST = 10**12
"""What a limit may be at most: more than anybody sends, and a number that seconds can divide."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What a key may spend in a period; None means no limit."""

    requests: int | None = None
    tokens: int | None = None
    period: float = PERIOD
    """Seconds. A minute in the real API; shorter ones make for short lessons and tests."""


class _Bucket:
    """A budget that refills evenly, and is full at first."""

    __slots__ = ("_at", "_left", "_limit", "_speed")

    def __init__(self, limit: int, period: float, now: float) -> None:
        self._limit = limit
        self._speed = limit / period
        self._left = float(limit)
        self._at = now

    def left(self, now: float) -> float:
        self._left = min(self._limit, self._left + (now - self._at) * self._speed)
        self._at = now
        return self._left

    def take(self, amount: float) -> None:
        self._left -= amount

    def wait(self, amount: float) -> float:
        """Return the seconds until so much is there."""
        return max(0.0, (min(amount, self._limit) - self._left) / self._speed)

    def until_full(self) -> float:
        return max(0.0, (self._limit - self._left) / self._speed)


class RateLimiter:
    """Counts what each key has spent."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = Rate()
        self._clock = clock
        self._spent: OrderedDict[int, tuple[_Bucket | None, _Bucket | None]] = OrderedDict()

    def set(self, rate: Rate) -> None:
        """Use other limits from now on; all budgets are full again."""
        self.rate = rate
        self._spent.clear()

    def charge(self, key: str, tokens: int) -> dict[str, str]:
        """Take one request and its tokens from a key's budget; return the headers that say so.

        Raises:
            ApiError: 429 with `retry-after`, when the budget does not suffice.
        """
        rate = self.rate
        if rate.requests is None and rate.tokens is None:
            return {}
        now = self._clock()
        requests_left, tokens_left = self._buckets(key, now)
        wants = (
            ("requests", requests_left, 1, rate.requests),
            ("tokens", tokens_left, tokens, rate.tokens),
        )
        for _, bucket, _, _ in wants:
            if bucket is not None:
                bucket.left(now)
        for name, bucket, amount, limit in wants:
            if bucket is None:
                continue
            if amount > (limit or 0):
                raise ApiError(
                    429,
                    f"Request too large on {name} per min ({name[0].upper()}PM): Limit {limit}, "
                    f"Requested {amount}. The input or output tokens must be reduced in order to "
                    "run successfully.",
                    kind=name,
                    code="rate_limit_exceeded",
                    headers=self._headers(requests_left, tokens_left, now),
                )
            wait = bucket.wait(amount)
            if wait > 1e-9:
                used = math.ceil((limit or 0) - bucket.left(now))
                raise ApiError(
                    429,
                    f"Rate limit reached on {name} per min ({name[0].upper()}PM): Limit {limit}, "
                    f"Used {used}, Requested {amount}. Please try again in {_span(wait)}.",
                    kind=name,
                    code="rate_limit_exceeded",
                    headers={
                        **self._headers(requests_left, tokens_left, now),
                        "retry-after": str(math.ceil(wait)),
                        "retry-after-ms": str(math.ceil(wait * 1000)),
                    },
                )
        for _, bucket, amount, _ in wants:
            if bucket is not None:
                bucket.take(amount)
        return self._headers(requests_left, tokens_left, now)

    def _buckets(self, key: str, now: float) -> tuple[_Bucket | None, _Bucket | None]:
        # By its hash: a client may send keys of any length, and ten thousand are remembered.
        mark = hash(key)
        found = self._spent.pop(mark, None)
        if found is None:
            rate = self.rate
            found = (
                None if rate.requests is None else _Bucket(rate.requests, rate.period, now),
                None if rate.tokens is None else _Bucket(rate.tokens, rate.period, now),
            )
        self._spent[mark] = found
        if len(self._spent) > MAX_KEYS:
            self._spent.popitem(last=False)
        return found

    def _headers(
        self, requests: _Bucket | None, tokens: _Bucket | None, now: float
    ) -> dict[str, str]:
        headers = {}
        for name, bucket, limit in (
            ("requests", requests, self.rate.requests),
            ("tokens", tokens, self.rate.tokens),
        ):
            if bucket is not None:
                headers[f"x-ratelimit-limit-{name}"] = str(limit)
                headers[f"x-ratelimit-remaining-{name}"] = str(max(0, int(bucket.left(now))))
                headers[f"x-ratelimit-reset-{name}"] = _span(bucket.until_full())
        return headers


def _span(seconds: float) -> str:
    """Return a stretch of time as OpenAI writes it: `20ms`, `1.5s`, `2m30s`."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(seconds, 60)
    text = f"{rest:.3f}".rstrip("0").rstrip(".") + "s"
    return f"{int(minutes)}m{text}" if minutes else text


class Turnstile:
    """Lets so many new requests in at each round of the event loop; the others wait for the next.

    A thousand that arrive at once would else be read and answered in one go, and all streams under
    way would stand still for a third of a second.
    """

    A_ROUND = 32
    """Requests let in at each round: some 4 ms of work. With 8, the last of a thousand waits for
    half a second; with 128, the streams under way do."""

    def __init__(self) -> None:
        self._left = self.A_ROUND
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def enter(self) -> None:
        """Return when it is this request's turn."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # the first request, or the first of another loop
            self._loop, self._left = loop, self.A_ROUND
            self._waiting.clear()
        if self._left == self.A_ROUND:
            loop.call_soon(self._next_round)
        if self._left > 0:
            self._left -= 1
            return
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        await turn

    def _next_round(self) -> None:
        self._left = self.A_ROUND
        while self._waiting and self._left > 0:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._left -= 1
        if self._left < self.A_ROUND and self._loop is not None:
            self._loop.call_soon(self._next_round)


class Queue:
    """Lets so many requests be answered at one time; the others wait, first come, first served."""

    def __init__(self) -> None:
        self.places: int | None = None
        self.length: int | None = None
        """How many may wait; further ones are turned away with a 503. None for any number."""
        self._busy = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def set(self, places: int | None, length: int | None) -> None:
        """Use other limits from now on. Those at work go on."""
        self.places = places
        self.length = length
        self._admit()

    def enter(self) -> "asyncio.Future[None] | None":
        """Take a place and return None; where all are taken, a future to wait for.

        Whoever enters has to `leave`, whether the place was ever given or not.

        Raises:
            ApiError: 503, when too many wait already.
        """
        if self.places is None or self._busy < self.places:
            self._busy += 1
            return None
        if self.length is not None and len(self._waiting) >= self.length:
            raise ApiError(
                503,
                "The server is currently overloaded with other requests. Please retry your "
                "request after a short wait.",
                kind="service_unavailable_error",
                code="overloaded",
                headers={"retry-after": "1"},
            )
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        return place

    def leave(self, place: "asyncio.Future[None] | None") -> None:
        """Give the place back, or stop waiting for it."""
        if place is not None and (place.cancelled() or place.cancel()):
            if place in self._waiting:
                self._waiting.remove(place)
            return
        self._busy -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and (self.places is None or self._busy < self.places):
            place = self._waiting.popleft()
            if not place.done():
                self._busy += 1
                place.set_result(None)
