"""Writes the repair of each kind of mistake: which words of the source to change, and to what.

Each returns None where no line can be offered that would work.
"""

import ast
import asyncio
import functools
import inspect
from collections.abc import Callable
from types import AsyncGeneratorType, CoroutineType
from typing import ParamSpec

from helpers.doctor import protocols
from helpers.doctor.protocols import Names
from helpers.doctor.source import TAKERS, Change, Edit, Source, Unchanged, called, given, root

P = ParamSpec("P")

ITEMS = "piece"
"""The name for the items of what is gone over."""


def offered(write: Callable[P, Change | None]) -> Callable[P, Change | None]:
    """Turn an edit that cannot be made into no offer."""

    @functools.wraps(write)
    def or_none(*args: P.args, **kwargs: P.kwargs) -> Change | None:
        try:
            return write(*args, **kwargs)
        except Unchanged:
            return None

    return or_none


@offered
def awaited(source: Source, target: ast.AST | None, names: Names) -> Change | None:
    """Await the call, and go on with its answer as an answer of that class wants."""
    if target is None or isinstance(target, ast.Await):
        return None
    edits = source.awaited(target)
    if isinstance(target, ast.Call):
        edits += _arguments_of(source, target, names)
    answer = names.answer(target) if isinstance(target, ast.Call) else None
    streams = names.streams(target) if isinstance(target, ast.Call) else False
    match holder := source.parent(target):
        case ast.For(iter=iterated) if iterated is target:
            if streams and protocols.async_iterable(answer):
                edits += source.asynchronous(holder)
            elif _could_stream(target, names):
                edits += source.asynchronous(holder)
                edits += source.keyword_added(target, "stream=True")  # type: ignore[arg-type]
        case ast.comprehension(iter=iterated) if iterated is target:
            if streams and protocols.async_iterable(answer) and not holder.is_async:
                return _in_list(source, target, edits)
        case ast.AsyncFor(iter=iterated) if iterated is target:
            if _could_stream(target, names):
                edits += source.keyword_added(target, "stream=True")  # type: ignore[arg-type]
            elif answer is not None and not protocols.async_iterable(answer):
                return None
        case ast.withitem():
            return _entered_awaited(source, target, edits, answer, names)
        case ast.Call(func=ast.Name(id="next") as function) if protocols.async_iterable(answer):
            taken = source.awaited(holder)
            edits = [*taken[:1], *source.replaced(function, "anext"), *edits, *taken[1:]]
    moved = _outer_await(source, target)
    if moved is not None:
        edits += source.not_awaited(moved)
    return source.change(edits)


def _arguments_of(source: Source, call: ast.Call, names: Names) -> list[Edit]:
    """Return the edits without which the call, once awaited, would fail for what it was given."""
    edits: list[Edit] = []
    match call.args:
        case [ast.expr() as many] if called(call) == "gather":
            if not isinstance(many, ast.Starred) and names.holds_awaitables(many):
                edits += _starred(source, many, names)
    if called(call) not in TAKERS:
        for one in given(call):
            if isinstance(one, ast.Call) and names.kind(one) is CoroutineType:
                edits += source.awaited(one)
    for node in ast.walk(call.func):
        if isinstance(node, ast.Call):
            edits += _key_called(source, node, names)
    return edits


def _could_stream(target: ast.AST, names: Names) -> bool:
    """Whether it is a call of the SDK that could have asked for a stream, and has not."""
    return (
        isinstance(target, ast.Call)
        and protocols.takes_stream(names.function(target.func))
        and names.streams(target) is False
    )


def _entered_awaited(
    source: Source, target: ast.AST, edits: list[Edit], answer: type | None, names: Names
) -> Change | None:
    statement = source.statement(target)
    match target:
        case ast.Call(func=ast.Attribute(value=owner, attr="acquire"), args=[], keywords=[]):
            if protocols.async_context(names.kind(owner)):
                edits = source.replaced(target, source.segment(owner))
                answer = names.kind(owner)
    if not protocols.async_context(answer):
        return None
    if isinstance(statement, ast.With):
        edits += source.asynchronous(statement)
        edits += _within(source, statement, target, protocols.entered(answer), True, names)
    return source.change(edits)


def _outer_await(source: Source, target: ast.AST) -> ast.Await | None:
    """Return the await of `await call().choices[0]`, which was meant for the call."""
    node, last = target, target
    for above in source.above(target):
        match above:
            case ast.Attribute(value=inner) | ast.Subscript(value=inner) if inner is node:
                pass
            case ast.Call(func=inner) if inner is node and _of_an_answer(node):
                pass
            case ast.Await() if node is not target and last is not target:
                return above
            case _:
                return None
        node = last = above
    return None


def _of_an_answer(node: ast.AST) -> bool:
    from pydantic import BaseModel

    name = getattr(node, "attr", "")
    return any(hasattr(kind, name) for kind in (str, list, dict, BaseModel))


@offered
def gathered(
    source: Source, target: ast.AST | None, names: Names, kind: type | None = None
) -> Change | None:
    """Await together all items of the target, a collection; a dict keeps its keys."""
    if target is None:
        return None
    gather, missing = names.asyncio_name("gather")
    keeps_keys = (kind or names.kind(target)) is dict
    if isinstance(target, ast.Tuple) and _is_unpacked(source, target):
        edits = source.wrapped(target, f"await {gather}(", ")")
        if source.segment(target).startswith("("):
            edits = source.wrapped(target, f"await {gather}")
        return source.change(edits, needs_asyncio=missing)
    before, after = f"await {gather}(*", ")"
    if isinstance(target, ast.Await) and not keeps_keys:  # what was awaited gave a collection
        return source.change(source.wrapped(target, before, after), needs_asyncio=missing)
    if keeps_keys and isinstance(target, ast.Name):
        before = f"dict(zip({target.id}, await {gather}(*"
        after = ".values())))"
    elif keeps_keys:
        calls = next(name for name in ("calls", "pending", "waiting") if name not in names)
        before, after = f"dict(zip({calls} := ", f", await {gather}(*{calls}.values())))"
        before, after = f"dict(zip(({calls} := ", f"), await {gather}(*{calls}.values())))"
    outer = source.parent(target)
    edits = []
    if isinstance(outer, ast.Await):
        if keeps_keys:
            edits = source.not_awaited(outer)
        else:
            before = before.removeprefix("await ")
    match outer:
        case ast.Attribute(value=inner) | ast.Subscript(value=inner) if inner is target:
            before, after = f"({before}", f"{after})"
    return source.change(edits, source.wrapped(target, before, after), needs_asyncio=missing)


def _is_unpacked(source: Source, value: ast.Tuple) -> bool:
    match source.parent(value):
        case ast.Assign(targets=[ast.Tuple()]):
            return not any(isinstance(item, ast.Starred) for item in value.elts)
    return False


@offered
def filled(
    source: Source, name: str, kind: type, names: Names, *, only_calls: bool
) -> Change | None:
    """Await what a collection was filled with after it was made; None if it was made full."""
    made = source.made(name)
    into = [
        node.value
        for node in source.walk()
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Subscript) and getattr(target.value, "id", "") == name
        if isinstance(node.value, ast.Call) and protocols.awaitable(names.kind(node.value))
    ]
    in_a_loop = any(
        isinstance(above, ast.For | ast.AsyncFor | ast.While)
        for value in into
        for above in source.above(value)
    )
    if into and not in_a_loop:
        return source.change([edit for value in into for edit in source.awaited(value)])
    if not only_calls or made is None or not _is_empty(made):
        return None
    gather, missing = names.asyncio_name("gather")
    line = f"{name} = await {gather}(*{name})"
    if kind is dict:
        line = f"{name} = dict(zip({name}, await {gather}(*{name}.values())))"
    return Change((), f"import asyncio; {line}" if missing else line)


@offered
def awaited_all(source: Source, target: ast.AST | None, names: Names) -> Change | None:
    """Await the call, or each of several in a literal, or by which several names are set."""
    if target is None:
        return None
    outer = source.parent(target)
    if isinstance(outer, ast.Tuple) and isinstance(source.parent(outer), ast.Assign):
        if all(protocols.awaitable(names.kind(item)) for item in outer.elts):
            return gathered(source, outer, names)
        target = outer
    if isinstance(target, ast.Call):
        return awaited(source, target, names)
    calls = [
        node
        for node in ast.walk(target)
        if isinstance(node, ast.Call)
        and names.kind(node) is CoroutineType
        and not isinstance(source.parent(node), ast.Await)
        and not source.is_taken(node)
    ]
    if not calls and isinstance(target, ast.expr) and not _is_literal(target):
        return awaited(source, target, names)
    if len(calls) == 1:
        return awaited(source, calls[0], names)
    return source.change([edit for call in calls for edit in source.awaited(call)])


def _is_literal(node: ast.AST) -> bool:
    return isinstance(node, ast.List | ast.Tuple | ast.Dict | ast.Set | ast.ListComp | ast.DictComp)


@offered
def attribute_awaited(source: Source, attribute: str, names: Names) -> Change | None:
    """Await the call whose coroutine an attribute was set to."""
    for node in source.walk():
        match node:
            case ast.Assign(targets=[ast.Attribute(attr=name)], value=value) if name == attribute:
                return awaited_all(source, value, names)
    return None


@offered
def entered_as_it_stands(source: Source, target: ast.AST | None, kind: type) -> Change | None:
    """Enter what a cell shows as its last expression."""
    first = _first_use(kind, "stream", protocols.async_context(kind))
    if not isinstance(target, ast.expr) or not first:
        return None
    word = "async with" if protocols.async_context(kind) else "with"
    return source.change(source.wrapped(target, f"{word} ", f" as stream: {first}"))


@offered
def entered_for_its_attribute(source: Source, target: ast.AST | None, kind: type) -> Change | None:
    """Enter what was shown an attribute of, and print that of what it gives."""
    attribute = source.parent(target) if target else None
    if not isinstance(attribute, ast.Attribute) or target is None:
        return None
    found = getattr(protocols.entered(kind), attribute.attr, None)
    if not isinstance(source.parent(attribute), ast.Expr) or found is None or callable(found):
        return None
    word = "async with" if protocols.async_context(kind) else "with"
    before = f"{word} {source.segment(target)} as response: "
    return source.change(source.replaced(attribute, f"{before}print(response.{attribute.attr})"))


@offered
def key_awaited(source: Source, function: ast.expr, names: Names) -> Change | None:
    """Give a blocking client the key, where it was given an async function that returns it."""
    if not protocols.needs_no_arguments(names.function(function)):
        return None
    return source.change(source.wrapped(function, "await ", "()"))


@offered
def named_function(source: Source, function: ast.Lambda) -> Change | None:
    """Write an `async def` for a lambda that was given a name."""
    match source.parent(function):
        case ast.Assign(targets=[ast.Name(id=name)]) as statement:
            begin, body = f"async def {name}", source.segment(function.body)
            arguments = ast.unparse(function.args)
            return source.change(source.replaced(statement, f"{begin}({arguments}): return {body}"))
    return None


@offered
def listed(source: Source, target: ast.AST | None, names: Names, kind: type | None = None
) -> Change | None:  # fmt: skip
    """Go over the target with `async for`, and hand on a list of its items where one is needed."""
    if target is None:
        return None
    streams = protocols.is_stream(kind) or kind is AsyncGeneratorType
    outer = source.parent(target)
    if isinstance(target, ast.Await) and isinstance(outer, ast.Await):  # awaited once too often
        change = source.wrapped(target, f"[{ITEMS} async for {ITEMS} in ", "]")
        return source.change(change[:1], source.not_awaited(outer), change[1:])
    waits = outer if isinstance(outer, ast.Await) and streams else None
    whole = waits or target
    holder = source.parent(whole)
    edits: list[Edit] = []
    if waits is not None and not isinstance(target, ast.Call | ast.Name):
        return None
    if waits is not None and (kind is AsyncGeneratorType or isinstance(target, ast.Name)):
        edits += source.not_awaited(waits)
    match holder:
        case ast.For(iter=iterated) if iterated is whole:
            return source.change(edits, source.asynchronous(holder))
        case ast.AsyncFor(iter=iterated) if iterated is whole:
            return source.change(edits)
        case ast.comprehension(iter=iterated) if iterated is whole:
            return _in_list(source, whole, edits)
        case ast.Call(func=ast.Name(id="list"), args=[only], keywords=[]) if only is whole:
            if isinstance(whole, ast.GeneratorExp):
                text = source.segment(whole)
                inner = text[1:-1] if text.startswith("(") and text.endswith(")") else text
                return source.change(source.replaced(holder, f"[{inner}]"))
            around = source.span(holder), source.span(whole)
            if around[0] and around[1]:
                edits += [
                    Edit(around[0][0], around[1][0], f"[{ITEMS} async for {ITEMS} in "),
                    Edit(around[1][1], around[0][1], "]"),
                ]
                return source.change(edits)
    if isinstance(whole, ast.GeneratorExp):
        return _in_list(source, whole.generators[0].iter, edits)
    wrap = source.wrapped(whole, f"[{ITEMS} async for {ITEMS} in ", "]")
    return source.change(wrap[:1], edits, wrap[1:])


def _in_list(source: Source, target: ast.AST, edits: list[Edit]) -> Change | None:
    """Make the comprehension that goes over the target asynchronous, a generator a list."""
    clause = source.parent(target)
    holder = source.parent(clause) if clause else None
    if not isinstance(clause, ast.comprehension) or holder is None:
        return None
    if not clause.is_async:
        edits = [*edits, *source.asynchronous(clause)]
    if isinstance(holder, ast.GeneratorExp):
        edits = [*edits, *_bracketed(source, holder)]
    else:
        match outer := source.parent(holder):
            case ast.AsyncFor(iter=iterated) if iterated is holder:  # a list, and no more
                edits = [*edits, *source.synchronous(outer)]
    return source.change(edits)


@offered
def next_one(source: Source, call: ast.AST | None, asynchronous: bool, kind: type | None
) -> Change | None:  # fmt: skip
    """Take the next item with `await anext`, or with `next`."""
    match call:
        case ast.Call(func=ast.Name(id="next" | "anext"), args=[items, *_]):
            pass
        case _:
            return None
    if not asynchronous:
        outer = source.parent(call)
        edits = source.not_awaited(outer) if isinstance(outer, ast.Await) else []
        return source.change(edits, source.replaced(call.func, "next"))
    if not hasattr(kind, "__anext__"):
        if not protocols.async_iterable(kind):
            return None
        edits = source.wrapped(items, "aiter(", ")")
    else:
        edits = []
    if isinstance(items, ast.Await) and kind is AsyncGeneratorType:
        edits += source.not_awaited(items)
    span = source.span(call.func)
    if span is None:
        return None
    wrap = source.awaited(call)
    return source.change(wrap[:1], edits, [Edit(*span, "anext")], wrap[1:])


@offered
def plain(source: Source, target: ast.AST | None, names: Names) -> Change | None:
    """Go over the target with a plain `for`."""
    holder = source.parent(target) if target else None
    edits: list[Edit] = []
    if isinstance(holder, ast.Await):
        edits, holder = source.not_awaited(holder), source.parent(holder)
    if _could_stream_plainly(target, names):
        edits += source.keyword_added(target, "stream=True")  # type: ignore[arg-type]
    if not isinstance(holder, ast.AsyncFor | ast.comprehension):
        return None
    if target is not None and called(target) == "as_completed":
        edits += _uses_awaited(source, holder)
    return source.change(edits, source.synchronous(holder))


def _uses_awaited(source: Source, loop: ast.AsyncFor | ast.comprehension) -> list[Edit]:
    """Await what a loop's name stands for, where the loop uses it."""
    within = loop if isinstance(loop, ast.AsyncFor) else source.parent(loop)
    uses = source.loads(loop.target.id, within) if isinstance(loop.target, ast.Name) else []
    if len(uses) > 1:
        raise Unchanged
    return [
        edit
        for use in uses
        if not isinstance(source.parent(use), ast.Await)
        for edit in source.awaited(use)
    ]


def _could_stream_plainly(target: ast.AST | None, names: Names) -> bool:
    return (
        target is not None
        and _could_stream(target, names)
        and names.kind(target) is not CoroutineType
    )


@offered
def streamed(source: Source, target: ast.AST | None, names: Names) -> Change | None:
    """Ask for a stream, where `async for` goes over a whole answer."""
    call = target.value if isinstance(target, ast.Await) else target
    if isinstance(call, ast.Name):
        made = source.made(call.id, call)
        call = made.value if isinstance(made, ast.Await) else made
    if call is None or not _could_stream(call, names):
        return None
    if names.kind(call) is not CoroutineType:
        return plain(source, target, names)
    return source.change(source.keyword_added(call, "stream=True"))  # type: ignore[arg-type]


@offered
def not_streamed(source: Source, target: ast.AST | None) -> Change | None:
    """Ask for a whole answer."""
    for _ in range(3):
        if isinstance(target, ast.Await | ast.NamedExpr):
            target = target.value
        elif isinstance(target, ast.Name):
            target = source.made(target.id, target)
    if not isinstance(target, ast.Call):
        return None
    return source.change(source.keyword_removed(target, "stream"))


@offered
def entered(source: Source, target: ast.AST | None, kind: type | None, name: str = "stream"
) -> Change | None:  # fmt: skip
    """Enter what was awaited: as a `with` of its own where the statement is no more than that."""
    statement = source.statement(target)
    asynchronous = protocols.async_context(kind)
    word = "async with" if asynchronous else "with"
    if not isinstance(target, ast.Await):
        return None
    match source.parent(target):
        case ast.withitem():
            if asynchronous or not isinstance(statement, ast.AsyncWith):
                return source.change(source.not_awaited(target))
            return source.change(source.not_awaited(target), source.synchronous(statement))
        case ast.Assign(targets=[ast.Name(id=name)]):
            pass
        case ast.Expr():
            pass
        case _:
            return None
    span = source.span(statement) if statement else None
    if span is None:
        return None
    first = _first_use(kind, name, asynchronous)
    inside = source.span(target.value)
    if inside is None or not first:
        return None
    return source.change(
        [Edit(span[0], inside[0], f"{word} "), Edit(inside[1], span[1], f" as {name}: {first}")]
    )


def _first_use(kind: type | None, name: str, asynchronous: bool) -> str:
    """Return what to do first with what such a manager gives."""
    given_there = protocols.entered(kind)
    for method in ("get_final_completion", "get_final_response", "parse"):
        if hasattr(given_there, method):
            waits = inspect.iscoroutinefunction(getattr(given_there, method))
            return f"answer = {'await ' if waits else ''}{name}.{method}()"
    if (
        given_there is None
        and kind is not None
        and kind.__name__.endswith("ResponseContextManager")
    ):
        return f"answer = {'await ' if asynchronous else ''}{name}.parse()"
    return ""


@offered
def entered_otherwise(
    source: Source, target: ast.AST | None, kind: type | None, names: Names
) -> Change | None:
    """Change `with` to `async with`, or back, and what the block does with what it gives.

    A blocking client whose block awaits is to be the async one.
    """
    statement = source.statement(target)
    if not isinstance(statement, ast.With | ast.AsyncWith):
        return None
    wants_async = isinstance(statement, ast.With)
    if not wants_async and _awaits(source, statement, target):
        match target:
            case ast.Call(func=ast.Name(id="OpenAI") as owner) if "AsyncOpenAI" in names:
                return source.change(source.replaced(owner, "AsyncOpenAI"))
            case ast.Call(func=ast.Attribute(attr="OpenAI") as owner):
                start = source.segment(owner).removesuffix("OpenAI")
                return source.change(source.replaced(owner, f"{start}AsyncOpenAI"))
    edits = source.asynchronous(statement) if wants_async else source.synchronous(statement)
    for item in statement.items:
        other = names.kind(item.context_expr)
        fits = protocols.async_context(other) if wants_async else protocols.context(other)
        if item.context_expr is not target and not fits:
            return None
    more = _within(source, statement, target, protocols.entered(kind), wants_async, names)
    return source.change(edits, more)


def _awaits(source: Source, statement: ast.stmt, target: ast.AST | None) -> bool:
    """Whether the block awaits what begins with the name that it gives its object."""
    item = next((one for one in statement.items if one.context_expr is target), None)  # type: ignore[attr-defined]
    name = getattr(item and item.optional_vars, "id", None)
    return any(
        isinstance(node, ast.Await) and getattr(root(node.value), "id", "") == name
        for node in ast.walk(statement)
    )


def _within(
    source: Source,
    statement: ast.With | ast.AsyncWith,
    target: ast.AST | None,
    kind: type | None,
    asynchronous: bool,
    names: Names,
) -> list[Edit]:
    """Return the edits that make the block's loops over, and calls of, its object fit."""
    item = next((one for one in statement.items if one.context_expr is target), None)
    item = item or next(iter(statement.items))
    if not isinstance(item.optional_vars, ast.Name):
        return []
    name, edits = item.optional_vars.id, list[Edit]()
    inside = names.assuming(name, kind)
    for load in source.loads(name, statement):
        match holder := source.parent(load):
            case ast.For(iter=iterated) if iterated is load and asynchronous:
                edits += source.asynchronous(holder)
            case ast.AsyncFor(iter=iterated) if iterated is load and not asynchronous:
                edits += source.synchronous(holder)
            case ast.comprehension(iter=iterated, is_async=is_async) if iterated is load:
                if asynchronous and not is_async:
                    edits += source.asynchronous(holder)
                elif is_async and not asynchronous:
                    edits += source.synchronous(holder)
            case ast.Attribute():
                edits += _call_within(source, load, inside, asynchronous)
    return edits


def _call_within(source: Source, load: ast.AST, names: Names, asynchronous: bool) -> list[Edit]:
    """Return the edits that await, or no longer await, the call of a chain such as `c.chat.f()`."""
    node = load
    while isinstance(above := source.parent(node), ast.Attribute):
        node = above
    call = source.parent(node)
    if not isinstance(call, ast.Call) or call.func is not node:
        return []
    waits = source.parent(call)
    if not asynchronous:
        return source.not_awaited(waits) if isinstance(waits, ast.Await) else []
    if isinstance(waits, ast.Await) or source.is_taken(call):
        return []
    if protocols.awaitable(names.kind(call)):
        edits = source.awaited(call)
        if isinstance(waits, ast.For) and protocols.async_iterable(names.answer(call)):
            edits += source.asynchronous(waits)
        return edits
    if isinstance(waits, ast.For) and protocols.async_iterable(names.kind(call)):
        return source.asynchronous(waits)
    return []


@offered
def parenthesised(source: Source, target: ast.AST | None, names: Names) -> Change | None:
    """Call what was handed over or awaited, if it can be called without arguments."""
    if target is None:
        return None
    edits = _called(source, target, names)
    # What the call gives may want an async for where the function stood in a plain one.
    match holder := source.parent(target):
        case ast.For(iter=iterated) if iterated is target:
            if inspect.isasyncgenfunction(names.function(target)):
                edits += source.asynchronous(holder)
        case ast.Await() if inspect.isasyncgenfunction(names.function(target)):
            return None
    return source.change(edits)


def _called(source: Source, function: ast.AST, names: Names) -> list[Edit]:
    if isinstance(function, ast.Lambda) or not protocols.needs_no_arguments(
        names.function(function)
    ):
        raise Unchanged
    return source.wrapped(function, "", "()")


@offered
def not_awaited(source: Source, target: ast.AST | None, kind: type | None) -> Change | None:
    """Take the `await` away, and the `async` of the loop or block that it stands in."""
    if not isinstance(target, ast.Await):
        return None
    edits = source.not_awaited(target)
    match holder := source.parent(target):
        case ast.AsyncFor(iter=iterated) | ast.comprehension(iter=iterated, is_async=1):
            if iterated is target:
                edits += source.synchronous(holder)
        case ast.withitem() if not protocols.async_context(kind):
            statement = source.statement(target)
            if isinstance(statement, ast.AsyncWith):
                edits += source.synchronous(statement)
    return source.change(edits)


@offered
def without_run(source: Source, call: ast.AST | None, names: Names) -> Change | None:
    """Await what was given to asyncio.run, or to a loop's run_until_complete."""
    if not isinstance(call, ast.Call) or not call.args:
        return None
    inner = call.args[0]
    kind = names.kind(inner)
    whole, part = source.span(call), source.span(inner)
    if whole is None or part is None:
        return None
    before, after = "await ", ""
    if protocols.function_like(kind):
        if not protocols.needs_no_arguments(names.function(inner)):
            return None
        after = "()"
    elif names.holds_awaitables(inner):
        gather, missing = names.asyncio_name("gather")
        if missing:
            return None
        before, after = f"await {gather}(*", ")"
    elif kind is not None and kind is not type(None) and not protocols.awaitable(kind):
        before = ""
        if protocols.async_iterable(kind) or protocols.async_context(kind):
            return None
    edits = [Edit(whole[0], part[0], before), Edit(part[1], whole[1], after)]
    match source.parent(call):
        case ast.Attribute(value=one) | ast.Subscript(value=one) if one is call:
            edits = [Edit(whole[0], part[0], f"({before}"), Edit(part[1], whole[1], f"{after})")]
    return source.change(edits)


@offered
def guarded(source: Source, target: ast.Subscript) -> Change | None:
    """Look whether there are choices before the first is taken."""
    statement, choices = source.statement(target), target.value
    if statement is None or not isinstance(choices, ast.Attribute):
        return None
    look = source.segment(choices)
    for clause in source.above(target):
        if isinstance(clause, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            for generator in clause.generators:
                if ast.unparse(generator.target) == ast.unparse(choices.value):
                    span = source.span(generator.iter)
                    if span is None:
                        return None
                    if generator.ifs:
                        return source.change(source.wrapped(generator.ifs[0], f"{look} and "))
                    return source.change([Edit(span[1], span[1], f" if {look}")])
        if clause is statement:
            break
    if isinstance(statement, ast.If):
        before = f"{look} and "
        if isinstance(statement.test, ast.BoolOp | ast.IfExp | ast.NamedExpr):
            return source.change(source.wrapped(statement.test, f"{before}(", ")"))
        return source.change(source.wrapped(statement.test, before))
    if hasattr(statement, "body"):
        return None
    return source.change(source.wrapped(statement, f"if {look}: "))


@offered
def or_else(source: Source, target: ast.AST, text: str) -> Change | None:
    """Go on with something empty where there may be None."""
    return source.change(source.wrapped(target, "(", f" or {text})"))


def _is_empty(node: ast.AST) -> bool:
    return ast.unparse(node) in ("[]", "{}", "list()", "dict()", "set()")


@offered
def awaited_in_function(source: Source, waits: ast.AST, names: Names) -> Change | None:
    """Put the await that a function of this source lacks where it returns a call un-awaited."""
    call = waits.value if isinstance(waits, ast.Await) else None
    for node in source.walk():
        if (
            isinstance(node, ast.AsyncFunctionDef)
            and call is not None
            and node.name == called(call)
            and (returned := _returned_call(node)) is not None
        ):
            return source.change(source.awaited(returned))
    if isinstance(waits, ast.Await):  # what was awaited comes from elsewhere: await what it gave
        return source.change(source.wrapped(waits, "await (", ")"))
    return None


def _returned_call(function: ast.AsyncFunctionDef) -> ast.Call | None:
    returns = [node for node in ast.walk(function) if isinstance(node, ast.Return)]
    calls = [one.value for one in returns if isinstance(one.value, ast.Call)]
    return calls[0] if len(calls) == 1 == len(returns) else None


@offered
def awaited_result(source: Source, call: ast.Call) -> Change | None:
    """Write `await task` for `task.result()`."""
    match call:
        case ast.Call(func=ast.Attribute(value=task, attr="result" | "exception")):
            pass
        case _:
            return None
    text = f"await {source.segment(task)}"
    match source.parent(call):
        case ast.Attribute(value=one) | ast.Subscript(value=one) if one is call:
            text = f"({text})"
    return source.change(source.replaced(call, text))


@offered
def made_a_task(source: Source, target: ast.AST | None, names: Names) -> Change | None:
    """Make a task of a call that is awaited more than once."""
    made = source.made(target.id, target) if isinstance(target, ast.Name) else None
    if not isinstance(made, ast.Call) or names.kind(made) not in (CoroutineType, None):
        return None
    create_task, missing = names.asyncio_name("create_task")
    return source.change(source.wrapped(made, f"{create_task}(", ")"), needs_asyncio=missing)


@offered
def cached_tasks(source: Source, call: ast.Call, names: Names) -> Change | None:
    """Let lru_cache keep tasks: at its decorator, if that stands here; else do without it."""
    for node in source.walk():
        match node:
            case ast.AsyncFunctionDef(name=name, decorator_list=[decorator]) if name == called(
                call
            ):
                cache = source.segment(decorator)
                ensure, _ = names.asyncio_name("ensure_future")
                if "asyncio" not in names:
                    return None
                keeps = f"lambda call: {cache}(lambda *args: {ensure}(call(*args)))"
                return source.change(source.replaced(decorator, keeps))
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(args=[function])):
                if name != called(call) or not protocols.is_cache(names[name]):
                    continue
                create_task, missing = names.asyncio_name("create_task")
                inner = f"lambda *args: {create_task}({source.segment(function)}(*args))"
                return source.change(source.replaced(function, inner), needs_asyncio=missing)
    span = source.span(call.func)
    return None if span is None else source.change([Edit(span[1], span[1], ".__wrapped__")])


# --- what was given to asyncio ----------------------------------------------------------------


def wrong_arguments(call: ast.Call, names: Names) -> dict[ast.expr, str]:
    """Return the parts of a call's arguments that cannot be awaited, with what each is."""
    found: dict[ast.expr, str] = {}
    many = called(call) in ("gather", "as_completed", "wait")
    arguments = call.args if many else call.args[:1]
    for argument in arguments:
        for leaf in _leaves(argument):
            what = _wrong(leaf, names, made_a_task=called(call) == "create_task")
            if what:
                found[leaf] = what
    return found


def _leaves(argument: ast.expr) -> list[ast.expr]:
    """Return the expressions that give what asyncio is to wait for."""
    match argument:
        case ast.Starred(value=ast.List(elts=items) | ast.Tuple(elts=items)):
            return [leaf for item in items for leaf in _leaves(item)]
        case ast.Starred(value=ast.ListComp(elt=item) | ast.GeneratorExp(elt=item)):
            return [item]
        case ast.Starred():
            return []
    return [argument]


def _wrong(leaf: ast.expr, names: Names, *, made_a_task: bool) -> str:
    kind = names.kind(leaf)
    if names.holds_awaitables(leaf):
        return "collection"
    if isinstance(leaf, ast.Await):
        return "" if protocols.awaitable(kind) else "awaited"
    if protocols.function_like(kind):
        return "function"
    if kind is CoroutineType or (kind is None and not isinstance(leaf, ast.Call)):
        return ""
    if protocols.awaitable(kind):
        if not made_a_task:
            return ""
        is_future = isinstance(kind, type) and issubclass(kind, asyncio.Future)
        return "future" if is_future else "awaitable"
    if protocols.async_iterable(kind):
        return "async items"
    if protocols.async_context(kind) or (protocols.context(kind) and protocols.of_the_sdk(kind)):
        return "manager"
    if isinstance(leaf, ast.Call):
        function = names.function(leaf.func)
        if kind is not None or protocols.blocks(function):
            return "blocking"
    return ""


def given_to_asyncio(source: Source, call: ast.Call, names: Names) -> tuple[str, Change | None]:
    """Return what was wrong with what a function of asyncio was given, and the repair."""
    wrong = wrong_arguments(call, names)
    what = next(iter(wrong.values()))
    return what, _given_to_asyncio(source, call, names, wrong)


@offered
def _given_to_asyncio(
    source: Source, call: ast.Call, names: Names, wrong: dict[ast.expr, str]
) -> Change | None:
    edits: list[Edit] = []
    for leaf, what in wrong.items():
        match what:
            case "collection" if called(call) == "gather":
                edits += _starred(source, leaf, names)
            case "collection" if called(call) in ("create_task", "ensure_future"):
                if not isinstance(call.func, ast.Attribute | ast.Name) or names.kind(
                    getattr(call.func, "value", None)
                ) in (asyncio.TaskGroup,):
                    return None
                gather, _ = names.asyncio_name("gather")
                dot = ".values()" if names.kind(leaf) is dict else ""
                edits += source.replaced(call, f"{gather}(*{source.segment(leaf)}{dot})")
            case "collection":
                gather, _ = names.asyncio_name("gather")
                dot = ".values()" if names.kind(leaf) is dict else ""
                edits += source.wrapped(leaf, f"{gather}(*", f"{dot})")
            case "function":
                edits += _called(source, leaf, names)
            case "awaited" if isinstance(leaf, ast.Await):
                edits += source.not_awaited(leaf)
            case "blocking" if isinstance(leaf, ast.Call):
                edits += _in_a_thread(source, leaf, names)
            case "future":
                edits += _in_place_of(source, call, leaf)
            case "awaitable" if not isinstance(source.parent(call.func), ast.Attribute):
                ensure, _ = names.asyncio_name("ensure_future")
                edits += source.replaced(call.func, ensure)
            case "async items" if len(call.args) == 1 or called(call) == "wait_for":
                edits += _all_items(source, call, leaf, names)
            case _:
                return None
    return source.change(edits)


def _starred(source: Source, target: ast.AST, names: Names) -> list[Edit]:
    """Put a star before an argument; a dict's values are what is wanted."""
    return source.wrapped(target, "*", ".values()" if names.kind(target) is dict else "")


@offered
def starred(source: Source, target: ast.AST, names: Names) -> Change | None:
    """Put a star before what is given to a function that takes any number of calls."""
    return source.change(_starred(source, target, names))


def _in_a_thread(source: Source, call: ast.Call, names: Names) -> list[Edit]:
    """Run a blocking call in a thread, whose end can be awaited."""
    to_thread, _ = names.asyncio_name("to_thread")
    function, whole = source.span(call.func), source.span(call)
    if function is None or whole is None:
        raise Unchanged
    comma = ", " if given(call) else ""
    end = function[1] + source.text[function[1] : whole[1]].index("(") + 1
    return [Edit(function[0], function[0], f"{to_thread}("), Edit(function[1], end, comma)]


def _in_place_of(source: Source, call: ast.Call, inner: ast.expr) -> list[Edit]:
    """Put an argument in the place of the call that was given it."""
    whole, part = source.span(call), source.span(inner)
    if whole is None or part is None:
        raise Unchanged
    return [Edit(whole[0], part[0], ""), Edit(part[1], whole[1], "")]


def _all_items(source: Source, call: ast.Call, items: ast.expr, names: Names) -> list[Edit]:
    """Put the list of an async generator's items in the place of the call that was given it."""
    outer = source.parent(call)
    if names.kind(items) is not AsyncGeneratorType:
        raise Unchanged
    match outer:
        case ast.Await():
            whole: ast.AST = outer
        case ast.Assign(targets=[ast.Name(id=name)]) if not source.loads(name):
            whole = call
        case ast.Expr():
            whole = call
        case _:
            raise Unchanged
    return source.replaced(whole, f"[{ITEMS} async for {ITEMS} in {source.segment(items)}]")


@offered
def tasks_for_wait(source: Source, call: ast.Call, names: Names) -> Change | None:
    """Make a task of each call that asyncio.wait is given."""
    if not call.args:
        return None
    create_task, missing = names.asyncio_name("create_task")
    calls = call.args[0]
    match calls:
        case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
            edits = [
                edit
                for item in items
                if not _is_future(names.kind(item))
                for edit in source.wrapped(item, f"{create_task}(", ")")
            ]
        case ast.ListComp(elt=item) | ast.SetComp(elt=item):
            edits = source.wrapped(item, f"{create_task}(", ")")
        case ast.GeneratorExp(elt=item):
            edits = [*source.wrapped(item, f"{create_task}(", ")"), *_bracketed(source, calls)]
        case _:
            before = f"[{create_task}(call) for call in "
            dot = ".values()" if names.kind(calls) is dict else ""
            edits = source.wrapped(calls, before, f"{dot}]")
    return source.change(edits, needs_asyncio=missing)


def _is_future(kind: type | None) -> bool:
    return kind is not None and issubclass(kind, asyncio.Future)


# --- other ways to go over and to enter -------------------------------------------------------


@offered
def gathered_in_place(source: Source, target: ast.AST | None, names: Names) -> Change | None:
    """Await together what was awaited, or gone over by `async for`, as a collection."""
    if target is None:
        return None
    inner = target.value if isinstance(target, ast.Await) else target
    change = gathered(source, inner, names)
    match holder := source.parent(inner):
        case ast.AsyncFor(iter=iterated) | ast.comprehension(iter=iterated) if iterated is inner:
            gather, missing = names.asyncio_name("gather")
            dot = ".values()" if names.kind(inner) is dict else ""
            edits = source.wrapped(inner, f"await {gather}(*", f"{dot})")
            return source.change(source.synchronous(holder), edits, needs_asyncio=missing)
    return change


@offered
def page(source: Source, target: ast.AST | None, names: Names) -> Change | None:
    """Go over a page with `async for`, or await it."""
    if target is None:
        return None
    match holder := source.parent(target):
        case ast.For(iter=iterated) if iterated is target:
            return source.change(source.asynchronous(holder))
        case ast.comprehension(iter=iterated) if iterated is target:
            return _in_list(source, target, [])
        case ast.Call() if called(holder) in ("list", "tuple", "set", "sorted", "sum"):
            return listed(source, target, names, None)
    made = source.made(target.id, target) if isinstance(target, ast.Name) else None
    moved = _outer_await(source, target)
    edits = source.awaited(made if isinstance(made, ast.Call) else target)
    return source.change(edits, source.not_awaited(moved) if moved else [])


@offered
def future_awaited(source: Source, target: ast.AST | None) -> Change | None:
    """Await a future, and go over its result with a plain `for`."""
    if target is None:
        return None
    edits = source.awaited(target)
    match holder := source.parent(target):
        case ast.AsyncFor() | ast.comprehension(is_async=1):
            edits += source.synchronous(holder)
    return source.change(edits)


@offered
def streamed_in_with(source: Source, target: ast.AST | None, names: Names) -> Change | None:
    """Ask for a stream, where `with` enters a whole answer."""
    call = target.value if isinstance(target, ast.Await) else target
    if call is None or not _could_stream(call, names):
        return None
    edits = source.keyword_added(call, "stream=True")  # type: ignore[arg-type]
    statement = source.statement(target)
    if isinstance(statement, ast.AsyncWith) and not isinstance(target, ast.Await):
        edits += source.synchronous(statement)
    return source.change(edits)


@offered
def closing(source: Source, target: ast.AST | None, names: Names) -> Change | None:
    """Make a context manager of an async generator."""
    statement = source.statement(target)
    if target is None or statement is None:
        return None
    edits = source.wrapped(target, "contextlib.aclosing(", ")")
    if isinstance(statement, ast.With):
        edits += source.asynchronous(statement)
        edits += _within(source, statement, target, AsyncGeneratorType, True, names)
    if "contextlib" not in names:
        span = source.span(statement)
        if span is None or "\n" not in source.text[: span[0]]:
            return None
        return None
    return source.change(edits)


@offered
def entered_itself(source: Source, target: ast.AST | None, owner: ast.AST) -> Change | None:
    """Enter the lock or semaphore itself."""
    statement = source.statement(target)
    if target is None or not isinstance(statement, ast.With | ast.AsyncWith):
        return None
    edits = source.replaced(target, source.segment(owner))
    if isinstance(statement, ast.With):
        edits += source.asynchronous(statement)
    return source.change(edits)


@offered
def entered_and_gone_over(source: Source, target: ast.AST | None, kind: type | None
) -> Change | None:  # fmt: skip
    """Enter what a loop went over, and go over what it gives."""
    statement = source.statement(target)
    asynchronous = protocols.async_context(kind)
    given_there = protocols.entered(kind)
    gives_items = (
        protocols.async_iterable(given_there) if asynchronous else protocols.iterable(given_there)
    )
    span = source.span(statement) if statement else None
    if (
        target is None
        or span is None
        or not gives_items
        or not isinstance(statement, ast.For | ast.AsyncFor)
        or statement.orelse
        or source.parent(target) is not statement
    ):
        return None
    word = "async " if asynchronous else ""
    head = f"{word}with {source.segment(target)} as stream:"
    loop = f"{word}for {source.segment(statement.target)} in stream"
    begin, _ = source.span(statement.body[0]) or span
    if statement.body[0].lineno == statement.lineno:
        match statement.body:
            case [ast.Expr(value=value)]:
                line = f"{head} [{source.segment(value)} {loop}]"
                return source.change([Edit(*span, line)])
        return None
    margin = _indent(source, span[0])
    body = source.text[begin - len(_indent(source, begin)) : span[1]]
    inner = "\n".join(f"    {line}" if line else line for line in body.split("\n"))
    return source.change([Edit(*span, f"{head}\n{margin}    {loop}:\n{inner}")])


def _indent(source: Source, place: int) -> str:
    begin = source.text.rfind("\n", 0, place) + 1
    return source.text[begin:place]


@offered
def key_called(source: Source, names: Names) -> Change | None:
    """Give a client the key, where it was given a plain function that returns it."""
    for node in source.walk():
        if isinstance(node, ast.Call) and (edits := _key_called(source, node, names)):
            return source.change(edits)
    return None


def _key_called(source: Source, call: ast.Call, names: Names) -> list[Edit]:
    return [
        edit
        for keyword in call.keywords
        if called(call) == "AsyncOpenAI" and keyword.arg == "api_key"
        if protocols.function_like(names.kind(keyword.value))
        if not inspect.iscoroutinefunction(names.function(keyword.value))
        for edit in _called(source, keyword.value, names)
    ]


def _bracketed(source: Source, generator: ast.GeneratorExp) -> list[Edit]:
    """Make a list of a generator expression, an argument or not."""
    span, outer = source.span(generator), source.parent(generator)
    if span is None:
        raise Unchanged
    start, end = span
    if not _in_parentheses(source, generator):
        return [Edit(start, start, "["), Edit(end, end, "]")]
    match outer:
        case ast.Call(args=[only], keywords=[]) if only is generator:
            shared = source.span(outer)
            if shared is not None and shared[1] == end:  # the call's own parentheses
                return [Edit(start + 1, start + 1, "["), Edit(end - 1, end - 1, "]")]
    return [Edit(start, start + 1, "["), Edit(end - 1, end, "]")]


def _in_parentheses(source: Source, generator: ast.GeneratorExp) -> bool:
    span = source.span(generator)
    return span is not None and source.text[span[0]] == "(" and source.text[span[1] - 1] == ")"
