"""When it says it: how long until the first token, how long between tokens, under one dial."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

FIRST = 0.4
"""Seconds to the first token: long enough to be felt as a wait, short enough not to annoy. Hosted
models take 0.3 to 1 s."""

GAP = 0.03
"""Seconds between tokens: 33 tokens/s, some 25 words/s. A reader sees the words come one by one and
keeps up; at 10 ms an answer flashes up whole, at 60 ms it drags."""

MAX_DIAL = 1000.0
MAX_SECONDS = 3600.0
MAX_TOKENS = 100_000
"""The longest answer that may be asked for; at no delay it takes about a second to write."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast an answer comes, and how long it is. Times are seconds at dial 1."""

    first: float = FIRST
    gap: float = GAP
    jitter: float = 0.0
    """How far a token may stray from its slot, as a share of the gap (0 to 1). Each strays from its
    own slot, so that jitter never adds up to drift, and never past its neighbour."""
    seed: int = 0
    dial: float = 1.0
    """Multiplies all times; 0 means no delay at all."""
    tokens: int | None = None
    """How many tokens an answer has; None leaves it to the reply."""

    def moments(self) -> Iterator[float]:
        """Yield, for the first token and each that follows, its due time in seconds from the start.

        The times are absolute: a token that leaves late does not delay those after it.
        """
        first, gap = self.first * self.dial, self.gap * self.dial
        if not self.jitter:
            slot = 0
            while True:
                yield first + gap * slot
                slot += 1
        chance = random.Random(self.seed)
        yield first * (1 + self.jitter * (chance.random() - 0.5))
        slot = 1
        while True:
            yield first + gap * (slot + self.jitter * (chance.random() - 0.5))
            slot += 1

    def total(self, tokens: int) -> float:
        """Return when an answer of so many tokens is complete, in seconds from its start."""
        return (self.first + self.gap * max(0, tokens - 1)) * self.dial

    @property
    def even(self) -> bool:
        """Whether all gaps are `gap`, so that a token's moment is a sum."""
        return not self.jitter


@dataclass(frozen=True, slots=True)
class Timed(Pace):
    """A pace whose first gaps are given one by one, as they were recorded."""

    gaps: tuple[float, ...] = ()
    """Seconds between tokens at dial 1; where they end, `gap` goes on."""

    def moments(self) -> Iterator[float]:
        """Yield when each token is due, as `Pace.moments` does."""
        due = self.first
        for gap in itertools.chain((0.0,), self.gaps, itertools.repeat(self.gap)):
            due += gap
            yield due * self.dial

    def total(self, tokens: int) -> float:
        """Return when an answer of so many tokens is complete, in seconds from its start."""
        gaps = max(0, tokens - 1)
        given = sum(self.gaps[:gaps])
        return (self.first + given + self.gap * max(0, gaps - len(self.gaps))) * self.dial

    @property
    def even(self) -> bool:
        """Whether all gaps are `gap`."""
        return False


NO_DELAY = Pace(dial=0.0)

_BOUNDS: dict[str, float] = {
    "first": MAX_SECONDS,
    "gap": MAX_SECONDS,
    "jitter": 1.0,
    "seed": 2.0**53,
    "dial": MAX_DIAL,
    "tokens": MAX_TOKENS,
}
_WHOLE = ("seed", "tokens")


def changed(pace: Pace, changes: dict[str, Any]) -> Pace:
    """Return a pace with some of its fields changed.

    Raises:
        ValueError: a field is unknown, or its value out of bounds.
    """
    checked: dict[str, Any] = {}
    for name, value in changes.items():
        if name not in _BOUNDS:
            raise ValueError(f"A pace has no '{name}'; it has {', '.join(_BOUNDS)}.")
        if name == "tokens" and value is None:
            checked[name] = None
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"A pace's '{name}' is a number, not {value!r}.")
        if not 0 <= value <= _BOUNDS[name] or (name == "tokens" and value < 1):
            least = 1 if name == "tokens" else 0
            raise ValueError(f"A pace's '{name}' goes from {least} to {_BOUNDS[name]:g}.")
        checked[name] = int(value) if name in _WHOLE else float(value)
    return replace(pace, **checked)


@lru_cache(maxsize=256)
def adjusted(pace: Pace, text: str) -> Pace:
    """Return a pace with the changes that a text names.

    Raises:
        ValueError: the text cannot be read, or a value is out of bounds.
    """
    return changed(pace, parse(text))


def parse(text: str) -> dict[str, float]:
    """Return the fields that a text names: `first=0.2, gap=0.02, tokens=50`, or `0.5` for the dial.

    Raises:
        ValueError: the text is no such list.
    """
    found: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.replace(";", ",").split(","))):
        name, equals, value = part.partition("=")
        if not equals:
            name, value = "dial", part
        try:
            found[name.strip()] = float(value)
        except ValueError:
            raise ValueError(
                f"'{part}' is no part of a pace. Write it like first=0.2,gap=0.02,jitter=0.5."
            ) from None
    return found
