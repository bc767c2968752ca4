"""The Responses API: the wire shapes of `/v1/responses`, one-shot, streamed and in the background.

Event order and required fields follow `openai.types.responses` (3.54) and what the SDK's own
`.stream()` helper insists on.
"""

import base64
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from typing import Any, TypeAlias

from helpers.mock_server.api import chat, files, models, requests, scripted
from helpers.mock_server.api.requests import CALL_OUTPUTS, CALLS
from helpers.mock_server.content import generation, talk, tokens
from helpers.mock_server.content.scripts import Usage
from helpers.mock_server.content.talk import Conversation, Said, Wanted
from helpers.mock_server.control.state import State
from helpers.mock_server.protocol import errors, fields
from helpers.mock_server.protocol.answers import Answer, Call, Event, Stream, Whole, dump, whole
from helpers.mock_server.protocol.errors import ApiError
from helpers.mock_server.protocol.pacing import NO_DELAY, Pace

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

    body: requests.Response
    model: str
    conversation: Conversation
    wanted: Wanted
    input_tokens: int
    top_logprobs: int | None
    """How many alternatives to list for each token; None for no log probabilities."""
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
    request = read(fields.json_object(call.body), call, state)
    body = request.body
    script = scripted.find(
        call,
        state,
        model=request.model,
        conversation=request.conversation,
        wanted=request.wanted,
        pace=request.pace,
        stream=bool(body.stream),
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
    keep = body.store is not False
    kept = state.responses  # a reset puts another in its place, where this response has no part
    if made.background:
        if not keep:
            raise errors.invalid("background", "Background responses require 'store' to be true.")
        state.responses.put(made.id, made, made.size)
        _go_on(made, state)
    if body.stream:

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


def read(sent: dict[str, Any], call: Call, state: State) -> Request:
    """Return what a body that was `sent` asks for.

    Raises:
        ApiError: it is not such a request.
    """
    body = fields.read(requests.Response, sent)
    model = models.known(body.model, state)
    pace = state.pace_for(model, call)
    before: tuple[tuple[str, str], ...] = ()
    called: list[str] = []
    names: frozenset[str] = frozenset()
    turns = 0
    previous = body.previous_response_id
    if previous is not None:
        earlier = state.responses.get(previous)
        if not isinstance(earlier, Made):
            raise errors.invalid(
                "previous_response_id",
                f"Previous response with id '{previous}' not found.",
                "previous_response_not_found",
            )
        before = (*earlier.request.said_before, ("assistant", earlier.said.text))
        turns = earlier.request.conversation.turn
        called = [call.id for call, _ in earlier.said.calls]
        names = earlier.request.conversation.called | {call.name for call, _ in earlier.said.calls}
    thread = _thread(body, state)
    held = [] if thread is None else thread.items
    if held:
        before = tuple(read_input(held)[1])
    items, said, results = read_input(_given_input(body, state))
    _check_calls(called, [*held, *items])
    conversation = (*before, *said)
    users = [text for role, text in conversation if role == "user"]
    systems = [text for role, text in conversation if role in ("system", "developer")]
    offered = tuple(
        tool.tool for tool in body.tools or () if not isinstance(tool, requests.HostedTool)
    )
    form = _format(body, [text for _, text in conversation])
    likely = body.top_logprobs is not None or "message.output_text.logprobs" in (body.include or ())
    reasoning = body.reasoning or requests.Reasoning()
    text = body.text or requests.TextOptions()
    return Request(
        body=body,
        model=model,
        conversation=Conversation(
            prompt=users[-1] if users else (said[-1][1] if said else ""),
            system="\n".join(filter(None, [body.instructions, *systems])),
            results=results,
            last=said[-1][1] if said else "",
            turn=1 + turns + count_turns([*held, *items]),
            called=_called([*held, *items], names),
        ),
        wanted=Wanted(
            tools=offered,
            choice=requests.choice_of(body.tool_choice, offered, hosted=bool(body.tools)),
            parallel=body.parallel_tool_calls is not False,
            as_json=form["type"] != "text",
            schema=form.get("schema"),
            limits=body.limits(body.max_output_tokens, pace.tokens),
            appendix=call.appendix,
        ),
        input_tokens=tokens.count_prompt(
            [
                *([body.instructions] if body.instructions else []),
                *(text for _, text in conversation),
            ]
        ),
        top_logprobs=(body.top_logprobs or 0) if likely else None,
        pace=pace,
        items=items,
        said_before=conversation,
        thread=thread,
        repeated={
            "background": bool(body.background),
            "conversation": None if thread is None else {"id": thread.id},
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "max_tool_calls": body.max_tool_calls,
            "metadata": body.metadata or {},
            "parallel_tool_calls": body.parallel_tool_calls is not False,
            "previous_response_id": previous,
            "prompt_cache_key": body.prompt_cache_key,
            "reasoning": {"effort": reasoning.effort, "summary": reasoning.summary},
            "safety_identifier": body.safety_identifier,
            "service_tier": "default" if body.service_tier in (None, "auto") else body.service_tier,
            "temperature": 1.0 if body.temperature is None else body.temperature,
            "text": {"format": form, "verbosity": text.verbosity or "medium"},
            "tool_choice": "auto" if body.tool_choice is None else sent["tool_choice"],
            "tools": _repeated_tools(sent),
            "top_logprobs": body.top_logprobs or 0,
            "top_p": 1.0 if body.top_p is None else body.top_p,
            "truncation": body.truncation or "disabled",
            "user": body.user,
        },
    )


def _thread(body: requests.Response, state: State) -> Thread | None:
    """Return the conversation that a body names, if it does."""
    if body.conversation is None:
        return None
    if body.previous_response_id is not None:
        raise errors.invalid(
            "conversation",
            "Mutually exclusive parameters: 'previous_response_id' and 'conversation'. Ensure you "
            "are only providing one of them.",
            "mutually_exclusive_parameters",
        )
    return kept_thread(body.conversation, state, "conversation")


def read_items(given: list[Any], name: str, state: State) -> list[dict[str, Any]]:
    """Return items that a field of this name brings, as they are listed: with ids.

    Raises:
        ApiError: one of them is no item.
    """
    return read_input(_looked_up(given, state, name), name)[0]


def _given_input(body: requests.Response, state: State) -> list[Any]:
    """Return what a body brings as input, with the items in the place of references to them.

    Raises:
        ApiError: there is none, and nothing to go on with; or an item that is not known.
    """
    if body.prompt is not None:  # these are made on OpenAI's pages: there are none here
        raise ApiError(404, f"Prompt with id '{body.prompt.id}' not found.")
    if not body.input:
        if body.previous_response_id is None and body.conversation is None:
            raise ApiError(
                400,
                "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation_id' "
                "must be provided.",
                code="missing_required_parameter",
            )
        return []
    if isinstance(body.input, str):
        return [{"role": "user", "content": body.input}]
    return _looked_up(body.input, state)


def _looked_up(given: list[Any], state: State, name: str = "input") -> list[Any]:
    """Return items, with those that are kept in the place of references to them.

    Raises:
        ApiError: 404, one is not kept.
    """
    items = []
    for at, item in enumerate(given):
        if isinstance(item, dict) and item.get("type") == "item_reference":
            if not isinstance(item.get("id"), str):
                raise errors.missing(f"{name}[{at}].id")
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
    given: list[Any], name: str = "input"
) -> tuple[list[dict[str, Any]], list[tuple[str, str]], tuple[str, ...]]:
    """Return the input as items, as roles and texts, and the tools' answers it ends with."""
    items: list[dict[str, Any]] = []
    said: list[tuple[str, str]] = []
    results: list[str] = []
    declared = fields.read(requests.Items, {"items": given}, name).items
    for sent, item in zip(given, declared, strict=True):
        if isinstance(item, requests.ResponseMessage):
            results = []
            said.append((item.role, requests.text_of(item.content)))
            items.append(_message_item(sent, item.role))
            continue
        if isinstance(item, requests.CallOutput):
            results.append(requests.text_of(item.output))
            said.append(("tool", results[-1]))
        items.append(_sent_item(sent, sent["type"]))
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
            raise errors.invalid(
                "input", f"No tool call found for function call output with call_id {call}."
            )
    for call in asked:
        if call not in answered:
            raise errors.invalid("input", f"No tool output found for function call {call}.")


def _format(body: requests.Response, texts: list[str]) -> dict[str, Any]:
    """Return the form of the answer, as the response repeats it."""
    wanted = None if body.text is None else body.text.format
    if wanted is None or wanted.type == "text":
        return {"type": "text"}
    if wanted.type == "json_schema":
        return {
            "type": "json_schema",
            "name": wanted.name,
            "schema": wanted.schema_,
            "strict": wanted.strict is not False,
        }
    if not any("json" in said.lower() for said in texts):
        raise errors.invalid(
            "input",
            "Response input messages must contain the word 'json' in some form to use "
            "'text.format' of type 'json_object'.",
        )
    return {"type": "json_object"}


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
    prompt_tokens: int, written: int, reasoned: int = 0, said: Usage | None = None
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
        if request.body.includes.include_obfuscation:
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
