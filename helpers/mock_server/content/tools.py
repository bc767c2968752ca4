"""Which tools a reply calls, and with what arguments, or what text."""

import itertools
import json
import re
import secrets
from dataclasses import dataclass, replace
from typing import Any

from helpers.mock_server.content import patterns, schemas
from helpers.mock_server.content.validity import Unsatisfiable
from helpers.mock_server.protocol import errors

_SMALL_WORDS = """
    a an and any are as at by can do for from get fetch find give has have i in into is it its me my
    of on or please return returns run set show tell that the their this to use user what which with
    you your current given look up
"""
_COMMON = frozenset(_SMALL_WORDS.split())

CALLED = ("function", "custom")
"""Types of tools that the client runs: those that are called."""

MAX_CALLS = 8
"""The most calls in one reply, when a prompt lists many names."""

MAX_FREE_TEXT = 10_000
"""Characters of a text that a grammar describes."""


@dataclass(frozen=True, slots=True)
class Grammar:
    """What the text for a custom tool has to be like."""

    syntax: str
    """`regex` or `lark`."""
    definition: str


@dataclass(frozen=True, slots=True)
class Tool:
    """What a model may call: a function, or a custom tool, which takes a text and no JSON."""

    name: str
    description: str
    parameters: dict[str, Any]
    custom: bool = False
    grammar: Grammar | None = None

    def problem_of(self, text: str) -> str | None:
        """Return what is wrong with the text of a call; None for nothing."""
        if not self.custom:
            return schemas.problem_of(self.parameters, text)
        if self.grammar is None or self.grammar.syntax != "regex":
            return None
        try:
            fits = patterns.matches(_whole(self.grammar.definition), text, patterns.Steps())
        except patterns.NoText:
            return None  # beyond us: then the text is right
        return None if fits else f"not what its grammar describes: {text[:200]}"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool, with its arguments as JSON, or the text for a custom tool."""

    id: str
    name: str
    arguments: str
    custom: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """What a request says about calling: `none`, `auto`, `required` or `named`, and which tools."""

    mode: str
    names: tuple[str, ...] | None = None
    """The tools that may be called; None for all."""


def choose(
    tools: tuple[Tool, ...], choice: Choice, parallel: bool, prompt: str, reply: str
) -> list[ToolCall]:
    """Return the calls that answer a prompt; none where the reply is text.

    Under `auto` a tool is called when the prompt speaks of what its name or description says.
    Several names in one prompt ("in Paris and Rome") give a call each, where parallel calls are
    allowed.
    """
    if choice.names is not None:
        tools = tuple(tool for tool in tools if tool.name in choice.names)
    if choice.mode == "none" or not tools:
        return []
    low = prompt.lower()
    spoken = _stems(low)
    fitting = sorted(
        ((score, tool) for tool in tools if (score := _fit(tool, spoken, low)) > 0),
        key=lambda pair: -pair[0],
    )
    chosen = [tool for _, tool in fitting]
    if not chosen and choice.mode in ("required", "named"):
        chosen = [tools[0]]
    if not parallel:
        chosen = chosen[:1]
    calls: list[ToolCall] = []
    source = schemas.words(prompt, reply)
    for tool in chosen:
        for turn in range(_repeats(tool, source) if parallel else 1):
            if len(calls) == MAX_CALLS:
                return calls
            calls.append(_call(tool, replace(source, turn=turn)))
    return calls


def _call(tool: Tool, source: schemas.Words) -> ToolCall:
    if tool.custom:
        return ToolCall(new_id(), tool.name, _free_text(tool, source), custom=True)
    try:
        arguments = schemas.example(tool.parameters or {"type": "object"}, source)
    except Unsatisfiable as problem:
        raise errors.invalid(
            "tools",
            f"Invalid schema for function '{tool.name}': {problem}",
            "invalid_function_parameters",
        ) from None
    text = json.dumps(arguments, ensure_ascii=False)
    return ToolCall(new_id(), tool.name, text)


def _free_text(tool: Tool, source: schemas.Words) -> str:
    if tool.grammar is None:
        return source.prompt or source.reply
    said = f"Invalid grammar for custom tool '{tool.name}'"
    if tool.grammar.syntax == "lark":
        said = (
            f"{said}: this server writes no text from a Lark grammar. Give it one with the syntax "
            "'regex', or script the call."
        )
    else:
        pattern = _whole(tool.grammar.definition)
        guesses = [*schemas.guesses(source), source.prompt, source.reply]
        try:
            return patterns.matching(
                pattern, 0, MAX_FREE_TEXT, guesses, patterns.Steps(), source.turn
            )
        except patterns.NoText as problem:
            said = f"{said}: {problem}"
    raise errors.invalid("tools", said, "invalid_grammar")


def _whole(pattern: str) -> str:
    """Return a pattern that a text has to match from its beginning to its end."""
    return rf"^(?:{pattern})\Z"


def new_id() -> str:
    """Return an id for a call."""
    return f"call_{secrets.token_hex(12)}"


def _fit(tool: Tool, spoken: set[str], prompt: str) -> int:
    """Return how plainly a prompt asks for a tool: words in common with its name, description."""
    name = _stems(re.sub(r"([a-z])([A-Z])", r"\1 \2", tool.name).replace("_", " "))
    in_name = len(name & spoken)
    in_description = len(_stems(tool.description) & spoken)
    if tool.name.lower() in prompt or in_name or in_description >= 2:
        return 10 * in_name + in_description + 1
    return 0


def _stems(text: str) -> set[str]:
    found = set()
    for word in re.findall(r"[a-z]+", text.lower()):
        if word not in _COMMON and len(word) > 2:
            found.add(word[:5])  # "weather" and "weathers", "translate" and "translation"
    return found


def _repeats(tool: Tool, source: schemas.Words) -> int:
    """Return how many times a tool is called: once for each name in a list of names."""
    names = source.names[: MAX_CALLS + 1]
    properties = tool.parameters.get("properties")
    if len(names) < 2 or not isinstance(properties, dict):
        return 1
    takes_name = any(
        isinstance(part, dict) and part.get("type") == "string" and "enum" not in part
        for part in properties.values()
    )
    listed = any(
        re.search(
            rf"{re.escape(one)}\s*(?:,|and|or|,\s*and)\s+(?:in |for )?{re.escape(two)}",
            source.prompt,
        )
        for one, two in itertools.pairwise(names)
    )
    return min(len(names), MAX_CALLS) if takes_name and listed else 1


def what_is_open(schema: Any) -> str | None:
    """Return what a schema leaves open, as one that is `strict` must not; None for nothing."""
    waiting: list[tuple[tuple[str, ...], Any]] = [((), schema)]
    while waiting:
        context, part = waiting.pop()
        if isinstance(part, list):
            waiting += [((*context, str(at)), inner) for at, inner in enumerate(part)]
        if not isinstance(part, dict):
            continue
        waiting += [((*context, name), inner) for name, inner in part.items()]
        if part.get("type") != "object":
            continue
        properties, required = part.get("properties"), part.get("required")
        names = list(properties) if isinstance(properties, dict) else []
        listed = set(map(str, required)) if isinstance(required, list) else set()
        open_to = [name for name in names if name not in listed]
        if part.get("additionalProperties") is not False:
            said = "'additionalProperties' is required to be supplied and to be false."
            return f"In context={context}, {said}"
        if open_to:
            return (
                f"In context={context}, 'required' is required to be supplied and to be an array "
                f"including every key in properties. Missing '{open_to[0]}'."
            )
    return None
