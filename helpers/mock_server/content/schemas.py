"""Values that are valid for a JSON schema, filled with words that fit."""

import itertools
import json
import math
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from fractions import Fraction
from functools import cached_property
from typing import Any

from helpers.mock_server.content import patterns
from helpers.mock_server.content.validity import (
    Checker,
    TooLarge,
    Unsatisfiable,
    bounds_of,
    items_of,
    kinds_of,
    whole,
)

MAX_DEPTH = 8
"""Levels after which only what a schema requires is filled in, so that a recursive one ends."""

HARD_DEPTH = 40
"""Levels after which a schema is taken to be without end."""

MAX_LENGTH = 10_000
"""The longest string or array that a schema may force."""

MAX_PROMPT = 20_000
"""Characters, the last ones, of a prompt that are looked through for names and numbers."""

MAX_OPTIONS = 1000
"""Values of an enum that are looked at, and values of a number or a text that are tried."""

MAX_SPOKEN = 2000
"""Characters, the last ones, of a prompt that an enum's values are looked for in."""

_DAYS = [str(date(2026, 1, 15) + timedelta(days=day)) for day in range(100)]
_FORMATS = {
    "date-time": [f"{day}T09:30:00Z" for day in _DAYS],
    "date": _DAYS,
    "time": [f"{9 + minute // 60:02}:{minute % 60:02}:00Z" for minute in range(30, 130)],
    "duration": [f"PT{minutes}M" for minutes in range(15, 115)],
    "email": ["ada@example.com", *(f"ada{number}@example.com" for number in range(2, 101))],
    "hostname": ["example.com", *(f"www{number}.example.com" for number in range(2, 101))],
    "ipv4": [f"192.0.2.{number}" for number in range(1, 101)],
    "ipv6": [f"2001:db8::{number}" for number in range(1, 101)],
    "uri": ["https://example.com/", *(f"https://example.com/{page}" for page in range(2, 101))],
    "uri-reference": ["/a", *(f"/a{number}" for number in range(2, 101))],
    "uuid": [f"6f9619ff-8b86-4d01-b42d-00cf4fc9{number:04x}" for number in range(0x64FF, 0x6563)],
}
"""Texts of each format, a hundred of them for arrays whose items are distinct."""

_PATTERN_GUESSES = (
    *(texts[0] for texts in _FORMATS.values()), "1", "12", "123", "1234", "12345", "a", "A", "ab",
    "AB", "abc", "ABC", "Ab", "ABC123", "ABC-123", "abc-123", "a1", "A1", "12:30", "+15550100",
    "1.0", "1.0.0", "#a1b2c3", "yes", "true", "word", "two words", "snake_case", "kebab-case",
    "@ada", "en", "en-GB", "00000",
)  # fmt: skip

_PLACE_WORDS = ("city", "location", "place", "country", "town", "destination", "origin", "region")
_TEXT_WORDS = ("answer", "summary", "text", "content", "explanation", "description", "message")
_NAME = re.compile(r"\b[A-Z][a-z]+(?: [A-Z][a-z]+)*")
_SENTENCE_STARTS = """
    what which who whom where when why how is are do does did can could should would will please
    tell give show find get name list write explain describe use call i the a an in it
"""
_LEADING = frozenset(_SENTENCE_STARTS.split())


@dataclass(frozen=True, slots=True)
class Words:
    """Where the strings of a value come from."""

    prompt: str = ""
    reply: str = ""
    names: tuple[str, ...] = field(default=())
    """The proper names in the prompt: what a city or a person is likely to be."""
    turn: int = 0
    """Which of the names to take."""
    distinct: bool = False
    """Whether all else shall also differ from turn to turn, as far as it can."""


def words(prompt: str, reply: str, turn: int = 0) -> Words:
    """Return the words that a prompt and its reply offer."""
    prompt = prompt[-MAX_PROMPT:]
    return Words(prompt=prompt, reply=reply, names=proper_names(prompt), turn=turn)


def guesses(source: Words) -> tuple[str, ...]:
    """Return texts that many patterns match, the proper names first."""
    return (*source.names, *_PATTERN_GUESSES)


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
    search = _Search(schema, source)
    try:
        made = _Maker(search, source).make(schema, "", 0)
        if not search.is_valid(schema, made):
            raise Unsatisfiable("No value was found that all its parts agree on.")
        return made
    except TooLarge:
        raise Unsatisfiable("The schema is too large, or has too many choices.") from None
    except (ArithmeticError, RecursionError):
        raise Unsatisfiable("The schema's numbers or its depth are beyond reason.") from None
    except (AttributeError, KeyError, TypeError):  # a list where an object belongs, and the like
        raise Unsatisfiable("The schema is none: one of its keywords has a wrong type.") from None


def problem_of(schema: Any, text: str) -> str | None:
    """Return what is wrong with a JSON text that is to be valid for a schema; None for nothing."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as problem:
        return f"no JSON ({problem})"
    try:
        valid = Checker(schema).is_valid(schema, value)
    except (Unsatisfiable, TooLarge, ArithmeticError, RecursionError):
        return None  # the schema is beyond us: then the script is right
    except (AttributeError, KeyError, TypeError):
        return None
    return None if valid else f"not valid for the schema: {text[:200]}"


class _Search(Checker):
    """What all makers of one value share: the schema, the words, and the work that is left."""

    def __init__(self, root: Any, source: Words) -> None:
        super().__init__(root)
        self._source = source
        self._texts: dict[tuple[str, int, int, int], str | None] = {}

    @cached_property
    def prompt(self) -> str:
        """The end of the prompt in small letters."""
        return self._source.prompt[-MAX_SPOKEN:].lower()

    @cached_property
    def numbers(self) -> list[float]:
        """The numbers that the prompt speaks of."""
        found = re.findall(r"-?\d{1,9}(?:\.\d{1,9})?", self._source.prompt)
        return [float(number) for number in found]

    @cached_property
    def whole_numbers(self) -> list[int]:
        """The whole numbers that the prompt speaks of."""
        return [int(number) for number in re.findall(r"-?\d{1,9}", self._source.prompt)]

    @cached_property
    def spoken(self) -> list[str]:
        """The words of the reply."""
        return re.findall(r"[a-z]{4,}", self._source.reply[:MAX_PROMPT].lower())

    def matching(self, pattern: str, least: int, most: int, turn: int) -> str:
        """Return a text for a pattern; for one seen before, the same."""
        key = pattern, least, most, turn
        if key not in self._texts:
            self.spend(20 + len(pattern))
            try:
                text = patterns.matching(pattern, least, most, _PATTERN_GUESSES, self._steps, turn)
                self._matches[pattern, text] = True
                self._texts[key] = text
            except patterns.NoText:
                self._texts[key] = None
        found = self._texts[key]
        if found is None:
            raise Unsatisfiable(f"No text for the pattern {pattern[:100]!r} was found.")
        return found


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
            raise Unsatisfiable(f"No value is valid for the schema {str(schema)[:100]!r}.")
        if "const" in schema:
            return self._copied(self._first(_without(schema, "const"), [schema["const"]]))
        if isinstance(schema.get("enum"), list):
            options = self._turned(self._ordered(schema["enum"]))
            return self._copied(self._first(_without(schema, "enum"), options))
        for choice in ("anyOf", "oneOf"):
            if isinstance(schema.get(choice), list):
                return self._first_option(schema, choice, name, depth)
        if any(key in schema for key in ("$ref", "allOf", "if")):
            return self.make(self._merged([schema]), name, depth + 1)
        return self._by_type(schema, name, depth)

    def _copied(self, value: Any) -> Any:
        if isinstance(value, dict | list):
            self._search.spend(len(json.dumps(value)) // 100)
        return value

    def _first(self, schema: dict[str, Any], values: Iterable[Any]) -> Any:
        """Return the first of some values that is valid."""
        for value in values:
            if self._search.is_valid(schema, value):
                return value
        raise Unsatisfiable(f"No value was found for the schema {str(schema)[:100]}.")

    def _turned(self, values: Iterable[Any]) -> Iterator[Any]:
        """Yield values, where they shall be distinct from another one on at each turn."""
        values = itertools.islice(values, MAX_OPTIONS + self._source.turn)
        if not self._source.distinct:
            return values
        self._search.spend(self._source.turn // 100)
        skipped = list(itertools.islice(values, self._source.turn))
        return itertools.chain(values, skipped)

    def _ordered(self, options: list[Any]) -> list[Any]:
        """Return the options with those first that the prompt speaks of."""
        if not options:
            raise Unsatisfiable("An enum without values.")
        options, prompt = options[:MAX_OPTIONS], self._search.prompt
        self._search.spend(len(options) // 10)

        def is_unspoken(option: Any) -> bool:
            spoken = isinstance(option, str) and 0 < len(option) <= MAX_SPOKEN
            return not (spoken and option.lower() in prompt)

        return sorted(options, key=is_unspoken)

    def _merged(self, schemas: list[Any]) -> dict[str, Any]:
        """Return one schema for several that shall all hold, without `$ref`, `allOf` and `if`.

        What cannot be said in one is left out: the value is checked in the end.
        """
        merged: dict[str, Any] = {}
        queue = deque(schemas)
        while queue:
            part = queue.popleft()
            self._search.spend(1 + len(merged) // 50)
            if part is True:
                continue
            if not isinstance(part, dict):
                raise Unsatisfiable("A part of an allOf that is no object.")
            if "if" in part:
                no, then, other = part["if"], part.get("then", True), part.get("else", True)
                options = [{"allOf": [no, then]}, {"allOf": [{"not": no}, other]}]
                part = _without(part, "if", "then", "else")
                queue.append({"anyOf": options})
            for key, value in part.items():
                if key == "$ref":
                    queue.append(self._search.resolve(value))
                elif key == "allOf":
                    queue.extend(value)
                elif key not in merged:
                    merged[key] = value
                elif key in ("anyOf", "oneOf", "enum", "const"):  # it has to wait for the other
                    merged.setdefault("allOf", []).append({key: value})
                elif key in _MERGERS:
                    if isinstance(value, dict | list):
                        self._search.spend((len(value) + len(merged[key])) // 50)
                    merged[key] = _MERGERS[key](merged[key], value)
                elif key in ("pattern", "contains", "multipleOf", "prefixItems"):
                    merged["not"] = _either(merged.get("not", False), {"not": {key: value}})
        return merged

    def _first_option(self, schema: dict[str, Any], choice: str, name: str, depth: int) -> Any:
        options, rest = schema[choice], _without(schema, choice)
        # Deep down, the plainest option first: that is how a recursive schema ends.
        order = list(range(len(options)))
        if depth >= MAX_DEPTH:
            texts = [len(str(option)) for option in options]
            self._search.spend(sum(texts) // 1000)
            order.sort(key=texts.__getitem__)
        failure = Unsatisfiable("A choice without options.")
        for place in order:
            parts = [rest, options[place]]
            if choice == "oneOf" and len(options) > 1:
                parts.append({"not": {"anyOf": options[:place] + options[place + 1 :]}})
            # What a reference leads to is a level of its own.
            refers = isinstance(options[place], dict) and "$ref" in options[place]
            try:
                made = self.make(self._merged(parts), name, depth + 1 + refers)
                if self._search.is_valid(schema, made):
                    return made
            except Unsatisfiable as error:
                failure = error
        raise failure

    def _by_type(self, schema: dict[str, Any], name: str, depth: int) -> Any:
        kinds = kinds_of(schema.get("type") or _implied(schema))
        if "null" in kinds:
            others = [kind for kind in kinds if kind != "null"]
            kinds = ["null", *others] if depth >= MAX_DEPTH else [*others, "null"]
        makers: dict[Any, Callable[[], Iterable[Any]]] = {
            "object": lambda: self._objects(schema, depth),
            "array": lambda: self._arrays(schema, name, depth),
            "string": lambda: self._strings(schema, name),
            "integer": lambda: self._turned(self._integers(schema)),
            "number": lambda: self._turned(self._numbers(schema)),
            "boolean": lambda: self._turned((True, False)),
            "null": lambda: (None,),
        }
        failure = Unsatisfiable("A schema without a type.")
        for kind in kinds:
            if kind not in makers:
                raise Unsatisfiable(f"JSON schema knows no type {str(kind)[:100]!r}.")
            try:
                return self._first(schema, makers[kind]())
            except Unsatisfiable as error:
                failure = error
        raise failure

    def _objects(self, schema: dict[str, Any], depth: int) -> Iterator[dict[str, Any]]:
        """Yield an object with all its properties, and one with the required ones alone."""
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        if not isinstance(properties, dict) or not isinstance(required, list):
            raise Unsatisfiable("An object whose properties are no object.")
        needed = dict.fromkeys(key for key in required if isinstance(key, str))
        for key, then in schema.get("dependentRequired", {}).items():
            if key in properties or key in needed:
                needed.update(dict.fromkeys(then))
        room = whole(schema.get("maxProperties"), MAX_LENGTH) - len(needed)
        made: dict[str, Any] = {}
        for key in properties:
            if key not in needed and (depth >= MAX_DEPTH or room <= 0):
                continue
            try:
                made[key] = self.make(self._search.part(schema, key), key, depth + 1)
                room -= key not in needed
            except Unsatisfiable:
                if key in needed:
                    raise
        for key in needed:
            if key not in made:
                made[key] = self.make(self._search.part(schema, key), key, depth + 1)
        least = whole(schema.get("minProperties"), 0)
        if least > MAX_LENGTH:
            raise Unsatisfiable("An object that is too large.")
        while len(made) < least:
            key = self._new_key(schema, made, depth)
            made[key] = self.make(self._search.part(schema, key), "", depth + 1)
        yield made
        names = frozenset(required)
        yield {key: part for key, part in made.items() if key in names}

    def _new_key(self, schema: dict[str, Any], made: dict[str, Any], depth: int) -> str:
        names = schema.get("propertyNames", True)
        if names is True and schema.get("patternProperties"):
            names = {"pattern": next(iter(schema["patternProperties"]))}
        if names is True:
            numbered = (f"key_{number}" for number in itertools.count(len(made) + 1))
            return next(key for key in numbered if key not in made)
        other = {"type": "string", "not": {"enum": list(made)}}
        maker = self._at_turn(len(made), distinct=True)
        return str(maker.make({"allOf": [other, names]}, "key", depth + 1))

    def _at_turn(self, turn: int, *, distinct: bool) -> "_Maker":
        distinct = distinct or self._source.distinct
        return _Maker(self._search, replace(self._source, turn=turn, distinct=distinct))

    def _arrays(self, schema: dict[str, Any], name: str, depth: int) -> Iterator[list[Any]]:
        least = whole(schema.get("minItems"), 0)
        most = whole(schema.get("maxItems"), MAX_LENGTH)
        first, others = items_of(schema)
        parts = list(first[:most])
        if "contains" in schema:
            count = min(whole(schema.get("minContains"), 1), MAX_LENGTH)
            parts += [{"allOf": [schema["contains"], others]}] * count
        wanted = max(least, len(parts) or (0 if depth >= MAX_DEPTH else min(2, most)))
        if wanted > MAX_LENGTH:
            raise Unsatisfiable("An array that is too long.")
        distinct = schema.get("uniqueItems") is True
        start = self._source.turn if self._source.distinct else 0
        made: list[Any] = []
        for place in range(wanted):
            part = parts[place] if place < len(parts) else others
            if distinct and made:
                self._search.spend(len(made) // 50)
                part = {"allOf": [part, {"not": {"enum": made}}]}
            try:
                made.append(
                    self._at_turn(start + place, distinct=distinct).make(part, name, depth + 1)
                )
            except Unsatisfiable:
                if place < max(least, len(parts)):
                    raise
                break
        yield made

    def _strings(self, schema: dict[str, Any], name: str) -> Iterator[str]:
        least = whole(schema.get("minLength"), 0)
        most = whole(schema.get("maxLength"), MAX_LENGTH)
        if least > MAX_LENGTH:
            raise Unsatisfiable("A string that is too long.")
        pattern, kind = schema.get("pattern"), str(schema.get("format"))
        if isinstance(pattern, str):
            return self._turned(self._patterned(pattern, least, most))
        texts = _FORMATS.get(kind)
        if texts is None:
            return _marked(self._text(name), least, most)
        if kind == "email":
            texts = [text.rjust(least, "a") for text in texts]
        elif kind in ("uri", "uri-reference"):
            texts = [text.ljust(least, "a") for text in texts]
        return self._turned(texts)

    def _patterned(self, pattern: str, least: int, most: int) -> Iterator[str]:
        first = self._search.matching(pattern, least, most, 0)
        yield first
        for turn in range(1, patterns.MAX_OPTIONS):
            yield self._search.matching(pattern, least, most, turn)
            yield f"{first}{turn}"  # for a pattern whose end is open

    def _text(self, name: str) -> str:
        source, low = self._source, name.lower()
        if source.distinct and source.turn >= len(source.names):
            source = replace(source, names=())
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

    def _integers(self, schema: dict[str, Any]) -> Iterator[int]:
        low, high, step = bounds_of(schema)
        if step is not None:
            # Those whole numbers that are multiples of 1.5 are those of 3.
            yield from map(int, _multiples(Fraction(str(step)).numerator, low, high))
            return
        self._search.spend(len(self._search.whole_numbers) // 500)
        yield from (number for number in self._search.whole_numbers if low <= number <= high)
        if low <= high:
            near = 1 if low <= 1 <= high else math.ceil(low) if low > 1 else math.floor(high)
            yield from _spread(near, low, high)

    def _numbers(self, schema: dict[str, Any]) -> Iterator[float]:
        low, high, step = bounds_of(schema)
        if step is not None:
            yield from _multiples(step, low, high)
            return
        self._search.spend(len(self._search.numbers) // 500)
        yield from (number for number in self._search.numbers if low <= number <= high)
        if low > high:
            return
        if low <= 0.5 <= high:
            yield 0.5
        if low > -math.inf and high < math.inf:
            yield from (low + (high - low) * part for part in _FRACTIONS)
        # Steps that a large float can tell apart.
        unit = max(1.0, max(abs(edge) for edge in (low, high, 0) if math.isfinite(edge)) / 1e6)
        start = low if low > -math.inf else high if high < math.inf else 0.5
        yield from (start + unit * step for step in _spread(1 if low > -math.inf else -1))


def _without(schema: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in schema.items() if key not in keys}


def _implied(schema: dict[str, Any]) -> str:
    """Return the type that a schema without one speaks of."""
    for kind, keys in (
        ("object", {"properties", "required", "patternProperties", "propertyNames",
                    "additionalProperties", "minProperties"}),
        ("array", {"items", "prefixItems", "contains", "minItems", "uniqueItems"}),
        ("number", {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}),
    ):  # fmt: skip
        if not keys.isdisjoint(schema):
            return kind
    return "string"


def _either(one: Any, other: Any) -> dict[str, Any]:
    return {"anyOf": [one, other]}


def _both(one: Any, other: Any) -> dict[str, Any]:
    return {"allOf": [one, other]}


def _all_parts(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return one | {key: _both(one[key], part) if key in one else part for key, part in other.items()}


def _common_kinds(one: Any, other: Any) -> list[Any]:
    some, more = kinds_of(one), kinds_of(other)
    common = [kind for kind in some if kind in more or (kind == "integer" and "number" in more)]
    if "number" in some and "integer" in more and "integer" not in common:
        common.append("integer")
    if not common:
        raise Unsatisfiable("Two types at once.")
    return common


_MERGERS: dict[str, Callable[[Any, Any], Any]] = {
    "type": _common_kinds,
    "required": lambda one, other: [*one, *other],
    "not": _either,
    **dict.fromkeys(("properties", "patternProperties"), _all_parts),
    **dict.fromkeys(("items", "additionalProperties", "propertyNames"), _both),
    **dict.fromkeys(
        ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains"),
        max,
    ),
    **dict.fromkeys(
        ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains"),
        min,
    ),
}
"""How a keyword of two schemas becomes one for both."""


def _marked(text: str, least: int, most: int) -> Iterator[str]:
    """Yield a text that is made as long as asked for, then others with a number at the end."""
    yield text[:most].ljust(least, ".")
    for number in range(2, MAX_OPTIONS):
        mark = f" {number}"[-most:] if most else ""
        yield (text[: most - len(mark)] + mark).rjust(least, ".")


_FRACTIONS = (0.5, *(tenth / 10 for tenth in range(1, 10)), 0.0, 1.0,
              *(part / 997 for part in range(1, 997)))  # fmt: skip
"""Where between two bounds a number may lie."""


def _spread(near: int, low: float = -math.inf, high: float = math.inf) -> Iterator[int]:
    """Yield whole numbers within bounds, from one of them on to both sides, up first."""
    for step in itertools.count():
        numbers = [one for one in dict.fromkeys((near + step, near - step)) if low <= one <= high]
        if not numbers:
            return
        yield from numbers


def _multiples(step: float, low: float, high: float) -> Iterator[float]:
    """Yield multiples within bounds, from the lower one on, else from the upper one or 0 down.

    First those that floats also divide without a rest, which is what most checkers look at.
    """
    near = low if low > -math.inf else min(0, high)
    if not math.isfinite(near / step):
        raise Unsatisfiable("The schema's numbers are beyond reason.")
    exact = Fraction(str(step))
    onward, rounded = (1, math.ceil) if low > -math.inf else (-1, math.floor)
    start = rounded(Fraction(str(near)) / exact)
    others = []
    for number in range(start, start + MAX_OPTIONS * onward, onward):
        value = step * number if isinstance(step, int) else float(exact * number)
        if not low <= value <= high:
            break
        if isinstance(step, int) or (value / step).is_integer():
            yield value
        else:
            others.append(value)
    yield from others
