"""Connections: how long an idle one is kept, and what is made of an offer to speak HTTP/2."""

import socket

from openai import DEFAULT_CONNECTION_LIMITS

from helpers.mock_server.server import KEEP_ALIVE
from helpers.pytest_plugin import MockOpenAI


def test_the_server_keeps_a_connection_longer_than_the_sdk_would_reuse_it() -> None:
    """Else a request may go out on a connection that is being closed, and be sent again."""
    assert DEFAULT_CONNECTION_LIMITS.keepalive_expiry is not None
    assert 2 * DEFAULT_CONNECTION_LIMITS.keepalive_expiry < KEEP_ALIVE


def test_an_offer_of_http2_is_passed_over_and_the_body_read(mock_openai: MockOpenAI) -> None:
    body = b'{"model": "m", "messages": [{"role": "user", "content": "Hello"}]}'
    host, port = mock_openai.http.base_url.host, mock_openai.http.base_url.port
    with socket.create_connection((host, port or 0), timeout=5) as plain:
        plain.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
            b"authorization: Bearer mock\r\ncontent-type: application/json\r\n"
            b"connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
            b"content-length: %d\r\n\r\n" % len(body) + body
        )
        assert plain.recv(65536).startswith(b"HTTP/1.1 200")
