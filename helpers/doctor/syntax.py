"""Says what an `await` outside an async function means, and a timing magic around a call."""

import ast
import re
from dataclasses import dataclass, replace
from types import CoroutineType

from helpers.doctor import remedies, texts
from helpers.doctor.finding import Finding
from helpers.doctor.protocols import Names
from helpers.doctor.source import Change, Line, Source, Unchanged

_MAGIC = re.compile(r"^\s*(%%?)(time(?:it)?)\b[^\S\n]*((?:-\w+\s*\d*\s+)*)(.*)$", re.MULTILINE)
_OF_A_MAGIC = ("<timed ", "<magic-timeit")

BEGIN = "import time; began = time.perf_counter()"
END = "print(time.perf_counter() - began)"


@dataclass(frozen=True, slots=True)
class Timed:
    """A timing magic in a cell. `body`: what it times, from line `first` of the cell on."""

    name: str
    line: Line
    body: str
    first: int
    whole_cell: bool


def timed(raw_cell: str) -> Timed | None:
    """Return the cell's first timing magic."""
    found = _MAGIC.search(raw_cell)
    if found is None:
        return None
    number = raw_cell[: found.start()].count("\n") + 1
    line = Line(number, found[0].strip(), "")
    if found[1] == "%%":
        return Timed(f"%%{found[2]}", line, raw_cell[found.end() + 1 :], number + 1, True)
    return Timed(f"%{found[2]}", line, found[4], number, False)


def of_syntax(error: BaseException, raw_cell: str, cell: str) -> Finding | None:
    """Return what a SyntaxError about an `await` means; None for all others."""
    if not isinstance(error, SyntaxError) or not texts.OUTSIDE.match(error.msg or ""):
        return None
    if (error.filename or "").startswith(_OF_A_MAGIC):
        magic = timed(raw_cell)
        return None if magic is None else _magic_awaits(magic)
    source = Source(cell)
    if None in (error.lineno, error.offset, error.end_lineno, error.end_offset):
        return None
    node = source.at((error.lineno, error.end_lineno, error.offset - 1, error.end_offset - 1))  # type: ignore[operator]
    function = source.function(node)
    word = next(one for one in texts.OUTSIDE.match(error.msg).groups() if one)  # type: ignore[union-attr]
    if node is None:
        return None
    if function is None:
        return Finding(
            f"{word} outside a function is switched off in this notebook",
            "%autoawait off has done so. Run %autoawait on in a cell of its own, then this one.",
            None,
            "06",
        )
    if isinstance(function, ast.ClassDef):
        return Finding(
            f"A class's body cannot contain {word}",
            "It runs as a plain function does. Await outside it, or in an async def of it.",
            None,
            "03",
        )
    if isinstance(function, ast.Lambda):
        return Finding(
            f"A lambda cannot contain {word}",
            "Only an async def can wait for anything, and a lambda is a plain function.",
            remedies.named_function(source, function),
            "03",
        )
    return Finding(
        f"{word} stands in a plain def",
        "A function that waits is an async def, and each call of it is awaited in turn.",
        _made_async(source, function),
        "03",
    )


def _made_async(source: Source, function: ast.AST) -> Change | None:
    try:
        return source.change([], function=function)
    except Unchanged:
        return None


def _magic_awaits(magic: Timed) -> Finding:
    return Finding(
        f"{magic.name} runs its lines outside the notebook's event loop",
        "There is nothing that could await for them. Take the time yourself, around the await.",
        without_magic(magic),
        "06",
    )


def without_magic(magic: Timed, inner: Change | None = None) -> Change:
    """Return the lines that take the time without the magic. `inner`: changes of its body."""
    if magic.whole_cell:
        lines = [replace(magic.line, after=BEGIN)]
        for one in inner.lines if inner else ():
            lines.append(replace(one, number=one.number + magic.first - 1))
        return Change(tuple(lines), END)
    body = inner.lines[0].after if inner else magic.body
    return Change((replace(magic.line, after=f"{BEGIN}; {body}; {END}"),))


def of_timed(raw_cell: str, names: Names) -> Finding | None:
    """Return what it means that a magic timed calls without their await."""
    magic = timed(raw_cell)
    if magic is None:
        return None
    body = Source(magic.body)
    for node in body.walk():
        if not isinstance(node, ast.Call) or names.kind(node) is not CoroutineType:
            continue
        if not isinstance(body.parent(node), ast.Expr | ast.Assign):
            continue
        return Finding(
            f"{magic.name} has timed the making of a coroutine, and no call",
            "Without await nothing was sent. The magic cannot await: take the time yourself.",
            without_magic(magic, remedies.awaited(body, node, names)),
            "06",
        )
    return None
