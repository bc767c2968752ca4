"""The socket's side: reads a call from ASGI, sends its answer when each part is due."""

import asyncio
import contextlib
import inspect
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TypeAlias
from urllib.parse import parse_qsl

from starlette.types import Message, Receive, Scope, Send

from helpers.mock_server import errors, faults
from helpers.mock_server.answers import SSE_TYPE, Answer, Call, Cut, Stream, Whole
from helpers.mock_server.errors import ApiError
from helpers.mock_server.faults import Fault
from helpers.mock_server.journal import MAX_TEXT, Journal, Outcome, Record
from helpers.mock_server.state import State

Handler: TypeAlias = Callable[[Call, State], Answer | Awaitable[Answer]]

BREATH = 32
"""Events that may leave together, after which others may run: some 8 kB, and 0.1 ms of work."""


FAR_BEHIND = 4
"""Gaps by which a stream is late when it begins to send its tokens together."""

SOON = 1.0
"""Seconds of a wait up to which it shares its timer with others. A longer one has its own, which
goes at once when the client does."""


class Gone(Exception):
    """The client hung up."""


class Door:
    """An ASGI endpoint: one path, and a handler for each method it takes."""

    def __init__(self, state: State, handlers: Mapping[str, Handler]) -> None:
        self._state = state
        self._handlers = handlers
        self._turnstile = state.turnstile

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        record: Record = scope["mock.record"]
        try:
            answer = await self._answer(scope, receive, record)
            await deliver(answer, self._state, record, receive, send)
        except Gone:
            self._state.journal.close(record, "abandoned")

    async def _answer(self, scope: Scope, receive: Receive, record: Record) -> Answer:
        state = self._state
        try:
            handler = self._handlers.get(scope["method"])
            if handler is None:
                allowed = ", ".join(self._handlers)
                raise errors.wrong_method(scope["method"], scope["path"], allowed)
            headers = scope["mock.headers"]
            key = check_key(headers, state.api_key)
            length = headers.get("content-length", "")
            if length.isdecimal() and int(length[:20]) > state.max_body:
                raise errors.body_too_large(state.max_body)
            call = Call(
                method=scope["method"],
                path=scope["path"],
                headers=headers,
                body=await read_body(receive, state.max_body),
                query=read_query(scope),
                params=scope.get("path_params", {}),
            )
            fault = wanted_fault(call, state, record.retry)
            if fault is not None:
                record.fault = fault.name
                refusal = faults.refusal(fault)
                if refusal is not None:
                    return replace(refusal, model=faults.model_of(call))
                if fault.needs_wide_character:
                    call = replace(call, appendix=faults.NOTE)
                if fault.name == "not-sse":
                    call = replace(call, body=faults.without_stream(call.body))
            await self._turnstile.enter()
            found = handler(call, state)
            answer = await found if inspect.isawaitable(found) else found
            if answer.tokens or answer.prompt_tokens:
                spent = state.limiter.charge(key, answer.prompt_tokens + answer.tokens)
                if spent:
                    answer = replace(answer, headers={**answer.headers, **spent})
            return answer if fault is None else faults.spoil(fault, answer)
        except ApiError as error:
            return error.answer()
        except Gone:
            raise
        except Exception:  # a fault of ours: the client gets OpenAI's words, standard error ours
            traceback.print_exc()
            return errors.our_fault().answer()


def read_headers(scope: Scope) -> dict[str, str]:
    """Return a request's headers: in UTF-8, which clients send, or in Latin-1, as is the rule."""
    return {name.decode("latin-1"): _decoded(value) for name, value in scope["headers"]}


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def read_query(scope: Scope) -> dict[str, str]:
    """Return the fields of a request's query."""
    text = scope["query_string"]
    return dict(parse_qsl(text.decode("latin-1"))) if text else {}


def check_key(headers: Mapping[str, str], right: str | None) -> str:
    """Return the key that the call carries, having made sure that it is right.

    Raises:
        ApiError: 401.
    """
    scheme, _, key = headers.get("authorization", "").partition(" ")
    key = key.strip()
    if scheme.lower() != "bearer" or not key:
        raise errors.no_key()
    if right is not None and key != right:
        raise errors.wrong_key(key)
    return key


def wanted_fault(call: Call, state: State, retry: int) -> Fault | None:
    """Return the fault that this try of a call is to meet, if any.

    Raises:
        ApiError: 400 where the `x-mock-fault` header names no fault.
    """
    text = call.headers.get("x-mock-fault")
    if text is None:
        return state.orders.take(call, retry) if state.orders.waiting else None
    try:
        fault = faults.parse(text)
    except ValueError as problem:
        raise ApiError(400, str(problem), param="x-mock-fault") from None
    return fault if fault.meets(retry) else None


async def read_body(receive: Receive, limit: int) -> bytes:
    """Return a request's body.

    Raises:
        ApiError: 413, as soon as more than `limit` bytes have come.
        Gone: the client hung up before its end.
    """
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise errors.body_too_large(limit)
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


# --- going out --------------------------------------------------------------------------------


async def deliver(
    answer: Answer, state: State, record: Record, receive: Receive, send: Send
) -> None:
    """Send an answer, each part when it is due, and note it in the journal.

    Raises:
        Gone: the client hung up before the end.
    """
    record.model = answer.model[:MAX_TEXT] if answer.model else None
    record.stream = isinstance(answer, Stream)
    record.tokens_planned = answer.tokens or None
    if not answer.tokens:
        await _send(answer, state, record, receive, send)
        return
    try:
        place = state.queue.enter()
    except ApiError as error:
        await _send(error.answer(), state, record, receive, send)
        return
    try:
        if place is not None:
            with Clock(receive) as clock:
                await clock.outcome(place)
        record.started = time.monotonic()
        await _send(answer, state, record, receive, send)
    finally:
        state.queue.leave(place)


async def _send(answer: Answer, state: State, record: Record, receive: Receive, send: Send) -> None:
    if isinstance(answer, Whole):
        await _send_whole(answer, state, record, receive, send)
    else:
        await _send_stream(answer, state, record, receive, send)


def head(
    status: int, content_type: str, headers: Mapping[str, str], record: Record, length: int | None
) -> Message:
    """Return the ASGI message that starts an answer."""
    passed = int((time.monotonic() - record.arrived) * 1000)
    lines = [
        (b"content-type", content_type.encode()),
        (b"x-mock-server", b"awaited"),
        (b"x-request-id", record.request_id.encode()),
        (b"openai-processing-ms", b"%d" % passed),
        (b"openai-version", b"2020-10-01"),
    ]
    lines += [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    if length is None:
        lines.append((b"cache-control", b"no-cache"))
    else:
        lines.append((b"content-length", b"%d" % length))
    return {"type": "http.response.start", "status": status, "headers": lines}


async def _send_whole(
    answer: Whole, state: State, record: Record, receive: Receive, send: Send
) -> None:
    wait = answer.pace.total(answer.turns) + answer.late
    if wait > 0:
        with Clock(receive) as clock:
            await clock.until((record.started or record.arrived) + wait)
    if answer.cut == 0:
        state.journal.close(record, "failed")
        await _hang_up(receive, send)
        return
    state.journal.first_byte(record, answer.status)
    await send(head(answer.status, answer.content_type, answer.headers, record, len(answer.body)))
    if answer.cut is not None:
        await send(
            {"type": "http.response.body", "body": answer.body[: answer.cut], "more_body": True}
        )
        state.journal.close(record, "failed")
        await _hang_up(receive, send)
        return
    await send({"type": "http.response.body", "body": answer.body})
    record.tokens_sent = answer.tokens
    state.journal.close(record, _outcome(answer))


def _outcome(answer: Whole) -> Outcome:
    if answer.broken or answer.status >= 500:
        return "failed"
    return "refused" if answer.status >= 400 else "finished"


async def _send_stream(
    answer: Stream, state: State, record: Record, receive: Receive, send: Send
) -> None:
    with Clock(receive) as clock:
        # In a task of its own: a token that wakes it need not pass through all its callers.
        whole = await asyncio.get_running_loop().create_task(
            _send_events(answer, state.journal, record, clock, send)
        )
    if whole:
        state.journal.close(record, "failed" if answer.broken else "finished")
    else:
        state.journal.close(record, "failed")
        await _hang_up(receive, send)


async def _send_events(
    answer: Stream, journal: Journal, record: Record, clock: "Clock", send: Send
) -> bool:
    """Send a stream's head and events; return whether it came to its end."""
    start = due = answer.started or record.started or record.arrived
    if answer.late:
        start += answer.late
        await clock.until(start)
    journal.first_byte(record, 200)
    await send(head(200, SSE_TYPE, answer.headers, record, None))
    alarm = alarms().at
    now = time.monotonic
    moments = answer.pace.moments()
    message: Message = {"type": "http.response.body", "body": b"", "more_body": True}
    ready, ready_tokens, joined = b"", 0, 0
    even = not answer.pace.jitter  # a thousand streams have no generator to spare for a sum
    first, gap = answer.pace.total(1), answer.pace.gap * answer.pace.dial
    patience = -FAR_BEHIND * gap
    reached = -1
    try:
        for turn, tokens, data in answer.events:
            new_turn = reached < turn
            if new_turn:
                if even:
                    due = start + first + gap * turn
                    reached = turn
                while reached < turn:
                    due = start + next(moments)
                    reached += 1
            delay = due - now()
            # Events of one turn leave together. So do those of a stream that has no delays, or fell
            # far behind: it catches up in fewer, larger writes.
            if ready and (joined == BREATH or (new_turn and delay > patience)):
                message["body"] = ready
                left = now()
                await send(message)
                if ready_tokens:
                    journal.token(record, ready_tokens, left)
                ready, ready_tokens, joined = b"", 0, 0
                if delay <= 0:
                    await clock.breathe()
            if delay > SOON:
                await clock.until(due)
            elif delay > 0:
                clock.watch()
                clock.sleeper = alarm(due)
                await clock.sleeper
            if isinstance(data, bytes):
                ready = ready + data if ready else data
                ready_tokens += tokens
                joined += 1
                continue
            if ready:
                message["body"] = ready
                left = now()
                await send(message)
                journal.token(record, ready_tokens, left)
                ready, ready_tokens, joined = b"", 0, 0
            if isinstance(data, Cut):
                return False
            # What comes after a pause is late by as much, not in a hurry.
            start += data.seconds
            due += data.seconds
            await clock.breathe()
            await clock.until(time.monotonic() + data.seconds)
    except asyncio.CancelledError:
        if clock.gone:  # it is how the clock wakes a sleeper whose client hung up
            raise Gone from None
        raise
    left = now()
    await send({"type": "http.response.body", "body": ready})
    journal.token(record, ready_tokens, left)
    return True


async def _hang_up(receive: Receive, send: Send) -> None:
    """Drop the connection, once what was sent has left. ASGI has no word for this."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionAbortedError("A fault drops this connection.")
    transport.close()
    while (await receive())["type"] != "http.disconnect":
        pass


class Clock:
    """Waits for a moment, or for the client to hang up, whichever comes first."""

    __slots__ = ("_loop", "_receive", "_watcher", "gone", "sleeper")

    def __init__(self, receive: Receive) -> None:
        self._loop = asyncio.get_running_loop()
        self._receive = receive
        self._watcher: asyncio.Task[None] | None = None
        self.sleeper: asyncio.Future[None] | None = None
        """What is waited for; cancelled when the client hangs up."""
        self.gone = False

    def __enter__(self) -> "Clock":
        return self

    def __exit__(self, *_: object) -> None:
        if self._watcher is not None:
            self._watcher.cancel()

    async def until(self, moment: float) -> None:
        """Wait until `time.monotonic()` is `moment`.

        Raises:
            Gone: the client hung up meanwhile.
        """
        delay = moment - time.monotonic()
        if delay <= 0:
            if self.gone:
                raise Gone
            return
        sleeper = self._loop.create_future()
        timer = self._loop.call_later(delay, _wake, sleeper)
        try:
            await self.outcome(sleeper)
        finally:
            timer.cancel()

    async def outcome(self, future: "asyncio.Future[None]") -> None:
        """Wait until a future is done.

        Raises:
            Gone: the client hung up meanwhile.
        """
        self.watch()
        self.sleeper = future
        try:
            await future
        except asyncio.CancelledError:
            if not self.gone:
                raise
        if self.gone:
            raise Gone

    async def breathe(self) -> None:
        """Let others run.

        Raises:
            Gone: the client hung up meanwhile.
        """
        self.watch()
        await asyncio.sleep(0)
        if self.gone:
            raise Gone

    def watch(self) -> None:
        """See to it that a hang-up is noticed from now on.

        Raises:
            Gone: it has been noticed.
        """
        if self._watcher is None:
            self._watcher = self._loop.create_task(self._watch())
        elif self.gone:
            raise Gone

    async def _watch(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while (await self._receive())["type"] != "http.disconnect":
                pass
            self.gone = True
            if self.sleeper is not None:
                self.sleeper.cancel()


def _wake(sleeper: "asyncio.Future[None]") -> None:
    if not sleeper.done():
        sleeper.set_result(None)


class Alarms:
    """One timer for all that are to wake in the same millisecond.

    A timer for each token of a thousand streams takes more of the processor than their bytes do.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._sleepers: dict[int, list[asyncio.Future[None]]] = {}

    def at(self, moment: float) -> "asyncio.Future[None]":
        """Return a future that is done at a moment, to the millisecond."""
        sleeper: asyncio.Future[None] = self.loop.create_future()
        slot = round(moment * 1000)
        sleepers = self._sleepers.get(slot)
        if sleepers is None:
            self._sleepers[slot] = [sleeper]
            self.loop.call_later(max(0.0, slot / 1000 - time.monotonic()), self._ring, slot)
        else:
            sleepers.append(sleeper)
        return sleeper

    def _ring(self, slot: int) -> None:
        for sleeper in self._sleepers.pop(slot):
            if not sleeper.done():
                sleeper.set_result(None)


_alarms: Alarms | None = None


def alarms() -> Alarms:
    """Return the alarms of the running loop."""
    global _alarms
    loop = asyncio.get_running_loop()
    if _alarms is None or _alarms.loop is not loop:
        _alarms = Alarms(loop)
    return _alarms
