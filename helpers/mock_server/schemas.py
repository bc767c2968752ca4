"""Values that are valid for a JSON schema, filled with words that fit."""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from helpers.mock_server import patterns

MAX_DEPTH = 8
"""Levels after which only what a schema requires is filled in, so that a recursive one ends."""

HARD_DEPTH = 40
"""Levels after which a schema is taken to be without end."""

MAX_LENGTH = 10_000
"""The longest string or array that a schema may force."""

MAX_WORK = 20_000
"""Steps of the search for a value: schemas taken up, and hundreds of characters made. Half a second
of work, which nothing else can interrupt; a large real schema takes a few hundred."""

MAX_PROMPT = 20_000
"""Characters, the last ones, of a prompt that are looked through for names and numbers."""

_FORMATS = {
    "date-time": "2026-01-15T09:30:00Z",
    "date": "2026-01-15",
    "time": "09:30:00Z",
    "duration": "PT15M",
    "email": "ada@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uri-reference": "/a",
    "uuid": "6f9619ff-8b86-4d01-b42d-00cf4fc964ff",
}

_PATTERN_GUESSES = (
    *_FORMATS.values(), "1", "12", "123", "1234", "12345", "a", "A", "ab", "AB", "abc", "ABC", "Ab",
    "ABC123", "ABC-123", "abc-123", "a1", "A1", "12:30", "+15550100", "1.0", "1.0.0", "#a1b2c3",
    "yes", "true", "word", "two words", "snake_case", "kebab-case", "@ada", "en", "en-GB", "00000",
)  # fmt: skip

_PLACE_WORDS = ("city", "location", "place", "country", "town", "destination", "origin", "region")
_TEXT_WORDS = ("answer", "summary", "text", "content", "explanation", "description", "message")
_NAME = re.compile(r"\b[A-Z][a-z]+(?: [A-Z][a-z]+)*")
_SENTENCE_STARTS = """
    what which who whom where when why how is are do does did can could should would will please
    tell give show find get name list write explain describe use call i the a an in it
"""
_LEADING = frozenset(_SENTENCE_STARTS.split())


class Unsatisfiable(ValueError):
    """No value for a schema was found."""


class _TooLarge(Exception):
    """The search took too long. No part of it may go on with another option."""


@dataclass(frozen=True, slots=True)
class Words:
    """Where the strings of a value come from."""

    prompt: str = ""
    reply: str = ""
    names: tuple[str, ...] = field(default=())
    """The proper names in the prompt: what a city or a person is likely to be."""
    turn: int = 0
    """Which of the names to take."""


def words(prompt: str, reply: str, turn: int = 0) -> Words:
    """Return the words that a prompt and its reply offer."""
    prompt = prompt[-MAX_PROMPT:]
    return Words(prompt=prompt, reply=reply, names=proper_names(prompt), turn=turn)


def proper_names(text: str) -> tuple[str, ...]:
    """Return the capitalised names in a text, without a capital that only starts a sentence."""
    found = []
    for match in _NAME.finditer(text):
        parts = match.group().split(" ")
        while parts and parts[0].lower() in _LEADING:
            parts = parts[1:]
        if parts:
            found.append(" ".join(parts))
    return tuple(dict.fromkeys(found))


def example(schema: Any, source: Words) -> Any:
    """Return a value that is valid for a schema.

    Raises:
        Unsatisfiable: none was found.
    """
    try:
        return _Maker(_Search(schema, source), source).make(schema, "", 0)
    except _TooLarge:
        raise Unsatisfiable("The schema is too large, or has too many choices.") from None
    except (ArithmeticError, RecursionError):
        raise Unsatisfiable("The schema's numbers or its depth are beyond reason.") from None
    except (AttributeError, KeyError, TypeError):  # a list where an object belongs, and the like
        raise Unsatisfiable("The schema is none: one of its keywords has a wrong type.") from None


class _Search:
    """What all makers of one value share: the schema, the words, and the work that is left."""

    def __init__(self, root: Any, source: Words) -> None:
        self.root = root
        self._source = source
        self._work = MAX_WORK
        self._steps = patterns.Steps()
        self._texts: dict[tuple[str, int, int], str | None] = {}

    def spend(self, work: int) -> None:
        """Count work.

        Raises:
            _TooLarge: there was too much of it.
        """
        self._work -= work
        if self._work < 0:
            raise _TooLarge

    @cached_property
    def prompt(self) -> str:
        """The prompt in small letters."""
        return self._source.prompt.lower()

    @cached_property
    def numbers(self) -> list[str]:
        """The numbers that the prompt speaks of."""
        return re.findall(r"-?\d{1,9}(?:\.\d{1,9})?", self._source.prompt)

    @cached_property
    def whole_numbers(self) -> list[int]:
        """The whole numbers that the prompt speaks of."""
        return [int(number) for number in re.findall(r"-?\d{1,9}", self._source.prompt)]

    @cached_property
    def spoken(self) -> list[str]:
        """The words of the reply."""
        return re.findall(r"[a-z]{4,}", self._source.reply[:MAX_PROMPT].lower())

    def matching(self, pattern: str, least: int, most: int) -> str:
        """Return a text for a pattern; for one seen before, the same."""
        key = pattern, least, most
        if key not in self._texts:
            self.spend(20)
            try:
                self._texts[key] = patterns.matching(*key, _PATTERN_GUESSES, self._steps)
            except patterns.NoText:
                self._texts[key] = None
        text = self._texts[key]
        if text is None:
            raise Unsatisfiable(f"No text for the pattern {pattern[:100]!r} was found.")
        return text


class _Maker:
    def __init__(self, search: _Search, source: Words) -> None:
        self._search = search
        self._source = source

    def make(self, schema: Any, name: str, depth: int) -> Any:
        made = self._make(schema, name, depth)
        if isinstance(made, str):
            self._search.spend(len(made) // 100)
        return made

    def _make(self, schema: Any, name: str, depth: int) -> Any:
        self._search.spend(1 + (len(schema) // 50 if isinstance(schema, dict) else 0))
        if depth > HARD_DEPTH:
            raise Unsatisfiable("The schema has no end.")
        if schema is True:
            return self._source.reply
        if not isinstance(schema, dict):
            raise Unsatisfiable(f"No value is valid for the schema {schema!r}.")
        if "const" in schema:
            return self._copied(schema["const"])
        options = schema.get("enum")
        if isinstance(options, list):
            return self._copied(self._one_of(options))
        if isinstance(schema.get("$ref"), str):
            merged = {key: value for key, value in schema.items() if key != "$ref"}
            target = self._resolve(schema["$ref"])
            if isinstance(target, dict):
                return self.make({**target, **merged}, name, depth + 1)
            return self.make(target, name, depth + 1)
        if isinstance(schema.get("allOf"), list):
            return self.make(self._merged(schema), name, depth + 1)
        for choice in ("anyOf", "oneOf"):
            if isinstance(schema.get(choice), list):
                return self._first_valid(schema, schema[choice], name, depth)
        return self._by_type(schema, name, depth)

    def _copied(self, value: Any) -> Any:
        if isinstance(value, dict | list):
            self._search.spend(len(json.dumps(value)) // 100)
        return value

    def _one_of(self, options: list[Any]) -> Any:
        """Return the option that the prompt speaks of, else the first."""
        if not options:
            raise Unsatisfiable("An enum without values.")
        self._search.spend(len(options) // 10)
        for option in options:
            if isinstance(option, str) and option and option.lower() in self._search.prompt:
                return option
        return options[0]

    def _resolve(self, reference: str) -> Any:
        self._search.spend(len(reference) // 100)
        target = self._search.root
        for part in reference.removeprefix("#").strip("/").split("/"):
            if not part:
                continue
            part = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(target, dict) or part not in target:
                raise Unsatisfiable(f"The schema has no {reference}.")
            target = target[part]
        return target

    def _merged(self, schema: dict[str, Any]) -> dict[str, Any]:
        merged = {key: value for key, value in schema.items() if key != "allOf"}
        for part in schema["allOf"]:
            self._search.spend(1 + (len(str(part)) + len(str(merged.get("required")))) // 1000)
            if isinstance(merged.get("properties"), dict):
                self._search.spend(len(merged["properties"]) // 50)
            if isinstance(part, dict) and isinstance(part.get("$ref"), str):
                part = self._resolve(part["$ref"])
            if not isinstance(part, dict):
                raise Unsatisfiable("A part of an allOf that is no object.")
            for key, value in part.items():
                if key == "properties" and isinstance(merged.get(key), dict):
                    merged[key] = {**merged[key], **value}
                elif key == "required" and isinstance(merged.get(key), list):
                    merged[key] = [*merged[key], *value]
                else:
                    merged[key] = value
        return merged

    def _first_valid(
        self, schema: dict[str, Any], options: list[Any], name: str, depth: int
    ) -> Any:
        rest = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf")}
        # Deep down, the plainest option first: that is how a recursive schema ends.
        if depth >= MAX_DEPTH:
            texts = [len(str(option)) for option in options]
            self._search.spend(sum(texts) // 1000)
            order = sorted(range(len(options)), key=texts.__getitem__)
            options = [options[place] for place in order]
        failure = Unsatisfiable("A choice without options.")
        for option in options:
            merged = {**rest, **option} if isinstance(option, dict) else option
            try:
                return self.make(merged, name, depth + 1)
            except Unsatisfiable as error:
                failure = error
        raise failure

    def _by_type(self, schema: dict[str, Any], name: str, depth: int) -> Any:
        kind = schema.get("type")
        if isinstance(kind, list):
            kinds = [one for one in kind if one != "null"]
            if not kinds or (depth >= MAX_DEPTH and "null" in kind):
                return None
            kind = kinds[0]
        if kind is None:
            kind = _implied(schema)
        makers: dict[str, Callable[[dict[str, Any], str, int], Any]] = {
            "object": self._object,
            "array": self._array,
            "string": self._string,
            "integer": self._integer,
            "number": self._number,
            "boolean": lambda *_: True,
            "null": lambda *_: None,
        }
        if kind not in makers:
            raise Unsatisfiable(f"JSON schema knows no type {kind!r}.")
        return makers[kind](schema, name, depth)

    def _object(self, schema: dict[str, Any], name: str, depth: int) -> dict[str, Any]:
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        if not isinstance(properties, dict) or not isinstance(required, list):
            raise Unsatisfiable("An object whose properties are no object.")
        required = [key for key in dict.fromkeys(required) if isinstance(key, str)]
        needed = frozenset(required)
        made: dict[str, Any] = {}
        for key, part in properties.items():
            if key not in needed and depth >= MAX_DEPTH:
                continue
            try:
                made[key] = self.make(part, key, depth + 1)
            except Unsatisfiable:
                if key in needed:
                    raise
        others = schema.get("additionalProperties", True)
        for key in required:
            if key not in made:
                made[key] = self.make(others, key, depth + 1)
        least = schema.get("minProperties", 0)
        if isinstance(least, int):
            if least > MAX_LENGTH:
                raise Unsatisfiable("An object that is too large.")
            for number in range(len(made), least):
                made[f"key_{number + 1}"] = self.make(others, "", depth + 1)
        return made

    def _array(self, schema: dict[str, Any], name: str, depth: int) -> list[Any]:
        least = _whole(schema.get("minItems"), 0)
        most = _whole(schema.get("maxItems"), MAX_LENGTH)
        first = schema.get("prefixItems", [])
        made = (
            [self.make(part, name, depth + 1) for part in first] if isinstance(first, list) else []
        )
        items = schema.get("items", True)
        if items is False:
            return made
        wanted = max(least, 0 if depth >= MAX_DEPTH or len(made) else min(2, most))
        if wanted > MAX_LENGTH:
            raise Unsatisfiable("An array that is too long.")
        distinct = schema.get("uniqueItems") is True
        seen = {json.dumps(value, sort_keys=True) for value in made} if distinct else set()
        tries = 0
        while len(made) < wanted and tries < wanted + 50:
            turn = len(made) if tries == len(made) else tries
            maker = _Maker(self._search, replace(self._source, turn=turn))
            try:
                value = maker.make(_varied(items, turn) if distinct else items, name, depth + 1)
            except Unsatisfiable:
                if least == 0:
                    return made
                raise
            tries += 1
            if distinct:
                key = json.dumps(value, sort_keys=True)
                if key in seen:
                    continue
                seen.add(key)
            made.append(value)
        if len(made) < least:
            raise Unsatisfiable("Too few distinct items.")
        return made

    def _string(self, schema: dict[str, Any], name: str, depth: int) -> str:
        least = _whole(schema.get("minLength"), 0)
        most = _whole(schema.get("maxLength"), MAX_LENGTH)
        if least > MAX_LENGTH:
            raise Unsatisfiable("A string that is too long.")
        pattern = schema.get("pattern")
        if isinstance(pattern, str):
            return self._search.matching(pattern, least, most)
        known = _FORMATS.get(str(schema.get("format")))
        text = known if known is not None else self._text(name)
        if len(text) < least:
            text += "." * (least - len(text))
        if len(text) > most:
            if known is not None:
                raise Unsatisfiable("A format that does not fit its length.")
            text = text[:most]
        return text

    def _text(self, name: str) -> str:
        source, low = self._source, name.lower()
        if source.names and (any(word in low for word in _PLACE_WORDS) or low.endswith("name")):
            return source.names[source.turn % len(source.names)]
        if any(word in low for word in _TEXT_WORDS):
            return source.reply or "A short answer."
        if any(word in low for word in ("query", "question", "prompt", "input", "expression")):
            return source.prompt or "a question"
        if source.names:
            return source.names[source.turn % len(source.names)]
        spoken = self._search.spoken
        if source.turn < len(spoken):
            return spoken[source.turn]
        return f"{name or 'text'} {source.turn + 1}"

    def _integer(self, schema: dict[str, Any], name: str, depth: int) -> int:
        low, high = _range(schema)
        step = _step(schema)
        if step is not None:
            return int(_multiple(step, low, high, whole=True))
        for number in self._search.whole_numbers:
            if low <= number <= high:
                return number
        value = 1 if low <= 1 <= high else math.ceil(low) if low > -math.inf else math.floor(high)
        if value > high:
            raise Unsatisfiable("No whole number within the bounds.")
        return value

    def _number(self, schema: dict[str, Any], name: str, depth: int) -> float:
        low, high = _range(schema)
        step = _step(schema)
        if step is not None:
            return _multiple(step, low, high, whole=False)
        for number in self._search.numbers:
            if low <= float(number) <= high:
                return float(number)
        if low <= 0.5 <= high:
            return 0.5
        if low > -math.inf and high < math.inf:
            return (low + high) / 2
        return low + 1 if low > -math.inf else high - 1


def _implied(schema: dict[str, Any]) -> str:
    """Return the type that a schema without one speaks of."""
    for key, kind in (
        ("properties", "object"), ("required", "object"), ("items", "array"),
        ("minimum", "number"), ("maximum", "number"),
    ):  # fmt: skip
        if key in schema:
            return kind
    return "string"


def _varied(items: Any, turn: int) -> Any:
    """Return a schema that gives another value at another turn, for arrays of distinct items."""
    if not isinstance(items, dict):
        return items
    if isinstance(items.get("enum"), list) and turn < len(items["enum"]):
        return {"const": items["enum"][turn]}
    if items.get("type") in ("integer", "number"):
        return {**items, "minimum": _range(items)[0] + turn if "minimum" in items else turn}
    return items


def _whole(value: Any, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def _range(schema: dict[str, Any]) -> tuple[float, float]:
    def bound(key: str, default: float) -> float:
        value = schema.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return default
        return value

    whole = schema.get("type") == "integer"
    low = bound("minimum", -math.inf)
    high = bound("maximum", math.inf)
    above = bound("exclusiveMinimum", -math.inf)
    below = bound("exclusiveMaximum", math.inf)
    if above >= low and above > -math.inf:
        low = math.floor(above) + 1 if whole else above + _nudge(above, high, below)
    if below <= high and below < math.inf:
        high = math.ceil(below) - 1 if whole else below - _nudge(below, low, above)
    return low, high


def _nudge(edge: float, *others: float) -> float:
    """Return a step off an open edge that stays clear of the other one."""
    widths = [abs(other - edge) for other in others if math.isfinite(other) and other != edge]
    return min([1.0, *(width / 4 for width in widths)])


def _step(schema: dict[str, Any]) -> float | None:
    step = schema.get("multipleOf")
    if isinstance(step, bool) or not isinstance(step, int | float) or step <= 0:
        return None
    return step


def _multiple(step: float, low: float, high: float, *, whole: bool) -> float:
    """Return a multiple within bounds: the one nearest to the bound that there is, or to 0."""
    if low > -math.inf:
        start, onward = math.ceil(low / step), 1
    else:
        start, onward = min(0, math.floor(high / step) if high < math.inf else 0), -1
    for number in range(start, start + 1000 * onward, onward):
        value = number * step
        if not low <= value <= high:
            break
        if not whole or value == int(value):
            return value
    raise Unsatisfiable("No multiple within the bounds.")
