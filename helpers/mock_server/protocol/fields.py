"""Reads a request's body by its declaration, and answers a wrong one as OpenAI would.

What each request may hold is declared in `api.requests`, in models of pydantic's, whose errors
become OpenAI's here and nowhere else.

What that costs, beside reading field by field: 0.07 s of work and 7 MB at the start, 0.26 s and
42 MB in all; 3 µs for a request of two messages (15 for 12), 1.2 ms for one of 600 (2.6 for 1.4). A
model is built when the first request needs it, which takes that one 20 ms: built at the start, all
would be another 0.03 s and 4 MB there.
"""

import json
import math
import re
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from helpers.mock_server.protocol import errors
from helpers.mock_server.protocol.errors import ApiError


class Declared(BaseModel):
    """What a request, or a part of one, may hold. In a field that may be left out null is allowed.

    Fields that are not named are let by: OpenAI's grow with time, and other servers have more.
    """

    model_config = ConfigDict(strict=True, frozen=True, defer_build=True)


class Wrong(ValueError):
    """What the check of a part finds: an error, made once it is known where the part stands."""

    def __init__(self, error: Callable[..., ApiError], at: str | int, *facts: Any) -> None:
        super().__init__()
        self.error = error
        self.at = at
        """Which field of the part it is, or which place in it; nothing for all of it."""
        self.facts = facts


Body = TypeVar("Body", bound=Declared)


def read(kind: type[Body], value: Any, name: str | None = None) -> Body:
    """Return a JSON value as what it is declared to be; `name` is what its one field is called.

    Raises:
        ApiError: 400, what comes first of that which is wrong.
    """
    try:
        return kind.model_validate(value)
    except ValidationError as problem:
        raise _told(problem.errors(include_url=False)[0], name) from None


NO_PLACE = re.compile(r"<.*>|\[key\]", re.DOTALL)
"""What pydantic adds to a place: the tag of what was found there, and that a name is meant."""

EXPECTED = {
    "model_type": "an object",
    "dict_type": "an object",
    "list_type": "an array of objects",
    "string_type": "a string",
    "int_type": "an integer",
    "float_type": "a decimal",
    "bool_type": "a boolean",
    "literal_error": "a string",
}


def _told(problem: ErrorDetails, name: str | None) -> ApiError:
    """Return in OpenAI's words what pydantic found."""
    value, facts = problem["input"], problem.get("ctx", {})
    place = [part for part in problem["loc"] if not NO_PLACE.fullmatch(str(part))]
    if name is not None:
        place[0] = name
    where = _joined(place)
    match problem["type"]:
        case _ if where == "model" and (problem["type"] == "missing" or value in (None, "")):
            return errors.no_model()
        case kind if kind == "missing" or (value is None and isinstance(place[-1], str)):
            return errors.missing(where)
        case "value_error":
            wrong: Wrong = facts["error"]
            return wrong.error(_joined([*place, wrong.at]), *wrong.facts)
        case "literal_error" if isinstance(value, str):
            # All names of a Literal, in one text: 'a', 'b' or 'c'.
            return errors.unsupported_value(where, value, facts["expected"].split("'")[1::2])
        case "greater_than_equal":
            return errors.below(where, value, facts["ge"])
        case "less_than_equal":
            return errors.above(where, value, facts["le"])
        case "too_short":
            return errors.empty_array(where)
        case "too_long" | "string_too_long":
            return errors.too_long(where, value, facts["max_length"])
        case "string_pattern_mismatch":
            return errors.no_match(where, facts["pattern"])
        case kind:
            return errors.wrong_type(where, EXPECTED.get(kind, problem["msg"]), value)


def _joined(place: list[int | str]) -> str:
    """Return a place in a body as OpenAI writes it: `messages[0].content`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part[:MAX_KEY]}" for part in place)
    return "".join(part for part in parts if part != ".").removeprefix(".")


MAX_KEY = 64
"""Characters of a name that an error repeats."""


def json_object(body: bytes) -> dict[str, Any]:
    """Return a body's JSON object.

    Raises:
        ApiError: 400 for anything else.
    """
    try:
        value = _reader.decode(body.decode("utf-8"))
        if body.count(b"{") + body.count(b"[") > MAX_NESTED:
            _check_depth(value)
        if b"\\ud" in body.lower():
            value = _without_half_pairs(value)
    except (ValueError, RecursionError):
        raise errors.bad_json() from None
    if not isinstance(value, dict):
        raise errors.wrong_type("body", "an object", value)
    return value


def _no_constant(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity, which Python reads and JSON does not have


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):  # which would leave as Infinity, and is no JSON
        raise ValueError(text)
    return number


_reader = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite)

MAX_NESTED = 200
"""Levels of a body. Python writes some thousand, less those that its caller has used up."""


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_NESTED + 1):
        level = (
            [
                part
                for whole in level
                for part in (whole.values() if isinstance(whole, dict) else whole)
                if isinstance(part, dict | list)
            ]
            if isinstance(level[0], dict | list)
            else []
        )
        if not level:
            return
    raise ValueError("nested too deep")


def _without_half_pairs(value: Any) -> Any:
    """Put `?` for half a surrogate pair, which JSON can escape and UTF-8 cannot carry."""
    return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
