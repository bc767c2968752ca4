"""Runs the application on a socket: binds, says where it listens, and ends with its parent."""

import asyncio
import gc
import os
import re
import socket
import stat
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Any, Literal

from uvicorn.config import Config
from uvicorn.server import Server

from helpers.mock_server.app import build
from helpers.mock_server.control.state import State

HOST = "127.0.0.1"
"""Where it listens if nothing else is said: on loopback, which no other machine reaches."""

BACKLOG = 4096
"""Connections that may wait to be accepted: a load test opens a thousand at once."""

KEEP_ALIVE = 75
"""Seconds that an idle connection is kept. The SDK reuses one for up to 5 s; a server that closes
it at the same moment makes the next request fail and be sent again, so ours waits well longer."""

MAX_HEAD = 64 * 1024
"""Bytes of a request's head, as h11 has it; common servers take 8 to 32 kB."""

HEAD_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"connection: close\r\ncontent-length: 0\r\n\r\n"
)

MAX_PIPELINED = 100
"""Requests that may wait on a connection for the answer of the one before, while it is still read:
only who reads hears of a hang-up. Of more, the next are left unread."""

UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)
"""A client that offers HTTP/2 (`curl --http2`) goes on in HTTP/1.1 where nobody takes it up, but
httptools stops reading there, and the body would be lost. So it does not get to see the offer."""

ACCEPTED = 512
"""Connections accepted at most in one round of the event loop: some 10 ms of work. A flood of four
thousand would hold up the streams under way for a tenth of a second."""

ACCEPT_AGAIN = 1.0
"""Seconds without accepting connections when no more files may be open, as in asyncio."""

YOUNG = 10_000
OLDER = 50
"""Objects made before the youngest are searched for cycles, and searches before the older ones are.
A request leaves no cycles, and a thousand streams hold 120,000 objects: with Python's 700 and 10
they were searched 175 times, once for 33 ms during which no token left; now 12 times for 3 ms."""

PARENT_POLL = 0.5
"""Seconds between two looks at whether the parent still lives."""


def http_protocol() -> type[asyncio.Protocol] | Literal["h11"]:
    """Return uvicorn's HTTP protocol, with a limit to a request's head, and one more ear.

    httptools sets no limit, and takes time that grows with the square of a header's length: 200 MB
    in one header held all streams up for minutes. The same goes for what stands around the chunks
    of a body. h11, used where httptools is missing, has a limit.

    uvicorn tells of a hang-up only the latest request on the connection. One that is being answered
    while the next waits would go on, and keep its place in the queue, for as long as it lasts.
    """
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    except ImportError:
        return "h11"

    class Protocol(HttpToolsProtocol):
        in_head = True
        steps = 0
        """Heads, pieces of a body and ends that came."""
        unheard = 0
        """Bytes since the last of them: of a head, a trailer, or a chunk's first line."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.overtaken: deque[Any] = deque()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            for cycle in self.overtaken:
                if not cycle.response_complete:
                    cycle.disconnected = True
                    cycle.message_event.set()

        def on_headers_complete(self) -> None:
            self.in_head = False
            self.steps += 1
            before = self.cycle
            super().on_headers_complete()
            if before is not None and not before.response_complete:
                self.overtaken.append(before)
                while self.overtaken[0].response_complete:
                    self.overtaken.popleft()
                if len(self.pipeline) <= MAX_PIPELINED:
                    self.flow.resume_reading()

        def on_chunk_header(self) -> None:
            self.steps += 1

        def on_body(self, body: bytes) -> None:
            self.steps += 1
            super().on_body(body)

        def on_message_complete(self) -> None:
            super().on_message_complete()
            if not self.pipeline:
                self.scope["mock.asked"] = time.monotonic()  # type: ignore[typeddict-unknown-key]
            self.steps += 1
            self.in_head = True

        def data_received(self, data: bytes) -> None:
            before = self.steps
            if self.in_head and UPGRADE.search(data):
                start, blank, rest = data.partition(b"\r\n\r\n")
                data = UPGRADE.sub(b"\r\nx-upgrade:", start) + blank + rest
            super().data_received(data)
            # Of what came with a step nothing is counted: most of it may be a body.
            self.unheard = self.unheard + len(data) if self.steps == before else 0
            if self.unheard > MAX_HEAD and not self.transport.is_closing():
                self.transport.write(HEAD_TOO_LARGE)
                self.transport.close()

    return Protocol


class Listening(Server):
    """A uvicorn server that says when it listens, and does not linger when told to stop."""

    def __init__(self, config: Config, url: str) -> None:
        super().__init__(config)
        self._url = url
        self._listeners: list[socket.socket] = []
        self._arriving: set[asyncio.Task[Any]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if os.name == "posix":
            await super().startup([])
            self._listeners = sockets or []
            for listener in self._listeners:
                listener.listen(BACKLOG)
                listener.setblocking(False)
                self._listen(listener)
        else:
            await super().startup(sockets)
        with suppress(OSError):  # whoever started us may have stopped reading
            print(f"Listening on {self._url}", flush=True)

    def _listen(self, listener: socket.socket) -> None:
        asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        """Let in the connections that wait.

        libuv, below uvloop, lets in one at each round of its loop. Once requests are answered a
        round takes milliseconds, and the last of a thousand that came at once waited half a second.
        """
        loop = asyncio.get_running_loop()
        for _ in range(ACCEPTED):
            try:
                connection, _address = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:  # no more files may be open; some will be closed
                loop.remove_reader(listener)
                loop.call_later(ACCEPT_AGAIN, self._listen, listener)
                return
            connection.setblocking(False)
            task = loop.create_task(loop.connect_accepted_socket(self._protocol, connection))
            self._arriving.add(task)
            task.add_done_callback(self._arriving.discard)

    def _protocol(self) -> asyncio.Protocol:
        kind: Any = self.config.http_protocol_class
        protocol: asyncio.Protocol = kind(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listener in self._listeners:
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        tasks = list(self.server_state.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)


def bind(port: int, host: str = HOST) -> socket.socket:
    """Return a socket bound to a port of an address, 0 for a free one.

    Raises:
        OSError: the port is taken, or the address is none of this machine's.
    """
    family, _, _, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    if os.name == "posix":  # on Windows the option would let two servers share a port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def serve(state: State, listener: socket.socket) -> None:
    """Serve on a bound socket until told to stop."""
    host, port = listener.getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"
    allow_many_files()
    config = Config(
        build(state),
        http=http_protocol(),
        lifespan="off",
        ws="none",
        access_log=False,
        log_level="critical",
        log_config=None,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE,
        server_header=False,
        proxy_headers=False,
    )
    server = Listening(config, url)
    # What start-up made stays for good: no need to look at it in every collection.
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, OLDER, OLDER)
    server.run(sockets=[listener])


def allow_many_files() -> None:
    """Raise the limit of open files as far as is allowed: each stream holds a connection."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def end_with_parent() -> None:
    """End this process when its parent ends, by whatever signal.

    Standard input tells at once, where it is a pipe; on POSIX the parent's id is watched too, as
    another child may hold the pipe's other end open.
    """
    with suppress(OSError):
        if stat.S_ISFIFO(os.fstat(sys.stdin.fileno()).st_mode):
            threading.Thread(target=_end_with_input, daemon=True).start()
    if os.name == "posix":
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with_input() -> None:
    with suppress(OSError):
        while os.read(0, 4096):
            pass
    os._exit(0)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_POLL)
    os._exit(0)
