"""What the journal tells a notebook."""

import asyncio

import pytest
from openai.types.chat import ChatCompletionUserMessageParam

from helpers import async_client, blocking_client, journal, last_request, model, requests_seen
from helpers.observe import NO_JOURNAL, Request, peak_in_flight

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
    assert request.tokens[-1] <= seen[-1]
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


def test_without_any_request_there_is_no_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("helpers.observe.CLIENT_TAG", "somebody-else")
    with pytest.raises(LookupError, match="No request"):
        last_request()
