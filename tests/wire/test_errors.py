"""What a wrong request gets: the status, type, code and param that OpenAI would give."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from openai import OpenAI

from tests.wire.conftest import Door
from tests.wire.wire import ask

HELLO = [{"role": "user", "content": "hello"}]


def refusal(answer: httpx2.Response, status: int) -> dict[str, Any]:
    """Return the error in an answer, which has to have OpenAI's form."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"error"}
    error: dict[str, Any] = body["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    assert error["type"] == "invalid_request_error"
    return error


def said(part: dict[str, Any]) -> dict[str, Any]:
    """Return a chat request's message of one part."""
    return {"messages": [{"role": "user", "content": [part]}]}


def formed(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a chat request's wish for an answer that fits a schema."""
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


LOOSE = {"type": "object", "properties": {}}
OPTIONAL = {**LOOSE, "properties": {"a": {}}, "required": [], "additionalProperties": False}

CHAT_PROBLEMS: list[tuple[dict[str, Any], str | None, str | None]] = [
    ({"model": None}, None, None),
    ({"model": 3}, "model", "invalid_type"),
    ({"messages": None}, "messages", "missing_required_parameter"),
    ({"messages": "hello"}, "messages", "invalid_type"),
    ({"messages": []}, "messages", "empty_array"),
    ({"messages": ["hello"]}, "messages[0]", "invalid_type"),
    ({"messages": [{"content": "a"}]}, "messages[0].role", "missing_required_parameter"),
    ({"messages": [*HELLO, {"role": "robot", "content": ""}]}, "messages[1].role", "invalid_value"),
    ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content", "invalid_type"),
    ({"messages": [{"role": "user"}]}, "messages[0].content", None),
    ({"messages": [{"role": "tool", "content": ""}]}, "messages[0].tool_call_id",
     "missing_required_parameter"),
    ({"stream": "yes"}, "stream", "invalid_type"),
    ({"stream_options": {}}, "stream_options", None),
    ({"n": 0}, "n", "integer_below_min_value"),
    ({"n": 129}, "n", "integer_above_max_value"),
    ({"n": 1.5}, "n", "invalid_type"),
    ({"max_tokens": 0}, "max_tokens", "integer_below_min_value"),
    ({"max_tokens": True}, "max_tokens", "invalid_type"),
    ({"temperature": "hot"}, "temperature", "invalid_type"),
    ({"temperature": 2.1}, "temperature", "decimal_above_max_value"),
    ({"top_p": -0.1}, "top_p", "decimal_below_min_value"),
    ({"stop": 5}, "stop", "invalid_type"),
    ({"stop": ["a"] * 5}, "stop", "array_above_max_length"),
    ({"top_logprobs": 2}, "top_logprobs", None),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "integer_above_max_value"),
    ({"response_format": {"type": "xml"}}, "response_format.type", "invalid_value"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema",
     "missing_required_parameter"),
    ({"response_format": {"type": "json_object"}}, "messages", None),
    ({"tools": [{"function": {}}]}, "tools[0].type", "missing_required_parameter"),
    ({"tools": [{"type": "function"}]}, "tools[0].function", "missing_required_parameter"),
    ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name",
     "invalid_value"),
    ({"tool_choice": "required"}, "tool_choice", None),
    ({"tool_choice": "maybe"}, "tool_choice", "invalid_value"),
    ({"metadata": 5}, "metadata", "invalid_type"),
    ({"store": "yes"}, "store", "invalid_type"),
    ({"logit_bias": "x"}, "logit_bias", "invalid_type"),
    ({"reasoning_effort": 3}, "reasoning_effort", "invalid_type"),
    ({"functions": "x"}, "functions", "invalid_type"),
    ({"modalities": "text"}, "modalities", "invalid_type"),
    ({"service_tier": 5}, "service_tier", "invalid_type"),
    ({"max_tokens": 9, "max_completion_tokens": 9}, "max_tokens", "invalid_parameter_combination"),
    ({"stream": True, "stream_options": {"include_usage": "yes"}}, "stream_options.include_usage",
     "invalid_type"),
    ({"stream": True, "stream_options": {"include_obfuscation": 1}},
     "stream_options.include_obfuscation", "invalid_type"),
    (said({"type": "input_text", "text": "a"}), "messages[0].content[0].type", "invalid_value"),
    (said({"type": "image_url"}), "messages[0].content[0].image_url",
     "missing_required_parameter"),
    (said({"type": "image_url", "image_url": {}}), "messages[0].content[0].image_url.url",
     "missing_required_parameter"),
    (formed({"name": "a"}), "response_format.json_schema.schema", "missing_required_parameter"),
    (formed({"name": "a b!", "schema": {}}), "response_format.json_schema.name", "invalid_value"),
    (formed({"name": "a", "strict": True, "schema": LOOSE}), "response_format", None),
    (formed({"name": "a", "strict": True, "schema": OPTIONAL}), "response_format", None),
    (formed({"name": "a", "strict": True, "schema": {"$defs": {"a": LOOSE}}}), "response_format",
     None),
    ({"tools": [{"type": "function", "function": {"name": "a", "strict": True,
                                                  "parameters": LOOSE}}]},
     "tools[0].function.parameters", "invalid_function_parameters"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "param", "code"), CHAT_PROBLEMS)
def test_a_wrong_field_is_named(
    http: httpx2.Client, change: dict[str, Any], param: str | None, code: str | None
) -> None:
    error = refusal(http.post("/chat/completions", json={**ask(), **change}), 400)
    assert (error["param"], error["code"]) == (param, code)


@pytest.mark.parametrize(
    ("path", "body", "param", "code"),
    [
        ("/responses", {}, None, "missing_required_parameter"),
        ("/responses", {"input": 3}, "input", "invalid_type"),
        ("/responses", {"input": "a", "max_output_tokens": 15}, "max_output_tokens",
         "integer_below_min_value"),
        ("/responses", {"input": [{"role": "user"}]}, "input[0].content",
         "missing_required_parameter"),
        ("/responses", {"input": "a", "metadata": {"a": 1}}, "metadata.a", "invalid_type"),
        ("/responses", {"input": "a", "store": "yes"}, "store", "invalid_type"),
        ("/responses", {"input": "a", "truncation": 1}, "truncation", "invalid_type"),
        ("/responses", {"input": "a", "reasoning": "x"}, "reasoning", "invalid_type"),
        ("/responses", {"input": "a", "reasoning": {"effort": 1}}, "reasoning.effort",
         "invalid_type"),
        ("/responses", {"input": "a", "text": {"verbosity": 1}}, "text.verbosity", "invalid_type"),
        ("/responses", {"input": "a", "include": [1]}, "include[0]", "invalid_type"),
        ("/responses", {"input": "a", "service_tier": 5}, "service_tier", "invalid_type"),
        ("/responses", {"input": "a", "tools": [{"type": "function", "name": "a", "strict": True,
                                                 "parameters": LOOSE}]},
         "tools[0].parameters", "invalid_function_parameters"),
        ("/responses", {"input": "a", "text": {"format": {"type": "json_schema", "name": "a",
                                                          "strict": True, "schema": LOOSE}}},
         "text.format.schema", "invalid_json_schema"),
        ("/responses", {"input": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]},
         "input[0].content[0].type", "invalid_value"),
        ("/responses", {"input": "a", "stream_options": {"include_obfuscation": 1}},
         "stream_options.include_obfuscation", "invalid_type"),
        ("/completions", {"presence_penalty": 9}, "presence_penalty", "decimal_above_max_value"),
        ("/completions", {"user": 4}, "user", "invalid_type"),
        ("/completions", {"logit_bias": 3}, "logit_bias", "invalid_type"),
        ("/completions", {"best_of": 0}, "best_of", "integer_below_min_value"),
        ("/completions", {"best_of": 1, "n": 2}, "best_of", "invalid_value"),
        ("/completions", {"stream": True, "stream_options": {"include_usage": 1}},
         "stream_options.include_usage", "invalid_type"),
        ("/embeddings", {}, "input", "missing_required_parameter"),
        ("/embeddings", {"input": []}, "input", "empty_array"),
        ("/embeddings", {"input": ""}, "input", "invalid_value"),
        ("/embeddings", {"input": "a", "dimensions": 0}, "dimensions", "integer_below_min_value"),
        ("/embeddings", {"input": "a", "encoding_format": "x"}, "encoding_format",
         "invalid_value"),
        ("/completions", {"prompt": {}}, "prompt", "invalid_type"),
        ("/moderations", {}, "input", "missing_required_parameter"),
        ("/batches", {}, "input_file_id", "missing_required_parameter"),
    ],
)  # fmt: skip
def test_other_endpoints_name_a_wrong_field_too(
    http: httpx2.Client, path: str, body: dict[str, Any], param: str, code: str
) -> None:
    error = refusal(http.post(path, json={"model": "mock-chat", **body}), 400)
    assert (error["param"], error["code"]) == (param, code)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe", b'{"a": NaN}', b'{"a": "\xc3"}', b"[" * 100_000,
     b'{"n": 1' + b"0" * 9000],
)  # fmt: skip
def test_what_is_not_json_is_refused(http: httpx2.Client, body: bytes) -> None:
    error = refusal(http.post("/chat/completions", content=body), 400)
    assert "parse the JSON body" in error["message"]


@pytest.mark.parametrize("body", [b"[]", b"3", b'"text"', b"null"])
def test_a_body_that_is_no_object_is_refused(http: httpx2.Client, body: bytes) -> None:
    assert refusal(http.post("/chat/completions", content=body), 400)["code"] == "invalid_type"


def test_an_upload_that_is_no_form_is_refused(http: httpx2.Client) -> None:
    assert "Content-Type" in refusal(http.post("/files", json={}), 400)["message"]
    kind = {"content-type": "multipart/form-data; boundary=x"}
    error = refusal(http.post("/files", content=b"--y\r\n", headers=kind), 400)
    assert error["param"] == "file"


def test_an_unknown_path_is_an_unknown_url(http: httpx2.Client) -> None:
    for path in ("/nothing", "/chat", "/chat/completions/", "/responses/a/b"):
        error = refusal(http.post(path, json={}), 404)
        assert error["code"] == "unknown_url"
        assert error["message"].startswith("Invalid URL (POST /v1")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/responses", "POST"),
        ("DELETE", "/chat/completions", "POST, GET"),
        ("POST", "/models", "GET"),
        ("PUT", "/files", "POST, GET"),
    ],
)
def test_a_wrong_method_is_not_allowed(
    http: httpx2.Client, method: str, path: str, allowed: str
) -> None:
    answer = http.request(method, path)
    assert refusal(answer, 405)["code"] == "method_not_supported"
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize("header", ["", "Bearer", "Basic abc", "abc"])
def test_a_request_without_a_key_is_refused(http: httpx2.Client, header: str) -> None:
    answer = http.get("/models", headers={"authorization": header})
    assert "API key" in refusal(answer, 401)["message"]


# --- a server that knows its models and its key -----------------------------------------------


@pytest.fixture(scope="module")
def particular() -> Iterator[str]:
    """The base URL of a server with two models, one key and a small limit for bodies."""
    command = [sys.executable, "-m", "helpers.mock_server", "--port", "0", "--pace", "0"]
    command += ["--exit-with-parent", "--models", "one, two", "--api-key", "sk-right-key-1234"]
    command += ["--max-body", "2000"]
    with subprocess.Popen(
        command,
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
        process.terminate()


def strict_client(particular: str, key: str = "sk-right-key-1234") -> OpenAI:
    return OpenAI(base_url=particular, api_key=key, max_retries=0)


def test_a_known_model_answers(particular: str) -> None:
    with strict_client(particular) as client:
        assert [model.id for model in client.models.list()] == ["one", "two"]
        assert client.chat.completions.create(model="two", messages=HELLO).model == "two"  # type: ignore


def test_an_unknown_model_is_not_found_anywhere(particular: str) -> None:
    with strict_client(particular) as client:
        for use in (
            lambda: client.chat.completions.create(model="three", messages=HELLO),  # type: ignore
            lambda: client.responses.create(model="three", input="hello"),
            lambda: client.embeddings.create(model="three", input="hello"),
            lambda: client.completions.create(model="three", prompt="hello"),
            lambda: client.models.retrieve("three"),
        ):
            with pytest.raises(openai.NotFoundError, match="`three` does not exist") as raised:
                use()
            assert raised.value.code == "model_not_found"


def test_a_wrong_key_is_refused_and_not_repeated(particular: str) -> None:
    with (
        strict_client(particular, "sk-wrong-key-5678") as client,
        pytest.raises(openai.AuthenticationError) as raised,
    ):
        client.models.list()
    assert raised.value.code == "invalid_api_key"
    assert "wrong-key" not in str(raised.value)


def test_a_body_that_is_too_large_is_refused(particular: str) -> None:
    with strict_client(particular) as client, pytest.raises(openai.APIStatusError) as raised:
        client.chat.completions.create(model="one", messages=[*HELLO * 100])  # type: ignore
    assert raised.value.status_code == 413


def test_both_clients_raise_the_same_error(sdk: Door) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        sdk.run(lambda client: client.chat.completions.create(**ask(), n=0))
    assert (raised.value.param, raised.value.code) == ("n", "integer_below_min_value")
