"""How a reply becomes tokens: where it stops, how long it is, how likely each token was."""

import math
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from helpers.mock_server.content import tokens
from helpers.mock_server.protocol import errors
from helpers.mock_server.protocol.pacing import MAX_TOKENS

Finish = Literal["stop", "length", "tool_calls", "content_filter"]

MAX_TOP_LOGPROBS = 20

MAX_LIKELY = 50_000
"""Log probabilities that one answer may list, each token's own and those of its alternatives: 0.2 s
of work that nothing interrupts."""

PLACES = 8
"""Places of a text after which likelihoods come round again, so that they can be remembered."""


@dataclass(frozen=True, slots=True)
class Written:
    """A reply in tokens, and why it ended."""

    pieces: list[str]
    finish: Finish

    @property
    def text(self) -> str:
        """The tokens joined."""
        return "".join(self.pieces)


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a reply has to stop."""

    most: int | None = None
    """It is cut after so many tokens."""
    least: int = 0
    """It goes on until it has so many (`min_tokens`)."""
    exactly: int | None = None
    """It has so many: as a pace asks for, or `ignore_eos`."""
    ignores_end: bool = False
    """It would never have ended by itself (`ignore_eos`)."""
    stop: tuple[str, ...] = ()


def write(
    text: str, limits: Limits, filler: str | None = None, pieces: list[str] | None = None
) -> Written:
    """Return a reply in tokens, within its limits. What is too short is filled, or said again.

    `pieces`: the text in tokens, where they are given.
    """
    cuts = [position for position in map(text.find, limits.stop) if position >= 0]
    if cuts:
        text = text[: min(cuts)]
    if cuts or pieces is None:
        pieces = tokens.split(text)
    wanted = limits.exactly if limits.exactly is not None else max(len(pieces), limits.least)
    if len(pieces) < wanted:
        again = tokens.split(filler or f" {text.strip() or 'more'}")
        pieces += (again * (wanted // len(again) + 1))[: wanted - len(pieces)]
    pieces = pieces[:wanted]
    if limits.most is not None and (
        wanted > limits.most or (limits.ignores_end and wanted == limits.most)
    ):
        return Written(pieces[: limits.most], "length")
    return Written(pieces, "stop")


def check_size(choices: int, limits: Limits, repeated: int = 0) -> None:
    """See to it that an answer's choices, and the tokens it repeats, are not too many together.

    Raises:
        ApiError: more are asked for than the longest answer has.
    """
    each = limits.least if limits.exactly is None else limits.exactly
    if limits.most is not None:
        each = min(each, limits.most)
    asked = choices * each + repeated
    if asked > MAX_TOKENS:
        raise errors.invalid(
            "n" if choices > 1 else "max_tokens",
            f"This request asks for {asked} tokens in all its choices; this server writes at most "
            f"{MAX_TOKENS}.",
            "invalid_value",
        )


def check_likely(written: int, top: int | None) -> None:
    """See to it that the log probabilities of so many tokens are not too many.

    Raises:
        ApiError: they are.
    """
    asked = 0 if top is None else written * (1 + top)
    if asked > MAX_LIKELY:
        raise errors.invalid(
            "top_logprobs",
            f"This answer would list {asked} log probabilities; this server lists at most "
            f"{MAX_LIKELY}. Ask for fewer tokens or a smaller 'top_logprobs'.",
            "invalid_value",
        )


def logprob(piece: str, place: int, rank: int = 0) -> float:
    """Return how likely a token was, the same each time: the chosen one well ahead of the rest."""
    share = (zlib.crc32(f"{place % PLACES}:{rank}:{piece}".encode()) % 1000) / 1000
    likely = 0.6 + 0.39 * share if rank == 0 else 0.01 * (0.2 + share) / rank
    return round(math.log(likely), 6)


def alternatives(piece: str, place: int, count: int) -> list[tuple[str, float]]:
    """Return the likeliest tokens at a place, the chosen one first."""
    others: tuple[str, ...] = (" the", " a", " and", " of", ".", ",", " to", " in", " it", " is")
    others += tuple(f" {number}" for number in range(1, MAX_TOP_LOGPROBS))
    found = [(piece, logprob(piece, place))]
    for other in others:
        if len(found) > count:
            break
        if other != piece:
            found.append((other, logprob(other, place, len(found))))
    return found[:count]


def chat_logprob(piece: str, place: int, top: int) -> dict[str, Any]:
    """Return a token's entry in a `logprobs` list, as chat and responses give it. Not to change."""
    return _entry(piece, place % PLACES, top)


@lru_cache(maxsize=512)  # 4 MB when full; an answer's own are a few hundred
def _entry(piece: str, place: int, top: int) -> dict[str, Any]:
    return {
        "token": piece,
        "logprob": logprob(piece, place),
        "bytes": list(piece.encode()),
        "top_logprobs": [
            {"token": other, "logprob": likely, "bytes": list(other.encode())}
            for other, likely in alternatives(piece, place, top)
        ],
    }
