"""Which web pages may read the answers: those on this machine, and those that were named."""

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.types import Message, Receive, Scope, Send

REMEMBERED = 600
"""Seconds for which a browser need not ask again."""

EXPOSED = b"x-request-id, x-mock-server, openai-processing-ms, retry-after, retry-after-ms"
"""Headers of an answer that a page may read beside those that it always may."""


def is_loopback(host: str) -> bool:
    """Return whether a host's name means this machine and no other."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_allowed(origin: str, named: tuple[str, ...]) -> bool:
    """Return whether pages of an origin may read the answers; `*` among those named allows all."""
    if origin in named or "*" in named:
        return True
    try:
        parts = urlsplit(origin)
        return parts.scheme in ("http", "https") and is_loopback(parts.hostname or "")
    except ValueError:
        return False


class Allowing:
    """Sends an answer with the word that a page of this origin may read it."""

    def __init__(self, send: Send, origin: str) -> None:
        self._send = send
        self._origin = origin
        self.transport = getattr(getattr(send, "__self__", None), "transport", None)
        """The connection, which some faults drop."""

    async def send(self, message: Message) -> None:
        """Send a message of ASGI."""
        if message["type"] == "http.response.start":
            more = [
                (b"access-control-allow-origin", self._origin.encode()),
                (b"access-control-expose-headers", EXPOSED),
                (b"vary", b"Origin"),
            ]
            message = {**message, "headers": [*message["headers"], *more]}
        await self._send(message)


def is_preflight(method: str, headers: Mapping[str, str]) -> bool:
    """Return whether a browser asks on behalf of a page if it may ask."""
    return method == "OPTIONS" and "access-control-request-method" in headers


async def answer_preflight(
    scope: Scope, headers: Mapping[str, str], named: tuple[str, ...], receive: Receive, send: Send
) -> None:
    """Tell a browser whether a page may send what it wants to send."""
    origin = headers.get("origin", "")
    if not is_allowed(origin, named):
        body = (
            f"Pages of the origin {origin[:200]!r} may not ask this server. "
            "Start it with --allow-origin and that origin if they are to.\n"
        ).encode()
        lines = [(b"content-type", b"text/plain; charset=utf-8"), (b"vary", b"Origin")]
        await _send(403, lines, body, send)
        return
    lines = [
        (b"access-control-allow-origin", origin.encode()),
        (b"access-control-allow-methods", b"GET, POST, PUT, DELETE"),
        (b"access-control-max-age", b"%d" % REMEMBERED),
        (b"vary", b"Origin, Access-Control-Request-Headers"),
    ]
    wanted = headers.get("access-control-request-headers")
    if wanted:
        lines.append((b"access-control-allow-headers", wanted.encode("latin-1", "replace")))
    if headers.get("access-control-request-private-network") == "true":
        lines.append((b"access-control-allow-private-network", b"true"))
    await _send(204, lines, b"", send)


async def _send(status: int, lines: list[tuple[bytes, bytes]], body: bytes, send: Send) -> None:
    if body:
        lines.append((b"content-length", b"%d" % len(body)))
    lines.append((b"x-mock-server", b"awaited"))
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body})
