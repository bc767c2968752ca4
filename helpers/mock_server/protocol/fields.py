"""Reads the fields of a request's body, and answers a wrong one as OpenAI would."""

import json
import math
from typing import Any

from helpers.mock_server.protocol import errors


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


def array(body: dict[str, Any], name: str, where: str | None = None) -> list[Any]:
    """Return an array field that must be there; `where` is its place in the request."""
    value = body.get(name)
    if value is None:
        raise errors.missing(where or name)
    if not isinstance(value, list):
        raise errors.wrong_type(where or name, "an array of objects", value)
    return value


def empty_array(name: str) -> errors.ApiError:
    return errors.ApiError(
        400,
        f"Invalid '{name}': empty array. Expected an array with minimum length 1, but got an empty "
        "array instead.",
        param=name,
        code="empty_array",
    )


def string(body: dict[str, Any], name: str, where: str | None = None) -> str | None:
    """Return a text field; None where it is absent or null."""
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise errors.wrong_type(where or name, "a string", value)
    return value


def optional_object(
    body: dict[str, Any], name: str, where: str | None = None
) -> dict[str, Any] | None:
    """Return an object field; None where it is absent or null."""
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise errors.wrong_type(where or name, "an object", value)
    return value


MAX_METADATA = 16, 64, 512
"""Pairs, characters of a name, characters of a value, as at OpenAI."""


def metadata(body: dict[str, Any]) -> dict[str, str]:
    """Return the `metadata` field; empty where it is absent or null."""
    found = optional_object(body, "metadata") or {}
    pairs, name_length, value_length = MAX_METADATA
    if len(found) > pairs:
        raise errors.ApiError(
            400,
            f"Invalid 'metadata': too many properties. Expected an object with at most {pairs} "
            f"properties, but got an object with {len(found)} properties instead.",
            param="metadata",
            code="object_above_max_properties",
        )
    for name, value in found.items():
        where = f"metadata.{name[:name_length]}"
        if not isinstance(value, str):
            raise errors.wrong_type(where, "a string", value)
        for kind, text, most in (("name", name, name_length), ("value", value, value_length)):
            if len(text) > most:
                raise errors.ApiError(
                    400,
                    f"Invalid '{where}': {kind} too long. Expected at most {most} characters, "
                    f"but got {len(text)} instead.",
                    param=where,
                    code="string_above_max_length",
                )
    return found


def boolean(body: dict[str, Any], name: str, where: str | None = None) -> bool:
    """Return a field that is true or false; false where it is absent or null."""
    value = body.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise errors.wrong_type(where or name, "a boolean", value)
    return value


def integer(
    body: dict[str, Any], name: str, *, least: int | None = None, most: int | None = None
) -> int | None:
    """Return a whole number within its bounds; None where it is absent or null."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise errors.wrong_type(name, "an integer", value)
    _check_bounds(name, "integer", value, least, most)
    return value


def number(
    body: dict[str, Any], name: str, *, least: float | None = None, most: float | None = None
) -> float | None:
    """Return a number within its bounds; None where it is absent or null."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise errors.wrong_type(name, "a decimal", value)
    _check_bounds(name, "decimal", value, least, most)
    return value


def _check_bounds(
    name: str, kind: str, value: float, least: float | None, most: float | None
) -> None:
    if least is not None and value < least:
        raise errors.ApiError(
            400,
            f"Invalid '{name}': {kind} below minimum value. Expected a value >= {least}, "
            f"but got {value} instead.",
            param=name,
            code=f"{kind}_below_min_value",
        )
    if most is not None and value > most:
        raise errors.ApiError(
            400,
            f"Invalid '{name}': {kind} above maximum value. Expected a value <= {most}, "
            f"but got {value} instead.",
            param=name,
            code=f"{kind}_above_max_value",
        )
