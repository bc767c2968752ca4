"""Connections: how long an idle one is kept, and what is made of an offer to speak HTTP/2."""

import asyncio
import contextlib
import os
import re
import socket
import subprocess
import sys
import time

import pytest
from openai import DEFAULT_CONNECTION_LIMITS
from uvicorn.config import Config

from helpers.mock_server.app import build
from helpers.mock_server.control.state import State
from helpers.mock_server.server import KEEP_ALIVE, MAX_PIPELINED, Listening, bind
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


def plain(server: MockOpenAI) -> socket.socket:
    """Return a connection to the server."""
    host, port = server.http.base_url.host, server.http.base_url.port
    return socket.create_connection((host, port or 0), timeout=30)


def post(body: bytes, *lines: bytes, length: bool = True) -> bytes:
    """Return a chat request as it goes over the wire."""
    lines = (b"host: a", b"authorization: Bearer mock", *lines)
    if length:
        lines = (*lines, b"content-length: %d" % len(body))
    return b"POST /v1/chat/completions HTTP/1.1\r\n" + b"\r\n".join(lines) + b"\r\n\r\n" + body


STREAM = b'{"model": "m", "stream": true, "messages": [{"role": "user", "content": "Hello"}]}'


@pytest.mark.parametrize("at_once", [True, False], ids=["in one packet", "one after the other"])
def test_a_hang_up_reaches_a_request_that_another_waits_behind(
    mock_openai: MockOpenAI, at_once: bool
) -> None:
    mock_openai.limit(max_concurrent=1)
    stalled, next_one = post(STREAM, b"x-mock-fault: stall; after=2"), post(STREAM)
    with plain(mock_openai) as connection:
        connection.sendall(stalled + next_one if at_once else stalled)
        found = b""
        while found.count(b'"delta":{"content"') < 2:
            found += connection.recv(65536)
        if not at_once:
            connection.sendall(next_one)
            mock_openai.http.get("/mock")  # what came before this was read before it is answered
    (seen,) = mock_openai.requests(settle=10)
    assert seen.outcome == "abandoned"
    # Its place is free again.
    with plain(mock_openai) as connection:
        connection.sendall(post(STREAM))
        assert connection.recv(12) == b"HTTP/1.1 200"


def test_requests_sent_ahead_are_answered_in_their_order(mock_openai: MockOpenAI) -> None:
    count = 3 * MAX_PIPELINED
    with plain(mock_openai) as connection:
        for number in range(count):
            connection.sendall(
                b"GET /v1/models/%d HTTP/1.1\r\nhost: a\r\nauthorization: Bearer a\r\n\r\n" % number
            )
        found = b""
        while found.count(b"HTTP/1.1 200") < count or not found.endswith(b"}"):
            found += connection.recv(65536)
    assert [int(name) for name in re.findall(rb'"id":"(\d+)"', found)] == list(range(count))


@pytest.mark.parametrize(
    "start", [b"0\r\nx-trailer: ", b"1;extension="], ids=["in a trailer", "with a chunk's size"]
)
def test_a_flood_around_the_chunks_of_a_body_is_cut_off(
    mock_openai: MockOpenAI, start: bytes
) -> None:
    with plain(mock_openai) as connection:
        connection.sendall(post(start, b"transfer-encoding: chunked", length=False))
        with pytest.raises(OSError, match=r"."):
            connection.sendall(b"a" * 20_000_000)


def test_a_body_in_chunks_with_a_trailer_is_read(mock_openai: MockOpenAI) -> None:
    half = len(STREAM) // 2
    chunks = b"".join(
        b"%x;a=b\r\n%b\r\n" % (len(part), part) for part in (STREAM[:half], STREAM[half:])
    )
    request = post(chunks, b"transfer-encoding: chunked", length=False)
    with plain(mock_openai) as connection:
        for place in range(0, len(request), 50):
            connection.sendall(request[place : place + 50])
        connection.sendall(b"0\r\nx-trailer: a\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 200"


@pytest.mark.skipif(os.name != "posix", reason="elsewhere the event loop accepts by itself")
def test_connections_that_come_together_are_accepted_together() -> None:
    """libuv accepts one at each round of its loop, and a round takes milliseconds under load."""
    listener = bind(0)
    config = Config(build(State()), lifespan="off", log_config=None)

    async def scene(clients: contextlib.ExitStack) -> int:
        config.load()
        server = Listening(config, "a test")
        server.lifespan = config.lifespan_class(config)
        await server.startup([listener])
        for _ in range(50):
            clients.enter_context(socket.create_connection(listener.getsockname(), timeout=5))
        rounds = 0
        while len(server.server_state.connections) < 50:
            await asyncio.sleep(0)
            rounds += 1
            assert rounds < 10_000, "they were never accepted"
        await server.shutdown()
        return rounds

    factory = config.get_loop_factory()
    with contextlib.ExitStack() as clients, asyncio.Runner(loop_factory=factory) as runner:
        assert runner.run(scene(clients)) < 25
    assert listener.fileno() == -1, "a stopped server still listens"


@pytest.mark.skipif(os.name != "posix", reason="the limit is POSIX's")
def test_a_server_that_may_open_no_more_files_goes_on_when_some_are_closed() -> None:
    import resource

    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40));"
        "from helpers.mock_server.__main__ import main; main()"
    )
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    with subprocess.Popen(
        [sys.executable, "-c", code, "--port", "0", "--exit-with-parent"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            found = re.search(r":(\d+)/v1", server.stdout.readline())
            assert found is not None
            address = "127.0.0.1", int(found.group(1))
            with contextlib.ExitStack() as idle:
                for _ in range(60):
                    idle.enter_context(socket.create_connection(address, timeout=5))
                time.sleep(1)
                assert server.poll() is None
            with socket.create_connection(address, timeout=30) as client:
                client.sendall(b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n")
                assert client.recv(12) == b"HTTP/1.1 200"
        finally:
            server.kill()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    assert spent < 1.0, "it tried again and again while it could not"
