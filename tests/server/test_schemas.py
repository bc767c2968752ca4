"""Values for schemas: what is found, and how little time it takes where nothing is."""

import re
import time
from typing import Any

import pytest

from helpers.mock_server import fields, schemas, tools
from helpers.mock_server.errors import ApiError

WORDS = schemas.words("Tell me of Paris", "A reply of words.")

FOUR = {"type": "object", "required": ["a", "b", "c", "d"]}
ENDLESS: list[Any] = [
    {"$ref": "#/$defs/x", "$defs": {"x": {"anyOf": [{"$ref": "#/$defs/x"}] * 3}}},
    {"minItems": 9999, "items": {"minItems": 9999, "items": {"minItems": 9999, "items": {}}}},
    {
        "$ref": "#/$defs/0",
        "$defs": {
            str(level): {
                **FOUR,
                "properties": {key: {"$ref": f"#/$defs/{level + 1}"} for key in "abcd"},
            }
            for level in range(12)
        }
        | {"12": {"type": "string"}},
    },
    {"type": "array", "minItems": 10_000, "items": {"const": ["x" * 100_000]}},
    {"type": "array", "minItems": 10_000, "uniqueItems": True, "items": {"type": "boolean"}},
    {"type": "string", "pattern": "^a*a*a*a*a*a*a*a*a*a*(?=b)c$"},
    {"type": "string", "pattern": "^(a|a)*(?=b)c$"},
    {"type": "string", "pattern": "^((((((((((a*)*)*)*)*)*)*)*)*)*)*(?=b)c$"},
    {"type": "string", "pattern": "^" + "(" * 10 + "a*" + "){0,99}" * 10 + "(?=b)c$"},
    {"type": "string", "pattern": "((a{1000}){1000}){1000}"},
]


@pytest.mark.parametrize("schema", ENDLESS, ids=range(len(ENDLESS)))
def test_a_schema_that_asks_for_endless_work_is_given_up_soon(schema: Any) -> None:
    begun = time.process_time()
    with pytest.raises(schemas.Unsatisfiable):
        schemas.example(schema, WORDS)
    assert time.process_time() - begun < 3


@pytest.mark.parametrize(
    "pattern",
    [
        r"^\d{3}-\d{2}-\d{4}$",
        r"^(low|medium|high)$",
        r"^[A-Z]{3}-\d{4}$",
        r"^\$\d+\.\d{2}$",
        r"^INV-\d+$",
        r"^\d{5}(-\d{4})?$",
        r"^[^@\s]+@[^@\s]+\.[a-z]{2,}$",
        r"^a*a*a*a*a*a*a*a*a*a*c$",
        r"^(?:\+\d{1,2}\s)?\(?\d{3}\)?[\s.-]\d{3}[\s.-]\d{4}$",
        r"(a)\1b",
        r"^[é-ü]$",
        r"^(?=.*\d)(?=.*[a-z]).{5,}$",
    ],
)
def test_an_ordinary_pattern_gets_a_text(pattern: str) -> None:
    assert re.search(pattern, schemas.example({"type": "string", "pattern": pattern}, WORDS))


def test_a_pattern_gets_a_text_of_the_length_that_is_asked_for() -> None:
    schema = {"type": "string", "pattern": "^[a-z]+$", "minLength": 20, "maxLength": 20}
    assert re.fullmatch("[a-z]{20}", schemas.example(schema, WORDS))


def test_a_prompt_with_hundreds_of_names_gets_eight_calls_soon() -> None:
    letters = "abcdefghijklmnopqrst"
    names = [f"{a}{b}{c}".capitalize() for a in letters for b in letters for c in letters][:3000]
    tool = tools.Tool("weather", "", {"properties": {"city": {"type": "string"}}})
    begun = time.process_time()
    calls = tools.choose((tool,), tools.Choice("auto"), True, "weather in " + ", ".join(names), "")
    assert len(calls) == tools.MAX_CALLS
    assert time.process_time() - begun < 0.5


@pytest.mark.parametrize(
    "body",
    [b'{"a": 1e999}', b'{"a": -1e999}', b'{"a":' * 300 + b"1" + b"}" * 300,
     b'{"a":' + b"[" * 972 + b"]" * 972 + b"}"],
    ids=["infinite", "minus infinite", "objects", "arrays"],
)  # fmt: skip
def test_a_body_that_could_not_be_repeated_as_json_is_refused(body: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        fields.json_object(body)
    assert caught.value.status == 400


def test_a_broad_body_is_not_a_deep_one() -> None:
    body = b'{"a": [' + b"[1]," * 300 + b"{}]" + b', "b":' + b"[" * 190 + b"]" * 190 + b"}"
    assert len(fields.json_object(body)["a"]) == 301
