"""Whether a value is valid for a JSON schema, told within a bounded time.

Not by `jsonschema`: its import takes 0.85 s and 22 MB, in which all streams stand still; a value
1.6 to 2 times as long as here, and one of 2,000 distinct items 2.8 s for 3 ms.
"""

import itertools
import math
import re
from collections.abc import Hashable
from fractions import Fraction
from typing import Any
from urllib.parse import unquote

from helpers.mock_server.content import patterns

MAX_WORK = 20_000
"""Steps of the search for a value: schemas taken up, and hundreds of characters made. Half a second
of work, which nothing else can interrupt; a large real schema takes a few hundred."""

MAX_NUMBER = 10**300
"""The largest bound of a number: a float can be that large, and its digits can be written."""


class Unsatisfiable(ValueError):
    """No value for a schema was found."""


class TooLarge(Exception):
    """The search took too long. No part of it may go on with another option."""


class Checker:
    """Checks values against the parts of one schema, and counts the work that it takes."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self._work: float = MAX_WORK
        self._steps = patterns.Steps()
        self._matches: dict[tuple[str, str], bool] = {}

    def spend(self, work: float) -> None:
        """Count work.

        Raises:
            TooLarge: there was too much of it.
        """
        self._work -= work
        if self._work < 0:
            raise TooLarge

    def is_match(self, pattern: str, text: str) -> bool:
        """Return whether a pattern is found in a text.

        Raises:
            Unsatisfiable: it could take too long to tell.
        """
        if (pattern, text) not in self._matches:
            self.spend(3 + len(pattern) // 10)
            try:
                self._matches[pattern, text] = patterns.matches(pattern, text, self._steps)
            except patterns.NoText as problem:
                raise Unsatisfiable(str(problem)) from None
        return self._matches[pattern, text]

    def resolve(self, reference: str) -> Any:
        """Return the part of the schema that a `$ref` names."""
        self.spend(len(reference) // 100)
        target = self.root
        own = target.get("$id") if isinstance(target, dict) else None
        place = reference.removeprefix(own) if isinstance(own, str) else reference
        for part in place.removeprefix("#").strip("/").split("/"):
            if not part:
                continue
            part = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(target, list) and re.fullmatch(r"\d{1,5}", part):
                target = dict(enumerate(target)).get(int(part))
            elif isinstance(target, dict):
                target = target.get(part)
            else:
                target = None
            if target is None:
                raise Unsatisfiable(f"The schema has no {reference[:100]}.")
        return target

    # --- whether a value is valid ---

    def is_valid(self, schema: Any, value: Any) -> bool:
        """Return whether a value is valid for a schema.

        All keywords of draft 2020-12 and those that they replaced are looked at, but `format`,
        `unevaluatedItems`, `unevaluatedProperties` and what describes contents.

        Raises:
            Unsatisfiable: the schema is none, or it could take too long to tell.
        """
        # A fifth of what it takes to make a value: that is how long it takes.
        self.spend(0.2 + (len(schema) // 250 if isinstance(schema, dict) else 0))
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, dict):
            raise Unsatisfiable(f"No value is valid for the schema {str(schema)[:100]!r}.")
        if "type" in schema and not any(_is_a(kind, value) for kind in kinds_of(schema["type"])):
            return False
        if "const" in schema and not self._is_among([schema["const"]], value):
            return False
        if "enum" in schema and not self._is_among(schema["enum"], value):
            return False
        if isinstance(value, str):
            fits = _has_size(schema, "Length", value) and self._has_pattern(schema, value)
        elif isinstance(value, list):
            fits = _has_size(schema, "Items", value) and self._has_valid_items(schema, value)
        elif isinstance(value, dict):
            fits = _has_size(schema, "Properties", value) and self._has_valid_parts(schema, value)
        else:
            fits = value is None or isinstance(value, bool) or _is_within(schema, value)
        return fits and self._meets_choices(schema, value)

    def _is_among(self, options: list[Any], value: Any) -> bool:
        key = self._key(value)
        return any(option is value or self._key(option) == key for option in options)

    def _key(self, value: Any) -> Hashable:
        """Return what is equal for values that are equal in JSON: 1 and 1.0, but not True."""
        self.spend(0.01)
        match value:
            case bool():
                return "boolean", value
            case str():
                self.spend(len(value) / 100_000)
            case list():
                return "array", tuple(map(self._key, value))
            case dict():
                return "object", frozenset((name, self._key(part)) for name, part in value.items())
        return value  # type: ignore[no-any-return]

    def _has_pattern(self, schema: dict[str, Any], value: str) -> bool:
        return "pattern" not in schema or self.is_match(schema["pattern"], value)

    def _has_valid_items(self, schema: dict[str, Any], value: list[Any]) -> bool:
        first, others = items_of(schema)
        if not all(map(self.is_valid, itertools.chain(first, itertools.repeat(others)), value)):
            return False
        if schema.get("uniqueItems") is True and len(set(map(self._key, value))) < len(value):
            return False
        if "contains" not in schema:
            return True
        found = sum(self.is_valid(schema["contains"], item) for item in value)
        least = whole(schema.get("minContains"), 1)
        return least <= found <= whole(schema.get("maxContains"), found)

    def _has_valid_parts(self, schema: dict[str, Any], value: dict[str, Any]) -> bool:
        names = schema.get("propertyNames", True)
        return (
            all(key in value for key in schema.get("required", ()))
            and (names is True or all(self.is_valid(names, key) for key in value))
            and all(self.is_valid(self.part(schema, key), part) for key, part in value.items())
            and all(
                all(one in value for one in then)
                if isinstance(then, list)
                else self.is_valid(then, value)
                for keyword in ("dependentRequired", "dependentSchemas", "dependencies")
                for key, then in schema.get(keyword, {}).items()
                if key in value
            )
        )

    def _meets_choices(self, schema: dict[str, Any], value: Any) -> bool:
        def holds(part: Any) -> bool:
            return self.is_valid(part, value)

        if "$ref" in schema and not holds(self.resolve(schema["$ref"])):
            return False
        if not all(map(holds, schema.get("allOf", ()))):
            return False
        if "anyOf" in schema and not any(map(holds, schema["anyOf"])):
            return False
        if "oneOf" in schema and sum(map(holds, schema["oneOf"])) != 1:
            return False
        if "not" in schema and holds(schema["not"]):
            return False
        if "if" in schema:
            return holds(schema.get("then" if holds(schema["if"]) else "else", True))
        return True

    def part(self, schema: dict[str, Any], key: str) -> Any:
        """Return the schema of an object's part."""
        self.spend(len(schema.get("patternProperties", ())) // 50)
        found = [
            part
            for pattern, part in schema.get("patternProperties", {}).items()
            if self.is_match(pattern, key)
        ]
        if key in schema.get("properties", {}):
            found.insert(0, schema["properties"][key])
        if not found:
            return schema.get("additionalProperties", True)
        return found[0] if len(found) == 1 else {"allOf": found}


def kinds_of(kind: Any) -> list[Any]:
    return kind if isinstance(kind, list) else [kind]


def _is_a(kind: Any, value: Any) -> bool:
    match value:
        case None:
            return bool(kind == "null")
        case bool():
            return bool(kind == "boolean")
        case int():
            return kind in ("integer", "number")
        case float():
            return kind == "number" or (kind == "integer" and value.is_integer())
        case str():
            return bool(kind == "string")
        case list():
            return bool(kind == "array")
    return bool(kind == "object")


def items_of(schema: dict[str, Any]) -> tuple[list[Any], Any]:
    """Return the schemas of an array's first items, and that of all others."""
    items = schema.get("items", True)
    if isinstance(items, list):  # before draft 2020-12
        return items, schema.get("additionalItems", True)
    first = schema.get("prefixItems", [])
    if not isinstance(first, list):
        raise Unsatisfiable("The prefixItems are no array.")
    return first, items


def whole(value: Any, default: int) -> int:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def _has_size(schema: dict[str, Any], of: str, value: Any) -> bool:
    size = len(value)
    return whole(schema.get(f"min{of}"), 0) <= size <= whole(schema.get(f"max{of}"), size)


def bounds_of(schema: dict[str, Any]) -> tuple[float, float, float | None]:
    """Return the bounds of a number, open or not, and what it shall be a multiple of."""

    def found(key: str, default: Any) -> Any:
        value = schema.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return default
        if abs(value) > MAX_NUMBER:
            raise Unsatisfiable("The schema's numbers are beyond reason.")
        return value

    low = max(found("minimum", -math.inf), found("exclusiveMinimum", -math.inf))
    high = min(found("maximum", math.inf), found("exclusiveMaximum", math.inf))
    step = found("multipleOf", None)
    return low, high, step if step is None or step > 0 else None


def _is_within(schema: dict[str, Any], value: float) -> bool:
    low, high, step = bounds_of(schema)
    if not low <= value <= high:
        return False
    for edge, old in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        limit = schema.get(edge)
        if value == (schema.get(old) if limit is True else limit):  # True: so draft 4 has it
            return False
    # As they are written: 0.3 is a multiple of 0.1.
    return step is None or (Fraction(str(value)) / Fraction(str(step))).denominator == 1
