"""One turn of a conversation, whatever the API it came through: text, JSON or tool calls."""

import json
from dataclasses import dataclass, field
from typing import Any

from helpers.mock_server import errors, generation, replies, schemas, tokens
from helpers.mock_server.generation import Finish, Limits
from helpers.mock_server.tools import Choice, Tool, ToolCall, choose
from helpers.mock_server.validity import Unsatisfiable


@dataclass(frozen=True, slots=True)
class Conversation:
    """What was said so far, as far as a reply depends on it."""

    prompt: str
    """The latest words of the user."""
    system: str = ""
    results: tuple[str, ...] = ()
    """What the tools answered, where they spoke last."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request asks of the reply."""

    tools: tuple[Tool, ...] = ()
    choice: Choice = field(default_factory=lambda: Choice("none"))
    parallel: bool = True
    as_json: bool = False
    schema: dict[str, Any] | None = None
    """A JSON schema that the reply has to be valid for."""
    limits: Limits = field(default_factory=Limits)
    appendix: str = ""
    """Text to add at the end, for a fault that needs it."""


@dataclass(frozen=True, slots=True)
class Said:
    """A reply: text in tokens, or calls with their arguments in tokens."""

    pieces: list[str]
    calls: list[tuple[ToolCall, list[str]]]
    finish: Finish

    @property
    def text(self) -> str:
        """The tokens of the text joined."""
        return "".join(self.pieces)

    @property
    def tokens(self) -> int:
        """How many tokens were generated; a call's name counts as one."""
        return len(self.pieces) + sum(1 + len(pieces) for _, pieces in self.calls)


def say(conversation: Conversation, wanted: Wanted, variant: int = 0) -> Said:
    """Return the reply; higher variants are other versions of it.

    Raises:
        ApiError: a schema in the request has no valid value that we can find.
    """
    text = _text(conversation, variant)
    if not conversation.results:
        calls = choose(wanted.tools, wanted.choice, wanted.parallel, conversation.prompt, text)
        if calls:
            return _cut_calls(
                [(call, tokens.split(call.arguments)) for call in calls], wanted.limits
            )
    if wanted.schema is not None:
        text = _as_schema(wanted.schema, conversation.prompt, text)
    elif wanted.as_json:
        text = json.dumps({"answer": text}, ensure_ascii=False)
    # JSON allows for spaces at its end, and for nothing else.
    filler = " " if wanted.as_json else None
    written = generation.write(text + wanted.appendix, wanted.limits, filler)
    return Said(written.pieces, [], written.finish)


def _text(conversation: Conversation, variant: int) -> str:
    if conversation.results:
        found = "; ".join(" ".join(result.split())[:200] for result in conversation.results)
        return f"The tool answered: {found}"
    return replies.reply(conversation.prompt, conversation.system, variant)


def _as_schema(schema: dict[str, Any], prompt: str, text: str) -> str:
    try:
        value = schemas.example(schema, schemas.words(prompt, text))
    except Unsatisfiable as problem:
        raise errors.ApiError(
            400,
            f"Invalid schema for response_format: {problem}",
            param="response_format",
        ) from None
    return json.dumps(value, ensure_ascii=False)


def _cut_calls(calls: list[tuple[ToolCall, list[str]]], limits: Limits) -> Said:
    if limits.most is None:
        return Said([], calls, "tool_calls")
    left = limits.most
    kept: list[tuple[ToolCall, list[str]]] = []
    for call, pieces in calls:
        if left < 1:
            return Said([], kept, "length")
        cut = pieces[: left - 1]
        kept.append((ToolCall(call.id, call.name, "".join(cut)), cut))
        if len(cut) < len(pieces):
            return Said([], kept, "length")
        left -= 1 + len(cut)
    return Said([], kept, "tool_calls")
