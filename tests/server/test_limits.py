"""Rate limits that count down and refill, and a queue for a server that is full."""

import asyncio
from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI

from helpers.mock_server.control.limits import Queue, Rate, RateLimiter
from helpers.mock_server.protocol.errors import ApiError
from helpers.pytest_plugin import MockOpenAI

STORY: dict[str, Any] = {
    "model": "mock-chat",
    "messages": [{"role": "user", "content": "Tell a story"}],
}
KEY = {"authorization": "Bearer mock"}


# --- rates ------------------------------------------------------------------------------------


class Time:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_headers_count_down_and_the_budget_refills() -> None:
    clock = Time()
    limiter = RateLimiter(clock)
    limiter.set(Rate(requests=4, tokens=100, period=60))
    headers = [limiter.charge("key", 30) for _ in range(3)]
    assert [one["x-ratelimit-remaining-requests"] for one in headers] == ["3", "2", "1"]
    assert [one["x-ratelimit-remaining-tokens"] for one in headers] == ["70", "40", "10"]
    assert [one["x-ratelimit-reset-requests"] for one in headers] == ["15s", "30s", "45s"]
    assert headers[0]["x-ratelimit-limit-tokens"] == "100"
    clock.now += 60
    assert limiter.charge("key", 30)["x-ratelimit-remaining-tokens"] == "70"


def test_a_spent_budget_says_how_long_to_wait_and_keeps_its_word() -> None:
    clock = Time()
    limiter = RateLimiter(clock)
    limiter.set(Rate(requests=2, period=3))
    limiter.charge("key", 1)
    limiter.charge("key", 1)
    with pytest.raises(ApiError) as raised:
        limiter.charge("key", 1)
    error = raised.value
    assert (error.status, error.code, error.kind) == (429, "rate_limit_exceeded", "requests")
    assert error.headers["retry-after"] == "2"
    assert error.headers["retry-after-ms"] == "1500"
    assert error.headers["x-ratelimit-remaining-requests"] == "0"
    clock.now += 1.4
    with pytest.raises(ApiError):
        limiter.charge("key", 1)
    clock.now += 0.1
    limiter.charge("key", 1)


def test_a_refused_request_costs_nothing() -> None:
    clock = Time()
    limiter = RateLimiter(clock)
    limiter.set(Rate(requests=10, tokens=100))
    limiter.charge("key", 90)
    with pytest.raises(ApiError, match="tokens per min"):
        limiter.charge("key", 20)
    assert limiter.charge("key", 10)["x-ratelimit-remaining-requests"] == "8"


def test_a_request_that_no_budget_suffices_for_is_told_so() -> None:
    limiter = RateLimiter(Time())
    limiter.set(Rate(tokens=100))
    with pytest.raises(ApiError, match="too large") as raised:
        limiter.charge("key", 101)
    assert "retry-after" not in raised.value.headers


def test_each_key_has_a_budget_of_its_own() -> None:
    limiter = RateLimiter(Time())
    limiter.set(Rate(requests=1))
    limiter.charge("ada", 1)
    limiter.charge("bob", 1)
    with pytest.raises(ApiError):
        limiter.charge("ada", 1)


def test_the_sdk_waits_as_long_as_it_is_told_and_comes_through(mock_openai: MockOpenAI) -> None:
    mock_openai.limit(requests=2, period=0.4)
    with OpenAI(base_url=mock_openai.base_url, api_key="mock", max_retries=2) as client:
        for _ in range(4):
            client.chat.completions.create(**STORY)
    statuses = [seen.status for seen in mock_openai.requests()]
    assert statuses.count(200) == 4
    assert statuses.count(429) >= 1


def test_without_retries_a_rate_limit_raises(mock_openai: MockOpenAI) -> None:
    mock_openai.limit(tokens=150)
    with OpenAI(base_url=mock_openai.base_url, api_key="mock", max_retries=0) as client:
        raw = client.chat.completions.with_raw_response.create(**STORY)
        left = int(raw.headers["x-ratelimit-remaining-tokens"])
        assert left == 150 - raw.parse().usage.total_tokens  # type: ignore[union-attr]
        with pytest.raises(openai.RateLimitError, match="tokens per min"):
            client.chat.completions.create(**STORY)


def test_requests_that_cost_nothing_are_not_counted(
    mock_openai: MockOpenAI, http: httpx2.Client
) -> None:
    mock_openai.limit(requests=1)
    for _ in range(3):
        assert http.get("/models").status_code == 200
        assert http.post("/chat/completions", json={}).status_code == 400
    assert http.post("/chat/completions", json=STORY).status_code == 200


# --- the queue --------------------------------------------------------------------------------


async def all_at_once(base_url: str, count: int, **more: Any) -> list[httpx2.Response]:
    async with httpx2.AsyncClient(
        base_url=base_url, headers=KEY, trust_env=False, timeout=30.0
    ) as client:
        calls = (client.post("/chat/completions", json={**STORY, **more}) for _ in range(count))
        return list(await asyncio.gather(*calls))


@pytest.mark.parametrize("stream", [False, True])
def test_no_more_are_answered_at_one_time_than_there_are_places(
    mock_openai: MockOpenAI, stream: bool
) -> None:
    mock_openai.limit(max_concurrent=2)
    mock_openai.pace(1.0, first=0.1, gap=0)
    answers = asyncio.run(all_at_once(mock_openai.base_url, 6, stream=stream))
    assert [answer.status_code for answer in answers] == [200] * 6
    records = mock_openai.http.get("/mock/journal?settle=1").json()["requests"]
    spans = sorted((record["started"], record["ended"]) for record in records)
    for began, _ in spans:
        assert sum(start <= began < end for start, end in spans) <= 2
    # The last pair began when two pairs were done.
    assert spans[-1][0] - spans[0][0] >= 0.19
    assert mock_openai.peak_in_flight() == 6


def test_first_come_is_first_served() -> None:
    async def scene() -> list[int]:
        queue = Queue()
        queue.set(1, None)
        served: list[int] = []

        async def one(number: int) -> None:
            place = queue.enter()
            if place is not None:
                await place
            served.append(number)
            await asyncio.sleep(0)
            queue.leave(place)

        await asyncio.gather(*(one(number) for number in range(10)))
        return served

    assert asyncio.run(scene()) == list(range(10))


def test_who_finds_no_place_in_the_queue_is_turned_away(mock_openai: MockOpenAI) -> None:
    mock_openai.limit(max_concurrent=1, max_queue=2)
    mock_openai.pace(1.0, first=0.2, gap=0)
    answers = asyncio.run(all_at_once(mock_openai.base_url, 5))
    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [503] * 2
    turned_away = next(answer for answer in answers if answer.status_code == 503)
    assert turned_away.json()["error"]["code"] == "overloaded"
    assert turned_away.headers["retry-after"] == "1"


def test_who_leaves_the_queue_gives_the_place_to_the_next(mock_openai: MockOpenAI) -> None:
    mock_openai.limit(max_concurrent=1)
    mock_openai.pace(1.0, first=0.3, gap=0)

    async def scene() -> tuple[list[Any], httpx2.Response]:
        async with httpx2.AsyncClient(
            base_url=mock_openai.base_url, headers=KEY, trust_env=False, timeout=30.0
        ) as client:
            working = asyncio.create_task(client.post("/chat/completions", json=STORY))
            await asyncio.sleep(0.05)
            leaving = [
                asyncio.create_task(client.post("/chat/completions", json=STORY, timeout=0.1))
                for _ in range(3)
            ]
            left = await asyncio.gather(*leaving, return_exceptions=True)
            last = await client.post("/chat/completions", json=STORY)
            await working
            return left, last

    left, last = asyncio.run(scene())
    assert [type(error) for error in left] == [httpx2.ReadTimeout] * 3
    assert last.status_code == 200
    outcomes = [seen.outcome for seen in mock_openai.requests()]
    assert outcomes == ["finished", "abandoned", "abandoned", "abandoned", "finished"]


def test_a_wider_door_lets_those_in_who_wait(mock_openai: MockOpenAI) -> None:
    mock_openai.limit(max_concurrent=1)
    mock_openai.pace(1.0, first=0.3, gap=0)

    async def scene() -> None:
        async with httpx2.AsyncClient(
            base_url=mock_openai.base_url, headers=KEY, trust_env=False, timeout=30.0
        ) as client:
            calls = [
                asyncio.create_task(client.post("/chat/completions", json=STORY)) for _ in range(4)
            ]
            await asyncio.sleep(0.05)
            await client.put(mock_openai.base_url.removesuffix("/v1") + "/mock/limits", json={})
            await asyncio.gather(*calls)

    asyncio.run(scene())
    records = mock_openai.http.get("/mock/journal?settle=1").json()["requests"]
    assert max(record["started"] for record in records) - records[0]["started"] < 0.25


def test_unknown_limits_are_refused(mock_openai: MockOpenAI) -> None:
    for body in ({"speed": 1}, {"requests": 0}, {"period": 0}, {"max_queue": -1}):
        assert mock_openai.http.put("/mock/limits", json=body).status_code == 400
    assert mock_openai.http.get("/mock/limits").json()["requests"] is None


@pytest.mark.parametrize("name", ["requests", "tokens", "max_concurrent", "max_queue"])
def test_a_limit_beyond_all_reason_is_refused(mock_openai: MockOpenAI, name: str) -> None:
    with pytest.raises(ValueError, match=f"Invalid '{name}': integer above maximum value"):
        mock_openai.limit(**{name: 10**400})


def test_of_wrong_limits_none_is_set(mock_openai: MockOpenAI) -> None:
    mock_openai.limit(requests=7, max_concurrent=3)
    before = mock_openai.http.get("/mock/limits").json()
    with pytest.raises(ValueError, match="max_queue"):
        mock_openai.limit(requests=5, max_concurrent=2, max_queue=-1)
    assert mock_openai.http.get("/mock/limits").json() == before
