"""Finds the line to change in the source of a cell or file, and writes what to change it to."""

import ast
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

LONGEST = 76
"""Letters of a line on a card. A longer call is shown without its arguments."""

LOOKERS = frozenset({"print", "display", "len", "type", "repr", "str"})
"""Functions that only look at what they are given."""

_SCOPES = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef
_COMPREHENSIONS = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


@dataclass(frozen=True, slots=True)
class Change:
    """A line as it is, and as it should be."""

    line: int | None
    before: str
    after: str


def parsed(source: str) -> ast.Module | None:
    """Return the tree, as a cell's source may hold a top-level await; None if it cannot be read."""
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError):
        return None


def last_expression(source: str) -> ast.AST | None:
    """Return the expression whose value the cell shows."""
    tree = parsed(source)
    if tree is None or not tree.body or not isinstance(tree.body[-1], ast.Expr):
        return None
    value = tree.body[-1].value
    if isinstance(value, ast.Name):
        return assigned(source, value.id, value) or value
    return value


def last_name(source: str) -> str | None:
    """Return the name whose value the cell shows, if it shows one."""
    tree = parsed(source)
    match tree.body[-1:] if tree else ():
        case [ast.Expr(value=ast.Name(id=name))]:
            return name
    return None


def handed_on(source: str, name: str | None) -> bool:
    """Whether the source awaits the name, goes over it or gives it to a call: all is in order."""
    tree = parsed(source)
    for node in ast.walk(tree) if tree and name else ():
        match node:
            case ast.Await(value=value) | ast.Starred(value=value):
                taken = [value]
            case ast.For(iter=value) | ast.AsyncFor(iter=value) | ast.comprehension(iter=value):
                taken = [value]
            case ast.Call(func=function) if getattr(function, "id", None) not in LOOKERS:
                taken = _given(node)
            case _:
                continue
        if any(getattr(_root(one), "id", None) == name for one in taken):
            return True
    return False


def assigned(source: str, name: str, use: ast.AST | None = None) -> ast.AST | None:
    """Return what the name was last set to before the use, in the innermost scope that sets it.

    Without a use: at the end of the source, outside all functions.
    """
    tree = parsed(source)
    if tree is None:
        return None
    scopes: list[ast.AST] = [tree]
    if use is not None:
        scopes += (
            node for node in ast.walk(tree) if isinstance(node, _SCOPES) and _covers(node, use)
        )
    for scope in reversed(scopes):
        inside = list(_inside(scope))
        if not any(_binds(node, name) for node in inside):
            continue
        values = [value for node in inside for value in _set_by(node, name)]
        values = [value for value in values if use is None or not _covers(value, use)]
        earlier = [value for value in values if use is None or _place(value) < _place(use)]
        return max(earlier or values, key=_place, default=None)
    return None


def maker(source: str, culprit: ast.AST | None) -> ast.AST | None:
    """Return the call that the named culprit came from, if it stands in the same source."""
    if not isinstance(culprit, ast.Name):
        return None
    made = assigned(source, culprit.id, culprit)
    return made if isinstance(made, ast.Call) else None


def awaited_or_returned(source: str, target: ast.AST | None, name: str) -> Change | None:
    """Put `await` before the target; if it has one already, where a function returns the call."""
    if not isinstance(target, ast.Await):
        return awaited(source, target)
    tree = parsed(source)
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Call):
            function = node.value.func
            if name in (getattr(function, "id", None), getattr(function, "attr", None)):
                return awaited(source, node.value)
    return None


def node_at(source: str, position: tuple[int | None, ...]) -> ast.AST | None:
    """Return the smallest part of the source that covers (line, end line, column, end column)."""
    tree = parsed(source)
    if tree is None or len(position) != 4 or None in position:
        return None
    line, end_line, column, end_column = position
    best: ast.AST | None = None
    for node in ast.walk(tree):
        if not isinstance(node, ast.expr | ast.stmt) or node.end_lineno is None:
            continue
        begins = (node.lineno, node.col_offset) <= (line, column)
        ends = (node.end_lineno, node.end_col_offset) >= (end_line, end_column)
        if begins and ends:
            best = node  # walk goes from the outside in
    return best


def parts(node: ast.AST | None) -> Iterator[ast.AST]:
    """Yield, most likely first, the parts of a failed expression that may be what failed."""
    match node:
        case None:
            return
        case ast.Attribute(value=value) | ast.Subscript(value=value):
            yield value
        case ast.Await(value=value):
            yield from parts(value)
        case ast.For(iter=value) | ast.AsyncFor(iter=value):
            yield value
        case ast.With(items=items) | ast.AsyncWith(items=items):
            yield from (item.context_expr for item in items)
        case ast.BinOp(left=left, right=right):
            yield from (left, right)
        case ast.Compare(left=left, comparators=others):
            yield from (left, *others)
        case ast.Call(func=function):
            for argument in _given(node):
                yield from _flat(argument)
            yield function
            yield node
        case ast.List() | ast.Tuple() | ast.Set() | ast.Dict():
            yield from _flat(node)
        case ast.ListComp(generators=generators) | ast.GeneratorExp(generators=generators):
            yield from (generator.iter for generator in generators)
        case ast.Assign(value=value):
            yield value
            yield from parts(value)
        case _:
            yield node


def awaited(source: str, target: ast.AST | None) -> Change | None:
    """Put `await` before the target."""
    change = _changed(source, target, lambda node: ast.Await(node))
    if change and (
        change.after.startswith("with await ")
        or (change.after.startswith("for ") and _is_streaming(target))
    ):
        return replace(change, after=f"async {change.after}")
    return change


def gathered(source: str, target: ast.AST | None, kind: type) -> Change | None:
    """Await together all items of the target, a collection of that kind."""
    tree = parsed(source)
    statement = _statement(tree, target)
    if isinstance(statement, ast.Assign) and _is_empty(target):  # filled later, in a loop
        name = ast.unparse(statement.targets[0])
        items = f"{name}.values()" if kind is dict else name
        return Change(None, "", f"{name} = await asyncio.gather(*{items})")
    return _changed(source, target, lambda node: ast.Await(_gather(node, kind)))


def together(source: str, target: ast.AST | None, kind: type) -> Change | None:
    """Give all items of what is awaited to asyncio.gather."""
    value = target.value if isinstance(target, ast.Await) else None
    return _changed(source, value, lambda node: _gather(node, kind))


def unpacked(source: str, target: ast.AST | None) -> Change | None:
    """Put a star before the target, an argument."""
    return _changed(source, target, lambda node: ast.Starred(node))


def called(source: str, target: ast.AST | None, kind: str) -> Change | None:
    """Call what is awaited; None if that is a call, which was given what it could not await."""
    value = target.value if isinstance(target, ast.Await) else None
    if isinstance(value, ast.Call):
        return None
    arguments: list[ast.expr] = [ast.Name("…")] if kind == "method" else []
    return _changed(source, value, lambda node: ast.Call(node, arguments, []))


def not_awaited(source: str, target: ast.AST | None) -> Change | None:
    """Take the `await` away."""
    if not isinstance(target, ast.Await):
        return None
    return _changed(source, target, lambda node: node.value)  # type: ignore[attr-defined]


def without_run(source: str, target: ast.AST | None, _: object = None) -> Change | None:
    """Await what was given to asyncio.run, or to a loop's run_until_complete."""
    if not isinstance(target, ast.Call) or not target.args:
        return None
    return _changed(source, target, lambda node: ast.Await(node.args[0]))  # type: ignore[attr-defined]


def iterated(source: str, target: ast.AST | None) -> Change | None:
    """Go over the target with `async for`."""
    target = target.value if isinstance(target, ast.Await) else target
    tree = parsed(source)
    statement = _statement(tree, target)
    if statement is None or not isinstance(target, ast.expr):
        return None
    before = _head(statement)
    target = _same(statement, target)
    _shorten(target)
    name = "piece"
    if isinstance(statement, ast.For) and isinstance(statement.target, ast.Name):
        name = statement.target.id
    after = f"async for {name} in {ast.unparse(target)}:"
    return Change(statement.lineno, _short(before, statement), after)


def without_async(source: str, target: ast.AST | None) -> Change | None:
    """Go over the target with a plain `for`."""
    target = target.iter if isinstance(target, ast.AsyncFor) else target
    statement = _statement(parsed(source), target)
    if statement is None or target is None:
        return None
    before = _short(_head(statement), statement)
    if isinstance(statement, ast.AsyncFor):
        return Change(statement.lineno, before, before.removeprefix("async "))
    for part in _own(statement):
        if isinstance(part, _COMPREHENSIONS) and _covers(part, target):
            part.generators[0].is_async = 0
            return Change(statement.lineno, before, _head(statement))
    return None


def guarded(source: str, target: ast.Subscript) -> Change | None:
    """Look whether there are choices before the first is taken."""
    statement = _statement(parsed(source), target)
    if statement is None or not isinstance(target.value, ast.Attribute):
        return None
    before, choices = _head(statement), target.value
    for part in _own(statement):
        if isinstance(part, _COMPREHENSIONS) and _covers(part, target):
            for generator in part.generators:
                if ast.unparse(generator.target) == ast.unparse(choices.value):
                    generator.ifs.insert(0, choices)
                    return Change(statement.lineno, before, _head(statement))
    if isinstance(statement, ast.If):
        statement.test = ast.BoolOp(ast.And(), [choices, statement.test])
        return Change(statement.lineno, before, _head(statement))
    if hasattr(statement, "body"):
        return None
    return Change(statement.lineno, before, f"if {ast.unparse(choices)}: {before}")


# --- the work ---------------------------------------------------------------------------------


def _changed(
    source: str, target: ast.AST | None, wrap: Callable[[ast.expr], ast.expr]
) -> Change | None:
    statement = _statement(parsed(source), target)
    if statement is None or not isinstance(target, ast.expr):
        return None
    target = _same(statement, target)
    if len(_head(statement)) + len(" await") > LONGEST:
        _shorten(target)
    before = _head(statement)
    _Swap(target, wrap(target)).visit(statement)
    return Change(statement.lineno, before, _head(statement))


def _statement(tree: ast.Module | None, target: ast.AST | None) -> ast.stmt | None:
    """Return the innermost statement of a fresh tree that holds the target's place."""
    if tree is None or target is None:
        return None
    found = None
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and any(
            _place(part) == _place(target) for part in _own(node)
        ):
            found = node
    if found is not None and "get_ipython()." in _head(found):
        return None  # a magic: nobody has written the line that it became
    return found


def _own(statement: ast.stmt) -> Iterator[ast.AST]:
    """Yield the statement's own expressions, not those of statements inside it."""
    for child in ast.iter_child_nodes(statement):
        if not isinstance(child, ast.stmt | ast.ExceptHandler):
            yield from ast.walk(child)


def _same(statement: ast.stmt, target: ast.expr) -> ast.expr:
    """Return the target's double in the statement's tree."""
    for part in _own(statement):
        if type(part) is type(target) and _place(part) == _place(target):
            return part
    return target


def _covers(outer: ast.AST, inner: ast.AST) -> bool:
    line, column, end_line, end_column = _place(inner)
    outer_line, outer_column, outer_end_line, outer_end_column = _place(outer)
    return (outer_line, outer_column) <= (line, column) and (end_line, end_column) <= (
        outer_end_line,
        outer_end_column,
    )


def _inside(scope: ast.AST) -> Iterator[ast.AST]:
    """Yield the scope's parts, not those of scopes inside it."""
    for child in ast.iter_child_nodes(scope):
        yield child
        if not isinstance(child, _SCOPES):
            yield from _inside(child)


def _binds(node: ast.AST, name: str) -> bool:
    match node:
        case ast.Name(id=bound, ctx=ast.Store()) | ast.arg(arg=bound):
            return bound == name
    return False


def _set_by(node: ast.AST, name: str) -> Iterator[ast.AST]:
    match node:
        case ast.Assign(targets=targets, value=value):
            pass
        case (
            ast.AnnAssign(target=target, value=ast.expr() as value)
            | ast.NamedExpr(target=target, value=value)
        ):
            targets = [target]
        case _:
            return
    if any(isinstance(target, ast.Name) and target.id == name for target in targets):
        yield value


def _given(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(keyword.value for keyword in call.keywords)]


def _flat(node: ast.expr) -> Iterator[ast.expr]:
    """Yield what stands in the literal, or under the star; then the node itself."""
    match node:
        case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
            pass
        case ast.Dict(values=items):
            pass
        case ast.Starred(value=value):
            items = [value]
        case _:
            items = []
    for item in items:
        yield from _flat(item)
    yield node


def _root(node: ast.AST) -> ast.AST:
    """Return what a chain such as `calls.items()` or `calls[0]` begins with."""
    match node:
        case ast.Call(func=ast.Attribute(value=value)) | ast.Subscript(value=value):
            return _root(value)
        case ast.Starred(value=value):
            return _root(value)
    return node


def _gather(items: ast.expr, kind: type) -> ast.expr:
    if kind is dict:
        items = ast.Call(ast.Attribute(items, "values"), [], [])
    return ast.Call(ast.Attribute(ast.Name("asyncio"), "gather"), [ast.Starred(items)], [])


def _is_empty(node: ast.AST | None) -> bool:
    return node is not None and ast.unparse(node) in ("[]", "{}", "list()", "dict()", "set()")


def _is_streaming(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Call) and any(
        keyword.arg == "stream" and ast.unparse(keyword.value) == "True"
        for keyword in node.keywords
    )


def _place(node: ast.AST) -> tuple[int, ...]:
    names = ("lineno", "col_offset", "end_lineno", "end_col_offset")
    return tuple(getattr(node, name, -1) for name in names)


class _Swap(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self._old, self._new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        if node is self._old:
            return self._new
        visited: ast.AST = self.generic_visit(node)
        return visited


def _shorten(target: ast.AST) -> None:
    """Show a call without its arguments."""
    for node in ast.walk(target):
        if isinstance(node, ast.Call) and (node.args or node.keywords):
            node.args, node.keywords = [ast.Name("…")], []


def _head(statement: ast.stmt) -> str:
    """Return the statement's first line, as Python would write it."""
    return ast.unparse(statement).splitlines()[0]


def _short(line: str, statement: ast.stmt) -> str:
    if len(line) <= LONGEST:
        return line
    _shorten(statement)
    return textwrap.shorten(_head(statement), LONGEST, placeholder=" …")
