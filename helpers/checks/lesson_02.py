"""Checks of lesson 02: an answer comes piece by piece while it is written, and is paid for once."""

import functools
import time
from collections.abc import AsyncIterable, AsyncIterator
from itertools import pairwise
from typing import Any

from openai.types.chat import ChatCompletionMessageParam

from helpers.checks.at_once import Ask, expect_the_answer, held_when_slow
from helpers.checks.exercise import (
    NotYet,
    Trial,
    count,
    describe,
    describe_call,
    off_the_loop,
    register,
    shorten,
)
from helpers.checks.likely import explaining
from helpers.heartbeat import Heartbeat
from helpers.observe import Request

WORDS = "What is streaming good for?"
QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": WORDS}]

TELLABLE = 0.1
"""Seconds from first token to last that it takes to tell "while it is written" from "at the end",
and a held event loop from a busy machine. At a very fast pace both are left unjudged."""

HELD_BACK = 0.2
"""Seconds without a piece, while the server sent most of the answer, that no busy machine explains:
of those beyond the first, whole words and sentences are handed on sooner."""


@register(
    "02-1",
    hints=(
        "Step 1: what does `create` have to be asked for, so that the answer comes as a stream?",
        "Steps 2 and 3: read the stream with `async for`, and `yield` inside that loop, under the "
        "condition that guards against chunks without text.",
        "async with await client.chat.completions.create(…, stream=True) as stream:, in it `async "
        "for chunk in stream:`, in that `if chunk.choices and chunk.choices[0].delta.content:`, in "
        "that `yield`.",
    ),
)
async def yields_text_as_it_comes(trial: Trial) -> str:
    moments: list[float] = []
    with explaining(trial), Heartbeat() as beat:
        pieces = await Trial(_noting(trial.answer, moments)).run(QUESTION)
    if not pieces:
        raise NotYet("It ended without a single piece.")
    for number, piece in enumerate(pieces, 1):
        if not isinstance(piece, str) or not piece:
            said = "empty: ''" if piece == "" else describe(piece)
            raise NotYet(f"Piece {number} of {len(pieces)} is {said}. Hand on text only.")
    if len(pieces) == 1:
        raise NotYet("One piece came, the whole answer: nothing to read before the end.")
    came = f"{count(len(pieces), 'piece')} of text"
    if not trial.sees_requests:
        return f"{came}."
    request = _only(trial.requests)
    call = describe_call(trial.answer, (QUESTION,))
    expect_the_answer(call, WORDS, "".join(pieces), gave="yielded")
    _while_written(request, moments, "the first piece came")
    await _lets_others_run(trial, beat, lambda again: again.run(QUESTION))
    left = " Left early, it ends its request." if await _was_left(trial) else ""
    return f"{came} from 1 request, each handed on when it came.{left}"


@register(
    "02-2",
    hints=(
        "How many requests does one call make, and which line makes each?",
        "The pieces that are shown are the answer. Keep them on the way.",
        "Append each piece to a list in the loop, and return the list joined.",
    ),
)
async def shows_and_keeps_one_answer(trial: Trial) -> str:
    shown: list[str] = []
    moments: list[float] = []

    def show(piece: str) -> None:
        moments.append(time.monotonic())
        shown.append(piece)

    with explaining(trial), Heartbeat() as beat:
        kept = await trial.run_awaited(QUESTION, show)
    if not shown:
        raise NotYet("Nothing was shown.")
    if not isinstance(kept, str):
        raise NotYet(f"It returned {describe(kept)}; the log wants the text.")
    if trial.sees_requests:
        request = _only(trial.requests)
        _while_written(request, moments, "the first piece was shown")
        await _lets_others_run(
            trial, beat, lambda again: again.run_awaited(QUESTION, lambda piece: None)
        )
    if "".join(shown) != kept:
        raise NotYet(
            f"The text kept, {shorten(kept)!r}, is not the text shown, {shorten(''.join(shown))!r}."
        )
    if trial.sees_requests:
        expect_the_answer(describe_call(trial.answer, (QUESTION, show)), WORDS, kept)
    return "1 request; shown while it was written, and kept whole."


def _noting(answer: Any, moments: list[float]) -> Any:
    """Return `answer` as an async generator that notes when each of its items came."""
    if not callable(answer):
        return answer

    @functools.wraps(answer)
    async def noting(*arguments: object) -> AsyncIterator[object]:
        items = answer(*arguments)
        if not isinstance(items, AsyncIterable):
            raise NotYet(
                f"A call gave {describe(items)}. `async for` needs an async generator: "
                f"an `async def` with `yield` in it."
            )
        async for item in items:
            moments.append(time.monotonic())
            yield item

    return noting


def _only(requests: tuple[Request, ...]) -> Request:
    if len(requests) != 1:
        paid = "it is paid for twice" if len(requests) == 2 else "only one is needed"
        raise NotYet(f"{count(len(requests), 'request')} for one answer: {paid}.")
    if not requests[0].stream:
        raise NotYet(
            "The request did not ask for a stream.",
            "One request is right. Which function hands on the pieces while they are written?",
        )
    return requests[0]


def _while_written(request: Request, moments: list[float], what: str) -> None:
    """Make sure that the pieces were handed on, at these moments, while the server sent them."""
    first, last = request.tokens[0], request.tokens[-1]
    if last - first > TELLABLE and moments[0] > last:
        raise NotYet(f"The server had sent the last token before {what}.")
    for one, next_one in pairwise(moments):
        sent = sum(one < moment <= next_one for moment in request.tokens)
        silence = min(next_one, last) - one
        if silence > HELD_BACK and sent > len(request.tokens) / 2:
            raise NotYet(
                f"After a piece came none for a while, and the server sent {sent} of its "
                f"{len(request.tokens)} tokens meanwhile: they were held back."
            )


async def _was_left(trial: Trial) -> bool:
    """Leave the answer after its first piece; return whether it is of a kind that can be left.

    Raises:
        NotYet: the server wrote on for the reader who had left.
    """
    pieces = aiter(trial.answer(QUESTION))
    await anext(pieces)
    close = getattr(pieces, "aclose", None)
    if close is None:  # an iterator of the answer's own make
        return False
    await close()
    left = time.monotonic()
    # In a thread: a generator inside the generator closes when the loop next has a turn to give.
    request = (await off_the_loop(lambda: trial.requests))[-1]
    written = [moment for moment in request.tokens if moment > left]
    if request.outcome != "abandoned" and written and written[-1] - left > TELLABLE:
        raise NotYet(
            "All pieces come. Then I asked again and left after the first piece, and the server "
            f"wrote on: {count(len(written), 'token')} for nobody, which are paid for."
        )
    return True


async def _lets_others_run(trial: Trial, beat: Heartbeat, ask: Ask) -> None:
    request = _only(trial.requests)
    first, last = request.tokens[0], request.tokens[-1]
    held = max((min(f.end, last) - max(f.start, first) for f in beat.freezes), default=0.0)
    # One that blocks holds the loop from before the first token until after the last.
    if last - first <= TELLABLE or held <= 0.9 * (last - first):
        return
    if await held_when_slow(trial, ask):
        raise NotYet("It held the event loop while it waited: no other task could run.")
