"""What the journal tells a notebook."""

import asyncio
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from openai.types.chat import ChatCompletionUserMessageParam

from helpers import async_client, blocking_client, journal, last_request, model, requests_seen
from helpers.endpoint import CLIENT_TAG
from helpers.mock_server.control.journal import MAX_CLIENTS, Journal
from helpers.observe import NO_JOURNAL, Request, peak_in_flight
from tests.server.inside import Inside

QUESTION: list[ChatCompletionUserMessageParam] = [
    {"role": "user", "content": "Why is the sky blue?"}
]


def test_a_call_that_is_not_awaited_never_reaches_the_server() -> None:
    before = requests_seen()
    call = async_client().chat.completions.create(model=model(), messages=QUESTION)
    assert requests_seen() - before == 0
    call.close()


def test_a_call_is_one_request_with_its_tokens() -> None:
    before = requests_seen()
    answer = blocking_client().chat.completions.create(model=model(), messages=QUESTION)
    assert requests_seen() - before == 1
    request = last_request()
    assert answer.usage is not None
    assert request.tokens_sent == answer.usage.completion_tokens
    assert (request.outcome, request.status, request.stream) == ("finished", 200, False)
    assert str(request) == f"POST /v1/chat/completions: finished, {request.tokens_sent} tokens"


def test_a_stream_has_a_time_for_each_token_on_this_process_clock() -> None:
    async def stream() -> list[float]:
        loop = asyncio.get_running_loop()
        async with async_client() as client:
            chunks = await client.chat.completions.create(
                model=model(), messages=QUESTION, stream=True
            )
            return [loop.time() async for chunk in chunks if chunk.choices[0].delta.content]

    seen = asyncio.run(stream())
    request = last_request()
    assert len(request.tokens) == request.tokens_sent == len(seen)
    assert request.arrived < request.tokens[0] <= seen[0]
    assert all(left <= came for left, came in zip(request.tokens, seen, strict=True))
    assert list(request.tokens) == sorted(request.tokens)


def test_a_stream_that_is_closed_early_is_abandoned_with_what_was_planned() -> None:
    async def leave() -> None:
        async with (
            async_client() as client,
            await client.chat.completions.create(
                model=model(), messages=QUESTION, stream=True
            ) as chunks,
        ):
            async for chunk in chunks:
                if chunk.choices[0].delta.content:
                    return

    asyncio.run(leave())
    request = last_request()
    assert request.outcome == "abandoned"
    assert request.tokens_planned is not None
    assert request.tokens_sent < request.tokens_planned
    assert f"abandoned, {request.tokens_sent} of {request.tokens_planned} tokens" in str(request)


def test_requests_that_overlap_are_counted_as_in_flight_together() -> None:
    async def three() -> None:
        async with async_client() as client:
            await asyncio.gather(
                *(
                    client.chat.completions.create(model=model(), messages=QUESTION)
                    for _ in range(3)
                )
            )

    before = last_request().id
    asyncio.run(three())
    stretch = journal(after=before)
    assert (len(stretch), stretch.peak_in_flight) == (3, 3)


def test_the_peak_counts_an_end_before_an_arrival_at_the_same_instant() -> None:
    def request(arrived: float, ended: float | None) -> Request:
        return Request(
            id=1,
            method="POST",
            path="/v1/chat/completions",
            model="m",
            stream=False,
            status=200,
            retry=0,
            fault=None,
            arrived=arrived,
            first_byte=None,
            tokens=(),
            ended=ended,
            outcome="finished",
            tokens_sent=0,
            tokens_planned=None,
            in_flight=1,
        )

    assert peak_in_flight((request(0, 1), request(1, 2))) == 1
    assert peak_in_flight((request(0, 2), request(1, 2), request(1.5, None))) == 3
    assert peak_in_flight(()) == 0


def test_without_a_journal_a_fact_survives_what_a_lesson_does_with_it() -> None:
    line = "unknown (only the mock server keeps a journal)"
    for fact in (
        NO_JOURNAL,
        NO_JOURNAL - 3,
        3 - NO_JOURNAL,  # type: ignore[operator]
        NO_JOURNAL.requests[-1].outcome,
        NO_JOURNAL.peak_in_flight / 2,
    ):
        assert str(fact) == repr(fact) == f"{fact}" == f"{fact:>4}" == line
    assert not NO_JOURNAL
    assert list(NO_JOURNAL.requests) == []
    assert not (NO_JOURNAL > 3)


def test_requests_are_counted_also_when_a_full_journal_has_let_them_go() -> None:
    full = Journal(max_requests=3)
    for client in ("me", "me", None, "other", "me", "me"):
        full.open("GET", "/v1/models", client, 0)
    assert len(full.requests(client="me")) == 2
    assert full.head("me")["seen"] == 4
    assert full.head()["seen"] == 6
    full.reset()
    assert (full.seen("me"), full.seen()) == (0, 0)


def test_the_count_goes_on_past_what_the_journal_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Inside()
    server.state.journal._max_requests = 3
    for _ in range(5):
        server.ask("GET", "/v1/models", headers={"x-mock-client": CLIENT_TAG})
        server.ask("GET", "/v1/models", headers={"x-mock-client": "somebody-else"})

    class Transport(httpx2.Client):
        def get(self, url: Any, *, params: Any = None, **_: Any) -> httpx2.Response:
            path = f"/mock/journal?{urlencode(params)}"
            status, body = server.ask("GET", path)
            return httpx2.Response(status, content=body, request=httpx2.Request("GET", url))

    monkeypatch.setattr("httpx2.Client", Transport)
    assert requests_seen() == 5


def test_counts_are_kept_of_so_many_clients_only() -> None:
    many = Journal()
    for number in range(MAX_CLIENTS + 2):
        many.open("GET", "/v1/models", "me", 0)
        many.open("GET", "/v1/models", f"client {number}", 0)
    assert many.seen("me") == MAX_CLIENTS + 2, "whoever still asks stays"
    assert many.seen("client 0") == 0
    assert len(many._seen) == MAX_CLIENTS


def test_without_any_request_there_is_no_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("helpers.observe.CLIENT_TAG", "somebody-else")
    with pytest.raises(LookupError, match="No request"):
        last_request()
