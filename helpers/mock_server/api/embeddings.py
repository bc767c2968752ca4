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
from typing import Any

from helpers.mock_server.api import models
from helpers.mock_server.content import tokens
from helpers.mock_server.control.state import State
from helpers.mock_server.protocol import errors, fields
from helpers.mock_server.protocol.answers import Answer, Call, Whole, dump

DIMENSIONS = 1536
"""Numbers in a vector where none are asked for, as in text-embedding-3-small."""

MAX_DIMENSIONS = 4096
MAX_INPUTS = 2048
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
    body = fields.json_object(call.body)
    model = models.known(body.get("model"), state)
    pace = state.pace_for(model, call)
    texts = _read_input(body)
    dimensions = fields.integer(body, "dimensions", least=1, most=MAX_DIMENSIONS) or DIMENSIONS
    form = fields.string(body, "encoding_format") or "float"
    if form not in ("float", "base64"):
        raise errors.unsupported_value("encoding_format", form, ("float", "base64"))
    fields.string(body, "user")
    parts = [b'{"object":"list","data":[']
    spent = 0
    for at, text in enumerate(texts):
        spent += _count(text, at)
        found = await vector(text, dimensions)
        value = base64.b64encode(_bytes(found)).decode() if form == "base64" else found.tolist()
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
    own = random.Random(zlib.crc32(text.encode("utf-8", "replace"))).randbytes(MAX_DIMENSIONS)
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


def check_inputs(inputs: list[Any]) -> None:
    """See to it that there are no more texts than one request may bring.

    Raises:
        ApiError: there are.
    """
    if len(inputs) > MAX_INPUTS:
        raise errors.ApiError(
            400,
            f"Invalid 'input': array too long. Expected an array with maximum length {MAX_INPUTS}, "
            f"but got an array with length {len(inputs)} instead.",
            param="input",
            code="array_above_max_length",
        )


def _count(text: str, at: int) -> int:
    found = tokens.count(text)
    if found > MAX_TOKENS:
        raise errors.ApiError(
            400,
            f"Invalid 'input[{at}]': maximum context length is {MAX_TOKENS} tokens, but got "
            f"{found} tokens.",
            param="input",
            code="context_length_exceeded",
        )
    return found


def _read_input(body: dict[str, Any]) -> list[str]:
    value = body.get("input")
    if value is None:
        raise errors.missing("input")
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list):
        raise errors.wrong_type("input", "a string or an array", value)
    if not value:
        raise fields.empty_array("input")
    if not isinstance(value[0], int):  # else it is one text, in tokens
        check_inputs(value)
    if all(isinstance(one, int) and not isinstance(one, bool) for one in value):
        value = [value]
    texts = []
    for at, one in enumerate(value):
        if isinstance(one, list) and all(
            isinstance(number, int) and not isinstance(number, bool) for number in one
        ):
            one = " ".join(map(str, one))
        if not isinstance(one, str):
            raise errors.wrong_type(f"input[{at}]", "a string", one)
        if not one:
            raise errors.ApiError(
                400,
                "Invalid 'input': input cannot be an empty string.",
                param="input",
                code="invalid_value",
            )
        texts.append(one)
    return texts
