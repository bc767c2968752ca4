"""Where there are no processes, threads or sockets, as in a web page, the course works as well.

Here it is told so by its setting; a test in a browser runs it in a true page.
"""

import asyncio
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from openai import AuthenticationError, OpenAI

from helpers import (
    Heartbeat,
    async_client,
    blocking_client,
    clients,
    endpoint,
    journal,
    model,
    recorded,
    requests_seen,
    timeline,
)
from helpers.controls import server_limits
from helpers.mock_server.inside import HOST
from helpers.page import SETTING
from tests.checks.judging import turned_down, verdict

ASK = {"messages": [{"role": "user", "content": "Why is the sky blue?"}], "max_tokens": 5}


def at_once(
    loop: asyncio.AbstractEventLoop, _: object, function: Callable[..., Any], *arguments: Any
) -> "asyncio.Future[Any]":
    """What Pyodide's event loop makes of a call in a thread; the SDK makes one at its start."""
    future = loop.create_future()
    future.set_result(function(*arguments))
    return future


@pytest.fixture(autouse=True)
def in_a_page(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process that may begin no thread and no other process, and has no server yet."""

    def nothing_of_the_kind(*_: object, **__: object) -> None:
        raise AssertionError("There is nothing of the kind in a page.")

    monkeypatch.setenv(SETTING, "1")
    monkeypatch.setattr(endpoint, "_server", None)
    monkeypatch.setattr(clients, "_blocking", {})
    monkeypatch.setattr(clients, "_async", {})
    monkeypatch.setattr(threading.Thread, "start", nothing_of_the_kind)
    monkeypatch.setattr(subprocess, "Popen", nothing_of_the_kind)
    monkeypatch.setattr(asyncio.BaseEventLoop, "run_in_executor", at_once)
    yield
    server = endpoint._server
    if isinstance(server, endpoint.ServerInPage):
        server.close()


def ask(text: str) -> str:
    answer = blocking_client().chat.completions.create(
        model=model(), messages=[{"role": "user", "content": text}]
    )
    return answer.choices[0].message.content or ""


def test_the_shared_clients_reach_the_server_in_this_process_and_it_keeps_a_journal() -> None:
    async def main() -> None:
        blocking_client().chat.completions.create(model=model(), **ASK)
        await async_client().chat.completions.create(model=model(), **ASK)

    before = requests_seen()
    asyncio.run(main())
    assert requests_seen() - before == 2
    assert HOST in endpoint.endpoint().base_url


def test_a_client_made_by_hand_needs_the_servers_key_as_elsewhere() -> None:
    place = endpoint.endpoint()
    with OpenAI(base_url=place.base_url, api_key=place.api_key) as client:
        assert client.models.list().data[0].id == place.model
    with (
        OpenAI(base_url=place.base_url, api_key="any") as client,
        pytest.raises(AuthenticationError),
    ):
        client.models.list()


def test_it_names_the_endpoint_as_it_does_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    endpoint.show_endpoint()
    said = capsys.readouterr().out
    assert "the embedded mock server, on this machine" in said
    assert HOST not in said


def test_options_give_a_client_of_its_own_that_reaches_it_too() -> None:
    with blocking_client(max_retries=0, timeout=30) as client:
        assert client.timeout == 30
        client.models.list()
    assert not blocking_client().is_closed()


def test_an_endpoint_of_yours_is_reached_through_a_socket_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    endpoint.endpoint()
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    with pytest.raises(endpoint.EndpointError, match="nothing listens"):
        endpoint.endpoint()


def test_a_blocking_call_freezes_the_loop_and_the_heartbeat_feels_it() -> None:
    async def main() -> Heartbeat:
        async with Heartbeat(threshold=0.01, where=True) as beat:
            await asyncio.sleep(0.05)
            ask("Why is the sky blue?")
        return beat

    beat = asyncio.run(main())
    assert repr(beat) == "The event loop froze."
    (request,) = journal().requests[-1:]
    assert request.ended is not None
    assert beat.seconds_still(request.arrived, request.ended) > 0


def test_a_timeline_says_that_the_loop_was_blocked() -> None:
    async def main() -> str:
        with recorded() as run:
            ask("Why is the sky blue?")
        return timeline(run).text

    assert "the event loop" in asyncio.run(main()).lower()


def test_the_servers_dials_turn() -> None:
    with (
        server_limits(requests=1, period=600),
        blocking_client(max_retries=0) as client,
    ):
        client.chat.completions.create(model=model(), **ASK)
        with pytest.raises(Exception, match="Rate limit"):
            client.chat.completions.create(model=model(), **ASK)


def test_an_exercise_is_judged() -> None:
    assert verdict("00-1", ask).passed
    assert "returned" in turned_down("00-1", lambda text: text.upper)


def test_a_pace_that_is_none_is_told_as_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOCK_PACE", "fast")
    with pytest.raises(endpoint.EndpointError, match=r"did not start.*fast"):
        endpoint.endpoint()
