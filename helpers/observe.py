"""Reads back what the server saw: how many requests came, when each token left, how each ended."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from helpers.endpoint import (
    CLIENT_TAG,
    Endpoint,
    EndpointError,
    a_mock_server_that_answers,
    asking,
    endpoint,
    machine_settings,
)

Outcome = Literal["running", "finished", "refused", "failed", "abandoned"]

SETTLE = 1.0
"""Seconds that a look at the journal waits for requests under way to end. A server notices a
hang-up at its next write, so at the slowest usual pace within a few tenths of a second."""

PATIENCE = 5.0
"""Seconds for the server to tell what it saw, besides `settle`. It takes a few thousandths."""

BEYOND_ALL = 10**12
"""An id that no request reaches: asks the journal for its counts alone."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the server saw it. Times are seconds on this process's `time.monotonic()`."""

    id: int
    method: str
    path: str
    model: str | None
    stream: bool
    status: int | None
    retry: int
    """0 for a first try, 1 for the SDK's first retry, and so on."""
    fault: str | None
    arrived: float
    first_byte: float | None
    tokens: tuple[float, ...]
    """When each token left the server; empty for an answer sent in one piece."""
    ended: float | None
    outcome: Outcome
    """`refused`: answered with a 4xx. `failed`: a 5xx, or broken off by a fault. `abandoned`: the
    client hung up before the end."""
    tokens_sent: int
    tokens_planned: int | None
    in_flight: int
    """Requests under way when this one arrived, itself included."""
    started: float | None = None
    """When its turn came: later than `arrived` where it had to queue at the server."""
    request_id: str = ""
    """What the client hears: its answer's `x-request-id`."""
    reply: int | None = None
    """The scripted reply that answered it, by its id."""
    note: str | None = None
    """What the server has to say of it, such as that no scripted reply fits."""
    client: str = ""
    """The tag with which the client said whose it is; "" if it said nothing."""
    batch: str | None = None
    """The batch whose line it is; None for a request that came by itself."""

    def __str__(self) -> str:
        of = f" of {self.tokens_planned}" if self._cut_short() else ""
        tokens = "1 token" if self.tokens_sent == 1 and not of else f"{self.tokens_sent}{of} tokens"
        return f"{self.method} {self.path}: {self.outcome}, {tokens}"

    def _cut_short(self) -> bool:
        return self.tokens_planned is not None and self.tokens_sent < self.tokens_planned


@dataclass(frozen=True, slots=True)
class Journal:
    """A stretch of the server's journal: requests in the order of their arrival."""

    requests: tuple[Request, ...]
    peak_in_flight: int
    """The most requests that were under way at one time, among these."""

    def __len__(self) -> int:
        return len(self.requests)


class NoJournal:
    """Stands where a fact from the journal would, on an endpoint that keeps none.

    It can be counted with, compared and looked into, and always prints the same line, so that a
    lesson goes on.
    """

    def __str__(self) -> str:
        return "unknown (only the mock server keeps a journal)"

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        return str(self)

    def __getattr__(self, name: str) -> "NoJournal":
        if name.startswith("_"):  # what IPython, copy and pickle look for is truly not there
            raise AttributeError(name)
        return self

    def __bool__(self) -> bool:
        return False

    def __iter__(self) -> Any:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __getitem__(self, key: object) -> "NoJournal":
        return self

    def __call__(self, *_: object, **__: object) -> "NoJournal":
        return self

    def __sub__(self, other: object) -> "NoJournal":
        return self

    __rsub__ = __add__ = __radd__ = __mul__ = __rmul__ = __sub__
    __truediv__ = __rtruediv__ = __sub__

    def __lt__(self, other: object) -> bool:
        return False

    __le__ = __gt__ = __ge__ = __lt__


NO_JOURNAL = NoJournal()


def requests_seen() -> int:
    """Return how many requests of this process have reached the server so far.

    On an endpoint without a journal: `NO_JOURNAL`.

    Raises:
        EndpointError: the server does not answer.
    """
    place = endpoint()
    if not place.keeps_journal:
        return NO_JOURNAL  # type: ignore[return-value]
    # Not the length of the list: a full journal lets its oldest requests go.
    seen: int = _read(place, {"after": BEYOND_ALL, "client": CLIENT_TAG})["seen"]
    return seen


def last_request(settle: float = SETTLE) -> Request:
    """Return the latest request of this process, waiting up to `settle` seconds for its end.

    On an endpoint without a journal: `NO_JOURNAL`.

    Raises:
        LookupError: no request has reached the server yet.
        EndpointError: the server does not answer.
    """
    if not endpoint().keeps_journal:
        return NO_JOURNAL  # type: ignore[return-value]
    stretch = journal(settle=settle)
    if not stretch.requests:
        raise LookupError("No request of this notebook has reached the server yet.")
    return stretch.requests[-1]


def journal(after: int = 0, settle: float = 0.0, *, everyones: bool = False) -> Journal:
    """Return this process's requests with an id above `after`, oldest first.

    `everyones`: those of all clients of that server, whoever they belong to.
    `settle`: wait up to so many seconds for those under way to end. The wait blocks the event loop,
    as any plain call does: a request of a task of yours cannot go on meanwhile.

    On an endpoint without a journal: `NO_JOURNAL`.

    Raises:
        EndpointError: the server does not answer.
    """
    place = endpoint()
    if not place.keeps_journal:
        return NO_JOURNAL  # type: ignore[return-value]
    client = {} if everyones else {"client": CLIENT_TAG}
    answer = _read(place, {"after": after, "settle": settle, **client})
    requests = tuple(_request(record, answer["offset"]) for record in answer["requests"])
    return Journal(requests, peak_in_flight(requests))


def peak_in_flight(requests: tuple[Request, ...]) -> int:
    """Return the most of these requests that were under way at one time."""
    steps = [(request.arrived, 1) for request in requests]
    steps += [(request.ended, -1) for request in requests if request.ended is not None]
    peak = now = 0
    for _, step in sorted(steps):  # an end sorts before an arrival at the same instant
        now += step
        peak = max(peak, now)
    return peak


_cell_started: float | None = None


def cell_started() -> float | None:
    """Return when the running notebook cell began, on `time.monotonic()`; None outside IPython."""
    return _cell_started


def _note_cell_start(*_: object) -> None:
    global _cell_started
    _cell_started = time.monotonic()


def _watch_cells() -> None:
    """From now on, note when each notebook cell begins. Does nothing outside IPython."""
    try:
        from IPython import get_ipython
    except ImportError:
        return
    shell = get_ipython()
    if shell is not None and _note_cell_start not in shell.events.callbacks["pre_run_cell"]:
        shell.events.register("pre_run_cell", _note_cell_start)
        _note_cell_start()  # the cell that imports us is already running


def _read(place: Endpoint, query: Mapping[str, int | float | str]) -> dict[str, Any]:
    """Return the journal's JSON, with `offset`: seconds to add to its times to get ours."""
    url = place.control("journal")
    settle = float(query.get("settle", 0.0))
    asked = time.monotonic()
    with machine_settings():
        # Loading certificates that nobody needs takes 50 ms.
        http = asking(place, timeout=settle + PATIENCE, verify=url.startswith("https:"))
    with http, a_mock_server_that_answers(place.how_to_revive):
        answer = http.get(url, params=query, headers=place.authorization)
    if answer.status_code == 404:  # all else that goes wrong there is a fault of the course
        raise EndpointError(f"No mock server is there any more. {place.how_to_revive}")
    answer.raise_for_status()
    body: dict[str, Any] = answer.json()
    # On one machine both clocks are the same one. Elsewhere the answer's clock was read between
    # our asking and now; with no wait in between, that is within a round trip.
    now = time.monotonic()
    clock: float = body["clock"]
    body["offset"] = 0.0 if asked <= clock <= now else now - clock
    return body


def _request(record: Mapping[str, Any], offset: float) -> Request:
    def here(moment: float | None) -> float | None:
        return None if moment is None else moment + offset

    return Request(
        id=record["id"],
        method=record["method"],
        path=record["path"],
        model=record["model"],
        stream=record["stream"],
        status=record["status"],
        retry=record["retry"],
        fault=record["fault"],
        arrived=record["arrived"] + offset,
        first_byte=here(record["first_byte"]),
        tokens=tuple(moment + offset for moment in record["tokens"]),
        ended=here(record["ended"]),
        outcome=record["outcome"],
        tokens_sent=record["tokens_sent"],
        tokens_planned=record["tokens_planned"],
        in_flight=record["in_flight"],
        started=here(record["started"]),
        request_id=record["request_id"],
        reply=record["reply"],
        note=record["note"],
        client=record["client"] or "",
        batch=record["batch"],
    )


_watch_cells()
