"""The same requests to the mock server and to llama.cpp: the answers differ where listed, only."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from helpers.pytest_plugin import MockOpenAI
from helpers.pytest_plugin import mock_openai as mock_openai
from helpers.pytest_plugin import mock_openai_options as mock_openai_options
from helpers.pytest_plugin import mock_openai_server as mock_openai_server
from tests.real.conftest import RealServer
from tests.wire.wire import events

pytestmark = pytest.mark.real

ONLY_REAL = {
    r"(.*\.)?timings(\..*)?": "llama.cpp's own clock",
    r"choices\[\]\.logprobs\.content\[\](\.top_logprobs\[\])?\.id": "llama.cpp's token numbers",
    r"data\[\]\.(aliases|architecture|meta|tags)(\..*|\[\])*": "llama.cpp's card of a model",
    r"models(\..*|\[\])*": "Ollama's list of models, which llama.cpp gives too",
}
"""What llama.cpp sends and OpenAI does not, with the reason; each is a pattern of paths."""

STREAMED_USAGE = {
    r"usage(\..*)?": "llama.cpp's legacy streams end with a usage that was not asked for",
}

RESPONSE_FIELDS = (
    "background|conversation|error|incomplete_details|instructions|max_output_tokens|max_tool_calls|metadata|"
    "parallel_tool_calls|previous_response_id|prompt_cache_key|reasoning|safety_identifier|"
    "service_tier|temperature|text|tool_choice|tools|top_logprobs|top_p|truncation|user"
)

ONLY_MOCK = {
    r"service_tier": "OpenAI's; llama.cpp has no tiers",
    r"choices\[\]\.(message|delta)\.(refusal|annotations)": "OpenAI's; llama.cpp leaves it out",
    r"choices\[\]\.logprobs(\.refusal)?": "OpenAI says null where llama.cpp leaves it out",
    r"usage\.(completion_tokens_details|prompt_tokens_details\.audio_tokens)(\..*)?":
        "OpenAI's details",
    r"(.*\.)?usage\.(output_tokens_details|input_tokens_details\.cache_write_tokens)(\..*)?":
        "required by the SDK's types",
    rf"(response\.[a-z_.]+\.response\.)?({RESPONSE_FIELDS})(\..*)?":
        "OpenAI repeats what was asked; the SDK's types require some of it",
    r"response\.(created|in_progress)\.response\.(completed_at|created_at|model|output|usage)":
        "llama.cpp begins with a response of three fields",
    r"response\.[a-z_.]+\.(sequence_number|output_index|content_index|logprobs|annotations)":
        "required by the SDK's types; llama.cpp leaves it out",
    r"response\.[a-z_.]+\.part\.(annotations|logprobs)":
        "required by the SDK's types; llama.cpp leaves it out",
    r"response\.[a-z_.]+\.response\.completed_at": "OpenAI's; llama.cpp leaves it out",
    r"error\.param": "OpenAI's; llama.cpp leaves it out",
}  # fmt: skip
"""What OpenAI sends, and so does the mock server, and llama.cpp does not."""

OTHER_TYPE = {
    r"choices\[\]\.delta\.content": "the first delta: '' from OpenAI and vLLM, null from llama.cpp",
    r"usage": "with include_usage OpenAI says null in every other chunk",
    r"choices\[\]\.logprobs": "null in the chunks without a token; llama.cpp leaves it out",
    r"error\.code": "a word from OpenAI, a number from llama.cpp",
}
"""Where both send a field, but of another type."""

Shape = dict[str, set[str]]
MESSAGES = [{"role": "user", "content": "Say hello in JSON"}]
CHAT: dict[str, Any] = {"messages": MESSAGES, "max_tokens": 8}
USAGE = {"include_usage": True}
TOKENS = {"logprobs": True, "top_logprobs": 2}

REQUESTS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("POST", "/chat/completions", CHAT),
    ("POST", "/chat/completions", {**CHAT, "n": 2}),
    ("POST", "/chat/completions", {**CHAT, "stop": "e"}),
    ("POST", "/chat/completions", {**CHAT, **TOKENS}),
    ("POST", "/chat/completions", {**CHAT, "response_format": {"type": "json_object"}}),
    ("POST", "/chat/completions", {**CHAT, "stream": True}),
    ("POST", "/chat/completions", {**CHAT, "stream": True, "stream_options": USAGE}),
    ("POST", "/chat/completions", {**CHAT, "stream": True, **TOKENS}),
    ("POST", "/completions", {"prompt": "Hello", "max_tokens": 4}),
    ("POST", "/completions", {"prompt": "Hello", "max_tokens": 4, "stream": True}),
    ("POST", "/responses", {"input": "Hello", "max_output_tokens": 16}),
    ("POST", "/responses", {"input": "Hello", "max_output_tokens": 16, "stream": True}),
    ("GET", "/models", None),
    ("POST", "/chat/completions", {"messages": None}),
    ("POST", "/nothing", {}),
]


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
def test_the_mock_server_answers_in_the_shape_of_a_real_one(
    mock_openai: MockOpenAI,
    real_server: RealServer,
    method: str,
    path: str,
    body: dict[str, Any] | None,
) -> None:
    sent = None if body is None else {"model": real_server.model, **body}
    real = ask(real_server.base_url, real_server.api_key, method, path, sent)
    mock = ask(mock_openai.base_url, "any", method, path, sent)
    assert mock.status_code == real.status_code
    assert kind_of(mock) == kind_of(real)
    here, there = shape_of(mock), shape_of(real)
    legacy_stream = path == "/completions" and "stream" in (body or {})
    known = {**ONLY_REAL, **(STREAMED_USAGE if legacy_stream else {})}
    assert unlisted(there.keys() - here.keys(), known) == set(), "only the real server has these"
    assert unlisted(here.keys() - there.keys(), ONLY_MOCK) == set(), "only the mock has these"
    other = {where for where in here.keys() & there.keys() if here[where] != there[where]}
    assert unlisted(other, OTHER_TYPE) == set(), "these are of another type"


@pytest.mark.parametrize(("path", "body"), [(path, body) for _, path, body in REQUESTS[5:12]])
def test_events_come_in_the_order_of_a_real_server(
    mock_openai: MockOpenAI, real_server: RealServer, path: str, body: dict[str, Any]
) -> None:
    sent = {"model": real_server.model, **body, "stream": True}
    real = order(ask(real_server.base_url, real_server.api_key, "POST", path, sent))
    mock = order(ask(mock_openai.base_url, "any", "POST", path, sent))
    assert mock == real


def ask(base_url: str, key: str, method: str, path: str, body: Any) -> httpx2.Response:
    """Return an answer. The mock's Responses are short enough not to be cut at the limit: llama.cpp
    calls them completed even then."""
    headers = {"authorization": f"Bearer {key}"}
    if path == "/responses":
        headers["x-mock-pace"] = "dial=0,tokens=8"
    return httpx2.request(
        method, base_url + path, json=body, headers=headers, timeout=60, trust_env=False
    )


def kind_of(answer: httpx2.Response) -> str:
    return answer.headers["content-type"].partition(";")[0]


def shape_of(answer: httpx2.Response) -> Shape:
    """Return the types at each path of an answer, all events of a stream taken together."""
    found: Shape = {}
    if kind_of(answer) != "text/event-stream":
        _note(answer.json(), "", found)
        return found
    for name, data in events(answer.text):
        if data != "[DONE]":
            _note(json.loads(data), f"{name}." if name else "", found)
    return found


def _note(value: Any, where: str, found: Shape) -> None:
    names = {type(None): "null", bool: "boolean", int: "number", float: "number", str: "string"}
    path = where.rstrip(".")
    if isinstance(value, dict):
        found.setdefault(path, set()).add("object")
        for key, part in value.items():
            _note(part, f"{where}{key}.", found)
    elif isinstance(value, list):
        found.setdefault(path, set()).add("array")
        for part in value:
            _note(part, f"{path}[].", found)
    else:
        found.setdefault(path, set()).add(names[type(value)])


def unlisted(paths: set[str], known: dict[str, str]) -> set[str]:
    """Return the paths that no pattern speaks of."""
    return {path for path in paths if not any(re.fullmatch(one, path) for one in known)}


def order(answer: httpx2.Response) -> list[str]:
    """Return what the events of a stream are, repeated ones once."""
    found: list[str] = []
    for step in _steps(answer):
        if not found or found[-1] != step:
            found.append(step)
    return found


def _steps(answer: httpx2.Response) -> Iterator[str]:
    for name, data in events(answer.text):
        if name is not None or data == "[DONE]":
            yield name or data
            continue
        choices = json.loads(data)["choices"]
        if not choices:
            yield "usage"
            continue
        (choice,) = choices
        if choice["finish_reason"] is not None:
            yield "finish"
        elif choice.get("delta", {}).get("role"):
            yield "role"
        else:
            yield "text"
