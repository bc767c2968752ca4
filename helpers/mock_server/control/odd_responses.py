"""Odd answers of the Responses API, whole and streamed, each made of a proper one."""

from collections.abc import Iterator
from typing import Any

from helpers.mock_server.control.oddity import REFUSAL, THOUGHT, Oddity, Part, beginning, pieces

THOUGHT_ID = "rs_00000000000000000000000000000001"

TEXT_PART = "response.output_text."


def edit(odd: Oddity, response: dict[str, Any]) -> int:
    """Change a response in its place; return by how many tokens it grew."""
    if odd.name == "no-usage":
        response["usage"] = None
        return 0
    output = response["output"]
    if not output or output[0]["type"] != "message":
        return 0
    message = output[0]
    text = message["content"][0]["text"]
    grown = 0
    match odd.name:
        case "reasoning":
            output.insert(0, _thought(THOUGHT_ID, THOUGHT, "completed"))
            grown = len(pieces(THOUGHT))
            _spend(response, grown, thought=grown)
        case "reasoning-only":
            output[:] = [_thought(THOUGHT_ID, text, "incomplete")]
            _break_off(response, "max_output_tokens")
            _spend(response, 0, thought=odd.tokens)
        case "refusal":
            refused = odd.words or REFUSAL
            message["content"] = [{"type": "refusal", "refusal": refused}]
            grown = len(pieces(refused)) - odd.tokens
            _spend(response, grown)
        case "content-filter":
            message["content"][0]["text"] = beginning(text, odd.after, odd.tokens)
            message["content"][0]["logprobs"] = []
            message["status"] = "incomplete"
            _break_off(response, "content_filter")
            grown = min(odd.after, odd.tokens) - odd.tokens
            _spend(response, grown)
    return grown


def _thought(key: str, text: str | None, status: str) -> dict[str, Any]:
    content = [] if text is None else [{"type": "reasoning_text", "text": text}]
    return {"id": key, "type": "reasoning", "summary": [], "content": content, "status": status}


def _break_off(response: dict[str, Any], reason: str) -> None:
    response["status"], response["completed_at"] = "incomplete", None
    response["incomplete_details"] = {"reason": reason}


def _spend(response: dict[str, Any], more: int, thought: int = 0) -> None:
    spent = response["usage"]
    spent["output_tokens"] += more
    spent["total_tokens"] += more
    spent["output_tokens_details"]["reasoning_tokens"] = thought


# --- streams ----------------------------------------------------------------------------------


def stream(odd: Oddity, parts: Iterator[Part]) -> Iterator[Part]:
    """Yield a response's events as they are wanted; their numbers are set afterwards."""
    if odd.name not in ("no-usage", "reasoning", "reasoning-only", "refusal", "content-filter"):
        yield from parts
        return
    text, sent, later, last = "", 0, 0, 0
    for turn, count, event in parts:
        kind = event["type"]
        if kind == "response.output_item.added" and event["item"]["type"] != "message":
            yield turn, count, event
            yield from parts  # calls, which have no text to be odd about
            return
        if kind == "response.output_item.added" and odd.name == "reasoning":
            yield from _thinking()
            later = len(pieces(THOUGHT))
        if kind == f"{TEXT_PART}delta":
            if odd.name == "refusal" or (odd.name == "content-filter" and sent >= odd.after):
                continue
            text += event["delta"]
            sent += count
        if kind == f"{TEXT_PART}done" and odd.name == "refusal":
            text = odd.words or REFUSAL
            for last, word in enumerate(pieces(text)):
                where = {name: event[name] for name in ("item_id", "output_index", "content_index")}
                yield last, 1, {"type": "response.refusal.delta", **where, "delta": word}
        if odd.name == "refusal":
            turn = last
        elif odd.name == "content-filter":
            turn = last = turn if count else last
        yield turn + later, count, _edited(odd, event, text)


def _thinking() -> Iterator[Part]:
    """Yield the events of an item of reasoning that comes first."""
    where = {"item_id": THOUGHT_ID, "output_index": 0, "content_index": 0}
    item = {"output_index": 0, "item": _thought(THOUGHT_ID, None, "in_progress")}
    yield 0, 0, {"type": "response.output_item.added", **item}
    part = {"type": "reasoning_text", "text": ""}
    yield 0, 0, {"type": "response.content_part.added", **where, "part": part}
    last = 0
    for last, word in enumerate(pieces(THOUGHT)):
        yield last, 1, {"type": "response.reasoning_text.delta", **where, "delta": word}
    yield last, 0, {"type": "response.reasoning_text.done", **where, "text": THOUGHT}
    part = {"type": "reasoning_text", "text": THOUGHT}
    yield last, 0, {"type": "response.content_part.done", **where, "part": part}
    item = {"output_index": 0, "item": _thought(THOUGHT_ID, THOUGHT, "completed")}
    yield last, 0, {"type": "response.output_item.done", **item}


def _edited(odd: Oddity, event: dict[str, Any], text: str) -> dict[str, Any]:
    """Return an event of a stream that says so much text, as it is wanted."""
    if "response" in event:
        edit(odd, event["response"])
        if event["response"]["status"] == "incomplete":
            event["type"] = "response.incomplete"
        return event
    if odd.name == "reasoning":
        event["output_index"] += 1
    if odd.name == "reasoning-only":
        return _as_thought(event)
    if odd.name == "refusal":
        return _as_refusal(event, text)
    if odd.name == "content-filter":
        _cut(event, text)
    return event


def _as_thought(event: dict[str, Any]) -> dict[str, Any]:
    if "item" in event:
        ended = event["item"]["status"] != "in_progress"
        said = event["item"]["content"][0]["text"] if ended else None
        event["item"] = _thought(THOUGHT_ID, said, "incomplete" if ended else "in_progress")
        return event
    event["item_id"] = THOUGHT_ID
    event.pop("logprobs", None)
    event.pop("obfuscation", None)
    event["type"] = event["type"].replace("output_text", "reasoning_text")
    if "part" in event:
        event["part"] = {"type": "reasoning_text", "text": event["part"]["text"]}
    return event


def _as_refusal(event: dict[str, Any], text: str) -> dict[str, Any]:
    if "item" in event:
        if event["item"]["content"]:
            event["item"]["content"] = [{"type": "refusal", "refusal": text}]
    elif "part" in event:
        event["part"] = {"type": "refusal", "refusal": text}
    else:
        del event["logprobs"], event["text"]
        event["type"] = "response.refusal.done"
        event["refusal"] = text
    return event


def _cut(event: dict[str, Any], text: str) -> None:
    held = event
    if "item" in event:
        if not event["item"]["content"]:
            return
        event["item"]["status"] = "incomplete"
        held = event["item"]["content"][0]
    elif event["type"] == "response.content_part.done":
        held = event["part"]
    if "text" in held and event["type"] != "response.content_part.added":
        held["text"], held["logprobs"] = text, []
