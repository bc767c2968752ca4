"""The control routes under `/mock`: the journal, the dial, faults and limits."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, TypeAlias
from urllib.parse import parse_qsl

from pydantic import Field
from starlette.types import Receive, Scope, Send

from helpers.mock_server import VERSION
from helpers.mock_server.content import scripts
from helpers.mock_server.control import faults
from helpers.mock_server.control.journal import MAX_TEXT, Record
from helpers.mock_server.control.limits import MOST, PERIOD, Rate
from helpers.mock_server.control.state import State
from helpers.mock_server.protocol import errors, fields
from helpers.mock_server.protocol.answers import JSON_TYPE, SSE_TYPE, Call, dump
from helpers.mock_server.protocol.asgi import Gone, read_body
from helpers.mock_server.protocol.errors import ApiError
from helpers.mock_server.protocol.pacing import MAX_DIAL, changed

Control: TypeAlias = Callable[[Call, State], Awaitable[Any]]
"""Returns a JSON value, or its bytes."""

MAX_SETTLE = 600.0
"""The longest wait for requests to end, in seconds."""

MAX_BEHIND = 10_000
"""Live events that may wait for a slow reader; then it is told that it lost some."""

A_STRETCH = 10_000
"""Token times that are written out in one go: some 5 ms of work."""

MAX_CONTROL_BODY = 1024 * 1024

MAX_SIDE_BY_SIDE = 10_000
"""Lines of a batch at one time: as many as the journal keeps."""


class Paces(fields.Declared):
    models: dict[str, dict[str, Any]] | None = None


class Order(fields.Declared):
    """For a fault that the next requests meet."""

    fault: str
    times: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    client: str | None = None
    model: str | None = None
    path: str | None = None


Most: TypeAlias = Annotated[int, Field(ge=1, le=MOST)]


class Limits(fields.Declared):
    requests: Most | None = None
    tokens: Most | None = None
    period: Annotated[float, Field(ge=0.01, le=86_400)] | None = None
    max_concurrent: Most | None = None
    max_queue: Annotated[int, Field(ge=0, le=MOST)] | None = None


class Batches(fields.Declared):
    side_by_side: Annotated[int, Field(ge=1, le=MAX_SIDE_BY_SIDE)] | None = None
    pace: Annotated[float, Field(ge=0, le=MAX_DIAL)] | None = None


class Panel:
    """An ASGI endpoint for one control route: a coroutine for each method it takes."""

    def __init__(self, state: State, controls: dict[str, Control]) -> None:
        self._state = state
        self._controls = controls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            control = self._controls.get(scope["method"])
            if control is None:
                allowed = ", ".join(self._controls)
                raise errors.wrong_method(scope["method"], scope["path"], allowed)
            call = Call(
                method=scope["method"],
                path=scope["path"],
                headers={},
                body=await read_body(receive, MAX_CONTROL_BODY),
                query=dict(parse_qsl(scope["query_string"].decode("latin-1"))),
            )
            found = await control(call, self._state)
            body = found if isinstance(found, bytes) else dump(found)
        except ApiError as error:
            await send_error(error, send)
            return
        except Gone:
            return
        await _send(200, body, send)


async def send_error(error: ApiError, send: Send) -> None:
    """Answer a control request with an error."""
    more = [(name.encode(), value.encode()) for name, value in error.headers.items()]
    await _send(error.status, dump(error.body()), send, more)


async def _send(
    status: int, body: bytes, send: Send, more: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    headers = [
        *more,
        (b"content-type", JSON_TYPE.encode()),
        (b"content-length", b"%d" % len(body)),
        (b"x-mock-server", b"awaited"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def health(call: Call, state: State) -> Any:
    """Answer `GET /health`, which asks for no key and leaves no trace."""
    return {"status": "ok"}


async def about(call: Call, state: State) -> Any:
    """Answer `GET /mock`: who is there, what time it is, how the dial stands."""
    return {
        "name": "awaited-mock-server",
        "version": VERSION,
        "clock": time.monotonic(),
        "pace": state.pace.dial,
        "in_flight": state.journal.in_flight,
        "followers": len(state.journal.watchers),
    }


async def read_journal(call: Call, state: State) -> Any:
    """Answer `GET /mock/journal?after=&client=&settle=`."""
    after = int(_query_number(call, "after", 0))
    client = _wanted_client(call.query)
    settle = min(_query_number(call, "settle", 0.0), MAX_SETTLE)
    if settle > 0:
        await state.journal.settle(settle, after, client)
    return await in_pieces(state.journal.head(client), state.journal.requests(after, client))


async def in_pieces(head: dict[str, Any], records: list[Record]) -> bytes:
    """Return the journal as JSON; others may run meanwhile.

    A full one, with a million token times, takes the better part of a second, and all streams
    would stand still for it.
    """
    texts, since = [], 0
    for record in records:
        texts.append(dump(record.as_json()))
        since += 1 + len(record.tokens)
        if since > A_STRETCH:
            await asyncio.sleep(0)
            since = 0
    return dump({**head, "requests": []})[:-2] + b",".join(texts) + b"]}"


async def reset_journal(call: Call, state: State) -> Any:
    """Answer `DELETE /mock/journal`."""
    state.journal.reset()
    return {"latest": state.journal.latest}


async def reset(call: Call, state: State) -> Any:
    """Answer `POST /mock/reset`: back to how the server was started."""
    state.reset()
    return await about(call, state)


async def read_pace(call: Call, state: State) -> Any:
    """Answer `GET /mock/pace`."""
    pace = state.pace
    return {
        "pace": pace.dial,
        "first": pace.first,
        "gap": pace.gap,
        "jitter": pace.jitter,
        "seed": pace.seed,
        "tokens": pace.tokens,
        "models": state.model_paces,
    }


async def set_pace(call: Call, state: State) -> Any:
    """Answer `PUT /mock/pace {"pace": 0.1, "first": 0.4, …, "models": {"slow": {"gap": 0.1}}}`."""
    body = fields.json_object(call.body)
    models = fields.read(Paces, body).models or {}
    changes = {key: value for key, value in body.items() if key != "models"}
    if "pace" in changes:
        changes["dial"] = changes.pop("pace")
    try:
        pace = changed(state.pace, changes)
        for change in models.values():
            changed(pace, change)
    except ValueError as problem:
        raise ApiError(400, str(problem)) from None
    state.pace = pace
    state.model_paces.update(models)
    return await read_pace(call, state)


async def read_faults(call: Call, state: State) -> Any:
    """Answer `GET /mock/faults`: those that wait, and all that there are."""
    return {"waiting": [order.as_json() for order in state.orders.waiting], "kinds": faults.KINDS}


async def add_fault(call: Call, state: State) -> Any:
    """Answer `POST /mock/faults {"fault": "429; retry-after=1", "times": 2}`."""
    order = fields.read(Order, fields.json_object(call.body))
    try:
        fault = faults.parse(order.fault)
    except ValueError as problem:
        raise errors.invalid("fault", str(problem)) from None
    state.orders.add(
        faults.Order(
            text=order.fault,
            fault=fault,
            left=order.times or 1,
            client=order.client,
            model=order.model,
            path=order.path,
        )
    )
    return {"waiting": [order.as_json() for order in state.orders.waiting]}


async def clear_faults(call: Call, state: State) -> Any:
    """Answer `DELETE /mock/faults`."""
    state.orders.clear()
    return {"waiting": []}


async def read_replies(call: Call, state: State) -> Any:
    """Answer `GET /mock/replies`: those that wait, and the requests that none of them fitted."""
    return state.replies.as_json()


async def add_reply(call: Call, state: State) -> Any:
    """Answer `POST /mock/replies {"text": "Paris", "when": "capital"}`."""
    added = state.replies.add(scripts.read(fields.json_object(call.body)))
    return {"id": added}


async def set_replies(call: Call, state: State) -> Any:
    """Answer `PUT /mock/replies {"strict": true}`: refuse requests that no reply fits."""
    body = fields.json_object(call.body)
    if set(body) != {"strict"} or not isinstance(body["strict"], bool):
        raise errors.invalid("strict", 'It takes {"strict": true} or {"strict": false}.')
    state.replies.strict = body["strict"]
    return state.replies.as_json()


async def clear_replies(call: Call, state: State) -> Any:
    """Answer `DELETE /mock/replies`: drop all, those from a file too."""
    state.replies.clear()
    return state.replies.as_json()


async def read_limits(call: Call, state: State) -> Any:
    """Answer `GET /mock/limits`."""
    rate, queue = state.limiter.rate, state.queue
    return {
        "requests": rate.requests,
        "tokens": rate.tokens,
        "period": rate.period,
        "max_concurrent": queue.places,
        "max_queue": queue.length,
    }


def _expect_known(body: dict[str, Any], kind: type[fields.Declared], refusal: str) -> None:
    """Refuse a name that the order does not have. `refusal`: with places for it and for those."""
    for name in body:
        if name not in kind.model_fields:
            raise ApiError(400, refusal.format(name, ", ".join(kind.model_fields)))


async def set_limits(call: Call, state: State) -> Any:
    """Answer `PUT /mock/limits {"requests": 10, "tokens": …, "period": 60, "max_concurrent": 4}`.

    What is not named is not limited.
    """
    body = fields.json_object(call.body)
    _expect_known(body, Limits, "There is no limit '{}'. There are: {}.")
    limits = fields.read(Limits, body)
    period = PERIOD if limits.period is None else limits.period
    state.limiter.set(Rate(requests=limits.requests, tokens=limits.tokens, period=period))
    state.queue.set(limits.max_concurrent, limits.max_queue)
    return await read_limits(call, state)


async def read_batches(call: Call, state: State) -> Any:
    """Answer `GET /mock/batches`."""
    return {"side_by_side": state.side_by_side, "pace": state.batch_dial}


async def set_batches(call: Call, state: State) -> Any:
    """Answer `PUT /mock/batches {"side_by_side": 100, "pace": 0.1}`; `null`: the server's pace."""
    body = fields.json_object(call.body)
    _expect_known(body, Batches, "Batches have no '{}'. They have: {}.")
    settings = fields.read(Batches, body)
    if settings.side_by_side is not None:
        state.side_by_side = settings.side_by_side
    if "pace" in body:
        state.batch_dial = settings.pace
    return await read_batches(call, state)


class Live:
    """An ASGI endpoint: the journal as server-sent events, from now on."""

    def __init__(self, state: State) -> None:
        self._journal = state.journal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "GET":
            await send_error(errors.wrong_method(scope["method"], scope["path"], "GET"), send)
            return
        wanted = _wanted_client(dict(parse_qsl(scope["query_string"].decode("latin-1"))))
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        lost = 0

        def watch(what: str, record: Record) -> None:
            nonlocal lost
            if wanted is not None and record.client != wanted:
                return
            if queue.qsize() >= MAX_BEHIND:
                lost += 1
                return
            if lost:
                queue.put_nowait(_event("lost", {"events": lost}))
                lost = 0
            queue.put_nowait(_event(what, _fact(what, record)))

        headers = [
            (b"content-type", SSE_TYPE.encode()),
            (b"cache-control", b"no-cache"),
            (b"x-mock-server", b"awaited"),
        ]
        self._journal.watchers.add(watch)
        hung_up = asyncio.ensure_future(_hung_up(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            # The first bytes tell the reader that nothing is missed from here on.
            await send(
                {"type": "http.response.body", "body": b": listening\n\n", "more_body": True}
            )
            while not hung_up.done():
                news = asyncio.ensure_future(queue.get())
                await asyncio.wait((news, hung_up), return_when=asyncio.FIRST_COMPLETED)
                if not news.done():
                    news.cancel()
                    return
                parts = [news.result()]
                while not queue.empty():
                    parts.append(queue.get_nowait())
                body = b"".join(parts)
                await send({"type": "http.response.body", "body": body, "more_body": True})
        finally:
            self._journal.watchers.discard(watch)
            hung_up.cancel()


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _fact(what: str, record: Record) -> dict[str, Any]:
    if what == "token":
        return {"id": record.id, "at": record.tokens[-1], "tokens_sent": record.tokens_sent}
    if what == "first_byte":
        return {"id": record.id, "at": record.first_byte, "status": record.status}
    return record.as_json()


def _event(what: str, fact: dict[str, Any]) -> bytes:
    return f"event: {what}\ndata: {json.dumps(fact)}\n\n".encode()


def _wanted_client(query: Mapping[str, str]) -> str | None:
    """Return the tag to look for, cut as the journal cuts those that it keeps."""
    tag = query.get("client")
    return None if tag is None else tag[:MAX_TEXT]


def _query_number(call: Call, name: str, default: float) -> float:
    text = call.query.get(name)
    if text is None or text == "":
        return default
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1e15:
        raise errors.invalid(
            name, f"Invalid '{name}': expected a number, 0 or more, but got '{text}'."
        )
    return number
