"""Every fault, and what the official SDK makes of it."""

import json
from typing import Any

import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from helpers.mock_server.content.replies import reply
from helpers.mock_server.control.faults import KINDS
from helpers.pytest_plugin import MockOpenAI
from tests.wire.conftest import Door
from tests.wire.wire import ask, events, strictly

BLUE = reply("Why is the sky blue?")


def chat(fault: str, **more: Any) -> Any:
    """Return what to do with a client: a chat request that asks for a fault."""
    request = {**ask(), **more, "extra_headers": {"x-mock-fault": fault}}
    return lambda client: client.chat.completions.create(**request)


@pytest.mark.parametrize(
    ("fault", "error", "status"),
    [
        ("400", openai.BadRequestError, 400),
        ("401", openai.AuthenticationError, 401),
        ("403", openai.PermissionDeniedError, 403),
        ("404", openai.NotFoundError, 404),
        ("408", openai.APIStatusError, 408),
        ("409", openai.ConflictError, 409),
        ("422", openai.UnprocessableEntityError, 422),
        ("429", openai.RateLimitError, 429),
        ("quota", openai.RateLimitError, 429),
        ("500", openai.InternalServerError, 500),
        ("502", openai.InternalServerError, 502),
        ("503", openai.InternalServerError, 503),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_status_raises_its_error(
    sdk: Door,
    mock_openai: MockOpenAI,
    fault: str,
    error: type[Exception],
    status: int,
    stream: bool,
) -> None:
    with pytest.raises(error) as raised:
        sdk.run(chat(fault, stream=stream))
    assert isinstance(raised.value, openai.APIStatusError)
    assert raised.value.status_code == status
    assert raised.value.body is not None
    (seen,) = mock_openai.requests()
    assert (seen.status, seen.fault) == (status, fault)
    assert seen.outcome == ("failed" if status >= 500 else "refused")


def test_a_quota_error_says_that_waiting_cannot_help(sdk: Door) -> None:
    with pytest.raises(openai.RateLimitError) as raised:
        sdk.run(chat("quota"))
    assert raised.value.code == "insufficient_quota"


def test_a_rate_limit_error_says_when_to_come_back(sdk: Door) -> None:
    with pytest.raises(openai.RateLimitError) as raised:
        sdk.run(chat("429; retry-after=1.2"))
    assert raised.value.code == "rate_limit_exceeded"
    assert raised.value.response.headers["retry-after"] == "2"
    assert raised.value.response.headers["retry-after-ms"] == "1200"


def test_the_sdk_tries_again_as_long_as_the_fault_says(sdk: Door, mock_openai: MockOpenAI) -> None:
    completion = sdk.run(chat("503; tries=2; retry-after-ms=1"), max_retries=2)
    assert completion.choices[0].message.content == BLUE
    assert [(seen.retry, seen.status) for seen in mock_openai.requests()] == [
        (0, 503),
        (1, 503),
        (2, 200),
    ]


def test_a_server_may_forbid_to_try_again(sdk: Door, mock_openai: MockOpenAI) -> None:
    with pytest.raises(openai.InternalServerError):
        sdk.run(chat("500; should-retry=false"), max_retries=2)
    assert len(mock_openai.requests()) == 1


def test_the_next_requests_fail_when_that_is_ordered(sdk: Door, mock_openai: MockOpenAI) -> None:
    mock_openai.fail("500", times=2)
    for _ in range(2):
        with pytest.raises(openai.InternalServerError):
            sdk.run(lambda client: client.chat.completions.create(**ask()))
    sdk.run(lambda client: client.chat.completions.create(**ask()))
    assert [seen.outcome for seen in mock_openai.requests()] == ["failed", "failed", "finished"]


def test_an_order_waits_for_the_request_that_it_names(sdk: Door, mock_openai: MockOpenAI) -> None:
    mock_openai.fail("500", client="second")
    mock_openai.fail("503", model="other")
    mock_openai.fail("429", path="/v1/embeddings")
    sdk.run(lambda client: client.chat.completions.create(**ask()))
    with pytest.raises(openai.InternalServerError, match="500"):
        sdk.run(
            lambda client: client.chat.completions.create(
                **ask(), extra_headers={"x-mock-client": "second"}
            )
        )
    with pytest.raises(openai.InternalServerError, match="503"):
        sdk.run(lambda client: client.chat.completions.create(**{**ask(), "model": "other"}))
    with pytest.raises(openai.RateLimitError):
        sdk.run(lambda client: client.embeddings.create(model="mock-embed", input="a"))


def test_an_order_for_first_tries_waits_for_one(sdk: Door, mock_openai: MockOpenAI) -> None:
    mock_openai.fail("503; tries=1")
    sdk.run(
        lambda client: client.chat.completions.create(
            **ask(), extra_headers={"x-stainless-retry-count": "1"}
        )
    )
    with pytest.raises(openai.InternalServerError):
        sdk.run(lambda client: client.chat.completions.create(**ask()))


def test_the_journal_names_the_model_of_a_call_that_failed(
    sdk: Door, mock_openai: MockOpenAI
) -> None:
    mock_openai.fail("500")
    with pytest.raises(openai.InternalServerError):
        sdk.run(lambda client: client.chat.completions.create(**ask()))
    (seen,) = mock_openai.requests()
    assert (seen.model, seen.status) == ("mock-chat", 500)


def test_orders_can_be_taken_back(http: httpx2.Client, mock_openai: MockOpenAI) -> None:
    mock_openai.fail("500", times=9)
    assert mock_openai.http.get("/mock/faults").json()["waiting"][0]["times"] == 9
    mock_openai.http.delete("/mock/faults")
    assert http.post("/chat/completions", json=ask()).status_code == 200


@pytest.mark.parametrize("fault", ["nonsense", "429; soon=1", "stall; after=x", ""])
def test_an_unknown_fault_is_refused_with_the_known_ones(http: httpx2.Client, fault: str) -> None:
    answer = http.post("/chat/completions", json=ask(), headers={"x-mock-fault": fault})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "x-mock-fault"


# --- streams that go wrong --------------------------------------------------------------------


class Partial(list[str]):
    """The text that came before a stream went wrong."""


def read(fault: str, heard: Partial, **more: Any) -> Any:
    """Return what to do with a client: read a stream that asks for a fault, noting each token."""

    def use(client: Any) -> Any:
        request = {**ask(), **more, "stream": True, "extra_headers": {"x-mock-fault": fault}}
        found = client.chat.completions.create(**request)
        return _read_async(found, heard) if hasattr(found, "__await__") else _read(found, heard)

    return use


def _read(stream: Any, heard: Partial) -> list[Any]:
    chunks = []
    for chunk in stream:
        chunks.append(chunk)
        heard.append(chunk.choices[0].delta.content or "")
    return chunks


async def _read_async(opening: Any, heard: Partial) -> list[Any]:
    chunks = []
    async for chunk in await opening:
        chunks.append(chunk)
        heard.append(chunk.choices[0].delta.content or "")
    return chunks


def test_a_dropped_connection_raises_after_the_tokens_that_came(
    sdk: Door, mock_openai: MockOpenAI
) -> None:
    heard = Partial()
    with pytest.raises(openai.APIConnectionError):
        sdk.run(read("disconnect; after=4", heard), max_retries=2)
    assert len([piece for piece in heard if piece]) == 4
    (seen,) = mock_openai.requests()  # only one: a stream that broke is not tried again
    assert (seen.outcome, seen.tokens_sent) == ("failed", 4)


def test_a_connection_dropped_before_the_answer_is_tried_again(
    sdk: Door, mock_openai: MockOpenAI
) -> None:
    completion = sdk.run(chat("disconnect; tries=1"), max_retries=1)
    assert completion.choices[0].message.content == BLUE
    assert [(seen.outcome, seen.status) for seen in mock_openai.requests()] == [
        ("failed", None),
        ("finished", 200),
    ]


def test_a_body_that_breaks_off_raises(sdk: Door, mock_openai: MockOpenAI) -> None:
    with pytest.raises(openai.APIConnectionError):
        sdk.run(chat("disconnect; after=5"))
    assert mock_openai.requests()[0].outcome == "failed"


def test_an_end_without_done_raises_nothing(sdk: Door, mock_openai: MockOpenAI) -> None:
    heard = Partial()
    chunks = sdk.run(read("no-done; after=4", heard))
    assert len([piece for piece in heard if piece]) == 4
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * len(chunks)
    assert mock_openai.requests()[0].outcome == "failed"


def test_a_stall_ends_in_a_timeout(sdk: Door, mock_openai: MockOpenAI) -> None:
    heard = Partial()
    with pytest.raises(openai.APITimeoutError):
        sdk.run(read("stall; after=4", heard), timeout=0.2)
    assert len([piece for piece in heard if piece]) == 4
    (seen,) = mock_openai.requests()
    assert (seen.outcome, seen.tokens_sent, seen.fault) == ("abandoned", 4, "stall")


def test_a_stall_that_is_shorter_than_the_timeout_only_delays(sdk: Door) -> None:
    heard = Partial()
    sdk.run(read("stall; after=4; seconds=0.1", heard))
    assert "".join(heard) == BLUE


def test_a_late_head_ends_in_a_timeout(sdk: Door, mock_openai: MockOpenAI) -> None:
    with pytest.raises(openai.APITimeoutError):
        sdk.run(chat("slow-head; seconds=5", stream=True), timeout=0.2)
    assert mock_openai.requests()[0].first_byte is None


def test_an_error_in_the_stream_raises_without_a_status(sdk: Door) -> None:
    heard = Partial()
    with pytest.raises(openai.APIError, match="Out of luck") as raised:
        sdk.run(read("error-event; after=4; message=Out of luck", heard))
    assert not isinstance(raised.value, openai.APIStatusError)
    assert len([piece for piece in heard if piece]) == 4


def test_a_chunk_that_is_not_json_raises_from_the_json_module(sdk: Door) -> None:
    heard = Partial()
    with pytest.raises(json.JSONDecodeError):
        sdk.run(read("bad-json; after=4", heard))
    assert len([piece for piece in heard if piece]) == 4


def test_a_chunk_that_is_not_utf8_raises_pythons_own_error(sdk: Door) -> None:
    heard = Partial()
    with pytest.raises(UnicodeDecodeError):
        sdk.run(read("bad-utf8; after=4", heard))
    assert len([piece for piece in heard if piece]) == 4


def test_an_answer_in_one_piece_that_is_not_utf8_raises_pythons_own_error(sdk: Door) -> None:
    with pytest.raises(UnicodeDecodeError):
        sdk.run(chat("bad-utf8"))


def test_a_page_under_200_comes_back_as_text(sdk: Door) -> None:
    found = sdk.run(chat("html"))
    assert isinstance(found, str)
    assert "<html>" in found


def test_a_page_under_200_is_a_stream_without_chunks(sdk: Door) -> None:
    assert sdk.run(chat("html", stream=True)) == []


def test_a_whole_answer_to_a_stream_request_is_a_stream_without_chunks(
    sdk: Door, mock_openai: MockOpenAI
) -> None:
    assert sdk.run(chat("not-sse", stream=True)) == []
    assert mock_openai.requests()[0].tokens_sent > 0


@pytest.mark.parametrize(
    "fault",
    ["comments", "crlf", "after-done", "merged", "merged; size=3", "shredded; size=7", "slow-head"],
)
def test_what_a_client_has_to_bear_changes_nothing(
    sdk: Door, mock_openai: MockOpenAI, fault: str
) -> None:
    heard = Partial()
    extra = "; seconds=0.05" if fault == "slow-head" else ""
    sdk.run(read(fault + extra, heard))
    assert "".join(heard) == BLUE
    assert mock_openai.requests()[0].outcome == "finished"


def test_characters_may_be_cut_between_network_chunks(sdk: Door, http: httpx2.Client) -> None:
    heard = Partial()
    sdk.run(read("split-utf8", heard))
    assert "".join(heard) == f"{BLUE} ☕"

    request = ask(stream=True)
    headers = {"x-mock-fault": "split-utf8"}
    with http.stream("POST", "/chat/completions", json=request, headers=headers) as answer:
        parts = list(answer.iter_raw())
    assert any(part and part[-1] >= 0x80 for part in parts), "no chunk ended inside a character"


def test_several_events_may_share_a_network_chunk_and_one_may_take_several(
    http: httpx2.Client,
) -> None:
    sizes = {}
    for fault in ("merged; size=10", "shredded; size=10"):
        with http.stream(
            "POST", "/chat/completions", json=ask(stream=True), headers={"x-mock-fault": fault}
        ) as answer:
            parts = list(answer.iter_raw())
        text = b"".join(parts).decode()
        for _, data in events(text)[:-1]:
            strictly(ChatCompletionChunk, data)
        sizes[fault[:6]] = len(parts) / len(events(text))
    assert sizes["merged"] < 1 < sizes["shredd"]


def test_an_error_in_a_responses_stream_is_an_event_like_others(sdk: Door) -> None:
    found = sdk.run(
        lambda client: client.responses.create(
            model="mock-chat",
            input="Why is the sky blue?",
            stream=True,
            extra_headers={"x-mock-fault": "error-event; after=3"},
        )
    )
    assert found[-1].type == "error"
    assert found[-1].sequence_number == len(found) - 1


def test_every_fault_leaves_the_server_well(http: httpx2.Client) -> None:
    for fault in KINDS:
        for stream in (False, True):
            headers = {"x-mock-fault": f"{fault}; seconds=0.01"}
            try:
                http.post("/chat/completions", json=ask(stream=stream), headers=headers)
            except httpx2.TransportError:
                assert fault == "disconnect"
    assert http.post("/chat/completions", json=ask()).status_code == 200


@pytest.mark.parametrize("body", [b"[]", b"3", b'"text"', b"null", b"{"])
def test_a_whole_answer_to_what_is_no_request_is_an_error(http: httpx2.Client, body: bytes) -> None:
    answer = http.post("/chat/completions", content=body, headers={"x-mock-fault": "not-sse"})
    assert answer.status_code == 400


def test_so_many_events_as_asked_for_share_a_network_chunk(
    http: httpx2.Client, mock_openai: MockOpenAI
) -> None:
    mock_openai.pace(1.0, first=0, gap=0.005)  # without delays they leave together anyway
    headers = {"x-mock-fault": "merged; size=10"}
    with http.stream("POST", "/chat/completions", json=ask(stream=True), headers=headers) as answer:
        parts = list(answer.iter_raw())
    assert len(parts) <= len(events(b"".join(parts).decode())) / 10 + 2


def test_a_responses_stream_has_no_done_for_text_to_come_after(sdk: Door) -> None:
    found = sdk.run(
        lambda client: client.responses.create(
            model="mock-chat",
            input="Why is the sky blue?",
            stream=True,
            extra_headers={"x-mock-fault": "after-done"},
        )
    )
    assert found[-1].response.output_text == BLUE
