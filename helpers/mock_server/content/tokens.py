"""Cuts text into tokens and counts them: pieces of words, as a model's tokenizer would."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

_PIECE = re.compile(
    r"\s*(?:"
    r"[A-Za-z'\u2019]{1,10}"  # most English words are one token
    r"|\d{1,3}"
    r"|[^\x00-\x7f]{1,2}"  # other scripts: a character or two
    r"|\S)"
    r"|\s+"
)


REMEMBERED = 1000
"""Characters up to which a text's tokens are remembered: a load test asks the same all day."""


def split(text: str) -> list[str]:
    """Return the tokens of a text; joined, they are the text."""
    return list(_remembered(text)) if len(text) <= REMEMBERED else _PIECE.findall(text)


SAMPLE = 65_536
"""Characters of a longer text that are counted; the rest is taken to be like them. A prompt of a
megabyte would hold up all streams for a fifth of a second."""


def count(text: str) -> int:
    """Return how many tokens a text has; of a very long one, about how many."""
    if len(text) > SAMPLE:
        return count(text[:SAMPLE]) * len(text) // SAMPLE
    return len(_remembered(text) if len(text) <= REMEMBERED else _PIECE.findall(text))


@lru_cache(maxsize=1024)
def _remembered(text: str) -> tuple[str, ...]:
    return tuple(_PIECE.findall(text))


def count_prompt(texts: Iterable[str]) -> int:
    """Return the tokens of a prompt: its texts, four more for each (role and marks) and three."""
    return sum(count(text) + 4 for text in texts) + 3


def in_pieces(text: str | list[str] | None) -> list[str]:
    """Return a text in tokens; one that has pieces already in these."""
    if text is None:
        return []
    return split(text) if isinstance(text, str) else list(text)


@dataclass(frozen=True, slots=True)
class Cost:
    """What an answer cost, in tokens."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    reasoning_tokens: int
