"""Passes requests on to a real endpoint, and writes its answers down as scripted replies."""

import json
import re
import time
from dataclasses import replace
from typing import Any

import httpx2
from starlette.types import Receive, Scope, Send

from helpers.mock_server.api import heard
from helpers.mock_server.control.journal import MAX_TEXT, Outcome, Record
from helpers.mock_server.control.state import State
from helpers.mock_server.delivery.clock import unless_gone
from helpers.mock_server.delivery.sending import deliver, hang_up
from helpers.mock_server.protocol import azure
from helpers.mock_server.protocol.answers import Call
from helpers.mock_server.protocol.asgi import Gone, read_body, read_query
from helpers.mock_server.protocol.errors import ApiError

NOT_PASSED_ON = frozenset(
    {"accept-encoding", "connection", "content-length", "host", "keep-alive", "proxy-authorization"}
    | {"proxy-connection", "te", "transfer-encoding", "upgrade"}
    | {"x-mock-client", "x-mock-fault", "x-mock-pace"}
)
"""Headers that are this connection's own. Encoded bodies could not be read on their way."""

NOT_PASSED_BACK = frozenset(
    {"connection", "content-encoding", "content-length", "date", "keep-alive", "server"}
    | {"transfer-encoding"}
    # Which pages may read an answer is this server's to say.
    | {"access-control-allow-origin", "access-control-allow-credentials"}
    | {"access-control-expose-headers"}
)

TIMEOUT = httpx2.Timeout(600.0, connect=10.0)
"""Seconds: what the SDK itself waits for an answer; an endpoint that is there accepts sooner."""


class Recorder:
    """An ASGI application that answers with what the upstream endpoint says."""

    def __init__(self, state: State) -> None:
        assert state.upstream is not None
        assert state.record is not None
        self._state = state
        self._upstream = state.upstream.rstrip("/")
        self._file = state.record
        # trust_env is on: a proxy for the outside is what reaches a real endpoint.
        self._http = httpx2.AsyncClient(timeout=TIMEOUT, follow_redirects=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        record: Record = scope["mock.record"]
        try:
            call = Call(
                method=scope["method"],
                path=scope.get("mock.path", scope["path"]),
                headers=scope["mock.headers"],
                body=await read_body(receive, self._state.max_body),
                query=read_query(scope),
            )
            await unless_gone(self._pass_on(call, scope, send), receive)
        except ApiError as error:
            await deliver(error.answer(), self._state, record, receive, send)
        except httpx2.HTTPError as problem:  # in the middle of an answer
            record.note = f"Not recorded: the upstream endpoint broke off ({problem!r})."
            self._state.journal.close(record, "failed")
            await hang_up(receive, send)
        except Gone:
            self._state.journal.close(record, "abandoned")

    async def _pass_on(self, call: Call, scope: Scope, send: Send) -> None:
        record: Record = scope["mock.record"]
        # As it came: a name may hold an encoded slash. Azure's paths have no /v1 to take away.
        path = scope.get("raw_path") or call.path.encode()
        url = self._upstream + path.decode("latin-1").removeprefix("/v1")
        if scope["query_string"]:
            url += "?" + scope["query_string"].decode("latin-1")
        deployment = scope.get("mock.deployment")
        if deployment is not None:
            asked = replace(call, body=azure.with_model(call.body, deployment))
        else:
            asked = call
        sent = {name: text for name, text in call.headers.items() if name not in NOT_PASSED_ON}
        request = self._http.build_request(
            call.method,
            url,
            headers={**sent, "accept-encoding": "identity"},
            content=call.body or None,
        )
        record.model = (heard.model_of(asked) or "")[:MAX_TEXT] or None
        began = time.monotonic()
        try:
            answer = await self._http.send(request, stream=True)
        except httpx2.HTTPError as problem:
            name = type(problem).__name__
            raise ApiError(
                502, f"The upstream endpoint cannot be reached ({name}).", kind="server_error"
            ) from None
        chunks: list[tuple[float, bytes]] = []
        try:
            await self._relay(answer, record, began, chunks, send)
        finally:
            await answer.aclose()
        self._write(asked, answer, chunks, record)
        # Once written: whoever has read the answer may look at the record, or end this server.
        await send({"type": "http.response.body", "body": b""})
        outcome: Outcome = "finished"
        if answer.status_code >= 400:
            outcome = "failed" if answer.status_code >= 500 else "refused"
        self._state.journal.close(record, outcome)

    async def _relay(
        self,
        answer: httpx2.Response,
        record: Record,
        began: float,
        chunks: list[tuple[float, bytes]],
        send: Send,
    ) -> None:
        """Send an answer on as it comes, but its end; keep when each piece of it came."""
        lines = [
            (name.lower().encode("latin-1"), text.encode("latin-1"))
            for name, text in answer.headers.multi_items()
            if name.lower() not in NOT_PASSED_BACK
        ]
        self._state.journal.first_byte(record, answer.status_code)
        record.stream = answer.headers.get("content-type", "").startswith("text/event-stream")
        start = {"type": "http.response.start", "status": answer.status_code, "headers": lines}
        await send(start)
        async for part in answer.aiter_bytes():
            now = time.monotonic()
            chunks.append((now - began, part))
            if record.stream:
                self._state.journal.token(record, 1, now)
            await send({"type": "http.response.body", "body": part, "more_body": True})
        if not chunks:
            chunks.append((time.monotonic() - began, b""))

    def _write(
        self, call: Call, answer: httpx2.Response, chunks: list[tuple[float, bytes]], record: Record
    ) -> None:
        kept = {name: answer.headers[name] for name in heard.HEADERS if name in answer.headers}
        try:
            reply = heard.reply(call, answer.status_code, kept, chunks, stream=record.stream)
            written = without(reply, secrets_of(call))
            if written["when"] != reply["when"]:
                written["when"].pop("exactly", None)
            line = json.dumps(written, ensure_ascii=False)
            with self._file.open("a", encoding="utf-8") as file:  # in one write: lines stay whole
                file.write(line + "\n")
        except (ValueError, RecursionError, OSError) as problem:
            record.note = f"Not recorded: {problem}"


SECRET = re.compile("auth|key|token|secret|cookie|session|organization|project|sig", re.IGNORECASE)
"""Names of headers, and of a query's parameters, whose words are passed on and never written, nor
where an answer repeats them."""

LEAST_SECRET = 6
"""Characters of a key that is worth the name; shorter ones are parts of common words."""


def secrets_of(call: Call) -> list[str]:
    """Return the words of a request that must not be written, the longest first."""
    given = [*call.headers.items(), *call.query.items()]
    texts = [text for name, text in given if SECRET.search(name)]
    words = {word for text in texts for word in re.split(r"[\s;,]+", text)}
    words |= {word.partition("=")[2] for word in words}
    secret = {word for word in words if len(word) >= LEAST_SECRET and word.lower() != "bearer"}
    return sorted(secret, key=len, reverse=True)


def without(value: Any, secrets: list[str]) -> Any:
    """Return a JSON value whose texts hold none of the secrets, nor the pieces of a text."""
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, "***")
        return value
    if isinstance(value, list):
        whole = "".join(part for part in value if isinstance(part, str))
        if any(secret in whole for secret in secrets):
            return without(whole, secrets)
        return [without(part, secrets) for part in value]
    if isinstance(value, dict):
        return {without(name, secrets): without(part, secrets) for name, part in value.items()}
    return value
