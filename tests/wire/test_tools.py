"""Tool calls: when a tool is called, with what, and how the call travels."""

import json
from typing import Any

import httpx2
import jsonschema
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.wire.conftest import Door
from tests.wire.wire import ask, events, strictly

WEATHER = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 7},
    },
    "required": ["city", "unit", "days"],
    "additionalProperties": False,
}


def tool(name: str, description: str = "", parameters: Any = None) -> dict[str, Any]:
    function = {"name": name, "description": description}
    if parameters is not None:
        function["parameters"] = parameters
    return {"type": "function", "function": function}


TOOLS = [
    tool("get_weather", "Get the weather forecast for a city", WEATHER),
    tool("send_email", "Send an email", {"type": "object", "properties": {}}),
]


def calls_of(http: httpx2.Client, text: str, **more: Any) -> list[Any]:
    request = ask(text, tools=TOOLS, **more)
    completion = strictly(ChatCompletion, http.post("/chat/completions", json=request).content)
    choice = completion.choices[0]
    calls = choice.message.tool_calls or []
    named = isinstance(more.get("tool_choice"), dict)
    assert choice.finish_reason == ("tool_calls" if calls and not named else "stop")
    assert (choice.message.content is None) == bool(calls)
    return calls


def test_a_tool_is_called_when_the_prompt_asks_for_what_it_does(http: httpx2.Client) -> None:
    (call,) = calls_of(http, "What is the weather in Paris for 3 days, in fahrenheit?")
    assert call.function.name == "get_weather"
    arguments = json.loads(call.function.arguments)
    jsonschema.validate(arguments, WEATHER)
    assert arguments == {"city": "Paris", "unit": "fahrenheit", "days": 3}


def test_no_tool_is_called_when_the_prompt_speaks_of_something_else(http: httpx2.Client) -> None:
    assert calls_of(http, "Why is the sky blue?") == []


def test_no_tool_is_called_when_that_is_asked_for(http: httpx2.Client) -> None:
    assert calls_of(http, "What is the weather in Paris?", tool_choice="none") == []


def test_required_calls_one_in_any_case(http: httpx2.Client) -> None:
    assert len(calls_of(http, "Why is the sky blue?", tool_choice="required")) == 1


def test_a_named_tool_is_called_whatever_the_prompt(http: httpx2.Client) -> None:
    choice = {"type": "function", "function": {"name": "send_email"}}
    (call,) = calls_of(http, "What is the weather in Paris?", tool_choice=choice)
    assert call.function.name == "send_email"
    assert json.loads(call.function.arguments) == {}


def test_several_names_give_several_calls(http: httpx2.Client) -> None:
    calls = calls_of(http, "What is the weather in Paris, Rome and New York?")
    cities = [json.loads(call.function.arguments)["city"] for call in calls]
    assert cities == ["Paris", "Rome", "New York"]
    assert len({call.id for call in calls}) == 3


def test_calls_are_not_parallel_when_that_is_refused(http: httpx2.Client) -> None:
    calls = calls_of(http, "What is the weather in Paris and Rome?", parallel_tool_calls=False)
    assert len(calls) == 1


def test_a_call_is_streamed_in_pieces(http: httpx2.Client) -> None:
    request = ask("What is the weather in Paris and Rome?", tools=TOOLS, stream=True)
    found = [data for _, data in events(http.post("/chat/completions", json=request).text)]
    assert found.pop() == "[DONE]"
    chunks = [strictly(ChatCompletionChunk, data).choices[0] for data in found]
    assert chunks[0].delta.role == "assistant"
    assert chunks[0].delta.content is None
    assert chunks[-1].finish_reason == "tool_calls"
    joined: dict[int, str] = {}
    for chunk in chunks[1:-1]:
        (piece,) = chunk.delta.tool_calls
        first = piece.index not in joined
        assert (piece.id is not None) == first
        assert (piece.type == "function") == first
        assert (piece.function.name == "get_weather") == first
        joined[piece.index] = joined.get(piece.index, "") + piece.function.arguments
    assert [json.loads(text)["city"] for text in joined.values()] == ["Paris", "Rome"]


def test_the_sdk_puts_streamed_calls_together(sdk: Door) -> None:
    chunks = sdk.run(
        lambda client: client.chat.completions.create(
            **ask("What is the weather in Paris?", tools=TOOLS), stream=True
        )
    )
    pieces = [chunk.choices[0].delta.tool_calls[0] for chunk in chunks[1:-1]]
    text = "".join(piece.function.arguments for piece in pieces)
    jsonschema.validate(json.loads(text), WEATHER)


def test_the_answer_after_a_call_speaks_of_what_the_tool_said(http: httpx2.Client) -> None:
    (call,) = calls_of(http, "What is the weather in Paris?")
    request = ask("What is the weather in Paris?", tools=TOOLS)
    request["messages"] += [
        {"role": "assistant", "tool_calls": [call.model_dump()]},
        {"role": "tool", "tool_call_id": call.id, "content": "18 degrees, light rain"},
    ]
    body = http.post("/chat/completions", json=request).json()
    assert "18 degrees, light rain" in body["choices"][0]["message"]["content"]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"n": {"type": "integer", "exclusiveMinimum": 41}}},
        {"type": "object", "properties": {"x": {"type": "number", "multipleOf": 2.5}}},
        {"type": "object", "required": ["d"], "properties": {"d": {"format": "date"}}},
        {"type": "object", "properties": {"code": {"type": "string", "pattern": "^[A-Z]{3}$"}}},
        {"type": "object", "properties": {"tags": {"type": "array", "minItems": 3,
         "uniqueItems": True, "items": {"enum": ["a", "b", "c", "d"]}}}},
        {"type": "object", "$defs": {"node": {"type": "object", "required": ["next"], "properties":
         {"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}}},
         "properties": {"head": {"$ref": "#/$defs/node"}}},
        {"type": "object", "properties": {"a": {"allOf": [{"type": "string"}, {"minLength": 40}]}}},
        {"type": "object", "properties": {"who": {"type": ["string", "null"], "maxLength": 2}}},
    ],
)  # fmt: skip
def test_arguments_are_valid_for_the_schema(http: httpx2.Client, schema: Any) -> None:
    request = ask("Anything", tools=[tool("do", "", schema)], tool_choice="required")
    answer = http.post("/chat/completions", json=request)
    call = strictly(ChatCompletion, answer.content).choices[0].message.tool_calls[0]
    arguments = json.loads(call.function.arguments)
    jsonschema.validate(arguments, schema)
    assert set(arguments) == set(schema["properties"])


def test_a_schema_that_nothing_fits_is_refused(http: httpx2.Client) -> None:
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#/properties/a"}}}
    request = ask("Anything", tools=[tool("do", "", schema)], tool_choice="required")
    answer = http.post("/chat/completions", json=request)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_function_parameters"
