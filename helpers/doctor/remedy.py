"""Finds the line to change in the source of a cell or file, and writes what to change it to."""

import ast
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass

LONGEST = 76
"""Letters of a line on a card. A longer call is shown without its arguments."""


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
        return assigned(source, value.id) or value
    return value


def assigned(source: str, name: str) -> ast.AST | None:
    """Return what the name was last set to, in this source."""
    tree = parsed(source)
    found = None
    for node in ast.walk(tree) if tree else ():
        if (
            isinstance(node, ast.Assign)
            and any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
        ) or (
            isinstance(node, ast.AnnAssign | ast.NamedExpr)
            and isinstance(node.target, ast.Name)
            and node.target.id == name
        ):
            found = node.value
    return found


def maker(source: str, culprit: ast.AST | None) -> ast.AST | None:
    """Return the call that the named culprit came from, if it stands in the same source."""
    if not isinstance(culprit, ast.Name):
        return None
    made = assigned(source, culprit.id)
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
        case ast.Attribute(value=value) | ast.Subscript(value=value) | ast.Await(value=value):
            yield value
        case ast.For(iter=value) | ast.AsyncFor(iter=value):
            yield value
        case ast.With(items=items) | ast.AsyncWith(items=items):
            yield from (item.context_expr for item in items)
        case ast.BinOp(left=left, right=right):
            yield from (left, right)
        case ast.Compare(left=left, comparators=others):
            yield from (left, *others)
        case ast.Call(func=function, args=arguments):
            for argument in arguments:
                if isinstance(argument, ast.List | ast.Tuple):
                    yield from argument.elts
                yield argument
            yield function
            yield node
        case ast.ListComp(generators=generators) | ast.GeneratorExp(generators=generators):
            yield from (generator.iter for generator in generators)
        case ast.Expr(value=value) | ast.Assign(value=value):
            yield value
            yield from parts(value)
        case _:
            yield node


def awaited(source: str, target: ast.AST | None) -> Change | None:
    """Put `await` before the target."""
    return _changed(source, target, lambda node: ast.Await(node))


def gathered(source: str, target: ast.AST | None) -> Change | None:
    """Await all of the target's items together."""

    def wrap(node: ast.expr) -> ast.expr:
        items: ast.expr = node.value if isinstance(node, ast.Await) else node
        if isinstance(node, ast.Dict | ast.DictComp):
            items = ast.Call(ast.Attribute(node, "values"), [], [])
        gather = ast.Attribute(ast.Name("asyncio"), "gather")
        return ast.Await(ast.Call(gather, [ast.Starred(items)], []))

    return _changed(source, target, wrap)


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


def guarded(source: str, target: ast.AST | None) -> Change | None:
    """Look for choices before the first is taken; None if the target is about another list."""
    if not isinstance(target, ast.Subscript):
        return None
    if not (isinstance(target.value, ast.Attribute) and target.value.attr == "choices"):
        return None
    statement = _statement(parsed(source), target)
    if statement is None:
        return None
    before = _head(statement)
    return Change(statement.lineno, before, f"if {ast.unparse(target.value)}: {before}")


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
