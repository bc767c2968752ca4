"""The Responses API: the wire shapes of `/v1/responses`, one-shot, streamed and in the background.

Event order and required fields follow `openai.types.responses` (3.54) and what the SDK's own
`.stream()` helper insists on.
"""

import base64
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

from helpers.mock_server.api import chat, files, models, scripted
from helpers.mock_server.content import generation, talk, tokens, tools
from helpers.mock_server.content.talk import Conversation, Said, Wanted
from helpers.mock_server.control.state import State
from helpers.mock_server.protocol import errors, fields
from helpers.mock_server.protocol.answers import Answer, Call, Event, Stream, Whole, dump, whole
from helpers.mock_server.protocol.errors import ApiError
from helpers.mock_server.protocol.pacing import NO_DELAY, Pace

if TYPE_CHECKING:
    from helpers.mock_server.content.scripts import Usage

LEAST_OUTPUT = 16
"""The smallest `max_output_tokens` that OpenAI takes."""

HOSTED_TOOLS = (
    "file_search",
    "web_search",
    "web_search_preview",
    "code_interpreter",
    "image_generation",
    "mcp",
    "computer",
    "computer_use_preview",
    "local_shell",
    "shell",
    "apply_patch",
    "tool_search",
    "programmatic_tool_calling",
    "namespace",
)
"""Tools that OpenAI runs, or has a protocol of its own for. They are taken, and never called; with
a date at the end of the name too, such as `web_search_2025_08_26`."""

DATED = re.compile(r"_\d{4}_\d{2}_\d{2}$")

CALLS = ("function_call", "custom_tool_call")
CALL_OUTPUTS = ("function_call_output", "custom_tool_call_output")

MAX_PAGE = 100
"""Input items listed at once, as at OpenAI."""

TOKEN_BYTES = 64
"""What a token of a reply takes in memory: a string of its own, and its place in a list."""

BEGUN = 2
"""Events that say that a response has begun: what is left to tell of one that was cancelled."""

TELLINGS = 5
"""How often a stream tells each log probability: with its token, then in four last events."""

COMPACTED = 16
"""Tokens that an item of compacted text is said to take: nothing of the text is in it."""
INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Why a response is not complete, by the finish reason that chat has for it."""

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
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "reasoning": "rs",
}

PART_DEFAULTS: dict[str, dict[str, Any]] = {
    "output_text": {"annotations": [], "logprobs": []},
    "input_image": {"detail": "auto"},
}
"""What is listed with a part of a message that was sent without."""


@dataclass(slots=True)
class Thread:
    """A conversation, and its items so far."""

    id: str
    created: int
    metadata: dict[str, str]
    items: list[dict[str, Any]]
    size: int = 0
    """Bytes of its items, roughly."""

    def take_up(self, items: list[dict[str, Any]], state: State) -> None:
        """Add items at its end."""
        self.items += items
        self.size += sum(len(dump(item)) for item in items)
        state.conversations.put(self.id, self, self.size)


def kept_thread(key: str, state: State, param: str | None) -> Thread:
    """Return a conversation by its id.

    Raises:
        ApiError: 404.
    """
    thread = state.conversations.get(key)
    if not isinstance(thread, Thread):
        raise ApiError(404, f"Conversation with id '{key}' not found.", param=param)
    return thread


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
    thread: Thread | None = None
    """The conversation that it goes on with."""


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
    script = scripted.find(
        call,
        state,
        model=request.model,
        conversation=request.conversation,
        wanted=request.wanted,
        pace=request.pace,
        stream=fields.boolean(body, "stream"),
    )
    if isinstance(script, Whole | Stream):
        return script
    if script is not None:
        request = replace(request, pace=script.at(request.pace))
    said = talk.say(request.conversation, request.wanted, script=script)
    generation.check_likely(TELLINGS * len(said.pieces), request.top_logprobs)
    made = Made(
        id=f"resp_{secrets.token_hex(24)}",
        created=int(time.time()),
        request=request,
        said=said,
        item_ids=tuple(
            f"{ID_PREFIXES[kind]}_{secrets.token_hex(24)}" for kind, _ in _outputs(said)
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
        _go_on(made, state)
    if fields.boolean(body, "stream"):

        def finished() -> None:
            if keep and not made.background:
                kept.put(made.id, made, made.size)
            if kept is state.responses and not made.background:
                _go_on(made, state)

        return Stream(
            _counted(_events(made, state), finished),
            pace=request.pace,
            tokens=said.tokens,
            model=request.model,
            prompt_tokens=request.input_tokens,
            holds=said.holds,
        )
    if made.background:
        return whole(
            _response(made, "queued"), model=request.model, prompt_tokens=request.input_tokens
        )
    if keep:
        state.responses.put(made.id, made, made.size)
    _go_on(made, state)
    return whole(
        _response(made, _final(made)),
        pace=request.pace,
        turns=said.tokens,
        tokens=said.tokens,
        model=request.model,
        prompt_tokens=request.input_tokens,
        holds=said.holds,
    )


def _go_on(made: Made, state: State) -> None:
    """Add what was asked and answered to the conversation, unless it was deleted meanwhile."""
    thread = made.request.thread
    if thread is None:
        return
    kept: object = state.conversations.get(thread.id)
    if kept is thread:
        thread.take_up([*made.request.items, *_output(made)], state)


def count_input(call: Call, state: State) -> Answer:
    """Answer `POST /v1/responses/input_tokens`."""
    body = {"model": models.DEFAULT[0], "input": " ", **fields.json_object(call.body or b"{}")}
    counted = read(body, call, state).input_tokens
    return whole({"object": "response.input_tokens", "input_tokens": counted})


def compact(call: Call, state: State) -> Answer:
    """Answer `POST /v1/responses/compact`: the users' messages, and one item for the rest."""
    request = read(fields.json_object(call.body), call, state)
    users = [item for item in request.items if item.get("role") == "user"]
    sealed = base64.b64encode(secrets.token_bytes(48)).decode()
    rest = {
        "id": f"cmp_{secrets.token_hex(24)}",
        "type": "compaction",
        "encrypted_content": sealed,
    }
    return whole(
        {
            "id": f"resp_{secrets.token_hex(24)}",
            "object": "response.compaction",
            "created_at": int(time.time()),
            "output": [*users, rest],
            "usage": _usage(request.input_tokens, COMPACTED),
        },
        pace=request.pace,
        turns=COMPACTED,
        tokens=COMPACTED,
        model=request.model,
        prompt_tokens=request.input_tokens,
    )


def retrieve(call: Call, state: State) -> Answer:
    """Answer `GET /v1/responses/{id}`; with `?stream=true`, its events once more."""
    made = _kept(call, state)
    if call.query.get("stream") != "true":
        response = _response(made, _status(made))
        return whole(response, model=made.request.model, holds=made.said.holds)
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
        holds=made.said.holds,
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
    return "incomplete" if made.said.finish in INCOMPLETE else "completed"


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
    names: frozenset[str] = frozenset()
    turns = 0
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
        turns = earlier.request.conversation.turn
        called = [call.id for call, _ in earlier.said.calls]
        names = earlier.request.conversation.called | {call.name for call, _ in earlier.said.calls}
    thread = _read_thread(body, state)
    held = [] if thread is None else thread.items
    if held:
        before = tuple(read_input(held)[1])
    items, said, results = read_input(_given_input(body, state))
    _check_calls(called, [*held, *items])
    conversation = (*before, *said)
    users = [text for role, text in conversation if role == "user"]
    systems = [text for role, text in conversation if role in ("system", "developer")]
    offered, choice = _read_tools(body)
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
            last=said[-1][1] if said else "",
            turn=1 + turns + count_turns([*held, *items]),
            called=_called([*held, *items], names),
        ),
        wanted=Wanted(
            tools=offered,
            choice=choice,
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
        thread=thread,
        repeated={
            "background": fields.boolean(body, "background"),
            "conversation": None if thread is None else {"id": thread.id},
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
            "tool_choice": "auto" if body.get("tool_choice") is None else body["tool_choice"],
            "tools": _repeated_tools(body),
            "top_logprobs": top or 0,
            "top_p": 1.0 if top_p is None else top_p,
            "truncation": fields.string(body, "truncation") or "disabled",
            "user": fields.string(body, "user"),
        },
    )


def _read_thread(body: dict[str, Any], state: State) -> Thread | None:
    """Return the conversation that a body names, by its id or as an object with its id."""
    named = body.get("conversation")
    if named is None:
        return None
    key = named.get("id") if isinstance(named, dict) else named
    if not isinstance(key, str):
        raise errors.wrong_type("conversation", "one of a string or object with an id", named)
    if body.get("previous_response_id") is not None:
        raise ApiError(
            400,
            "Mutually exclusive parameters: 'previous_response_id' and 'conversation'. Ensure you "
            "are only providing one of them.",
            param="conversation",
            code="mutually_exclusive_parameters",
        )
    return kept_thread(key, state, "conversation")


def read_items(given: list[Any], name: str, state: State) -> list[dict[str, Any]]:
    """Return items that a field of this name brings, as they are listed: with ids.

    Raises:
        ApiError: one of them is no item.
    """
    try:
        return read_input(_looked_up(given, state))[0]
    except ApiError as error:
        param = error.param and error.param.replace("input", name, 1)
        message = error.message.replace("'input", f"'{name}", 1)
        raise ApiError(error.status, message, param=param, code=error.code) from None


def _read_include(body: dict[str, Any]) -> list[str]:
    if body.get("include") is None:
        return []
    include = fields.array(body, "include")
    for at, name in enumerate(include):
        if not isinstance(name, str):
            raise errors.wrong_type(f"include[{at}]", "a string", name)
    return include


def _given_input(body: dict[str, Any], state: State) -> list[Any]:
    """Return what a body brings as input, with the items in the place of references to them.

    Raises:
        ApiError: there is none, and nothing to go on with; or an item that is not known.
    """
    prompt = fields.optional_object(body, "prompt")
    if prompt is not None:
        key = fields.string(prompt, "id", "prompt.id")
        if key is None:
            raise errors.missing("prompt.id")
        # Prompts are made on OpenAI's pages: there are none here.
        raise ApiError(404, f"Prompt with id '{key}' not found.")
    value = body.get("input")
    if value in (None, "", []):
        if body.get("previous_response_id") is None and body.get("conversation") is None:
            raise ApiError(
                400,
                "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation_id' "
                "must be provided.",
                code="missing_required_parameter",
            )
        return []
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if not isinstance(value, list):
        raise errors.wrong_type("input", "one of a string or array of objects", value)
    return _looked_up(value, state)


def _looked_up(given: list[Any], state: State) -> list[Any]:
    """Return items, with those that are kept in the place of references to them.

    Raises:
        ApiError: 404, one is not kept.
    """
    items = []
    for at, item in enumerate(given):
        if isinstance(item, dict) and item.get("type") == "item_reference":
            if not isinstance(item.get("id"), str):
                raise errors.missing(f"input[{at}].id")
            item = _kept_item(item["id"], state)
        items.append(item)
    return items


def _kept_item(key: str, state: State) -> dict[str, Any]:
    for thread in state.conversations.newest_first():
        for item in thread.items:
            if item["id"] == key:
                return dict(item)
    for made in state.responses.newest_first():
        if key in made.item_ids:
            return dict(_output(made)[made.item_ids.index(key)])
        for item in made.request.items:
            if item["id"] == key:
                return dict(item)
    raise ApiError(
        404,
        f"Item with id '{key}' not found. Items are not persisted when `store` is set to false. "
        "Try again with `store` set to true, or remove this item from your input.",
        param="input",
    )


def read_input(
    value: list[Any],
) -> tuple[list[dict[str, Any]], list[tuple[str, str]], tuple[str, ...]]:
    """Return the input as items, as roles and texts, and the tools' answers it ends with."""
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
            items.append(_message_item(item, role))
        elif kind in CALL_OUTPUTS:
            if not isinstance(item.get("call_id"), str):
                raise errors.missing(f"{where}.call_id")
            if item.get("output") is None:
                raise errors.missing(f"{where}.output")
            text = chat.content_text(item["output"], f"{where}.output", PARTS)
            results.append(text)
            said.append(("tool", text))
            items.append(_sent_item(item, kind))
        else:  # an earlier call, reasoning, a reference: taken, and changes nothing
            if kind in CALLS and not isinstance(item.get("call_id"), str):
                raise errors.missing(f"{where}.call_id")
            items.append(_sent_item(item, kind))
    return items, said, tuple(results)


def count_turns(items: list[dict[str, Any]]) -> int:
    """Return the turns of the model's in the input: what it says and calls in a row is one."""
    mine = [
        item["type"] in (*CALLS, "reasoning") or item.get("role") == "assistant" for item in items
    ]
    return sum(now and not before for before, now in pairwise([False, *mine]))


def _called(items: list[dict[str, Any]], before: frozenset[str]) -> frozenset[str]:
    """Return the names of the tools called since the user last spoke, those `before` included."""
    names = before
    for item in items:
        if item["type"] == "message" and item["role"] == "user":
            names = frozenset()
        elif item["type"] in CALLS and isinstance(item.get("name"), str):
            names |= {item["name"]}
    return names


def _sent_item(item: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return an item of the input as it is listed: as it was sent, with an id and a status."""
    known = {name: value for name, value in item.items() if value is not None}
    given = f"{ID_PREFIXES.get(kind, 'item')}_{secrets.token_hex(24)}"
    return {"id": given, "status": "completed", **known, "type": kind}


def _message_item(item: dict[str, Any], role: str) -> dict[str, Any]:
    content = item["content"]
    if isinstance(content, str):
        said = "output_text" if role == "assistant" else "input_text"
        content = [{"type": said, "text": content}]
    parts = [{**PART_DEFAULTS.get(part["type"], {}), **part} for part in content]
    return _sent_item({"id": item.get("id"), "role": role, "content": parts}, "message")


def _check_calls(called: list[str], items: list[dict[str, Any]]) -> None:
    """See to it that the input answers all calls that were made, and no others.

    `called`: the ids of those that the response made from which this one goes on.
    """
    made = (item["call_id"] for item in items if item["type"] in CALLS)
    asked = dict.fromkeys([*called, *made])
    answered = dict.fromkeys(item["call_id"] for item in items if item["type"] in CALL_OUTPUTS)
    for call in answered:
        if call not in asked:
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


def _read_tools(body: dict[str, Any]) -> tuple[tuple[tools.Tool, ...], tools.Choice]:
    found = []
    given = [] if body.get("tools") is None else fields.array(body, "tools")
    for at, tool in enumerate(given):
        where = f"tools[{at}]"
        if not isinstance(tool, dict):
            raise errors.wrong_type(where, "an object", tool)
        kind = tool.get("type")
        if kind is None:
            raise errors.missing(f"{where}.type")
        if kind == "function":
            found.append(tools.read_tool(tool, where))
        elif kind == "custom":
            found.append(tools.read_custom(tool, where))
        elif DATED.sub("", str(kind)) not in HOSTED_TOOLS:
            known = (*tools.CALLED, *HOSTED_TOOLS)
            raise errors.unsupported_value(f"{where}.type", kind, known)
    offered, choice = tuple(found), body.get("tool_choice")
    name = choice.get("name") if isinstance(choice, dict) else None
    hosted = len(given) > len(found)
    return offered, tools.read_choice(choice, offered, name, "tool_choice.name", hosted=hosted)


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


# --- what is answered -------------------------------------------------------------------------


def _response(made: Made, status: str) -> dict[str, Any]:
    """Return the response object as it stands in a given status."""
    request, said = made.request, made.said
    ended = status in ("completed", "incomplete")
    return {
        "id": made.id,
        "object": "response",
        "created_at": made.created,
        "completed_at": _completed_at(made) if status == "completed" else None,
        "status": status,
        "error": None,
        "incomplete_details": (
            {"reason": INCOMPLETE[said.finish]} if status == "incomplete" else None
        ),
        "model": request.model,
        "output": _output(made) if ended else [],
        "usage": (
            _usage(request.input_tokens, said.tokens, len(said.reasoning), said.usage)
            if ended
            else None
        ),
        **request.repeated,
    }


def _output(made: Made) -> list[dict[str, Any]]:
    return [_item(made, at, _item_status(made, at)) for at in range(len(made.item_ids))]


def _completed_at(made: Made) -> int:
    """Return when its last token was due: the same each time it is told."""
    return made.created + int(made.request.pace.total(made.said.tokens))


def _usage(
    prompt_tokens: int, written: int, reasoned: int = 0, said: "Usage | None" = None
) -> dict[str, Any]:
    cost = talk.cost(prompt_tokens, written, reasoned, said)
    return {
        "input_tokens": cost.prompt_tokens,
        "input_tokens_details": {"cached_tokens": cost.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": cost.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": cost.reasoning_tokens},
        "total_tokens": cost.prompt_tokens + cost.completion_tokens,
    }


def _outputs(said: Said) -> list[tuple[str, int]]:
    """Return the output's items: their types, and for a call which of the calls it is."""
    found = [("reasoning", 0)] if said.reasoning else []
    if said.pieces or not said.calls:
        found.append(("message", 0))
    return found + [
        ("custom_tool_call" if call.custom else "function_call", at)
        for at, (call, _) in enumerate(said.calls)
    ]


def _item_status(made: Made, at: int) -> str:
    cut = made.said.finish in INCOMPLETE and at == len(made.item_ids) - 1
    return "incomplete" if cut else "completed"


def _item(made: Made, at: int, status: str) -> dict[str, Any]:
    """Return an item of the output: the reasoning, the message, or one of the calls."""
    begun = status != "in_progress"
    kind, place = _outputs(made.said)[at]
    if kind == "reasoning":
        thought = {"type": "summary_text", "text": "".join(made.said.reasoning)}
        return {"id": made.item_ids[at], "type": kind, "summary": [thought] if begun else []}
    if kind == "function_call":
        call, _ = made.said.calls[place]
        return {
            "id": made.item_ids[at],
            "type": "function_call",
            "status": status,
            "arguments": call.arguments if begun else "",
            "call_id": call.id,
            "name": call.name,
        }
    if kind == "custom_tool_call":  # it has no status, as at OpenAI
        call, _ = made.said.calls[place]
        return {
            "id": made.item_ids[at],
            "type": kind,
            "input": call.arguments if begun else "",
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
    if made.said.refuses:
        return {"type": "refusal", "refusal": text}
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


def _facts(made: Made) -> "Iterator[Fact]":
    yield 0, 0, "response.created", {"response": _response(made, "in_progress")}
    yield 0, 0, "response.in_progress", {"response": _response(made, "in_progress")}
    turn = 0
    for at, (kind, place) in enumerate(_outputs(made.said)):
        added = {"output_index": at, "item": _item(made, at, "in_progress")}
        # A call's name is a token too, and comes with the item.
        is_call = kind in CALLS
        yield turn, int(is_call), "response.output_item.added", added
        where = {"item_id": made.item_ids[at], "output_index": at}
        if is_call:
            facts = _call_facts(made, place, where, turn + 1)
        elif kind == "reasoning":
            facts = _reasoning_facts(made, where, turn)
        else:
            facts = _text_facts(made, where, turn)
        before = turn
        turn += is_call
        for event in facts:
            turn += event[1]
            yield event
        done = {"output_index": at, "item": _item(made, at, _item_status(made, at))}
        yield max(before, turn - 1), 0, "response.output_item.done", done
    status = _final(made)
    last = max(0, made.said.tokens - 1)
    yield last, 0, f"response.{status}", {"response": _response(made, status)}


Fact: TypeAlias = tuple[int, int, str, dict[str, Any]]
"""Which turn an event waits for, how many tokens it carries, its type, and what it says."""


def _reasoning_facts(made: Made, where: dict[str, Any], first: int) -> Iterator[Fact]:
    turn = first
    where = {**where, "summary_index": 0}
    kind = "response.reasoning_summary"
    part = {"type": "summary_text", "text": ""}
    yield turn, 0, f"{kind}_part.added", {**where, "part": part}
    for turn, piece in enumerate(made.said.reasoning, first):
        yield turn, 1, f"{kind}_text.delta", {**where, "delta": piece}
    text = "".join(made.said.reasoning)
    yield turn, 0, f"{kind}_text.done", {**where, "text": text}
    yield turn, 0, f"{kind}_part.done", {**where, "part": {**part, "text": text}}


def _text_facts(made: Made, where: dict[str, Any], first: int) -> Iterator[Fact]:
    turn = first
    request, said = made.request, made.said
    where = {**where, "content_index": 0}
    kind = "response.refusal" if said.refuses else "response.output_text"
    part = _text_part(made, "", whole_text=False)
    yield turn, 0, "response.content_part.added", {**where, "part": part}
    for turn, piece in enumerate(said.pieces, first):
        delta = {**where, "delta": piece}
        if not said.refuses:
            delta["logprobs"] = _brief_logprobs(request, [piece], turn - first)
        if request.obfuscate:
            delta["obfuscation"] = chat.padding(piece)
        yield turn, 1, f"{kind}.delta", delta
    if said.refuses:
        told: dict[str, Any] = {"refusal": said.text}
    else:
        told = {"text": said.text, "logprobs": _brief_logprobs(request, said.pieces)}
    yield turn, 0, f"{kind}.done", {**where, **told}
    part = _text_part(made, said.text, whole_text=True)
    yield turn, 0, "response.content_part.done", {**where, "part": part}


def _call_facts(made: Made, place: int, where: dict[str, Any], first: int) -> Iterator[Fact]:
    call, pieces = made.said.calls[place]
    last = first - 1
    kind, told = "response.function_call_arguments", {"arguments": call.arguments}
    if call.custom:
        kind, told = "response.custom_tool_call_input", {"input": call.arguments}
    for last, piece in enumerate(pieces, first):
        yield last, 1, f"{kind}.delta", {**where, "delta": piece}
    yield last, 0, f"{kind}.done", {**where, **told}
