"""A client whose requests a check can look at, and change, on their way."""

import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import httpx2
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from helpers.clients import async_client

Hook = Callable[[httpx2.Request], Awaitable[None]]
Note = Callable[[httpx2.Response], Awaitable[None]]


@asynccontextmanager
async def hooked_client(request: Hook, *response: Note) -> AsyncIterator[AsyncOpenAI]:
    """Give a client whose requests go through one hook, and their answers' heads through others."""
    http = DefaultAsyncHttpxClient(event_hooks={"request": [request], "response": [*response]})
    with _nothing_collected():
        async with async_client(http_client=http) as client:
            yield client


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Hold the garbage collector off, which would close at random what an answer left open."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()
