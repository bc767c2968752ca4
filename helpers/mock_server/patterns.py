"""Texts that a pattern matches, found without ever giving Python's `re` much work."""

import math
import re
from collections.abc import Iterable, Iterator
from re import _parser  # type: ignore[attr-defined]
from typing import Any

MAX_PATTERN = 2000
"""Characters of a pattern: compiling one takes as long as it is."""

MAX_TEXT = 10_000

MAX_STEPS = 1e6
"""Steps of one search, at worst: some 20 ms."""

MAX_DEPTH = 3
"""Repeats within repeats: at each level `re` may go through all below it anew, also for nothing."""

_LETTERS = "aA1" + "".join(map(chr, range(32, 127)))
_DIGIT, _SPACE, _WORD = (re.compile(kind).fullmatch for kind in (r"\d", r"\s", r"\w"))
_CATEGORIES = {"DIGIT": _DIGIT, "SPACE": _SPACE, "WORD": _WORD}


class NoText(ValueError):
    """No text was found that a pattern matches."""


class Steps:
    """How many steps the searches for one request may take in all, at worst."""

    def __init__(self, left: float = 3e7) -> None:
        self.left = left

    def allow(self, log_steps: float) -> bool:
        """Return whether a search of so many steps may be made, and count it."""
        if log_steps > math.log(MAX_STEPS) + 1e-6:
            return False
        self.left -= math.exp(log_steps)
        return self.left > 0


def matching(pattern: str, least: int, most: int, guesses: Iterable[str], steps: Steps) -> str:
    """Return a text of `least` to `most` characters that a pattern matches.

    The text is made from the pattern; where that does not match (it looks ahead), one of `guesses`.

    Raises:
        NoText: none was found.
    """
    if len(pattern) > MAX_PATTERN:
        raise NoText("The pattern is too long.")
    try:
        wanted = re.compile(pattern)
        tree = _parser.parse(pattern)
    except (re.error, OverflowError, RecursionError):
        raise NoText(f"The pattern {pattern!r} is none.") from None
    places, turns = _size(tree)
    if _depth(tree) > MAX_DEPTH:
        raise NoText(f"The pattern {pattern!r} repeats what repeats too deep.")
    for text in (*_made(tree, least), *guesses):
        if least <= len(text) <= most:
            length = len(text)
            # Each bound is above the number of ways through the pattern; the second one is the
            # better where repeats are nested and the text is brief.
            ways = min(_ways(tree, length), length * math.log(max(2, places * turns)))
            if steps.allow(ways + math.log(length + 1)) and wanted.search(text):
                return text
    raise NoText(f"No text for the pattern {pattern!r} was found.")


def _made(tree: Any, least: int) -> Iterator[str]:
    """Yield texts made from a pattern, with its repeats at several lengths."""
    for times in dict.fromkeys((1, 0, 2, 3, 4, 6, 8, 12, 16, 32, least)):
        try:
            yield _text(tree, times, {})
        except NoText:
            return


def _text(nodes: Any, times: int, groups: dict[int, str]) -> str:
    parts: list[str] = []
    for what, value in nodes:
        match str(what):
            case "LITERAL":
                parts.append(chr(value))
            case "NOT_LITERAL":
                parts.append("a" if value != ord("a") else "b")
            case "ANY":
                parts.append("a")
            case "IN":
                parts.append(_one_of(value))
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                low, high, inner = value
                count = max(low, min(times, high))
                once = _text(inner, times, groups)
                if len(once) * count > MAX_TEXT:
                    raise NoText("The pattern wants a text that is too long.")
                parts.append(once * count)
            case "SUBPATTERN":
                parts.append(_text(value[3], times, groups))
                groups[value[0]] = parts[-1]
            case "ATOMIC_GROUP":
                parts.append(_text(value, times, groups))
            case "BRANCH":
                parts.append(_text(value[1][0], times, groups))
            case "GROUPREF":
                parts.append(groups.get(value, ""))
            case "AT" | "ASSERT" | "ASSERT_NOT":
                pass
            case other:
                raise NoText(f"A pattern with {other} is not understood.")
    text = "".join(parts)
    if len(text) > MAX_TEXT:
        raise NoText("The pattern wants a text that is too long.")
    return text


def _one_of(members: Any) -> str:
    """Return a character of a set."""
    negated = str(members[0][0]) == "NEGATE"
    members = members[1:] if negated else members
    rare = [chr(value if isinstance(value, int) else value[0]) for kind, value in members
            if str(kind) in ("LITERAL", "RANGE")]  # fmt: skip
    for letter in (*_LETTERS, *rare):
        if any(_is_member(letter, str(kind), value) for kind, value in members) != negated:
            return str(letter)
    raise NoText("A set without a character.")


def _is_member(letter: str, kind: str, value: Any) -> bool:
    if kind == "LITERAL":
        return bool(ord(letter) == value)
    if kind == "RANGE":
        return bool(value[0] <= ord(letter) <= value[1])
    name = str(value)
    return (_CATEGORIES[name.rsplit("_", 1)[-1]](letter) is not None) != ("NOT" in name)


def _inner(what: Any, value: Any) -> list[Any]:
    """Return the patterns within a part of a pattern."""
    match str(what):
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            return [value[2]]
        case "SUBPATTERN":
            return [value[3]]
        case "ATOMIC_GROUP":
            return [value]
        case "ASSERT" | "ASSERT_NOT":
            return [value[1]]
        case "BRANCH":
            return list(value[1])
        case "GROUPREF_EXISTS":
            return [part for part in value[1:] if part is not None]
    return []


def _depth(nodes: Any) -> int:
    """Return how deep repeats stand within each other."""
    deepest = 0
    for what, value in nodes:
        below = max((_depth(part) for part in _inner(what, value)), default=0)
        varies = str(what).endswith("REPEAT") and value[1] > 1 and value[0] < value[1]
        deepest = max(deepest, below + varies)
    return deepest


def _size(nodes: Any) -> tuple[int, int]:
    """Return how many places a pattern has, and in how many ways one may follow on another."""
    places, turns = 0, 1
    for what, value in nodes:
        parts = _inner(what, value)
        inner = [_size(part) for part in parts]
        places += sum(size for size, _ in inner) if inner else 1
        places += len(inner) > 1  # an option may be empty
        follows = max((follow for _, follow in inner), default=0)
        if str(what).endswith("REPEAT"):
            # One that may be empty can be gone through once more in between, at each level.
            follows = follows + 1 if parts[0].getwidth()[0] else 4 * follows
        turns = max(turns, follows)
    return places, turns


def _ways(nodes: Any, length: int) -> float:
    """Return the logarithm of the ways in which a pattern may go through a text, at most."""
    ways = 0.0
    for what, value in nodes:
        inner = max((_ways(part, length) for part in _inner(what, value)), default=0.0)
        if str(what).endswith("REPEAT"):
            low, high, part = value
            turns = min(high, length // max(1, part.getwidth()[0]))
            ways += math.log(max(1, turns - low + 1)) + max(1, turns) * inner
        elif str(what) == "BRANCH":
            ways += math.log(len(value[1])) + inner
        else:
            ways += inner
    return ways
