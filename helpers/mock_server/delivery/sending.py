"""The way out: sends an answer, each part when it is due, and notes it in the journal."""

import asyncio
import time
from collections.abc import Mapping

from starlette.types import Message, Receive, Send

from helpers.mock_server.control.journal import MAX_TEXT, Journal, Outcome, Record
from helpers.mock_server.control.state import State
from helpers.mock_server.delivery.clock import alarms, unless_gone, until_gone
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

HASTE = 0.5
"""The share of a gap by which each is shorter while a stream that began late catches up: of a
thousand that are asked for at once the last begins 0.3 s late, and none is to come in a gush."""


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
            await unless_gone(place, receive)
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
    left = (record.started or record.arrived) + wait - time.monotonic()
    if left > 0:
        await unless_gone(asyncio.sleep(left), receive)
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
    # The events leave in a task of their own: a token that wakes it need not pass through all its
    # callers, and this one listens. It hears of the end, too: of the answer, or of the connection.
    sending = asyncio.get_running_loop().create_task(
        _send_events(answer, state.journal, record, send)
    )
    try:
        await until_gone(receive)
    finally:
        if not sending.done():
            sending.cancel()
            await asyncio.wait([sending])
    if sending.cancelled():
        raise Gone
    sending.result()


async def _send_events(answer: Stream, journal: Journal, record: Record, send: Send) -> None:
    """Send a stream's head and events, and note its end; where it breaks off, drop the connection.

    The end is noted as the last bytes are handed over: the client may ask again at once, and what
    it asks then comes after.
    """
    try:
        whole = await _send_in_time(answer, journal, record, send)
    except Exception:
        await _break_off(send)
        raise
    journal.close(record, "finished" if whole and not answer.broken else "failed")
    if not whole:
        await _break_off(send)


async def _send_in_time(answer: Stream, journal: Journal, record: Record, send: Send) -> bool:
    """Send a stream's head and events, each when it is due; return whether it came to its end."""
    start = due = answer.started or record.started or record.arrived
    if answer.late:
        start += answer.late
        await asyncio.sleep(start - time.monotonic())
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
    # What is asked for again is not late: all that was said meanwhile leaves at once.
    late = 0.0 if not gap or answer.started else max(0.0, now() - start - first)
    reached = -1
    for turn, tokens, data in answer.events:
        new_turn = reached < turn
        if new_turn:
            if even:
                due = start + first + gap * turn
                reached = turn
            while reached < turn:
                due = start + next(moments)
                reached += 1
            if late > 0:
                due += late
                late -= gap * HASTE
        delay = due - now()
        # Events of one turn leave together. So do those of a stream that has no delays, or fell far
        # behind: it catches up in fewer, larger writes.
        if ready and (joined == BREATH or (new_turn and delay > patience)):
            message["body"] = ready
            left = now()
            await send(message)
            if ready_tokens:
                journal.token(record, ready_tokens, left)
            ready, ready_tokens, joined = b"", 0, 0
            if delay <= 0:
                await asyncio.sleep(0)
        if delay > SOON:
            await asyncio.sleep(delay)
        elif delay > 0:
            await alarm(due)
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
        await asyncio.sleep(data.seconds)
    left = now()
    await send({"type": "http.response.body", "body": ready})
    journal.token(record, ready_tokens, left)
    return True


async def _break_off(send: Send) -> None:
    try:
        _drop(send)
    except ConnectionAbortedError:  # who listens has to hear of an end
        await send({"type": "http.response.body", "body": b""})
        raise


async def hang_up(receive: Receive, send: Send) -> None:
    """Drop the connection, once what was sent has left."""
    _drop(send)
    await until_gone(receive)


def _drop(send: Send) -> None:
    """Drop the connection, once what was sent has left. ASGI has no word for this.

    Raises:
        ConnectionAbortedError: the connection is out of reach: the server is not uvicorn.
    """
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is None:
        raise ConnectionAbortedError("A fault drops this connection.")
    transport.close()
