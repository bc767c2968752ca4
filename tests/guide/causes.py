"""Every way to a `Connection error.` that the field guide's table names, in its order."""

import asyncio
import contextlib
import gc
import shutil
import socket
import ssl
import struct
import subprocess
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import openai
from openai import AsyncOpenAI, OpenAI

from tests.guide.names import QUESTION
from tests.needs import missing

Way = Callable[[str], Awaitable[openai.APIConnectionError]]
"""Takes the mock server's address; returns the error that came."""

NOBODY = "http://127.0.0.1:1"
"""No server listens at port 1."""


async def _error(client: AsyncOpenAI) -> openai.APIConnectionError:
    async with client:
        with _caught() as caught:
            await client.chat.completions.create(**QUESTION)
    return caught[0]


@contextlib.contextmanager
def _caught() -> Any:
    caught: list[openai.APIConnectionError] = []
    try:
        yield caught
    except openai.APIConnectionError as error:
        caught.append(error)
    assert caught, "nothing was raised"


def _client(base_url: str, **settings: Any) -> AsyncOpenAI:
    return AsyncOpenAI(**{"base_url": base_url, "api_key": "k", "max_retries": 0, **settings})


def _blocking(base_url: str, **settings: Any) -> OpenAI:
    return OpenAI(base_url=base_url, api_key="k", max_retries=0, **settings)


@contextlib.asynccontextmanager
async def _server(answer: bytes | None, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server that reads a request's head, says `answer` and closes; None: resets."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            if answer is None:
                linger = struct.pack("ii", 1, 0)  # on, for 0 seconds: close() sends a reset
                raw: socket.socket = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            else:
                writer.write(answer)
                await writer.drain()
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    scheme = "https" if tls else "http"
    try:
        yield f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def nobody_listens(_: str) -> openai.APIConnectionError:
    return await _error(_client(f"{NOBODY}/v1"))


async def nobody_listens_blocking(_: str) -> openai.APIConnectionError:
    with _caught() as caught, _blocking(f"{NOBODY}/v1") as client:
        client.chat.completions.create(**QUESTION)
    return caught[0]


async def no_such_host(_: str) -> openai.APIConnectionError:
    return await _error(_client("http://no-such-host.invalid/v1"))


async def https_for_http(base_url: str) -> openai.APIConnectionError:
    return await _error(_client(base_url.replace("http:", "https:")))


def _self_signed() -> ssl.SSLContext:
    if shutil.which("openssl") is None:
        missing("openssl", "install it to make a certificate of one's own.")
    with tempfile.TemporaryDirectory() as folder:
        key, certificate = Path(folder, "key"), Path(folder, "certificate")
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
        subprocess.run(
            [*command.split(), "-subj", "/CN=own", "-keyout", key, "-out", certificate],
            check=True,
            capture_output=True,
        )
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate, key)
    return tls


async def own_certificate(_: str) -> openai.APIConnectionError:
    async with _server(b"", _self_signed()) as address:
        return await _error(_client(f"{address}/v1"))


async def no_scheme(_: str) -> openai.APIConnectionError:
    return await _error(_client("localhost:8000/v1"))


async def key_with_a_line_end(base_url: str) -> openai.APIConnectionError:
    return await _error(_client(base_url, api_key="sk\n"))


async def _through_a_proxy(status: str) -> openai.APIConnectionError:
    async with _server(f"HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n".encode()) as proxy:
        http = httpx2.AsyncClient(proxy=proxy)
        return await _error(_client("https://example.invalid/v1", http_client=http))


async def proxy_without_a_way(_: str) -> openai.APIConnectionError:
    return await _through_a_proxy("502 Bad Gateway")


async def proxy_that_wants_a_name(_: str) -> openai.APIConnectionError:
    return await _through_a_proxy("407 Proxy Authentication Required")


async def _answered(answer: bytes | None) -> openai.APIConnectionError:
    async with _server(answer) as address:
        return await _error(_client(f"{address}/v1"))


async def closed(_: str) -> openai.APIConnectionError:
    return await _answered(b"")


async def reset(_: str) -> openai.APIConnectionError:
    return await _answered(None)


async def no_http(_: str) -> openai.APIConnectionError:
    return await _answered(b"hello\r\n\r\n")


async def half_an_answer(_: str) -> openai.APIConnectionError:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n"
    return await _answered(head + b"{")


async def broken_stream(base_url: str) -> openai.APIConnectionError:
    fault = {"x-mock-fault": "disconnect; after=2"}
    async with _client(base_url, default_headers=fault) as client:
        with _caught() as caught:
            async for _ in await client.chat.completions.create(**QUESTION, stream=True):
                pass
    return caught[0]


SLOW = {"x-mock-pace": "dial=1,first=0,gap=0.05"}
"""What is still to come when the client has gone."""


async def stream_after_its_client(base_url: str) -> openai.APIConnectionError:
    async with _client(base_url, default_headers=SLOW) as client:
        stream = await client.chat.completions.create(**QUESTION, stream=True)
    with _caught() as caught:
        async for _ in stream:
            pass
    return caught[0]


async def blocking_stream_after_its_client(base_url: str) -> openai.APIConnectionError:
    with _blocking(base_url, default_headers=SLOW) as client:
        stream = client.chat.completions.create(**QUESTION, stream=True)
    with _caught() as caught:
        for _ in stream:
            pass
    return caught[0]


LATE = {"x-mock-pace": "dial=1,first=0.4"}


async def late(base_url: str) -> openai.APIConnectionError:
    return await _error(_client(base_url, default_headers=LATE, timeout=0.1))


async def late_blocking(base_url: str) -> openai.APIConnectionError:
    with _caught() as caught, _blocking(base_url, default_headers=LATE, timeout=0.1) as client:
        client.chat.completions.create(**QUESTION)
    return caught[0]


async def nobody_listens_to_aiohttp(_: str) -> openai.APIConnectionError:
    return await _error(_client(f"{NOBODY}/v1", http_client=openai.DefaultAioHttpClient()))


WAYS: list[Way] = [
    nobody_listens,
    nobody_listens_blocking,
    no_such_host,
    https_for_http,
    own_certificate,
    no_scheme,
    key_with_a_line_end,
    proxy_without_a_way,
    proxy_that_wants_a_name,
    closed,
    reset,
    no_http,
    half_an_answer,
    broken_stream,
    stream_after_its_client,
    blocking_stream_after_its_client,
    late,
    late_blocking,
    nobody_listens_to_aiohttp,
]


def in_two_loops(base_url: str, expiry: float) -> str:
    """Ask twice with one client, each in a loop of its own; return what the second time raises.

    `expiry`: seconds for which a connection is kept open after an answer; the SDK's own: 5.
    """
    limits = httpx2.Limits(keepalive_expiry=expiry)
    client = _client(base_url, http_client=httpx2.AsyncClient(limits=limits))

    async def ask(client: AsyncOpenAI) -> None:
        await client.chat.completions.create(**QUESTION)

    asyncio.run(ask(client))
    time.sleep(min(2 * expiry, 0.1))  # the connection's age is what matters here
    try:
        asyncio.run(ask(client))
        said = ""
    except RuntimeError as error:
        said = str(error)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # no loop is left to close the client in
        del client
        gc.collect()
    return said
