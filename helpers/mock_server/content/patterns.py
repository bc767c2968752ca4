"""Texts that a pattern matches, found without ever giving Python's `re` much work.

Not by `regex`: its timeout is for searches alone, and compiling `((a{1000}){1000}){1000}` takes all
memory there is. The bounds need the pattern's parts, as texts do: exrex and hypothesis take them
from the same private module of Python's; greenery and interegular read no `^`, and looked in vain
for a text to `[a-z]+@[a-z]+\\.[a-z]{2,}`, for 15 s and for 100 s.
"""

import itertools
import math
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from re import _parser  # type: ignore[attr-defined]
from typing import Any

MAX_PATTERN = 2000
"""Characters of a pattern: compiling one takes as long as it is."""

MAX_TEXT = 10_000

MAX_STEPS = 1e6
"""Steps of one search, at worst: some 20 ms."""

MAX_CASELESS = 10_000
"""Letters in the ranges of a pattern that ignores case: `re` compiles them letter by letter."""

MAX_OPTIONS = 30
"""Letters of a set that a text is made with, and so about how many texts one pattern gives."""

MAX_DEPTH = 3
"""Repeats within repeats: at each level `re` may go through all below it anew, also for nothing."""

_LETTERS = "aA1" + "".join(map(chr, range(32, 127))) + "éßαЖ中"
_NAMED = re.compile(r"\(\?<(?![=!])")
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


def matching(
    pattern: str, least: int, most: int, guesses: Iterable[str], steps: Steps, turn: int = 0
) -> str:
    """Return a text of `least` to `most` characters that a pattern matches.

    The text is made from the pattern, at another turn with other letters; where that does not
    match (it looks ahead), it is one of `guesses`.

    Raises:
        NoText: none was found.
    """
    read = _read(pattern)
    for text in (*_made(read.tree, least, turn), *guesses):
        fits = least <= len(text) <= most
        if fits and steps.allow(read.log_steps(len(text))) and read.wanted.search(text):
            return text
    raise NoText(f"No text for the pattern {pattern[:100]!r} was found.")


def matches(pattern: str, text: str, steps: Steps) -> bool:
    """Return whether a pattern is found in a text.

    Raises:
        NoText: it could take too long to tell.
    """
    read = _read(pattern)
    if not steps.allow(read.log_steps(len(text))):
        raise NoText(f"The pattern {pattern[:100]!r} is too much work on a text so long.")
    return read.wanted.search(text) is not None


@dataclass(frozen=True, slots=True)
class _Read:
    wanted: re.Pattern[str]
    tree: Any
    places: int
    turns: int
    least: int
    looks: int

    def log_steps(self, length: int) -> float:
        """Return the logarithm of the steps that a search of a text takes, at most.

        They are the ways through the pattern times the steps of one way, from each letter on.
        Either bound is above the number of ways; the second one is the better where repeats are
        nested and the text is brief. What looks ahead or back goes over the text once more.
        """
        nested = length * math.log(max(2, self.places * self.turns))
        one_way = (1 + self.looks) * (self.least + length + 1)
        starts = 1 if self._is_anchored() else length + 1
        return min(_ways(self.tree, length), nested) + math.log(one_way) + math.log(starts)

    def _is_anchored(self) -> bool:
        """Return whether the pattern starts with ^, and so is tried at the first letter only."""
        first = self.tree[0] if len(self.tree) else (None, None)
        return str(first[1]).startswith("AT_BEGINNING") and not self.wanted.flags & re.MULTILINE


@lru_cache(maxsize=64)
def _read(pattern: str) -> _Read:
    if len(pattern) > MAX_PATTERN:
        raise NoText("The pattern is too long.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of "[[", which may mean something else one day
            pattern, tree = _parsed(pattern)
            if _caseless(tree, bool(tree.state.flags & re.IGNORECASE)) > MAX_CASELESS:
                raise NoText(f"The pattern {pattern[:100]!r} has ranges that are too large.")
            if _depth(tree) > MAX_DEPTH:
                raise NoText(f"The pattern {pattern[:100]!r} repeats what repeats too deep.")
            least, looks = _least(tree)
            if least > MAX_TEXT:
                raise NoText(f"The pattern {pattern[:100]!r} wants a text that is too long.")
            return _Read(re.compile(pattern), tree, *_size(tree), least, looks)
    except (re.error, OverflowError, RecursionError):
        raise NoText(f"The pattern {pattern[:100]!r} is none.") from None


def _parsed(pattern: str) -> tuple[str, Any]:
    """Return a pattern as Python writes it, and its tree."""
    try:
        return pattern, _parser.parse(pattern)
    except re.error:
        pattern = _NAMED.sub("(?P<", pattern)  # JavaScript's named groups
        return pattern, _parser.parse(pattern)


def _made(tree: Any, least: int, turn: int) -> Iterator[str]:
    """Yield texts made from a pattern, with its repeats at several lengths."""
    for times in dict.fromkeys((1, 0, 2, 3, 4, 6, 8, 12, 16, 32, least)):
        try:
            yield _text(tree, times, turn, {})
        except NoText:
            return


def _text(nodes: Any, times: int, turn: int, groups: dict[int, str]) -> str:
    parts: list[str] = []
    for what, value in nodes:
        match str(what):
            case "LITERAL":
                parts.append(chr(value))
            case "NOT_LITERAL":
                parts.append("a" if value != ord("a") else "b")
            case "ANY":
                parts.append(_LETTERS[turn % len(_LETTERS)])
            case "IN":
                letters = _letters(tuple(value))
                parts.append(letters[turn % len(letters)])
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                low, high, inner = value
                count = max(low, min(times, high))
                once = _text(inner, times, turn, groups)
                if len(once) * count > MAX_TEXT:
                    raise NoText("The pattern wants a text that is too long.")
                parts.append(once * count)
            case "SUBPATTERN":
                parts.append(_text(value[3], times, turn, groups))
                groups[value[0]] = parts[-1]
            case "ATOMIC_GROUP":
                parts.append(_text(value, times, turn, groups))
            case "BRANCH":
                parts.append(_text(value[1][turn % len(value[1])], times, turn, groups))
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


@lru_cache(maxsize=64)
def _letters(members: tuple[Any, ...]) -> tuple[str, ...]:
    """Return some characters of a set."""
    negated = str(members[0][0]) == "NEGATE"
    members = members[1:] if negated else members
    rare = [chr(value if isinstance(value, int) else value[0]) for kind, value in members
            if str(kind) in ("LITERAL", "RANGE")]  # fmt: skip
    found = (
        letter
        for letter in dict.fromkeys((*_LETTERS, *rare[:50]))
        if any(_is_member(letter, str(kind), value) for kind, value in members) != negated
    )
    letters = tuple(itertools.islice(found, MAX_OPTIONS))
    if not letters:
        raise NoText("A set without a character.")
    return letters


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


def _caseless(nodes: Any, ignored: bool) -> int:
    """Return how many letters the ranges hold in which case is ignored."""
    letters = 0
    for what, value in nodes:
        if str(what) == "IN" and ignored:
            letters += sum(part[1] - part[0] for kind, part in value if str(kind) == "RANGE")
        within = ignored
        if str(what) == "SUBPATTERN":
            within = bool((ignored or value[1] & re.IGNORECASE) and not value[2] & re.IGNORECASE)
        letters += sum(_caseless(part, within) for part in _inner(what, value))
    return letters


def _least(nodes: Any) -> tuple[int, int]:
    """Return the least steps of a way through a pattern, and how many of them look elsewhere.

    Both count what a repeat goes through at least; a look within a repeat counts as many times as
    the text may be long.
    """
    steps = looks = 0
    for what, value in nodes:
        inner = [_least(part) for part in _inner(what, value)]
        below, looking = sum(one for one, _ in inner), sum(one for _, one in inner)
        if str(what).endswith("REPEAT"):
            below, looking = below * value[0], looking * min(value[1], MAX_TEXT)
        steps += 1 + below
        looks += looking + (str(what) in ("ASSERT", "ASSERT_NOT", "GROUPREF"))
    return steps, looks


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
