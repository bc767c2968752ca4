"""Chat completions: the wire shapes of `/v1/chat/completions`, one-shot and streamed."""

import asyncio
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from helpers.mock_server.api import models, requests, scripted
from helpers.mock_server.api.requests import Message
from helpers.mock_server.api.scripted import DONE
from helpers.mock_server.content import generation, talk, tokens, tools
from helpers.mock_server.content.scripts import Usage
from helpers.mock_server.content.talk import Conversation, Said, Wanted
from helpers.mock_server.content.tools import ToolCall
from helpers.mock_server.control.state import State
from helpers.mock_server.protocol import errors, fields
from helpers.mock_server.protocol.answers import Answer, Call, Event, Stream, Whole, dump, whole
from helpers.mock_server.protocol.pacing import Pace

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

    body: requests.Chat
    model: str
    conversation: Conversation
    wanted: Wanted
    prompt_tokens: int
    n: int
    top_logprobs: int | None
    """How many alternatives to list for each token; None for no `logprobs` at all."""
    pace: Pace
    deprecated: bool = False
    """Whether it offers `functions`, which came before `tools`."""

    @property
    def service_tier(self) -> str:
        return "priority" if self.body.service_tier == "priority" else "default"


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
        stream=bool(request.body.stream),
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
    if request.body.stream:
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
    body = fields.read(requests.Chat, fields.json_object(call.body))
    model = models.known(body.model, state)
    pace = state.pace_for(model, call)
    _check_answers(body.messages)
    texts = [message.text for message in body.messages]
    deprecated = body.functions is not None or body.function_call is not None
    offered, choice = _functions(body) if deprecated else _tools(body)
    most = body.max_completion_tokens or body.max_tokens
    form = body.response_format
    return Request(
        body=body,
        model=model,
        conversation=_conversation(body.messages, texts),
        wanted=Wanted(
            tools=offered,
            choice=choice,
            parallel=body.parallel_tool_calls is not False and not deprecated,
            as_json=form is not None and form.type != "text",
            schema=form.schema_ if form is not None else None,
            limits=body.limits(most, pace.tokens),
            appendix=call.appendix,
        ),
        prompt_tokens=tokens.count_prompt(texts),
        n=body.n or 1,
        top_logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        pace=pace,
        deprecated=deprecated,
    )


def _conversation(messages: list[Message], texts: list[str]) -> Conversation:
    said = [(message.role, text) for message, text in zip(messages, texts, strict=True)]
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
        turn=1 + sum(role == "assistant" for role, _ in said),
        called=frozenset(_called(messages)),
    )


def _called(messages: list[Message]) -> Iterator[str]:
    """Yield the names of the tools that were called since the user last spoke."""
    for message in reversed(messages):
        if message.role == "user":
            return
        yield from message.called


def _check_answers(messages: list[Message]) -> None:
    """See to it that tools answer calls that were made, each before anything else is said."""
    asked: dict[str, None] = {}  # ids in their order, quickly found
    waiting: dict[str, None] = {}
    for at, message in enumerate(messages):
        if message.role != "tool":
            _check_none_waits(waiting, at)
            asked = dict.fromkeys(call.id for call in message.tool_calls or ())
            waiting = asked.copy()
            continue
        if not asked:
            raise errors.invalid(
                f"messages.[{at}].role",
                "Invalid parameter: messages with role 'tool' must be a response to a preceeding "
                "message with 'tool_calls'.",
            )
        answered = message.tool_call_id or ""
        if answered not in asked:
            raise errors.invalid(
                f"messages.[{at}].tool_call_id",
                f"Invalid parameter: 'tool_call_id' of '{answered}' not found in 'tool_calls' of "
                "previous message.",
            )
        waiting.pop(answered, None)
    _check_none_waits(waiting, len(messages) - 1)


def _check_none_waits(calls: dict[str, None], at: int) -> None:
    if calls:
        raise errors.invalid(
            f"messages.[{at}].role",
            "An assistant message with 'tool_calls' must be followed by tool messages responding "
            "to each 'tool_call_id'. The following tool_call_ids did not have response messages: "
            f"{', '.join(calls)}",
        )


def _tools(body: requests.Chat) -> tuple[tuple[tools.Tool, ...], tools.Choice]:
    offered = tuple(one.tool for one in body.tools or ())
    return offered, requests.choice_of(body.tool_choice, offered)


def _functions(body: requests.Chat) -> tuple[tuple[tools.Tool, ...], tools.Choice]:
    """Return the tools in the form that came before `tools`, and what is said about calling."""
    offered, choice = tuple(one.tool for one in body.functions or ()), body.function_call
    problem = None
    if not offered:
        problem = "'function_call' is only allowed when 'functions' are specified."
    elif isinstance(choice, requests.Named) and choice.name not in [one.name for one in offered]:
        problem = f"no function named '{choice.name}' was specified in the 'functions' parameter."
    if problem is not None:
        raise errors.invalid("function_call", f"Invalid value for 'function_call': {problem}")
    if isinstance(choice, requests.Named):
        return offered, tools.Choice("named", (choice.name,))
    return offered, tools.Choice(choice or "auto")


# --- what is answered -------------------------------------------------------------------------


def usage(
    prompt_tokens: int, written: int, reasoned: int = 0, said: Usage | None = None
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
    closing = b"}]" + (b',"usage":null' if request.body.includes.include_usage else b"") + b"}\n\n"
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
    if request.body.includes.include_usage:
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
        or request.body.includes.include_obfuscation
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
        if request.body.includes.include_obfuscation:
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
