"""Values for schemas: what is found, and how little time it takes where nothing is."""

import datetime
import decimal
import enum
import json
import re
import time
import uuid
from typing import Annotated, Any, Literal

import jsonschema
import pydantic
import pytest
from pydantic import Field

from helpers.mock_server.content import patterns, schemas, tools
from helpers.mock_server.content.validity import Unsatisfiable
from helpers.mock_server.protocol import fields
from helpers.mock_server.protocol.errors import ApiError

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
    {"type": "string", "pattern": "(((a|){1000}){1000}){1000}"},
    {"type": "string", "pattern": "(?i)" + "[\u0100-\uffff]" * 380},
    {"type": "array", "minItems": 9, "items": {"enum": [[1] * 500_000, [1] * 500_001]}},
    {
        "properties": {str(number): {"type": "string"} for number in range(3000)},
        "patternProperties": {f"^x{number}": {} for number in range(3000)},
    },
    {
        "required": [str(number) for number in range(200)],
        "additionalProperties": {"pattern": "(?:a|b)?" * 240 + "$[^b]"},
    },
]


@pytest.mark.parametrize("schema", ENDLESS, ids=range(len(ENDLESS)))
def test_a_schema_that_asks_for_endless_work_is_given_up_soon(schema: Any) -> None:
    begun = time.process_time()
    with pytest.raises(Unsatisfiable):
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


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(?:(?!(?:(a)){4000}b))" * 80 + "c", "a" * 10_000),
        ("(?=a{4000})" * 150 + "c", "a" * 10_000),
        (r"(a)\1{4000}c", "a" * 10_000),
        ("(?:(a)){4000}c", "a" * 10_000),
        ("(((a|){1000}){1000}){1000}", ""),
    ],
)
def test_a_pattern_that_is_too_much_work_on_a_text_is_not_tried(pattern: str, text: str) -> None:
    with pytest.raises(patterns.NoText):
        patterns.matches(pattern, text, patterns.Steps())


def test_a_pattern_is_found_in_a_text_or_not() -> None:
    assert patterns.matches(r"^[a-z]+\d$", "abc1", patterns.Steps())
    assert not patterns.matches(r"^[a-z]+\d$", "abc", patterns.Steps())


def test_a_pattern_whose_meaning_may_change_is_no_warning() -> None:
    schema = {"type": "string", "pattern": "^[[:alpha:]]+$"}
    assert schemas.example(schema, WORDS)  # the tests make any warning an error


def test_a_group_is_named_as_javascript_does_it() -> None:
    schema = {"type": "string", "pattern": r"^(?<year>\d{4})(?<!x)$"}
    assert re.fullmatch(r"\d{4}", schemas.example(schema, WORDS))


def test_an_enum_of_many_words_is_searched_no_further_than_is_quick() -> None:
    schema = {"enum": [f"zzzzzz{number:06}" for number in range(150_000)]}
    begun = time.process_time()
    assert schemas.example(schema, schemas.words("z" * 20_000, "")) in schema["enum"]
    assert time.process_time() - begun < 1


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


# --- what is found is valid ---


class Color(enum.Enum):
    RED = "red"
    GREEN = "green"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Address(pydantic.BaseModel):
    street: str = Field(min_length=3, max_length=20)
    zip: str = Field(pattern=r"^\d{5}(-\d{4})?$")
    country: Literal["DE", "FR"]


class Cat(pydantic.BaseModel):
    kind: Literal["cat"]
    lives: int = Field(ge=1, le=9)


class Dog(pydantic.BaseModel):
    kind: Literal["dog"]
    age: float = Field(gt=0, lt=30)


class Node(pydantic.BaseModel):
    value: int
    left: "Node | None" = None
    right: "Node | None"
    children: list["Node"] = []


class Order(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    number: uuid.UUID
    placed: datetime.datetime
    address: Address
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    tags: set[str] = Field(min_length=2)
    colors: list[Color] = Field(min_length=1, max_length=3)
    level: Level
    price: decimal.Decimal = Field(gt=0, max_digits=6, decimal_places=2)
    notes: dict[str, str | int | None] | None = None


Code = Annotated[str, Field(pattern="^[A-Z]{2}$")]
Email = {"json_schema_extra": {"format": "email"}}


def at_least(size: int, kind: Any) -> Any:
    return Annotated[kind, Field(min_length=size)]


MODELS: list[Any] = [
    Order, Node, Address, list[Order], Cat | Dog, tuple[int, str, Address],
    at_least(2, set[Color]), at_least(2, set[Level]), at_least(2, set[bool]),
    at_least(2, set[uuid.UUID]), at_least(2, set[datetime.date]), at_least(2, set[Code]),
    at_least(2, set[int | None]), at_least(2, set[int | str]), at_least(2, set[tuple[int, str]]),
    at_least(2, set[Annotated[int, Field(le=-1)]]),
    at_least(3, set[Annotated[int, Field(ge=1, le=5)]]),
    at_least(3, set[Annotated[int, Field(multiple_of=5)]]),
    at_least(3, set[Annotated[float, Field(ge=0, le=1)]]),
    at_least(3, set[Annotated[str, Field(max_length=1)]]),
    at_least(3, set[Annotated[str, Field(min_length=5, max_length=5)]]),
    at_least(2, set[Annotated[str, Field(**Email)]]),
    Annotated[list[Address], Field(min_length=3, json_schema_extra={"uniqueItems": True})],
    at_least(1, dict[Literal["a", "b"], int]), at_least(3, dict[Color, int]),
    at_least(2, dict[datetime.date, str]), at_least(2, dict[Code, int]),
    at_least(2, dict[Annotated[str, Field(min_length=8)], int]),
    Annotated[float, Field(multiple_of=0.1, ge=0.3)], Annotated[float, Field(gt=1e17)],
    Annotated[float, Field(lt=-1e20)], Annotated[float, Field(gt=0, lt=1e-9)],
    Annotated[int, Field(gt=4, lt=6)], Annotated[int, Field(multiple_of=7, lt=-10)],
    Annotated[str, Field(min_length=30, **Email)],
]  # fmt: skip

A, B = {"a": {"type": "string"}}, {"b": {"type": "string"}}
HARD: list[Any] = [
    {"type": "object", "properties": A, "required": ["a"],
     "anyOf": [{"properties": {"b": {"type": "integer"}}, "required": ["b"]}]},
    {"type": "object", "properties": A, "required": ["a"],
     "anyOf": [{"properties": B, "required": ["b"], "additionalProperties": False},
               {"properties": {"a": {"const": "x"}}}]},
    {"$defs": {"s": {"properties": A, "required": ["a"]}}, "$ref": "#/$defs/s",
     "properties": B, "required": ["b"]},
    {"allOf": [{"type": "integer", "minimum": 5}, {"minimum": 2}]},
    {"allOf": [{"anyOf": [{"properties": A, "required": ["a"]}]},
               {"anyOf": [{"properties": B, "required": ["b"]}]}]},
    {"oneOf": [{"type": "number"}, {"type": "integer", "minimum": 0}]},
    {"type": "integer", "oneOf": [{"multipleOf": 1}, {"multipleOf": 3}]},
    {"type": "object", "properties": A | B, "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
    {"type": "object", "properties": {key: {"type": "integer"} for key in "abcd"},
     "required": ["d"], "maxProperties": 2},
    {"type": "integer", "not": {"const": 1}},
    {"type": "object", "properties": A | B, "required": ["a"], "not": {"required": ["b"]}},
    {"type": "object", "properties": {"k": {"enum": ["x", "y"]}}, "required": ["k"],
     "if": {"properties": {"k": {"const": "x"}}},
     "then": {"required": ["w"], "properties": {"w": {"type": "integer"}}}},
    {"type": "object", "properties": A, "dependentRequired": {"a": ["b"]}},
    {"patternProperties": {"^x-": {"type": "integer"}}, "required": ["x-a"],
     "additionalProperties": False},
    {"patternProperties": {"^x-": {"type": "integer"}}, "minProperties": 2,
     "additionalProperties": False},
    {"properties": {"n_a": {"type": "string"}}, "patternProperties": {"^n_": {"minLength": 30}}},
    {"type": "object", "propertyNames": {"pattern": "^[a-z]$"}, "minProperties": 3},
    {"type": "array", "items": {"type": "integer"}, "contains": {"const": 7}},
    {"type": "array", "contains": {"type": "integer"}, "minContains": 2},
    {"type": "array", "prefixItems": [{"type": "integer"}, {}, {}], "maxItems": 2},
    {"properties": {"key_2": {"type": "string"}}, "required": ["key_2"], "minProperties": 3},
    {"type": "string", "minLength": 30.0},
    {"type": "integer", "enum": ["a", 3]},
    {"type": "string", "enum": ["a", "abc"], "minLength": 2},
    {"type": "array", "uniqueItems": True, "minItems": 3, "items": {"enum": [1, 1.0, "a", "b"]}},
    {"$schema": "http://json-schema.org/draft-04/schema#", "type": "integer", "minimum": 1,
     "exclusiveMinimum": True},
    {"$schema": "http://json-schema.org/draft-07/schema#", "type": "array", "minItems": 2,
     "items": [{"type": "integer"}, {"type": "string"}], "additionalItems": False},
    {"definitions": {"a b": {"type": "integer"}}, "required": ["x"],
     "properties": {"x": {"$ref": "#/definitions/a%20b"}}},
    {"$id": "http://e.com/s", "$defs": {"a": {"type": "integer"}}, "required": ["x"],
     "properties": {"x": {"$ref": "http://e.com/s#/$defs/a"}}},
]  # fmt: skip

PROMPTS = (
    "",
    "hi",
    "What is the weather in Paris and Rome? I am 42, pay 19.99 on 2026-03-04",
    "Ada Lovelace bought -5 items for 0.3 euros",
)


def found_valid(schema: Any) -> list[str]:
    check = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)(schema)
    found = []
    for prompt in PROMPTS:
        made = json.dumps(schemas.example(schema, schemas.words(prompt, "You asked: " + prompt)))
        check.validate(json.loads(made))
        found.append(made)
    return found


@pytest.mark.parametrize("model", MODELS, ids=range(len(MODELS)))
def test_what_is_found_for_a_model_is_valid(model: Any) -> None:
    adapter = pydantic.TypeAdapter(model)
    for made in found_valid(adapter.json_schema()):
        adapter.validate_json(made)


@pytest.mark.parametrize("schema", HARD, ids=range(len(HARD)))
def test_what_is_found_for_keywords_that_depend_on_each_other_is_valid(schema: Any) -> None:
    assert found_valid(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "number", "minimum": 3, "maximum": 2},
        {"type": "array", "prefixItems": [{"type": "integer"}], "items": False, "minItems": 2},
        {"type": "integer", "exclusiveMinimum": int("9" * 4300)},
        {"type": "string", "not": {}},
        {"type": "object", "required": ["a", "b"], "maxProperties": 1},
        {"allOf": [{"type": "string"}, {"type": "integer"}]},
        {"oneOf": [{"type": "integer"}, {"type": "integer"}]},
        {"type": "string", "format": "email", "maxLength": 5},
    ],
    ids=range(8),
)
def test_a_schema_that_nothing_is_valid_for_is_refused(schema: Any) -> None:
    with pytest.raises(Unsatisfiable):
        schemas.example(schema, WORDS)
