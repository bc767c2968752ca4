"""Legacy completions: the wire shapes of `/v1/completions`, one-shot and streamed."""

import asyncio
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from helpers.mock_server.api import chat, models, requests, scripted
from helpers.mock_server.content import generation, replies, talk, tokens
from helpers.mock_server.content.generation import Limits, Written
from helpers.mock_server.content.scripts import Script
from helpers.mock_server.content.talk import Conversation, Wanted
from helpers.mock_server.control.state import State
from helpers.mock_server.protocol import fields
from helpers.mock_server.protocol.answers import Answer, Call, Event, Stream, Whole, dump
from helpers.mock_server.protocol.pacing import Pace

DEFAULT_TOKENS = 16
"""What OpenAI writes where `max_tokens` is not given."""

A_STRETCH = 32
"""Choices that are written before other requests may run: 2 ms of work."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a request asks for, checked."""

    body: requests.Completion
    model: str
    prompts: list[str]
    n: int
    limits: Limits
    pace: Pace


async def create(call: Call, state: State) -> Answer:
    """Answer `POST /v1/completions`."""
    request = read(call, state)
    prompted = 0
    for prompt in request.prompts:
        prompted += tokens.count(prompt)
        await asyncio.sleep(0)  # a long one takes 10 ms
    echoed = request.n * prompted if request.body.echo else 0
    generation.check_size(request.n * len(request.prompts), request.limits, echoed)
    script = scripted.find(
        call,
        state,
        model=request.model,
        conversation=Conversation(request.prompts[0], last=request.prompts[0]),
        wanted=Wanted(limits=request.limits),
        pace=request.pace,
        stream=bool(request.body.stream),
    )
    if isinstance(script, Whole | Stream):
        return script
    if script is not None:
        request = replace(request, pace=script.at(request.pace))
    choices: list[Written] = []
    for prompt in request.prompts:
        for number in range(request.n):
            if len(choices) % A_STRETCH == 0:
                await asyncio.sleep(0)
            choices.append(_choice(request, prompt, number, script))
    written = sum(len(choice.pieces) for choice in choices)
    if request.body.stream:
        return Stream(
            _events(request, choices, prompted),
            pace=request.pace,
            tokens=written,
            model=request.model,
            prompt_tokens=prompted,
        )
    generation.check_likely(written, request.body.logprobs)
    parts = []
    for at, choice in enumerate(choices):
        if at % A_STRETCH == 0:
            await asyncio.sleep(0)
        told = {
            "index": at,
            "text": choice.text,
            "logprobs": _logprobs(request, choice.pieces, 0, 0),
            "finish_reason": choice.finish,
        }
        parts.append(dump(told))
    head, tail = dump(_head(request)), dump({"usage": _usage(request, choices, prompted)})
    return Whole(
        head[:-1] + b',"choices":[' + b",".join(parts) + b"]," + tail[1:],
        pace=request.pace,
        turns=max(len(choice.pieces) for choice in choices),
        tokens=written,
        model=request.model,
        prompt_tokens=prompted,
    )


def read(call: Call, state: State) -> Request:
    """Return what the call asks for.

    Raises:
        ApiError: the body is not such a request.
    """
    body = fields.read(requests.Completion, fields.json_object(call.body))
    model = models.known(body.model, state)
    pace = state.pace_for(model, call)
    most = body.max_tokens
    if most is None and pace.tokens is None:
        most = DEFAULT_TOKENS
    return Request(
        body=body,
        model=model,
        prompts=body.prompt or [""],
        n=body.n or 1,
        limits=body.limits(most, pace.tokens),
        pace=pace,
    )


def _choice(request: Request, prompt: str, number: int, script: Script | None) -> Written:
    if request.limits.most == 0:
        return Written(tokens.split(prompt) if request.body.echo else [], "length")
    if script is None:
        written = generation.write(replies.reply(prompt, variant=number), request.limits)
    else:
        written = talk.recite(script, Wanted(limits=request.limits)).written
    if request.body.echo:
        return Written([*tokens.split(prompt), *written.pieces], written.finish)
    return written


def _head(request: Request) -> dict[str, Any]:
    return {
        "id": f"cmpl-{secrets.token_hex(12)}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": request.model,
        "system_fingerprint": chat.FINGERPRINT,
    }


def _usage(request: Request, choices: list[Written], prompted: int) -> dict[str, Any]:
    written = sum(len(choice.pieces) for choice in choices)
    # What is echoed was not written.
    return chat.usage(prompted, written - (request.n * prompted if request.body.echo else 0))


def _logprobs(
    request: Request, pieces: list[str], first: int, offset: int
) -> dict[str, Any] | None:
    """Return how likely tokens were, from the `first` on, which is `offset` characters in."""
    if request.body.logprobs is None:
        return None
    likely = [generation.logprob(piece, first + at) for at, piece in enumerate(pieces)]
    offsets = []
    for piece in pieces:
        offsets.append(offset)
        offset += len(piece)
    return {
        "tokens": pieces,
        "token_logprobs": likely,
        "top_logprobs": [
            dict(generation.alternatives(piece, first + at, request.body.logprobs))
            for at, piece in enumerate(pieces)
        ],
        "text_offset": offsets,
    }


def _events(request: Request, choices: list[Written], prompted: int) -> Iterator[Event]:
    head = _head(request)
    blank = {"usage": None} if request.body.includes.include_usage else {}

    def chunk(index: int, text: str, likely: Any, finish: str | None) -> bytes:
        choice = {"index": index, "text": text, "logprobs": likely, "finish_reason": finish}
        return b"data: " + dump({**head, "choices": [choice], **blank}) + b"\n\n"

    last = 0
    offsets = [0] * len(choices)
    for turn in range(max(len(choice.pieces) for choice in choices)):
        last = turn
        for at, choice in enumerate(choices):
            if turn < len(choice.pieces):
                piece = choice.pieces[turn]
                likely = _logprobs(request, [piece], turn, offsets[at])
                offsets[at] += len(piece)
                yield turn, 1, chunk(at, piece, likely, None)
    for at, choice in enumerate(choices):
        yield last, 0, chunk(at, "", None, choice.finish)
    if request.body.includes.include_usage:
        spent = {**head, "choices": [], "usage": _usage(request, choices, prompted)}
        yield last, 0, b"data: " + dump(spent) + b"\n\n"
    yield last, 0, scripted.DONE
