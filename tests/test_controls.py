"""A notebook can limit the mock server, for as long as a block lasts."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import httpx2
import pytest
from openai import InternalServerError, RateLimitError

from helpers import blocking_client, last_request, model, server_limits
from helpers.controls import next_request_meets
from helpers.endpoint import Endpoint
from helpers.observe import SETTLE, journal


def ask(_: int = 0) -> str:
    with blocking_client(max_retries=0) as client:
        answer = client.chat.completions.create(
            model=model(), messages=[{"role": "user", "content": "Say hello."}], max_tokens=2
        )
    return answer.choices[0].finish_reason


def test_requests_above_the_limit_are_refused_inside_the_block_and_only_there() -> None:
    with server_limits(requests=2, period=600):
        assert [ask(), ask()] == ["length", "length"]
        with pytest.raises(RateLimitError):
            ask()
    assert ask() == "length"


def test_requests_above_max_concurrent_queue_at_the_server() -> None:
    ask()
    last = last_request().id
    with server_limits(max_concurrent=1), ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(4)))
    four = sorted(journal(last, SETTLE).requests, key=lambda request: request.started or 0)
    assert [request.outcome for request in four] == ["finished"] * 4
    for one, after in pairwise(four):
        assert one.ended is not None
        assert after.started is not None
        assert one.ended <= after.started


def test_requests_above_max_queue_are_refused() -> None:
    with (
        server_limits(max_concurrent=1, max_queue=0),
        ThreadPoolExecutor(4) as pool,
        pytest.raises(InternalServerError, match="overloaded"),
    ):
        list(pool.map(ask, range(4)))


def test_limits_of_before_come_back_also_after_an_error() -> None:
    with server_limits(requests=1000), pytest.raises(ZeroDivisionError), server_limits(requests=1):
        raise ZeroDivisionError
    assert [ask(), ask()] == ["length", "length"]


def test_a_limit_that_is_none_is_refused_by_the_server() -> None:
    with pytest.raises(httpx2.HTTPStatusError), server_limits(max_concurrent=0):
        pass


def test_on_another_endpoint_it_says_so_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = Endpoint("http://127.0.0.1:9/v1", "EMPTY", "m", "the environment", keeps_journal=False)
    monkeypatch.setattr("helpers.controls.endpoint", lambda: real)
    with server_limits(max_concurrent=1):
        pass
    assert "sets its own limits" in capsys.readouterr().out


def test_the_next_request_meets_a_fault_and_the_one_after_does_not() -> None:
    with next_request_meets("503"):
        with pytest.raises(InternalServerError):
            ask()
        assert ask() == "length"


def test_so_many_requests_as_are_said_meet_it() -> None:
    with next_request_meets("503", times=2):
        for _ in range(2):
            with pytest.raises(InternalServerError):
                ask()
        assert ask() == "length"


def test_a_fault_that_no_request_met_is_forgotten() -> None:
    with next_request_meets("503"):
        pass
    assert ask() == "length"


def test_a_fault_that_is_none_is_refused_by_the_server() -> None:
    with pytest.raises(httpx2.HTTPStatusError), next_request_meets("nonsense"):
        pass
