"""The door within a process: the same answers as through the socket, and one thread for all."""

import asyncio
import json
import os
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import (
    APIConnectionError,
    APITimeoutError,
    AsyncOpenAI,
    NotFoundError,
    OpenAI,
)

from helpers.checks.exercise import TURNS
from helpers.mock_server import inside
from helpers.mock_server.api import chat
from helpers.mock_server.control.state import State
from helpers.mock_server.inside import Door
from helpers.mock_server.protocol.answers import Event
from helpers.mock_server.protocol.pacing import Pace
from helpers.pytest_plugin import MockOpenAI

QUESTION: Any = [{"role": "user", "content": "Count to ten."}]
ASK: Any = {"model": "mock-chat", "messages": QUESTION}


@pytest.fixture
def door() -> Door:
    """A server fifty times as fast as usual: an answer still has to be waited for."""
    return Door(State(models=("mock-chat",), pace=Pace(dial=0.02)))


@pytest.fixture
def blocking(door: Door) -> Iterator[OpenAI]:
    http = httpx2.Client(transport=door.blocking)
    with OpenAI(base_url=door.base_url, api_key="any", http_client=http, max_retries=0) as client:
        yield client


def an_async_client(door: Door) -> AsyncOpenAI:
    http = httpx2.AsyncClient(transport=door.asynchronous)
    return AsyncOpenAI(base_url=door.base_url, api_key="any", http_client=http, max_retries=0)


def journal(door: Door, settle: float = 1.0) -> list[dict[str, Any]]:
    with httpx2.Client(transport=door.blocking) as http:
        url = f"http://{inside.HOST}/mock/journal"
        found: list[dict[str, Any]] = http.get(url, params={"settle": settle}).json()["requests"]
    return found


def outcomes(door: Door) -> list[str]:
    return [request["outcome"] for request in journal(door)]


async def ticking(seen: list[int]) -> None:
    while True:
        seen.append(len(seen))
        await asyncio.sleep(0)


def test_a_blocking_call_is_answered_and_the_callers_loop_stands_still(
    door: Door, blocking: OpenAI
) -> None:
    async def main() -> None:
        seen: list[int] = []
        clock = asyncio.create_task(ticking(seen))
        await asyncio.sleep(0)
        before = len(seen)
        assert before > 0
        assert blocking.chat.completions.create(**ASK).choices[0].message.content
        assert len(list(blocking.chat.completions.create(**ASK, stream=True))) > 10
        assert len(seen) == before
        clock.cancel()

    asyncio.run(main())
    assert outcomes(door) == ["finished", "finished"]


def test_an_async_call_leaves_the_callers_loop_free(door: Door) -> None:
    async def main() -> None:
        seen: list[int] = []
        clock = asyncio.create_task(ticking(seen))
        async with an_async_client(door) as client:
            await client.chat.completions.create(**ASK)
        assert len(seen) > 1
        clock.cancel()

    asyncio.run(main())


def test_the_tokens_of_two_streams_come_one_by_one_and_by_turns(door: Door) -> None:
    turns: list[str] = []

    async def read(client: AsyncOpenAI, name: str) -> None:
        stream = await client.chat.completions.create(
            **ASK, stream=True, extra_headers={"x-mock-pace": "gap=0.2"}
        )
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                turns.append(name)

    async def main() -> None:
        async with an_async_client(door) as client:
            await asyncio.gather(read(client, "one"), read(client, "other"))

    asyncio.run(main())
    assert sum(one != after for one, after in pairwise(turns)) > 5
    one, other = journal(door)
    assert other["in_flight"] == 2
    assert one["tokens"] == sorted(set(one["tokens"])), "each has its own moment"


async def stops_reading(client: AsyncOpenAI) -> None:
    async with await client.chat.completions.create(**ASK, stream=True) as stream:
        async for _ in stream:
            break


async def leaves_a_generator_in_a_generator(client: AsyncOpenAI) -> None:
    async def pieces() -> AsyncIterator[object]:
        async with await client.chat.completions.create(**ASK, stream=True) as stream:
            async for chunk in stream:
                yield chunk

    async def handed_on() -> AsyncIterator[object]:
        async for piece in pieces():
            yield piece

    async with aclosing(handed_on()) as handed:
        await anext(handed)


async def is_cancelled(client: AsyncOpenAI) -> None:
    asking = asyncio.create_task(client.chat.completions.create(**ASK))
    await asyncio.wait([asking], timeout=0.001)  # the answer's first token takes eight times that
    asking.cancel()
    await asyncio.wait([asking])
    assert asking.cancelled()


@pytest.mark.parametrize("leaves", [stops_reading, leaves_a_generator_in_a_generator, is_cancelled])
def test_a_client_that_leaves_is_noticed(door: Door, leaves: Callable[..., Any]) -> None:
    async def main() -> None:
        async with an_async_client(door) as client:
            await leaves(client)
            for _ in range(TURNS):  # a generator inside a generator closes in its own turn
                await asyncio.sleep(0)
            assert outcomes(door) == ["abandoned"]

    asyncio.run(main())


def test_a_blocking_client_that_leaves_is_noticed(door: Door, blocking: OpenAI) -> None:
    with blocking.chat.completions.create(**ASK, stream=True) as stream:
        next(iter(stream))
    assert outcomes(door) == ["abandoned"]


def test_a_stream_that_nobody_reads_goes_on_while_a_blocking_call_waits(
    door: Door, blocking: OpenAI
) -> None:
    async def main() -> None:
        async with an_async_client(door) as client:
            stream = await client.chat.completions.create(**ASK, stream=True)
            blocking.chat.completions.create(**ASK)
            assert outcomes(door) == ["finished", "finished"]
            assert len([chunk async for chunk in stream]) > 10

    asyncio.run(main())


def test_a_blocking_call_gives_the_task_back_that_it_was_made_in(blocking: OpenAI) -> None:
    async def main() -> None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        blocking.chat.completions.create(**ASK)
        assert asyncio.current_task() is task
        assert asyncio.get_running_loop() is loop
        async with asyncio.timeout(60):  # asks for the current task
            await asyncio.sleep(0)

    asyncio.run(main())


def test_one_door_serves_one_event_loop_after_another(door: Door) -> None:
    async def main() -> str | None:
        async with an_async_client(door) as client:
            answer = await client.chat.completions.create(**ASK)
            return answer.choices[0].message.content

    assert asyncio.run(main()) == asyncio.run(main())


def test_two_hundred_calls_are_in_flight_at_once(door: Door) -> None:
    never = {"x-mock-pace": "first=3600"}

    async def main() -> None:
        async with an_async_client(door) as client:
            ask = client.chat.completions.create
            calls = [asyncio.create_task(ask(**ASK, extra_headers=never)) for _ in range(200)]
            for _ in range(1000):  # turns of the loop: each call takes some to get there
                await asyncio.sleep(0)
            assert max(request["in_flight"] for request in journal(door, settle=0)) == 200
            for call in calls:
                call.cancel()
            await asyncio.wait(calls)

    asyncio.run(main())
    assert set(outcomes(door)) == {"abandoned"}


@pytest.mark.parametrize(
    ("fault", "streamed", "says"),
    [
        ("disconnect; after=0", False, "Server disconnected without sending a response"),
        ("disconnect; after=3", True, "incomplete chunked read"),
    ],
)
def test_a_connection_that_a_fault_drops_breaks_as_one_of_sockets_does(
    door: Door, mock_openai: MockOpenAI, fault: str, streamed: bool, says: str
) -> None:
    def broken(base_url: str, http: httpx2.Client) -> str:
        with OpenAI(base_url=base_url, api_key="any", http_client=http, max_retries=0) as client:
            try:
                list(client.chat.completions.create(**wanted))
            except (APIConnectionError, httpx2.RemoteProtocolError) as error:
                return f"{type(error).__name__}: {error} {error.__cause__}"
        return "nothing broke"

    wanted: Any = {**ASK, "stream": streamed, "extra_headers": {"x-mock-fault": fault}}
    here = broken(door.base_url, httpx2.Client(transport=door.blocking))
    assert says in here
    assert here == broken(mock_openai.base_url, httpx2.Client())


def test_a_client_that_runs_out_of_patience_says_so_and_is_noticed(
    door: Door, blocking: OpenAI
) -> None:
    slow = {"x-mock-pace": "first=60"}

    async def main() -> None:
        async with an_async_client(door) as client:
            with pytest.raises(APITimeoutError):
                await client.chat.completions.create(**ASK, extra_headers=slow, timeout=0.01)

    with pytest.raises(APITimeoutError):
        blocking.chat.completions.create(**ASK, extra_headers=slow, timeout=0.01)
    asyncio.run(main())
    assert outcomes(door) == ["abandoned", "abandoned"]


def test_a_wait_for_what_can_never_come_ends_with_a_word(door: Door) -> None:
    with (
        httpx2.Client(transport=door.blocking, timeout=None) as http,
        http.stream("GET", f"http://{inside.HOST}/mock/journal/events") as events,
    ):
        lines = events.iter_lines()
        assert next(lines) == ": listening"
        with pytest.raises(httpx2.ReadError, match="Nothing is under way"):
            list(lines)


def test_a_fault_of_the_servers_own_is_a_500(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(*_: object) -> None:
        raise RuntimeError("a slip of ours")

    monkeypatch.setattr(inside, "build", lambda state: fails)
    with httpx2.Client(transport=Door(State()).blocking) as http:
        assert http.get(f"http://{inside.HOST}/v1/models").status_code == 500
    assert "a slip of ours" in caplog.text


def test_a_fault_of_the_servers_own_breaks_a_stream_off(
    door: Door, blocking: OpenAI, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def slips(*_: object) -> Iterator[Event]:
        yield 0, 1, b'data: {"choices": []}\n\n'
        yield 1, 1, b'data: {"choices": []}\n\n'
        raise RuntimeError("a slip of ours")

    monkeypatch.setattr(chat, "_events", slips)
    with pytest.raises(APIConnectionError):
        list(blocking.chat.completions.create(**ASK, stream=True))
    assert "a slip of ours" in caplog.text
    assert outcomes(door) == ["failed"]


REQUESTS: list[tuple[str, str, Any]] = [
    ("GET", "/v1/models", None),
    ("GET", "/v1/nothing?here=1", None),
    ("POST", "/v1/chat/completions", ASK),
    ("POST", "/v1/chat/completions", {**ASK, "stream": True}),
    ("POST", "/v1/chat/completions", {"model": "mock-chat"}),
    ("POST", "/v1/embeddings", {"model": "mock-chat", "input": "ärger"}),
    ("GET", "/mock/faults", None),
    ("GET", "/health", None),
]


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
def test_an_answer_is_the_same_as_through_the_socket(
    mock_openai: MockOpenAI, method: str, path: str, body: Any
) -> None:
    def answer(root: str, http: httpx2.Client) -> tuple[Any, ...]:
        with http:
            headers = {"authorization": "Bearer any"}
            came = http.request(method, f"{root}{path}", json=body, headers=headers)
        # Of the connection itself, the moment, or all that came before.
        beside = {"date", "transfer-encoding", "openai-processing-ms", "x-request-id"}
        lines = {name: value for name, value in came.headers.items() if name not in beside}
        return came.status_code, came.http_version, lines, without_moments(came.text)

    door = Door(State(pace=Pace(dial=0)))
    here = answer(f"http://{inside.HOST}", httpx2.Client(transport=door.blocking))
    root = mock_openai.base_url.removesuffix("/v1")
    assert here == answer(root, httpx2.Client(trust_env=False))


def without_moments(text: str) -> list[Any]:
    def plain(line: str) -> Any:
        try:
            found = json.loads(line.removeprefix("data: "))
        except ValueError:
            return line
        return {**found, "created": 0, "id": ""} if isinstance(found, dict) else found

    return [plain(line) for line in text.split("\n")]


def test_a_client_made_by_hand_is_let_in_until_the_door_closes(door: Door) -> None:
    usual = httpx2.HTTPTransport.handle_request, httpx2.AsyncHTTPTransport.handle_async_request

    async def asked() -> object:
        async with AsyncOpenAI(base_url=door.base_url, api_key="any", max_retries=0) as client:
            return (await client.models.list()).data[0].id

    door.open_to_all()
    door.open_to_all()  # once more is the same as once
    try:
        with OpenAI(base_url=door.base_url, api_key="any", max_retries=0) as client:
            assert next(iter(client.models.list())).id == "mock-chat"
            assert asyncio.run(asked()) == "mock-chat"
            with pytest.raises(NotFoundError):
                client.chat.completions.create(model="other", messages=QUESTION)
    finally:
        door.close()
    assert usual == (
        httpx2.HTTPTransport.handle_request,
        httpx2.AsyncHTTPTransport.handle_async_request,
    )
    with (
        pytest.raises(APIConnectionError),
        OpenAI(base_url=door.base_url, api_key="any", max_retries=0) as client,
    ):
        client.models.list()


def test_an_open_door_leaves_other_hosts_to_httpx2(door: Door, mock_openai: MockOpenAI) -> None:
    door.open_to_all()
    try:
        with OpenAI(base_url=mock_openai.base_url, api_key="any") as client:
            client.models.list()
    finally:
        door.close()
    assert len(mock_openai.requests()) == 1
    assert journal(door) == []


def test_a_request_begins_no_thread_and_opens_no_file(blocking: OpenAI) -> None:
    before = threading.active_count(), open_files()
    blocking.chat.completions.create(**ASK)
    assert (threading.active_count(), open_files()) == before


def open_files() -> int:
    folder = "/proc/self/fd"
    return len(os.listdir(folder)) if os.path.isdir(folder) else 0  # noqa: PTH112, PTH208


def test_a_pace_that_is_none_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOCK_PACE", "fast")
    with pytest.raises(ValueError, match=r"MOCK_PACE takes a number.*'fast'"):
        inside.state()
    monkeypatch.setenv("MOCK_PACE", "")
    assert inside.state().pace == Pace()


def test_a_body_in_pieces_arrives_whole(door: Door) -> None:
    text = json.dumps(ASK).encode()

    async def pieces() -> AsyncIterator[bytes]:
        for place in range(0, len(text), 10):
            yield text[place : place + 10]

    async def main() -> int:
        async with httpx2.AsyncClient(transport=door.asynchronous) as http:
            answer = await http.post(
                f"{door.base_url}/chat/completions",
                content=pieces(),
                headers={"authorization": "Bearer any"},
            )
        return answer.status_code

    assert asyncio.run(main()) == 200


def test_the_code_on_the_servers_page_works() -> None:
    page = (Path(__file__).parents[2] / "docs" / "mock-server.md").read_text("utf-8")
    found = re.search(r"## Without a socket\n.*?```python\n(.*?)```", page, re.DOTALL)
    assert found
    names: dict[str, Any] = {}
    exec(found[1], names)
    with names["client"] as client:
        assert next(iter(client.models.list())).id
