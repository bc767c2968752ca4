"""Whatever is asked: an answer or an error in OpenAI's form, never a fault of the server's own."""

import contextlib
import json
import re
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.mock_server.api import files
from helpers.mock_server.content import schemas, tokens
from helpers.mock_server.content.validity import Unsatisfiable
from helpers.mock_server.protocol import pacing
from helpers.mock_server.protocol.errors import ApiError
from tests.server.inside import Inside, is_error

EXAMPLES = 60
"""The same each time, and enough to find what is plainly wrong; `-m slow` tries harder and anew."""

INSIDE = Inside()
QUIET = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]

texts = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["", "user", "tool", "auto", "function", "json_schema", "json_object", "text", "Paris",
         "Count to 12", "\ud800", "%d", "message", "function_call_output", "base64", "a" * 300]
    ),
)  # fmt: skip
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 200),
    st.sampled_from([2**31, -(2**63), 10**30]),
    st.floats(allow_nan=False, allow_infinity=False),
    texts,
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(
            ["type", "role", "content", "text", "name", "function", "parameters", "schema",
             "json_schema", "properties", "required", "items", "include_usage", "format", "id"]
        )
        | texts,
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip

MESSAGE = {"role": "user", "content": "What is the weather in Paris?"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"name": "get_weather", "description": "weather", "parameters": SCHEMA}
REQUESTS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {
        "model": "m",
        "messages": [MESSAGE],
        "stream": False,
        "stream_options": None,
        "n": 1,
        "max_tokens": 9,
        "stop": None,
        "logprobs": None,
        "top_logprobs": None,
        "tools": [{"type": "function", "function": FUNCTION}],
        "tool_choice": "auto",
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}},
        "seed": 1,
        "min_tokens": None,
        "ignore_eos": None,
    },
    "/v1/responses": {
        "model": "m",
        "input": [MESSAGE],
        "instructions": None,
        "stream": False,
        "tools": [{"type": "function", **FUNCTION}],
        "tool_choice": None,
        "text": {"format": {"type": "json_schema", "name": "a", "schema": SCHEMA}},
        "max_output_tokens": 20,
        "metadata": {},
        "include": None,
        "top_logprobs": None,
        "previous_response_id": None,
        "background": False,
        "store": True,
    },
    "/v1/completions": {
        "model": "m",
        "prompt": "hello",
        "max_tokens": 5,
        "stream": False,
        "n": 1,
        "echo": False,
        "logprobs": None,
        "suffix": None,
    },
    "/v1/embeddings": {"model": "m", "input": "a", "dimensions": 8, "encoding_format": "float"},
    "/v1/moderations": {"model": None, "input": "a"},
    "/v1/batches": {"input_file_id": "f", "endpoint": "/v1/embeddings", "completion_window": "24h"},
    "/mock/pace": {"pace": 0, "first": 0.1, "models": {}},
    "/mock/faults": {"fault": "429; tries=1", "times": 1, "client": "nobody"},
    "/mock/limits": {"requests": None, "max_concurrent": None},
}


@st.composite
def changed_requests(draw: st.DrawFn) -> tuple[str, bytes]:
    """A request that is right, but for one or two places anywhere in it."""
    path = draw(st.sampled_from(sorted(REQUESTS)))
    body = json.loads(json.dumps(REQUESTS[path]))
    for _ in range(draw(st.integers(1, 2))):
        place: Any = body
        while True:
            keys = sorted(place) if isinstance(place, dict) else list(range(len(place)))
            key = draw(st.sampled_from(keys))
            if isinstance(place[key], dict | list) and place[key] and draw(st.booleans()):
                place = place[key]
                continue
            if isinstance(place, dict) and draw(st.integers(0, 4)) == 0:
                del place[key]
            else:
                place[key] = draw(values)
            break
        if not body:
            break
    return path, json.dumps(body).encode()


def check_answer(path: str, status: int, body: bytes) -> None:
    assert status < 500, body
    if status >= 400:
        assert is_error(body), body
    elif body.startswith((b"data:", b"event:")):
        assert b"\n\n" in body
    else:
        json.loads(body)


def try_request(request: tuple[str, bytes]) -> None:
    path, body = request
    method = "PUT" if path in ("/mock/pace", "/mock/limits") else "POST"
    status, answer = INSIDE.ask(method, path, body)
    check_answer(path, status, answer)
    INSIDE.state.reset()


@settings(derandomize=True, max_examples=EXAMPLES, deadline=None, suppress_health_check=QUIET)
@given(changed_requests())
def test_a_request_that_is_almost_right_gets_an_answer_or_an_error(
    request: tuple[str, bytes],
) -> None:
    try_request(request)


@pytest.mark.slow
@settings(max_examples=4000, deadline=None, suppress_health_check=QUIET)
@given(changed_requests())
def test_many_requests_that_are_almost_right_do_too(request: tuple[str, bytes]) -> None:
    try_request(request)


@settings(derandomize=True, max_examples=EXAMPLES, deadline=None, suppress_health_check=QUIET)
@given(st.sampled_from(sorted(REQUESTS)), st.binary(max_size=60) | values.map(json.dumps))
def test_any_body_gets_an_answer_or_an_error(path: str, body: bytes | str) -> None:
    content = body.encode() if isinstance(body, str) else body
    status, answer = INSIDE.ask("POST", path, content)
    check_answer(path, status, answer)
    INSIDE.state.reset()


@settings(derandomize=True, max_examples=EXAMPLES, deadline=None, suppress_health_check=QUIET)
@given(
    st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "BREW"]),
    st.lists(
        st.sampled_from(["v1", "mock", "models", "files", "responses", "batches", "content",
                         "cancel", "journal", "x", "..", "%00", "", "input_items", "é"]),
        max_size=4,
    ),
    st.sampled_from(["", "?after=1", "?limit=x", "?stream=true&starting_after=9", "?=&&", "?%ff"]),
)  # fmt: skip
def test_any_path_gets_an_answer_or_an_error(method: str, parts: list[str], query: str) -> None:
    if parts[:3] == ["mock", "journal", "events"]:
        return
    status, answer = INSIDE.ask(method, "/" + "/".join(parts) + query)
    check_answer("", status, answer)


@settings(derandomize=True, max_examples=EXAMPLES, deadline=None)
@given(
    st.sampled_from(["x-mock-pace", "x-mock-fault", "x-mock-client", "authorization",
                     "x-stainless-retry-count", "content-length", "content-type"]),
    st.text(st.characters(max_codepoint=255), max_size=30)
    | st.sampled_from(["first=1e999", "tokens=1e9", "429; tries=-1", "Bearer \xff"]),
)  # fmt: skip
def test_any_header_gets_an_answer_or_an_error(name: str, value: str) -> None:
    body = json.dumps({"model": "m", "messages": [MESSAGE], "stream": True}).encode()
    if value.partition(";")[0].strip() in ("stall", "slow-head", "disconnect"):
        return  # these hold the answer back or drop it, as asked
    status, answer = INSIDE.ask("POST", "/v1/chat/completions", body, {name: value})
    if name == "x-mock-fault" and status >= 500:
        assert is_error(answer)
    else:
        check_answer("", status, answer)


@settings(derandomize=True, max_examples=EXAMPLES * 5, deadline=None)
@given(st.text())
def test_the_tokens_of_a_text_are_the_text(text: str) -> None:
    assert "".join(tokens.split(text)) == text


@settings(derandomize=True, max_examples=EXAMPLES * 5, deadline=None)
@given(st.binary(max_size=200), st.text(max_size=60))
def test_a_form_is_read_or_refused(body: bytes, kind: str) -> None:
    for content_type in (kind, "multipart/form-data; boundary=x"):
        with contextlib.suppress(ApiError):
            files.read_form(b"--x\r\n" + body, content_type)


@settings(derandomize=True, max_examples=EXAMPLES * 2, deadline=None)
@given(st.dictionaries(st.text("ab -", min_size=1), st.binary(max_size=50), max_size=4))
def test_the_parts_of_a_form_come_back_as_they_were(parts: dict[str, bytes]) -> None:
    mark = b"--=mark="
    body = b"".join(
        mark + b'\r\nContent-Disposition: form-data; name="' + name.encode() + b'"\r\n\r\n'
        + content + b"\r\n"
        for name, content in parts.items()
    )  # fmt: skip
    found = files.read_form(body + mark + b"--\r\n", 'multipart/form-data; boundary="=mark="')
    assert {name: content for name, (_, content) in found.items()} == parts


@settings(derandomize=True, max_examples=EXAMPLES * 5, deadline=None)
@given(st.text(max_size=40))
def test_a_pace_is_read_within_its_bounds_or_refused(text: str) -> None:
    with contextlib.suppress(ValueError):
        found = pacing.adjusted(pacing.Pace(), text)
        assert 0 <= found.total(1) <= pacing.MAX_SECONDS * pacing.MAX_DIAL


# --- schemas ----------------------------------------------------------------------------------

numbers = st.integers(-50, 50) | st.floats(-50, 50, allow_nan=False).map(lambda x: round(x, 3))


@st.composite
def number_schemas(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["integer", "number"]))
    schema: dict[str, Any] = {"type": kind}
    low = draw(numbers)
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["minimum", "exclusiveMinimum"]))] = low
    if draw(st.booleans()):
        schema[draw(st.sampled_from(["maximum", "exclusiveMaximum"]))] = low + draw(
            st.integers(3, 50)
        )
    if draw(st.integers(0, 3)) == 0:
        schema["multipleOf"] = draw(st.sampled_from([1, 2, 0.5, 0.25]))
    return schema


@st.composite
def string_schemas(draw: st.DrawFn) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    if draw(st.integers(0, 3)) == 0:
        schema["format"] = draw(st.sampled_from(["date", "email", "uuid", "date-time", "strange"]))
        return schema
    least = draw(st.integers(0, 30))
    if draw(st.booleans()):
        schema["minLength"] = least
    if draw(st.booleans()):
        schema["maxLength"] = least + draw(st.integers(0, 30))
    return schema


json_schemas = st.recursive(
    number_schemas()
    | string_schemas()
    | st.just({"type": "boolean"})
    | st.lists(st.text(max_size=5) | st.integers(), min_size=1, max_size=3).map(
        lambda options: {"enum": options}
    ),
    lambda inner: st.one_of(
        st.tuples(inner, st.integers(0, 3)).map(
            lambda pair: {"type": "array", "items": pair[0], "minItems": pair[1]}
        ),
        st.lists(inner, min_size=1, max_size=3).map(lambda options: {"anyOf": options}),
        st.dictionaries(st.text("abc", min_size=1, max_size=4), inner, max_size=4).map(
            lambda parts: {
                "type": "object",
                "properties": parts,
                "required": sorted(parts),
                "additionalProperties": False,
            }
        ),
    ),
    max_leaves=8,
)


def try_schema(schema: dict[str, Any], prompt: str) -> None:
    found = schemas.example(schema, schemas.words(prompt, "A short answer about nothing."))
    jsonschema.validate(found, schema)


@settings(derandomize=True, max_examples=EXAMPLES * 2, deadline=None, suppress_health_check=QUIET)
@given(json_schemas, texts)
def test_an_example_is_valid_for_its_schema(schema: dict[str, Any], prompt: str) -> None:
    try_schema(schema, prompt)


@pytest.mark.slow
@settings(max_examples=4000, deadline=None, suppress_health_check=QUIET)
@given(json_schemas, texts)
def test_many_examples_are_valid_for_their_schemas(schema: dict[str, Any], prompt: str) -> None:
    try_schema(schema, prompt)


entangled_schemas = st.recursive(
    json_schemas,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=2).map(lambda parts: {"allOf": parts}),
        st.lists(inner, min_size=1, max_size=3).map(lambda options: {"oneOf": options}),
        st.tuples(inner, inner).map(lambda pair: {**pair[0], "not": pair[1]}),
        st.tuples(inner, inner).map(lambda pair: {**pair[0], "anyOf": [pair[1], {}]}),
        st.tuples(inner, inner, inner).map(
            lambda three: {**three[0], "if": three[1], "then": three[2]}
        ),
        st.tuples(inner, st.integers(0, 4)).map(
            lambda pair: {"items": pair[0], "minItems": pair[1], "uniqueItems": True}
        ),
        st.tuples(inner, inner, st.integers(0, 3)).map(
            lambda three: {
                "type": "object",
                "properties": {"a": three[0], "b": {}},
                "patternProperties": {"^[ac]$": three[1]},
                "minProperties": three[2],
                "maxProperties": 3,
            }
        ),
    ),
    max_leaves=4,
)


@settings(derandomize=True, max_examples=EXAMPLES * 2, deadline=None, suppress_health_check=QUIET)
@given(entangled_schemas, texts)
def test_an_example_is_valid_for_an_entangled_schema_or_there_is_none(
    schema: dict[str, Any], prompt: str
) -> None:
    with contextlib.suppress(Unsatisfiable):
        try_schema(schema, prompt)


@pytest.mark.slow
@settings(max_examples=4000, deadline=None, suppress_health_check=QUIET)
@given(entangled_schemas, texts)
def test_many_examples_are_valid_for_entangled_schemas_or_there_is_none(
    schema: dict[str, Any], prompt: str
) -> None:
    with contextlib.suppress(Unsatisfiable):
        try_schema(schema, prompt)


@settings(derandomize=True, max_examples=EXAMPLES * 3, deadline=None, suppress_health_check=QUIET)
@given(values)
def test_what_is_no_schema_is_refused_and_breaks_nothing(schema: Any) -> None:
    with contextlib.suppress(Unsatisfiable):
        schemas.example(schema, schemas.words("In Paris", "A short answer."))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "number", "multipleOf": 1e-300, "minimum": 10**30},
        {"type": "integer", "minimum": 10**400, "multipleOf": 0.5},
        {"type": "string", "minLength": 10**12},
        {"type": "array", "minItems": 10**12, "items": {}},
        {"anyOf": [{"$ref": "#"}]},
        {"type": "object", "minProperties": 10**12},
        {"properties": {"a": {}}, "allOf": [{"properties": 3}]},
        {"type": "array", "items": {"anyOf": [{"required": 5}]}, "minItems": 1},
    ],
)
def test_a_schema_beyond_reason_is_refused(schema: Any) -> None:
    with pytest.raises(Unsatisfiable):
        schemas.example(schema, schemas.words("", ""))


@pytest.mark.parametrize("pattern", [r"(a+)+$b", r"(\w+\s?)*$!", r"([a-z]+)*\d{40}", r"(x|x)*y"])
def test_a_pattern_that_takes_forever_is_given_up_on(pattern: str) -> None:
    assert re.compile(pattern)
    with contextlib.suppress(Unsatisfiable):
        schemas.example({"type": "string", "pattern": pattern}, schemas.words("", ""))
