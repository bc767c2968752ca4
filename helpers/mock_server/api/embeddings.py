"""Embeddings: the wire shapes of `/v1/embeddings`, and vectors that texts with like words share."""

import asyncio
import base64
import math
import random
import re
import zlib
from array import array
from collections import Counter
from functools import lru_cache

from helpers.mock_server.api import models, requests
from helpers.mock_server.content import tokens
from helpers.mock_server.control.state import State
from helpers.mock_server.protocol import errors, fields
from helpers.mock_server.protocol.answers import Answer, Call, Whole, dump

DIMENSIONS = 1536
"""Numbers in a vector where none are asked for, as in text-embedding-3-small."""

MAX_TOKENS = 8192
"""Tokens of one input, as with the real models."""

A_STRETCH = 200
"""New words that are taken up before other requests may run: some 10 ms of work."""

LARGE = 1024 * 1024
"""Bytes of a body above which its parts stay apart: joining 70 MB takes a quarter of a second."""

_SPREAD = 24
"""Places of a vector that a word touches."""

_NOISE = 0.02
"""Share of a vector that is the text's own, so that no number is exactly 0."""


async def create(call: Call, state: State) -> Answer:
    """Answer `POST /v1/embeddings`."""
    body = fields.read(requests.Embedding, fields.json_object(call.body))
    model = models.known(body.model, state)
    pace = state.pace_for(model, call)
    dimensions, packed = body.dimensions or DIMENSIONS, body.encoding_format == "base64"
    parts = [b'{"object":"list","data":[']
    spent = 0
    for at, text in enumerate(body.input):
        spent += _count(text, at)
        found = await vector(text, dimensions)
        value = base64.b64encode(_bytes(found)).decode() if packed else found.tolist()
        comma = b"," if at else b""
        parts.append(comma + dump({"object": "embedding", "index": at, "embedding": value}))
    tail = dump({"model": model, "usage": {"prompt_tokens": spent, "total_tokens": spent}})
    parts.append(b"]," + tail[1:])
    large = sum(map(len, parts)) > LARGE
    return Whole(
        parts[0] if large else b"".join(parts),
        more=tuple(parts[1:]) if large else (),
        pace=pace,
        turns=1,
        model=model,
        prompt_tokens=spent,
    )


async def vector(text: str, dimensions: int = DIMENSIONS) -> "array[float]":
    """Return a text's vector, of length 1. The same text has the same one, like texts like ones.

    Each word adds to a few places that its hash names. A shorter vector is a longer one's
    beginning, brought back to length 1, as with the real models. Others may run before each stretch
    of words.
    """
    own = random.Random(zlib.crc32(text.encode("utf-8", "replace"))).randbytes(
        requests.MAX_DIMENSIONS
    )
    numbers = [(byte - 127.5) * _NOISE / 128 for byte in own[:dimensions]]
    words = Counter(re.findall(r"\w{1,50}", text.lower()))
    for at, (word, times) in enumerate(words.items()):
        if at % A_STRETCH == 0:
            await asyncio.sleep(0)
        for signed in _places(word):
            place = abs(signed) - 1
            if place < dimensions:
                numbers[place] += times if signed > 0 else -times
    length = math.sqrt(sum(number * number for number in numbers)) or 1.0
    return array("f", [number / length for number in numbers])


@lru_cache(maxsize=20_000)
def _places(word: str) -> "array[int]":
    """Return the places that a word touches, counted from 1; where it takes away, negative.

    They are drawn among the first 64, then 128, and so on, so that short vectors keep the meaning.
    """
    chance = random.Random(zlib.crc32(word.encode("utf-8", "replace")))
    places = array("h")
    for step in range(_SPREAD):
        place = chance.randrange(64 << (step % 7)) + 1
        places.append(place if chance.random() < 0.5 else -place)
    return places


def _bytes(numbers: "array[float]") -> bytes:
    little = array("f", numbers)
    if array("H", [1]).tobytes() != b"\x01\x00":
        little.byteswap()
    return little.tobytes()


def _count(text: str, at: int) -> int:
    found = tokens.count(text)
    if found > MAX_TOKENS:
        raise errors.invalid(
            "input",
            f"Invalid 'input[{at}]': maximum context length is {MAX_TOKENS} tokens, but got "
            f"{found} tokens.",
            "context_length_exceeded",
        )
    return found
