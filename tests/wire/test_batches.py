"""Batches through the SDK: lines side by side, the two files, limits, faults, and `expired`."""

import itertools
import json
import time
from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI
from openai.types import Batch

from helpers.pytest_plugin import MockOpenAI
from tests.wire.wire import ask, strictly

OVER = ("completed", "failed", "cancelled", "expired")


def line(number: int, text: str = "Why is the sky blue?", **more: Any) -> str:
    return json.dumps(
        {
            "custom_id": f"request-{number}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": ask(text, **more),
        }
    )


def lines(count: int) -> list[str]:
    return [line(number) for number in range(1, count + 1)]


def begun(client: OpenAI, lines: list[str], **headers: str) -> Batch:
    file = client.files.create(file=("a.jsonl", "\n".join(lines).encode()), purpose="batch")
    return client.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        extra_headers=headers,
    )


def ended(client: OpenAI, batch: Batch) -> Batch:
    while batch.status not in OVER:
        time.sleep(0.005)  # polling is what this API is made for
        batch = client.batches.retrieve(batch.id)
    return batch


def read(client: OpenAI, file: str | None) -> list[dict[str, Any]]:
    if file is None:
        return []
    return [json.loads(text) for text in client.files.content(file).text.splitlines()]


def counts(batch: Batch) -> tuple[int, int, int]:
    found = batch.request_counts
    assert found is not None
    return found.total, found.completed, found.failed


def test_lines_are_answered_side_by_side_a_hundred_at_a_time(
    client: OpenAI, mock_openai: MockOpenAI
) -> None:
    mock_openai.pace(1.0, first=0.03, gap=0.0)
    batch = ended(client, begun(client, lines(250)))
    assert counts(batch) == (250, 250, 0)
    seen = [request for request in mock_openai.requests() if request.batch == batch.id]
    assert len(seen) == 250
    assert max(request.in_flight for request in seen) in (100, 101)  # a look at the batch beside


def test_as_many_lines_go_side_by_side_as_were_asked_for(
    client: OpenAI, mock_openai: MockOpenAI
) -> None:
    mock_openai.batches(side_by_side=1)
    texts = [line(1), line(2, "Count to three."), line(3, "Tell me a story.")]
    batch = ended(client, begun(client, texts))
    answered = [one["custom_id"] for one in read(client, batch.output_file_id)]
    assert answered == ["request-1", "request-2", "request-3"]
    seen = [request for request in mock_openai.requests() if request.batch]
    assert all(a.ended <= b.arrived for a, b in itertools.pairwise(seen) if a.ended)


def test_answers_stand_in_the_order_in_which_they_ended(
    client: OpenAI, mock_openai: MockOpenAI
) -> None:
    mock_openai.pace(1.0, first=0.0, gap=0.02)
    texts = [line(1, max_tokens=30), line(2, max_tokens=1)]
    batch = ended(client, begun(client, texts))
    answered = [one["custom_id"] for one in read(client, batch.output_file_id)]
    assert answered == ["request-2", "request-1"]


def test_a_batch_has_a_pace_of_its_own(client: OpenAI, mock_openai: MockOpenAI) -> None:
    mock_openai.pace(1.0, first=30.0)
    mock_openai.batches(pace=0)
    assert ended(client, begun(client, lines(3))).status == "completed"
    mock_openai.batches(pace=None)
    quick = begun(client, lines(3), **{"x-mock-pace": "0"})
    assert ended(client, quick).status == "completed"
    with pytest.raises(openai.BadRequestError, match="no part of a pace"):
        begun(client, lines(1), **{"x-mock-pace": "quick"})


def test_each_line_stands_in_the_journal_under_its_batch_and_its_clients_tag(
    client: OpenAI, mock_openai: MockOpenAI
) -> None:
    texts = [line(1), line(2, n=-1)]
    batch = ended(client, begun(client, texts, **{"x-mock-client": "ada"}))
    seen = [request for request in mock_openai.requests() if request.batch == batch.id]
    facts = {(one.path, one.client, one.model, one.status, one.outcome) for one in seen}
    assert facts == {
        ("/v1/chat/completions", "ada", "mock-chat", 200, "finished"),
        ("/v1/chat/completions", "ada", None, 400, "refused"),
    }
    told = read(client, batch.output_file_id) + read(client, batch.error_file_id)
    assert {one["response"]["request_id"] for one in told} == {one.request_id for one in seen}
    (answered,) = (one for one in seen if one.status == 200)
    assert answered.tokens_sent == answered.tokens_planned


def test_lines_wait_for_their_keys_budget_and_none_is_refused(
    client: OpenAI, mock_openai: MockOpenAI
) -> None:
    mock_openai.limit(requests=5, period=0.2)
    batch = ended(client, begun(client, lines(8)))
    assert counts(batch) == (8, 8, 0)
    began = sorted(one.started for one in mock_openai.requests() if one.batch and one.started)
    assert began[7] - began[0] > 0.1  # three more than the budget: an eighth of a second
    mock_openai.limit(tokens=10, period=0.2)
    refused = ended(client, begun(client, lines(1)))
    (told,) = read(client, refused.error_file_id)
    assert told["response"]["status_code"] == 429
    assert "Request too large" in told["response"]["body"]["error"]["message"]


@pytest.mark.parametrize("queue", [None, 0])
def test_lines_queue_where_others_do(
    client: OpenAI, mock_openai: MockOpenAI, queue: int | None
) -> None:
    mock_openai.pace(1.0, first=0.02, gap=0.0)
    limits = {"max_concurrent": 2, **({} if queue is None else {"max_queue": queue})}
    mock_openai.limit(**limits)
    assert counts(ended(client, begun(client, lines(5)))) == (5, 5, 0)
    seen = [one for one in mock_openai.requests() if one.batch]
    steps = sorted(step for one in seen for step in ((one.started or 0, 1), (one.ended or 0, -1)))
    at_once = peak = 0
    for _, step in steps:
        at_once += step
        peak = max(peak, at_once)
    assert peak == 2


def test_faults_strike_lines_and_the_batch_is_completed_all_the_same(
    client: OpenAI, mock_openai: MockOpenAI
) -> None:
    path = "/v1/chat/completions"
    for fault in ("503", "disconnect", "stall"):
        mock_openai.fail(fault, path=path)
    batch = ended(client, begun(client, lines(5)))
    assert (batch.status, counts(batch)) == ("completed", (5, 2, 3))
    first, second, third = sorted(
        read(client, batch.error_file_id), key=lambda told: str(told["custom_id"])
    )
    assert first["response"]["status_code"] == 503
    assert second["response"]["status_code"] == 500
    assert third["response"] is None
    assert third["error"]["code"] == "request_timeout"
    outcomes = [one.outcome for one in mock_openai.requests() if one.batch]
    assert sorted(outcomes) == ["failed"] * 3 + ["finished"] * 2
    assert {one.fault for one in mock_openai.requests() if one.batch} == {
        None, "503", "disconnect", "stall"
    }  # fmt: skip


@pytest.mark.parametrize("by_order", [False, True])
def test_a_batch_can_expire_with_part_of_its_answers(
    client: OpenAI, http: httpx2.Client, mock_openai: MockOpenAI, by_order: bool
) -> None:
    fault = "expired; after=3"
    if by_order:
        mock_openai.fail(fault, path="/v1/batches")
        assert client.batches.list().data == []  # which the order is not for
    headers = {} if by_order else {"x-mock-fault": fault}
    batch = ended(client, begun(client, lines(10), **headers))
    assert (batch.status, counts(batch)) == ("expired", (10, 3, 0))
    assert batch.expired_at
    strictly(Batch, http.get(f"/batches/{batch.id}").content)
    answered, left = read(client, batch.output_file_id), read(client, batch.error_file_id)
    assert len(answered) == 3
    both = {one["custom_id"] for one in answered + left}
    assert both == {f"request-{number}" for number in range(1, 11)}
    assert {(one["response"], one["error"]["code"]) for one in left} == {(None, "batch_expired")}
    finished = [one for one in mock_openai.requests() if one.batch and one.outcome == "finished"]
    assert len(finished) == 3


def test_a_batch_that_expires_at_once_executes_nothing(
    client: OpenAI, mock_openai: MockOpenAI
) -> None:
    batch = ended(client, begun(client, lines(4), **{"x-mock-fault": "expired"}))
    assert (batch.status, batch.output_file_id) == ("expired", None)
    assert len(read(client, batch.error_file_id)) == 4
    assert not [one for one in mock_openai.requests() if one.batch]


def test_what_was_never_executed_of_a_cancelled_batch_stands_in_the_error_file(
    client: OpenAI, mock_openai: MockOpenAI
) -> None:
    mock_openai.pace(1.0, first=0.02, gap=0.0)
    mock_openai.batches(side_by_side=2)
    batch = begun(client, lines(60))
    while not counts(batch)[1]:
        batch = client.batches.retrieve(batch.id)
    client.batches.cancel(batch.id)
    batch = ended(client, batch)
    assert batch.status == "cancelled"
    left = read(client, batch.error_file_id)
    assert len(read(client, batch.output_file_id)) + len(left) == 60
    assert {one["error"]["code"] for one in left} == {"batch_cancelled"}
    outcomes = {one.outcome for one in mock_openai.requests() if one.batch}
    assert outcomes == {"finished"}  # what was under way came to its end


def test_a_batch_that_waits_for_its_budget_can_be_cancelled(
    client: OpenAI, mock_openai: MockOpenAI
) -> None:
    mock_openai.limit(requests=1, period=3600)
    batch = begun(client, lines(3))
    while not counts(batch)[1]:
        batch = client.batches.retrieve(batch.id)
    client.batches.cancel(batch.id)
    assert ended(client, batch).status == "cancelled"


def test_a_reset_drops_the_lines_under_way(client: OpenAI, mock_openai: MockOpenAI) -> None:
    mock_openai.pace(1.0, first=30.0)
    mock_openai.batches(pace=None, side_by_side=7)
    begun(client, lines(2), **{"x-mock-pace": "first=0"})
    mock_openai.reset()
    assert mock_openai.http.get("/mock/batches").json() == {"side_by_side": 100, "pace": None}
    assert mock_openai.requests() == []


@pytest.mark.parametrize(
    ("settings", "told"),
    [({"side_by_side": 0}, "side_by_side"), ({"pace": -1}, "pace"), ({"speed": 1}, "no 'speed'")],
)
def test_what_is_no_setting_of_batches_is_refused(
    mock_openai: MockOpenAI, settings: dict[str, float], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        mock_openai.batches(**settings)
