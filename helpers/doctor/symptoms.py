"""Recognises what a cell has left behind: a value, an error, a name; and what it means."""

import ast
import asyncio
import dis
import inspect
import linecache
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from types import (
    AsyncGeneratorType,
    CodeType,
    CoroutineType,
    FrameType,
    GeneratorType,
    TracebackType,
)
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

_PAGE = (
    "The async client's list() sends its request when it is awaited, or when an async for "
    "goes over it. Until then it is only a plan, and always true."
)


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
        if finding is not None and not remedy.handed_on(source, remedy.last_name(source)):
            return finding
    for name, one in new:
        if not _scheduled(one) and not remedy.handed_on(source, name):
            return _of_name(name, shell.user_ns[name], source)
    return None


# --- values and names -------------------------------------------------------------------------


def _of_value(value: Any, source: str) -> Finding | None:
    kinds = (CoroutineType, AsyncGeneratorType)
    if not _is_paginator(value) and not any(type(one) in kinds for one in _items(value)):
        return None  # before the source is read: most cells end here
    expression = remedy.last_expression(source)
    if type(value) is CoroutineType:
        if not _not_started(value) or _scheduled(value):
            return None
        return _forgotten("This is", value, source, expression)
    if type(value) is AsyncGeneratorType:
        if _begun(value):
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
            _PAGE,
            remedy.awaited(source, expression),
            "03",
        )
    if type(value) in _COLLECTIONS:
        waiting = [one for one in _items(value) if _not_started(one) and not _scheduled(one)]
        if waiting:
            return _forgotten_many(value, waiting, source, expression)
    return None


def _of_name(name: str, value: Any, source: str) -> Finding | None:
    assigned = remedy.assigned(source, name)
    if type(value) in _COLLECTIONS:
        waiting = [one for one in _items(value) if _not_started(one)]
        return _forgotten_many(value, waiting, source, assigned, name)
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
    value: Any, waiting: list[Any], source: str, made: ast.AST | None, name: str = ""
) -> Finding:
    kind = type(value).__name__
    number = len(waiting)
    count = f"{number} coroutines" if number > 1 else "a coroutine"
    only_calls = all(_not_started(one) or asyncio.isfuture(one) for one in _items(value))
    return Finding(
        f"{name or 'This'} is a {kind} of {count}, none of them awaited"
        if number > 1
        else f"{name or 'This'} is a {kind} with {count} that was never awaited",
        f"{_call(waiting[0])} was called, but its body has not begun. "
        + (
            "asyncio.gather starts many and waits for all."
            if only_calls
            else "Await each call where you make it."
        ),
        remedy.gathered(source, made, type(value)) if only_calls else None,
        "03",
    )


# --- errors -----------------------------------------------------------------------------------

_COROUTINE = re.compile(
    r"""'coroutine'\ object\ (?:is\ not|has\ no|does\ not)
      | of\ type\ '?coroutine'?
      | coroutine\ found$
      | \(not\ "coroutine"\)
      | instances\ of\ '?.*'coroutine'
      | (?:got|,\ not)\ '?coroutine'?$
      | unsupported\ operand.*'coroutine'
    """,
    re.VERBOSE,
)
_NOT_AWAITABLE = re.compile(
    r"^(?:object |')(\w+)(?:\[.*\])?"
    r"(?: can't be used in 'await' expression|' object can't be awaited)$"
)
_ASYNC_STREAM = re.compile(r"'AsyncStream' object is not")
_SYNC_ITEMS = re.compile(r"__aiter__ method, got (?:Stream|Sync\w*Page)\b")
_PAGINATOR = re.compile(r"'AsyncPaginator'")
_ASYNC_GENERATOR = re.compile(r"'async_generator' object|got <async_generator object")
_RUNNING_LOOP = (
    "asyncio.run() cannot be called from a running event loop",
    "This event loop is already running",
    "Cannot run the event loop while another loop is running",
)
_OTHER_LOOP = ("Event loop is closed", "different event loop", "attached to a different loop")


def _of_error(error: BaseException) -> Finding | None:
    text = str(error)
    if isinstance(error, AttributeError | TypeError):
        if _COROUTINE.search(text):
            return _used_too_early(error)
        if _PAGINATOR.search(text):
            return _page_too_early(error, text)
    if isinstance(error, TypeError):
        if found := _NOT_AWAITABLE.match(text):
            return _awaited_in_vain(error, found[1])
        if _ASYNC_GENERATOR.search(text):
            return _async_generator(error)
        if _ASYNC_STREAM.search(text):
            return _async_stream(error)
        if _SYNC_ITEMS.search(text):
            return _sync_items(error)
        return _list_gathered(error)
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
        return _no_choices(error)
    return None


def _used_too_early(error: BaseException) -> Finding:
    source, node, frame = _spot(error)
    culprit = _culprit(node, frame, "coroutine")
    if isinstance(node, ast.Await) and culprit is node.value:
        culprit = None  # it has its await; what is amiss lies elsewhere
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
        return _async_stream(error)
    if kind in ("function", "method"):
        return Finding(
            f"A {kind} was awaited, not a call",
            "A call has parentheses, and only a call can be waited for.",
            remedy.called(source, node, kind),
            "03",
        )
    if kind in _GATHERED and _holds_calls(node, frame):
        return Finding(
            f"A {kind} cannot be awaited",
            "It holds coroutines. asyncio.gather starts them together and waits for all.",
            remedy.together(source, node, _GATHERED[kind]),
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
        remedy.iterated(source, _culprit(node, frame, "async_generator")),
        "02",
    )


def _async_stream(error: BaseException) -> Finding:
    source, node, frame = _spot(error)
    return Finding(
        "An async client's stream gives its chunks to an async for",
        "It has been opened already; its chunks come one by one, and each is waited for.",
        remedy.iterated(source, _culprit(node, frame, "AsyncStream")),
        "02",
    )


def _sync_items(error: BaseException) -> Finding:
    source, node, _ = _spot(error)
    return Finding(
        "A blocking client's answer is gone over with a plain for",
        "async for waits for one item after another; a blocking client gives it nothing to wait "
        "for. Leave out the async, or call an AsyncOpenAI client.",
        remedy.without_async(source, node),
        "02",
    )


def _page_too_early(error: BaseException, text: str) -> Finding:
    source, node, frame = _spot(error)
    culprit = _culprit(node, frame, "AsyncPaginator")
    return Finding(
        "A page was used that nobody has asked for yet",
        _PAGE,
        remedy.iterated(source, culprit)
        if "not iterable" in text
        else remedy.awaited(source, remedy.maker(source, culprit) or culprit),
        "03",
    )


def _list_gathered(error: BaseException) -> Finding | None:
    source, node, frame = _spot(error)
    match node:
        case ast.Call(func=ast.Attribute(attr="gather") | ast.Name(id="gather"), args=[items]):
            if _holds_calls(items, frame):
                return Finding(
                    "asyncio.gather takes calls, not a list of them",
                    "A star before the list hands over its items, one by one.",
                    remedy.unpacked(source, items),
                    "03",
                )
    return None


def _no_choices(error: BaseException) -> Finding | None:
    source, node, frame = _spot(error)
    match node:
        case ast.Subscript(value=ast.Attribute(value=ast.Name(id=name), attr="choices")):
            chunk = _lookup(name, frame)  # None: a comprehension's own name may be gone by now
            if chunk is None or (_of_the_sdk(chunk) and not chunk.choices):
                return Finding(
                    "This chunk has no choices",
                    "A stream may end in a chunk that carries the usage and an empty list of "
                    "choices. Look before you take the first.",
                    remedy.guarded(source, node),
                    "02",
                )
    return None


def _errors(error: BaseException) -> Iterator[BaseException]:
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


_TAKES = {"GET_ITER", "GET_AITER", "BEFORE_WITH", "BEFORE_ASYNC_WITH", "LOAD_SPECIAL"}


def _spot(error: BaseException) -> tuple[str, ast.AST | None, FrameType | None]:
    """Return the source, the expression that failed and its frame, in the innermost code of yours.

    The source begins at the first line of its file or cell, so that line numbers are true. An
    expression that did not fail itself, but gave what a `for` or `with` could not take, comes as
    an ast.Expr.
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
    node = remedy.node_at(source, _position(code, mine.tb_lasti))
    if isinstance(node, ast.expr) and dis.opname[code.co_code[mine.tb_lasti]] in _TAKES:
        node = ast.copy_location(ast.Expr(node), node)
    return source, node, mine.tb_frame


def _position(code: CodeType, instruction: int) -> tuple[int | None, ...]:
    return next(islice(code.co_positions(), instruction // 2, None), ())


def _culprit(node: ast.AST | None, frame: FrameType | None, kind: str) -> ast.AST | None:
    """Return the part of the failed expression that made or holds the object of that class."""
    if isinstance(node, ast.Expr):
        return node.value
    likely, makes = None, _MAKES.get(kind)
    for part in remedy.parts(node):
        match part:
            case ast.Name(id=name) if type(_lookup(name, frame)).__name__ == kind:
                return part
            case ast.Call(func=ast.Name(id=name)):
                function = _lookup(name, frame)
                if makes is not None and makes(function):
                    return part
                likely = likely or (None if function is None else part)
            case ast.Call():
                likely = likely or part
    return likely


_MAKES = {
    "coroutine": inspect.iscoroutinefunction,
    "async_generator": inspect.isasyncgenfunction,
}


def _holds_calls(node: ast.AST | None, frame: FrameType | None) -> bool:
    """Whether what is awaited or gathered is a collection of calls, and of nothing else."""
    items: list[ast.expr]
    match node.value if isinstance(node, ast.Await) else node:
        case ast.Name(id=name):
            value = _lookup(name, frame)
            found = list(_items(value)) if type(value) in _COLLECTIONS else []
            return bool(found) and all(_not_started(one) for one in found)
        case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
            pass
        case ast.Dict(values=items):
            pass
        case ast.ListComp(elt=item) | ast.SetComp(elt=item) | ast.GeneratorExp(elt=item):
            items = [item]
        case ast.DictComp(value=item):
            items = [item]
        case _:
            return False
    return bool(items) and all(isinstance(item, ast.Call) for item in items)


def _lookup(name: str, frame: FrameType | None) -> Any:
    return frame and frame.f_locals.get(name, frame.f_globals.get(name))


def _through_a_client(error: BaseException) -> bool:
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__", "").startswith("openai."):
            return True
        trace = trace.tb_next
    return False


# --- objects ----------------------------------------------------------------------------------

_COLLECTIONS = (list, tuple, dict, set)
_GATHERED = {kind.__name__: kind for kind in (*_COLLECTIONS, GeneratorType)}


def _items(value: Any, most: int = COUNTED) -> Iterable[Any]:
    kind = type(value)
    if kind is dict:
        return islice(value.values(), most)
    if kind in _COLLECTIONS:
        return islice(value, most)
    return (value,)


def _not_started(value: Any) -> bool:
    return type(value) is CoroutineType and inspect.getcoroutinestate(value) == inspect.CORO_CREATED


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


def _is_paginator(value: Any) -> bool:
    return type(value).__name__ == "AsyncPaginator" and _of_the_sdk(value)


def _of_the_sdk(value: Any) -> bool:
    return type(value).__module__.startswith("openai.")


def _from_sdk(kind: str) -> bool:
    """Whether a class of this name is one that the SDK's calls return."""
    import openai
    from openai import pagination, types

    places = (openai, pagination, types, types.chat, types.responses)
    return kind == "Stream" or (kind != "NoneType" and any(hasattr(one, kind) for one in places))


def _call(value: Any) -> str:
    return f"{value.__qualname__.rpartition('<locals>.')[2]}()"
