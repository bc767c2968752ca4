"""Says what the values and names mean that a cell without an error has left behind."""

import ast
import asyncio
import dis
import inspect
import re
from collections.abc import Iterator, Mapping
from types import AsyncGeneratorType, CoroutineType
from typing import Any

from helpers.doctor import protocols, remedies
from helpers.doctor.errors import MANAGER, PAGE, is_manager, is_paginator
from helpers.doctor.finding import Finding, an
from helpers.doctor.protocols import COLLECTIONS, Names, items, not_started, plain_name
from helpers.doctor.source import Change, Source, given, root

LOOKED_AT = 8
"""Items of a list or dict that are looked at after each cell: whoever forgets an await in one has
mostly forgotten it in all, and a cell must not wait while thousands are looked through."""

DEPTH = 3
"""Lists within lists that are looked into: a table of rows, and the rows' own pairs."""

NOT_YOURS = re.compile(r"_+\d*|_i+|_i\d+|In|Out|_[doi]h")
"""Names that IPython gives to past inputs and outputs."""

LOOKERS = frozenset({"print", "display", "len", "type", "repr", "str"})
"""Functions that only look at what they are given."""

GATHERING = asyncio.tasks._GatheringFuture  # type: ignore[attr-defined]
"""What asyncio.gather gives."""

LATER = " If you await it later, all is well."

Waiting = list[tuple[str, Any]]
"""Coroutines that nobody has started, with the name, or `name.attribute`, that leads to each."""


def waiting_in(names: Mapping[str, Any]) -> Waiting:
    """Return the coroutines that nobody has started: alone, in collections, in your own objects.

    The names that IPython gives to past outputs do not count.
    """
    return [
        (path, one)
        for name, value in list(names.items())
        if not NOT_YOURS.fullmatch(name)
        for path, holder in _holders(name, value)
        for one in _inside(holder, LOOKED_AT)
        if type(one) is CoroutineType and not_started(one)
    ]


def _holders(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    kind = type(value)
    if kind is CoroutineType or kind in COLLECTIONS:
        yield name, value
    elif kind.__module__ == "__main__" and isinstance(getattr(value, "__dict__", None), dict):
        for attribute, one in list(vars(value).items())[:LOOKED_AT]:
            yield f"{name}.{attribute}", one


def _inside(value: Any, most: int, depth: int = DEPTH) -> Iterator[Any]:
    """Yield what is not a collection, in a value and in the collections that it holds."""
    if type(value) not in COLLECTIONS or depth == 0:
        yield value
        return
    for one in items(value, most):
        yield from _inside(one, most, depth - 1)


# --- the value that a cell shows --------------------------------------------------------------


def of_value(value: Any, source: Source, names: Names) -> Finding | None:
    """Return what the shown value means, if it is something that nobody has waited for."""
    expression = source.last_expression()
    if isinstance(expression, ast.Name) and _handed_on(source, expression.id):
        return None
    kind = type(value)
    if kind is CoroutineType:
        if not not_started(value) or _scheduled(value):
            return None
        made = _made(source, expression)
        return Finding(
            "This is a coroutine, and it was never awaited",
            _not_begun(value)
            + (
                " What was awaited here returned it without an await of its own."
                if isinstance(made, ast.Await)
                else ""
            ),
            _await_of(source, made, names),
            "03",
        )
    if kind is AsyncGeneratorType:
        if _begun(value):
            return None
        return Finding(
            "This is an async generator, and nothing has run yet",
            f"{_call(value)} yields its items one by one, each awaited, to an async for.",
            remedies.listed(source, expression, names, kind),
            "02",
        )
    if kind is GATHERING and not value.done() and isinstance(expression, ast.Call):
        return Finding(
            "This is a future: its calls are under way, and their answers are not here yet",
            "An await waits for all, and gives the list of what they return.",
            remedies.future_awaited(source, expression),
            "04",
        )
    if is_paginator(kind):
        return Finding(
            "This is a page that nobody has asked for yet",
            PAGE,
            remedies.page(source, expression, names),
            "03",
        )
    if is_manager(kind) and any(not_started(one) for one in vars(value).values()):
        word = "async with" if protocols.async_context(kind) else "with"
        return Finding(
            f"This is {an(plain_name(kind))}, and nobody has entered it",
            f"It wants {an(word)}. {MANAGER}",
            remedies.entered_as_it_stands(source, expression, kind),
            "02",
        )
    if kind in COLLECTIONS:
        waiting = [one for one in _inside(value, protocols.SOME) if _waits(one)]
        if waiting:
            made = _made(source, expression)
            return _many("This", value, waiting, source, made, names, expression)
    return None


def _made(source: Source, expression: ast.expr | None) -> ast.AST | None:
    if isinstance(expression, ast.Name):
        return source.made(expression.id, expression) or expression
    return expression


def _await_of(source: Source, made: ast.AST | None, names: Names) -> Change | None:
    if isinstance(made, ast.Await):
        return remedies.awaited_in_function(source, made, names)
    if isinstance(made, ast.For | ast.AsyncFor) and isinstance(made.target, ast.Name):
        uses = source.loads(made.target.id, made)
        return remedies.awaited(source, uses[0], names) if len(uses) == 1 else None
    return remedies.awaited_all(source, made, names)


# --- names ------------------------------------------------------------------------------------


def of_name(path: str, one: Any, source: Source, names: Names) -> Finding | None:
    """Return what it means that the cell has left a coroutine under that name."""
    name, _, attribute = path.partition(".")
    if _scheduled(one) or _handed_on(source, name):
        return None
    if attribute:
        return Finding(
            f"{path} is a coroutine, and nobody has awaited it yet",
            _not_begun(one) + LATER,
            remedies.attribute_awaited(source, attribute, names),
            "03",
        )
    value, made = names[name], source.made(name)
    for_good = any(
        isinstance(one, ast.For | ast.AsyncFor | ast.With | ast.AsyncWith)
        for one in (made, *source.above(made))
    )
    if type(value) in COLLECTIONS:
        waiting = [one for one in _inside(value, protocols.SOME) if not_started(one)]
        return _many(name, value, waiting, source, made, names)
    return Finding(
        f"{name} is a coroutine, and nobody has awaited it yet",
        # What a loop has passed over, or what belongs to a block that has ended, is past help.
        _not_begun(value) + ("" if for_good else LATER),
        _await_of(source, made, names),
        "03",
    )


def _many(
    subject: str,
    value: Any,
    waiting: list[Any],
    source: Source,
    made: ast.AST | None,
    names: Names,
    shown: ast.AST | None = None,
) -> Finding:
    kind = type(value)
    number = len(waiting)
    only_calls = all(_waits(one) or asyncio.isfuture(one) for one in items(value))
    name = "" if subject == "This" else subject
    path = shown.id if isinstance(shown, ast.Name) else name
    if only_calls:
        change = remedies.gathered(source, made, names, kind)
    else:
        change = remedies.awaited_all(source, made, names)
    if path and (filled := remedies.filled(source, path, kind, names, only_calls=only_calls)):
        change = filled
    count = f"{number} coroutines" if number > 1 else "a coroutine"
    if number > 1:
        title = f"{subject} is a {kind.__name__} of {count}, none of them awaited"
    else:
        title = f"{subject} is a {kind.__name__} with {count} that was never awaited"
    if name:
        title += " yet" if number > 1 else ""
    return Finding(
        title,
        f"{_call(waiting[0])} was called, but its body has not begun. "
        + (
            "asyncio.gather starts many and waits for all."
            if only_calls and number > 1
            else "Await each call where you make it."
        )
        + (LATER.replace(" it ", " them ") if name else ""),
        change,
        "03",
    )


# --- what has no name any more ----------------------------------------------------------------


def lost(source: Source, names: Names) -> Finding | None:
    """Return what it means that the source makes a coroutine where nobody can await it."""
    for node in source.walk():
        if isinstance(node, ast.Call):
            if finding := _key_for_a_blocking_client(node, source, names):
                return finding
            how = _lost_by(node, source)
            if how and _makes_coroutine(node, source, names):
                return _lost(node, how, source, names)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            how = _lost_by(node, source)
            if how and source.function(node) is not None:
                made = source.made(node.id, node)
                if (
                    isinstance(made, ast.Call)
                    and source.function(made) is source.function(node)
                    and _makes_coroutine(made, source, names)
                    and not _handed_on(source, node.id)
                    and isinstance(source.parent(made), ast.Assign)
                ):
                    return _lost(made, how, source, names)
    return None


def of_refusal(error: BaseException, cell: str, names: Names) -> Finding | None:
    """Return why a key was refused, if the cell gives a blocking client a coroutine for one.

    The server is shown the coroutine's name, and answers with a 401 unless it takes any key.
    """
    from openai import AuthenticationError

    if isinstance(error, AuthenticationError):
        source = Source(cell)
        for node in source.walk():
            if isinstance(node, ast.Call) and (
                finding := _key_for_a_blocking_client(node, source, names)
            ):
                return finding
    return None


def _lost(call: ast.Call, how: str, source: Source, names: Names) -> Finding:
    return Finding(
        f"A coroutine was {how}, and nobody can await it any more",
        f"{source.segment(call.func)}() was called, but its body never begins: a coroutine is a "
        "call that does nothing until it is awaited.",
        remedies.awaited(source, call, names),
        "03",
    )


def _lost_by(node: ast.expr, source: Source) -> str:
    """Return what becomes of the value of an expression that nobody else gets; "" if somebody."""
    match parent := source.parent(node):
        case ast.Expr() if isinstance(node, ast.Call):
            last = source.tree.body[-1] if source.tree and source.tree.body else None
            return "" if parent is last else "thrown away"
        case ast.FormattedValue():
            return "put into a text"
        case ast.Call(func=ast.Name(id="print")):
            return "printed"
        case ast.Call(func=ast.Name(id="str" | "repr" | "format")):
            return "put into a text"
        case ast.Call(func=ast.Attribute(value=ast.Constant(), attr="format")):
            return "put into a text"
        case ast.BinOp(left=ast.Constant(value=str()), op=ast.Mod()):
            return "put into a text"
        case ast.Compare(ops=[ast.Eq() | ast.NotEq() | ast.Is() | ast.IsNot(), *_]):
            return "compared"
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test) if test is node:
            return "asked whether it is true"
        case ast.Assert(test=test) if test is node:
            return "asked whether it is true"
        case ast.UnaryOp(op=ast.Not()) | ast.BoolOp():
            return "asked whether it is true"
    return ""


def _makes_coroutine(call: ast.Call, source: Source, names: Names) -> bool:
    """Whether the call gives a coroutine, by what its names stand for outside all functions."""
    owner = root(call.func)
    if isinstance(owner, ast.Name):
        scope = source.bindings(owner.id, call)
        if any(source.function(one) is not None for one in scope):
            client = _client_made(scope, names)
            if client is None:
                return False  # a function's own name: nobody knows what it stood for
            names = names.assuming(owner.id, client)
    return names.kind(call) is CoroutineType


def _client_made(scope: list[ast.AST], names: Names) -> type | None:
    """Return the class of an SDK's client that a function makes and calls so, all in one place."""
    match scope:
        case [ast.withitem(context_expr=made)] | [ast.Call() as made]:
            kind = names.kind(made)
            return kind if protocols.of_the_sdk(kind) else None
    return None


def _key_for_a_blocking_client(call: ast.Call, source: Source, names: Names) -> Finding | None:
    from openai import OpenAI

    if names.value(call.func) is not OpenAI:
        return None
    for keyword in call.keywords:
        if keyword.arg == "api_key" and inspect.iscoroutinefunction(names.function(keyword.value)):
            return Finding(
                "The api_key function of an OpenAI client must be a plain def",
                "The blocking client calls it before each request and does not await what it "
                "returns: the key that it sends is a coroutine's name.",
                remedies.key_awaited(source, keyword.value, names),
                "03",
            )
    return None


# --- objects ----------------------------------------------------------------------------------


def _handed_on(source: Source, name: str) -> bool:
    """Whether the source awaits the name, goes over it or gives it to a call: all is in order."""
    for node in source.walk():
        match node:
            case ast.Await(value=value) | ast.Starred(value=value):
                taken = [value]
            case ast.For(iter=value) | ast.AsyncFor(iter=value) | ast.comprehension(iter=value):
                taken = [value]
            case ast.Call(func=function) if getattr(function, "id", None) not in LOOKERS:
                taken = given(node)
            case _:
                continue
        if any(getattr(root(one), "id", None) == name for one in taken):
            return True
    return False


def _waits(one: Any) -> bool:
    return not_started(one) and not _scheduled(one)


def _begun(value: "AsyncGeneratorType[Any, Any]") -> bool:
    """Whether an async generator has run past its first RESUME; what comes before it makes it."""
    if value.ag_frame is None or value.ag_running:
        return True
    steps = dis.get_instructions(value.ag_code)
    first: int = next(step.offset for step in steps if step.opname == "RESUME")
    return value.ag_frame.f_lasti >= first


def _scheduled(value: Any) -> bool:
    """Whether a task will run the coroutine, though it has not begun."""
    try:
        return any(task.get_coro() is value for task in asyncio.all_tasks())
    except RuntimeError:
        return False


def _not_begun(value: Any) -> str:
    return (
        f"{_call(value)} was called, but its body has not begun: a coroutine is a call that does "
        "nothing until it is awaited."
    )


def _call(value: Any) -> str:
    return f"{value.__qualname__.rpartition('<locals>.')[2]}()"
