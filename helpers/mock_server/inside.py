"""The door within a process: httpx2's transports to the application, where there are no sockets.

The application runs on a loop of its own, which is turned while this process waits. A blocking call
turns it until its answer is there, and nothing else runs meanwhile: to the caller's event loop that
is a blocking call like any other. While the caller's loop is free, it turns the inner one by a
timer, at the next moment at which something is due. So tokens come at their pace, and a client that
hangs up is noticed, as with a process.

All of it belongs to one thread.
"""

import asyncio
import contextvars
import logging
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx2
from starlette.types import Message

from helpers.mock_server.app import build
from helpers.mock_server.control.state import State
from helpers.mock_server.inner_loop import InnerLoop, pause
from helpers.mock_server.protocol.pacing import Pace, changed

HOST = "mock-server.invalid"
"""A name that no network knows (RFC 2606): a request that misses this door reaches nobody."""

NO_ANSWER = "Server disconnected without sending a response."
BROKEN_OFF = "peer closed connection without sending complete message body"
"""As httpx2 words it where a connection breaks."""

NEVER = "Nothing is under way at the mock server that could still answer this."

log = logging.getLogger(__name__)


def state(models: tuple[str, ...] = (), api_key: str | None = None) -> State:
    """Return a server's state with the pace that `MOCK_PACE` names, as its command line does.

    Raises:
        ValueError: it names none.
    """
    dial = os.environ.get("MOCK_PACE") or "1.0"
    try:
        pace = changed(Pace(), {"dial": float(dial)})
    except ValueError:
        raise ValueError(f"MOCK_PACE takes a number from 0 to 1000, not '{dial}'") from None
    return State(models=models, api_key=api_key, pace=pace)


class Door:
    """A running server without a socket. `blocking` and `asynchronous` lead to it.

    Give them to a client: `OpenAI(base_url=BASE_URL, http_client=httpx2.Client(transport=…))`.
    Closing such a client leaves the door open for others.
    """

    def __init__(self, state: State) -> None:
        self.base_url = f"http://{HOST}/v1"
        self.blocking = _Blocking(self)
        self.asynchronous = _Asynchronous(self)
        self._app = build(state)
        self._loop = InnerLoop()  # type: ignore[abstract]
        self._outer: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._rings = 0.0
        self._usual: tuple[Any, Any] | None = None

    def open_to_all(self) -> None:
        """Let clients in that were made without our transports, by the server's address alone.

        `AsyncOpenAI(base_url=…)`, or an `http_client` with limits or hooks of its own, finds its
        transport by itself, and httpx2 has no hook for that. So its own two transports are told to
        ask here for this one host. `close` undoes it.
        """
        if self._usual is not None:
            return
        usual = httpx2.HTTPTransport.handle_request
        usual_async = httpx2.AsyncHTTPTransport.handle_async_request
        self._usual = (usual, usual_async)
        blocking, asynchronous = self.blocking, self.asynchronous

        def handle(transport: Any, request: httpx2.Request) -> httpx2.Response:
            if request.url.host == HOST:
                return blocking.handle_request(request)
            return usual(transport, request)

        async def handle_async(transport: Any, request: httpx2.Request) -> httpx2.Response:
            if request.url.host == HOST:
                return await asynchronous.handle_async_request(request)
            return await usual_async(transport, request)

        httpx2.HTTPTransport.handle_request = handle  # type: ignore[assignment, method-assign]
        httpx2.AsyncHTTPTransport.handle_async_request = handle_async  # type: ignore[assignment, method-assign]

    def close(self) -> None:
        """Let in no more clients than hold our transports."""
        if self._usual is not None:
            usual, usual_async = self._usual
            httpx2.HTTPTransport.handle_request = usual  # type: ignore[method-assign]
            httpx2.AsyncHTTPTransport.handle_async_request = usual_async  # type: ignore[method-assign]
            self._usual = None

    # --- what the transports need ---

    def ask(self, request: httpx2.Request, body: bytes) -> "_Exchange":
        """Hand a request in."""
        exchange = _Exchange(self._loop, request, body, self.arrange)
        # In a context of its own: what the caller's context holds is not the server's affair.
        task = self._loop.create_task(
            self._app(exchange.scope, exchange.receive, exchange.send),
            context=contextvars.Context(),
        )
        task.add_done_callback(exchange.app_ended)
        log.debug("send_request_body.complete")  # the words by which a sent request is known
        return exchange

    def wait(self, ready: Callable[[], bool], seconds: float | None) -> None:
        """Turn the inner loop until something is there; nothing else of this process runs.

        Raises:
            httpx2.ReadTimeout: it was not there in so many seconds.
            httpx2.ReadError: it will never be there.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        try:
            while True:
                self._loop.turn()
                if ready():
                    return
                now = time.monotonic()
                if deadline is not None and now >= deadline:
                    raise httpx2.ReadTimeout("timed out")
                due = self._loop.next_due()
                moments = [moment for moment in (due, deadline) if moment is not None]
                if not moments:
                    raise httpx2.ReadError(NEVER)
                pause(min(moments) - now)
        finally:
            self.arrange()  # others' answers go on when the caller's loop is free

    def arrange(self) -> None:
        """Have the caller's event loop turn the inner one when something is due there."""
        if self._loop.turning:  # whoever turns it arranges what follows
            return
        try:
            outer = asyncio.get_running_loop()
        except RuntimeError:
            return  # the next wait turns it
        if outer is not self._outer:
            self._outer, self._timer = outer, None
        due = self._loop.next_due()
        if due is None or (self._timer is not None and self._rings <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._rings = due
        self._timer = outer.call_later(max(0.0, due - time.monotonic()), self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._loop.turn()
        self.arrange()


class _Exchange:
    """One request and its answer: what uvicorn does between a connection and the application."""

    def __init__(
        self,
        loop: InnerLoop,
        request: httpx2.Request,
        body: bytes,
        changed: Callable[[], None],
    ) -> None:
        url = request.url
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": url.scheme,
            "method": request.method,
            "path": url.path,
            "raw_path": url.raw_path.partition(b"?")[0],
            "query_string": url.query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "client": ("127.0.0.1", 0),
            "server": (url.host, url.port),
        }
        self.status = 0
        """0 until the answer's head is there."""
        self.headers: list[tuple[bytes, bytes]] = []
        self.pieces: deque[bytes] = deque()
        """Of the body, those that nobody has read."""
        self.ended = False
        """Whether nothing more comes, be it that the connection broke."""
        self._broken = False
        self._received = 0
        self._body: bytes | None = body
        self._hung_up: asyncio.Future[None] = loop.create_future()
        self._reader: asyncio.Future[None] | None = None
        self._changed = changed
        self.transport = self
        """Where the application finds the connection, which some faults drop."""

    # --- the application's side ---

    async def receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await asyncio.wait([self._hung_up])  # it is waited for again, also when a wait is cancelled
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if self.ended:  # who has hung up hears no more
            return
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message.get("headers", []))
        else:
            if piece := message.get("body", b""):
                self.pieces.append(piece)
                self._received += len(piece)
            if not message.get("more_body", False):
                self._end()
        self._wake()

    def close(self) -> None:
        """Drop the connection, as the application asks."""
        self._broken = not self.ended
        self._end()
        self._wake()

    def app_ended(self, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("The mock server failed on a request.", exc_info=error)
        if self.ended:
            return
        if not self.status:
            self.status, self.headers = 500, [(b"content-type", b"text/plain; charset=utf-8")]
            self.pieces.append(b"Internal Server Error")
            self._end()
            self._wake()
        else:
            self.close()

    # --- the client's side ---

    @property
    def something_came(self) -> bool:
        """Whether there is a piece to read, or no more to come."""
        return bool(self.pieces) or self.ended

    @property
    def head_came(self) -> bool:
        return bool(self.status) or self.ended

    def take(self) -> bytes | None:
        """Return the next piece; None at the end.

        Raises:
            httpx2.RemoteProtocolError: the connection broke.
        """
        if self.pieces:
            return self.pieces.popleft()
        if self._broken:
            raise httpx2.RemoteProtocolError(self._how_it_broke())
        return None

    def check_head(self) -> None:
        """Make sure of a head.

        Raises:
            httpx2.RemoteProtocolError: the connection broke before it.
        """
        if not self.status:
            raise httpx2.RemoteProtocolError(NO_ANSWER)

    def hang_up(self) -> None:
        """Read no more."""
        if not self.ended:
            self._end()
            self._changed()

    async def wait_async(self, ready: Callable[[], bool], seconds: float | None) -> None:
        """Wait on the caller's loop, which others may use meanwhile.

        Raises:
            httpx2.ReadTimeout: nothing came in so many seconds.
        """
        try:
            async with asyncio.timeout(seconds):
                while not ready():
                    self._reader = asyncio.get_running_loop().create_future()
                    self._changed()
                    await self._reader
        except TimeoutError:
            raise httpx2.ReadTimeout("") from None

    def _end(self) -> None:
        self.ended = True
        if not self._hung_up.done():
            self._hung_up.set_result(None)

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _how_it_broke(self) -> str:
        length = dict(self.headers).get(b"content-length")
        if length is None:
            return f"{BROKEN_OFF} (incomplete chunked read)"
        return f"{BROKEN_OFF} (received {self._received} bytes, expected {int(length)})"


class _Blocking(httpx2.BaseTransport):
    """For `httpx2.Client`."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        assert isinstance(request.stream, httpx2.SyncByteStream)
        exchange = self._door.ask(request, b"".join(request.stream))
        try:
            self._door.wait(lambda: exchange.head_came, _patience(request))
            exchange.check_head()
        except BaseException:
            exchange.hang_up()
            raise
        return _response(exchange, _BlockingBody(self._door, exchange, _patience(request)))


class _Asynchronous(httpx2.AsyncBaseTransport):
    """For `httpx2.AsyncClient`."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        assert isinstance(request.stream, httpx2.AsyncByteStream)
        body = b"".join([part async for part in request.stream])
        exchange = self._door.ask(request, body)
        try:
            await exchange.wait_async(lambda: exchange.head_came, _patience(request))
            exchange.check_head()
        except BaseException:
            exchange.hang_up()
            raise
        return _response(exchange, _AsyncBody(exchange, _patience(request)))


class _BlockingBody(httpx2.SyncByteStream):
    def __init__(self, door: Door, exchange: _Exchange, patience: float | None) -> None:
        self._door, self._exchange, self._patience = door, exchange, patience

    def __iter__(self) -> Iterator[bytes]:
        exchange = self._exchange
        try:
            while True:
                if not exchange.something_came:
                    self._door.wait(lambda: exchange.something_came, self._patience)
                if (piece := exchange.take()) is None:
                    return
                yield piece
        except BaseException:  # a reader that leaves, or is collected, as well
            exchange.hang_up()
            raise

    def close(self) -> None:
        self._exchange.hang_up()


class _AsyncBody(httpx2.AsyncByteStream):
    def __init__(self, exchange: _Exchange, patience: float | None) -> None:
        self._exchange, self._patience = exchange, patience

    async def __aiter__(self) -> AsyncIterator[bytes]:
        exchange = self._exchange
        try:
            while True:
                if not exchange.something_came:
                    await exchange.wait_async(lambda: exchange.something_came, self._patience)
                if (piece := exchange.take()) is None:
                    return
                yield piece
        except BaseException:
            exchange.hang_up()
            raise

    async def aclose(self) -> None:
        self._exchange.hang_up()


def _patience(request: httpx2.Request) -> float | None:
    """Return the seconds that the client waits for the next part of an answer."""
    wanted: float | None = request.extensions.get("timeout", {}).get("read")
    return wanted


def _response(exchange: _Exchange, stream: Any) -> httpx2.Response:
    return httpx2.Response(
        exchange.status,
        headers=exchange.headers,
        stream=stream,
        extensions={"http_version": b"HTTP/1.1"},
    )
