"""Odd chat completions, whole and streamed, each made of a proper one."""

from collections.abc import Callable, Iterator
from typing import Any

from helpers.mock_server.control.oddity import (
    FILTERS,
    REFUSAL,
    THOUGHT,
    Oddity,
    Part,
    beginning,
    pieces,
)


def edit(odd: Oddity, value: dict[str, Any]) -> int:
    """Change a completion in its place; return by how many tokens each choice grew."""
    match odd.name:
        case "null-choices":
            value["choices"] = None
        case "no-choices":
            value["choices"] = []
            value["prompt_filter_results"] = FILTERS
        case "null-delta":
            for choice in value["choices"]:
                choice["message"] = None
    if not value["choices"] or any(not _is_text(choice) for choice in value["choices"]):
        return 0
    grown = 0
    for choice in value["choices"]:
        grown = _edit_choice(odd, choice)  # the same for each
    spent = value["usage"]
    if odd.name in ("refusal", "content-filter"):
        more = (odd.tokens + grown) * len(value["choices"]) - spent["completion_tokens"]
    else:
        more = grown * len(value["choices"])
    _spend(spent, more)
    if odd.name in ("reasoning", "reasoning-only"):
        _note_thought(spent, more or spent["completion_tokens"])
    return grown


def _is_text(choice: dict[str, Any]) -> bool:
    return choice["message"] is not None and choice["message"]["content"] is not None


def _edit_choice(odd: Oddity, choice: dict[str, Any]) -> int:
    message = choice["message"]
    match odd.name:
        case "reasoning":
            message[odd.field] = THOUGHT
            return len(pieces(THOUGHT))
        case "reasoning-only":
            message[odd.field], message["content"] = message["content"], None
            choice["finish_reason"], choice["logprobs"] = "length", None
        case "refusal":
            refused = odd.words or REFUSAL
            message["content"], message["refusal"] = None, refused
            choice["finish_reason"], choice["logprobs"] = "stop", None
            return len(pieces(refused)) - odd.tokens
        case "content-filter":
            message["content"] = beginning(message["content"], odd.after, odd.tokens)
            choice["finish_reason"], choice["logprobs"] = "content_filter", None
            return min(odd.after, odd.tokens) - odd.tokens
    return 0


def _spend(spent: dict[str, Any], more: int) -> None:
    spent["completion_tokens"] += more
    spent["total_tokens"] += more


def _note_thought(spent: dict[str, Any], thought: int) -> None:
    spent["completion_tokens_details"]["reasoning_tokens"] = thought


# --- streams ----------------------------------------------------------------------------------


def _null_choices(odd: Oddity, parts: Iterator[Part]) -> Iterator[Part]:
    sent, due = 0, True
    for turn, count, value in parts:
        yield turn, count, value
        sent += count
        if due and sent >= odd.after:
            yield turn, 0, {**value, "choices": None}
            due = False


def _no_choices(odd: Oddity, parts: Iterator[Part]) -> Iterator[Part]:
    blank = {"id": "", "object": "", "created": 0, "model": "", "choices": []}
    yield 0, 0, {**blank, "prompt_filter_results": FILTERS}
    yield from parts


def _null_delta(odd: Oddity, parts: Iterator[Part]) -> Iterator[Part]:
    for turn, count, value in parts:
        for choice in value["choices"]:
            if choice["finish_reason"] is not None and "delta" in choice:
                choice["delta"] = None
        yield turn, count, value


def _thinking(odd: Oddity, parts: Iterator[Part]) -> Iterator[Part]:
    thought = pieces(THOUGHT)
    heads: list[Part] = []
    spoken = False
    for turn, count, value in parts:
        if not spoken and value["choices"] and "role" in value["choices"][0]["delta"]:
            heads.append((turn, count, value))
            yield turn, count, value
            continue
        if not spoken:
            spoken = True
            yield from _in_turns(heads, thought, odd.field)
        spent = value.get("usage")
        if spent is not None:
            _spend(spent, len(thought) * len(heads))
            _note_thought(spent, len(thought) * len(heads))
        yield turn + len(thought), count, value


def _in_turns(heads: list[Part], words: list[str], field: str) -> Iterator[Part]:
    """Yield words as a field of the deltas of all choices, which go on side by side."""
    for turn, word in enumerate(words):
        for _, _, head in heads:
            choice = {**head["choices"][0], "delta": {field: word}}
            yield turn, 1, {**head, "choices": [choice]}


def _only_thinking(odd: Oddity, parts: Iterator[Part]) -> Iterator[Part]:
    for turn, count, value in parts:
        for choice in value["choices"]:
            delta = choice["delta"]
            if "role" in delta:
                delta["content"] = None
            elif "content" in delta:
                delta[odd.field] = delta.pop("content")
            choice["logprobs"] = None
            if choice["finish_reason"] is not None:
                choice["finish_reason"] = "length"
        spent = value.get("usage")
        if spent is not None:
            _note_thought(spent, spent["completion_tokens"])
        yield turn, count, value


def _refusing(odd: Oddity, parts: Iterator[Part]) -> Iterator[Part]:
    words = pieces(odd.words or REFUSAL)
    heads: list[Part] = []
    refused = False
    for turn, count, value in parts:
        if value["choices"] and "role" in value["choices"][0]["delta"]:
            value["choices"][0]["delta"]["content"] = None
            heads.append((turn, count, value))
            yield turn, count, value
            continue
        if not refused:
            refused = True
            yield from _in_turns(heads, words, "refusal")
        if count:
            continue
        for choice in value["choices"]:
            choice["finish_reason"] = "stop"
        spent = value.get("usage")
        if spent is not None:
            _spend(spent, len(words) * len(heads) - spent["completion_tokens"])
        yield len(words) - 1, 0, value


def _filtered(odd: Oddity, parts: Iterator[Part]) -> Iterator[Part]:
    sent = last = 0
    for turn, count, value in parts:
        if count and sent >= odd.after:
            continue
        sent += count
        last = turn if count else last
        for choice in value["choices"]:
            if choice["finish_reason"] is not None:
                choice["finish_reason"] = "content_filter"
        spent = value.get("usage")
        if spent is not None:
            _spend(spent, sent - spent["completion_tokens"])
        yield last, count, value


def _no_usage(odd: Oddity, parts: Iterator[Part]) -> Iterator[Part]:
    for turn, count, value in parts:
        value.pop("usage", None)
        if value["choices"]:
            yield turn, count, value


def _usage_each(odd: Oddity, parts: Iterator[Part]) -> Iterator[Part]:
    sent = 0
    for turn, count, value in parts:
        sent += count
        if not value.get("usage"):
            value["usage"] = {
                "prompt_tokens": odd.prompt_tokens,
                "completion_tokens": sent,
                "total_tokens": odd.prompt_tokens + sent,
            }
        yield turn, count, value


def _bare_calls(odd: Oddity, parts: Iterator[Part]) -> Iterator[Part]:
    for turn, count, value in parts:
        for choice in value["choices"]:
            for call in choice.get("delta", {}).get("tool_calls") or ():
                if "id" not in call and "function" in call:
                    call["id"] = call["function"]["name"] = ""
        yield turn, count, value


CHUNKS: dict[str, Callable[[Oddity, Iterator[Part]], Iterator[Part]]] = {
    "null-choices": _null_choices,
    "no-choices": _no_choices,
    "null-delta": _null_delta,
    "reasoning": _thinking,
    "reasoning-only": _only_thinking,
    "refusal": _refusing,
    "content-filter": _filtered,
    "no-usage": _no_usage,
    "usage-each": _usage_each,
    "bare-calls": _bare_calls,
}

OF_TEXT = ("reasoning", "reasoning-only", "refusal", "content-filter")
"""Those that leave an answer as it is that holds more than a text."""
