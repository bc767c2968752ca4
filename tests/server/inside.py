"""Calls the server's application without a socket: thousands of requests in a second."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from helpers.mock_server.app import build
from helpers.mock_server.control.state import State
from helpers.mock_server.protocol.pacing import Pace


class Inside:
    """A server in this process, without delays."""

    def __init__(self, state: State | None = None) -> None:
        self.state = state or State(pace=Pace(dial=0))
        self._app = build(self.state)
        self.afterwards: Callable[[], object] = lambda: None
        """What the loop does next when the last part of an answer has been sent."""

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Return the status and the body of an answer."""
        return asyncio.run(self._ask(method, path, body, headers or {}))

    async def _ask(
        self, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        path, _, query = path.partition("?")
        given = {"authorization": "Bearer mock", **headers}
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in given.items()],
        }
        sent: list[Any] = []
        messages = [{"type": "http.request", "body": body, "more_body": False}]
        over = asyncio.Event()

        async def receive() -> Any:
            if messages:
                return messages.pop()
            await over.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                asyncio.get_running_loop().call_soon(self.afterwards)
                over.set()  # as ASGI has it: who listens after the answer hears of its end

        await self._app(scope, receive, send)
        assert sent, "nothing was answered"
        assert sent[0]["type"] == "http.response.start"
        assert not sent[-1].get("more_body"), "the answer has no end"
        return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


def is_error(body: bytes) -> bool:
    """Return whether a body is an error in OpenAI's form."""
    found = json.loads(body)
    return set(found) == {"error"} and set(found["error"]) == {"message", "type", "param", "code"}
