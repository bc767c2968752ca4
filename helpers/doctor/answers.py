"""Says what is missing in an answer that came under a 200, so that the SDK raised nothing."""

import ast
from collections.abc import Iterator

from helpers.doctor import protocols, remedies
from helpers.doctor.finding import Finding
from helpers.doctor.protocols import Names
from helpers.doctor.source import Change, parts
from helpers.doctor.spots import Spot
from helpers.doctor.texts import NOTHING

MISSING = {
    "choices": (
        "The server sent no choices",
        "It answered 200 all the same, so that the SDK raised nothing. An error may stand in their "
        "place: look at model_extra of what you got, before you take the first choice.",
    ),
    "output": (
        "The server sent no output",
        "It answered 200 all the same, so that the SDK raised nothing. An error may stand in its "
        "place: look at model_extra of what you got.",
    ),
    "message": (
        "The choice has no message",
        "The server sent null in its place, under a 200, so that the SDK raised nothing.",
    ),
    "delta": (
        "This chunk has no delta",
        "Some servers send null in its place, in the last chunk of a stream. Look before you "
        "read its content.",
    ),
    "content": (
        "There is no text here: content is None",
        "A chunk that says who speaks, thinks or ends has none. A whole answer has none when the "
        "model calls a tool, refuses, or thought until max_tokens were used up: finish_reason "
        "and refusal say which.",
    ),
    "tool_calls": (
        "There are no tool calls here: tool_calls is None",
        "A model that answers with text calls no tool, and a chunk has a piece of a call or none.",
    ),
    "usage": (
        "There is no usage here",
        "Some servers never count the tokens. A stream's comes in its last chunk alone, when "
        'stream_options={"include_usage": True} asked for it.',
    ),
}
"""Title and explanation, by the field that may be None."""

EMPTY = {"content": '""', "tool_calls": "[]"}
"""What can stand in a field's place when it is None, and goes on as if nothing had come."""


def of_nothing(error: BaseException, spot: Spot) -> Finding | None:
    """Return what a field of an answer that is None, or without items, made fail; or None."""
    if isinstance(error, IndexError):
        return _no_choices(spot)
    if not isinstance(error, TypeError | AttributeError) or not NOTHING.search(str(error)):
        return None
    for part in _parts(spot):
        field = _field(part, spot)
        if field is not None:
            title, explanation = MISSING[field.attr]
            return Finding(title, explanation, _change(field, spot), "08")
    return None


def _no_choices(spot: Spot) -> Finding | None:
    match spot.node:
        case ast.Subscript(value=ast.Attribute(value=owner, attr="choices")) as node:
            kind = spot.names.kind(owner)
            if not (_gone(owner, spot.names) or protocols.of_the_sdk(kind)):
                return None
            if spot.names.value(node.value):
                return None  # there are some, and fewer than were asked for
            if protocols.answer_of_the_sdk(kind) and not _is_chunk(owner, spot.names):
                return Finding(*MISSING["choices"], None, "08")
            return Finding(
                "This chunk has no choices",
                "One that carries the usage, at a stream's end, has none; at Azure the first has "
                "none either. Look before you take one.",
                remedies.guarded(spot.source, node),
                "02",
            )
    return None


def _parts(spot: Spot) -> Iterator[ast.AST]:
    node = spot.node
    if isinstance(node, ast.AugAssign):
        yield node.value
        return
    if spot.took and node is not None:
        yield node
    yield from parts(node)


def _field(part: ast.AST | None, spot: Spot) -> ast.Attribute | None:
    """Return the field that may be None: the part itself, or what its name was made from."""
    if isinstance(part, ast.Name):
        part = spot.source.made(part.id, part)
    match part:
        case ast.Attribute(attr=attribute) if attribute in MISSING:
            return part if _of_an_answer(part, spot) else None
    return None


def _of_an_answer(field: ast.Attribute, spot: Spot) -> bool:
    """Whether it is a field of what the SDK gave, and is None there if that can still be seen."""
    owner: ast.AST = field.value
    names = spot.names
    while True:
        value = names.value(owner)
        if value is not None:
            return protocols.of_the_sdk(type(value)) and names.value(field) is None
        match owner:
            case ast.Attribute(value=owner) | ast.Subscript(value=owner):
                pass
            case ast.Await(value=owner):
                pass
            case ast.Call(func=function):
                return protocols.sends(names.function(function))
            case _:
                return _gone(owner, names)


def _gone(node: ast.AST, names: Names) -> bool:
    """Whether it is a comprehension's own name, which goes when the comprehension fails."""
    return isinstance(node, ast.Name) and node.id not in names


def _change(field: ast.Attribute, spot: Spot) -> Change | None:
    if field.attr in EMPTY:
        return remedies.or_else(spot.source, field, EMPTY[field.attr])
    if isinstance(spot.node, ast.Subscript) and _is_chunk(field.value, spot.names):
        return remedies.guarded(spot.source, spot.node)
    return None


def _is_chunk(owner: ast.AST, names: Names) -> bool:
    return "Chunk" in protocols.plain_name(names.kind(owner))
