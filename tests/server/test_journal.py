"""What the server saw: order, times, ends, and whose request it was."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from helpers.mock_server.control.controls import A_STRETCH, in_pieces
from helpers.mock_server.control.journal import Journal
from helpers.observe import Request
from helpers.pytest_plugin import MockOpenAI
from tests.server.inside import Inside

STORY = {"model": "mock-chat", "messages": [{"role": "user", "content": "Tell a story"}]}
KEY = {"authorization": "Bearer mock"}


def once(condition: Callable[[], bool]) -> None:
    """Return when a condition holds; fail after some seconds."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.002)


def last(server: MockOpenAI, settle: float = 5.0) -> Request:
    return server.requests(settle)[-1]


# --- one request ------------------------------------------------------------------------------


def test_the_end_of_a_stream_is_noted_before_its_client_can_ask_again() -> None:
    inside = Inside()
    noted: list[str] = []
    inside.afterwards = lambda: noted.extend(one.outcome for one in inside.state.journal.requests())
    inside.ask("POST", "/v1/chat/completions", json.dumps({**STORY, "stream": True}).encode())
    assert noted == ["finished"]


def test_an_answer_in_one_piece_is_noted(mock_openai: MockOpenAI, http: httpx2.Client) -> None:
    before = time.monotonic()
    answer = http.post("/chat/completions", json=STORY)
    after = time.monotonic()
    seen = last(mock_openai)
    assert (seen.method, seen.path) == ("POST", "/v1/chat/completions")
    assert (seen.model, seen.stream, seen.status) == ("mock-chat", False, 200)
    assert seen.outcome == "finished"
    assert seen.tokens == ()
    assert seen.tokens_sent == answer.json()["usage"]["completion_tokens"] == seen.tokens_planned
    assert seen.first_byte is not None
    assert seen.ended is not None
    # The two processes read one and the same clock.
    assert before <= seen.arrived <= seen.first_byte <= seen.ended <= after + 0.5


def test_each_token_of_a_stream_is_noted(mock_openai: MockOpenAI, http: httpx2.Client) -> None:
    http.post("/chat/completions", json={**STORY, "stream": True, "max_tokens": 7})
    seen = last(mock_openai)
    assert seen.stream
    assert len(seen.tokens) == seen.tokens_sent == seen.tokens_planned == 7
    times = [seen.arrived, seen.first_byte, *seen.tokens, seen.ended]
    assert times == sorted(times)  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("method", "path", "status", "outcome"),
    [
        ("GET", "/models", 200, "finished"),
        ("GET", "/nothing", 404, "refused"),
        ("POST", "/chat/completions", 400, "refused"),
        ("PUT", "/chat/completions", 405, "refused"),
    ],
)
def test_every_request_is_noted_with_its_status(
    mock_openai: MockOpenAI,
    http: httpx2.Client,
    method: str,
    path: str,
    status: int,
    outcome: str,
) -> None:
    http.request(method, path)
    seen = last(mock_openai)
    assert (seen.path, seen.status, seen.outcome) == (f"/v1{path}", status, outcome)
    assert seen.tokens_sent == 0


def test_control_requests_are_not_noted(mock_openai: MockOpenAI) -> None:
    for path in ("/mock", "/mock/journal", "/mock/pace", "/mock/nothing"):
        mock_openai.http.get(path)
    assert mock_openai.requests() == []


def test_the_retry_count_is_noted(mock_openai: MockOpenAI, http: httpx2.Client) -> None:
    for count in ("0", "2", "many", "-1", "²"):
        http.get("/models", headers={"x-stainless-retry-count": count.encode()})
    assert [seen.retry for seen in mock_openai.requests()] == [0, 2, 0, 0, 0]


# --- clients that leave -----------------------------------------------------------------------


def test_a_stream_that_its_reader_leaves_is_abandoned_after_what_was_sent(
    mock_openai: MockOpenAI, http: httpx2.Client
) -> None:
    mock_openai.pace(1.0, first=0, gap=0.02)
    with http.stream("POST", "/chat/completions", json={**STORY, "stream": True}) as answer:
        lines = (line for line in answer.iter_lines() if '"content":' in line)
        for _ in range(4):  # the role, then three tokens
            next(lines)
    seen = last(mock_openai)
    assert seen.outcome == "abandoned"
    assert 3 <= seen.tokens_sent == len(seen.tokens) <= 6
    assert seen.tokens_planned is not None
    assert seen.tokens_planned > 50


def test_the_hang_up_is_noticed_at_once_not_at_the_next_token(
    mock_openai: MockOpenAI, http: httpx2.Client
) -> None:
    mock_openai.pace(1.0, first=0, gap=60)
    with http.stream("POST", "/chat/completions", json={**STORY, "stream": True}) as answer:
        next(answer.iter_lines())
    left = time.monotonic()
    seen = last(mock_openai)
    assert seen.outcome == "abandoned"
    assert seen.ended is not None
    assert seen.ended - left < 1.0


def test_an_answer_in_one_piece_that_nobody_waits_for_is_abandoned(
    mock_openai: MockOpenAI, http: httpx2.Client
) -> None:
    mock_openai.pace(1.0, first=60)
    with pytest.raises(httpx2.ReadTimeout):
        http.post("/chat/completions", json=STORY, timeout=0.1)
    seen = last(mock_openai)
    assert (seen.outcome, seen.status, seen.tokens_sent) == ("abandoned", None, 0)
    assert seen.first_byte is None


def test_a_stream_that_is_kept_open_is_generated_to_its_end(
    mock_openai: MockOpenAI, http: httpx2.Client
) -> None:
    mock_openai.pace(1.0, first=0, gap=0.002)
    with http.stream("POST", "/chat/completions", json={**STORY, "stream": True}) as answer:
        lines = answer.iter_lines()
        next(lines)
        # Nobody reads on, and nobody hangs up: the client's buffers take it all.
        seen = last(mock_openai)
        assert (seen.outcome, seen.tokens_sent) == ("finished", seen.tokens_planned)


def test_a_client_that_leaves_before_its_body_is_complete_is_noted(
    mock_openai: MockOpenAI,
) -> None:
    host, port = mock_openai.http.base_url.host, mock_openai.http.base_url.port
    assert port is not None
    with socket.create_connection((host, port)) as connection:
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer a\r\n"
        connection.sendall(head + b'content-length: 100\r\n\r\n{"model"')
        once(lambda: len(mock_openai.requests(settle=0)) == 1)
    seen = last(mock_openai)
    assert (seen.outcome, seen.status) == ("abandoned", None)


# --- several requests -------------------------------------------------------------------------


def test_requests_under_way_together_are_counted(mock_openai: MockOpenAI) -> None:
    mock_openai.pace(1.0, first=0.2, gap=0)

    async def three() -> None:
        async with httpx2.AsyncClient(
            base_url=mock_openai.base_url, headers=KEY, trust_env=False
        ) as client:
            await asyncio.gather(*(client.post("/chat/completions", json=STORY) for _ in range(3)))

    asyncio.run(three())
    assert sorted(seen.in_flight for seen in mock_openai.requests()) == [1, 2, 3]
    assert mock_openai.peak_in_flight() == 3


def test_one_after_the_other_is_never_two(mock_openai: MockOpenAI, http: httpx2.Client) -> None:
    for _ in range(3):
        http.post("/chat/completions", json=STORY)
        mock_openai.requests()
    assert mock_openai.peak_in_flight() == 1


def test_each_finds_its_own_requests(mock_openai: MockOpenAI, http: httpx2.Client) -> None:
    for tag in ("ada", "bob", "ada"):
        http.get("/models", headers={"x-mock-client": tag})
    found = mock_openai.http.get("/mock/journal", params={"client": "ada"}).json()
    assert [seen["client"] for seen in found["requests"]] == ["ada", "ada"]
    assert mock_openai.http.get("/mock/journal", params={"client": "eve"}).json()["requests"] == []


def test_only_what_came_after_an_id_is_told(mock_openai: MockOpenAI, http: httpx2.Client) -> None:
    http.get("/models")
    latest = mock_openai.http.get("/mock/journal").json()["latest"]
    http.get("/models/a")
    found = mock_openai.http.get("/mock/journal", params={"after": latest}).json()["requests"]
    assert [seen["path"] for seen in found] == ["/v1/models/a"]


def test_settling_waits_for_the_end_of_what_is_under_way(
    mock_openai: MockOpenAI, http: httpx2.Client
) -> None:
    mock_openai.pace(1.0, first=0.3, gap=0)
    asking = threading.Thread(target=lambda: http.post("/chat/completions", json=STORY))
    asking.start()
    once(lambda: len(mock_openai.requests(settle=0)) == 1)
    assert mock_openai.requests(settle=0)[0].outcome == "running"
    other = {"settle": 5, "client": "somebody-else"}
    assert mock_openai.http.get("/mock/journal", params=other).json()["requests"] == []
    assert mock_openai.requests(settle=0)[0].outcome == "running", "it waited for all"
    assert mock_openai.requests(settle=5)[0].outcome == "finished"
    asking.join()


def test_settling_ends_when_its_time_is_over(mock_openai: MockOpenAI, http: httpx2.Client) -> None:
    mock_openai.pace(1.0, first=60)
    with http.stream("POST", "/chat/completions", json={**STORY, "stream": True}):
        assert mock_openai.requests(settle=0.1)[0].outcome == "running"


def test_a_reset_forgets_and_counts_on(mock_openai: MockOpenAI, http: httpx2.Client) -> None:
    http.get("/models")
    before = mock_openai.http.get("/mock/journal").json()
    mock_openai.http.delete("/mock/journal")
    after = mock_openai.http.get("/mock/journal").json()
    assert (after["requests"], after["latest"]) == ([], before["latest"])
    http.get("/models")
    assert mock_openai.http.get("/mock/journal").json()["latest"] == before["latest"] + 1


@pytest.mark.parametrize("query", ["after=x", "settle=-1", "settle=nan", "after=inf"])
def test_a_wrong_query_is_refused(mock_openai: MockOpenAI, query: str) -> None:
    answer = mock_openai.http.get(f"/mock/journal?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == query.split("=")[0]


# --- bounds -----------------------------------------------------------------------------------


def test_the_journal_keeps_the_newest_requests() -> None:
    journal = Journal(max_requests=3)
    for _ in range(5):
        journal.close(journal.open("GET", "/v1/models", None, 0), "finished")
    assert [record.id for record in journal.requests()] == [3, 4, 5]
    assert journal.dropped == 2


def test_the_journal_keeps_so_many_token_times_in_all() -> None:
    journal = Journal(max_tokens=10)
    for _ in range(4):
        record = journal.open("POST", "/v1/chat/completions", None, 0)
        journal.token(record, 4, 1.0)
        journal.close(record, "finished")
    assert [record.id for record in journal.requests()] == [3, 4]


def test_a_request_that_was_dropped_while_it_ran_still_ends_well() -> None:
    journal = Journal(max_requests=1)
    first, second = (journal.open("GET", "/", None, 0) for _ in range(2))
    journal.close(first, "finished")
    journal.close(second, "finished")
    assert journal.in_flight == 0
    assert [record.id for record in journal.requests()] == [2]


def test_what_a_client_chose_is_kept_only_in_part(
    mock_openai: MockOpenAI, http: httpx2.Client
) -> None:
    http.get("/" + "x" * 5000, headers={"x-mock-client": "y" * 5000})
    (seen,) = mock_openai.http.get("/mock/journal").json()["requests"]
    assert len(seen["path"]) == len(seen["client"]) == 200


def test_others_run_while_a_long_journal_is_written_out() -> None:
    journal = Journal()
    for _ in range(20):
        record = journal.open("POST", "/v1/chat/completions", None, 0)
        journal.token(record, A_STRETCH, 1.0)
        journal.close(record, "finished")

    async def rounds() -> tuple[int, bytes]:
        count = 0
        writing = asyncio.ensure_future(in_pieces(journal.head(), journal.requests()))
        while not writing.done():
            await asyncio.sleep(0)
            count += 1
        return count, await writing

    count, written = asyncio.run(rounds())
    assert count > 10
    found = json.loads(written)
    assert [len(request["tokens"]) for request in found["requests"]] == [A_STRETCH] * 20
    assert found["latest"] == 20


# --- live -------------------------------------------------------------------------------------


def read_live(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the events of the live journal."""
    for line in lines:
        if line.startswith("event: "):
            yield line.removeprefix("event: "), json.loads(next(lines).removeprefix("data: "))


def test_the_journal_can_be_followed_live(mock_openai: MockOpenAI, http: httpx2.Client) -> None:
    mock_openai.pace(1.0, first=0.05, gap=0.01)
    body = {**STORY, "stream": True, "max_tokens": 3}
    with mock_openai.http.stream("GET", "/mock/journal/events") as live:
        lines = live.iter_lines()
        assert next(lines) == ": listening"
        http.post("/chat/completions", json=body)
        found = []
        for event in read_live(lines):
            found.append(event)
            if event[0] == "ended":
                break
    kinds = [kind for kind, _ in found]
    assert kinds == ["arrived", "first_byte", "token", "token", "token", "ended"]
    assert len({fact["id"] for _, fact in found}) == 1
    assert [fact["tokens_sent"] for kind, fact in found if kind == "token"] == [1, 2, 3]
    assert found[-1][1]["outcome"] == "finished"
    assert [fact["at"] for kind, fact in found if kind == "token"] == found[-1][1]["tokens"]


def test_the_live_journal_can_be_kept_to_one_client(
    mock_openai: MockOpenAI, http: httpx2.Client
) -> None:
    with mock_openai.http.stream("GET", "/mock/journal/events?client=ada") as live:
        lines = live.iter_lines()
        next(lines)
        for tag in ("bob", "ada"):
            http.get("/models", headers={"x-mock-client": tag})
        assert next(read_live(lines))[1]["client"] == "ada"


def test_the_live_journal_is_only_read(mock_openai: MockOpenAI) -> None:
    for method in ("HEAD", "POST"):
        answer = mock_openai.http.request(method, "/mock/journal/events")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


def test_a_live_reader_that_leaves_is_forgotten(mock_openai: MockOpenAI) -> None:
    for _ in range(3):
        with mock_openai.http.stream("GET", "/mock/journal/events") as live:
            next(live.iter_lines())
    once(lambda: mock_openai.http.get("/mock").json()["followers"] == 0)


def test_a_long_tag_finds_what_it_was_sent_with(
    mock_openai: MockOpenAI, http: httpx2.Client
) -> None:
    tag = "y" * 500
    with mock_openai.http.stream("GET", "/mock/journal/events", params={"client": tag}) as live:
        lines = live.iter_lines()
        next(lines)
        http.get("/models", headers={"x-mock-client": tag})
        assert next(read_live(lines))[0] == "arrived"
    found = mock_openai.http.get("/mock/journal", params={"client": tag}).json()
    assert len(found["requests"]) == 1
