"""One turn of a conversation, whatever the API it came through: text, JSON or tool calls."""

import json
from dataclasses import dataclass, field, replace
from typing import Any

from helpers.mock_server.content import generation, replies, schemas, tokens
from helpers.mock_server.content.generation import Finish, Limits, Written
from helpers.mock_server.content.scripts import Script, Usage
from helpers.mock_server.content.tokens import Cost
from helpers.mock_server.content.tools import Choice, Tool, ToolCall, choose, new_id
from helpers.mock_server.content.validity import Unsatisfiable
from helpers.mock_server.protocol import errors
from helpers.mock_server.protocol.answers import Holds


@dataclass(frozen=True, slots=True)
class Conversation:
    """What was said so far, as far as a reply depends on it."""

    prompt: str
    """The latest words of the user."""
    system: str = ""
    results: tuple[str, ...] = ()
    """What the tools answered, where they spoke last."""
    last: str = ""
    """The last message, whosever it is."""
    turn: int = 1
    """Which turn of the model's is asked for: 1 where it has not spoken yet."""
    called: frozenset[str] = frozenset()
    """The tools that were called since the user last spoke."""


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
    """A reply: text in tokens, calls with their arguments in tokens, or both."""

    pieces: list[str]
    calls: list[tuple[ToolCall, list[str]]]
    finish: Finish
    reasoning: list[str] = field(default_factory=list)
    """What it thought before, in tokens."""
    refuses: bool = False
    """Whether the text is a refusal."""
    usage: Usage | None = None
    """What a script says that it cost; None for what was counted."""

    @property
    def text(self) -> str:
        """The tokens of the text joined."""
        return "".join(self.pieces)

    @property
    def tokens(self) -> int:
        """How many tokens were generated; a call's name counts as one."""
        called = sum(1 + len(pieces) for _, pieces in self.calls)
        return len(self.reasoning) + len(self.pieces) + called

    @property
    def holds(self) -> Holds:
        """Whether there is more to it than a text."""
        return "more" if self.calls or self.reasoning or self.refuses else "text"

    @property
    def written(self) -> Written:
        """The text alone, for an API that has nothing else."""
        return Written(self.pieces, self.finish)


def say(
    conversation: Conversation, wanted: Wanted, variant: int = 0, script: Script | None = None
) -> Said:
    """Return the reply; higher variants are other versions of it. A script says the same in each.

    Raises:
        ApiError: a schema in the request has no valid value that we can find.
    """
    if script is not None:
        return recite(script, wanted)
    text = _text(conversation, variant)
    calls = choose(
        _callable(conversation, wanted), wanted.choice, wanted.parallel, conversation.prompt, text
    )
    if calls:
        return _cut_calls(
            [(call, tokens.split(call.arguments)) for call in calls],
            wanted.limits,
            # As at OpenAI: a call that was forced by its name is no decision to call a tool.
            "stop" if wanted.choice.mode == "named" else "tool_calls",
        )
    if wanted.schema is not None:
        text = _as_schema(wanted.schema, conversation.prompt, text)
    elif wanted.as_json:
        text = json.dumps({"answer": text + wanted.appendix}, ensure_ascii=False)
    else:
        text += wanted.appendix
    # JSON allows for spaces at its end, and for nothing else.
    filler = " " if wanted.as_json else None
    written = generation.write(text, wanted.limits, filler)
    return Said(written.pieces, [], written.finish)


def cost(prompt: int, written: int, reasoned: int = 0, said: Usage | None = None) -> Cost:
    """Return what an answer cost: the tokens that were counted, or those that a script says."""
    given = said.model_dump(exclude_none=True) if said is not None else {}
    return replace(Cost(prompt, written, 0, reasoned), **given)


def check(script: Script, wanted: Wanted) -> None:
    """See to it that a script says what the request allows for.

    Raises:
        ValueError: it does not, and is not marked as unchecked.
    """
    if not script.check:
        return
    instead = 'To send it all the same, give the reply "check": false.'
    offered = {tool.name: tool for tool in wanted.tools}
    for call in script.tool_calls:
        tool = offered.get(call.name)
        if tool is None:
            known = ", ".join(offered) or "no tools"
            raise ValueError(f"it calls '{call.name}', but the request offers {known}. {instead}")
        if tool.custom and isinstance(call.arguments, dict):
            raise ValueError(f"'{call.name}' takes a text, not arguments: tool_call(name, text).")
        problem = tool.problem_of("".join(call.pieces))
        if problem is not None:
            raise ValueError(f"the arguments of '{call.name}' are {problem}. {instead}")
    if len(script.tool_calls) > 1 and not wanted.parallel:
        raise ValueError(
            f"it makes {len(script.tool_calls)} calls, but the request allows for one. {instead}"
        )
    if script.text is not None and not script.tool_calls and wanted.as_json:
        problem = schemas.problem_of(wanted.schema or {}, "".join(tokens.in_pieces(script.text)))
        if problem is not None:
            raise ValueError(f"its text is {problem}, though the request asks for it. {instead}")


def recite(script: Script, wanted: Wanted) -> Said:
    """Return what a script says, within the limits of a request."""
    limits = wanted.limits if script.check else Limits()
    reasoning = tokens.in_pieces(script.reasoning)
    if limits.most is not None:
        short = len(reasoning) > limits.most
        reasoning = reasoning[: limits.most]
        if short:
            return Said([], [], "length", reasoning, usage=script.usage)
        limits = replace(limits, most=limits.most - len(reasoning))
    pieces = tokens.in_pieces(script.text if script.refusal is None else script.refusal)
    customs = {tool.name for tool in wanted.tools if tool.custom}
    calls = [
        (
            ToolCall(call.id or new_id(), call.name, "".join(call.pieces), call.name in customs),
            call.pieces,
        )
        for call in script.tool_calls
    ]
    finish: Finish = "stop"
    if pieces or not calls:
        if wanted.appendix:
            pieces.append(wanted.appendix)
        # Before calls, a text is as long as it is: there is something after it.
        bound = replace(limits, least=0, exactly=None) if calls else limits
        written = generation.write("".join(pieces), bound, None, pieces)
        pieces, finish = written.pieces, written.finish
        if limits.most is not None:
            limits = replace(limits, most=limits.most - len(pieces))
    if calls and finish != "length":
        said = _cut_calls(calls, limits, "stop" if wanted.choice.mode == "named" else "tool_calls")
        calls, finish = said.calls, said.finish
    elif calls:
        calls = []
    return Said(
        pieces,
        calls,
        finish if finish == "length" else script.finish or finish,
        reasoning,
        refuses=script.refusal is not None,
        usage=script.usage,
    )


def _callable(conversation: Conversation, wanted: Wanted) -> tuple[Tool, ...]:
    """Return the tools that may be called at this point.

    A tool that is named may be called at any. The others once each after the user spoke: so an
    agent that has to call tools, one of which takes its result, comes to its end.
    """
    if wanted.choice.mode == "named":
        return wanted.tools
    if wanted.choice.mode == "required":
        return tuple(tool for tool in wanted.tools if tool.name not in conversation.called)
    return () if conversation.results else wanted.tools


def _text(conversation: Conversation, variant: int) -> str:
    if conversation.results:
        found = "; ".join(" ".join(result.split())[:200] for result in conversation.results)
        return f"The tool answered: {found}"
    return replies.reply(conversation.prompt, conversation.system, variant)


def _as_schema(schema: dict[str, Any], prompt: str, text: str) -> str:
    try:
        value = schemas.example(schema, schemas.words(prompt, text))
    except Unsatisfiable as problem:
        raise errors.invalid(
            "response_format", f"Invalid schema for response_format: {problem}"
        ) from None
    return json.dumps(value, ensure_ascii=False)


def _cut_calls(calls: list[tuple[ToolCall, list[str]]], limits: Limits, finish: Finish) -> Said:
    if limits.most is None:
        return Said([], calls, finish)
    left = limits.most
    kept: list[tuple[ToolCall, list[str]]] = []
    for call, pieces in calls:
        if left < 1:
            return Said([], kept, "length")
        cut = pieces[: left - 1]
        kept.append((replace(call, arguments="".join(cut)), cut))
        if len(cut) < len(pieces):
            return Said([], kept, "length")
        left -= 1 + len(cut)
    return Said([], kept, finish)
