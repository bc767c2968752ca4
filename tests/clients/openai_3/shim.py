"""Stands between openai-python's own tests and the mock server, and makes their requests real.

Those tests were generated for a server that answers anything: they name files, responses and
conversations that never were, and numbers that no service takes. In the place of each such name
comes one that has just been made, so that what is judged is the shape of the answers.
"""

import itertools
import json
import re
import threading
from collections.abc import Callable
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

KEY = {"authorization": "Bearer shim"}
AGES = {"x-mock-pace": "first=5;dial=1"}
"""For a response that is cancelled: it has not ended by then."""

HOP = ("connection", "content-length", "host", "transfer-encoding")
"""Headers that each of the two connections has its own of."""

LEAST_TOKENS = 16
"""What the Responses API takes as a bound at the least; the tests say 0."""


class Shim:
    """Serves on a free port of this machine until closed. `address` is what the tests ask."""

    def __init__(self, base_url: str) -> None:
        self._numbers = itertools.count()
        self._upstream = urlsplit(base_url)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.address = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[HTTPResponse, bytes]:
        connection = HTTPConnection(self._upstream.hostname or "", self._upstream.port)
        connection.request(method, path, body or None, headers or {})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer, content

    def _made(self, path: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> Any:
        sent = {**KEY, "content-type": "application/json", **(headers or {})}
        answer, content = self._ask("POST", f"/v1/{path}", json.dumps(body).encode(), sent)
        if answer.status != 200:
            raise RuntimeError(f"POST {path}: {content.decode()}")
        return json.loads(content)

    # What the tests take for granted, by the name that they give it.

    def response(self) -> str:
        return str(self._made("responses", {"model": "m", "input": "hello"})["id"])

    def unfinished_response(self) -> str:
        asked = {"model": "m", "input": "hello", "background": True}
        return str(self._made("responses", asked, AGES)["id"])

    def completion(self) -> str:
        said = [{"role": "user", "content": "hello"}]
        asked = {"model": "m", "store": True, "messages": said, "metadata": {"a": "b"}}
        return str(self._made("chat/completions", asked)["id"])

    def conversation(self) -> dict[str, Any]:
        said = {"type": "message", "role": "user", "content": "hello"}
        made: dict[str, Any] = self._made("conversations", {"items": [said]})
        return made

    def item(self, conversation: str) -> str:
        _, content = self._ask("GET", f"/v1/conversations/{conversation}/items", headers=KEY)
        return str(json.loads(content)["data"][0]["id"])

    def file(self) -> str:
        body = {"model": "m", "input": "hello"}
        line = {"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": body}
        parts = (
            '--part\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
            '--part\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
            f"{json.dumps(line)}\n\r\n--part--\r\n"
        )
        kind = {"content-type": "multipart/form-data; boundary=part"}
        _, content = self._ask("POST", "/v1/files", parts.encode(), {**KEY, **kind})
        return str(json.loads(content)["id"])

    def batch(self) -> str:
        asked = {"endpoint": "/v1/responses", "completion_window": "24h"}
        return str(self._made("batches", {**asked, "input_file_id": self.file()})["id"])

    # What goes through.

    def path(self, path: str) -> str:
        response = self.unfinished_response if path.endswith("/cancel") else self.response
        if "/conv_123" in path:
            conversation = self.conversation()["id"]
            path = path.replace("/conv_123", f"/{conversation}")
            if "/msg_abc" in path:
                path = path.replace("/msg_abc", f"/{self.item(conversation)}")
        names: dict[str, Callable[[], str]] = {
            r"(?<=/)(response_id|resp_677\w+)": response,
            r"(?<=/)completion_id": self.completion,
            r"(?<=/)file_id": self.file,
            r"(?<=/)batch_id": self.batch,
        }
        for pattern, make in names.items():
            path = re.sub(pattern, lambda _, make=make: make(), path)
        path = path.replace("/models/model", "/models/mock-chat")
        # One that was deleted is gone, and each of them deletes it.
        path = re.sub(r"suffix(:|%3A)abc123", lambda _: f"suffix:{next(self._numbers)}", path)
        path = re.sub(r"[?&](after=after|purpose=purpose|starting_after=0)(?=&|$)", "", path)
        path = path.replace("limit=0", "limit=1")
        return path if "?" in path else path.replace("&", "?", 1)

    def body(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path.startswith("/v1/responses"):
            body = {"model": "m", "input": "hello", **body}
        if body.get("previous_response_id") in ("previous_response_id", "resp_123"):
            body["previous_response_id"] = self.response()
            body.pop("conversation", None)  # either, or
        if body.get("conversation") == "string":
            body["conversation"] = self.conversation()["id"]
        if body.get("input_file_id") == "input_file_id":
            body["input_file_id"] = self.file()
        for name in ("best_of", "max_completion_tokens", "max_output_tokens", "max_tokens"):
            if body.get(name) == 0:
                body[name] = LEAST_TOKENS
        if body.get("max_tool_calls") == 0:
            body["max_tool_calls"] = 1
        if "max_completion_tokens" in body:
            body.pop("max_tokens", None)  # either, or
        if "tools" in body:
            body.pop("functions", None)  # either, or
            body.pop("function_call", None)
        if path == "/v1/responses":
            body.pop("prompt", None)  # kept at the service, where none is
        if path == "/v1/embeddings":
            body["encoding_format"] = "float"  # the SDK asks for base64, and reads it not strictly
        if not body.get("stream"):
            body.pop("stream_options", None)
        return body

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        shim = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                """Say nothing: pytest says what failed."""

            def pass_on(self) -> None:
                sent = self.rfile.read(int(self.headers.get("content-length") or 0))
                path = shim.path(self.path)
                if sent and "json" in self.headers.get("content-type", ""):
                    sent = json.dumps(shim.body(path, json.loads(sent))).encode()
                headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP}
                answer, content = shim._ask(self.command, path, sent, headers)
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in HOP:
                        self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_DELETE = pass_on

        return Handler
