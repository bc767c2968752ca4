"""What may be odd about an answer that is well-formed, as compatible servers give them."""

import re
from dataclasses import dataclass
from typing import Any, TypeAlias

KINDS: dict[str, str] = {
    "error-body": "answers 200 with an error object, in one piece",
    "data-error": "ends with an error in a `data:` line, no `event:`, after so many tokens (half)",
    "flat-error": "the same, without `error` around it, which the SDK takes for a chunk",
    "null-choices": "`choices` is null; streams: in one chunk after so many tokens (half)",
    "no-choices": "`choices` is empty; streams: in a first chunk, with `prompt_filter_results`",
    "null-delta": "the last chunk's `delta` is null; one-shot: the `message`",
    "reasoning": "thinks before it answers, in `reasoning_content` (or `field`)",
    "reasoning-only": "thinks until its tokens are used up, and has no content",
    "refusal": "refuses: `refusal` in place of content",
    "content-filter": "ends for `content_filter` after so many tokens (`after`, half)",
    "no-usage": "leaves `usage` out, also where it was asked for",
    "usage-each": "has `usage` in every chunk, as far as it has come",
    "bare-calls": "sends `id` and `name` of a tool call empty after its first chunk",
}

REFUSAL = "I'm sorry, but I can't assist with that request."
THOUGHT = "The user asks a question. A short answer will do, in plain words."

FILTERS = [
    {
        "prompt_index": 0,
        "content_filter_results": {
            name: {"filtered": False, "severity": "safe"}
            for name in ("hate", "self_harm", "sexual", "violence")
        },
    }
]
"""What Azure says of a prompt before it answers."""

Part: TypeAlias = tuple[int, int, dict[str, Any]]
"""An event whose data is read: its turn, its tokens, its JSON object."""


@dataclass(frozen=True, slots=True)
class Oddity:
    """What is wanted of an answer."""

    name: str
    after: int
    """How many of the answer's tokens come before it."""
    field: str
    """Where reasoning stands in chat."""
    error: dict[str, Any]
    words: str | None = None
    """The refusal's, if it is to have other words."""
    tokens: int = 0
    prompt_tokens: int = 0


def pieces(text: str) -> list[str]:
    """Return the words of a text, each with the space before it: tokens enough for these texts."""
    return re.findall(r"\s*\S+|\s+", text)


def beginning(text: str, after: int, tokens: int) -> str:
    """Return the part of a text, in whole words, that comes with the first of its tokens."""
    words = pieces(text)
    return "".join(words[: len(words) * min(after, tokens) // max(1, tokens)])
