"""Reads the answers of a real endpoint back into scripted replies, each with its timing."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from helpers.mock_server.api import chat, completions, responses, scripted
from helpers.mock_server.content import scripts
from helpers.mock_server.control.state import State
from helpers.mock_server.protocol import fields
from helpers.mock_server.protocol.answers import Call
from helpers.mock_server.protocol.errors import ApiError

HEADERS = ("retry-after", "retry-after-ms", "x-should-retry")
"""Headers of an error that a client acts upon: the only ones that are kept."""

MESSAGE = 200
"""Characters that are kept of an error that is no JSON."""

Timed = tuple[float, bytes]
"""A piece of an answer, and how many seconds after its request it came."""


class Unlike(Exception):
    """An answer that holds what a script has no word for. It is kept as it is."""


def model_of(call: Call) -> str | None:
    """Return the model that a call names."""
    return scripted.asked_of(call).model


def reply(
    call: Call, status: int, headers: Mapping[str, str], chunks: list[Timed], *, stream: bool
) -> dict[str, Any]:
    """Return an answer as a reply that gives it again, to a request like its own.

    Raises:
        ValueError: it is no JSON, and no stream of it.
    """
    when, family = _when(call), _family(call.path)
    body = b"".join(part for _, part in chunks)
    took = round(chunks[-1][0], PLACES)
    as_it_is = {"when": {**when, "method": call.method}}  # other methods may have this path too
    if status >= 400:
        return {**as_it_is, **_error(status, headers, body), "first": took}
    if stream:
        events = _events(chunks)
        times = [at for at, _ in events]
        values = [value for _, value in events]
        if family:
            try:
                said = Heard()
                for at, value in events:
                    STREAMS[family](said, at, value)
                return _readable({"when": when, **said.script(), "check": False})
            except (Unlike, AttributeError, IndexError, KeyError, TypeError):
                pass
        return {**as_it_is, "json": values, **_timing(times)}
    value = json.loads(body)
    if family and status == 200:
        try:
            said = Heard()
            WHOLES[family](said, value)
            timed = {"first": took, "gaps": 0, "check": False}
            return _readable({"when": when, **said.script(), **timed})
        except (Unlike, AttributeError, IndexError, KeyError, TypeError):
            pass
    kept = {"status": status} if status != 200 else {}
    return {**as_it_is, "json": value, **kept, "first": took}


def _readable(script: dict[str, Any]) -> dict[str, Any]:
    """Return a script that can be read again.

    Raises:
        Unlike: it cannot, such as one with a finish reason of another kind.
    """
    try:
        scripts.read(script)
    except ApiError:
        raise Unlike from None
    return script


PLACES = 4
"""Decimals of a time in seconds: a tenth of a millisecond."""


def _timing(times: list[float]) -> dict[str, Any]:
    if not times:
        return {}
    gaps = [round(max(0.0, after - before), PLACES) for before, after in pairwise(times)]
    return {"first": round(times[0], PLACES), "gaps": gaps}


def _when(call: Call) -> dict[str, Any]:
    """Return what to know the request by: its path and model, its last message and its turn."""
    asked = scripted.asked_of(call)
    when: dict[str, Any] = {"path": call.path, "model": asked.model, "exactly": asked.last}
    try:
        body = fields.json_object(call.body)
        match _family(call.path):
            case "/chat/completions":
                said = chat.read(call, State()).conversation
                when |= {"turn": said.turn, "exactly": said.last}
            case "/completions":
                when["exactly"] = completions.read(call, State()).prompts[0]
            case "/responses":
                when |= _response_when(body)
    except ApiError:
        pass  # it was the endpoint's to understand
    return {name: value for name, value in when.items() if value}


REFERENCE = "item_reference"


def _response_when(body: Mapping[str, Any]) -> dict[str, Any]:
    given = body.get("input")
    if not isinstance(given, list):
        given = [{"role": "user", "content": given}]
    # What a reference stands for, and what came before, only the endpoint knows.
    known = [one for one in given if not isinstance(one, dict) or one.get("type") != REFERENCE]
    items, said, _ = responses.read_input(known)
    found: dict[str, Any] = {"exactly": said[-1][1] if said else ""}
    if body.get("previous_response_id") is None and body.get("conversation") is None:
        found["turn"] = 1 + responses.count_turns(items)
    return found


def _family(path: str) -> str:
    """Return which API a path belongs to, wherever it stands: `/chat/completions`; or nothing."""
    return next((family for family in STREAMS if path.endswith(family)), "")


def _error(status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    try:
        told = json.loads(body)["error"]
        known = {
            name: told[name]
            for name in ("message", "type", "code", "param")
            if isinstance(told.get(name), str | int)
        }
        known["message"] = str(known["message"])
    except (ValueError, KeyError, TypeError, AttributeError):
        known = {"message": body[:MESSAGE].decode("utf-8", "replace") or "No words were given."}
    return {"error": {"status": status, **known, **({"headers": dict(headers)} if headers else {})}}


def _events(chunks: Iterable[Timed]) -> list[tuple[float, Any]]:
    """Return the data of each event of a stream, and when its last byte came.

    Raises:
        ValueError: an event is no JSON.
    """
    found: list[tuple[float, Any]] = []
    rest = b""
    for at, part in chunks:
        *blocks, rest = re.split(rb"\r?\n\r?\n", rest + part)
        for block in blocks:
            lines = [line[5:].strip() for line in block.splitlines() if line.startswith(b"data:")]
            data = b"\n".join(lines)
            if data and data != b"[DONE]":
                found.append((at, json.loads(data)))
    return found


# --- what is heard ----------------------------------------------------------------------------


@dataclass(slots=True)
class Heard:
    """What an answer says, piece by piece, each with its time."""

    pieces: dict[str, list[tuple[float, str]]] = field(default_factory=dict)
    """Of `reasoning`, `text` and `refusal`."""
    calls: dict[int, tuple[float, dict[str, Any], list[tuple[float, str]]]] = field(
        default_factory=dict
    )
    """By their index: when a call began, what it is, and its arguments."""
    finish: str | None = None
    usage: dict[str, int] = field(default_factory=dict)
    ended: bool = False

    def say(self, what: str, piece: Any, at: float) -> None:
        """Add a piece of text, if there is any."""
        if piece:
            self.pieces.setdefault(what, []).append((at, piece))

    def call(self, index: int, name: str, key: str, at: float) -> None:
        """Begin a call."""
        self.calls[index] = at, {"name": name, "id": key}, []

    def script(self) -> dict[str, Any]:
        """Return it as the JSON of a script, with its timing.

        Raises:
            Unlike: it broke off, or says nothing.
        """
        if not self.ended or ("refusal" in self.pieces and "text" in self.pieces):
            raise Unlike
        found: dict[str, Any] = {}
        times: list[float] = []
        for what in ("reasoning", "text", "refusal"):
            heard = self.pieces.get(what)
            if heard:
                found[what] = [piece for _, piece in heard]
                if len(heard) == 1:
                    found[what] = heard[0][1]
                times += (at for at, _ in heard)
        if self.calls:
            found["tool_calls"] = []
            for _, (at, known, arguments) in sorted(self.calls.items()):
                texts = [piece for _, piece in arguments]
                found["tool_calls"].append(
                    {**known, "arguments": texts[0] if len(texts) == 1 else texts}
                )
                times += [at, *(moment for moment, _ in arguments)]
        if not found:
            found["text"] = ""
        if self.finish is not None:
            found["finish"] = self.finish
        if self.usage:
            found["usage"] = self.usage
        return {**found, **_timing(sorted(times))}


def _only(value: Mapping[str, Any], *known: str) -> None:
    """See to it that a JSON object holds nothing but what is known.

    Raises:
        Unlike: it does.
    """
    if any(part for name, part in value.items() if name not in known):
        raise Unlike


def _cost(usage: Mapping[str, Any] | None, prompt: str, written: str) -> dict[str, int]:
    if not usage:
        return {}
    cached = (usage.get(f"{prompt}_details") or {}).get("cached_tokens")
    reasoned = (usage.get(f"{written}_details") or {}).get("reasoning_tokens")
    known = {
        "prompt_tokens": usage.get(prompt),
        "completion_tokens": usage.get(written),
        "cached_tokens": cached,
        "reasoning_tokens": reasoned,
    }
    return {name: count for name, count in known.items() if isinstance(count, int)}


def _chat_message(said: Heard, message: Mapping[str, Any], at: float) -> None:
    _only(message, "role", "content", "refusal", "reasoning_content", "reasoning", "tool_calls")
    said.say("reasoning", message.get("reasoning_content") or message.get("reasoning"), at)
    said.say("text", message.get("content"), at)
    said.say("refusal", message.get("refusal"), at)
    for place, call in enumerate(message.get("tool_calls") or ()):
        index = call.get("index", place)
        function = call.get("function") or {}
        if index not in said.calls:
            if call.get("type", "function") != "function":
                raise Unlike
            said.call(index, function["name"], call["id"], at)
        if function.get("arguments"):
            said.calls[index][2].append((at, function["arguments"]))


def _one_choice(said: Heard, value: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    if value.get("usage"):
        said.usage = _cost(value["usage"], "prompt_tokens", "completion_tokens")
    if not value.get("choices"):
        if "choices" not in value:
            raise Unlike  # an error inside the stream
        return None
    (choice,) = value["choices"] if len(value["choices"]) == 1 else (None,)
    if choice is None:
        raise Unlike
    _only(choice, "index", kind, "finish_reason", "stop_reason")
    if choice["index"]:
        raise Unlike
    if choice.get("finish_reason"):
        said.finish = choice["finish_reason"]
        said.ended = True
    return choice  # type: ignore[no-any-return]


def _chat_event(said: Heard, at: float, value: Any) -> None:
    choice = _one_choice(said, value, "delta")
    if choice is not None:
        _chat_message(said, choice["delta"], at)


def _chat_whole(said: Heard, value: Any) -> None:
    choice = _one_choice(said, value, "message")
    if choice is None:
        raise Unlike
    _chat_message(said, choice["message"], 0.0)


def _legacy_event(said: Heard, at: float, value: Any) -> None:
    choice = _one_choice(said, value, "text")
    if choice is not None:
        said.say("text", choice["text"], at)


def _legacy_whole(said: Heard, value: Any) -> None:
    _legacy_event(said, 0.0, value)


DELTAS = {
    "response.output_text.delta": "text",
    "response.refusal.delta": "refusal",
    "response.reasoning_summary_text.delta": "reasoning",
    "response.reasoning_text.delta": "reasoning",
}


def _response_event(said: Heard, at: float, value: Any) -> None:
    kind = value["type"]
    if kind in DELTAS:
        if value.get("logprobs"):
            raise Unlike
        said.say(DELTAS[kind], value["delta"], at)
    elif kind == "response.output_item.added" and value["item"]["type"] == "function_call":
        said.call(value["output_index"], value["item"]["name"], value["item"]["call_id"], at)
    elif kind == "response.function_call_arguments.delta":
        said.calls[value["output_index"]][2].append((at, value["delta"]))
    elif kind in ("response.completed", "response.incomplete"):
        _response_end(said, value["response"])
    elif kind in ("error", "response.failed"):
        raise Unlike


def _response_end(said: Heard, response: Mapping[str, Any]) -> None:
    for item in response["output"]:
        if item["type"] not in ("message", "function_call", "reasoning"):
            raise Unlike
        for part in item.get("content") or ():
            if part.get("annotations") or part.get("logprobs"):
                raise Unlike
    reason = (response.get("incomplete_details") or {}).get("reason")
    if reason is not None:
        said.finish = {"max_output_tokens": "length"}.get(reason, reason)
    said.usage = _cost(response.get("usage"), "input_tokens", "output_tokens")
    said.ended = response["status"] in ("completed", "incomplete")


def _response_whole(said: Heard, value: Any) -> None:
    _response_end(said, value)
    for index, item in enumerate(value["output"]):
        if item["type"] == "function_call":
            said.call(index, item["name"], item["call_id"], 0.0)
            said.calls[index][2].append((0.0, item["arguments"]))
        elif item["type"] == "reasoning":
            for part in item.get("summary") or item.get("content") or ():
                said.say("reasoning", part["text"], 0.0)
        else:
            for part in item["content"]:
                said.say("text", part.get("text"), 0.0)
                said.say("refusal", part.get("refusal"), 0.0)


STREAMS: dict[str, Callable[[Heard, float, Any], None]] = {
    "/chat/completions": _chat_event,
    "/completions": _legacy_event,
    "/responses": _response_event,
}
WHOLES: dict[str, Callable[[Heard, Any], None]] = {
    "/chat/completions": _chat_whole,
    "/completions": _legacy_whole,
    "/responses": _response_whole,
}
