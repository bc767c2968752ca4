"""What it saw: a bounded record of every request, on one monotonic clock."""

import asyncio
import time
from array import array
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Outcome = Literal["running", "finished", "refused", "failed", "abandoned"]

MAX_REQUESTS = 10_000
"""A morning of thirty learners. A record takes some 600 bytes, so about 6 MB when full."""

MAX_TOKENS = 1_000_000
"""Token times kept in all, 8 bytes each: 8 MB when full."""

MAX_CLIENTS = 1_000
"""Clients whose requests are counted one by one: those that asked last. A tag is free text, and
whoever sends a new one each time must not fill the memory."""

MAX_TEXT = 200
"""Characters kept of what a client chose freely: its tag, the path, the model's name."""


@dataclass(slots=True, eq=False)
class Record:
    """One request. Times are seconds on this process's `time.monotonic()`."""

    id: int
    client: str | None
    method: str
    path: str
    retry: int
    arrived: float
    in_flight: int
    """Requests under way when it arrived, itself included."""
    model: str | None = None
    stream: bool = False
    status: int | None = None
    fault: str | None = None
    started: float | None = None
    """When its turn came; later than `arrived` where it had to queue, or its body took its time."""
    first_byte: float | None = None
    tokens: "array[float]" = field(default_factory=lambda: array("d"))
    ended: float | None = None
    outcome: Outcome = "running"
    tokens_sent: int = 0
    tokens_planned: int | None = None
    reply: int | None = None
    """The scripted reply that answered it, by its id."""
    note: str | None = None
    """What there is to say of it: no scripted reply fits, or one is not valid."""
    batch: str | None = None
    """The batch whose line it is; None for a request that came by itself."""

    def tell(self, reply: int | None, note: str | None) -> None:
        """Note which scripted reply answers, and what there is to say about it."""
        self.reply, self.note = reply, note

    @property
    def request_id(self) -> str:
        """What the client hears: its answer's `x-request-id`."""
        return f"req_{self.id:032x}"

    def as_json(self) -> dict[str, Any]:
        """Return the record as a JSON value."""
        return {
            "id": self.id,
            "request_id": self.request_id,
            "client": self.client,
            "method": self.method,
            "path": self.path,
            "model": self.model,
            "stream": self.stream,
            "status": self.status,
            "retry": self.retry,
            "fault": self.fault,
            "arrived": self.arrived,
            "started": self.started,
            "first_byte": self.first_byte,
            "tokens": self.tokens.tolist(),
            "ended": self.ended,
            "outcome": self.outcome,
            "tokens_sent": self.tokens_sent,
            "tokens_planned": self.tokens_planned,
            "in_flight": self.in_flight,
            "reply": self.reply,
            "note": self.note,
            "batch": self.batch,
        }


Watcher = Callable[[str, Record], None]
"""Called with what happened (`arrived`, `first_byte`, `token`, `ended`) and the record."""


class Journal:
    """The records, oldest first. When it is full, the oldest go."""

    def __init__(self, max_requests: int = MAX_REQUESTS, max_tokens: int = MAX_TOKENS) -> None:
        self._records: OrderedDict[int, Record] = OrderedDict()
        self._max_requests = max_requests
        self._max_tokens = max_tokens
        self._tokens = 0
        self._seen: OrderedDict[str, int] = OrderedDict()
        self._running: dict[int, Record] = {}
        self._ended: asyncio.Event | None = None
        self.watchers: set[Watcher] = set()
        self.latest = 0
        self.peak_in_flight = 0
        self.dropped = 0

    @property
    def in_flight(self) -> int:
        """Requests under way now."""
        return len(self._running)

    def open(
        self,
        method: str,
        path: str,
        client: str | None,
        retry: int,
        batch: str | None = None,
        arrived: float | None = None,
    ) -> Record:
        """Note that a request arrived, or that the turn of a batch's line has come: now, if not
        said when.
        """
        self.latest += 1
        record = Record(
            id=self.latest,
            client=None if client is None else client[:MAX_TEXT],
            method=method[:MAX_TEXT],
            path=path[:MAX_TEXT],
            retry=retry,
            arrived=time.monotonic() if arrived is None else arrived,
            in_flight=len(self._running) + 1,
            batch=batch,
        )
        self._records[record.id] = self._running[record.id] = record
        self._count(record.client)
        self.peak_in_flight = max(self.peak_in_flight, record.in_flight)
        self._make_room()
        self._tell("arrived", record)
        return record

    def first_byte(self, record: Record, status: int) -> None:
        """Note that the head of the answer left."""
        record.status = status
        record.first_byte = time.monotonic()
        self._tell("first_byte", record)

    def token(self, record: Record, count: int, left: float) -> None:
        """Note that tokens left in an event of a stream, and when.

        The moment is the one before they were handed to the socket: taken after it, on a busy
        machine, it may be later than the client's reading of them.
        """
        for _ in range(count):
            record.tokens.append(left)
        record.tokens_sent += count
        if self.watchers and count:
            self._tell("token", record)

    def close(self, record: Record, outcome: Outcome) -> None:
        """Note how a request ended. The first word counts: a second one is ignored."""
        if record.outcome != "running":
            return
        record.outcome = outcome
        record.ended = time.monotonic()
        self._running.pop(record.id, None)
        if record.id in self._records:
            self._tokens += len(record.tokens)
            self._make_room()
        self._tell("ended", record)
        if self._ended is not None:
            self._ended.set()
            self._ended = None

    def requests(self, after: int = 0, client: str | None = None) -> list[Record]:
        """Return the records with an id above `after`, of one client if one is named."""
        newest_first = []
        for record in reversed(self._records.values()):
            if record.id <= after:
                break
            if client is None or record.client == client:
                newest_first.append(record)
        return newest_first[::-1]

    async def settle(self, seconds: float, after: int = 0, client: str | None = None) -> None:
        """Wait until none of these requests is under way, or so many seconds have passed."""
        deadline = time.monotonic() + seconds
        while any(
            record.id > after and (client is None or record.client == client)
            for record in self._running.values()
        ):
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return
            if self._ended is None:
                self._ended = asyncio.Event()
            try:
                await asyncio.wait_for(self._ended.wait(), remaining)
            except TimeoutError:
                return

    def reset(self) -> None:
        """Forget all records. Ids go on; requests under way are counted, not kept."""
        self._records.clear()
        self._tokens = 0
        self._seen.clear()
        self.dropped = 0
        self.peak_in_flight = len(self._running)

    def seen(self, client: str | None = None) -> int:
        """Return how many requests came, of one client if one is named, those dropped included."""
        if client is None:
            return len(self._records) + self.dropped
        return self._seen.get(client, 0)

    def head(self, client: str | None = None) -> dict[str, Any]:
        """Return what it tells beside the requests, as a JSON value."""
        return {
            "clock": time.monotonic(),
            "latest": self.latest,
            "seen": self.seen(client),
            "peak_in_flight": self.peak_in_flight,
            "dropped": self.dropped,
        }

    def _count(self, client: str | None) -> None:
        if client is None:
            return
        self._seen[client] = self._seen.pop(client, 0) + 1  # moves to the end: it came last
        if len(self._seen) > MAX_CLIENTS:
            self._seen.popitem(last=False)

    def _make_room(self) -> None:
        while len(self._records) > self._max_requests or self._tokens > self._max_tokens:
            _, oldest = self._records.popitem(last=False)
            if oldest.outcome != "running":
                self._tokens -= len(oldest.tokens)
            self.dropped += 1

    def _tell(self, what: str, record: Record) -> None:
        for watcher in tuple(self.watchers):
            watcher(what, record)
