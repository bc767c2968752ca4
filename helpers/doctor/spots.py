"""Finds where an error arose in a learner's code: the expression, its source, its names."""

import ast
import dis
import linecache
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import CodeType, FrameType, TracebackType

from helpers.doctor.protocols import Names
from helpers.doctor.source import Source, parts
from helpers.heartbeat import is_yours

_TAKES = {
    "GET_ITER",
    "GET_AITER",
    "BEFORE_WITH",
    "BEFORE_ASYNC_WITH",
    "LOAD_SPECIAL",
    "FOR_ITER",
} | {
    "UNPACK_EX",
    "UNPACK_SEQUENCE",
}
"""Instructions that take an object: what stands at their place gave it, and did not fail."""


@dataclass(frozen=True, slots=True)
class Spot:
    """One frame of a traceback, in code of yours."""

    source: Source
    node: ast.AST | None
    names: Names
    took: bool
    """Whether the expression gave what a `for` or `with` could not take, and did not fail."""
    inner: str
    """The module that was called there, and in which the error arose; "" if it arose here."""
    inner_function: str
    function: str

    def culprit(self, fits: Callable[[type | None], bool]) -> ast.expr | None:
        """Return the part that gave an object of such a class; one of unknown class if need be."""
        node = self.node
        if self.inner and isinstance(node, ast.For | ast.AsyncFor):
            node = node.iter  # it was going on when it failed: what it was given explains it
        if self.took and not self.inner:
            candidates = _taken(node, self.source)
        elif isinstance(node, ast.Await) and not self.inner:
            candidates = [node.value]
        else:
            candidates = list(parts(node))
        unknown: list[ast.expr] = []
        gone: list[ast.expr] = []  # a comprehension's own name goes when it fails
        for part in candidates:
            if not isinstance(part, ast.expr):
                continue
            kind = self.names.kind(part)
            if kind is not None and fits(kind):
                return part
            if kind is None and isinstance(part, ast.Call | ast.Subscript | ast.Await):
                unknown.append(part)
            elif kind is None and isinstance(part, ast.Name) and part.id not in self.names:
                gone.append(part)
            elif kind is None and self.took:
                unknown.append(part)
        return next(iter([*unknown, *gone]), None)

    def call(self) -> ast.Call | None:
        """Return the call that was going on."""
        node = self.node
        while isinstance(node, ast.Await | ast.Expr):
            node = node.value
        return node if isinstance(node, ast.Call) else None


def _taken(node: ast.AST | None, source: Source) -> list[ast.AST]:
    """Return the expressions that may have given what could not be taken."""
    match node:
        case None:
            return []
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            # Before Python 3.12 a comprehension is blamed for what its first `for` could not take.
            return [node, node.generators[0].iter]
        case ast.Tuple(ctx=ast.Store()) | ast.List(ctx=ast.Store()):
            holder = source.parent(node)
            return [holder.value] if isinstance(holder, ast.Assign) else []
    return [node]


def spots(error: BaseException, cell: str) -> list[Spot]:
    """Return the frames in code of yours, the innermost first. `cell`: the source of this cell."""
    found: list[Spot] = []
    mine: TracebackType | None = None
    trace = error.__traceback__
    while trace is not None:
        if is_yours(trace.tb_frame) and not _is_compiled(trace.tb_frame.f_code.co_filename):
            if mine is not None:
                found.append(_spot(mine, cell))
            mine = trace
        trace = trace.tb_next
    if mine is not None:
        found.append(_spot(mine, cell))
    return found[::-1]


def _is_compiled(file: str) -> bool:
    """Whether it is the source of an extension, which gives its place in its own repository."""
    return not file.startswith("<") and not Path(file).is_absolute()


def _spot(trace: TracebackType, cell: str) -> Spot:
    frame = trace.tb_frame
    code = frame.f_code
    source = source_of(frame, cell)
    node = source.at(_position(code, trace.tb_lasti))
    took = dis.opname[code.co_code[trace.tb_lasti]] in _TAKES and isinstance(node, ast.expr)
    inner = trace.tb_next.tb_frame if trace.tb_next else None
    return Spot(
        source,
        node,
        Names(frame.f_locals, frame.f_globals),
        took,
        inner.f_globals.get("__name__", "?") if inner else "",
        inner.f_code.co_name if inner else "",
        code.co_name,
    )


def source_of(frame: FrameType, cell: str) -> Source:
    """Return the source of a frame's cell or file, from its first line on."""
    name = frame.f_code.co_filename
    text = "".join(linecache.getlines(name))
    if text.strip() == cell.strip():
        return Source(text)
    if Path(name).is_file():
        return Source(text, Path(name).name, is_cell=False, alone=False)
    owner = frame.f_code.co_name.strip("<>")
    return Source(text, f"the cell that defines {owner}", alone=False)


def _position(code: CodeType, instruction: int) -> tuple[int | None, ...]:
    return next(islice(code.co_positions(), instruction // 2, None), ())


def errors(error: BaseException) -> Iterator[BaseException]:
    """Yield the error, or those in a group, each before what it was raised from or during."""
    seen: set[int] = set()
    ahead: list[BaseException | None] = [error]
    while ahead:
        one = ahead.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        ahead.append(one.__cause__ or (None if one.__suppress_context__ else one.__context__))
        if isinstance(one, BaseExceptionGroup):
            ahead += reversed(one.exceptions)
        else:
            yield one
