"""Scripted replies: one script, said alike through every API, whole and streamed."""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from openai import BadRequestError, OpenAI, RateLimitError
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from helpers.pytest_plugin import MockOpenAI
from helpers.replies import error, raw, reasoning, refusal, reply, text, tool_call, usage
from tests.wire.wire import ask, events, strictly

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
CHAT_TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}]
TOOLS = [{"type": "function", "name": "get_weather", "parameters": WEATHER}]


# Each returns what an answer said, as one dict, however it travelled.


def chat_whole(http: httpx2.Client, prompt: str, **more: Any) -> dict[str, Any]:
    answer = http.post("/chat/completions", json=ask(prompt, tools=CHAT_TOOLS, **more))
    found = strictly(ChatCompletion, answer.content, beside=REASONED_IN)
    choice = answer.json()["choices"][0]
    message = choice["message"]
    calls = [call["function"] for call in message.get("tool_calls", [])]
    return said(
        message["content"], message["refusal"], message.get("reasoning_content"), calls,
        choice["finish_reason"], found.usage.prompt_tokens, found.usage.completion_tokens,
    )  # fmt: skip


REASONED_IN = frozenset({"choices.message.reasoning_content", "choices.delta.reasoning_content"})


def chat_streamed(http: httpx2.Client, prompt: str, **more: Any) -> dict[str, Any]:
    body = ask(prompt, tools=CHAT_TOOLS, stream=True, stream_options={"include_usage": True})
    found = events(http.post("/chat/completions", json={**body, **more}).text)
    assert found.pop() == (None, "[DONE]")
    joined: dict[str, Any] = {}
    calls: list[dict[str, str]] = []
    finish, cost = None, {}
    for _, data in found:
        strictly(ChatCompletionChunk, data, beside=REASONED_IN)
        chunk = json.loads(data)
        cost = chunk.get("usage") or cost
        for choice in chunk["choices"]:
            finish = choice["finish_reason"] or finish
            for name in ("content", "refusal", "reasoning_content"):
                if choice["delta"].get(name):
                    joined[name] = joined.get(name, "") + choice["delta"][name]
            for call in choice["delta"].get("tool_calls", []):
                if call.get("id"):
                    calls.append({"name": call["function"]["name"], "arguments": ""})
                calls[call["index"]]["arguments"] += call["function"]["arguments"]
    return said(
        joined.get("content"), joined.get("refusal"), joined.get("reasoning_content"), calls,
        finish, cost["prompt_tokens"], cost["completion_tokens"],
    )  # fmt: skip


def response_whole(http: httpx2.Client, prompt: str, **more: Any) -> dict[str, Any]:
    answer = http.post("/responses", json={"model": "m", "input": prompt, "tools": TOOLS, **more})
    return of_response(answer.content)


def of_response(content: Any) -> dict[str, Any]:
    response = strictly(Response, content)
    parts = [part for item in response.output if item.type == "message" for part in item.content]
    calls = [item for item in response.output if item.type == "function_call"]
    thoughts = [item.summary[0].text for item in response.output if item.type == "reasoning"]
    finish = "tool_calls" if calls else "stop"
    if response.incomplete_details:
        finish = {"max_output_tokens": "length"}.get(
            response.incomplete_details.reason, response.incomplete_details.reason
        )
    return said(
        "".join(part.text for part in parts if part.type == "output_text") or None,
        "".join(part.refusal for part in parts if part.type == "refusal") or None,
        "".join(thoughts) or None,
        [{"name": call.name, "arguments": call.arguments} for call in calls],
        finish, response.usage.input_tokens, response.usage.output_tokens,
    )  # fmt: skip


def response_streamed(http: httpx2.Client, prompt: str, **more: Any) -> dict[str, Any]:
    body = {"model": "m", "input": prompt, "tools": TOOLS, "stream": True, **more}
    found = [json.loads(data) for _, data in events(http.post("/responses", json=body).text)]
    for at, event in enumerate(found):
        TypeAdapter(ResponseStreamEvent).validate_json(json.dumps(event), strict=True)
        assert event["sequence_number"] == at
    whole = of_response(json.dumps(found[-1]["response"]))
    for kind, name in (
        ("output_text", "content"), ("refusal", "refusal"), ("reasoning_summary_text", "reasoning"),
    ):  # fmt: skip
        deltas = [event["delta"] for event in found if event["type"] == f"response.{kind}.delta"]
        assert ("".join(deltas) or None) == whole[name]
    return whole


def said(
    content: str | None, refused: str | None, thought: str | None, calls: list[Any],
    finish: str | None, prompted: int, written: int,
) -> dict[str, Any]:  # fmt: skip
    return {
        "content": content, "refusal": refused, "reasoning": thought,
        "calls": [(call["name"], json.loads(call["arguments"])) for call in calls],
        "finish": finish, "usage": (prompted, written),
    }  # fmt: skip


WAYS = [chat_whole, chat_streamed, response_whole, response_streamed]
Way = Callable[..., dict[str, Any]]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("Paris",), {"content": "Paris", "calls": [], "finish": "stop"}),
        ((text("Pa", "ris"), usage(prompt_tokens=7, completion_tokens=3)),
         {"content": "Paris", "usage": (7, 3)}),
        ((tool_call("get_weather", city="Paris"), tool_call("get_weather", {"city": "Rome"})),
         {"content": None, "finish": "tool_calls",
          "calls": [("get_weather", {"city": "Paris"}), ("get_weather", {"city": "Rome"})]}),
        (("Let me see.", tool_call("get_weather", city="Paris")),
         {"content": "Let me see.", "calls": [("get_weather", {"city": "Paris"})]}),
        ((refusal("I cannot."),), {"refusal": "I cannot.", "content": None, "finish": "stop"}),
        ((reasoning("The Seine."), "Paris"), {"reasoning": "The Seine.", "content": "Paris"}),
        ((reasoning("Ask."), "So:", tool_call("get_weather", city="Oslo")),
         {"reasoning": "Ask.", "content": "So:", "calls": [("get_weather", {"city": "Oslo"})]}),
    ],
)  # fmt: skip
def test_a_script_is_said_alike_through_every_api(
    http: httpx2.Client, mock_openai: MockOpenAI, way: Way, given: Any, expected: dict[str, Any]
) -> None:
    mock_openai.reply(*given)
    found = way(http, "Anything")
    assert {name: found[name] for name in expected} == expected
    assert mock_openai.requests()[0].reply is not None


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_a_finish_reason_is_as_the_script_says(
    http: httpx2.Client, mock_openai: MockOpenAI, way: Way, finish: Any
) -> None:
    mock_openai.reply("Par", finish=finish)
    assert way(http, "Anything")["finish"] == finish


@pytest.mark.parametrize("stream", [False, True])
def test_a_legacy_completion_says_the_text(
    http: httpx2.Client, mock_openai: MockOpenAI, stream: bool
) -> None:
    mock_openai.reply("Paris")
    body = {"model": "m", "prompt": "Capital?", "stream": stream}
    answer = http.post("/completions", json=body)
    parts = [data for _, data in events(answer.text)][:-1] if stream else [answer.text]
    assert "".join(json.loads(part)["choices"][0]["text"] for part in parts) == "Paris"


@pytest.mark.parametrize("way", [chat_whole, response_whole])
def test_a_scripted_text_is_cut_where_the_request_says(
    http: httpx2.Client, mock_openai: MockOpenAI, way: Way
) -> None:
    mock_openai.reply(" ".join(["word"] * 40))
    name = "max_tokens" if way is chat_whole else "max_output_tokens"
    found = way(http, "Anything", **{name: 16})
    assert found["finish"] == "length"
    assert found["content"].split() == ["word"] * 16


@pytest.mark.parametrize("stream", [False, True])
def test_an_error_has_its_code_and_the_next_reply_answers_the_retry(
    client: OpenAI, mock_openai: MockOpenAI, stream: bool
) -> None:
    mock_openai.reply(error(429, "Slow down.", code="slow_down", headers={"retry-after": "1"}))
    mock_openai.reply("Paris")
    with pytest.raises(RateLimitError, match="Slow down") as raised:
        client.chat.completions.create(**ask(), stream=stream)
    assert raised.value.code == "slow_down"
    assert raised.value.response.headers["retry-after"] == "1"
    answer = client.chat.completions.create(**ask())
    assert answer.choices[0].message.content == "Paris"


def test_raw_json_is_sent_as_it_is(http: httpx2.Client, mock_openai: MockOpenAI) -> None:
    mock_openai.reply(raw({"odd": None}, 201))
    mock_openai.reply(raw([{"a": 1}, {"b": 2}]))
    mock_openai.reply(raw([{"type": "error", "message": "no"}]))
    answer = http.post("/chat/completions", json=ask())
    assert (answer.status_code, answer.json()) == (201, {"odd": None})
    streamed = http.post("/chat/completions", json=ask(stream=True))
    assert events(streamed.text) == [(None, '{"a":1}'), (None, '{"b":2}'), (None, "[DONE]")]
    body = {"model": "m", "input": "x", "stream": True}
    named = events(http.post("/responses", json=body).text)
    assert named == [("error", '{"type":"error","message":"no"}')]


# --- which reply is whose ---------------------------------------------------------------------

CALL = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
AFTER_TOOL = [
    {"role": "user", "content": "What is the weather?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "18 degrees"},
]
SAME_AS_ITEMS = [
    {"role": "user", "content": "What is the weather?"},
    {"type": "function_call", "call_id": "c1", "name": "get_weather", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c1", "output": "18 degrees"},
]


def content(http: httpx2.Client, **more: Any) -> str:
    answer = http.post("/chat/completions", json=ask(**more))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["message"]["content"])


def test_replies_come_in_their_order_then_the_built_in_ones(
    http: httpx2.Client, mock_openai: MockOpenAI
) -> None:
    own = content(http)
    mock_openai.reply("one", times=2)
    mock_openai.reply("two")
    assert [content(http) for _ in range(4)] == ["one", "one", "two", own]


@pytest.mark.parametrize(
    "when",
    [
        "18 DEG", "/^18/", {"turn": 2}, {"tool_result": "degrees"}, {"tool_result": True},
        {"model": "mock-chat", "turn": 2}, {"client": "ada"}, {"message": "/DEGREES$/i"},
        {"exactly": "18 degrees"},
    ],
)  # fmt: skip
def test_a_reply_waits_for_the_request_that_it_fits(
    http: httpx2.Client, mock_openai: MockOpenAI, when: Any
) -> None:
    mock_openai.reply("found", when=when)
    assert content(http) != "found"
    http.headers["x-mock-client"] = "ada"
    assert content(http, messages=AFTER_TOOL) == "found"
    assert content(http, messages=AFTER_TOOL) != "found"
    mock_openai.reply("found", when={**when} if isinstance(when, dict) else when)
    body = {"model": "mock-chat", "input": SAME_AS_ITEMS}
    assert of_response(http.post("/responses", json=body).content)["content"] == "found"


def test_turns_are_counted_through_responses_that_go_on(
    client: OpenAI, mock_openai: MockOpenAI
) -> None:
    mock_openai.reply("third", when={"turn": 3})
    last, texts = None, []
    for _ in range(3):
        answer = client.responses.create(model="m", input="Go on", previous_response_id=last)
        last = answer.id
        texts.append(answer.output_text)
    assert texts.index("third") == 2


def test_a_request_that_no_reply_fits_says_so_in_the_journal(
    http: httpx2.Client, mock_openai: MockOpenAI
) -> None:
    content(http)
    mock_openai.reply("Paris", when="capital", optional=True)
    content(http, text="Why is the sky blue?")
    first, second = mock_openai.requests()
    assert (first.reply, first.note) == (None, None)
    assert second.reply is None
    assert (second.note or "").startswith("No scripted reply that waits fits /v1/chat/completions,")
    assert "“Why is the sky blue?”: not reply" in (second.note or "")
    assert (second.note or "").endswith("by its 'message'.")
    assert "sky blue" in mock_openai.replies_report()


def test_a_strict_server_refuses_what_no_reply_fits(
    client: OpenAI, mock_openai: MockOpenAI
) -> None:
    mock_openai.strict()
    with pytest.raises(BadRequestError, match="none was given") as raised:
        client.responses.create(model="m", input="Hello")
    assert raised.value.code == "no_scripted_reply"
    mock_openai.strict(False)
    assert client.responses.create(model="m", input="Hello").output_text


def test_reset_forgets_replies(http: httpx2.Client, mock_openai: MockOpenAI) -> None:
    mock_openai.reply("Paris")
    mock_openai.strict()
    mock_openai.reset()
    assert not mock_openai.http.get("/mock/replies").json()["strict"]
    assert content(http) != "Paris"
    mock_openai.reply("Paris")
    mock_openai.http.delete("/mock/replies")
    assert content(http) != "Paris"


# --- what makes no sense ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "word"),
    [
        ({"txet": "Paris"}, "no 'txet'; it has"),
        ({"text": "Paris", "when": {"mesage": "x"}}, "no 'mesage'; it has message"),
        ({"text": "x", "tool_calls": [{"nam": "f"}]}, "tool_calls.0"),
        ({"text": 5}, "'text'"),
        ({"error": {"status": 200}}, "error.status"),
        ({"text": "x", "when": "/(/"}, "no regular expression"),
        ({"text": "x", "times": 0}, "times"),
        ({"text": "x", "gaps": -1}, "gaps"),
        ({"text": "x", "error": {"status": 500}}, "stand alone"),
        ({"text": "x", "refusal": "y"}, "in the place of"),
        ({}, "says nothing"),
    ],
)
def test_a_reply_that_makes_no_sense_is_told_when_it_is_given(
    mock_openai: MockOpenAI, value: Any, word: str
) -> None:
    answer = mock_openai.http.post("/mock/replies", json=value)
    assert answer.status_code == 400
    assert word in answer.json()["error"]["message"]
    assert mock_openai.http.get("/mock/replies").json()["waiting"] == []


def test_a_part_that_makes_no_sense_is_told_in_python() -> None:
    with pytest.raises(ValueError, match="two parts for 'text'"):
        reply("one", "two")
    with pytest.raises(TypeError, match="not in both ways"):
        tool_call("f", "{}", x=1)


@pytest.mark.parametrize("way", ["/chat/completions", "/responses"])
@pytest.mark.parametrize(
    ("call", "word"),
    [
        (tool_call("get_wether", city="Paris"), "offers get_weather"),
        (tool_call("get_weather", town="Paris"), "not valid for the schema"),
        (tool_call("get_weather", '{"city": '), "no JSON"),
    ],
)
def test_a_call_that_the_request_does_not_allow_is_refused_unless_it_is_meant(
    http: httpx2.Client, mock_openai: MockOpenAI, way: str, call: Any, word: str
) -> None:
    body = {**ask(tools=CHAT_TOOLS)}
    if way == "/responses":
        body = {"model": "m", "input": "x", "tools": TOOLS}
    mock_openai.reply(call)
    mock_openai.reply(call, check=False)
    refused = http.post(way, json=body)
    assert refused.status_code == 400
    assert word in refused.json()["error"]["message"]
    assert word in (mock_openai.requests()[0].note or "")
    assert http.post(way, json=body).status_code == 200


def test_a_text_has_to_fit_the_format_that_is_asked_for(
    http: httpx2.Client, mock_openai: MockOpenAI
) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "city", "schema": WEATHER}}
    for given in ("Paris", '{"town": "Paris"}', '{"city": "Paris"}'):
        mock_openai.reply(given)
    asked = [http.post("/chat/completions", json=ask(response_format=form)) for _ in range(3)]
    assert [answer.status_code for answer in asked] == [400, 400, 200]


# --- an agent -------------------------------------------------------------------------------


def run_chat(client: OpenAI, prompt: str) -> tuple[str, list[str]]:
    """Run a tool until the model answers; return the answer, and what the tool was asked for."""
    messages: list[Any] = [{"role": "user", "content": prompt}]
    asked: list[str] = []
    while True:
        answer = client.chat.completions.create(
            model="mock-chat", messages=messages, tools=CHAT_TOOLS
        )
        message = answer.choices[0].message
        if not message.tool_calls:
            return str(message.content), asked
        messages.append(message.model_dump(exclude_none=True))
        for call in message.tool_calls:
            asked.append(json.loads(call.function.arguments)["city"])
            result = {"role": "tool", "tool_call_id": call.id, "content": f"{len(asked)} degrees"}
            messages.append(result)


def run_responses(client: OpenAI, prompt: str) -> tuple[str, list[str]]:
    """Do the same through the Responses API, each response going on from the one before."""
    items: list[Any] = [{"role": "user", "content": prompt}]
    asked: list[str] = []
    last = None
    while True:
        answer = client.responses.create(
            model="mock-chat", input=items, tools=TOOLS, previous_response_id=last
        )
        calls = [item for item in answer.output if item.type == "function_call"]
        if not calls:
            return answer.output_text, asked
        last, items = answer.id, []
        for call in calls:
            asked.append(json.loads(call.arguments)["city"])
            result = {"call_id": call.call_id, "output": f"{len(asked)} degrees"}
            items.append({"type": "function_call_output", **result})


@pytest.mark.parametrize("run", [run_chat, run_responses])
def test_an_agent_comes_to_the_end_that_its_script_has(
    client: OpenAI, mock_openai: MockOpenAI, run: Callable[..., tuple[str, list[str]]]
) -> None:
    mock_openai.strict()
    mock_openai.reply("Oslo is the colder.", when={"tool_result": "2 degrees"})
    mock_openai.reply(tool_call("get_weather", city="Oslo"), when={"turn": 2})
    mock_openai.reply("Let me see.", tool_call("get_weather", city="Rome"), when="colder")
    said = run(client, "Which is colder, Rome or Oslo?")
    assert said == ("Oslo is the colder.", ["Rome", "Oslo"])
    assert [seen.reply for seen in mock_openai.requests()] == sorted(
        (seen.reply for seen in mock_openai.requests()), reverse=True
    )


# --- what else happens to an answer -----------------------------------------------------------


def test_a_script_that_is_no_completion_is_not_stored(
    http: httpx2.Client, mock_openai: MockOpenAI
) -> None:
    for part in (raw({"odd": 1}), error(500, "No."), raw([{"a": 1}])):
        mock_openai.reply(part)
    kept = {"store": True}
    assert http.post("/chat/completions", json=ask(**kept)).json() == {"odd": 1}
    assert http.post("/chat/completions", json=ask(**kept)).status_code == 500
    assert '"a":1' in http.post("/chat/completions", json=ask(**kept, stream=True)).text
    assert http.get("/chat/completions").json()["data"] == []


def test_what_a_script_thought_and_refused_is_stored(
    http: httpx2.Client, mock_openai: MockOpenAI
) -> None:
    mock_openai.reply(reasoning("Hm."), refusal("I cannot."))
    body = ask(store=True, stream=True, logprobs=True)
    assert http.post("/chat/completions", json=body).status_code == 200
    (kept,) = http.get("/chat/completions").json()["data"]
    message = kept["choices"][0]["message"]
    assert (message["reasoning_content"], message["refusal"]) == ("Hm.", "I cannot.")
    assert message["content"] is None


ODD = ("reasoning", "reasoning-only", "refusal", "content-filter", "no-usage")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("part", "word"),
    [(refusal("I cannot."), "cannot"), (reasoning("Hm."), "Hm"), (raw({"odd": 1}), "odd")],
)
def test_a_fault_leaves_alone_what_it_has_no_place_in(
    http: httpx2.Client, mock_openai: MockOpenAI, part: Any, word: str, stream: bool
) -> None:
    for path, body in (("/chat/completions", ask()), ("/responses", {"model": "m", "input": "x"})):
        for fault in ODD:
            mock_openai.reply(part)
            headers = {"x-mock-fault": fault}
            answer = http.post(path, json={**body, "stream": stream}, headers=headers)
            assert answer.status_code == 200, (path, fault)
            assert word in answer.text


def test_a_script_may_answer_any_route(http: httpx2.Client, mock_openai: MockOpenAI) -> None:
    mock_openai.reply(raw({"data": "odd"}), when={"path": "/v1/models"})
    mock_openai.reply(error(503, "Later."), when={"path": "/v1/videos"})
    mock_openai.reply("words alone")  # are for a model to say
    assert http.get("/models").json() == {"data": "odd"}
    assert http.get("/models").json()["object"] == "list"
    later = http.post("/videos", json={"model": "m"})
    assert (later.status_code, later.json()["error"]["message"]) == (503, "Later.")
    assert http.post("/videos", json={"model": "m"}).json()["error"]["code"] == "unknown_url"
    assert content(http) == "words alone"
