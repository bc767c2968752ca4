"""Servers on loopback that answer as real ones were seen to, and as the mock server does not."""

import http.server
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

MODELS = {"object": "list", "data": [{"id": "some-model", "object": "model"}]}
CHAT = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "some-model",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "fine"},
        }
    ],
}


@dataclass(frozen=True, slots=True)
class Said:
    """One answer. A `body` that is no text is sent as JSON, `kind` is its content type."""

    status: int = 200
    body: Any = ""
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


NOTHING_HERE = Said(404, "404 page not found", "text/plain")

Answer = Callable[[str, str], Said]
"""What is said to a method and a path."""


def at(path: str, answer: Said, other: Said = NOTHING_HERE) -> Answer:
    """Answer GET at one path and whatever is below it, and say something else elsewhere."""
    return lambda method, asked: answer if method == "GET" and asked.startswith(path) else other


@dataclass(slots=True)
class Server:
    """A running server: its address, and what it was asked, as `GET /v1/models`, key included."""

    address: str
    asked: list[str]
    keys: list[str]


@contextmanager
def answering(answer: Answer, encryption: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Serve until the block ends."""
    asked: list[str] = []
    keys: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length") or 0))
            asked.append(f"{self.command} {self.path}")
            keys.append(self.headers.get("authorization", ""))
            said = answer(self.command, self.path)
            body = said.body if isinstance(said.body, str) else json.dumps(said.body)
            self.send_response(said.status)
            self.send_header("content-type", said.kind)
            for name, value in said.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST = _answer

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        scheme = "http"
        if encryption is not None:
            server.socket = encryption.wrap_socket(server.socket, server_side=True)
            scheme = "https"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield Server(f"{scheme}://127.0.0.1:{server.server_port}", asked, keys)
        server.shutdown()
        thread.join()


@contextmanager
def saying(first: bytes | None) -> Iterator[str]:
    """Take connections and say something that is no HTTP, or nothing at all; `host:port`."""
    taken: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            taken.append(connection)
            if first is not None:
                connection.recv(65536)
                connection.sendall(first)
                connection.close()

    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)  # on Linux `close` alone leaves `accept` waiting
        thread.join()
    for connection in taken:
        connection.close()
