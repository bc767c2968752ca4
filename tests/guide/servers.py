"""Servers on loopback that answer as compatible ones were seen to: well-formed, and unexpected."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MESSAGE = {"role": "assistant", "content": "Hello"}
USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}


def _answer(change: dict[str, Any]) -> dict[str, Any]:
    """A chat completion with `change` in it: keys of the answer, of its choice or its message."""
    message = MESSAGE | {k: v for k, v in change.items() if k in _OF_MESSAGE}
    choice = {"index": 0, "finish_reason": change.get("finish_reason", "stop"), "message": message}
    answer = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
    answer |= {"choices": [choice], "usage": USAGE}
    return answer | {k: v for k, v in change.items() if k in ("choices", "usage")}


_OF_MESSAGE = ("content", "reasoning_content", "refusal", "tool_calls")


def _chunk(change: dict[str, Any]) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": "Hello"}, "finish_reason": None}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    chunk["choices"] = [choice | {k: v for k, v in change.items() if k == "delta"}]
    return chunk | {k: v for k, v in change.items() if k == "choices"}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer is one segment: head and body are not two packets that wait
    server: "Fake"

    def log_message(self, *_: Any) -> None: ...

    def do_GET(self) -> None:
        self.server.seen.append(f"GET {self.path}")
        self._say(405, "application/json", '{"detail":"Method Not Allowed"}')

    def do_POST(self) -> None:
        self.server.seen.append(f"POST {self.path}")
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if "x-mock-fault" not in self.headers:
            self._say(200, "application/json", json.dumps(_answer({})))
        else:
            self._odd(self.headers["x-mock-fault"], asked.get("stream", False))

    def _odd(self, what: str, stream: bool) -> None:
        """Answer with what the guide's column says: a JSON object's inside, or a name."""
        if what == MOVED:
            self._say(301, "text/html", "", location=self.path)
        elif not what.startswith('"'):
            self._say(*_WHOLE[what])
        elif stream:
            change = json.loads("{" + what + "}")
            first = change if "error" in change else _chunk(change)
            events = [first, _chunk({})]
            body = "".join(f"data: {json.dumps(one)}\n\n" for one in events) + "data: [DONE]\n\n"
            self._say(200, "text/event-stream", body)
        else:
            change = json.loads("{" + what + "}")
            whole = change if "error" in change else _answer(change)
            self._say(200, "application/json", json.dumps(whole))

    def _say(self, status: int, kind: str, body: str, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"content-type": kind, **headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())


MOVED = "301 to another address"

_WHOLE = {
    "a web page": (200, "text/html", "<!doctype html><title>A gateway</title>"),
    "nothing": (200, "application/json", ""),
    "503 Loading model": (
        503,
        "application/json",
        '{"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}',
    ),
    "502 of a proxy": (502, "text/html", "<html><h1>502 Bad Gateway</h1></html>"),
}


class Fake(ThreadingHTTPServer):
    """`seen`: method and path of each request, in order."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def fake() -> Iterator[Fake]:
    server = Fake()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
