"""Tells a lesson's own solution from an answer of the learner's."""

import ast
import functools
import inspect
import json
import linecache
from collections.abc import Iterator
from types import CodeType
from typing import Any

from helpers import lessons

HEADING = "# Solution"
"""The first line of each cell that holds a solution."""


def is_shipped(exercise: str, answer: object) -> bool:
    """Whether the answer was made by the cell of a solution, in whatever way that cell was run.

    The cell is told by its heading. So the solution as it was shipped does not count, nor under
    another name, nor pasted elsewhere with its heading; without its heading it is what a repaired
    starter may be too, word for word, and no check can see whose hand it was. Where Python has
    no source, as after `exec`, the code is compared with that of the lesson's solutions.
    """
    code = _code(answer)
    if code is None:
        return False
    source = linecache.getlines(code.co_filename)
    if source:
        return any(line.strip() == HEADING for line in source)
    return _bare(code) in map(_bare, _solutions(exercise.partition("-")[0]))


def _code(answer: Any) -> CodeType | None:
    """Return the code of a function, or of the first method of a class or object that has some."""
    while isinstance(answer, functools.partial):
        answer = answer.func
    if callable(answer):
        answer = inspect.unwrap(answer)
    code = getattr(answer, "__code__", None)
    if isinstance(code, CodeType):
        return code
    methods = vars(answer if isinstance(answer, type) else type(answer)).values()
    return next((one.__code__ for one in methods if inspect.isfunction(one)), None)


def _bare(code: CodeType) -> CodeType:
    """Return the code without what a name and a place in a file have put into it."""
    inner = tuple(_bare(one) if isinstance(one, CodeType) else one for one in code.co_consts)
    return code.replace(
        co_name="", co_qualname="", co_firstlineno=1, co_linetable=b"", co_consts=inner
    )


def _solutions(lesson: str) -> Iterator[CodeType]:
    """Yield the code of all functions in the solutions of a lesson, such as "03"."""
    for path in lessons.found():
        if not path.name.startswith(f"{lesson}_"):
            continue
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            if "solution" in cell["metadata"].get("tags", []):
                yield from _inside(
                    compile(
                        "".join(cell["source"]),
                        path.name,
                        "exec",
                        flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
                        dont_inherit=True,
                    )
                )


def _inside(code: CodeType) -> Iterator[CodeType]:
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield one
            yield from _inside(one)
