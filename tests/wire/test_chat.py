"""Chat completions as the official SDK sees them, one-shot and streamed."""

import json
from typing import Any

import httpx2
import jsonschema
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel

from helpers.mock_server.content.replies import reply
from helpers.mock_server.content.tokens import count
from tests.wire.conftest import Door
from tests.wire.wire import ask, events, strictly

BLUE = reply("Why is the sky blue?")


def chunks_of(http: httpx2.Client, **request: Any) -> list[dict[str, Any]]:
    """Return a stream's chunks, each a true chunk by the SDK's type, ending in [DONE]."""
    answer = http.post("/chat/completions", json={**ask(), **request, "stream": True})
    assert answer.status_code == 200, answer.text
    found = [data for _, data in events(answer.text)]
    assert found.pop() == "[DONE]"
    for data in found:
        strictly(ChatCompletionChunk, data)
    return [json.loads(data) for data in found]


def test_an_answer_in_one_piece_is_a_chat_completion(http: httpx2.Client) -> None:
    answer = http.post("/chat/completions", json=ask())
    completion = strictly(ChatCompletion, answer.content)
    choice = completion.choices[0]
    assert choice.message.content == BLUE
    assert (choice.message.role, choice.finish_reason) == ("assistant", "stop")
    assert completion.usage.completion_tokens == count(BLUE)
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + count(BLUE)
    assert answer.headers["content-type"] == "application/json"


def test_every_answer_carries_the_headers_that_openai_sends(http: httpx2.Client) -> None:
    headers = http.post("/chat/completions", json=ask()).headers
    assert headers["x-request-id"].startswith("req_")
    assert headers["openai-version"] == "2020-10-01"
    assert int(headers["openai-processing-ms"]) >= 0
    assert headers["x-mock-server"] == "awaited"


def test_both_clients_read_an_answer(sdk: Door) -> None:
    completion = sdk.run(lambda client: client.chat.completions.create(**ask()))
    assert completion.choices[0].message.content == BLUE


def test_both_clients_read_a_stream(sdk: Door) -> None:
    chunks = sdk.run(lambda client: client.chat.completions.create(**ask(), stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == BLUE
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_a_stream_begins_with_the_role_and_ends_with_an_empty_delta(http: httpx2.Client) -> None:
    first, *middle, last = chunks_of(http)
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert last["choices"][0]["delta"] == {}
    assert last["choices"][0]["finish_reason"] == "stop"
    assert all(list(chunk["choices"][0]["delta"]) == ["content"] for chunk in middle)
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in [first, *middle])
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in middle) == BLUE


def test_all_chunks_of_a_stream_have_one_id_and_one_time(http: httpx2.Client) -> None:
    chunks = chunks_of(http)
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1


def test_two_streams_have_two_ids(http: httpx2.Client) -> None:
    assert chunks_of(http)[0]["id"] != chunks_of(http)[0]["id"]


def test_usage_comes_last_without_choices_when_asked_for(http: httpx2.Client) -> None:
    *others, last = chunks_of(http, stream_options={"include_usage": True})
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == count(BLUE)
    assert [chunk["usage"] for chunk in others] == [None] * len(others)


def test_usage_is_not_mentioned_when_not_asked_for(http: httpx2.Client) -> None:
    assert not any("usage" in chunk for chunk in chunks_of(http))


def test_obfuscation_pads_the_text_when_asked_for(http: httpx2.Client) -> None:
    chunks = chunks_of(http, stream_options={"include_obfuscation": True})[1:-1]
    lengths = {
        len(chunk["choices"][0]["delta"]["content"]) + len(chunk["obfuscation"]) for chunk in chunks
    }
    assert len(lengths) == 1
    assert "obfuscation" not in chunks_of(http)[1]


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_a_token_limit_cuts_the_answer(sdk: Door, field: str) -> None:
    completion = sdk.run(lambda client: client.chat.completions.create(**ask(), **{field: 3}))
    assert completion.usage.completion_tokens == 3
    assert completion.choices[0].finish_reason == "length"
    assert BLUE.startswith(completion.choices[0].message.content)


def test_a_token_limit_cuts_a_stream(http: httpx2.Client) -> None:
    chunks = chunks_of(http, max_tokens=3)
    assert len(chunks) == 5
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"


def test_a_limit_that_is_just_enough_cuts_nothing(sdk: Door) -> None:
    completion = sdk.run(
        lambda client: client.chat.completions.create(**ask(), max_tokens=count(BLUE))
    )
    assert completion.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("stop", [" and", [" far", " and"]])
def test_stop_ends_the_answer_before_its_first_mention(sdk: Door, stop: Any) -> None:
    completion = sdk.run(lambda client: client.chat.completions.create(**ask(), stop=stop))
    assert completion.choices[0].message.content == BLUE[: BLUE.index(" and")]
    assert completion.choices[0].finish_reason == "stop"


def test_n_gives_so_many_different_choices(sdk: Door) -> None:
    completion = sdk.run(lambda client: client.chat.completions.create(**ask(), n=3))
    assert [choice.index for choice in completion.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in completion.choices}) == 3


def test_choices_of_a_stream_come_side_by_side(http: httpx2.Client) -> None:
    chunks = chunks_of(http, n=2, max_tokens=5)
    assert [chunk["choices"][0]["index"] for chunk in chunks] == [0, 1] * 7
    texts = ["", ""]
    for chunk in chunks:
        choice = chunk["choices"][0]
        texts[choice["index"]] += choice["delta"].get("content") or ""
    whole = http.post("/chat/completions", json=ask(n=2, max_tokens=5)).json()
    assert texts == [choice["message"]["content"] for choice in whole["choices"]]


def test_the_same_request_gives_the_same_words(http: httpx2.Client) -> None:
    texts = {
        http.post("/chat/completions", json=ask("Tell me of your day", seed=seed)).json()[
            "choices"
        ][0]["message"]["content"]
        for seed in (1, 1, 2)
    }
    assert len(texts) == 1


def test_log_probabilities_come_with_each_token(http: httpx2.Client) -> None:
    body = http.post("/chat/completions", json=ask(logprobs=True, top_logprobs=2)).content
    completion = strictly(ChatCompletion, body)
    entries = completion.choices[0].logprobs.content
    assert "".join(entry.token for entry in entries) == BLUE
    for entry in entries:
        assert bytes(entry.bytes).decode() == entry.token
        assert entry.top_logprobs[0].token == entry.token
        assert len(entry.top_logprobs) == 2
        assert 0 > entry.logprob == max(other.logprob for other in entry.top_logprobs)


def test_log_probabilities_come_with_each_chunk(http: httpx2.Client) -> None:
    for chunk in chunks_of(http, logprobs=True, max_tokens=4)[1:-1]:
        choice = chunk["choices"][0]
        assert choice["logprobs"]["content"][0]["token"] == choice["delta"]["content"]
    assert chunks_of(http)[1]["choices"][0]["logprobs"] is None


@pytest.mark.parametrize("tokens", [1, 500])
def test_ignore_eos_gives_exactly_as_many_tokens_as_asked_for(
    http: httpx2.Client, tokens: int
) -> None:
    body = ask(max_tokens=tokens, ignore_eos=True)
    answer = http.post("/chat/completions", json=body).json()
    assert answer["usage"]["completion_tokens"] == tokens
    assert answer["choices"][0]["finish_reason"] == "length"
    assert len(chunks_of(http, max_tokens=tokens, ignore_eos=True)) == tokens + 2


@pytest.mark.parametrize(
    ("pace", "more", "tokens", "finish"),
    [
        ("tokens=5", {}, 5, "stop"),
        ("tokens=300", {}, 300, "stop"),
        ("tokens=5", {"max_tokens": 5}, 5, "stop"),
        ("tokens=300", {"max_tokens": 7}, 7, "length"),
    ],
)
def test_a_pace_decides_how_long_an_answer_is(
    http: httpx2.Client, pace: str, more: dict[str, int], tokens: int, finish: str
) -> None:
    headers = {"x-mock-pace": pace}
    body = http.post("/chat/completions", json=ask(**more), headers=headers).json()
    assert body["usage"]["completion_tokens"] == tokens
    assert body["choices"][0]["finish_reason"] == finish


def test_min_tokens_makes_a_short_answer_longer(http: httpx2.Client) -> None:
    body = ask("Count to three", min_tokens=40)
    assert http.post("/chat/completions", json=body).json()["usage"]["completion_tokens"] == 40


def test_a_message_may_come_in_parts(sdk: Door) -> None:
    parts = [{"type": "text", "text": "Why is the sky"}, {"type": "text", "text": "blue?"}]
    messages = [{"role": "user", "content": parts}]
    completion = sdk.run(
        lambda client: client.chat.completions.create(model="mock-chat", messages=messages)
    )
    assert completion.choices[0].message.content == BLUE


def test_other_scripts_and_half_surrogates_come_through(http: httpx2.Client) -> None:
    for text in ("天空为什么是蓝色的", "Ünïcödé 🙂🙂 ok", "half \ud83d pair"):
        answer = http.post("/chat/completions", content=json.dumps(ask(text)))
        said = strictly(ChatCompletion, answer.content).choices[0].message.content
        assert text[:4] in said
        streamed = http.post("/chat/completions", content=json.dumps(ask(text, stream=True)))
        found = [json.loads(data) for _, data in events(streamed.text)[:-1]]
        assert "".join(c["choices"][0]["delta"].get("content") or "" for c in found) == said


# --- structured output ------------------------------------------------------------------------


def test_json_mode_gives_a_json_object(sdk: Door) -> None:
    completion = sdk.run(
        lambda client: client.chat.completions.create(
            **ask("Answer in JSON: why is the sky blue?"), response_format={"type": "json_object"}
        )
    )
    assert isinstance(json.loads(completion.choices[0].message.content), dict)


class Step(BaseModel):
    explanation: str
    weight: float


class Lesson(BaseModel):
    title: str
    level: int
    steps: list[Step]
    city: str | None


def test_parse_gives_an_object_of_the_asked_for_type(sdk: Door) -> None:
    completion = sdk.run(
        lambda client: client.chat.completions.parse(
            **ask("Write a lesson of 3 steps about Paris"), response_format=Lesson
        )
    )
    lesson = completion.choices[0].message.parsed
    assert isinstance(lesson, Lesson)
    assert lesson.steps
    assert (lesson.level, lesson.city) == (3, "Paris")


def test_a_streamed_structured_answer_is_valid_too(http: httpx2.Client) -> None:
    schema = Lesson.model_json_schema()
    form = {"type": "json_schema", "json_schema": {"name": "lesson", "schema": schema}}
    chunks = chunks_of(http, response_format=form)
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    jsonschema.validate(json.loads(text), schema)
