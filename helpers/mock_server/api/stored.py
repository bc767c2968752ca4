"""Stored chat completions: those asked for with `store: true`, to be looked up and changed."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from helpers.mock_server.api import chat, files, requests, scripted
from helpers.mock_server.control.state import State
from helpers.mock_server.protocol import fields
from helpers.mock_server.protocol.answers import Answer, Call, Event, Whole, whole
from helpers.mock_server.protocol.errors import ApiError

MAX_PAGE = 100
MESSAGE_FIELDS = ("role", "name", "tool_call_id", "tool_calls", "function_call", "refusal")


@dataclass(slots=True)
class Stored:
    """A completion, and the messages that it answers."""

    completion: dict[str, Any]
    messages: list[dict[str, Any]]


async def create(call: Call, state: State) -> Answer:
    """Answer `POST /v1/chat/completions`; keep the completion if that is asked for."""
    answer = await chat.create(call, state)
    if b'"store"' not in call.body:
        return answer
    body = fields.json_object(call.body)
    if body.get("store") is not True or answer.holds == "anything":
        return answer
    if isinstance(answer, Whole) and answer.status >= 400:
        return answer
    kept = state.completions  # a reset puts another in its place, where this one has no part
    metadata = body.get("metadata") or {}

    def keep(completion: dict[str, Any]) -> None:
        completion["metadata"] = metadata
        kept.put(completion["id"], Stored(completion, body["messages"]), 2 * len(call.body))

    if isinstance(answer, Whole):
        keep(json.loads(answer.body))
        return answer
    return replace(answer, events=_gathered(answer.events, keep))


def _gathered(events: Iterator[Event], keep: Callable[[dict[str, Any]], None]) -> Iterator[Event]:
    """Yield a stream's events; before the last one, keep the completion that they make."""
    completion: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for event in events:
        data = event[2]
        if isinstance(data, bytes):
            if data == scripted.DONE:
                keep({**completion, "choices": [choices[at] for at in sorted(choices)]})
            else:
                chunk = json.loads(data.removeprefix(b"data: "))
                completion = {**completion, **chunk, "object": "chat.completion"}
                completion.pop("obfuscation", None)
                for part in chunk["choices"]:
                    _take_up(choices, part)
        yield event


def _take_up(choices: dict[int, dict[str, Any]], part: dict[str, Any]) -> None:
    blank: dict[str, Any] = {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "annotations": [],
    }
    choice = choices.setdefault(
        part["index"],
        {"index": part["index"], "message": blank, "logprobs": None, "finish_reason": None},
    )
    message, delta = choice["message"], part["delta"]
    for name in ("content", "refusal", "reasoning_content"):
        if delta.get(name) is not None:
            message[name] = (message.get(name) or "") + delta[name]
    if "function_call" in delta:
        _add_text(message.setdefault("function_call", {}), delta["function_call"])
    for call in delta.get("tool_calls") or ():
        calls = message.setdefault("tool_calls", [])
        if call["index"] == len(calls):
            calls.append({name: value for name, value in call.items() if name != "index"})
        else:
            for kind in ("function", "custom"):
                _add_text(calls[call["index"]].get(kind, {}), call.get(kind, {}))
    if part["logprobs"] is not None:
        likely = choice["logprobs"] = choice["logprobs"] or {"content": None, "refusal": None}
        for name, entries in part["logprobs"].items():
            if entries is not None:
                likely[name] = (likely[name] or []) + entries
    choice["finish_reason"] = part["finish_reason"] or choice["finish_reason"]


def _add_text(call: dict[str, Any], more: dict[str, str]) -> None:
    for name, text in more.items():
        call[name] = call.get(name, "") + text


def listing(call: Call, state: State) -> Answer:
    """Answer `GET /v1/chat/completions?model=&metadata[name]=value&order=&after=&limit=`."""
    wanted = {
        found.group(1): value
        for name, value in call.query.items()
        if (found := re.fullmatch(r"metadata\[(.+)\]", name))
    }
    model = call.query.get("model")
    cards = [
        stored.completion
        for stored in state.completions.newest_first()
        if model in (None, stored.completion["model"])
        and wanted.items() <= stored.completion["metadata"].items()
    ]
    return whole(files.page(cards, _oldest_first(call), MAX_PAGE))


def retrieve(call: Call, state: State) -> Answer:
    """Answer `GET /v1/chat/completions/{id}`."""
    return whole(_kept(call, state).completion)


def update(call: Call, state: State) -> Answer:
    """Answer `POST /v1/chat/completions/{id}`: its metadata can be changed, and nothing else."""
    stored = _kept(call, state)
    changed = fields.read(requests.Update, fields.json_object(call.body))
    stored.completion["metadata"] = changed.metadata or {}
    return whole(stored.completion)


def delete(call: Call, state: State) -> Answer:
    """Answer `DELETE /v1/chat/completions/{id}`."""
    key = _kept(call, state).completion["id"]
    state.completions.drop(key)
    return whole({"id": key, "object": "chat.completion.deleted", "deleted": True})


def messages(call: Call, state: State) -> Answer:
    """Answer `GET /v1/chat/completions/{id}/messages`: what was asked."""
    stored = _kept(call, state)
    found = []
    for at, message in enumerate(stored.messages):
        content = message.get("content")
        known = {name: message[name] for name in MESSAGE_FIELDS if message.get(name) is not None}
        found.append(
            {
                "id": f"{stored.completion['id']}-{at}",
                **known,
                "content": content if isinstance(content, str) else None,
                "content_parts": content if isinstance(content, list) else None,
            }
        )
    return whole(files.page(found[::-1], _oldest_first(call), MAX_PAGE))


def _oldest_first(call: Call) -> Call:
    return replace(call, query={"order": "asc", **call.query})


def _kept(call: Call, state: State) -> Stored:
    key = call.params["completion"]
    stored = state.completions.get(key)
    if not isinstance(stored, Stored):
        raise ApiError(404, f"No chat completion found with id '{key}'.", param="completion_id")
    return stored
