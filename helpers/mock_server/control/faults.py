"""How it fails, when asked to: by a header for one request, or by an order for the next few."""

import json
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from helpers.mock_server.control import oddities, oddity
from helpers.mock_server.control.oddity import Oddity
from helpers.mock_server.protocol.answers import (
    Answer,
    Call,
    Cut,
    Event,
    Pause,
    Stream,
    Whole,
    dump,
)
from helpers.mock_server.protocol.errors import ApiError

FOREVER = 3600.0
"""Seconds of a stall that names none: longer than any client waits."""

NOTE = " ☕"
"""Added to a reply whose characters are to be cut: it needs one of several bytes."""

LATIN_1 = "é".encode("latin-1")
"""With ASCII behind it, no character in UTF-8: what a server sends that has another encoding."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail."""

    name: str
    after: int | None = None
    """How many tokens come before it."""
    seconds: float | None = None
    tries: int | None = None
    """Only the first so many tries fail, by the SDK's own retry count."""
    retry_after: float | None = None
    """Seconds, sent as `retry-after` (rounded up) and `retry-after-ms`."""
    should_retry: bool | None = None
    """Sent as `x-should-retry`, which the SDK obeys."""
    size: int | None = None
    message: str | None = None
    code: str | None = None
    """The error's."""
    field: str = "reasoning_content"
    """Where reasoning stands in chat: `reasoning` is vLLM's newer name for it."""

    @property
    def needs_wide_character(self) -> bool:
        """Whether the reply must have a character of more than one byte."""
        return self.name == "split-utf8"

    chance: float | None = None
    """Which share of the tries it meets; None for all."""
    seed: int = 0
    """For the chance: the same seed meets the same tries."""

    def meets(self, retry: int) -> bool:
        """Whether it is for this try of a request, 0 for the first."""
        return self.tries is None or retry < self.tries


# --- the kinds --------------------------------------------------------------------------------

_STATUS: dict[str, tuple[int, str, str | None, str]] = {
    # name: status, type, code, message
    "400": (400, "invalid_request_error", None, "The request was refused, as asked."),
    "401": (401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    "403": (403, "invalid_request_error", "unsupported_country_region_territory",
            "Country, region, or territory not supported"),
    "404": (404, "invalid_request_error", "model_not_found",
            "The model does not exist or you do not have access to it."),
    "408": (408, "timeout_error", None, "Request timed out."),
    "409": (409, "conflict_error", None, "The request conflicts with another one. Try again."),
    "422": (422, "invalid_request_error", None, "The request could not be processed."),
    "429": (429, "requests", "rate_limit_exceeded",
            "Rate limit reached for requests. Please try again later."),
    "quota": (429, "insufficient_quota", "insufficient_quota",
              "You exceeded your current quota, please check your plan and billing details."),
    "500": (500, "server_error", None,
            "The server had an error while processing your request. Sorry about that!"),
    "502": (502, "server_error", None, "Bad gateway."),
    "503": (503, "service_unavailable_error", None,
            "The engine is currently overloaded, please try again later"),
}  # fmt: skip

_ALIASES = {"rate_limit": "429", "rate-limit": "429", "overloaded": "503", "unauthorized": "401"}

KINDS: dict[str, str] = {
    **{name: f"answers {status}: {text}" for name, (status, _, _, text) in _STATUS.items()},
    "slow-head": "sends nothing for `seconds` (1), then answers",
    "stall": "stops for `seconds` (until you leave) after so many tokens (`after`, half)",
    "disconnect": "drops the connection after so many tokens (`after`, half); one-shot: at once",
    "no-done": "ends after so many tokens (`after`, half), without finish reason and [DONE]",
    "error-event": "sends an error inside the stream after so many tokens (`after`, half)",
    "bad-json": "sends a chunk that is not JSON after so many tokens (`after`, half)",
    "bad-utf8": "sends a chunk in Latin-1, no UTF-8, after so many tokens (`after`, half)",
    "html": "answers 200 with an HTML page",
    "empty": "answers 200 with nothing",
    "not-sse": "answers a stream request in one piece, as if it had not seen `stream`",
    "split-utf8": "cuts network chunks inside a character",
    "merged": "puts `size` (8) events into one network chunk",
    "shredded": "cuts events into network chunks of `size` (16) bytes",
    "comments": "sends comment lines between the events, which a client has to skip",
    "crlf": "ends its lines with CR LF, which a client has to take",
    "after-done": "sends more text after [DONE], which a client has to ignore",
    "expired": "ends a batch after so many lines (`after`, 0), as if its day were over",
    **oddity.KINDS,
}
"""Every fault and what it does; in brackets what holds where nothing is said."""


def refusal(fault: Fault) -> Whole | None:
    """Return the answer of a fault that does not look at the request, None for other faults."""
    if fault.name in _STATUS:
        status, kind, code, message = _STATUS[fault.name]
        error = ApiError(
            status,
            fault.message or message,
            kind=kind,
            code=fault.code or code,
            headers=_retry_headers(fault),
        )
        return error.answer()
    if fault.name == "html":
        page = b"<!doctype html><html><body><h1>Welcome to nginx!</h1></body></html>"
        return Whole(page, content_type="text/html; charset=utf-8", broken=True)
    if fault.name == "empty":
        return Whole(b"", broken=True)
    return None


def spoil(fault: Fault, answer: Answer) -> Answer:
    """Return an answer as the fault leaves it."""
    if fault.name in oddity.KINDS:
        return _spoil_oddly(fault, answer)
    if isinstance(answer, Whole):
        return _spoil_whole(fault, answer)
    if fault.name == "slow-head":
        return replace(answer, late=_seconds(fault, 1.0))
    return replace(
        answer,
        events=_STREAMS[fault.name](fault, answer),
        broken=fault.name in ("disconnect", "no-done", "error-event", "bad-json", "bad-utf8"),
    )


def _spoil_oddly(fault: Fault, answer: Answer) -> Answer:
    if isinstance(answer, Whole) and answer.status >= 400:
        return answer
    # Choices have as many tokens each as they are waited for; a stream tells of all together.
    tokens = answer.turns if isinstance(answer, Whole) else answer.tokens
    odd = Oddity(
        fault.name,
        after=tokens // 2 if fault.after is None else fault.after,
        field=fault.field,
        error=_error_event(fault)["error"],
        words=fault.message,
        tokens=tokens,
        prompt_tokens=answer.prompt_tokens,
    )
    return oddities.spoil(odd, answer)


def _spoil_whole(fault: Fault, answer: Whole) -> Whole:
    if answer.status >= 400:
        return answer
    match fault.name:
        case "slow-head":
            return replace(answer, late=_seconds(fault, 1.0))
        case "stall":
            return replace(answer, late=_seconds(fault, FOREVER))
        case "disconnect":
            part = 0 if not fault.after else max(1, len(answer.body) // 2)
            return replace(answer, cut=part, broken=True)
        case "error-event":
            return replace(answer, body=dump(_error_event(fault)), more=(), broken=True)
        case "bad-json" | "no-done":
            half = answer.body[: len(answer.body) // 2]
            return replace(answer, body=half, more=(), broken=True)
        case "bad-utf8":
            middle = len(answer.body) // 2
            spoilt = answer.body[:middle] + LATIN_1 + answer.body[middle:]
            return replace(answer, body=spoilt, broken=True)
        case _:
            return answer


# --- streams ----------------------------------------------------------------------------------


def _place(fault: Fault, answer: Stream) -> int:
    """Return after how many tokens it happens."""
    return answer.tokens // 2 if fault.after is None else fault.after


def _insert(
    answer: Stream, count: int, strange: tuple[Event, ...], *, ends: bool
) -> Iterator[Event]:
    """Yield the events, with strange ones after so many tokens; they may be the end of it."""
    count = min(count, answer.tokens)
    sent = 0
    inserted = False
    for event in answer.events:
        if not inserted and sent >= count and (event[1] or sent):
            yield from strange
            inserted = True
            if ends:
                return
        yield event
        sent += event[1]


def _stall(fault: Fault, answer: Stream) -> Iterator[Event]:
    pause = Pause(_seconds(fault, FOREVER))
    return _insert(answer, _place(fault, answer), ((0, 0, pause),), ends=False)


def _disconnect(fault: Fault, answer: Stream) -> Iterator[Event]:
    return _insert(answer, _place(fault, answer), ((0, 0, Cut()),), ends=True)


def _no_done(fault: Fault, answer: Stream) -> Iterator[Event]:
    return _insert(answer, _place(fault, answer), (), ends=True)


def _bad_json(fault: Fault, answer: Stream) -> Iterator[Event]:
    broken = b'data: {"id": "chatcmpl-broken", "choices": [{"index": 0, "delta": {"con\n\n'
    return _insert(answer, _place(fault, answer), ((0, 0, broken),), ends=False)


def _bad_utf8(fault: Fault, answer: Stream) -> Iterator[Event]:
    broken = b'data: {"id": "chatcmpl-broken", "choices": [{"index": 0, "delta": {"content": "caf'
    strange = (0, 0, broken + LATIN_1 + b'"}}]}\n\n')
    return _insert(answer, _place(fault, answer), (strange,), ends=False)


def _error_in_stream(fault: Fault, answer: Stream) -> Iterator[Event]:
    error = _error_event(fault)
    named = False
    sequence = 0
    for event in _insert(answer, _place(fault, answer), (), ends=True):
        yield event
        named = named or (isinstance(event[2], bytes) and event[2].startswith(b"event:"))
        sequence += 1
    if named:  # the Responses API names its events, and has no "error" around the error
        flat = {**error["error"], "type": "error", "sequence_number": sequence}
        yield 0, 0, b"event: error\ndata: " + dump(flat) + b"\n\n"
    else:
        yield 0, 0, b"data: " + dump(error) + b"\n\n"


def _split_utf8(fault: Fault, answer: Stream) -> Iterator[Event]:
    for turn, count, data in answer.events:
        if isinstance(data, bytes):
            at = next((place for place, byte in enumerate(data) if byte >= 0x80), None)
            if at is not None:
                yield turn, 0, data[: at + 1]
                yield turn, 0, Pause(_APART)
                data = data[at + 1 :]
        yield turn, count, data


_APART = 0.005
"""Seconds between two pieces that are to leave as network chunks of their own."""


def _merged(fault: Fault, answer: Stream) -> Iterator[Event]:
    size = fault.size or 8
    held: list[Event] = []
    for event in answer.events:
        held.append(event)
        if len(held) == size:
            yield _joined(held)
            held = []
    if held:
        yield _joined(held)


def _joined(held: list[Event]) -> Event:
    data = b"".join(part for _, _, part in held if isinstance(part, bytes))
    return held[-1][0], sum(count for _, count, _ in held), data


def _shredded(fault: Fault, answer: Stream) -> Iterator[Event]:
    size = fault.size or 16
    for turn, count, data in answer.events:
        if isinstance(data, bytes):
            while len(data) > size:
                yield turn, 0, data[:size]
                yield turn, 0, Pause(0.0)
                data = data[size:]
        yield turn, count, data


def _comments(fault: Fault, answer: Stream) -> Iterator[Event]:
    for turn, count, data in answer.events:
        yield turn, count, b": ping\n\n" + data if isinstance(data, bytes) else data


def _crlf(fault: Fault, answer: Stream) -> Iterator[Event]:
    for turn, count, data in answer.events:
        yield turn, count, data.replace(b"\n", b"\r\n") if isinstance(data, bytes) else data


def _after_done(fault: Fault, answer: Stream) -> Iterator[Event]:
    """Add text after `[DONE]`, which streams of the Responses API do not have: they stay as is."""
    for event in answer.events:
        yield event
        if isinstance(event[2], bytes) and event[2].endswith(b"data: [DONE]\n\n"):
            yield event[0], 0, b"data: this comes too late\n\n"


def _unchanged(fault: Fault, answer: Stream) -> Iterator[Event]:
    return answer.events


_STREAMS: dict[str, Callable[[Fault, Stream], Iterator[Event]]] = {
    "stall": _stall,
    "disconnect": _disconnect,
    "no-done": _no_done,
    "error-event": _error_in_stream,
    "bad-json": _bad_json,
    "bad-utf8": _bad_utf8,
    "not-sse": _unchanged,
    "split-utf8": _split_utf8,
    "merged": _merged,
    "shredded": _shredded,
    "comments": _comments,
    "crlf": _crlf,
    "after-done": _after_done,
    "expired": _unchanged,
}


def without_stream(body: bytes) -> bytes:
    """Return a request's body without its wish for a stream, for `not-sse`."""
    try:
        value = json.loads(body)
        value.pop("stream", None)
        value.pop("stream_options", None)
        return dump(value)
    except (ValueError, AttributeError, TypeError, RecursionError):
        return body


def _error_event(fault: Fault) -> dict[str, Any]:
    return {
        "error": {
            "message": fault.message
            or "The server had an error while processing your request. Sorry about that!",
            "type": "server_error",
            "param": None,
            "code": fault.code or "server_error",
        }
    }


def _seconds(fault: Fault, default: float) -> float:
    return default if fault.seconds is None else fault.seconds


def _retry_headers(fault: Fault) -> dict[str, str]:
    headers = {}
    if fault.retry_after is not None:
        headers["retry-after"] = str(math.ceil(fault.retry_after))
        headers["retry-after-ms"] = str(round(fault.retry_after * 1000))
    if fault.should_retry is not None:
        headers["x-should-retry"] = "true" if fault.should_retry else "false"
    return headers


# --- asking for one ---------------------------------------------------------------------------


def parse(text: str) -> Fault:
    """Return the fault that a text asks for: `429; retry-after=0.5; tries=2`.

    Raises:
        ValueError: there is no such fault, or it has no such option.
    """
    name, *options = [part.strip() for part in text.split(";")]
    name = _ALIASES.get(name, name)
    if name not in KINDS:
        raise ValueError(f"There is no fault '{name}'. There are: {', '.join(KINDS)}.")
    fault = Fault(name)
    for option in filter(None, options):
        key, _, value = (part.strip() for part in option.partition("="))
        reader = OPTIONS.get(key)
        if reader is None:
            raise ValueError(f"A fault has no option '{key}'. It has: {', '.join(OPTIONS)}.")
        try:
            fault = reader(fault, value)
        except ValueError:
            raise ValueError(f"'{value}' is no value for a fault's option '{key}'.") from None
    return fault


def _count(value: str) -> int:
    number = int(value)
    if not 0 <= number <= 1_000_000:
        raise ValueError
    return number


def _duration(value: str) -> float:
    number = float(value)
    if not 0 <= number <= 86_400:
        raise ValueError
    return number


def _share(value: str) -> float:
    number = float(value)
    if not 0 <= number <= 1:
        raise ValueError
    return number


def _flag(value: str) -> bool:
    if value not in ("true", "false"):
        raise ValueError
    return value == "true"


def _name(value: str) -> str:
    if not value.isidentifier():
        raise ValueError
    return value


OPTIONS: dict[str, Callable[[Fault, str], Fault]] = {
    "after": lambda fault, value: replace(fault, after=_count(value)),
    "seconds": lambda fault, value: replace(fault, seconds=_duration(value)),
    "tries": lambda fault, value: replace(fault, tries=_count(value)),
    "retry-after": lambda fault, value: replace(fault, retry_after=_duration(value)),
    "retry-after-ms": lambda fault, value: replace(fault, retry_after=_duration(value) / 1000),
    "should-retry": lambda fault, value: replace(fault, should_retry=_flag(value)),
    "size": lambda fault, value: replace(fault, size=max(1, _count(value))),
    "message": lambda fault, value: replace(fault, message=value),
    "code": lambda fault, value: replace(fault, code=value),
    "chance": lambda fault, value: replace(fault, chance=_share(value)),
    "seed": lambda fault, value: replace(fault, seed=_count(value)),
    "field": lambda fault, value: replace(fault, field=_name(value)),
}


@dataclass(slots=True)
class Order:
    """A fault for the next requests that fit."""

    text: str
    fault: Fault
    left: int
    client: str | None = None
    model: str | None = None
    path: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the order as a JSON value."""
        return {
            "fault": self.text,
            "times": self.left,
            "client": self.client,
            "model": self.model,
            "path": self.path,
        }


class Orders:
    """The faults that wait for requests, in the order they were asked for."""

    MAX = 1000
    """Orders that may wait; a test that forgets to clear them should hear of it."""

    def __init__(self) -> None:
        self.waiting: list[Order] = []
        self._dice: dict[int, random.Random] = {}

    def clear(self) -> None:
        """Forget all, and begin chance anew."""
        self.waiting.clear()
        self._dice.clear()

    def strikes(self, fault: Fault) -> bool:
        """Return whether chance has it that a fault meets the try that comes now."""
        if fault.chance is None:
            return True
        if fault.seed not in self._dice and len(self._dice) >= self.MAX:
            self._dice.clear()
        dice = self._dice.setdefault(fault.seed, random.Random(fault.seed))
        return dice.random() < fault.chance

    def add(self, order: Order) -> None:
        """Let the next requests that fit fail.

        Raises:
            ApiError: too many wait already.
        """
        if len(self.waiting) >= self.MAX:
            raise ApiError(400, f"{self.MAX} faults wait already. Clear them: DELETE /mock/faults.")
        self.waiting.append(order)

    def take(self, call: Call, retry: int) -> Fault | None:
        """Return the fault for this try of a call, if one waits for it, and count it off."""
        for order in self.waiting:
            if not order.fault.meets(retry):
                continue
            if order.client is not None and order.client != call.headers.get("x-mock-client"):
                continue
            if order.path is not None and order.path != call.path:
                continue
            if order.fault.name == "expired" and call.method != "POST":
                continue  # a look at the batches, which have that path as well
            if order.model is not None and order.model != model_of(call):
                continue
            if not self.strikes(order.fault):
                continue
            order.left -= 1
            if order.left <= 0:
                self.waiting.remove(order)
            return order.fault
        return None


def model_of(call: Call) -> str | None:
    """Return the model that a call names, whether the rest of it can be read or not."""
    try:
        body = json.loads(call.body)
    except (ValueError, RecursionError):
        return None
    model = body.get("model") if isinstance(body, dict) else None
    return model if isinstance(model, str) else None
