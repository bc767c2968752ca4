"""The way out: sends an answer, each part when it is due, and notes it in the journal."""

import asyncio
import time
from collections.abc import Mapping

from starlette.types import Message, Receive, Send

from helpers.mock_server.control.journal import MAX_TEXT, Journal, Outcome, Record
from helpers.mock_server.control.state import State
from helpers.mock_server.delivery.clock import Clock, alarms
from helpers.mock_server.protocol.answers import SSE_TYPE, Answer, Cut, Stream, Whole
from helpers.mock_server.protocol.asgi import Gone
from helpers.mock_server.protocol.errors import ApiError

BREATH = 32
"""Events that may leave together, after which others may run: some 8 kB, and 0.1 ms of work."""

FAR_BEHIND = 4
"""Gaps by which a stream is late when it begins to send its tokens together."""

SOON = 1.0
"""Seconds of a wait up to which it shares its timer with others. A longer one has its own, which
goes at once when the client does."""


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
        await hang_up(receive, send)
        return
    state.journal.first_byte(record, answer.status)
    await send(head(answer.status, answer.content_type, answer.headers, record, answer.length))
    if answer.cut is not None:
        await send(
            {"type": "http.response.body", "body": answer.body[: answer.cut], "more_body": True}
        )
        state.journal.close(record, "failed")
        await hang_up(receive, send)
        return
    if answer.more:
        for part in (answer.body, *answer.more):
            await send({"type": "http.response.body", "body": part, "more_body": True})
            await asyncio.sleep(0)  # a fast reader never makes it wait, and others would
        await send({"type": "http.response.body", "body": b""})
    else:
        await send({"type": "http.response.body", "body": answer.body})
    record.tokens_sent = answer.tokens
    state.journal.close(record, outcome(answer))


def outcome(answer: Whole) -> Outcome:
    """Return how an answer in one piece ends in the journal."""
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
        await hang_up(receive, send)


async def _send_events(
    answer: Stream, journal: Journal, record: Record, clock: Clock, send: Send
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
    even = answer.pace.even  # a thousand streams have no generator to spare for a sum
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


async def hang_up(receive: Receive, send: Send) -> None:
    """Drop the connection, once what was sent has left. ASGI has no word for this."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionAbortedError("A fault drops this connection.")
    transport.close()
    while (await receive())["type"] != "http.disconnect":
        pass
