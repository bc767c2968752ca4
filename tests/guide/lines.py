"""Runs a line of the field guide as a notebook's cell would, and tells what it raised.

Needs the standard library alone, so that any Python can run it.
"""

import ast
import asyncio
import gc
import inspect
import traceback
import warnings
from typing import Any

ARGUMENTS = "**M"
"""What the guide's `…` inside a call's parentheses stands for."""


def source(line: str) -> str:
    """Return the code that a line in the guide stands for."""
    return line.replace("(…", f"({ARGUMENTS}").replace("model=…", "model=M['model']")


async def ran(line: str, names: dict[str, Any]) -> Any:
    """Run a line, with top-level await; return its last expression's value. Raises what it does."""
    tree = ast.parse(source(line))
    last = tree.body[-1]
    if isinstance(last, ast.Expr):
        tree.body[-1] = ast.copy_location(
            ast.Assign([ast.Name("_last", ast.Store())], last.value), last
        )
        ast.fix_missing_locations(tree)
    code = compile(tree, "<line>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    names["_last"] = None
    value = eval(code, names)  # a coroutine where the line awaits
    if inspect.iscoroutine(value):
        await value
    return names["_last"]


async def said(line: str, names: dict[str, Any]) -> str:
    """Run a line that fails; return the last line of its traceback, or "" if nothing was raised.

    What it leaves un-awaited goes without a word, and what it left running is ended.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = asyncio.all_tasks()
        try:
            await ran(line, names)
        except BaseException as error:
            words = last_line(error)
        else:
            words = ""
        names.clear()
        await _end(asyncio.all_tasks() - before)
    return words


def last_line(error: BaseException) -> str:
    """Return what Python prints of an error below its traceback, without notes."""
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg}"
    if isinstance(error, BaseExceptionGroup):
        return f"{type(error).__name__}: {error}"
    return traceback.format_exception_only(error)[0].rstrip("\n")


async def _end(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def works(line: str, names: dict[str, Any]) -> Any:
    """Run a line that is a repair; return its value. Raises if anything is left un-awaited."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", RuntimeWarning)
        value = await ran(line, names)
        if inspect.iscoroutine(value):
            value.close()
            raise AssertionError("the repair's value is a coroutine that nobody awaits")
        gc.collect(0)  # the youngest generation: what this line lost
    lost = [str(one.message) for one in seen if "never awaited" in str(one.message)]
    if lost:
        raise AssertionError(lost[0])
    return value
