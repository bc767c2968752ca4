"""A mock server without delays, its clients, and the SDK's own types as the judge of every body."""

import asyncio
import inspect
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import httpx2
import pytest
from openai import (
    AsyncOpenAI,
    BaseModel,
    DefaultAsyncHttpxClient,
    DefaultHttpxClient,
    OpenAI,
)

from helpers.pytest_plugin import MockOpenAI
from helpers.pytest_plugin import mock_openai as mock_openai
from helpers.pytest_plugin import mock_openai_options as mock_openai_options
from helpers.pytest_plugin import mock_openai_server as mock_openai_server


@pytest.fixture
def client(mock_openai: MockOpenAI, trust: ssl.SSLContext) -> Iterator[OpenAI]:
    """The blocking SDK client, without retries: one call is one request."""
    http = DefaultHttpxClient(verify=trust, trust_env=False)
    with OpenAI(
        base_url=mock_openai.base_url, api_key="mock", max_retries=0, http_client=http
    ) as client:
        yield client


@pytest.fixture
def http(mock_openai: MockOpenAI, trust: ssl.SSLContext) -> Iterator[httpx2.Client]:
    """A plain HTTP client with a key, for what the SDK would not send or show."""
    headers = {"authorization": "Bearer mock"}
    with httpx2.Client(
        base_url=mock_openai.base_url,
        headers=headers,
        trust_env=False,
        timeout=30.0,
        verify=trust,
    ) as client:
        yield client


@pytest.fixture(scope="session")
def trust() -> ssl.SSLContext:
    """One for all clients: making it takes longer than most tests."""
    return ssl.create_default_context()


class Door:
    """Calls the SDK, blocking or async, in one and the same way, so that a test is written once."""

    def __init__(self, base_url: str, trust: ssl.SSLContext, asynchronous: bool) -> None:
        self.asynchronous = asynchronous
        self._base_url = base_url
        self._trust = trust

    def run(self, use: Callable[[Any], Any], **options: Any) -> Any:
        """Return what `use(client)` returns; awaited, and a stream read to its end as a list."""
        settings = {"base_url": self._base_url, "api_key": "mock", "max_retries": 0, **options}
        if not self.asynchronous:
            http = DefaultHttpxClient(verify=self._trust, trust_env=False)
            with OpenAI(**settings, http_client=http) as client:
                return _drained(use(client))
        return asyncio.run(self._run(use, settings))

    async def _run(self, use: Callable[[Any], Any], settings: Any) -> Any:
        http = DefaultAsyncHttpxClient(verify=self._trust, trust_env=False)
        async with AsyncOpenAI(**settings, http_client=http) as client:
            found = use(client)
            if inspect.isawaitable(found):
                found = await _awaited(found)
            if hasattr(found, "__aiter__") and not isinstance(found, BaseModel):
                return [item async for item in _iterated(found)]
            return found


async def _awaited(found: Awaitable[Any]) -> Any:
    return await found


async def _iterated(found: Any) -> AsyncIterator[Any]:
    async for item in found:
        yield item


def _drained(found: Any) -> Any:
    if hasattr(found, "__next__"):
        return list(found)
    return found


@pytest.fixture(params=["OpenAI", "AsyncOpenAI"])
def sdk(request: pytest.FixtureRequest, mock_openai: MockOpenAI, trust: ssl.SSLContext) -> Door:
    """The SDK through either of its clients."""
    return Door(mock_openai.base_url, trust, request.param == "AsyncOpenAI")
