"""The Responses API: the wire shapes of `/v1/responses`, one-shot, streamed and in the background.

Event order and required fields follow `openai.types.responses` (3.54) and what the SDK's own
`.stream()` helper insists on.
"""

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from helpers.mock_server import (
    chat,
    errors,
    fields,
    files,
    generation,
    models,
    talk,
    tokens,
    tools,
)
from helpers.mock_server.answers import Answer, Call, Event, Stream, dump, whole
from helpers.mock_server.errors import ApiError
from helpers.mock_server.pacing import NO_DELAY, Pace
from helpers.mock_server.state import State
from helpers.mock_server.talk import Conversation, Said, Wanted

LEAST_OUTPUT = 16
"""The smallest `max_output_tokens` that OpenAI takes."""

HOSTED_TOOLS = (
    "file_search",
    "web_search",
    "web_search_preview",
    "code_interpreter",
    "image_generation",
    "mcp",
)
"""Tools that would run on OpenAI's side. They are taken, and never called."""

MAX_PAGE = 100
"""Input items listed at once, as at OpenAI."""

TOKEN_BYTES = 64
"""What a token of a reply takes in memory: a string of its own, and its place in a list."""

BEGUN = 2
"""Events that say that a response has begun: what is left to tell of one that was cancelled."""

TELLINGS = 5
"""How often a stream tells each log probability: with its token, then in four last events."""

ROLES = ("user", "assistant", "system", "developer")

PARTS = (
    "input_text",
    "input_image",
    "input_file",
    "input_audio",
    "output_text",
    "refusal",
    "summary_text",
    "computer_screenshot",
)
"""Kinds of parts that a message or a tool's answer may have."""

ID_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "reasoning": "rs",
}

PART_DEFAULTS: dict[str, dict[str, Any]] = {
    "output_text": {"annotations": [], "logprobs": []},
    "input_image": {"detail": "auto"},
}
"""What is listed with a part of a message that was sent without."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a request asks for, checked; and what of it the response repeats."""

    model: str
    conversation: Conversation
    wanted: Wanted
    input_tokens: int
    top_logprobs: int | None
    """How many alternatives to list for each token; None for no log probabilities."""
    obfuscate: bool
    pace: Pace
    items: list[dict[str, Any]]
    """The input, as items with ids."""
    said_before: tuple[tuple[str, str], ...]
    """All roles and texts up to here, for a response that goes on from this one."""
    repeated: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Made:
    """A response with its words, and when it began."""

    id: str
    created: int
    request: Request
    said: Said
    item_ids: tuple[str, ...]
    started: float
    size: int
    """Bytes of text that it keeps in memory, roughly."""
    cancelled: bool = False

    @property
    def background(self) -> bool:
        return bool(self.request.repeated["background"])


def create(call: Call, state: State) -> Answer:
    """Answer `POST /v1/responses`."""
    body = fields.json_object(call.body)
    request = read(body, call, state)
    said = talk.say(request.conversation, request.wanted)
    generation.check_likely(TELLINGS * len(said.pieces), request.top_logprobs)
    made = Made(
        id=f"resp_{secrets.token_hex(24)}",
        created=int(time.time()),
        request=request,
        said=said,
        item_ids=tuple(
            f"{'fc' if said.calls else 'msg'}_{secrets.token_hex(24)}"
            for _ in range(max(1, len(said.calls)))
        ),
        started=time.monotonic(),
        size=len(call.body)
        + sum(len(text) for _, text in request.said_before)
        + TOKEN_BYTES * said.tokens,
    )
    keep = body.get("store") is not False
    kept = state.responses  # a reset puts another in its place, where this response has no part
    if made.background:
        if not keep:
            raise ApiError(
                400, "Background responses require 'store' to be true.", param="background"
            )
        state.responses.put(made.id, made, made.size)
    if fields.boolean(body, "stream"):

        def finished() -> None:
            if keep and not made.background:
                kept.put(made.id, made, made.size)

        return Stream(
            _counted(_events(made, state), finished),
            pace=request.pace,
            tokens=said.tokens,
            model=request.model,
            prompt_tokens=request.input_tokens,
        )
    if made.background:
        return whole(
            _response(made, "queued"), model=request.model, prompt_tokens=request.input_tokens
        )
    if keep:
        state.responses.put(made.id, made, made.size)
    return whole(
        _response(made, _final(made)),
        pace=request.pace,
        turns=said.tokens,
        tokens=said.tokens,
        model=request.model,
        prompt_tokens=request.input_tokens,
    )


def retrieve(call: Call, state: State) -> Answer:
    """Answer `GET /v1/responses/{id}`; with `?stream=true`, its events once more."""
    made = _kept(call, state)
    if call.query.get("stream") != "true":
        return whole(_response(made, _status(made)), model=made.request.model)
    after = call.query.get("starting_after", "-1")
    seen = int(after) if after.isascii() and after.isdigit() and len(after) < 10 else -1
    running = _status(made) in ("queued", "in_progress")
    left = 0 if made.cancelled else sum(fact[1] for fact in islice(_facts(made), seen + 1, None))
    return Stream(
        islice(_events(made, state), seen + 1, None),
        pace=made.request.pace if running else NO_DELAY,
        tokens=left,
        model=made.request.model,
        started=made.started if running else None,
    )


def delete(call: Call, state: State) -> Answer:
    """Answer `DELETE /v1/responses/{id}`."""
    made = _kept(call, state)
    state.responses.drop(made.id)
    return whole({"id": made.id, "object": "response", "deleted": True})


def cancel(call: Call, state: State) -> Answer:
    """Answer `POST /v1/responses/{id}/cancel`."""
    made = _kept(call, state)
    if not made.background:
        raise ApiError(400, "Cannot cancel a synchronous response.")
    if _status(made) in ("queued", "in_progress"):
        made = replace(made, cancelled=True)
        state.responses.put(made.id, made, made.size)
    return whole(_response(made, _status(made)), model=made.request.model)


def input_items(call: Call, state: State) -> Answer:
    """Answer `GET /v1/responses/{id}/input_items`."""
    items = _kept(call, state).request.items
    return whole(files.page(items[::-1], call, MAX_PAGE))


def _kept(call: Call, state: State) -> Made:
    key = call.params["response"]
    made = state.responses.get(key)
    if not isinstance(made, Made):
        raise ApiError(404, f"Response with id '{key}' not found.")
    return made


def _final(made: Made) -> str:
    return "incomplete" if made.said.finish == "length" else "completed"


def _status(made: Made) -> str:
    """Return how a response stands: one in the background goes by the clock."""
    if made.cancelled:
        return "cancelled"
    if made.background:
        pace, passed = made.request.pace, time.monotonic() - made.started
        if passed < pace.total(1) / 2:
            return "queued"
        if passed < pace.total(made.said.tokens):
            return "in_progress"
    return _final(made)


# --- what is asked ----------------------------------------------------------------------------


def read(body: dict[str, Any], call: Call, state: State) -> Request:
    """Return what a body asks for.

    Raises:
        ApiError: it is not such a request.
    """
    model = models.known(body.get("model"), state)
    pace = state.pace_for(model, call)
    instructions = fields.string(body, "instructions")
    before: tuple[tuple[str, str], ...] = ()
    called: list[str] = []
    previous = fields.string(body, "previous_response_id")
    if previous is not None:
        earlier = state.responses.get(previous)
        if not isinstance(earlier, Made):
            raise ApiError(
                400,
                f"Previous response with id '{previous}' not found.",
                param="previous_response_id",
                code="previous_response_not_found",
            )
        before = (*earlier.request.said_before, ("assistant", earlier.said.text))
        called = [call.id for call, _ in earlier.said.calls]
    items, said, results = _read_input(body)
    _check_calls(called, items)
    conversation = (*before, *said)
    users = [text for role, text in conversation if role == "user"]
    systems = [text for role, text in conversation if role in ("system", "developer")]
    offered = _read_tools(body)
    choice = body.get("tool_choice")
    parallel = body.get("parallel_tool_calls")
    if parallel is not None and not isinstance(parallel, bool):
        raise errors.wrong_type("parallel_tool_calls", "a boolean", parallel)
    form, as_json, schema = _read_format(body, [text for _, text in conversation])
    most = fields.integer(body, "max_output_tokens", least=LEAST_OUTPUT)
    options = fields.optional_object(body, "stream_options")
    include = _read_include(body)
    fields.boolean(body, "store")
    reasoning = fields.optional_object(body, "reasoning") or {}
    service_tier = fields.string(body, "service_tier")
    text = fields.optional_object(body, "text") or {}
    top = fields.integer(body, "top_logprobs", least=0, most=generation.MAX_TOP_LOGPROBS)
    likely = top is not None or "message.output_text.logprobs" in include
    temperature = fields.number(body, "temperature", least=0, most=2)
    top_p = fields.number(body, "top_p", least=0, most=1)
    return Request(
        model=model,
        conversation=Conversation(
            prompt=users[-1] if users else (said[-1][1] if said else ""),
            system="\n".join(filter(None, [instructions, *systems])),
            results=results,
        ),
        wanted=Wanted(
            tools=offered,
            choice=tools.read_choice(choice, offered, _chosen_name(choice), "tool_choice.name"),
            parallel=parallel is not False,
            as_json=as_json,
            schema=schema,
            limits=generation.read_limits(body, most, pace.tokens),
            appendix=call.appendix,
        ),
        input_tokens=tokens.count_prompt(
            [*([instructions] if instructions else []), *(text for _, text in conversation)]
        ),
        top_logprobs=(top or 0) if likely else None,
        obfuscate=chat.stream_option(options, "include_obfuscation"),
        pace=pace,
        items=items,
        said_before=conversation,
        repeated={
            "background": fields.boolean(body, "background"),
            "instructions": instructions,
            "max_output_tokens": most,
            "max_tool_calls": fields.integer(body, "max_tool_calls", least=1),
            "metadata": fields.metadata(body),
            "parallel_tool_calls": parallel is not False,
            "previous_response_id": previous,
            "prompt_cache_key": fields.string(body, "prompt_cache_key"),
            "reasoning": {
                "effort": fields.string(reasoning, "effort", "reasoning.effort"),
                "summary": fields.string(reasoning, "summary", "reasoning.summary"),
            },
            "safety_identifier": fields.string(body, "safety_identifier"),
            "service_tier": "default" if service_tier in (None, "auto") else service_tier,
            "temperature": 1.0 if temperature is None else temperature,
            "text": {
                "format": form,
                "verbosity": fields.string(text, "verbosity", "text.verbosity") or "medium",
            },
            "tool_choice": "auto" if choice is None else choice,
            "tools": _repeated_tools(body),
            "top_logprobs": top or 0,
            "top_p": 1.0 if top_p is None else top_p,
            "truncation": fields.string(body, "truncation") or "disabled",
            "user": fields.string(body, "user"),
        },
    )


def _read_include(body: dict[str, Any]) -> list[str]:
    if body.get("include") is None:
        return []
    include = fields.array(body, "include")
    for at, name in enumerate(include):
        if not isinstance(name, str):
            raise errors.wrong_type(f"include[{at}]", "a string", name)
    return include


def _read_input(
    body: dict[str, Any],
) -> tuple[list[dict[str, Any]], list[tuple[str, str]], tuple[str, ...]]:
    """Return the input as items, as roles and texts, and the tools' answers it ends with."""
    value = body.get("input")
    if value is None:
        raise errors.missing("input")
    if isinstance(value, str):
        value = [{"role": "user", "content": value}]
    if not isinstance(value, list):
        raise errors.wrong_type("input", "one of a string or array of objects", value)
    if not value:
        raise fields.empty_array("input")
    items: list[dict[str, Any]] = []
    said: list[tuple[str, str]] = []
    results: list[str] = []
    for at, item in enumerate(value):
        where = f"input[{at}]"
        if not isinstance(item, dict):
            raise errors.wrong_type(where, "an object", item)
        kind = item.get("type", "message")
        if not isinstance(kind, str):
            raise errors.wrong_type(f"{where}.type", "a string", kind)
        if kind == "message":
            results = []
            role = item.get("role")
            if role is None:
                raise errors.missing(f"{where}.role")
            if role not in ROLES:
                raise errors.unsupported_value(f"{where}.role", role, ROLES)
            if item.get("content") is None:
                raise errors.missing(f"{where}.content")
            text = chat.content_text(item["content"], f"{where}.content", PARTS)
            said.append((role, text))
            items.append(_message_item(role, item["content"]))
        elif kind == "function_call_output":
            if not isinstance(item.get("call_id"), str):
                raise errors.missing(f"{where}.call_id")
            if item.get("output") is None:
                raise errors.missing(f"{where}.output")
            text = chat.content_text(item["output"], f"{where}.output", PARTS)
            results.append(text)
            said.append(("tool", text))
            items.append(_sent_item(item, kind))
        else:  # an earlier call, reasoning, a reference: taken, and changes nothing
            if kind == "function_call" and not isinstance(item.get("call_id"), str):
                raise errors.missing(f"{where}.call_id")
            items.append(_sent_item(item, kind))
    return items, said, tuple(results)


def _sent_item(item: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return an item of the input as it is listed: as it was sent, with an id and a status."""
    known = {name: value for name, value in item.items() if value is not None}
    given = f"{ID_PREFIXES.get(kind, 'item')}_{secrets.token_hex(24)}"
    return {"id": given, "status": "completed", **known, "type": kind}


def _message_item(role: str, content: str | list[dict[str, Any]]) -> dict[str, Any]:
    if isinstance(content, str):
        said = "output_text" if role == "assistant" else "input_text"
        content = [{"type": said, "text": content}]
    parts = [{**PART_DEFAULTS.get(part["type"], {}), **part} for part in content]
    return _sent_item({"role": role, "content": parts}, "message")


def _check_calls(called: list[str], items: list[dict[str, Any]]) -> None:
    """See to it that the input answers all calls that were made, and no others.

    `called`: the ids of those that the response made from which this one goes on.
    """
    made = (item["call_id"] for item in items if item["type"] == "function_call")
    asked = dict.fromkeys([*called, *made])
    answered = dict.fromkeys(
        item["call_id"] for item in items if item["type"] == "function_call_output"
    )
    # A reference may be to a call. What it refers to is not looked up.
    referred = any(item["type"] == "item_reference" for item in items)
    for call in answered:
        if call not in asked and not referred:
            raise ApiError(
                400,
                f"No tool call found for function call output with call_id {call}.",
                param="input",
            )
    for call in asked:
        if call not in answered:
            raise ApiError(400, f"No tool output found for function call {call}.", param="input")


def _read_format(
    body: dict[str, Any], texts: list[str]
) -> tuple[dict[str, Any], bool, dict[str, Any] | None]:
    text = fields.optional_object(body, "text") or {}
    wanted = text.get("format")
    if wanted is None:
        return {"type": "text"}, False, None
    if not isinstance(wanted, dict):
        raise errors.wrong_type("text.format", "an object", wanted)
    kind = wanted.get("type")
    if kind == "text":
        return {"type": "text"}, False, None
    if kind == "json_object":
        if not any("json" in said.lower() for said in texts):
            raise ApiError(
                400,
                "Response input messages must contain the word 'json' in some form to use "
                "'text.format' of type 'json_object'.",
                param="input",
            )
        return {"type": "json_object"}, True, None
    if kind != "json_schema":
        raise errors.unsupported_value(
            "text.format.type", kind, ("json_object", "json_schema", "text")
        )
    schema = chat.read_schema(wanted, "text.format")
    strict = wanted.get("strict")
    if strict is True:
        said = f"Invalid schema for response_format '{wanted['name']}'"
        tools.check_strict(schema, said, "text.format.schema", "invalid_json_schema")
    form = {
        "type": "json_schema",
        "name": wanted["name"],
        "schema": schema,
        "strict": strict if isinstance(strict, bool) else True,
    }
    return form, True, schema


def _read_tools(body: dict[str, Any]) -> tuple[tools.Tool, ...]:
    if body.get("tools") is None:
        return ()
    found = []
    for at, tool in enumerate(fields.array(body, "tools")):
        where = f"tools[{at}]"
        if not isinstance(tool, dict):
            raise errors.wrong_type(where, "an object", tool)
        kind = tool.get("type")
        if kind is None:
            raise errors.missing(f"{where}.type")
        if kind == "function":
            found.append(tools.read_tool(tool, where))
        elif kind not in HOSTED_TOOLS:
            raise errors.unsupported_value(f"{where}.type", kind, ("function", *HOSTED_TOOLS))
    return tuple(found)


def _repeated_tools(body: dict[str, Any]) -> list[dict[str, Any]]:
    repeated = []
    for tool in body.get("tools") or []:
        if tool["type"] == "function":
            strict = tool.get("strict")
            tool = {
                "type": "function",
                "name": tool["name"],
                "description": tool.get("description"),
                "parameters": tool.get("parameters"),
                "strict": strict if isinstance(strict, bool) else True,
            }
        repeated.append(tool)
    return repeated


def _chosen_name(choice: Any) -> Any:
    return choice.get("name") if isinstance(choice, dict) else None


# --- what is answered -------------------------------------------------------------------------


def _response(made: Made, status: str) -> dict[str, Any]:
    """Return the response object as it stands in a given status."""
    request, said = made.request, made.said
    ended = status in ("completed", "incomplete")
    output = [_item(made, at, _item_status(made, at)) for at in range(_count(made))]
    return {
        "id": made.id,
        "object": "response",
        "created_at": made.created,
        "completed_at": _completed_at(made) if status == "completed" else None,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "model": request.model,
        "output": output if ended else [],
        "usage": _usage(request.input_tokens, said.tokens) if ended else None,
        **request.repeated,
    }


def _completed_at(made: Made) -> int:
    """Return when its last token was due: the same each time it is told."""
    return made.created + int(made.request.pace.total(made.said.tokens))


def _usage(input_tokens: int, output_tokens: int) -> dict[str, Any]:
    return {
        "input_tokens": input_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": input_tokens + output_tokens,
    }


def _count(made: Made) -> int:
    return len(made.said.calls) or 1


def _item_status(made: Made, at: int) -> str:
    cut = made.said.finish == "length" and at == _count(made) - 1
    return "incomplete" if cut else "completed"


def _item(made: Made, at: int, status: str) -> dict[str, Any]:
    """Return an item of the output: the message, or one of the calls."""
    begun = status != "in_progress"
    if made.said.calls:
        call, _ = made.said.calls[at]
        return {
            "id": made.item_ids[at],
            "type": "function_call",
            "status": status,
            "arguments": call.arguments if begun else "",
            "call_id": call.id,
            "name": call.name,
        }
    return {
        "id": made.item_ids[at],
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": [_text_part(made, made.said.text, whole_text=True)] if begun else [],
    }


def _text_part(made: Made, text: str, *, whole_text: bool) -> dict[str, Any]:
    likely = _logprobs(made.request, made.said.pieces) if whole_text else []
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": likely}


def _logprobs(request: Request, pieces: list[str], first: int = 0) -> list[dict[str, Any]]:
    if request.top_logprobs is None:
        return []
    return [
        generation.chat_logprob(piece, first + place, request.top_logprobs)
        for place, piece in enumerate(pieces)
    ]


def _brief_logprobs(request: Request, pieces: list[str], first: int = 0) -> list[dict[str, Any]]:
    """Return log probabilities as the events of a stream give them: without the bytes."""
    return [
        {
            "token": entry["token"],
            "logprob": entry["logprob"],
            "top_logprobs": [
                {"token": other["token"], "logprob": other["logprob"]}
                for other in entry["top_logprobs"]
            ],
        }
        for entry in _logprobs(request, pieces, first)
    ]


def _counted(events: Iterator[Event], finished: Any) -> Iterator[Event]:
    """Yield the events; before the last one, note that the response is complete."""
    held = next(events)
    for event in events:
        yield held
        held = event
    finished()
    yield held


def _events(made: Made, state: State) -> Iterator[Event]:
    """Yield a response's events, each with its number and its own type, until it is cancelled."""
    for sequence, (turn, count, kind, fact) in enumerate(_facts(made)):
        if sequence >= BEGUN:
            now = state.responses.get(made.id)
            if isinstance(now, Made) and now.cancelled:
                return
        event = {"type": kind, "sequence_number": sequence, **fact}
        yield turn, count, b"event: " + kind.encode() + b"\ndata: " + dump(event) + b"\n\n"


def _facts(made: Made) -> Iterator[tuple[int, int, str, dict[str, Any]]]:
    yield 0, 0, "response.created", {"response": _response(made, "in_progress")}
    yield 0, 0, "response.in_progress", {"response": _response(made, "in_progress")}
    turn = 0
    for at in range(_count(made)):
        added = {"output_index": at, "item": _item(made, at, "in_progress")}
        # A call's name is a token too, and comes with the item.
        yield turn, int(bool(made.said.calls)), "response.output_item.added", added
        if made.said.calls:
            for event in _call_facts(made, at, turn):
                turn = event[0]
                yield event
            turn += 1
        else:
            for event in _text_facts(made, turn):
                turn = event[0]
                yield event
        done = {"output_index": at, "item": _item(made, at, _item_status(made, at))}
        yield max(0, turn - bool(made.said.calls)), 0, "response.output_item.done", done
    status = _final(made)
    last = max(0, made.said.tokens - 1)
    yield last, 0, f"response.{status}", {"response": _response(made, status)}


def _text_facts(made: Made, turn: int) -> Iterator[tuple[int, int, str, dict[str, Any]]]:
    request, said = made.request, made.said
    where = {"item_id": made.item_ids[0], "output_index": 0, "content_index": 0}
    part = _text_part(made, "", whole_text=False)
    yield turn, 0, "response.content_part.added", {**where, "part": part}
    for turn, piece in enumerate(said.pieces):
        delta = {**where, "delta": piece, "logprobs": _brief_logprobs(request, [piece], turn)}
        if request.obfuscate:
            delta["obfuscation"] = chat.padding(piece)
        yield turn, 1, "response.output_text.delta", delta
    likely = _brief_logprobs(request, said.pieces)
    yield turn, 0, "response.output_text.done", {**where, "text": said.text, "logprobs": likely}
    part = _text_part(made, said.text, whole_text=True)
    yield turn, 0, "response.content_part.done", {**where, "part": part}


def _call_facts(made: Made, at: int, turn: int) -> Iterator[tuple[int, int, str, dict[str, Any]]]:
    call, pieces = made.said.calls[at]
    where = {"item_id": made.item_ids[at], "output_index": at}
    for piece in pieces:
        turn += 1
        yield turn, 1, "response.function_call_arguments.delta", {**where, "delta": piece}
    done = {**where, "arguments": call.arguments}
    yield turn, 0, "response.function_call_arguments.done", done
