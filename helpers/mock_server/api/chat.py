"""Chat completions: the wire shapes of `/v1/chat/completions`, one-shot and streamed."""

import asyncio
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from helpers.mock_server.api import models, scripted
from helpers.mock_server.api.scripted import DONE
from helpers.mock_server.content import generation, talk, tokens, tools
from helpers.mock_server.content.talk import Conversation, Said, Wanted
from helpers.mock_server.content.tools import ToolCall
from helpers.mock_server.control.state import State
from helpers.mock_server.protocol import errors, fields
from helpers.mock_server.protocol.answers import Answer, Call, Event, Stream, Whole, dump, whole
from helpers.mock_server.protocol.pacing import Pace

if TYPE_CHECKING:
    from helpers.mock_server.content.scripts import Usage

ROLES = ("system", "assistant", "user", "function", "tool", "developer")
PARTS = ("text", "image_url", "input_audio", "refusal", "audio", "file", "audio_url", "video_url")
"""Kinds of parts that a message may have: OpenAI's, and the last two vLLM's."""

INSTEAD = ("tool_calls", "function_call", "refusal", "audio")
"""What an assistant's message may hold in place of content."""

FINGERPRINT = "fp_awaited_mock"
MAX_CHOICES = 128
OBFUSCATED = 16
"""Letters that a piece of text and its padding have together, so that a listener on the wire cannot
tell short tokens from long ones."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a chat request asks for, checked."""

    model: str
    conversation: Conversation
    wanted: Wanted
    prompt_tokens: int
    n: int
    top_logprobs: int | None
    """How many alternatives to list for each token; None for no `logprobs` at all."""
    stream: bool
    include_usage: bool
    include_obfuscation: bool
    service_tier: str
    pace: Pace
    deprecated: bool = False
    """Whether it offers `functions`, which came before `tools`."""


async def create(call: Call, state: State) -> Answer:
    """Answer `POST /v1/chat/completions`."""
    request = read(call, state)
    generation.check_size(request.n, request.wanted.limits)
    script = scripted.find(
        call,
        state,
        model=request.model,
        conversation=request.conversation,
        wanted=request.wanted,
        pace=request.pace,
        stream=request.stream,
    )
    if isinstance(script, Whole | Stream):
        return script
    if script is not None:
        request = replace(request, pace=script.at(request.pace))
    choices = [talk.say(request.conversation, request.wanted, script=script)]
    for turn in range(1, request.n):
        await asyncio.sleep(0)  # a large schema takes half a second: others may run in between
        choices.append(talk.say(request.conversation, request.wanted, turn, script))
    written = sum(choice.tokens for choice in choices)
    if request.stream:
        return Stream(
            _events(request, choices),
            pace=request.pace,
            tokens=written,
            model=request.model,
            prompt_tokens=request.prompt_tokens,
            holds=choices[0].holds,
        )
    generation.check_likely(sum(len(choice.pieces) for choice in choices), request.top_logprobs)
    return whole(
        _completion(request, choices),
        pace=request.pace,
        turns=max(choice.tokens for choice in choices),
        tokens=written,
        model=request.model,
        prompt_tokens=request.prompt_tokens,
        holds=choices[0].holds,
    )


# --- what is asked ----------------------------------------------------------------------------


def read(call: Call, state: State) -> Request:
    """Return what the call asks for.

    Raises:
        ApiError: the body is not such a request.
    """
    body = fields.json_object(call.body)
    model = models.known(body.get("model"), state)
    pace = state.pace_for(model, call)
    messages = fields.array(body, "messages")
    if not messages:
        raise fields.empty_array("messages")
    texts = [message_text(message, f"messages[{at}]") for at, message in enumerate(messages)]
    _check_answers(messages)
    stream = fields.boolean(body, "stream")
    options = fields.optional_object(body, "stream_options")
    if options is not None and not stream:
        raise errors.ApiError(
            400,
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
            param="stream_options",
        )
    most = fields.integer(body, "max_completion_tokens", least=1)
    most_before = fields.integer(body, "max_tokens", least=1)
    if most is not None and most_before is not None:
        raise errors.ApiError(
            400,
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
            param="max_tokens",
            code="invalid_parameter_combination",
        )
    check_sampling(body)
    _check_unused(body)
    as_json, schema = _read_format(body, texts)
    deprecated = body.get("functions") is not None or body.get("function_call") is not None
    offered, choice = _read_functions(body) if deprecated else _read_tools(body)
    parallel = body.get("parallel_tool_calls")
    if parallel is not None and not isinstance(parallel, bool):
        raise errors.wrong_type("parallel_tool_calls", "a boolean", parallel)
    return Request(
        model=model,
        conversation=_conversation(messages, texts),
        wanted=Wanted(
            tools=offered,
            choice=choice,
            parallel=parallel is not False and not deprecated,
            as_json=as_json,
            schema=schema,
            limits=generation.read_limits(body, most_before if most is None else most, pace.tokens),
            appendix=call.appendix,
        ),
        prompt_tokens=tokens.count_prompt(texts),
        n=fields.integer(body, "n", least=1, most=MAX_CHOICES) or 1,
        top_logprobs=_read_logprobs(body),
        stream=stream,
        include_usage=stream_option(options, "include_usage"),
        include_obfuscation=stream_option(options, "include_obfuscation"),
        service_tier="priority" if body.get("service_tier") == "priority" else "default",
        pace=pace,
        deprecated=deprecated,
    )


def stream_option(options: dict[str, Any] | None, name: str) -> bool:
    """Return one of a request's `stream_options`."""
    return options is not None and fields.boolean(options, name, f"stream_options.{name}")


def _conversation(messages: list[dict[str, Any]], texts: list[str]) -> Conversation:
    roles = [message["role"] for message in messages]
    said = list(zip(roles, texts, strict=True))
    users = [text for role, text in said if role == "user"]
    results: list[str] = []
    for role, text in reversed(said):
        if role not in ("tool", "function"):
            break
        results.insert(0, text)
    return Conversation(
        prompt=users[-1] if users else texts[-1],
        system="\n".join(text for role, text in said if role in ("system", "developer")),
        results=tuple(results),
        last=texts[-1],
        turn=1 + roles.count("assistant"),
        called=frozenset(_called(messages)),
    )


def _called(messages: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the names of the tools that were called since the user last spoke."""
    for message in reversed(messages):
        if message["role"] == "user":
            return
        calls = [
            call.get("custom" if call.get("type") == "custom" else "function")
            for call in message.get("tool_calls") or ()
        ]
        for function in (*calls, message.get("function_call")):
            name = function.get("name") if isinstance(function, dict) else None
            if isinstance(name, str):
                yield name


def message_text(message: Any, where: str) -> str:
    """Return what a message says.

    Raises:
        ApiError: it is no message.
    """
    if not isinstance(message, dict):
        raise errors.wrong_type(where, "an object", message)
    role = message.get("role")
    if role is None:
        raise errors.missing(f"{where}.role")
    if not isinstance(role, str):
        raise errors.wrong_type(f"{where}.role", "a string", role)
    if role not in ROLES:
        raise errors.unsupported_value(f"{where}.role", role, ROLES)
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        raise errors.missing(f"{where}.tool_call_id")
    content = message.get("content")
    if content is None:
        instead = [name for name in INSTEAD if message.get(name) is not None]
        if role == "function" or (role == "assistant" and instead):
            return ""
        raise errors.ApiError(
            400,
            f"Invalid value for 'content': expected a string, got null. (at {where})",
            param=f"{where}.content",
        )
    return content_text(content, f"{where}.content")


def _check_answers(messages: list[dict[str, Any]]) -> None:
    """See to it that tools answer calls that were made, each before anything else is said."""
    asked: dict[str, None] = {}  # ids in their order, quickly found
    waiting: dict[str, None] = {}
    for at, message in enumerate(messages):
        if message["role"] != "tool":
            _check_none_waits(waiting, at)
            asked = _call_ids(message, f"messages[{at}].tool_calls")
            waiting = asked.copy()
            continue
        if not asked:
            raise errors.ApiError(
                400,
                "Invalid parameter: messages with role 'tool' must be a response to a preceeding "
                "message with 'tool_calls'.",
                param=f"messages.[{at}].role",
            )
        answered = message["tool_call_id"]
        if answered not in asked:
            raise errors.ApiError(
                400,
                f"Invalid parameter: 'tool_call_id' of '{answered}' not found in 'tool_calls' of "
                "previous message.",
                param=f"messages.[{at}].tool_call_id",
            )
        waiting.pop(answered, None)
    _check_none_waits(waiting, len(messages) - 1)


def _check_none_waits(calls: dict[str, None], at: int) -> None:
    if calls:
        raise errors.ApiError(
            400,
            "An assistant message with 'tool_calls' must be followed by tool messages responding "
            "to each 'tool_call_id'. The following tool_call_ids did not have response messages: "
            f"{', '.join(calls)}",
            param=f"messages.[{at}].role",
        )


def _call_ids(message: dict[str, Any], where: str) -> dict[str, None]:
    if message.get("tool_calls") is None:
        return {}
    calls = fields.array(message, "tool_calls", where)
    if not calls:
        raise fields.empty_array(where)
    for at, call in enumerate(calls):
        if not isinstance(call, dict):
            raise errors.wrong_type(f"{where}[{at}]", "an object", call)
        if not isinstance(call.get("id"), str):
            raise errors.missing(f"{where}[{at}].id")
    return dict.fromkeys(call["id"] for call in calls)


def content_text(content: Any, where: str, kinds: tuple[str, ...] = PARTS) -> str:
    """Return the text of a message's content: a string, or a list of parts of these kinds."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise errors.wrong_type(where, "one of a string or array of objects", content)
    parts = []
    for at, part in enumerate(content):
        if not isinstance(part, dict):
            raise errors.wrong_type(f"{where}[{at}]", "an object", part)
        if not isinstance(part.get("type"), str):
            raise errors.missing(f"{where}[{at}].type")
        if part["type"] not in kinds:
            raise errors.unsupported_value(f"{where}[{at}].type", part["type"], kinds)
        text = part.get("text")
        if isinstance(text, str):
            parts.append(text)
        elif part["type"].endswith("text"):
            raise errors.missing(f"{where}[{at}].text")
        elif part["type"] == "image_url":
            _check_image(part, f"{where}[{at}].image_url")
    return "\n".join(parts)


def _check_image(part: dict[str, Any], where: str) -> None:
    image = fields.optional_object(part, "image_url", where)
    if image is None:
        raise errors.missing(where)
    if fields.string(image, "url", f"{where}.url") is None:
        raise errors.missing(f"{where}.url")


def check_sampling(body: dict[str, Any]) -> None:
    """Check the fields that change nothing here: the same prompt gives the same words."""
    fields.number(body, "temperature", least=0, most=2)
    fields.number(body, "top_p", least=0, most=1)
    fields.number(body, "presence_penalty", least=-2, most=2)
    fields.number(body, "frequency_penalty", least=-2, most=2)
    fields.integer(body, "seed")
    fields.string(body, "user")
    fields.optional_object(body, "logit_bias")


def _check_unused(body: dict[str, Any]) -> None:
    """Check the other fields that change nothing, by their type: their values grow with time."""
    fields.metadata(body)
    fields.boolean(body, "store")
    for name in ("reasoning_effort", "service_tier"):
        fields.string(body, name)
    if body.get("modalities") is not None:
        fields.array(body, "modalities")


def _read_logprobs(body: dict[str, Any]) -> int | None:
    wanted = fields.boolean(body, "logprobs")
    top = fields.integer(body, "top_logprobs", least=0, most=generation.MAX_TOP_LOGPROBS)
    if top is not None and not wanted:
        raise errors.ApiError(
            400,
            "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.",
            param="top_logprobs",
        )
    return (top or 0) if wanted else None


def _read_format(body: dict[str, Any], texts: list[str]) -> tuple[bool, dict[str, Any] | None]:
    wanted = fields.optional_object(body, "response_format")
    if wanted is None:
        return False, None
    kind = wanted.get("type")
    if kind == "text":
        return False, None
    if kind == "json_object":
        if not any("json" in text.lower() for text in texts):
            raise errors.ApiError(
                400,
                "'messages' must contain the word 'json' in some form, to use 'response_format' "
                "of type 'json_object'.",
                param="messages",
            )
        return True, None
    if kind != "json_schema":
        raise errors.unsupported_value(
            "response_format.type", kind, ("json_object", "json_schema", "text")
        )
    described = wanted.get("json_schema")
    if described is None:
        raise errors.missing("response_format.json_schema")
    schema = read_schema(described, "response_format.json_schema")
    if described.get("strict") is True:
        said = f"Invalid schema for response_format '{described['name']}'"
        tools.check_strict(schema, said, "response_format", None)
    return True, schema


def read_schema(described: Any, where: str) -> dict[str, Any]:
    """Return the JSON schema of a `{"name", "schema"}` object.

    Raises:
        ApiError: it is no such object.
    """
    if not isinstance(described, dict):
        raise errors.wrong_type(where, "an object", described)
    tools.read_name(described, where)
    schema = fields.optional_object(described, "schema", f"{where}.schema")
    if schema is None:
        raise errors.missing(f"{where}.schema")
    return schema


def _read_tools(body: dict[str, Any]) -> tuple[tuple[tools.Tool, ...], tools.Choice]:
    found = []
    if body.get("tools") is not None:
        for at, tool in enumerate(fields.array(body, "tools")):
            where = f"tools[{at}]"
            if not isinstance(tool, dict):
                raise errors.wrong_type(where, "an object", tool)
            kind = tool.get("type")
            if kind is None:
                raise errors.missing(f"{where}.type")
            if kind not in tools.CALLED:
                raise errors.unsupported_value(f"{where}.type", kind, tools.CALLED)
            if tool.get(kind) is None:
                raise errors.missing(f"{where}.{kind}")
            read = tools.read_custom if kind == "custom" else tools.read_tool
            found.append(read(tool[kind], f"{where}.{kind}"))
    offered, choice = tuple(found), body.get("tool_choice")
    kind = choice.get("type", "function") if isinstance(choice, dict) else "function"
    named = choice.get(kind) if isinstance(choice, dict) and isinstance(kind, str) else None
    name = named.get("name") if isinstance(named, dict) else None
    return offered, tools.read_choice(choice, offered, name, f"tool_choice.{kind}.name")


def _read_functions(body: dict[str, Any]) -> tuple[tuple[tools.Tool, ...], tools.Choice]:
    """Return the tools in the form that came before `tools`, and what is said about calling."""
    found = []
    if body.get("functions") is not None:
        if body.get("tools") is not None:
            raise errors.ApiError(
                400,
                "The 'functions' parameter is not allowed beside 'tools', which replaces it.",
                param="functions",
            )
        given = fields.array(body, "functions")
        if not given:
            raise fields.empty_array("functions")
        found = [tools.read_tool(one, f"functions[{at}]") for at, one in enumerate(given)]
    offered, choice = tuple(found), body.get("function_call")
    if not offered:
        raise errors.ApiError(
            400,
            "Invalid value for 'function_call': 'function_call' is only allowed when 'functions' "
            "are specified.",
            param="function_call",
        )
    if choice is None or choice in ("none", "auto"):
        return offered, tools.Choice(choice or "auto")
    if isinstance(choice, str):
        raise errors.unsupported_value("function_call", choice, ("none", "auto"))
    if not isinstance(choice, dict):
        raise errors.wrong_type("function_call", "a string or an object", choice)
    name = fields.string(choice, "name", "function_call.name")
    if name is None:
        raise errors.missing("function_call.name")
    if name not in [tool.name for tool in offered]:
        raise errors.ApiError(
            400,
            f"Invalid value for 'function_call': no function named '{name}' was specified in the "
            "'functions' parameter.",
            param="function_call",
        )
    return offered, tools.Choice("named", (name,))


# --- what is answered -------------------------------------------------------------------------


def usage(
    prompt_tokens: int, written: int, reasoned: int = 0, said: "Usage | None" = None
) -> dict[str, Any]:
    """Return a completion's `usage`: what was counted, or what a script has `said` it is."""
    cost = talk.cost(prompt_tokens, written, reasoned, said)
    return {
        "prompt_tokens": cost.prompt_tokens,
        "completion_tokens": cost.completion_tokens,
        "total_tokens": cost.prompt_tokens + cost.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": cost.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": cost.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _usage(request: Request, choices: list[Said]) -> dict[str, Any]:
    return usage(
        request.prompt_tokens,
        sum(choice.tokens for choice in choices),
        sum(len(choice.reasoning) for choice in choices),
        choices[0].usage,
    )


def _completion(request: Request, choices: list[Said]) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": request.model,
        "choices": [_whole_choice(request, choice, at) for at, choice in enumerate(choices)],
        "usage": _usage(request, choices),
        "service_tier": request.service_tier,
        "system_fingerprint": FINGERPRINT,
    }


def _whole_choice(request: Request, choice: Said, index: int) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": choice.text if _has_content(choice) else None,
        "refusal": choice.text if choice.refuses else None,
        "annotations": [],
    }
    if choice.reasoning:
        message["reasoning_content"] = "".join(choice.reasoning)
    if choice.calls and request.deprecated:
        call, _ = choice.calls[0]
        message["function_call"] = {"name": call.name, "arguments": call.arguments}
    elif choice.calls:
        message["tool_calls"] = [_call(call, call.arguments) for call, _ in choice.calls]
    logprobs = None
    if request.top_logprobs is not None:
        entries = [
            generation.chat_logprob(piece, place, request.top_logprobs)
            for place, piece in enumerate(choice.pieces)
        ]
        logprobs = {
            "content": None if choice.refuses else entries,
            "refusal": entries if choice.refuses else None,
        }
    return {
        "index": index,
        "message": message,
        "logprobs": logprobs,
        "finish_reason": _finish(request, choice),
    }


def _finish(request: Request, choice: Said) -> str:
    calls = request.deprecated and choice.finish == "tool_calls"
    return "function_call" if calls else choice.finish


def _call(call: ToolCall, text: str) -> dict[str, Any]:
    """Return a call with its arguments, or with the text for a custom tool."""
    if call.custom:
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": text}}
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": text},
    }


def _has_content(choice: Said) -> bool:
    return not choice.refuses and (bool(choice.pieces) or not choice.calls)


def _events(request: Request, choices: list[Said]) -> Iterator[Event]:
    head = dump(
        {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": request.model,
            "service_tier": request.service_tier,
            "system_fingerprint": FINGERPRINT,
        }
    )[:-1]
    # Most of a chunk is the same for all: it is written once, and each token adds its own part.
    closing = b"}]" + (b',"usage":null' if request.include_usage else b"") + b"}\n\n"
    openings = [
        b"data: " + head + b',"choices":[{"index":%d,"delta":' % index
        for index in range(len(choices))
    ]
    going = b',"logprobs":null,"finish_reason":null' + closing
    for opening, choice in zip(openings, choices, strict=True):
        content = b'""' if _has_content(choice) else b"null"
        delta = b'{"role":"assistant","content":' + content + b',"refusal":null}'
        yield 0, 0, opening + delta + going
    last = 0
    if len(choices) == 1 and _is_plain(request, choices[0]):
        # The usual stream, written out: with a thousand of them each generator less counts.
        start = openings[0] + b'{"content":'
        end = b"}" + going
        for last, piece in enumerate(choices[0].pieces):
            yield last, 1, start + _quoted(piece) + end
    else:
        for event in _side_by_side(
            [
                _deltas(request, choice, opening, going, closing)
                for opening, choice in zip(openings, choices, strict=True)
            ]
        ):
            last = event[0]
            yield event
    for opening, choice in zip(openings, choices, strict=True):
        reason = _finish(request, choice).encode()
        yield last, 0, opening + b'{},"logprobs":null,"finish_reason":"' + reason + b'"' + closing
    if request.include_usage:
        spent = dump(_usage(request, choices))
        yield last, 0, b"data: " + head + b',"choices":[],"usage":' + spent + b"}\n\n"
    yield last, 0, DONE


def _is_plain(request: Request, choice: Said) -> bool:
    """Return whether the deltas hold text and nothing else."""
    return not (
        choice.calls
        or choice.reasoning
        or choice.refuses
        or request.top_logprobs is not None
        or request.include_obfuscation
    )


def _side_by_side(choices: list[Iterator[Event]]) -> Iterator[Event]:
    """Yield the events of several choices turn by turn, as they are generated together."""
    while choices:
        going_on = []
        for choice in choices:
            event = next(choice, None)
            if event is not None:
                yield event
                going_on.append(choice)
        choices = going_on


def _deltas(
    request: Request, choice: Said, opening: bytes, going: bytes, closing: bytes
) -> Iterator[Event]:
    if _is_plain(request, choice):
        start = opening + b'{"content":'
        end = b"}" + going
        for turn, piece in enumerate(choice.pieces):
            yield turn, 1, start + _quoted(piece) + end
        return
    turn = 0
    for piece in choice.reasoning:
        yield turn, 1, opening + dump({"reasoning_content": piece}) + going
        turn += 1
    for place, piece in enumerate(choice.pieces):
        likely = b"null"
        if request.top_logprobs is not None:
            entry = generation.chat_logprob(piece, place, request.top_logprobs)
            told = [None, [entry]] if choice.refuses else [[entry], None]
            likely = dump(dict(zip(("content", "refusal"), told, strict=True)))
        tail = closing
        if request.include_obfuscation:
            tail = b"}]" + b',"obfuscation":' + dump(padding(piece)) + closing[2:]
        delta = dump({"refusal" if choice.refuses else "content": piece})
        yield (
            turn,
            1,
            (opening + delta + b',"logprobs":' + likely + b',"finish_reason":null' + tail),
        )
        turn += 1
    yield from _call_deltas(request, choice, opening, going, turn)


@lru_cache(maxsize=4096)
def _quoted(piece: str) -> bytes:
    """Return a token as JSON. The same few thousand make up most texts."""
    return dump(piece)


def _call_deltas(
    request: Request, choice: Said, opening: bytes, going: bytes, turn: int
) -> Iterator[Event]:
    for index, (call, pieces) in enumerate(choice.calls):
        first: dict[str, Any] = {"tool_calls": [{"index": index, **_call(call, "")}]}
        if request.deprecated:
            first = {"function_call": {"name": call.name, "arguments": ""}}
        yield turn, 1, opening + dump(first) + going
        turn += 1
        for piece in pieces:
            delta: dict[str, Any] = {"function_call": {"arguments": piece}}
            if not request.deprecated:
                kind, name = ("custom", "input") if call.custom else ("function", "arguments")
                delta = {"tool_calls": [{"index": index, kind: {name: piece}}]}
            yield turn, 1, opening + dump(delta) + going
            turn += 1


def padding(piece: str) -> str:
    """Return letters that hide how long a piece of text is."""
    return secrets.token_urlsafe(OBFUSCATED)[: max(1, OBFUSCATED - len(piece))]
