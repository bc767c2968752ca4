"""Makes a proper answer an odd one: reads its JSON, has it changed, and writes it again."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from helpers.mock_server.control import odd_chat, odd_responses
from helpers.mock_server.control.oddity import REFUSAL, THOUGHT, Oddity, Part, pieces
from helpers.mock_server.protocol.answers import Answer, Event, Stream, Whole, dump


def spoil(odd: Oddity, answer: Answer) -> Answer:
    """Return the answer as it is wanted."""
    return _whole(odd, answer) if isinstance(answer, Whole) else _stream(odd, answer)


# --- in one piece -----------------------------------------------------------------------------


def _whole(odd: Oddity, answer: Whole) -> Whole:
    if odd.name in ("error-body", "data-error", "flat-error"):
        return replace(answer, body=_error(odd), more=(), broken=True)
    value = _read(answer.body)
    if value is None or not _has_place(odd, answer):
        return answer
    if odd.name == "no-usage" and value.get("object") != "response":
        value.pop("usage", None)
        return replace(answer, body=dump(value))
    if value.get("object") == "response":
        grown = odd_responses.edit(odd, value)
        return replace(
            answer, body=dump(value), turns=answer.turns + grown, tokens=answer.tokens + grown
        )
    if value.get("object") == "chat.completion":
        grown = odd_chat.edit(odd, value)
        return replace(
            answer,
            body=dump(value),
            turns=answer.turns + grown,
            tokens=value["usage"]["completion_tokens"],
            broken=odd.name in ("null-choices", "no-choices", "null-delta"),
        )
    return answer


def _has_place(odd: Oddity, answer: Answer) -> bool:
    """Return whether an answer is one that can be changed in this way."""
    return answer.holds == "text" or (answer.holds == "more" and odd.name not in odd_chat.OF_TEXT)


def _error(odd: Oddity) -> bytes:
    return dump(
        {"object": "error", **odd.error} if odd.name == "flat-error" else {"error": odd.error}
    )


def _read(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


# --- streams ----------------------------------------------------------------------------------


def _stream(odd: Oddity, answer: Stream) -> Answer:
    if odd.name == "error-body":
        return Whole(
            _error(odd), model=answer.model, prompt_tokens=answer.prompt_tokens, broken=True
        )
    if odd.name in ("data-error", "flat-error"):
        last = b"data: " + _error(odd) + b"\n\n"
        return replace(answer, events=_ended(odd, answer.events, last), broken=True)
    if not _has_place(odd, answer):
        return answer
    first = next(answer.events)
    parts = _parts(first, answer.events)
    if isinstance(first[2], bytes) and first[2].startswith(b"event:"):
        return replace(answer, events=_named(odd_responses.stream(odd, parts)))
    edit = odd_chat.CHUNKS.get(odd.name, _unchanged)
    plain = _has_text(first)
    if odd.name in odd_chat.OF_TEXT and not plain:
        edit = _unchanged
    grown = 0
    if plain and odd.name in ("reasoning", "refusal"):
        thought = THOUGHT if odd.name == "reasoning" else (odd.words or REFUSAL)
        grown = len(pieces(thought)) - (odd.tokens if odd.name == "refusal" else 0)
    return replace(
        answer,
        events=_unnamed(edit(odd, parts)),
        tokens=max(0, answer.tokens + grown),
        broken=odd.name == "null-choices",
    )


def _has_text(first: Event) -> bool:
    value = _read(first[2][6:]) if isinstance(first[2], bytes) else None
    return value is not None and value["choices"][0].get("delta", {}).get("content") is not None


def _ended(odd: Oddity, events: Iterator[Event], last: bytes) -> Iterator[Event]:
    """Yield the events up to the place, and what is to come in place of the others."""
    sent = 0
    for event in events:
        if sent >= odd.after and (event[1] or sent):
            break
        yield event
        sent += event[1]
    yield 0, 0, last


def _parts(first: Event, events: Iterator[Event]) -> Iterator[Part]:
    """Yield the events with their JSON read, but for `[DONE]`."""
    event: Event | None = first
    while event is not None:
        turn, count, data = event
        if isinstance(data, bytes):
            value = _read(data[data.index(b"data: ") + 6 :])
            if value is not None:
                yield turn, count, value
        event = next(events, None)


def _unnamed(parts: Iterator[Part]) -> Iterator[Event]:
    turn = 0
    for turn, count, value in parts:
        yield turn, count, b"data: " + dump(value) + b"\n\n"
    yield turn, 0, b"data: [DONE]\n\n"


def _named(parts: Iterator[Part]) -> Iterator[Event]:
    for sequence, (turn, count, value) in enumerate(parts):
        value["sequence_number"] = sequence
        kind = value["type"].encode()
        yield turn, count, b"event: " + kind + b"\ndata: " + dump(value) + b"\n\n"


def _unchanged(odd: Oddity, parts: Iterator[Part]) -> Iterator[Part]:
    return parts
