"""What a running server knows: its settings, its journal, and what clients left with it."""

import asyncio
import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from helpers.mock_server.control.faults import Orders
from helpers.mock_server.control.journal import Journal
from helpers.mock_server.control.limits import Queue, Rate, RateLimiter, Turnstile
from helpers.mock_server.control.replies import Replies
from helpers.mock_server.control.store import Store
from helpers.mock_server.protocol import pacing
from helpers.mock_server.protocol.answers import Call
from helpers.mock_server.protocol.errors import ApiError
from helpers.mock_server.protocol.pacing import Pace

MAX_BODY = 32 * 1024 * 1024
"""Bytes of a request's body. The longest prompt that a large model takes is a few megabytes; batch
files are the largest thing that clients upload here."""

STORED_BYTES = 64 * 1024 * 1024
"""Bytes of files kept; of more, the oldest go."""

STORED_RESPONSES = 1000

SIDE_BY_SIDE = 100
"""Lines of a batch that are answered at one time. A real service takes what room it has; at dial 1
so many lines are some 50 answers a second, which take a twentieth of a core, so that live streams
beside them keep their gaps: 2,000 prompts take half a minute."""


def _no_responses() -> Store[Any]:
    return Store(most=STORED_RESPONSES, most_bytes=STORED_BYTES)


@dataclass(slots=True)
class State:
    """One server's settings, which control requests may change, and what it remembers."""

    models: tuple[str, ...] = ()
    """The models it has; none listed means that any name will do."""
    api_key: str | None = None
    """The one right key, which the control routes want too. None means that any will do, and that
    they want none."""
    origins: tuple[str, ...] = ()
    """Origins beside this machine's whose pages may read the answers."""
    pace: Pace = field(default_factory=Pace)
    model_paces: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What differs from `pace` for a model."""
    rate: Rate = field(default_factory=Rate)
    max_concurrent: int | None = None
    """How many requests are answered at one time; the others queue. None for any number."""
    max_queue: int | None = None
    """How many may queue; further ones get a 503. None for any number."""
    max_body: int = MAX_BODY
    upstream: str | None = None
    """The endpoint that answers in its place, and is recorded; None for no such one."""
    record: Path | None = None
    """The file that its answers are written to."""
    journal: Journal = field(default_factory=Journal)
    orders: Orders = field(default_factory=Orders)
    replies: Replies = field(default_factory=Replies)
    limiter: RateLimiter = field(default_factory=RateLimiter)
    queue: Queue = field(default_factory=Queue)
    turnstile: Turnstile = field(default_factory=Turnstile)
    responses: Store[Any] = field(default_factory=_no_responses)
    completions: Store[Any] = field(default_factory=_no_responses)
    """Chat completions that are to be stored."""
    conversations: Store[Any] = field(default_factory=_no_responses)
    deleted_models: set[str] = field(default_factory=set)
    files: Store[Any] = field(default_factory=lambda: Store(most_bytes=STORED_BYTES))
    batches: Store[Any] = field(default_factory=lambda: Store(most=STORED_RESPONSES))
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    """Work that goes on after its answer: batches."""
    side_by_side: int = SIDE_BY_SIDE
    """Lines of one batch that are answered at one time."""
    batch_dial: float | None = None
    """The dial for the lines and the states of batches; None for the server's."""
    _begun_with: tuple[Pace, dict[str, dict[str, Any]]] = field(init=False)

    def __post_init__(self) -> None:
        self._begun_with = self.pace, dict(self.model_paces)
        self.limiter.set(self.rate)
        self.queue.set(self.max_concurrent, self.max_queue)

    def reset(self) -> None:
        """Go back to how the server was started, and forget what it saw and kept."""
        for task in self.tasks:
            task.cancel()
        self.pace, paces = self._begun_with
        self.model_paces = dict(paces)
        self.side_by_side, self.batch_dial = SIDE_BY_SIDE, None
        self.limiter.set(self.rate)
        self.queue.set(self.max_concurrent, self.max_queue)
        self.orders.clear()
        self.replies.reset()
        self.responses = _no_responses()  # one still under way goes to the old ones, and away
        self.completions = _no_responses()
        self.conversations.clear()
        self.deleted_models.clear()
        self.files.clear()
        self.batches.clear()
        self.journal.reset()

    def pace_for(self, model: str, call: Call) -> Pace:
        """Return the pace of an answer: the server's, the model's, what the call asks for.

        Raises:
            ApiError: the call's `x-mock-pace` header cannot be read.
        """
        pace = self.pace
        if model in self.model_paces:
            pace = pacing.changed(pace, self.model_paces[model])
        wanted = call.headers.get("x-mock-pace")
        if wanted is not None:
            try:
                pace = pacing.adjusted(pace, wanted)
            except ValueError as problem:
                raise ApiError(400, str(problem), param="x-mock-pace") from None
        if pace.jitter:
            # Each request strays in its own way, and the same one always in the same way.
            pace = replace(pace, seed=pace.seed ^ zlib.crc32(call.body))
        return pace
