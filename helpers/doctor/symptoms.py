"""Recognises what a cell has left behind: a value, an error, a name; and what it means."""

import ast
import asyncio
import inspect
import linecache
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from types import AsyncGeneratorType, CodeType, CoroutineType, FrameType, TracebackType
from typing import Any

from helpers.doctor import remedy
from helpers.doctor.remedy import Change
from helpers.heartbeat import is_yours

LOOKED_AT = 8
"""Items of a list or dict that are looked at after each cell: whoever forgets an await in one has
mostly forgotten it in all, and a cell must not wait while thousands are looked through."""

COUNTED = 10_000
"""Items that are counted once a card is due."""

NOT_YOURS = re.compile(r"_+\d*|_i+|_i\d+|In|Out|_[doi]h")
"""Names that IPython gives to past inputs and outputs."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a card says."""

    title: str
    explanation: str
    change: Change | None
    lesson: str


COROUTINE = "a coroutine: a call that has not started, and does nothing until it is awaited"


Waiting = list[tuple[str, Any]]


def waiting_in(names: Mapping[str, Any]) -> Waiting:
    """Return the coroutines that nobody has started, alone or in a list or dict, with their names.

    The names that IPython gives to past outputs do not count.
    """
    return [
        (name, one)
        for name, value in list(names.items())
        if type(value) is CoroutineType or type(value) in _COLLECTIONS
        for one in _items(value, LOOKED_AT)
        if type(one) is CoroutineType
        if _not_started(one) and not NOT_YOURS.fullmatch(name)
    ]


def look(result: Any, new: Waiting, shell: Any) -> Finding | None:
    """Return what is wrong with the cell that ended, the most telling symptom first; or None.

    `new`: the coroutines without a start that this cell has given names to.
    """
    if result.error_before_exec is not None:
        return None
    if result.error_in_exec is not None:
        for error in _errors(result.error_in_exec):
            finding = _of_error(error)
            if finding is not None:
                return finding
        return None
    source = shell.transform_cell(result.info.raw_cell or "")
    value = result.result
    if value is not None:
        finding = _of_value(value, source)
        if finding is not None:
            return finding
    for name, one in new:
        if not _scheduled(one):
            return _of_name(name, shell.user_ns[name], source)
    return None


# --- values and names -------------------------------------------------------------------------


def _of_value(value: Any, source: str) -> Finding | None:
    expression = remedy.last_expression(source)
    if type(value) is CoroutineType:
        if not _not_started(value) or _scheduled(value):
            return None
        return _forgotten("This is", value, source, expression)
    if type(value) is AsyncGeneratorType:
        if value.ag_frame is None or value.ag_running or value.ag_frame.f_lasti > 0:
            return None
        return Finding(
            "This is an async generator, and nothing has run yet",
            f"{_call(value)} yields its items one by one, each awaited, to an async for.",
            remedy.iterated(source, expression),
            "02",
        )
    if _is_paginator(value):
        return Finding(
            "This is a page that nobody has asked for yet",
            "The async client's list() sends its request when it is awaited, or when an async for "
            "goes over it. Until then it is only a plan, and always true.",
            remedy.awaited(source, expression),
            "03",
        )
    if type(value) in _COLLECTIONS:
        waiting = [one for one in _items(value) if _not_started(one) and not _scheduled(one)]
        if waiting:
            return _forgotten_many(value, waiting, remedy.gathered(source, expression))
    return None


def _of_name(name: str, value: Any, source: str) -> Finding | None:
    assigned = remedy.assigned(source, name)
    if type(value) in _COLLECTIONS:
        waiting = [one for one in _items(value) if _not_started(one)]
        return _forgotten_many(value, waiting, remedy.gathered(source, assigned), name)
    return _forgotten(f"{name} is", value, source, assigned)


def _forgotten(subject: str, value: Any, source: str, made: ast.AST | None) -> Finding:
    explanation = (
        f"{_call(value)} was called, but its body has not begun: a coroutine is a call that does "
        f"nothing until it is awaited."
    )
    if isinstance(made, ast.Await):
        explanation += " What was awaited here returned it without an await of its own."
    return Finding(
        f"{subject} a coroutine, and it was never awaited",
        explanation,
        remedy.awaited_or_returned(source, made, value.__name__),
        "03",
    )


def _forgotten_many(
    value: Any, waiting: list[Any], change: Change | None, name: str = ""
) -> Finding:
    kind = type(value).__name__
    number = len(waiting)
    count = f"{number} coroutines" if number > 1 else "a coroutine"
    return Finding(
        f"{name or 'This'} is a {kind} of {count}, none of them awaited"
        if number > 1
        else f"{name or 'This'} is a {kind} with {count} that was never awaited",
        f"{_call(waiting[0])} was called, but its body has not begun. asyncio.gather starts many "
        f"and waits for all.",
        change,
        "03",
    )


# --- errors -----------------------------------------------------------------------------------

_COROUTINE = re.compile(
    r"""'coroutine'\ object\ (?:is\ not|has\ no|does\ not)
      | of\ type\ '?coroutine'?
      | coroutine\ found$
      | \(not\ "coroutine"\)
      | instances\ of\ '?.*'coroutine'
      | got\ coroutine$
    """,
    re.VERBOSE,
)
_NOT_AWAITABLE = re.compile(r"^object (\w+) can't be used in 'await' expression$")
_ASYNC_GENERATOR = re.compile(r"'async_generator' object|got <async_generator object")
_RUNNING_LOOP = (
    "asyncio.run() cannot be called from a running event loop",
    "This event loop is already running",
    "Cannot run the event loop while another loop is running",
)
_OTHER_LOOP = ("Event loop is closed", "different event loop", "attached to a different loop")


def _of_error(error: BaseException) -> Finding | None:
    text = str(error)
    if isinstance(error, AttributeError) and _COROUTINE.search(text):
        return _used_too_early(error)
    if isinstance(error, TypeError):
        if _COROUTINE.search(text):
            return _used_too_early(error)
        if found := _NOT_AWAITABLE.match(text):
            return _awaited_in_vain(error, found[1])
        if _ASYNC_GENERATOR.search(text):
            return _async_generator(error)
    if isinstance(error, RuntimeError):
        if any(text.startswith(known) for known in _RUNNING_LOOP):
            return Finding(
                "A notebook's event loop is running already",
                "asyncio.run makes a loop of its own, and a thread can run one at a time. In a "
                "cell you can await directly.",
                remedy.without_run(*_spot(error)),
                "06",
            )
        if any(known in text for known in _OTHER_LOOP) and _through_a_client(error):
            return Finding(
                "This client belongs to another event loop",
                "An async client keeps connections open, and they belong to the loop that opened "
                "them. Each asyncio.run makes a new loop. The request may have been sent all the "
                "same. Make the client inside the function that asyncio.run runs.",
                Change(None, "", "async with AsyncOpenAI() as client:"),
                "06",
            )
    if isinstance(error, IndexError):
        source, node, _ = _spot(error)
        if change := remedy.guarded(source, node):
            return Finding(
                "This chunk has no choices",
                "A stream may end in a chunk that carries the usage and an empty list of choices. "
                "Look before you take the first.",
                change,
                "02",
            )
    return None


def _used_too_early(error: BaseException) -> Finding:
    source, node, frame = _spot(error)
    culprit = _culprit(node, frame, CoroutineType)
    return Finding(
        "A coroutine was used as if it were the answer",
        f"The object here is {COROUTINE}.",
        remedy.awaited(source, remedy.maker(source, culprit) or culprit),
        "03",
    )


def _awaited_in_vain(error: BaseException, kind: str) -> Finding:
    source, node, frame = _spot(error)
    if kind == "async_generator":
        return _async_generator(error)
    if kind == "AsyncStream":
        return Finding(
            "A stream is gone over, not awaited",
            "It has been opened already; its chunks come one by one.",
            remedy.iterated(source, node),
            "02",
        )
    if kind == "list" and any(_not_started(one) for one in _values(node, frame)):
        return Finding(
            "A list cannot be awaited",
            "It holds coroutines. asyncio.gather starts them together and waits for all.",
            remedy.gathered(source, node),
            "03",
        )
    from_sdk = _from_sdk(kind)
    article = "an" if kind[0] in "AEIOUaeiou" else "a"
    return Finding(
        f"{article.capitalize()} {kind} is no call to wait for: there is nothing to await",
        "The blocking client had sent the request, and had its answer, before the await failed. "
        "Leave out the await, or call an AsyncOpenAI client."
        if from_sdk
        else f"The call before it has run already, and returned {article} {kind}.",
        remedy.not_awaited(source, node),
        "03",
    )


def _async_generator(error: BaseException) -> Finding:
    source, node, frame = _spot(error)
    return Finding(
        "An async generator gives its items to an async for",
        "Calling it runs nothing and there is no single result to await or to take at once: "
        "async for awaits one item after another.",
        remedy.iterated(source, _culprit(node, frame, AsyncGeneratorType)),
        "02",
    )


def _errors(error: BaseException) -> Iterator[BaseException]:
    """Yield the error, or those in a group."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _errors(inner)
    else:
        yield error


def _spot(error: BaseException) -> tuple[str, ast.AST | None, FrameType | None]:
    """Return the source, the expression that failed and its frame, in the innermost code of yours.

    The source begins at the first line of its file or cell, so that line numbers are true.
    """
    mine: TracebackType | None = None
    trace = error.__traceback__
    while trace is not None:
        if is_yours(trace.tb_frame):
            mine = trace
        trace = trace.tb_next
    if mine is None:
        return "", None, None
    code = mine.tb_frame.f_code
    source = "".join(linecache.getlines(code.co_filename))
    return source, remedy.node_at(source, _position(code, mine.tb_lasti)), mine.tb_frame


def _position(code: CodeType, instruction: int) -> tuple[int | None, ...]:
    return next(islice(code.co_positions(), instruction // 2, None), ())


def _culprit(node: ast.AST | None, frame: FrameType | None, kind: type) -> ast.AST | None:
    """Return the part of the failed expression that made or holds the object."""
    for part in remedy.parts(node):
        if isinstance(part, ast.Name) and frame is not None:
            if type(_lookup(part.id, frame)) is kind:
                return part
        elif isinstance(part, ast.Call):
            return part
    return None


def _values(node: ast.AST | None, frame: FrameType | None) -> Iterable[Any]:
    value = getattr(node, "value", node)
    if isinstance(value, ast.Name) and frame is not None:
        return _items(_lookup(value.id, frame))
    return ()


def _lookup(name: str, frame: FrameType) -> Any:
    return frame.f_locals.get(name, frame.f_globals.get(name))


def _through_a_client(error: BaseException) -> bool:
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__", "").startswith("openai."):
            return True
        trace = trace.tb_next
    return False


# --- objects ----------------------------------------------------------------------------------

_COLLECTIONS = (list, tuple, dict, set)


def _items(value: Any, most: int = COUNTED) -> Iterable[Any]:
    kind = type(value)
    if kind is dict:
        return islice(value.values(), most)
    if kind in _COLLECTIONS:
        return islice(value, most)
    return (value,)


def _not_started(value: Any) -> bool:
    return type(value) is CoroutineType and inspect.getcoroutinestate(value) == inspect.CORO_CREATED


def _scheduled(value: Any) -> bool:
    """Whether a task will run the coroutine, though it has not begun."""
    try:
        return any(task.get_coro() is value for task in asyncio.all_tasks())
    except RuntimeError:
        return False


def _is_paginator(value: Any) -> bool:
    kind = type(value)
    return kind.__name__ == "AsyncPaginator" and kind.__module__.startswith("openai.")


def _from_sdk(kind: str) -> bool:
    """Whether a class of this name is one that the SDK's calls return."""
    import openai
    from openai import types

    return kind == "Stream" or hasattr(openai, kind) or _defined_below(types, kind)


def _defined_below(package: Any, kind: str) -> bool:
    return any(hasattr(part, kind) for part in (package, package.chat, package.responses))


def _call(value: Any) -> str:
    return f"{value.__qualname__.rpartition('<locals>.')[2]}()"
