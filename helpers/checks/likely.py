"""What an answer's error most likely means: one plain sentence, and the hint that fits it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from helpers.checks.exercise import NotYet, Trial


@dataclass(frozen=True, slots=True)
class Likely:
    """An error that learners often meet, told by its type and message."""

    error: re.Pattern[str]
    sentence: str
    hint: str
    asked: bool | None = None
    """Whether a request had reached the server by then; None where it says nothing."""


_AWAITED_IN_VAIN = r"object '?{}'? can't be used in 'await'|'{}' object can't be awaited"
"""Python words it anew in 3.14."""


def _in_vain(kind: str) -> str:
    return _AWAITED_IN_VAIN.replace("{}", kind)


_LIKELY = (
    Likely(
        re.compile(r"reuse already awaited coroutine"),
        "A coroutine is one call: it was awaited before, and runs once.",
        "Await the call where it is made, and keep what `await` gives you: reply = await …",
    ),
    Likely(
        re.compile(r"\bcoroutine\b"),
        "The call was awaited, but its result was not kept: the name still holds the coroutine.",
        "`await call` hands you the result; it does not change `call`. Write reply = await …",
        asked=True,
    ),
    Likely(
        re.compile(r"\bcoroutine\b"),
        "That is a coroutine, and it was never awaited: a call that has not started.",
        "Which line made the coroutine? The `await` belongs there, in front of the call.",
    ),
    Likely(
        re.compile(_in_vain("ChatCompletion")),
        "What was awaited is an answer already, and paid for: the blocking client gave it, or an "
        "`await` before.",
        "Which client made that call? Only a call of the async one is awaited, and once.",
    ),
    Likely(
        re.compile(rf"{_in_vain('AsyncStream')}|'AsyncStream' object is not iterable"),
        "An AsyncStream is read by `async for`, which awaits one item at a time.",
        "The call's own `await` gives the stream. Then: async for chunk in stream:",
    ),
    Likely(
        re.compile(rf"{_in_vain('async_generator')}|'async_generator' object is not iterable"),
        "An async generator has many results, one after another, and each is waited for.",
        "Read it with `async for piece in …:`, without another `await`.",
    ),
    Likely(
        re.compile(r"'AsyncStream' object has no attribute"),
        "An AsyncStream is an open connection: its chunks have what you look for.",
        "Read it with `async for chunk in stream:` and look into the chunk.",
    ),
    Likely(
        re.compile(
            r"__aiter__ method, got ChatCompletion|asynchronous context manager.*Completion"
        ),
        "The call gave a whole answer: `stream=True` is missing.",
        "Ask for a stream: create(…, stream=True).",
    ),
    Likely(
        re.compile(r"__aiter__ method, got Stream|'Stream' object does not support the async"),
        "That stream is the blocking client's: it has no items to await.",
        "Ask the async client, `client`, and await its call.",
    ),
    Likely(
        re.compile(r"'Choice' object has no attribute 'message'"),
        "In a stream a choice has a `delta`, the new piece, and no `message`.",
        "The text stands in chunk.choices[0].delta.content.",
    ),
    Likely(
        re.compile(r"'Choice' object has no attribute 'delta'"),
        "A whole answer's choice has a `message`; a `delta` comes in a stream.",
        "The text stands in reply.choices[0].message.content.",
    ),
)


@contextmanager
def explaining(trial: Trial, *own: Likely) -> Iterator[None]:
    """Say of an error that the answer raises in this block what it most likely means.

    `own`: what an error means in this exercise above all, looked at first.

    Raises:
        NotYet: the block's; with a sentence more, and the hint that fits, where the error is a
            likely one.
    """
    try:
        yield
    except NotYet as verdict:
        error = verdict.__context__
        if error is None:
            raise
        known = _find(f"{type(error).__name__}: {error}", trial, (*own, *_LIKELY))
        if known is None:
            raise
        raise NotYet(f"{verdict}\n{known.sentence}", known.hint) from None


def _find(said: str, trial: Trial, known: tuple[Likely, ...]) -> Likely | None:
    asked: bool | None = None
    for likely in known:
        if not likely.error.search(said):
            continue
        if likely.asked is None:
            return likely
        if asked is None:
            asked = bool(trial.requests)
        if likely.asked is asked:
            return likely
    return None
