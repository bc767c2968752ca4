"""Tools other than functions: custom ones, those OpenAI runs, and the `functions` of old."""

import json
import re
from typing import Any

import httpx2
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from helpers.pytest_plugin import MockOpenAI
from helpers.replies import tool_call
from tests.wire.wire import ask, events, strictly

RUN = {"name": "run_code", "description": "Run Python code"}
TIME = r"([01]\d|2[0-3]):[0-5]\d"
REGEX = {"type": "grammar", "syntax": "regex", "definition": TIME}
LARK = {**REGEX, "syntax": "lark", "definition": 'start: "a"'}


def chat_tool(form: Any = None) -> dict[str, Any]:
    tool = {**RUN, "format": form or {"type": "text"}}
    if form and form["type"] == "grammar":
        inner = {name: form[name] for name in ("syntax", "definition")}
        tool["format"] = {"type": "grammar", "grammar": inner}
    return {"type": "custom", "custom": tool}


def response_tool(form: Any = None) -> dict[str, Any]:
    return {"type": "custom", **RUN, **({"format": form} if form else {})}


def chat_body(form: Any = None, **more: Any) -> dict[str, Any]:
    return ask("Run code at noon", tools=[chat_tool(form)], **more)


def response_body(form: Any = None, **more: Any) -> dict[str, Any]:
    return {"model": "m", "input": "Run code at noon", "tools": [response_tool(form)], **more}


def chat_call(http: httpx2.Client, body: dict[str, Any]) -> tuple[str, str, str]:
    answer = http.post("/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    choice = strictly(ChatCompletion, answer.content).choices[0]
    (call,) = choice.message.tool_calls
    return call.custom.name, call.custom.input, choice.finish_reason


def response_call(http: httpx2.Client, body: dict[str, Any]) -> tuple[str, str]:
    answer = http.post("/responses", json=body)
    assert answer.status_code == 200, answer.text
    (item,) = strictly(Response, answer.content).output
    assert item.type == "custom_tool_call"
    return item.name, item.input


# --- custom tools -----------------------------------------------------------------------------


def test_a_custom_tool_is_called_with_a_text(http: httpx2.Client) -> None:
    expected = ("run_code", "Run code at noon")
    assert chat_call(http, chat_body()) == (*expected, "tool_calls")
    assert response_call(http, response_body()) == expected


def test_a_text_is_what_a_regular_expression_describes(http: httpx2.Client) -> None:
    for text in (
        chat_call(http, chat_body(REGEX))[1],
        response_call(http, response_body(REGEX))[1],
    ):
        assert re.fullmatch(TIME, text), text


@pytest.mark.parametrize(
    ("form", "words"),
    [
        (LARK, "no text from a Lark grammar"),
        ({**REGEX, "definition": "("}, "is none"),
        ({**REGEX, "definition": r"a(?=b)c"}, "No text for the pattern"),
    ],
)
def test_a_grammar_that_nothing_is_found_for_is_refused(
    http: httpx2.Client, form: Any, words: str
) -> None:
    for path, body in (("/chat/completions", chat_body(form)), ("/responses", response_body(form))):
        answer = http.post(path, json=body)
        assert answer.status_code == 400
        assert words in answer.json()["error"]["message"]
        assert answer.json()["error"]["code"] == "invalid_grammar"


def test_a_call_of_a_custom_tool_is_streamed_in_pieces(http: httpx2.Client) -> None:
    found = events(http.post("/chat/completions", json=chat_body(stream=True)).text)
    deltas = [json.loads(data)["choices"][0]["delta"] for _, data in found[:-1]]
    first, *rest = [delta["tool_calls"][0] for delta in deltas if delta.get("tool_calls")]
    assert (first["type"], first["custom"]) == ("custom", {"name": "run_code", "input": ""})
    assert "".join(part["custom"]["input"] for part in rest) == "Run code at noon"

    streamed = events(http.post("/responses", json=response_body(stream=True)).text)
    for _, data in streamed:
        TypeAdapter(ResponseStreamEvent).validate_json(data, strict=True)
    told = [json.loads(data) for _, data in streamed]
    pieces = [one["delta"] for one in told if one["type"].endswith("tool_call_input.delta")]
    assert "".join(pieces) == "Run code at noon"
    (done,) = [one for one in told if one["type"] == "response.custom_tool_call_input.done"]
    assert done["input"] == "Run code at noon"


@pytest.mark.parametrize("stream", [False, True])
def test_a_custom_tool_that_is_named_is_called(http: httpx2.Client, stream: bool) -> None:
    chat = {"tool_choice": {"type": "custom", "custom": {"name": "run_code"}}}
    body = {**ask("Why is the sky blue?", tools=[chat_tool()]), **chat}
    assert chat_call(http, body)[2] == "stop"
    named = {"tool_choice": {"type": "custom", "name": "run_code"}}
    body = {"model": "m", "input": "Why is the sky blue?", "tools": [response_tool()], **named}
    assert response_call(http, body)[0] == "run_code"


def test_what_a_custom_tool_answered_goes_into_the_reply(http: httpx2.Client) -> None:
    first = http.post("/responses", json=response_body()).json()
    call = first["output"][0]
    output = {"type": "custom_tool_call_output", "call_id": call["call_id"], "output": "42 lines"}
    for more in ({"input": [output], "previous_response_id": first["id"]},
                 {"input": [{"role": "user", "content": "Run"}, call, output]}):  # fmt: skip
        answer = http.post("/responses", json={"model": "m", **more})
        assert "42 lines" in answer.text, answer.text
    alone = http.post("/responses", json={"model": "m", "input": [call]})
    assert "No tool output found" in alone.json()["error"]["message"]
    message = http.post("/chat/completions", json=chat_body()).json()["choices"][0]["message"]
    answered = {
        "role": "tool",
        "tool_call_id": message["tool_calls"][0]["id"],
        "content": "42 lines",
    }
    history = [{"role": "user", "content": "Run code"}, message, answered]
    answer = http.post("/chat/completions", json=ask(messages=history, tools=[chat_tool()]))
    assert "42 lines" in answer.json()["choices"][0]["message"]["content"]


def test_a_script_calls_a_custom_tool_with_its_text(
    http: httpx2.Client, mock_openai: MockOpenAI
) -> None:
    mock_openai.reply(tool_call("run_code", "09:30"), times=2)
    assert chat_call(http, chat_body(REGEX))[1] == "09:30"
    assert response_call(http, response_body(REGEX))[1] == "09:30"
    for wrong, words in (
        (tool_call("run_code", "99:99"), "not what its grammar describes"),
        (tool_call("run_code", code="1"), "takes a text"),
    ):
        mock_openai.reply(wrong)
        answer = http.post("/responses", json=response_body(REGEX))
        assert words in answer.json()["error"]["message"]
    mock_openai.reply(tool_call("run_code", "a"))
    assert response_call(http, response_body(LARK))[1] == "a"


@pytest.mark.parametrize(
    ("form", "param", "code"),
    [
        ({"type": "xml"}, "format.type", "invalid_value"),
        ({**REGEX, "syntax": "bnf"}, "syntax", "invalid_value"),
        ({"type": "grammar", "syntax": "regex"}, "definition", "missing_required_parameter"),
    ],
)
def test_a_format_that_makes_no_sense_is_refused(
    http: httpx2.Client, form: Any, param: str, code: str
) -> None:
    answer = http.post("/responses", json=response_body(form))
    error = answer.json()["error"]
    assert (error["code"], error["param"].endswith(param)) == (code, True)


# --- tools that OpenAI runs -------------------------------------------------------------------

HOSTED = [
    "file_search", "web_search", "web_search_2025_08_26", "web_search_preview",
    "web_search_preview_2025_03_11", "code_interpreter", "image_generation", "mcp", "computer",
    "computer_use_preview", "local_shell", "shell", "apply_patch", "tool_search",
    "programmatic_tool_calling", "namespace", "computer_use_preview_2031_01_01",
]  # fmt: skip


@pytest.mark.parametrize("kind", HOSTED)
def test_a_tool_that_openai_runs_is_taken_and_never_called(http: httpx2.Client, kind: str) -> None:
    text = f"Please use {kind}"
    for choice in ("auto", "none", "required", None):
        body = {"model": "m", "input": text, "tools": [{"type": kind}], "tool_choice": choice}
        answer = http.post("/responses", json=body)
        assert answer.status_code == 200, answer.text
        assert [item["type"] for item in answer.json()["output"]] == ["message"]


def test_a_tool_that_is_none_is_refused(http: httpx2.Client) -> None:
    for kind in ("telepathy", "web_search_2025", 5):
        body = {"model": "m", "input": "x", "tools": [{"type": kind}]}
        error = http.post("/responses", json=body).json()["error"]
        assert (error["code"], error["param"]) == ("invalid_value", "tools[0].type")


def test_a_choice_without_any_tools_is_refused(http: httpx2.Client) -> None:
    body = {"model": "m", "input": "x", "tool_choice": "required", "tools": []}
    assert http.post("/responses", json=body).status_code == 400


# --- functions, which came before tools -------------------------------------------------------

WEATHER = {
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
FORCED = {"name": "get_weather"}


@pytest.mark.parametrize(
    ("choice", "finish"), [(None, "function_call"), ("auto", "function_call"), (FORCED, "stop")]
)
def test_a_function_is_called_as_it_was_before_tools(
    http: httpx2.Client, choice: Any, finish: str
) -> None:
    body = ask("The weather in Paris and Rome", functions=[WEATHER], function_call=choice)
    found = strictly(ChatCompletion, http.post("/chat/completions", json=body).content).choices[0]
    assert found.finish_reason == finish
    assert found.message.content is None
    assert found.message.tool_calls is None
    assert found.message.function_call.name == "get_weather"
    assert json.loads(found.message.function_call.arguments) == {"city": "Paris"}

    streamed = events(http.post("/chat/completions", json={**body, "stream": True}).text)[:-1]
    chunks = [strictly(ChatCompletionChunk, data).choices[0] for _, data in streamed]
    calls = [chunk.delta.function_call for chunk in chunks if chunk.delta.function_call]
    assert [call.name for call in calls] == ["get_weather", *[None] * (len(calls) - 1)]
    assert json.loads("".join(call.arguments for call in calls)) == {"city": "Paris"}
    assert chunks[-1].finish_reason == finish


def test_a_function_is_not_called_where_none_is_wanted(http: httpx2.Client) -> None:
    body = ask("The weather in Paris", functions=[WEATHER], function_call="none")
    choice = http.post("/chat/completions", json=body).json()["choices"][0]
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["content"]


def test_what_a_function_answered_goes_into_the_reply(client: OpenAI) -> None:
    asked: Any = ask("The weather in Paris", functions=[WEATHER])
    call = client.chat.completions.create(**asked).choices[0].message
    answered = {"role": "function", "name": "get_weather", "content": "18 degrees"}
    history = [*asked["messages"], call.model_dump(exclude_none=True), answered]
    said = client.chat.completions.create(**{**asked, "messages": history}).choices[0].message
    assert "18 degrees" in (said.content or "")


def test_a_script_calls_one_function(http: httpx2.Client, mock_openai: MockOpenAI) -> None:
    body = ask("Anything", functions=[WEATHER])
    mock_openai.reply(tool_call("get_weather", city="Oslo"))
    mock_openai.reply(tool_call("get_weather", city="Oslo"), tool_call("get_weather", city="Bonn"))
    choice = http.post("/chat/completions", json=body).json()["choices"][0]
    assert json.loads(choice["message"]["function_call"]["arguments"]) == {"city": "Oslo"}
    refused = http.post("/chat/completions", json=body)
    assert "allows for one" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("more", "param", "words"),
    [
        ({"function_call": "auto"}, "function_call", "only allowed when 'functions'"),
        ({"functions": [WEATHER], "function_call": {"name": "f"}}, "function_call", "named 'f'"),
        ({"functions": [WEATHER], "function_call": "any"}, "function_call", "Supported values"),
        ({"functions": [WEATHER], "function_call": 5}, "function_call", "a string or an object"),
        ({"functions": [WEATHER], "function_call": {}}, "function_call.name", "Missing required"),
        ({"functions": []}, "functions", "empty array"),
        ({"functions": "f"}, "functions", "an array"),
        ({"functions": [{}]}, "functions[0].name", "Missing required"),
        ({"functions": [WEATHER], "tools": []}, "functions", "not allowed beside 'tools'"),
    ],
)
def test_functions_that_make_no_sense_are_refused(
    http: httpx2.Client, more: dict[str, Any], param: str, words: str
) -> None:
    answer = http.post("/chat/completions", json=ask(**more))
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert words in answer.json()["error"]["message"]


# --- odd answers, stored ones -----------------------------------------------------------------


def test_calls_of_every_kind_are_stored_as_they_were_streamed(
    http: httpx2.Client, mock_openai: MockOpenAI
) -> None:
    mock_openai.reply(tool_call("run_code", "1 + 1"))
    mock_openai.reply(tool_call("get_weather", city="Oslo"))
    kept = {"store": True, "stream": True}
    for body in (chat_body(**kept), ask("Anything", functions=[WEATHER], **kept)):
        assert http.post("/chat/completions", json=body).status_code == 200
    old, new = http.get("/chat/completions?order=asc").json()["data"]
    assert old["choices"][0]["message"]["tool_calls"][0]["custom"]["input"] == "1 + 1"
    called = new["choices"][0]["message"]["function_call"]
    assert (called["name"], json.loads(called["arguments"])) == ("get_weather", {"city": "Oslo"})


def test_a_fault_of_calls_bears_a_custom_one(http: httpx2.Client, mock_openai: MockOpenAI) -> None:
    mock_openai.fail("bare-calls")
    found = events(http.post("/chat/completions", json=chat_body(stream=True)).text)
    assert found[-1] == (None, "[DONE]")
