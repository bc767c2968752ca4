"""The file that is asked: one JSON object a line, read a part at a time."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

EXAMPLE = '{"prompt": "Why is the sky blue?"}'

OURS = ("id", "prompt", "messages")
"""What a line holds for us; all else goes into its request as it is."""

BOM = b"\xef\xbb\xbf"
"""What Windows' editors put before a file in UTF-8."""


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of the file: the unit of work, with an output file of its own."""

    number: int
    """From 1."""
    offset: int
    """Where it begins, in bytes."""
    first: int
    """The number of its first line, from 1."""
    lines: int
    """Lines in it, empty ones included."""
    asked: int
    """Lines in it that are not empty."""

    @property
    def last(self) -> int:
        return self.first + self.lines - 1


@dataclass(frozen=True, slots=True)
class Prompt:
    """A line that can be asked."""

    line: int
    mark: str
    """Changes when the line does."""
    id: Any
    """Whatever the line had as `id`: it is written beside the answer."""
    body: dict[str, Any]
    """The request, without a model where the line names none."""


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be asked."""

    line: int
    reason: str
    """A sentence that begins behind "Line 7 "."""


def parts_of(file: Path, size: int) -> list[Part]:
    """Return the parts of a file, each of `size` lines but for the last.

    Reads the file once and keeps no line of it.

    Raises:
        OSError: it cannot be read.
    """
    parts: list[Part] = []
    offset = first = lines = asked = at = 0
    with file.open("rb") as text:
        for number, line in enumerate(text, 1):
            if not lines:
                offset, first = at, number
            at += len(line)
            lines += 1
            asked += bool(line.removeprefix(BOM).strip() if number == 1 else line.strip())
            if lines == size:
                parts.append(Part(len(parts) + 1, offset, first, lines, asked))
                lines = asked = 0
    if lines:
        parts.append(Part(len(parts) + 1, offset, first, lines, asked))
    return parts


def read_part(file: Path, part: Part, options: Mapping[str, Any]) -> Iterator[Prompt | BadLine]:
    """Yield the lines of a part, each when it is asked for; empty ones are left out.

    `options`: what goes into each request that does not say it itself.

    Raises:
        OSError: the file cannot be read.
    """
    with file.open("rb") as text:
        text.seek(part.offset)
        for number in range(part.first, part.first + part.lines):
            line = text.readline()
            if number == 1:
                line = line.removeprefix(BOM)
            if line := line.strip():
                yield read_line(number, line, options)


def read_line(number: int, line: bytes, options: Mapping[str, Any]) -> Prompt | BadLine:
    """Return the request of a line, or what is wrong with it."""
    try:
        found = json.loads(line.decode(), parse_constant=_no_json)
        body = {**options, **_body(found)}
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        place, byte = error.start, error.object[error.start]
        return BadLine(
            number, f"is not UTF-8: byte {place + 1} is {byte:#x}. Save the file as UTF-8."
        )
    except UnicodeEncodeError:
        return BadLine(
            number, "holds half a surrogate pair (\\ud800 to \\udfff), which is no text."
        )
    except json.JSONDecodeError as error:
        return BadLine(number, f"is no JSON: {error.msg}, at character {error.pos + 1}. "
                       f"Each line is an object such as {EXAMPLE}.")  # fmt: skip
    except RecursionError:
        return BadLine(number, "is nested too deep.")
    except ValueError as error:
        return BadLine(number, str(error))
    return Prompt(number, blake2b(line, digest_size=8).hexdigest(), found.get("id"), body)


def _no_json(name: str) -> None:
    raise ValueError(f"holds {name}, which JSON does not have.")


def _body(found: Any) -> dict[str, Any]:
    """Return what a line asks.

    Raises:
        ValueError: it is no request; says why, as the rest of "Line 7 …".
    """
    if not isinstance(found, dict):
        raise ValueError(f"is JSON, but no object such as {EXAMPLE}.")
    if ("prompt" in found) == ("messages" in found):
        which = "both" if "prompt" in found else "neither"
        raise ValueError(f"has {which} of 'prompt' and 'messages': it takes one of them.")
    for name in ("stream", "n"):
        if name in found:
            raise ValueError(f"has '{name}': here each line is answered whole, and once.")
    rest = {name: value for name, value in found.items() if name not in OURS}
    if "prompt" in found:
        prompt = found["prompt"]
        if not isinstance(prompt, str) or not prompt.strip():
            raise ValueError("has a 'prompt' that is no text, or an empty one.")
        return {"messages": [{"role": "user", "content": prompt}], **rest}
    messages = found["messages"]
    if (
        not isinstance(messages, list)
        or not messages
        or not all(isinstance(message, dict) for message in messages)
    ):
        raise ValueError("has 'messages' that are no list of objects, or an empty one.")
    return {"messages": messages, **rest}
