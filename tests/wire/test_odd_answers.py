"""Answers that are well-formed and unexpected, and what a user of the official SDK sees of them."""

import json
from typing import Any

import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from helpers.mock_server.content.replies import reply
from helpers.mock_server.control.oddity import KINDS, REFUSAL, THOUGHT, pieces
from helpers.pytest_plugin import MockOpenAI
from tests.wire.conftest import Door
from tests.wire.wire import TOOL, ask, events, strictly

BLUE = reply("Why is the sky blue?")


def chat(fault: str, **more: Any) -> Any:
    """Return what to do with a client: a chat request that asks for an odd answer."""
    request = {**ask(), **more, "extra_headers": {"x-mock-fault": fault}}
    return lambda client: client.chat.completions.create(**request)


def respond(fault: str, **more: Any) -> Any:
    """Return what to do with a client: the same through the Responses API."""
    request = {"model": "mock-chat", "input": "Why is the sky blue?", **more}
    return lambda client: client.responses.create(**request, extra_headers={"x-mock-fault": fault})


def joined(chunks: list[Any], field: str) -> str:
    """Return what the deltas of one field say together."""
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    return "".join(getattr(delta, field, None) or "" for delta in deltas)


# --- an error, or nothing, in place of an answer ----------------------------------------------


@pytest.mark.parametrize("fault", ["error-body", "data-error", "flat-error"])
def test_an_error_object_under_200_is_an_answer_without_choices(
    sdk: Door, mock_openai: MockOpenAI, fault: str
) -> None:
    completion = sdk.run(chat(f"{fault}; message=No credit; code=402"))
    assert completion.choices is None
    error = completion.model_extra["error"] if fault != "flat-error" else completion.model_extra
    assert (error["message"], error["code"]) == ("No credit", "402")
    assert [(seen.status, seen.outcome) for seen in mock_openai.requests()] == [(200, "failed")]


def test_an_error_object_to_a_stream_request_is_a_stream_without_chunks(sdk: Door) -> None:
    assert sdk.run(chat("error-body", stream=True)) == []


def test_an_error_object_under_200_is_a_response_without_output(sdk: Door) -> None:
    response = sdk.run(respond("error-body"))
    assert response.output is None
    with pytest.raises(TypeError, match="'NoneType' object is not iterable"):
        _ = response.output_text


@pytest.mark.parametrize("request_", [chat, respond])
def test_an_error_in_a_data_line_raises_in_both_apis(sdk: Door, request_: Any) -> None:
    with pytest.raises(openai.APIError, match="Out of luck") as raised:
        sdk.run(request_("data-error; after=3; message=Out of luck", stream=True))
    assert not isinstance(raised.value, openai.APIStatusError)


def test_an_error_in_a_data_line_comes_after_so_many_tokens(http: httpx2.Client) -> None:
    for path, body in (
        ("/chat/completions", ask(stream=True)),
        ("/responses", {"model": "m", "input": "Why is the sky blue?", "stream": True}),
    ):
        headers = {"x-mock-fault": "data-error; after=3"}
        found = events(http.post(path, json=body, headers=headers).text)
        name, data = found[-1]
        assert name is None
        assert set(json.loads(data)) == {"error"}
        deltas = [data for _, data in found if '"delta":"' in data or '{"content":"' in data]
        assert len([data for data in deltas if '"role"' not in data]) == 3


def test_a_flat_error_in_a_stream_raises_nothing(sdk: Door, mock_openai: MockOpenAI) -> None:
    chunks = sdk.run(chat("flat-error; after=3; message=Out of luck", stream=True))
    assert chunks[-1].choices is None
    assert chunks[-1].model_extra["message"] == "Out of luck"
    assert len([chunk for chunk in chunks[:-1] if chunk.choices[0].delta.content]) == 3
    assert mock_openai.requests()[0].outcome == "failed"


def test_null_choices_cannot_be_subscripted(sdk: Door, mock_openai: MockOpenAI) -> None:
    completion = sdk.run(chat("null-choices"))
    with pytest.raises(TypeError, match="'NoneType' object is not subscriptable"):
        completion.choices[0]
    assert mock_openai.requests()[0].outcome == "failed"


def test_a_chunk_with_null_choices_comes_after_so_many_tokens(sdk: Door) -> None:
    chunks = sdk.run(chat("null-choices; after=3", stream=True))
    (at,) = [at for at, chunk in enumerate(chunks) if chunk.choices is None]
    said = [bool(chunk.choices[0].delta.content) for chunk in chunks[:at]]
    assert sum(said) == 3
    assert joined(chunks, "content") == BLUE


def test_a_first_chunk_without_choices_has_results_of_a_filter(sdk: Door) -> None:
    chunks = sdk.run(chat("no-choices", stream=True))
    assert chunks[0].choices == []
    assert chunks[0].model_extra["prompt_filter_results"][0]["prompt_index"] == 0
    with pytest.raises(IndexError):
        chunks[0].choices[0]
    assert joined(chunks, "content") == BLUE


def test_an_answer_in_one_piece_may_have_no_choices(sdk: Door) -> None:
    assert sdk.run(chat("no-choices")).choices == []


def test_the_last_delta_may_be_null(sdk: Door) -> None:
    chunks = sdk.run(chat("null-delta", stream=True))
    assert [chunk.choices[0].delta is None for chunk in chunks] == [False] * (len(chunks) - 1) + [
        True
    ]
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_a_message_may_be_null(sdk: Door) -> None:
    assert sdk.run(chat("null-delta")).choices[0].message is None


# --- reasoning --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "field"), [("", "reasoning_content"), ("; field=reasoning", "reasoning")]
)
def test_reasoning_stands_beside_content(
    sdk: Door, mock_openai: MockOpenAI, option: str, field: str
) -> None:
    completion = sdk.run(chat(f"reasoning{option}"))
    message = completion.choices[0].message
    assert (getattr(message, field), message.content) == (THOUGHT, BLUE)
    spent = completion.usage
    assert spent.completion_tokens_details.reasoning_tokens == len(pieces(THOUGHT))

    chunks = sdk.run(
        chat(f"reasoning{option}", stream=True, stream_options={"include_usage": True})
    )
    assert (joined(chunks, field), joined(chunks, "content")) == (THOUGHT, BLUE)
    spoken = [bool(chunk.choices[0].delta.content) for chunk in chunks if chunk.choices]
    assert spoken == [*sorted(spoken[:-1]), False]  # it has thought before it speaks
    assert chunks[-1].usage == spent
    assert [seen.tokens_sent for seen in mock_openai.requests()] == [spent.completion_tokens] * 2


def test_every_choice_has_its_own_reasoning(sdk: Door) -> None:
    completion = sdk.run(chat("reasoning", n=2))
    assert [choice.message.reasoning_content for choice in completion.choices] == [THOUGHT] * 2
    chunks = sdk.run(chat("reasoning", n=2, stream=True))
    for index in range(2):
        own = [chunk for chunk in chunks if chunk.choices[0].index == index]
        assert joined(own, "reasoning_content") == THOUGHT
        assert joined(own, "content") == completion.choices[index].message.content


def test_reasoning_takes_time_like_other_tokens(sdk: Door, mock_openai: MockOpenAI) -> None:
    mock_openai.pace(1.0, first=0, gap=0.002)
    sdk.run(chat("reasoning", stream=True, max_tokens=5))
    (seen,) = mock_openai.requests()
    assert seen.tokens_sent == seen.tokens_planned == len(pieces(THOUGHT)) + 5
    assert seen.tokens[-1] - seen.arrived >= 0.002 * (seen.tokens_sent - 1) * 0.9


@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_may_use_all_tokens_up(sdk: Door, mock_openai: MockOpenAI, stream: bool) -> None:
    options = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    found = sdk.run(chat("reasoning-only", **options))
    if stream:
        assert joined(found, "reasoning_content") == BLUE
        assert {chunk.choices[0].delta.content for chunk in found if chunk.choices} == {None}
        assert found[-2].choices[0].finish_reason == "length"
        spent = found[-1].usage
    else:
        (choice,) = found.choices
        assert choice.message.content is None
        assert choice.message.reasoning_content == BLUE
        assert choice.finish_reason == "length"
        spent = found.usage
    assert spent.completion_tokens_details.reasoning_tokens == spent.completion_tokens > 0
    assert mock_openai.requests()[0].outcome == "finished"


# --- refusals and filters ---------------------------------------------------------------------


@pytest.mark.parametrize("words", [REFUSAL, "Not that."])
def test_a_refusal_comes_in_place_of_content(
    sdk: Door, mock_openai: MockOpenAI, words: str
) -> None:
    fault = "refusal" if words == REFUSAL else f"refusal; message={words}"
    completion = sdk.run(chat(fault))
    (choice,) = completion.choices
    assert (choice.message.content, choice.message.refusal) == (None, words)
    assert choice.finish_reason == "stop"
    assert completion.usage.completion_tokens == len(pieces(words))

    chunks = sdk.run(chat(fault, stream=True, stream_options={"include_usage": True}))
    assert (joined(chunks, "content"), joined(chunks, "refusal")) == ("", words)
    assert chunks[-1].usage.completion_tokens == len(pieces(words))
    assert [seen.tokens_sent for seen in mock_openai.requests()] == [len(pieces(words))] * 2


@pytest.mark.parametrize("stream", [False, True])
def test_a_filter_ends_an_answer_in_its_middle(
    sdk: Door, mock_openai: MockOpenAI, stream: bool
) -> None:
    options = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    found = sdk.run(chat("content-filter; after=6", **options))
    if stream:
        text, last, spent = joined(found, "content"), found[-2].choices[0], found[-1].usage
    else:
        last, spent = found.choices[0], found.usage
        text = last.message.content
    assert BLUE.startswith(text)
    assert 0 < len(text) < len(BLUE) / 2
    assert last.finish_reason == "content_filter"
    assert spent.completion_tokens == mock_openai.requests()[0].tokens_sent == 6


# --- usage ------------------------------------------------------------------------------------


def test_usage_may_be_missing(sdk: Door) -> None:
    assert sdk.run(chat("no-usage")).usage is None
    assert sdk.run(respond("no-usage")).usage is None
    chunks = sdk.run(chat("no-usage", stream=True, stream_options={"include_usage": True}))
    assert {chunk.usage for chunk in chunks} == {None}
    assert all(chunk.choices for chunk in chunks)
    assert sdk.run(respond("no-usage", stream=True))[-1].response.usage is None


def test_usage_may_come_in_every_chunk_and_grow(sdk: Door) -> None:
    chunks = sdk.run(chat("usage-each", stream=True))
    counts = [chunk.usage.completion_tokens for chunk in chunks]
    assert counts == [0, *range(1, len(chunks) - 1), len(chunks) - 2]
    assert all(chunk.choices for chunk in chunks)
    whole = sdk.run(chat("usage-each"))
    assert whole.usage.total_tokens == chunks[-1].usage.total_tokens


# --- tool calls -------------------------------------------------------------------------------


@pytest.mark.parametrize(("fault", "later"), [("", None), ("bare-calls", "")])
def test_a_tool_call_has_its_id_and_name_in_its_first_chunk_alone(
    sdk: Door, mock_openai: MockOpenAI, fault: str, later: str | None
) -> None:
    if fault:
        mock_openai.fail(fault)
    chunks = sdk.run(
        lambda client: client.chat.completions.create(
            **ask("What is the weather in Rome?", tools=[TOOL], tool_choice="required", stream=True)
        )
    )
    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
    assert calls[0].id
    assert calls[0].function.name == "get_weather"
    assert {(call.id, call.function.name) for call in calls[1:]} == {(later, later)}
    assert "city" in json.loads("".join(call.function.arguments for call in calls))


@pytest.mark.parametrize("fault", ["reasoning", "reasoning-only", "refusal", "content-filter"])
def test_an_answer_of_tool_calls_has_no_text_to_be_odd_about(sdk: Door, fault: str) -> None:
    request = {"tools": [TOOL], "tool_choice": "required"}
    completion = sdk.run(chat(fault, **request))
    assert completion.choices[0].message.tool_calls[0].function.name == "get_weather"
    assert completion.usage.completion_tokens_details.reasoning_tokens == 0
    chunks = sdk.run(chat(fault, stream=True, **request))
    assert chunks[-1].choices[0].finish_reason == completion.choices[0].finish_reason
    flat = {"type": "function", **TOOL["function"]}  # type: ignore[dict-item]
    response = sdk.run(respond(fault, tools=[flat], tool_choice="required"))
    assert [item.type for item in response.output] == ["function_call"]
    found = sdk.run(respond(fault, tools=[flat], tool_choice="required", stream=True))
    assert [item.type for item in found[-1].response.output] == ["function_call"]


# --- the Responses API ------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "status", "reason", "kinds"),
    [
        ("reasoning", "completed", None, ["reasoning", "message"]),
        ("reasoning-only", "incomplete", "max_output_tokens", ["reasoning"]),
        ("refusal", "completed", None, ["message"]),
        ("content-filter; after=6", "incomplete", "content_filter", ["message"]),
    ],
)
def test_a_response_is_odd_in_its_own_way(
    sdk: Door,
    mock_openai: MockOpenAI,
    fault: str,
    status: str,
    reason: str | None,
    kinds: list[str],
    stream: bool,
) -> None:
    found = sdk.run(respond(fault, stream=stream))
    response = found[-1].response if stream else found
    assert response.status == status
    assert (response.incomplete_details and response.incomplete_details.reason) == reason
    assert [item.type for item in response.output] == kinds
    last = response.output[-1]
    match fault:
        case "reasoning":
            assert response.output[0].content[0].text == THOUGHT
            assert response.output_text == BLUE
        case "reasoning-only":
            assert (last.content[0].text, response.output_text) == (BLUE, "")
        case "refusal":
            assert (last.content[0].type, last.content[0].refusal) == ("refusal", REFUSAL)
        case _:
            assert BLUE.startswith(response.output_text)
            assert 0 < len(response.output_text) < len(BLUE) / 2
    assert mock_openai.requests()[0].tokens_sent == response.usage.output_tokens
    if stream:
        assert [event.sequence_number for event in found] == list(range(len(found)))
        assert found[-1].type == f"response.{status}"
        done = [event.item for event in found if event.type == "response.output_item.done"]
        assert [item.to_dict() for item in done] == [item.to_dict() for item in response.output]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("reasoning", None),
        ("refusal", None),
        ("reasoning-only", openai.LengthFinishReasonError),
        ("content-filter", openai.ContentFilterFinishReasonError),
    ],
)
def test_the_stream_helpers_of_the_sdk_take_odd_answers_in_their_own_way(
    client: openai.OpenAI, mock_openai: MockOpenAI, fault: str, error: type[Exception] | None
) -> None:
    mock_openai.fail(fault, times=2)
    with client.responses.stream(model="mock-chat", input="Why is the sky blue?") as stream:
        kinds = [event.type for event in stream]
    assert kinds[-1] == ("response.incomplete" if error else "response.completed")
    with client.chat.completions.stream(
        model="mock-chat", messages=[{"role": "user", "content": "Why is the sky blue?"}]
    ) as chunks:
        heard = [event for event in chunks if event.type == "chunk"]
        assert len(heard) > 5
        if error:
            with pytest.raises(error):
                chunks.get_final_completion()
        else:
            message = chunks.get_final_completion().choices[0].message
            assert (message.content is None) == (fault == "refusal")


# --- all of them ------------------------------------------------------------------------------

MISSING = ("error-body", "data-error", "flat-error", "null-choices", "no-choices", "null-delta")


@pytest.mark.parametrize("fault", [fault for fault in KINDS if fault not in MISSING])
def test_the_others_are_answers_as_the_sdk_declares_them(http: httpx2.Client, fault: str) -> None:
    headers = {"x-mock-fault": fault}
    thought = frozenset({"reasoning_content", "choices.message.reasoning_content"})
    in_delta = frozenset({"choices.delta.reasoning_content"})
    body = http.post("/chat/completions", json=ask(), headers=headers).content
    strictly(ChatCompletion, body, beside=thought)
    text = http.post("/chat/completions", json=ask(stream=True), headers=headers).text
    for _, data in events(text)[:-1]:
        strictly(ChatCompletionChunk, data, beside=in_delta)
    asked = {"model": "mock-chat", "input": "Why is the sky blue?"}
    strictly(Response, http.post("/responses", json=asked, headers=headers).content)
    text = http.post("/responses", json={**asked, "stream": True}, headers=headers).text
    judge: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    for name, data in events(text):
        assert name == judge.validate_json(data, strict=True).type


@pytest.mark.parametrize("fault", KINDS)
def test_endpoints_that_have_no_such_answers_give_their_own(
    http: httpx2.Client, fault: str
) -> None:
    for path, body in (
        ("/embeddings", {"model": "m", "input": "a"}),
        ("/completions", {"model": "m", "prompt": "a"}),
        ("/completions", {"model": "m", "prompt": "a", "stream": True}),
    ):
        answer = http.post(path, json=body, headers={"x-mock-fault": fault})
        assert answer.status_code == 200


def test_a_wrong_request_gets_its_own_error(http: httpx2.Client) -> None:
    for fault in KINDS:
        answer = http.post("/chat/completions", json={}, headers={"x-mock-fault": fault})
        assert answer.status_code == 400
