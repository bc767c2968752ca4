"""What Python says of each mistake, in the words of 3.11 to 3.14: the one place for such texts.

Each text was made by running the mistake on 3.11.7, 3.12.1, 3.13.0 and 3.14.2. Where a version
words it another way, its pattern says so.
"""

import re
from typing import Literal, NamedTuple

Operation = Literal[
    "await", "for", "async for", "with", "async with", "next", "anext", "use", "task", "wait"
]


class Said(NamedTuple):
    """What was tried, and the classes that the text names, without their modules."""

    tried: Operation
    kinds: tuple[str, ...]


_KIND = r"([\w.]+)(?:\[.*\])?"

_TYPE_ERRORS: tuple[tuple[Operation, re.Pattern[str]], ...] = (
    ("await", re.compile(rf"^object {_KIND} can't be used in 'await' expression$")),
    ("await", re.compile(rf"^'{_KIND}' object can't be awaited$")),  # from 3.14 on
    ("async for", re.compile(rf"^'async for' requires .* __aiter__ method, got {_KIND}$")),
    ("async with", re.compile(rf"^'{_KIND}' object does not support the asynchronous context")),
    ("with", re.compile(rf"^'{_KIND}' object does not support the context manager")),
    ("anext", re.compile(rf"^'{_KIND}' object is not an async iterator$")),
    ("next", re.compile(rf"^'{_KIND}' object is not an iterator$")),
    ("for", re.compile(rf"^'{_KIND}' object is not iterable$")),
    ("for", re.compile(rf"^cannot unpack non-iterable {_KIND} object$")),
    ("for", re.compile(rf"argument after \* must be an iterable, not {_KIND}$")),
    ("for", re.compile(rf"^Value after \* must be an iterable, not {_KIND}$")),
    ("for", re.compile(rf"^argument of type '{_KIND}' is not (?:iterable|a container or itera)")),
    ("for", re.compile(r"^can only join an iterable()$")),  # names no class
    # create_task, asyncio.run; ensure_future, gather, shield; run_coroutine_threadsafe
    ("task", re.compile(r"^a coroutine was expected, got ()")),
    ("task", re.compile(r"^An asyncio\.Future, a coroutine or an awaitable is required()$")),
    ("task", re.compile(r"^A coroutine object is required()$")),
    # gather of a list, or of answers; from 3.14 on with "cannot use 'list' as a dict key" before it
    ("task", re.compile(r"unhashable type: '\w+'()\)?$")),
    ("wait", re.compile(r"^Passing coroutines is forbidden, use tasks explicitly\.()$")),
    ("wait", re.compile(rf"^expect a list of futures, not {_KIND}$")),
    ("wait", re.compile(rf"^expect an iterable of futures, not {_KIND}$")),
    ("wait", re.compile(rf"^expects an iterable of awaitables, not {_KIND}$")),  # from 3.13 on
)

_USED = (
    re.compile(rf"^'{_KIND}' object (?:is not|has no|does not|cannot)"),
    re.compile(rf"of type '?{_KIND}'?(?:$| )"),
    re.compile(rf"expected \w+ instance, {_KIND} found$"),
    re.compile(rf'\(not "{_KIND}"\)'),
    re.compile(rf"between instances of '{_KIND}' and '{_KIND}'"),
    re.compile(rf"unsupported operand type\(s\) for .*: '{_KIND}' and '{_KIND}'"),
    re.compile(rf"(?:got|, not) '?{_KIND}'?$"),
    re.compile(rf"format string passed to {_KIND}\.__format__"),
    re.compile(rf"^type {_KIND} doesn't define "),
    re.compile(rf"^bad operand type for .*: '{_KIND}'$"),
    re.compile(rf"^cannot convert '{_KIND}' object"),
)

RUNNING_LOOP = (
    "asyncio.run() cannot be called from a running event loop",
    "This event loop is already running",
    "Cannot run the event loop while another loop is running",
)
OTHER_LOOP = ("Event loop is closed", "different event loop", "attached to a different loop")
CLIENT_CLOSED = "Cannot send a request, as the client has been closed."
BAD_YIELD = "Task got bad yield: <coroutine object"
"""What 3.11 says of gather(generator); later versions say that an awaitable is required."""
AWAITED_TWICE = ("cannot reuse already awaited coroutine", "coroutine is being awaited already")
NO_RESULT_YET = "Result is not set."
FUTURE_NOT_AWAITED = "await wasn't used with future"
NOTHING = re.compile(r"\bNoneType\b(?!.* can't be (?:awaited|used in 'await'))")
"""None was used where something had to be, in whatever way but an await."""
KEY_FUNCTION = "async_refresh_api_key"
"""The SDK's function that awaits what a client's `api_key=` function gives."""
OUTSIDE = re.compile(
    r"^'(await|async for|async with)' outside (?:async )?function"
    r"|^(asynchronous comprehension) outside of an asynchronous function"
)


def said(error: BaseException) -> Said | None:
    """Return what the error says of an object that was used in a way it does not know."""
    text = str(error)
    if isinstance(error, TypeError):
        for tried, pattern in _TYPE_ERRORS:
            if found := pattern.search(text):
                return Said(tried, tuple(_last(kind) for kind in found.groups() if kind))
    if isinstance(error, TypeError | AttributeError):
        for pattern in _USED:
            if found := pattern.search(text):
                return Said("use", tuple(_last(kind) for kind in found.groups()))
    if isinstance(error, RuntimeError) and text.startswith(BAD_YIELD):
        return Said("task", ())
    return None


def _last(kind: str) -> str:
    return kind.rpartition(".")[2]
