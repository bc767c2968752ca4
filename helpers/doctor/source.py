"""The source of a cell or file: what stands where, and the lines to change with what to put there.

Changes are made in the text itself, so that a learner sees the line as it was typed. A change is
offered only if the whole source still compiles with it.
"""

import ast
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

_SCOPES = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef
_FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_COMPREHENSIONS = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp

TAKERS = frozenset(
    {"create_task", "ensure_future", "gather", "run", "wait_for", "shield", "as_completed", "wait"}
    | {"run_coroutine_threadsafe", "run_until_complete", "to_thread"}
)
"""Functions that are to be given a call, not its answer."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line as it is, and as it should be."""

    number: int
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Change:
    """What to write: lines in place of others, or a line after all that is there."""

    lines: tuple[Line, ...]
    added: str = ""
    """A line to write below all that is there."""
    place: str = ""
    """Where the lines stand, if not in the cell that was run."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Text to put in place of the characters from `start` to `end`."""

    start: int
    end: int
    text: str


class Source:
    """One source; its tree is None if it cannot be parsed.

    `place`: where it stands, for a learner; "" for the cell that was run.
    `is_cell`: whether an await may stand outside all functions.
    `alone`: whether all that calls into it stands in it as well.
    """

    def __init__(
        self, text: str, place: str = "", *, is_cell: bool = True, alone: bool = True
    ) -> None:
        self.text, self.place, self.is_cell, self.alone = text, place, is_cell, alone
        self.parents: dict[ast.AST, ast.AST] = {}
        try:
            self.tree: ast.Module | None = ast.parse(text)
        except (SyntaxError, ValueError):
            self.tree = None
        for node in self.walk():
            for child in ast.iter_child_nodes(node):
                self.parents[child] = node

    # --- what stands where --------------------------------------------------------------------

    def walk(self) -> Iterator[ast.AST]:
        if self.tree is not None:
            yield from ast.walk(self.tree)

    def above(self, node: ast.AST | None) -> Iterator[ast.AST]:
        """Yield what the node stands in, from the inside out."""
        while node is not None and (node := self.parents.get(node)) is not None:
            yield node

    def parent(self, node: ast.AST) -> ast.AST | None:
        return self.parents.get(node)

    def statement(self, node: ast.AST | None) -> ast.stmt | None:
        if isinstance(node, ast.stmt):
            return node
        return next((one for one in self.above(node) if isinstance(one, ast.stmt)), None)

    def function(self, node: ast.AST | None) -> ast.AST | None:
        """Return the innermost function or class that the node stands in."""
        return next((one for one in self.above(node) if isinstance(one, _SCOPES)), None)

    def at(self, position: tuple[int | None, ...]) -> ast.AST | None:
        """Return the smallest part that covers (line, end line, column, end column)."""
        if len(position) != 4 or None in position:
            return None
        line, end_line, column, end_column = position
        best: ast.AST | None = None
        for node in self.walk():
            if not isinstance(node, ast.expr | ast.stmt) or node.end_lineno is None:
                continue
            begins = (node.lineno, node.col_offset) <= (line, column)
            ends = (node.end_lineno, node.end_col_offset) >= (end_line, end_column)
            if begins and ends:
                best = node  # walk goes from the outside in
        return best

    def segment(self, node: ast.AST) -> str:
        span = self.span(node)
        return self.text[slice(*span)] if span else ast.unparse(node)

    def last_expression(self) -> ast.expr | None:
        """Return the expression whose value the cell shows."""
        match self.tree.body[-1:] if self.tree else ():
            case [ast.Expr(value=value)]:
                return value
        return None

    def bindings(self, name: str, use: ast.AST | None) -> list[ast.AST]:
        """Return what sets the name in the innermost scope that does, in order.

        Each is the value of an assignment; or the ast.arg, the loop or the `with` that sets it.
        """
        scopes: list[ast.AST] = [one for one in self.above(use) if isinstance(one, _SCOPES)]
        for scope in [*scopes, *([self.tree] if self.tree else [])]:
            found = [made for node in _inside(scope) for made in self._set_by(node, name)]
            if found:
                return sorted(found, key=_place)
        return []

    def made(self, name: str, use: ast.AST | None = None) -> ast.AST | None:
        """Return what the name was last set to before the use, or at the end of the source."""
        values = [one for one in self.bindings(name, use) if use is None or self._reaches(one, use)]
        earlier = [one for one in values if use is None or _place(one) < _place(use)]
        found = earlier or values
        return found[-1] if found else None

    def _reaches(self, made: ast.AST, use: ast.AST) -> bool:
        """Whether a binding is made before the use is run: not by the expression it stands in."""
        if isinstance(made, ast.comprehension):
            return self.parents[made] in self.above(use)
        return not (isinstance(made, ast.expr) and _covers(made, use))

    def loads(self, name: str, within: ast.AST | None = None) -> list[ast.Name]:
        return [
            node
            for node in (ast.walk(within) if within else self.walk())
            if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load)
        ]

    def _set_by(self, node: ast.AST, name: str) -> Iterator[ast.AST]:
        match node:
            case ast.arg(arg=bound) if bound == name:
                yield node
            case ast.Name(id=bound, ctx=ast.Store()) if bound == name:
                match self.parent(node):
                    case ast.Assign(value=value) | ast.NamedExpr(value=value):
                        yield value
                    case ast.AnnAssign(value=ast.expr() as value):
                        yield value
                    case ast.Tuple() as targets:
                        yield from self._unpacked(targets, node)
                    case ast.AnnAssign() | ast.AugAssign() | None:
                        pass
                    case other:
                        yield other

    def _unpacked(self, targets: ast.Tuple, node: ast.Name) -> Iterator[ast.AST]:
        match self.parent(targets):
            case ast.Assign(value=ast.Tuple(elts=values)) if len(values) == len(targets.elts):
                yield values[targets.elts.index(node)]
            case ast.Assign(value=value):
                yield value
            case None:
                pass
            case other:
                yield other

    # --- spans --------------------------------------------------------------------------------

    @cached_property
    def _starts(self) -> list[int]:
        starts = [0]
        for line in self.text.splitlines(keepends=True):
            starts.append(starts[-1] + len(line))
        return starts

    def _offset(self, line: int, column: int) -> int:
        begin = self._starts[line - 1]
        text = self.text[begin : self._starts[line] if line < len(self._starts) else None]
        return begin + len(text.encode()[:column].decode(errors="ignore"))

    def span(self, node: ast.AST) -> tuple[int, int] | None:
        """Return the first character's place and that behind the last; None if nobody knows."""
        if not isinstance(node, ast.expr | ast.stmt) or node.end_lineno is None:
            return None
        try:
            start = self._offset(node.lineno, node.col_offset)
            end = self._offset(node.end_lineno, node.end_col_offset or 0)
        except IndexError:
            return None
        formatted = [one for one in self.above(node) if isinstance(one, ast.JoinedStr)]
        if not formatted or _same(self.text[start:end], node):
            return start, end
        # Python 3.11 does not know where the parts of an f-string stand: look for the text.
        outer = self.span(formatted[-1])
        if outer is None:
            return None
        places = [
            (outer[0] + found.start(), outer[0] + found.end())
            for found in re.finditer(re.escape(ast.unparse(node)), self.text[slice(*outer)])
        ]
        if len(places) != 1 and '"' in self.text[slice(*outer)]:
            wanted = ast.unparse(node).replace("'", '"')
            places = [
                (outer[0] + found.start(), outer[0] + found.end())
                for found in re.finditer(re.escape(wanted), self.text[slice(*outer)])
            ]
        return places[0] if len(places) == 1 else None

    # --- edits --------------------------------------------------------------------------------

    def wrapped(self, node: ast.AST, before: str, after: str = "") -> list[Edit]:
        """Put text around the node."""
        span = self.span(node)
        if span is None:
            raise Unchanged
        start, end = span
        if isinstance(node, ast.GeneratorExp) and self.text[start] == "(":
            match self.parent(node):
                case ast.Call(args=[only], keywords=[]) if only is node:
                    # f(x for x in y): the parentheses are the call's and the generator's in one
                    shared = self.span(self.parent(node))  # type: ignore[arg-type]
                    if shared is not None and shared[1] == end:
                        start, end = start + 1, end - 1
                        before, after = f"{before}(", f"){after}"
        return [Edit(start, start, before), Edit(end, end, after)]

    def replaced(self, node: ast.AST, text: str) -> list[Edit]:
        span = self.span(node)
        if span is None:
            raise Unchanged
        return [Edit(*span, text)]

    def awaited(self, node: ast.AST) -> list[Edit]:
        """Put `await` before the node, and parentheses around both where they are needed."""
        match self.parent(node):
            case ast.Attribute(value=inner) | ast.Subscript(value=inner) | ast.Call(func=inner) if (
                inner is node
            ):
                return self.wrapped(node, "(await ", ")")
        if isinstance(node, ast.BinOp | ast.BoolOp | ast.IfExp | ast.Compare | ast.NamedExpr):
            return self.wrapped(node, "await (", ")")
        return self.wrapped(node, "await ")

    def not_awaited(self, node: ast.Await) -> list[Edit]:
        """Take the `await` away, with parentheses that it alone had needed."""
        outer, inner = self.span(node), self.span(node.value)
        if outer is None or inner is None:
            raise Unchanged
        edits = [Edit(outer[0], inner[0], "")]
        if self.text[outer[0] : inner[0]].strip() != "await":
            space = len(self.text[outer[0] :]) - len(self.text[outer[0] + 5 :].lstrip())
            edits = [Edit(outer[0], outer[0] + space, "")]  # await (…): the parentheses stay
        around = self.text[: outer[0]], self.text[outer[1] :]
        simple = isinstance(node.value, ast.Call | ast.Name | ast.Attribute | ast.Subscript)
        alone = not re.search(r"[\w)\]]\s*\($", around[0])
        if simple and alone and around[0].endswith("(") and around[1].startswith(")"):
            edits += [Edit(outer[0] - 1, outer[0], ""), Edit(outer[1], outer[1] + 1, "")]
        return edits

    def asynchronous(self, node: ast.AST) -> list[Edit]:
        """Put `async` before a `for` or `with`, a comprehension's too."""
        if isinstance(node, ast.comprehension):
            return [Edit(place := self._for_of(node), place, "async ")]
        span = self.span(node)
        if span is None:
            raise Unchanged
        return [Edit(span[0], span[0], "async ")]

    def synchronous(self, node: ast.AST) -> list[Edit]:
        """Take the `async` away."""
        if isinstance(node, ast.comprehension):
            place = self._for_of(node)
            found = re.search(r"async\s+$", self.text[:place])
            if found is None:
                raise Unchanged
            return [Edit(found.start(), place, "")]
        span = self.span(node)
        found = re.match(r"async\s+", self.text[span[0] :]) if span else None
        if span is None or found is None:
            raise Unchanged
        return [Edit(span[0], span[0] + found.end(), "")]

    def _for_of(self, node: ast.comprehension) -> int:
        span = self.span(node.target)
        found = re.search(r"\bfor\s+\(?\s*$", self.text[: span[0]]) if span else None
        if found is None:
            raise Unchanged
        return found.start()

    def keyword_added(self, call: ast.Call, text: str) -> list[Edit]:
        given = [*call.args, *(keyword.value for keyword in call.keywords)]
        ends = [span[1] for one in given if (span := self.span(one))]
        if not ends:
            span = self.span(call)
            if span is None:
                raise Unchanged
            return [Edit(span[1] - 1, span[1] - 1, text)]
        return [Edit(max(ends), max(ends), f", {text}")]

    def keyword_removed(self, call: ast.Call, name: str) -> list[Edit]:
        for keyword in call.keywords:
            if keyword.arg != name:
                continue
            start = self._offset(keyword.lineno, keyword.col_offset)
            end = self._offset(keyword.end_lineno or 0, keyword.end_col_offset or 0)
            if before := re.search(r",[^\S\n]*$", self.text[:start]):
                return [Edit(before.start(), end, "")]
            if after := re.match(r"\s*,[^\S\n]*", self.text[end:]):
                return [Edit(start, end + after.end(), "")]
            return [Edit(start, end, "")]
        raise Unchanged

    # --- the change ---------------------------------------------------------------------------

    def change(
        self, *edits: list[Edit], function: ast.AST | None = None, needs_asyncio: bool = False
    ) -> Change | None:
        """Return the lines that the edits change; None if that would not compile.

        A plain `def` that would await becomes an `async def`, and its calls are awaited, where
        all of them can be seen; so does `function`, in any case. `needs_asyncio`: the name
        `asyncio` has yet to be imported.

        Raises:
            Unchanged: the function, or one that calls it, cannot become an `async def`.
        """
        every = [one for some in edits for one in some]
        if self.tree is None or not (every or function):
            return None
        if needs_asyncio:
            every = self._with_import(every)
        if function is not None:
            every += self._made_async(every, [function])
        text = _applied(self.text, every)
        if not self.compiles(text):
            every += self._made_async(every)
            text = _applied(self.text, every)
            if not self.compiles(text):
                return None
        return self._lines(text)

    def _lines(self, text: str) -> Change | None:
        """Return the lines in which another text differs; a line of it may take up more."""
        before, after = self.text.splitlines(), text.splitlines()
        begin = 0
        while begin < min(len(before), len(after)) and before[begin] == after[begin]:
            begin += 1
        more = len(after) - len(before)
        changed = []
        if more == 0:
            changed = [
                Line(number, old.strip(), new.strip())
                for number, (old, new) in enumerate(zip(before, after, strict=True), 1)
                if old != new
            ]
        elif before:
            end = 0
            while before[-1 - end] == after[-1 - end] and end < len(before) - begin - 1:
                end += 1
            old, new = before[begin : len(before) - end], after[begin : len(after) - end]
            changed = [
                Line(begin + 1, textwrap.dedent("\n".join(old)), textwrap.dedent("\n".join(new)))
            ]
        if any("get_ipython()." in line.before for line in changed):
            return None  # a magic: nobody has written the line that it became
        return Change(tuple(changed), place=self.place) if changed else None

    def compiles(self, text: str) -> bool:
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT if self.is_cell else 0
        try:
            compile(text, "cell", "exec", flags=flags, dont_inherit=True)
        except (SyntaxError, ValueError):
            return False
        return True

    def _with_import(self, edits: list[Edit]) -> list[Edit]:
        place = min(one.start for one in edits)
        for node in self.walk():
            if isinstance(node, ast.Assign | ast.Expr | ast.Return | ast.AnnAssign):
                span = self.span(node)
                if span and span[0] <= place <= span[1]:
                    return [Edit(span[0], span[0], "import asyncio; "), *edits]
        return edits

    def _made_async(self, edits: list[Edit], begin: list[ast.AST] | None = None) -> list[Edit]:
        """Return what else has to change for the edits to stand where only `async def` can."""
        if not self.alone:
            raise Unchanged
        ahead: list[ast.AST | None] = []
        ahead += begin or [self._around(one.start) for one in edits]
        done: list[ast.AST] = []
        more: list[Edit] = []
        touched = {one.start for one in edits}
        while ahead:
            function = ahead.pop()
            if function is None or isinstance(function, ast.AsyncFunctionDef) or function in done:
                continue
            if not isinstance(function, ast.FunctionDef) or not self._may_be_async(function):
                raise Unchanged
            done.append(function)
            more += self.asynchronous(function)
            for call in self._calls_of(function):
                if isinstance(self.parent(call), ast.Await) or self.is_taken(call):
                    continue
                span = self.span(call)
                if span is None or span[0] in touched:
                    raise Unchanged
                more += self.awaited(call)
                ahead.append(self.function(call))
        return more

    def _around(self, place: int) -> ast.AST | None:
        best = None
        for node in self.walk():
            if isinstance(node, _FUNCTIONS):
                span = self.span(node)
                if span and span[0] < place < span[1]:
                    best = node
        return best

    def _may_be_async(self, function: ast.FunctionDef) -> bool:
        own = list(_inside(function))
        named = [
            node
            for node in self.walk()
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.name == function.name
        ]
        return (
            not function.decorator_list
            and not (function.name.startswith("__") and function.name.endswith("__"))
            and not any(isinstance(node, ast.YieldFrom) for node in own)
            and not (self._calls_of(function) and any(isinstance(one, ast.Yield) for one in own))
            and len(named) == 1
        )

    def _calls_of(self, function: ast.FunctionDef) -> list[ast.Call]:
        """Return its calls in this source; raise Unchanged if it is used in another way."""
        method = isinstance(self.parent(function), ast.ClassDef)
        calls = []
        for node in self.walk():
            match node:
                case ast.Name(id=name, ctx=ast.Load()) if not method and name == function.name:
                    pass
                case ast.Attribute(attr=name) if method and name == function.name:
                    pass
                case _:
                    continue
            call = self.parent(node)
            if not isinstance(call, ast.Call) or call.func is not node:
                raise Unchanged
            calls.append(call)
        return calls

    def is_taken(self, call: ast.Call) -> bool:
        match self.parent(call):
            case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name)):
                return name in TAKERS
        return False


class Unchanged(Exception):
    """No edit can be made there."""


def given(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(keyword.value for keyword in call.keywords)]


def called(call: ast.AST) -> str:
    """Return the name, without its owner, of what is called; "" if it has none."""
    match call:
        case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name)):
            return name
    return ""


def root(node: ast.AST) -> ast.AST:
    """Return what a chain such as `calls.items()` or `calls[0]` begins with."""
    match node:
        case ast.Call(func=ast.Attribute(value=value)) | ast.Subscript(value=value):
            return root(value)
        case ast.Attribute(value=value) | ast.Starred(value=value) | ast.Await(value=value):
            return root(value)
    return node


def parts(node: ast.AST | None) -> Iterator[ast.AST]:
    """Yield, most likely first, the parts of a failed expression that may be what failed."""
    match node:
        case None:
            return
        case ast.Attribute(value=value) | ast.Subscript(value=value):
            yield value
        case ast.Await(value=value) | ast.Starred(value=value):
            yield from parts(value)
            yield value
        case ast.For(iter=value) | ast.AsyncFor(iter=value):
            yield value
        case ast.With(items=items) | ast.AsyncWith(items=items):
            yield from (item.context_expr for item in items)
        case ast.BinOp(left=left, right=right):
            yield from (left, right)
        case ast.UnaryOp(operand=operand):
            yield operand
        case ast.Compare(left=left, comparators=others):
            yield from (left, *others)
        case ast.FormattedValue(value=value):
            yield value
        case ast.JoinedStr(values=values):
            for one in values:
                yield from parts(one)
        case ast.Call(func=function):
            for argument in given(node):
                yield from _flat(argument)
            yield function
            yield node
        case ast.List() | ast.Tuple() | ast.Set() | ast.Dict():
            yield from _flat(node)
        case (
            ast.ListComp(generators=generators)
            | ast.SetComp(generators=generators)
            | ast.DictComp(generators=generators)
            | ast.GeneratorExp(generators=generators)
        ):
            yield from (generator.iter for generator in generators)
        case ast.Assign(value=value) | ast.Expr(value=value):
            yield value
            yield from parts(value)
        case _:
            yield node


def _flat(node: ast.expr) -> Iterator[ast.expr]:
    """Yield what stands in the literal, or under the star; then the node itself."""
    match node:
        case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
            pass
        case ast.Dict(values=items):
            pass
        case ast.ListComp(elt=item) | ast.SetComp(elt=item) | ast.GeneratorExp(elt=item):
            items = [item, *(generator.iter for generator in node.generators)]
        case ast.Starred(value=value):
            items = [value]
        case _:
            items = []
    for item in items:
        yield from _flat(item)
    yield node


def _same(text: str, node: ast.AST) -> bool:
    try:
        return ast.dump(ast.parse(f"({text})", mode="eval").body) == ast.dump(node)
    except (SyntaxError, ValueError):
        return False


def _applied(text: str, edits: list[Edit]) -> str:
    for edit in sorted(edits, key=lambda one: (one.start, one.end), reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def _inside(scope: ast.AST) -> Iterator[ast.AST]:
    """Yield the scope's parts, not those of scopes inside it."""
    for child in ast.iter_child_nodes(scope):
        yield child
        if not isinstance(child, _SCOPES):
            yield from _inside(child)


def _covers(outer: ast.AST, inner: ast.AST) -> bool:
    line, column, end_line, end_column = _place(inner)
    outer_line, outer_column, outer_end_line, outer_end_column = _place(outer)
    return (outer_line, outer_column) <= (line, column) and (end_line, end_column) <= (
        outer_end_line,
        outer_end_column,
    )


def _place(node: ast.AST) -> tuple[int, ...]:
    names = ("lineno", "col_offset", "end_lineno", "end_col_offset")
    return tuple(getattr(node, name, -1) for name in names)
