"""Lesson 09: a Stop that the server hears, and suggestions for a text that is being typed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx2
from openai import APIError, AsyncOpenAI

from helpers import observe
from helpers.checks.exercise import (
    NotYet,
    Trial,
    count,
    describe,
    off_the_loop,
    register,
    shorten,
    tasks_under_way,
)
from helpers.checks.hooked import hooked_client

AT_ONCE = 1.0
"""Seconds in which an answer that was stopped must be back, on a busy machine too: what it could
wait for instead takes three at least."""

NOTICES = 0.4
"""Seconds for the server to notice a hang-up: at its next token, after a hundredth of a second."""

# --- 09-1: stopped, and heard -----------------------------------------------------------------

QUESTION = "Why is the sky blue?"

ENOUGH = 5
"""Pieces after which the reader presses Stop, and the server falls silent."""

STEADY = "dial=1,first=0.02,gap=0.01,tokens=400"
"""Stopped after a tenth of a second, an answer has four more to go."""


@dataclass(frozen=True, slots=True)
class _Round:
    """A server's manner, and whether a reader presses Stop."""

    pace: str
    fault: str = ""
    pause: float | None = None
    """Seconds from the last drawing until Stop is pressed; None where it is not."""


WHOLE = _Round("dial=0")
STOPPED = _Round(STEADY, pause=0.0)
SILENT = _Round(STEADY, f"stall; after={ENOUGH}", pause=0.1)
BROKEN = _Round("dial=0", "500")


@dataclass(slots=True)
class _Reader:
    """Sees what is drawn, and presses Stop."""

    pause: float | None
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    drawn: list[str] = field(default_factory=list)

    def draw(self, text: str) -> None:
        if not isinstance(text, str):
            raise NotYet(f"draw got {describe(text)}, where the text so far was wanted.")
        self.drawn.append(text)
        if self.pause is not None and len(self.drawn) == ENOUGH:
            asyncio.get_running_loop().call_later(self.pause, self.stop.set)

    @property
    def sees(self) -> str:
        return self.drawn[-1] if self.drawn else ""


@register(
    "09-1",
    hints=(
        "Who looks at `stop`, and when? And what does `break` leave open?",
        "Let one task read and draw, and another wait for `stop`. `asyncio.wait` with `return_when="
        "asyncio.FIRST_COMPLETED` returns when the first of them is done; cancel what is left.",
        "Give `read` a function that keeps the text and draws it. Then `reading, stopping = "
        "asyncio.create_task(read(client, question, keep)), asyncio.create_task(stop.wait())`, "
        "`await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)` in a "
        "`try`; then, if `reading` is done, `reading.result()` lets its error out. In `finally` "
        "cancel both, and `await asyncio.wait` for them: so they end however the function does.",
    ),
)
async def stops(trial: Trial) -> str:
    """`show_until(client, question, draw, stop)` draws an answer, and ends at once when told to."""
    request = await _play(trial, WHOLE)
    if request is not None and request.outcome != "finished":
        raise NotYet("Nobody pressed Stop, and the answer was left before its end.")
    for part, when in ((STOPPED, "in the middle"), (SILENT, "while the server was silent")):
        request = await _play(trial, part)
        if request is not None and request.outcome != "abandoned":
            raise NotYet(
                f"Stop was pressed {when}. The drawing ended, and the server wrote on: the stream "
                f"was left open, and its answer is paid for to the end."
            )
    if trial.sees_requests:  # another server does not fail when it is asked to
        await _lets_errors_out(trial)
    await _ends_when_cancelled(trial)
    return (
        "One answer drawn to its end; two stopped, in the middle and in a silence. "
        "The server stopped as well, both times, and what had been drawn came back."
    )


async def _play(trial: Trial, part: _Round) -> observe.Request | None:
    """Run the answer for one round; return its request, None where no journal tells."""
    before = max((request.id for request in observe.journal().requests), default=0)
    reader = _Reader(part.pause)
    async with _client(part) as client:
        async with _nothing_left("It returned"):
            found = await _until_stopped(trial, client, reader)
        # Before the client's end, which would close what was left open.
        requests = (await off_the_loop(observe.journal, before, NOTICES)).requests
    if not isinstance(found, str):
        raise NotYet(f"show_until returned {describe(found)}, where the text was wanted.")
    if found != reader.sees:
        raise NotYet(
            f"In the end the reader sees {shorten(reader.sees)!r}, "
            f"and what came back is {shorten(found)!r}."
        )
    if len(reader.drawn) < ENOUGH:
        raise NotYet(
            f"It drew {count(len(reader.drawn), 'time')}: an answer should be seen to grow."
        )
    if not trial.sees_requests:
        return None
    if len(requests) != 1:
        raise NotYet(f"One question went out as {count(len(requests), 'request')}.")
    return requests[0]


async def _until_stopped(trial: Trial, client: AsyncOpenAI, reader: _Reader) -> object:
    """Return what the answer returns, which must be soon once Stop was pressed."""
    running = asyncio.create_task(trial.run_awaited(client, QUESTION, reader.draw, reader.stop))
    pressed = asyncio.create_task(reader.stop.wait())
    try:
        await asyncio.wait({running, pressed}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({running}, timeout=AT_ONCE if reader.stop.is_set() else None)
        if not running.done():
            raise NotYet(
                "Stop was pressed, and nothing stopped: the loop looks at it when the next piece "
                "comes, and a silent server sends none."
            )
        return await running
    finally:
        running.cancel()
        pressed.cancel()


async def _ends_when_cancelled(trial: Trial) -> None:
    """Cancel the answer, as whoever called it may: that is no Stop of a reader's."""
    reader = _Reader(0.0)
    async with _client(STOPPED) as client, _nothing_left("It was cancelled by its caller"):
        never = asyncio.Event()
        running = asyncio.create_task(trial.run_awaited(client, QUESTION, reader.draw, never))
        pressed = asyncio.create_task(reader.stop.wait())
        try:
            await asyncio.wait({running, pressed}, return_when=asyncio.FIRST_COMPLETED)
            running.cancel()
            await asyncio.wait({running}, timeout=AT_ONCE)
            if not running.done():
                raise NotYet("Its caller cancelled it in the middle, and it goes on.")
            if not running.cancelled():
                raise NotYet(
                    f"Its caller cancelled it in the middle, and it returned "
                    f"{describe(running.result())}: the caller goes on, as if nothing had happened."
                )
        finally:
            running.cancel()
            pressed.cancel()


@asynccontextmanager
async def _nothing_left(what: str) -> AsyncIterator[None]:
    """Make sure that the answer's tasks end with it."""
    before = tasks_under_way()
    yield
    left = tasks_under_way() - before
    if left:  # those that have been cancelled need a turn
        _, left = await asyncio.wait(left, timeout=NOTICES)
    if left:
        raise NotYet(
            f"{what}, and left {count(len(left), 'task')} behind: what reads is paid for, and what "
            f"waits for Stop waits for ever."
        )


async def _lets_errors_out(trial: Trial) -> None:
    """See to it that an answer that fails is no answer."""
    reader = _Reader(None)
    async with _client(BROKEN) as client, _nothing_left("The server failed with a 500; it raised"):
        try:
            found = await trial.answer(client, QUESTION, reader.draw, reader.stop)
        except APIError:
            return
        except Exception as error:
            raise NotYet(
                f"The server failed with a 500, and show_until raised {type(error).__name__}: "
                f"{error}. The SDK's own error says what happened."
            ) from None
    raise NotYet(
        f"The server failed with a 500, and show_until returned {describe(found)}: whoever called "
        f"it takes that for an answer."
    )


@asynccontextmanager
async def _client(part: _Round) -> AsyncIterator[AsyncOpenAI]:
    async def hook(request: httpx2.Request) -> None:
        request.headers["x-mock-pace"] = part.pace
        if part.fault:
            request.headers["x-mock-fault"] = part.fault

    async with hooked_client(hook) as client:
        yield client.with_options(max_retries=0)


# --- 09-2: suggestions while somebody types -----------------------------------------------------

TYPED = ("W", "Wh", "Why", "Why is", "Why is the sky blue?", "Write", "Write a haiku.")
"""What the field holds after each key: five in one go, a rest, and two more."""

UNDER_WAY = 0.6
"""Seconds that the typist rests after the fifth text: three times the pause after which the lesson
asks, so that a request is under way; its answer takes longer."""

KEY = 0.02
"""Seconds between two keys: a tenth of that pause."""

THINKS = "dial=1,first=1.5,gap=0"
"""The pace of the answer that nobody will read; the last one comes at once."""

SOON = 3.0
"""Seconds after the last key in which its suggestion must be there."""


@register(
    "09-2",
    hints=(
        "How many requests does a word of five letters cost? Which of their answers is read?",
        "Keep the one task that is worth having. A new key cancels it and starts another, and each "
        "begins with a short sleep.",
        "For each text: `asking.cancel()` if there is one, then `asking = group.create_task("
        "suggest(text))`, and `suggest` begins with `await asyncio.sleep(0.2)`. The group waits "
        "for the last one.",
    ),
)
async def suggests(trial: Trial) -> str:
    """`suggestions(client, typed, draw)` asks for what is in the field, once it stands still."""
    drawn: list[str] = []

    async def typed() -> AsyncIterator[str]:
        for number, text in enumerate(TYPED, 1):
            yield text
            await asyncio.sleep(UNDER_WAY if number == 5 else KEY)

    async def hook(request: httpx2.Request) -> None:
        last = TYPED[-1].encode() in request.content
        request.headers["x-mock-pace"] = "dial=0" if last else THINKS

    before = max((request.id for request in observe.journal().requests), default=0)
    async with hooked_client(hook) as client:
        try:
            async with asyncio.timeout(UNDER_WAY + len(TYPED) * KEY + SOON):
                await trial.run_awaited(client.with_options(max_retries=0), typed(), drawn.append)
        except TimeoutError:
            raise NotYet("The last text stood there for seconds, and no suggestion came.") from None
        requests = (await off_the_loop(observe.journal, before, NOTICES)).requests
    if any(not isinstance(text, str) for text in drawn):
        raise NotYet(f"draw got {describe(next(t for t in drawn if not isinstance(t, str)))}.")
    if not drawn:
        raise NotYet("The typing has ended, and no suggestion was drawn.")
    if not trial.sees_requests:
        return f"{count(len(drawn), 'suggestion')} drawn."
    asked = len(requests)
    if asked > 2:
        raise NotYet(
            f"Somebody typed {len(TYPED)} keys and paused twice; {asked} requests were sent. "
            f"A text that is a fiftieth of a second old is not asked about yet."
        )
    if asked < 2:
        raise NotYet(f"Somebody paused twice; {count(asked, 'request')} reached the server.")
    first, last = requests
    if first.outcome != "abandoned":
        raise NotYet(
            "Somebody typed on while an answer was under way. It was waited for, and paid for, and "
            "nobody wanted it any more."
        )
    if last.outcome != "finished":
        raise NotYet("The last text's request was left before its answer came.")
    if not all(drawn[-1].startswith(text) for text in drawn):  # one that grows is fine
        raise NotYet("A suggestion for a text was drawn that stood in the field no more.")
    return f"{len(TYPED)} keys, 2 requests: one left when the typing went on, one answered."
