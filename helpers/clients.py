"""The shared clients: plain `OpenAI` and `AsyncOpenAI` for the endpoint in use."""

from typing import Any

from openai import AsyncOpenAI, DefaultAsyncHttpxClient, DefaultHttpxClient, OpenAI

from helpers.endpoint import (
    CLIENT_TAG,
    Endpoint,
    async_transport_to,
    endpoint,
    machine_settings,
    remark_once,
    transport_to,
)

_blocking: dict[Endpoint, OpenAI] = {}
_async: dict[Endpoint, AsyncOpenAI] = {}


def blocking_client(**options: Any) -> OpenAI:
    """Return the SDK's blocking client for the endpoint in use.

    Without options it is one client for the whole process, so that connections are reused; closed,
    it is made anew. Options are those of `openai.OpenAI` (`timeout` in seconds, `max_retries`, …)
    and always give a client of its own.

    Raises:
        EndpointError: the endpoint cannot be used as it is set.
    """
    place = endpoint()
    remark_once(place)
    with machine_settings():
        if options:
            return OpenAI(**_settings(place, {**_way(place), **options}))
        if place not in _blocking or _blocking[place].is_closed():
            _blocking[place] = OpenAI(**_settings(place, _way(place)))
    return _blocking[place]


def async_client(**options: Any) -> AsyncOpenAI:
    """Return the SDK's async client for the endpoint in use; otherwise as `blocking_client`.

    The shared one belongs to the event loop that first used it. In a script with several
    `asyncio.run`, make one for each: `async with async_client(max_retries=2) as client`.

    Raises:
        EndpointError: the endpoint cannot be used as it is set.
    """
    place = endpoint()
    remark_once(place)
    with machine_settings():
        if options:
            return AsyncOpenAI(**_settings(place, {**_async_way(place), **options}))
        if place not in _async or _async[place].is_closed():
            _async[place] = AsyncOpenAI(**_settings(place, _async_way(place)))
    return _async[place]


def model() -> str:
    """Return the model's name: `OPENAI_MODEL`, or the first that the endpoint lists.

    Raises:
        EndpointError: the endpoint cannot be used as it is set.
    """
    return endpoint().model


def _way(place: Endpoint) -> dict[str, Any]:
    """Return the option that leads a client to a server without a socket; none for others."""
    transport = transport_to(place)
    return {} if transport is None else {"http_client": DefaultHttpxClient(transport=transport)}


def _async_way(place: Endpoint) -> dict[str, Any]:
    transport = async_transport_to(place)
    if transport is None:
        return {}
    return {"http_client": DefaultAsyncHttpxClient(transport=transport)}


def _settings(place: Endpoint, options: dict[str, Any]) -> dict[str, Any]:
    settings = {"base_url": place.base_url, "api_key": place.api_key, **options}
    if place.keeps_journal:
        tag = {"x-mock-client": CLIENT_TAG}
        settings["default_headers"] = {**tag, **(options.get("default_headers") or {})}
    return settings
