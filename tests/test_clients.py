"""The shared clients are the SDK's own, made once."""

import asyncio
import pkgutil

import pytest
from openai import AsyncOpenAI, OpenAI

import helpers
from helpers import async_client, blocking_client, model
from helpers.endpoint import CLIENT_TAG, endpoint


def test_they_are_plain_clients_of_the_sdk() -> None:
    assert type(blocking_client()) is OpenAI
    assert type(async_client()) is AsyncOpenAI
    assert str(blocking_client().base_url).rstrip("/") == endpoint().base_url


def test_without_options_there_is_one_client_of_each_kind() -> None:
    assert blocking_client() is blocking_client()
    assert async_client() is async_client()


def test_options_are_the_sdks_and_give_a_client_of_its_own() -> None:
    quick = async_client(timeout=1.5, max_retries=0)
    assert (quick.timeout, quick.max_retries) == (1.5, 0)
    assert quick is not async_client()
    assert async_client().max_retries == 2


def test_a_closed_client_is_made_anew() -> None:
    with blocking_client() as first:
        pass
    assert blocking_client() is not first

    async def close() -> AsyncOpenAI:
        async with async_client() as client:
            return client

    closed = asyncio.run(close())
    assert async_client() is not closed


def test_on_a_mock_server_requests_carry_the_kernels_tag_beside_your_headers() -> None:
    with blocking_client(default_headers={"x-mine": "1"}) as client:
        assert client.default_headers["x-mock-client"] == CLIENT_TAG
        assert client.default_headers["x-mine"] == "1"


def test_the_model_answers() -> None:
    answer = blocking_client().chat.completions.create(
        model=model(), messages=[{"role": "user", "content": "Why is the sky blue?"}]
    )
    assert answer.choices[0].message.content


def test_every_public_name_can_be_imported() -> None:
    for name in dir(helpers):
        assert getattr(helpers, name) is not None


def test_a_name_that_is_not_there_is_told_so() -> None:
    with pytest.raises(AttributeError, match=r"module 'helpers' has no attribute 'nothing'"):
        helpers.nothing  # noqa: B018


def test_no_public_name_is_a_modules_name() -> None:
    """Else `from helpers import x` would give the function or the module, as imports happened."""
    modules = {module.name for module in pkgutil.iter_modules(helpers.__path__)}
    assert modules.isdisjoint(dir(helpers))
