"""The Responses API as the official SDK sees it: one-shot, streamed and in the background."""

import json
import time
from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI
from openai.types import responses as types
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from helpers.mock_server.content.replies import reply
from helpers.mock_server.content.tokens import count
from helpers.pytest_plugin import MockOpenAI
from tests.wire.conftest import Door
from tests.wire.wire import events, strictly

BLUE = reply("Why is the sky blue?")
ASK: dict[str, Any] = {"model": "mock-chat", "input": "Why is the sky blue?"}
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the weather in a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}
EVENT = TypeAdapter[Any](ResponseStreamEvent)


def response_of(http: httpx2.Client, **more: Any) -> Response:
    answer = http.post("/responses", json={**ASK, **more})
    assert answer.status_code == 200, answer.text
    found: Response = strictly(Response, answer.content)
    return found


def events_of(http: httpx2.Client, **more: Any) -> list[Any]:
    """Return a stream's events, each strictly of its type, named by it, numbered from 0."""
    answer = http.post("/responses", json={**ASK, **more, "stream": True})
    assert answer.status_code == 200, answer.text
    found = []
    for number, (name, data) in enumerate(events(answer.text)):
        event = EVENT.validate_json(data, strict=True)
        strictly(type(event), data, beside=frozenset({"obfuscation"}))
        assert (name, number) == (event.type, event.sequence_number)
        found.append(event)
    return found


def test_an_answer_in_one_piece_is_a_response(http: httpx2.Client) -> None:
    response = response_of(http)
    assert (response.status, response.output_text) == ("completed", BLUE)
    assert response.usage is not None
    assert response.usage.output_tokens == count(BLUE)
    assert response.usage.input_tokens_details.cache_write_tokens == 0


def test_both_clients_read_a_response(sdk: Door) -> None:
    assert sdk.run(lambda client: client.responses.create(**ASK)).output_text == BLUE


def test_the_events_come_in_their_order(http: httpx2.Client) -> None:
    kinds = [event.type for event in events_of(http)]
    deltas = kinds.count("response.output_text.delta")
    assert deltas == count(BLUE)
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * deltas,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]


def test_a_stream_tells_the_same_text_four_times(http: httpx2.Client) -> None:
    found = events_of(http)
    deltas = [event for event in found if isinstance(event, types.ResponseTextDeltaEvent)]
    assert "".join(event.delta for event in deltas) == BLUE
    assert all(event.logprobs == [] for event in deltas)
    assert found[-4].text == BLUE
    assert found[-3].part.text == BLUE
    assert found[-2].item.content[0].text == BLUE
    assert found[-1].response.output_text == BLUE


def test_all_events_speak_of_one_response_and_one_item(http: httpx2.Client) -> None:
    found = events_of(http)
    assert len({event.response.id for event in found if hasattr(event, "response")}) == 1
    items = {event.item_id for event in found if hasattr(event, "item_id")}
    items |= {event.item.id for event in found if hasattr(event, "item")}
    assert len(items) == 1


def test_the_streaming_helper_of_the_sdk_reads_to_the_end(client: OpenAI) -> None:
    with client.responses.stream(**ASK) as stream:
        snapshots = [
            event.snapshot for event in stream if event.type == "response.output_text.delta"
        ]
        final = stream.get_final_response()
    assert snapshots[-1] == final.output_text == BLUE


def test_both_clients_read_a_stream(sdk: Door) -> None:
    found = sdk.run(lambda client: client.responses.create(**ASK, stream=True))
    assert found[-1].response.output_text == BLUE


def test_a_token_limit_leaves_a_response_incomplete(http: httpx2.Client) -> None:
    response = response_of(http, max_output_tokens=16)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.output[0].status == "incomplete"  # type: ignore[union-attr]
    assert events_of(http, max_output_tokens=16)[-1].type == "response.incomplete"


def test_what_was_asked_is_repeated(http: httpx2.Client) -> None:
    response = response_of(
        http,
        instructions="Be brief.",
        metadata={"lesson": "2"},
        temperature=0,
        tools=[WEATHER],
        tool_choice="none",
        user="ada",
    )
    assert response.instructions == "Be brief."
    assert response.metadata == {"lesson": "2"}
    assert (response.temperature, response.tool_choice, response.user) == (0, "none", "ada")
    assert response.tools[0].name == "get_weather"  # type: ignore[union-attr]


def test_log_probabilities_come_when_asked_for(http: httpx2.Client) -> None:
    more = {"top_logprobs": 2, "include": ["message.output_text.logprobs"]}
    part = response_of(http, **more).output[0].content[0]  # type: ignore[union-attr]
    assert "".join(entry.token for entry in part.logprobs) == BLUE  # type: ignore
    deltas = [e for e in events_of(http, **more) if e.type == "response.output_text.delta"]
    assert all(event.logprobs[0].token == event.delta for event in deltas)


def test_obfuscation_pads_the_deltas_when_asked_for(http: httpx2.Client) -> None:
    found = events_of(http, stream_options={"include_obfuscation": True})
    deltas = [event for event in found if event.type == "response.output_text.delta"]
    assert all(event.model_extra["obfuscation"] for event in deltas)


def test_a_conversation_goes_on_from_an_earlier_response(http: httpx2.Client) -> None:
    first = response_of(http)
    second = response_of(http, input="What is a coroutine?", previous_response_id=first.id)
    alone = response_of(http, input="What is a coroutine?")
    assert second.previous_response_id == first.id
    assert second.output_text == alone.output_text
    assert first.usage
    assert second.usage
    assert alone.usage
    assert second.usage.input_tokens > alone.usage.input_tokens + first.usage.output_tokens


def test_a_response_that_is_not_stored_cannot_be_gone_on_from(sdk: Door) -> None:
    first = sdk.run(lambda client: client.responses.create(**ASK, store=False))
    with pytest.raises(openai.BadRequestError) as raised:
        sdk.run(lambda client: client.responses.create(**ASK, previous_response_id=first.id))
    assert raised.value.code == "previous_response_not_found"
    with pytest.raises(openai.NotFoundError):
        sdk.run(lambda client: client.responses.retrieve(first.id))


def test_a_stored_response_can_be_read_again_and_deleted(sdk: Door) -> None:
    first = sdk.run(lambda client: client.responses.create(**ASK))
    again = sdk.run(lambda client: client.responses.retrieve(first.id))
    assert again.output_text == first.output_text
    sdk.run(lambda client: client.responses.delete(first.id))
    with pytest.raises(openai.NotFoundError):
        sdk.run(lambda client: client.responses.retrieve(first.id))


def test_a_streamed_response_is_stored_once_it_is_complete(http: httpx2.Client) -> None:
    final = events_of(http)[-1].response
    again = http.get(f"/responses/{final.id}")
    assert strictly(Response, again.content).output_text == BLUE


def test_the_events_of_a_stored_response_can_be_read_again_from_any_one(client: OpenAI) -> None:
    first = client.responses.create(**ASK)
    found = list(client.responses.retrieve(first.id, stream=True, starting_after=5))
    assert found[0].sequence_number == 6
    assert found[-1].type == "response.completed"


def test_the_input_of_a_response_can_be_listed(client: OpenAI) -> None:
    first = client.responses.create(**ASK)
    (item,) = client.responses.input_items.list(first.id).data
    assert item.content[0].text == ASK["input"]  # type: ignore[union-attr]


def test_the_input_is_listed_in_pages(client: OpenAI) -> None:
    said = [{"role": "user", "content": str(number)} for number in range(5)]
    first = client.responses.create(model="mock-chat", input=said)  # type: ignore[arg-type]
    page = client.responses.input_items.list(first.id, limit=2, order="asc")
    assert [item.content[0].text for item in page.data] == ["0", "1"]  # type: ignore[union-attr]
    assert [item.content[0].text for item in page] == list("01234")  # type: ignore[union-attr]


def test_when_it_was_completed_does_not_change(client: OpenAI) -> None:
    first = client.responses.create(**ASK)
    time.sleep(1.1)  # it is told in whole seconds
    assert client.responses.retrieve(first.id).completed_at == first.completed_at


def test_an_unknown_response_is_not_found(sdk: Door) -> None:
    with pytest.raises(openai.NotFoundError, match="resp_none"):
        sdk.run(lambda client: client.responses.retrieve("resp_none"))


# --- tools and structure ----------------------------------------------------------------------


def test_a_tool_call_and_its_answer(client: OpenAI) -> None:
    question = "What is the weather in Rome?"
    first = client.responses.create(model="mock-chat", input=question, tools=[WEATHER])  # type: ignore
    (call,) = first.output
    assert call.type == "function_call"
    assert json.loads(call.arguments) == {"city": "Rome"}
    answer = {"type": "function_call_output", "call_id": call.call_id, "output": "31 degrees"}
    second = client.responses.create(
        model="mock-chat",
        input=[answer],  # type: ignore[list-item]
        previous_response_id=first.id,
        tools=[WEATHER],  # type: ignore[list-item]
    )
    assert "31 degrees" in second.output_text


def test_tool_calls_are_streamed_item_by_item(http: httpx2.Client) -> None:
    found = events_of(http, input="What is the weather in Rome and Paris?", tools=[WEATHER])
    added = [event for event in found if event.type == "response.output_item.added"]
    assert [event.item.arguments for event in added] == ["", ""]
    assert [event.output_index for event in added] == [0, 1]
    joined: dict[str, str] = {}
    for event in found:
        if event.type == "response.function_call_arguments.delta":
            joined[event.item_id] = joined.get(event.item_id, "") + event.delta
    done = [event for event in found if event.type == "response.function_call_arguments.done"]
    assert [joined[event.item_id] for event in done] == [event.arguments for event in done]
    assert [json.loads(text)["city"] for text in joined.values()] == ["Rome", "Paris"]
    assert [item.type for item in found[-1].response.output] == ["function_call"] * 2


class Fact(BaseModel):
    statement: str
    certainty: float


def test_parse_gives_an_object_of_the_asked_for_type(sdk: Door) -> None:
    found = sdk.run(lambda client: client.responses.parse(**ASK, text_format=Fact))
    assert isinstance(found.output_parsed, Fact)


def test_json_mode_gives_a_json_object(http: httpx2.Client) -> None:
    response = response_of(
        http, input="Answer in JSON: why?", text={"format": {"type": "json_object"}}
    )
    assert isinstance(json.loads(response.output_text), dict)


# --- in the background ------------------------------------------------------------------------


def test_a_background_response_goes_through_its_states(
    http: httpx2.Client, mock_openai: MockOpenAI
) -> None:
    mock_openai.pace(1.0, first=0.2, gap=0.001)
    response = response_of(http, background=True)
    assert (response.status, response.output) == ("queued", [])
    seen = ["queued"]
    while seen[-1] not in ("completed", "failed"):
        answer = http.get(f"/responses/{response.id}")
        status = strictly(Response, answer.content).status
        if status != seen[-1]:
            seen.append(status)
        time.sleep(0.005)  # polling is what this API is made for
    assert seen == ["queued", "in_progress", "completed"]
    assert answer.json()["output"][0]["content"][0]["text"] == BLUE


def test_a_background_response_can_be_cancelled(sdk: Door, mock_openai: MockOpenAI) -> None:
    mock_openai.pace(1.0, first=60)
    response = sdk.run(lambda client: client.responses.create(**ASK, background=True))
    assert sdk.run(lambda client: client.responses.cancel(response.id)).status == "cancelled"
    assert sdk.run(lambda client: client.responses.retrieve(response.id)).status == "cancelled"


def test_other_responses_cannot_be_cancelled(sdk: Door) -> None:
    response = sdk.run(lambda client: client.responses.create(**ASK))
    with pytest.raises(openai.BadRequestError, match="synchronous"):
        sdk.run(lambda client: client.responses.cancel(response.id))


def test_a_background_stream_ends_when_it_is_cancelled(
    client: OpenAI, mock_openai: MockOpenAI
) -> None:
    mock_openai.pace(1.0, first=0, gap=0.02)
    kinds = []
    for event in client.responses.create(**ASK, background=True, stream=True):
        kinds.append(event.type)
        if event.type == "response.created":
            made = event.response.id
        if kinds.count("response.output_text.delta") == 2:
            client.responses.cancel(made)
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert "response.completed" not in kinds
    again = client.responses.retrieve(made, stream=True)
    assert [event.type for event in again] == kinds[:2], "more was told later"


def test_a_reader_of_a_background_response_hears_that_it_is_cancelled(
    client: OpenAI, mock_openai: MockOpenAI
) -> None:
    mock_openai.pace(1.0, first=0, gap=0.02)
    made = client.responses.create(**ASK, background=True)
    kinds = []
    for event in client.responses.retrieve(made.id, stream=True):
        kinds.append(event.type)
        if kinds.count("response.output_text.delta") == 2:
            client.responses.cancel(made.id)
    assert "response.completed" not in kinds


def test_a_stream_that_outlives_a_reset_leaves_nothing_behind(
    http: httpx2.Client, mock_openai: MockOpenAI
) -> None:
    mock_openai.pace(1.0, first=0, gap=0.001)
    with http.stream("POST", "/responses", json={**ASK, "stream": True}) as answer:
        lines = answer.iter_lines()
        next(lines)
        created = json.loads(next(lines).removeprefix("data: "))
        mock_openai.reset()
        *_, last = (line for line in lines if line.startswith("data: "))
    assert json.loads(last.removeprefix("data: "))["type"] == "response.completed"
    assert http.get(f"/responses/{created['response']['id']}").status_code == 404
