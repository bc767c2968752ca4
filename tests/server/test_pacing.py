"""When tokens leave: absolute moments, jitter that repeats, one dial over all."""

import itertools
import json
import socket
import statistics
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from helpers.mock_server.control.state import State
from helpers.mock_server.inside import HOST, Door
from helpers.mock_server.protocol.pacing import Pace, changed, parse
from helpers.observe import Request
from helpers.pytest_plugin import MockOpenAI

STORY = {"model": "mock-chat", "messages": [{"role": "user", "content": "Tell a story"}]}

LATE = 0.15
"""Seconds that a token may come late on a machine that does other things too."""

EARLY = 0.002
"""Seconds that a token may come early: the event loop's timers count in milliseconds."""


@pytest.fixture
def http(mock_openai: MockOpenAI) -> Iterator[httpx2.Client]:
    """A plain client of the API."""
    headers = {"authorization": "Bearer mock"}
    with httpx2.Client(
        base_url=mock_openai.base_url, headers=headers, trust_env=False, timeout=30.0
    ) as client:
        yield client


def streamed(mock_openai: MockOpenAI, http: httpx2.Client, pace: str, **more: Any) -> Request:
    """Return what the server saw of a stream at a pace."""
    headers = {"x-mock-pace": pace}
    answer = http.post("/chat/completions", json={**STORY, **more, "stream": True}, headers=headers)
    assert answer.status_code == 200, answer.text
    return mock_openai.requests()[-1]


# --- the plan ---------------------------------------------------------------------------------


def moments(pace: Pace, count: int) -> list[float]:
    return list(itertools.islice(pace.moments(), count))


def test_moments_are_absolute() -> None:
    assert moments(Pace(first=0.5, gap=0.1), 4) == pytest.approx([0.5, 0.6, 0.7, 0.8])


def test_the_dial_multiplies_all() -> None:
    assert moments(Pace(first=0.5, gap=0.1, dial=0.1), 3) == pytest.approx([0.05, 0.06, 0.07])
    assert moments(Pace(dial=0), 3) == [0, 0, 0]


def test_an_answer_in_one_piece_takes_as_long_as_its_stream() -> None:
    pace = Pace(first=0.5, gap=0.1, dial=0.5)
    assert pace.total(40) == pytest.approx(moments(pace, 40)[-1])
    assert pace.total(0) == pytest.approx(0.25)


def test_jitter_repeats_with_its_seed_and_only_with_it() -> None:
    first, again, other = (moments(Pace(jitter=1, seed=seed), 50) for seed in (1, 1, 2))
    assert first == again != other


def test_jitter_neither_drifts_nor_changes_the_order() -> None:
    plain, strayed = moments(Pace(), 5000), moments(Pace(jitter=1.0, seed=3), 5000)
    assert strayed == sorted(strayed)
    half = Pace().gap / 2
    strays = [there - here for here, there in zip(plain, strayed, strict=True)][1:]
    assert max(map(abs, strays)) <= half
    assert max(map(abs, strays)) > 0.9 * half
    assert abs(sum(strays[-500:]) / 500) < 0.1 * half


def test_a_pace_can_be_read_from_a_text() -> None:
    assert parse("0.5") == {"dial": 0.5}
    assert parse("first=1, gap=.2; tokens=5") == {"first": 1, "gap": 0.2, "tokens": 5}


@pytest.mark.parametrize(
    "text", ["fast", "gap=", "gap=-1", "jitter=2", "tokens=0", "speed=3", "gap=nan", "dial=inf"]
)
def test_a_pace_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"pace"):
        changed(Pace(), parse(text))


# --- the clock --------------------------------------------------------------------------------


def test_tokens_leave_when_they_are_due(mock_openai: MockOpenAI, http: httpx2.Client) -> None:
    seen = streamed(mock_openai, http, "dial=1,first=0.1,gap=0.02,tokens=20")
    assert len(seen.tokens) == 20
    for slot, moment in enumerate(seen.tokens):
        late = moment - seen.arrived - (0.1 + 0.02 * slot)
        assert -EARLY <= late <= LATE


def test_a_late_start_does_not_add_up(mock_openai: MockOpenAI, http: httpx2.Client) -> None:
    # 200 tokens at 2 ms: a sleep for each gap would be late by its own error 200 times.
    seen = streamed(mock_openai, http, "dial=1,first=0,gap=0.002,tokens=200")
    assert seen.tokens[-1] - seen.arrived == pytest.approx(0.398, abs=LATE)


def test_a_pace_counts_from_when_the_request_was_there(mock_openai: MockOpenAI) -> None:
    """What comes slowly is not late, and what the server takes to read it is not the client's."""
    body = json.dumps({**STORY, "stream": True}).encode()
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer mock\r\n"
        b"x-mock-pace: dial=1,first=0.2,gap=0,tokens=5\r\ncontent-length: %d\r\n\r\n" % len(body)
    )
    url = mock_openai.http.base_url
    with socket.create_connection((url.host, url.port or 0), timeout=30) as slow:
        slow.sendall(head + body[:10])
        time.sleep(0.3)
        slow.sendall(body[10:])
        while b"[DONE]" not in slow.recv(65536):
            pass
    (seen,) = mock_openai.requests()
    assert seen.started is not None
    assert seen.started - seen.arrived >= 0.3 - EARLY
    assert seen.tokens[0] - seen.started >= 0.2 - EARLY


def test_a_stream_that_begins_late_catches_up_and_does_not_gush() -> None:
    door = Door(State())
    was_asked = door.ask

    def asked_before(request: httpx2.Request, body: bytes) -> Any:
        exchange = was_asked(request, body)
        exchange.scope["mock.asked"] = time.monotonic() - 1.0
        return exchange

    door.ask = asked_before  # type: ignore[method-assign]
    headers = {"authorization": "Bearer mock", "x-mock-pace": "dial=1,first=0.2,gap=0.1,tokens=8"}
    with httpx2.Client(transport=door.blocking, headers=headers, timeout=30.0) as client:
        client.post(f"{door.base_url}/chat/completions", json={**STORY, "stream": True})
        (seen,) = client.get(f"http://{HOST}/mock/journal").json()["requests"]
    # It is 0.8 s late with its first token. Each gap is half a gap shorter, until it is in time.
    steps = [there - here for here, there in itertools.pairwise(seen["tokens"])]
    assert statistics.median(steps) == pytest.approx(0.05, abs=0.02)
    assert sum(steps) < 0.05 * 7 + LATE


def test_the_head_of_a_stream_does_not_wait_for_its_first_token(
    mock_openai: MockOpenAI, http: httpx2.Client
) -> None:
    seen = streamed(mock_openai, http, "dial=1,first=0.3,gap=0")
    assert seen.first_byte is not None
    assert seen.first_byte - seen.arrived < 0.2
    assert seen.tokens[0] - seen.arrived >= 0.3 - EARLY


def test_an_answer_in_one_piece_waits_for_all_its_tokens(
    mock_openai: MockOpenAI, http: httpx2.Client
) -> None:
    headers = {"x-mock-pace": "dial=1,first=0.1,gap=0.01,tokens=11"}
    answer = http.post("/chat/completions", json=STORY, headers=headers)
    assert answer.json()["usage"]["completion_tokens"] == 11
    seen = mock_openai.requests()[-1]
    assert seen.first_byte is not None
    assert 0.2 - EARLY <= seen.first_byte - seen.arrived <= 0.2 + LATE


def test_no_delay_means_none(mock_openai: MockOpenAI, http: httpx2.Client) -> None:
    seen = streamed(mock_openai, http, "0")
    assert seen.ended is not None
    assert seen.ended - seen.arrived < LATE


def test_a_request_strays_in_its_own_way_and_always_the_same(
    mock_openai: MockOpenAI, http: httpx2.Client
) -> None:
    def gaps(**more: Any) -> list[float]:
        pace = "dial=1,first=0,gap=0.02,jitter=1,tokens=10"
        tokens = streamed(mock_openai, http, pace, **more).tokens
        return [there - here for here, there in itertools.pairwise(tokens)]

    first, again, other = gaps(), gaps(), gaps(seed=7)

    def distance(one: list[float], two: list[float]) -> float:
        return sum(abs(a - b) for a, b in zip(one, two, strict=True)) / len(one)

    assert distance(first, again) < distance(first, other)
    assert max(first) - min(first) > 0.005


def test_the_dial_can_be_turned_while_it_runs(mock_openai: MockOpenAI, http: httpx2.Client) -> None:
    mock_openai.pace(1.0, first=0.2, gap=0)
    started = time.monotonic()
    http.post("/chat/completions", json=STORY)
    assert time.monotonic() - started >= 0.2 - EARLY
    mock_openai.pace(0)
    assert mock_openai.http.get("/mock").json()["pace"] == 0
    http.post("/chat/completions", json=STORY)
    seen = mock_openai.requests()[-1]
    assert seen.ended is not None
    assert seen.ended - seen.arrived < LATE


def test_a_model_can_have_a_pace_of_its_own(mock_openai: MockOpenAI, http: httpx2.Client) -> None:
    mock_openai.pace(1.0, first=0, gap=0, models={"slow": {"first": 0.2, "tokens": 3}})
    for model in ("mock-chat", "slow"):
        http.post("/chat/completions", json={**STORY, "model": model})
    quick, slow = mock_openai.requests()
    assert quick.ended is not None
    assert slow.ended is not None
    assert quick.ended - quick.arrived < 0.2 - EARLY <= slow.ended - slow.arrived
    assert slow.tokens_sent == 3


def test_a_reset_brings_the_first_pace_back(mock_openai: MockOpenAI) -> None:
    before = mock_openai.http.get("/mock/pace").json()
    mock_openai.pace(0.5, first=3, models={"slow": {"gap": 1}})
    assert mock_openai.http.get("/mock/pace").json() != before
    mock_openai.reset()
    assert mock_openai.http.get("/mock/pace").json() == before


@pytest.mark.parametrize(
    "body", ['{"pace": -1}', '{"pace": "x"}', '{"speed": 1}', '{"models": {"a": 1}}', "[]", "x"]
)
def test_a_wrong_pace_changes_nothing(mock_openai: MockOpenAI, body: str) -> None:
    before = mock_openai.http.get("/mock/pace").json()
    answer = mock_openai.http.put("/mock/pace", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]
    assert mock_openai.http.get("/mock/pace").json() == before


def test_a_wrong_pace_in_a_header_is_refused(http: httpx2.Client) -> None:
    answer = http.post("/chat/completions", json=STORY, headers={"x-mock-pace": "warp=9"})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "x-mock-pace"
