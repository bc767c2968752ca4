"""What goes in and what comes out, whatever API it goes through: a call, and an answer."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from helpers.mock_server.protocol.pacing import NO_DELAY, Pace

JSON_TYPE = "application/json"
SSE_TYPE = "text/event-stream; charset=utf-8"


Holds = Literal["text", "more", "anything"]
"""What an answer holds: a text; calls, reasoning or a refusal, with or without one; or JSON that
somebody wrote down, of which nothing is known."""


def _nobody(reply: int | None, note: str | None) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request, read to its end. Header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""
    query: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    """The variable parts of the path: `{"model": "mock-chat"}`."""
    appendix: str = ""
    """Text that a fault wants added to the reply."""
    key: str = ""
    """Whose budget pays for it."""
    ends_after: int | None = None
    """Lines after which a fault wants the batch's day to be over."""
    tell: Callable[[int | None, str | None], None] = _nobody
    """Tells the journal which scripted reply answers, by its id, and what is to say about it."""


@dataclass(frozen=True, slots=True)
class Whole:
    """An answer in one piece. It leaves when its last token would have been generated."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = JSON_TYPE
    pace: Pace = NO_DELAY
    turns: int = 0
    """How many tokens it waits for. Choices are generated side by side: the longest counts."""
    tokens: int = 0
    """How many tokens it holds in all."""
    model: str | None = None
    prompt_tokens: int = 0
    late: float = 0.0
    """Seconds by which a fault holds it back, whatever the pace."""
    cut: int | None = None
    """Bytes of the body after which a fault drops the connection; 0 drops it before the head."""
    broken: bool = False
    """Whether a fault makes it worthless though it comes under 200."""
    holds: Holds = "text"
    more: tuple[bytes, ...] = ()
    """The rest of a body of many megabytes, which is never joined: that alone would hold up all
    streams."""

    @property
    def length(self) -> int:
        """Bytes of the whole body."""
        return len(self.body) + sum(map(len, self.more))


@dataclass(frozen=True, slots=True)
class Pause:
    """A stretch of time that a fault puts into a stream, whatever the pace."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Cut:
    """The place in a stream where a fault drops the connection."""


Event: TypeAlias = tuple[int, int, bytes | Pause | Cut]
"""Which turn an event waits for (0: the first token's), how many tokens it carries, its bytes."""


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer in pieces. Its head leaves at once, each event when its turn is due."""

    events: Iterator[Event]
    pace: Pace
    tokens: int
    model: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    prompt_tokens: int = 0
    late: float = 0.0
    """Seconds by which a fault holds back its head, whatever the pace."""
    broken: bool = False
    """Whether a fault makes it end badly."""
    started: float | None = None
    """When its clock began, where that was before it was asked for."""
    holds: Holds = "text"


Answer: TypeAlias = Whole | Stream


_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def dump(value: Any) -> bytes:
    """Return a value as compact JSON in UTF-8."""
    try:
        return _compact.encode(value).encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON allows a client to send
        return json.dumps(value, separators=(",", ":")).encode()


def whole(value: Any, **options: Any) -> Whole:
    """Return an answer in one piece with a value as its JSON body."""
    return Whole(dump(value), **options)
