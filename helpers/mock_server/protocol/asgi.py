"""Reads a call off ASGI: its headers, its key, its query, its body."""

import secrets
from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope

from helpers.mock_server.protocol import errors


class Gone(Exception):
    """The client hung up."""


def read_headers(scope: Scope) -> dict[str, str]:
    """Return a request's headers: in UTF-8, which clients send, or in Latin-1, as is the rule."""
    return {name.decode("latin-1"): _decoded(value) for name, value in scope["headers"]}


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def read_query(scope: Scope) -> dict[str, str]:
    """Return the fields of a request's query."""
    text = scope["query_string"]
    return dict(parse_qsl(text.decode("latin-1"))) if text else {}


def check_key(headers: Mapping[str, str], right: str | None) -> str:
    """Return the key that the call carries, having made sure that it is right.

    Raises:
        ApiError: 401.
    """
    scheme, _, key = headers.get("authorization", "").partition(" ")
    key = key.strip()
    if not key and "api-key" in headers:  # as Azure has it
        scheme, key = "bearer", headers["api-key"].strip()
    if scheme.lower() != "bearer" or not key:
        raise errors.no_key()
    if right is not None and not secrets.compare_digest(key.encode(), right.encode()):
        raise errors.wrong_key(key)
    return key


async def read_body(receive: Receive, limit: int) -> bytes:
    """Return a request's body.

    Raises:
        ApiError: 413, as soon as more than `limit` bytes have come.
        Gone: the client hung up before its end.
    """
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise errors.body_too_large(limit)
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)
