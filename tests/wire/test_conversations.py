"""Conversations: tools answer calls that were made, choices are obeyed, what was sent is kept."""

import json
import time
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from openai import OpenAI
from openai.types.responses import Response, ResponseItem
from pydantic import TypeAdapter

from helpers.mock_server.protocol.pacing import MAX_TOKENS, Pace
from helpers.pytest_plugin import MockOpenAI
from tests.server.inside import Inside
from tests.wire.wire import ask, events, strictly

CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'},
}
USER = {"role": "user", "content": "What is the weather in Paris?"}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
ANSWERED = {"role": "tool", "tool_call_id": "call_1", "content": "18 degrees"}
CALLED_OTHER = {
    "role": "assistant",
    "tool_calls": [
        {"id": "call_2", "type": "function", "function": {"name": "send_email", "arguments": "{}"}}
    ],
}
ANSWERED_OTHER = {"role": "tool", "tool_call_id": "call_2", "content": "sent"}

FUNCTION = {"name": "get_weather", "description": "Get the weather in a city"}
OTHER = {"name": "send_email", "description": "Send an email"}
CHAT_TOOLS = [{"type": "function", "function": one} for one in (FUNCTION, OTHER)]
TOOLS = [{"type": "function", **one} for one in (FUNCTION, OTHER)]


def error_of(answer: httpx2.Response) -> dict[str, Any]:
    assert answer.status_code == 400, answer.text
    found: dict[str, Any] = answer.json()["error"]
    return found


# --- chat -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "messages",
    [
        [USER, CALLED, ANSWERED],
        [USER, CALLED, ANSWERED, {"role": "assistant", "content": "Mild."}, USER],
        [USER, {**CALLED, "content": "Let me see."}, ANSWERED, USER],
        [USER, {"role": "assistant", "content": "Yes?", "tool_calls": None}, USER],
        [USER, {"role": "assistant", "content": None, "refusal": "No."}, USER],
        [USER, {"role": "assistant", "function_call": CALL["function"]},
         {"role": "function", "name": "get_weather", "content": "18 degrees"}],
    ],
)  # fmt: skip
def test_a_conversation_with_calls_and_their_answers_goes_on(
    http: httpx2.Client, messages: list[Any]
) -> None:
    answer = http.post("/chat/completions", json=ask(messages=messages))
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("messages", "param", "words"),
    [
        ([USER, ANSWERED], "messages.[1].role", "must be a response to a preceeding message"),
        ([USER, CALLED, ANSWERED, USER, ANSWERED], "messages.[4].role", "preceeding message"),
        ([USER, CALLED, {**ANSWERED, "tool_call_id": "call_9"}], "messages.[2].tool_call_id",
         "'tool_call_id' of 'call_9' not found in 'tool_calls' of previous message"),
        ([USER, CALLED, USER], "messages.[2].role", "did not have response messages: call_1"),
        ([USER, CALLED], "messages.[1].role", "did not have response messages: call_1"),
        ([USER, {**CALLED, "tool_calls": [CALL, {**CALL, "id": "call_2"}]}, ANSWERED],
         "messages.[2].role", "did not have response messages: call_2"),
        ([USER, {**CALLED, "tool_calls": "zz"}], "messages[1].tool_calls", "an array"),
        ([USER, {**CALLED, "tool_calls": []}], "messages[1].tool_calls", "empty array"),
        ([USER, {**CALLED, "tool_calls": ["zz"]}], "messages[1].tool_calls[0]", "an object"),
        ([USER, {**CALLED, "tool_calls": [{}]}], "messages[1].tool_calls[0].id", "Missing"),
        ([USER, {"role": "assistant", "content": None}, USER], "messages[1].content", "got null"),
    ],
)  # fmt: skip
def test_a_conversation_that_cannot_have_been_is_refused(
    http: httpx2.Client, messages: list[Any], param: str, words: str
) -> None:
    error = error_of(http.post("/chat/completions", json=ask(messages=messages)))
    assert error["param"] == param
    assert words in error["message"]


# --- responses --------------------------------------------------------------------------------

ASKED = {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "18 degrees"}


def responded(http: httpx2.Client, *items: Any, **more: Any) -> httpx2.Response:
    return http.post("/responses", json={"model": "mock-chat", "input": list(items), **more})


def test_a_response_takes_the_answer_to_a_call_it_knows(http: httpx2.Client) -> None:
    assert "18 degrees" in responded(http, USER, ASKED, OUTPUT).text
    first = responded(http, USER, tools=TOOLS).json()
    output = {**OUTPUT, "call_id": first["output"][0]["call_id"]}
    assert responded(http, output, previous_response_id=first["id"]).status_code == 200
    reference = {"type": "item_reference", "id": first["output"][0]["id"]}
    assert responded(http, USER, reference, output).status_code == 200


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([USER, OUTPUT], "No tool call found for function call output with call_id call_1."),
        ([USER, ASKED], "No tool output found for function call call_1."),
    ],
)
def test_a_response_refuses_a_call_or_an_answer_alone(
    http: httpx2.Client, items: list[Any], words: str
) -> None:
    error = error_of(responded(http, *items))
    assert (error["param"], error["message"]) == ("input", words)


def test_calls_of_an_earlier_response_have_to_be_answered(http: httpx2.Client) -> None:
    first = responded(http, USER, tools=TOOLS).json()
    error = error_of(responded(http, USER, previous_response_id=first["id"]))
    assert first["output"][0]["call_id"] in error["message"]


# --- a choice of tools ------------------------------------------------------------------------


def called(answer: httpx2.Response) -> list[str]:
    """Return the names of the tools that an answer calls."""
    assert answer.status_code == 200, answer.text
    body = answer.json()
    if "output" in body:
        strictly(Response, answer.content)
        return [item["name"] for item in body["output"] if item["type"] == "function_call"]
    calls = body["choices"][0]["message"].get("tool_calls") or []
    return [call["function"]["name"] for call in calls]


def allowed(mode: str, *names: str) -> Any:
    return {
        "type": "allowed_tools",
        "mode": mode,
        "tools": [{"type": "function", "name": name} for name in names],
    }


def test_a_hosted_tool_that_is_named_calls_no_other(http: httpx2.Client) -> None:
    tools = [*TOOLS, {"type": "web_search_preview"}]
    choice = {"type": "web_search_preview"}
    assert called(responded(http, USER, tools=tools, tool_choice=choice)) == []


def test_a_function_that_is_named_is_called_by_a_response(http: httpx2.Client) -> None:
    choice = {"type": "function", "name": "send_email"}
    assert called(responded(http, USER, tools=TOOLS, tool_choice=choice)) == ["send_email"]


def test_a_response_makes_one_call_where_parallel_ones_are_refused(http: httpx2.Client) -> None:
    both = {"role": "user", "content": "What is the weather in Paris? Then send an email."}
    assert len(called(responded(http, both, tools=TOOLS))) == 2
    assert len(called(responded(http, both, tools=TOOLS, parallel_tool_calls=False))) == 1


@pytest.mark.parametrize(
    ("text", "choice", "names"),
    [
        ("Why is the sky blue?", allowed("auto", "get_weather"), []),
        ("What is the weather in Paris?", allowed("auto", "get_weather"), ["get_weather"]),
        ("What is the weather in Paris?", allowed("auto", "send_email"), []),
        ("What is the weather in Paris?", allowed("required", "send_email"), ["send_email"]),
    ],
)
def test_only_allowed_tools_are_called(
    http: httpx2.Client, text: str, choice: Any, names: list[str]
) -> None:
    said = {"role": "user", "content": text}
    assert called(responded(http, said, tools=TOOLS, tool_choice=choice)) == names
    functions = [
        {"type": "function", "function": {"name": tool["name"]}} for tool in choice["tools"]
    ]
    nested = {"mode": choice["mode"], "tools": functions}
    body = ask(text, tools=CHAT_TOOLS)
    body["tool_choice"] = {"type": "allowed_tools", "allowed_tools": nested}
    assert called(http.post("/chat/completions", json=body)) == names


NAMED = {"type": "function", "function": {"name": "get_weather"}}


@pytest.mark.parametrize(
    ("messages", "choice", "names"),
    [
        ([USER, CALLED, ANSWERED], "auto", []),
        ([USER, CALLED, ANSWERED], "required", ["send_email"]),
        ([USER, CALLED, ANSWERED, CALLED_OTHER, ANSWERED_OTHER], "required", []),
        ([USER, CALLED, ANSWERED, CALLED_OTHER, ANSWERED_OTHER, USER], "required", ["get_weather"]),
        ([USER, CALLED, ANSWERED], NAMED, ["get_weather"]),
    ],
)
def test_after_a_tool_has_answered_what_has_to_be_called_is_called(
    http: httpx2.Client, messages: list[Any], choice: Any, names: list[str]
) -> None:
    body = ask(messages=messages, tools=CHAT_TOOLS, tool_choice=choice)
    assert called(http.post("/chat/completions", json=body)) == names
    items = [item for message in messages for item in as_items(message)]
    choice = choice if isinstance(choice, str) else {"type": "function", **choice["function"]}
    assert called(responded(http, *items, tools=TOOLS, tool_choice=choice)) == names


def as_items(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a chat message as items of the Responses API."""
    if message["role"] == "tool":
        output = {"call_id": message["tool_call_id"], "output": message["content"]}
        return [{"type": "function_call_output", **output}]
    if "tool_calls" in message:
        return [
            {"type": "function_call", "call_id": call["id"], **call["function"]}
            for call in message["tool_calls"]
        ]
    return [message]


def test_a_response_that_goes_on_knows_what_those_before_have_called(http: httpx2.Client) -> None:
    names, last, said = [], None, [USER]
    for _ in range(3):
        more = {"previous_response_id": last} if last else {}
        answer = responded(http, *said, tools=TOOLS, tool_choice="required", **more)
        names.append(called(answer))
        last = answer.json()["id"]
        said = [
            {"type": "function_call_output", "call_id": item["call_id"], "output": "done"}
            for item in answer.json()["output"]
            if item["type"] == "function_call"
        ]
    assert names == [["get_weather"], ["send_email"], []]


@pytest.mark.parametrize(("choice", "finish"), [("required", "tool_calls"), (NAMED, "stop")])
def test_a_call_that_was_forced_by_its_name_ends_with_stop(
    http: httpx2.Client, choice: Any, finish: str
) -> None:
    body = ask("Hi", tools=CHAT_TOOLS, tool_choice=choice)
    whole = http.post("/chat/completions", json=body).json()
    assert whole["choices"][0]["finish_reason"] == finish
    streamed = events(http.post("/chat/completions", json={**body, "stream": True}).text)
    reasons = [json.loads(data)["choices"][0]["finish_reason"] for _, data in streamed[:-1]]
    assert list(filter(None, reasons)) == [finish]


@pytest.mark.parametrize(
    "choice",
    [allowed("auto", "no_such"), allowed("never", "get_weather"), {"type": "allowed_tools"}],
)
def test_allowed_tools_that_make_no_sense_are_refused(http: httpx2.Client, choice: Any) -> None:
    error = error_of(responded(http, USER, tools=TOOLS, tool_choice=choice))
    assert error["param"].startswith("tool_choice")


# --- a length that is asked for ---------------------------------------------------------------

SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer"}},
    "required": ["n"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("more", "pace"), [({"min_tokens": 40}, ""), ({}, "tokens=40"), ({"ignore_eos": True}, "")]
)
def test_json_is_made_longer_without_being_spoilt(
    http: httpx2.Client, more: dict[str, Any], pace: str
) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "number", "schema": SCHEMA}}
    limit = {"max_tokens": 40} if "ignore_eos" in more else {}
    body = ask(response_format=form, **more, **limit)
    headers = {"x-mock-pace": pace} if pace else {}
    answer = http.post("/chat/completions", json=body, headers=headers).json()
    assert answer["usage"]["completion_tokens"] == 40
    assert list(json.loads(answer["choices"][0]["message"]["content"])) == ["n"]


def test_an_answer_that_never_ends_has_as_many_tokens_as_any_may(http: httpx2.Client) -> None:
    usage = http.post("/chat/completions", json=ask(ignore_eos=True)).json()["usage"]
    assert usage["completion_tokens"] == MAX_TOKENS


# --- what a response keeps of what was sent ---------------------------------------------------

IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}


def test_all_items_of_the_input_are_listed_as_they_were_sent(
    client: OpenAI, http: httpx2.Client
) -> None:
    question = [{"type": "input_text", "text": "What is this?"}, IMAGE]
    thought = {"type": "reasoning", "id": "rs_1", "summary": []}
    earlier = {"role": "assistant", "content": "A picture."}
    sent: Any = [{"role": "user", "content": question}, earlier, thought, ASKED, OUTPUT]
    made = client.responses.create(model="mock-chat", input=sent)
    listed = client.responses.input_items.list(made.id, order="asc").data
    kinds = ["message", "message", "reasoning", "function_call", "function_call_output"]
    assert [item.type for item in listed] == kinds
    assert len({item.id for item in listed}) == 5
    user, assistant, reasoning, call, _ = (item.model_dump(exclude_none=True) for item in listed)
    assert user["content"] == [question[0], {**IMAGE, "detail": "auto"}]
    assert assistant["content"][0]["text"] == "A picture."
    assert reasoning["id"] == "rs_1"
    assert ASKED.items() <= call.items()
    for item in http.get(f"/responses/{made.id}/input_items").json()["data"]:
        TypeAdapter[Any](ResponseItem).validate_json(json.dumps(item), strict=True)


def test_twenty_items_are_listed_where_no_number_is_given(client: OpenAI) -> None:
    sent: Any = [{"role": "user", "content": str(number)} for number in range(25)]
    made = client.responses.create(model="mock-chat", input=sent)
    page = client.responses.input_items.list(made.id, order="asc")
    assert (len(page.data), page.has_more) == (20, True)
    assert len(list(page)) == 25


def test_the_order_of_a_list_is_one_of_two(client: OpenAI, http: httpx2.Client) -> None:
    made = client.responses.create(model="mock-chat", input="Hello")
    for path in (f"/responses/{made.id}/input_items", "/files"):
        assert error_of(http.get(path, params={"order": "zz"}))["param"] == "order"


def test_settings_that_change_nothing_are_repeated(http: httpx2.Client) -> None:
    settings = {
        "reasoning": {"effort": "high", "summary": "auto"},
        "service_tier": "flex",
        "truncation": "auto",
        "text": {"format": {"type": "text"}, "verbosity": "low"},
    }
    answer = responded(http, USER, **settings)
    strictly(Response, answer.content)
    body = answer.json()
    assert {name: body[name] for name in settings} == settings


def test_a_background_response_has_to_be_stored(http: httpx2.Client) -> None:
    error = error_of(responded(http, USER, background=True, store=False))
    assert error["param"] == "background"


def test_a_background_response_is_queued_at_first(client: OpenAI, mock_openai: MockOpenAI) -> None:
    mock_openai.pace(1.0, first=60)
    made = client.responses.create(model="mock-chat", input="Hello", background=True)
    assert client.responses.retrieve(made.id).status == "queued"


@pytest.mark.parametrize(
    ("pace", "passed"),
    [(Pace(first=5, gap=0), 4.9), (Pace(first=0.1, gap=1, tokens=11), 9.9)],
    ids=["before its first word", "before its last word"],
)
def test_a_background_response_that_is_read_later_is_no_later_for_it(
    pace: Pace, passed: float
) -> None:
    inside = Inside()
    inside.state.pace = pace
    body = {"model": "mock-chat", "input": "Hello", "background": True}
    _, made = inside.ask("POST", "/v1/responses", json.dumps(body).encode())
    kept = inside.state.responses.get(json.loads(made)["id"])
    inside.state.responses.put(kept.id, replace(kept, started=kept.started - passed), kept.size)
    began = time.monotonic()
    _, told = inside.ask("GET", f"/v1/responses/{kept.id}?stream=true")
    assert b"response.completed" in told
    assert time.monotonic() - began < 2.5, "what had been said meanwhile took its time again"
