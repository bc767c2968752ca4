"""What the wire tests share: requests to send, and the SDK's types as the judge of each body."""

import json
from collections.abc import Iterator
from typing import Any

from openai import BaseModel

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
"""A tool to offer."""


def strictly(kind: type[BaseModel], value: Any, *, beside: frozenset[str] = frozenset()) -> Any:
    """Return a JSON value as the SDK's type, which it must fit strictly and without extra fields.

    `beside`: fields that may be there although the type does not name them.
    """
    text = value if isinstance(value, str | bytes) else json.dumps(value)
    found = kind.model_validate_json(text, strict=True)
    extra = set(_extra_fields(found)) - beside
    assert not extra, f"{kind.__name__} knows no {sorted(extra)}"
    return found


def _extra_fields(value: Any, where: str = "") -> Iterator[str]:
    if isinstance(value, BaseModel):
        yield from (f"{where}{name}" for name in value.model_extra or ())
        for name in type(value).model_fields:
            yield from _extra_fields(getattr(value, name, None), f"{where}{name}.")
    elif isinstance(value, list):
        for item in value:
            yield from _extra_fields(item, where)


def events(text: str) -> list[tuple[str | None, str]]:
    """Return the (event, data) pairs of a server-sent event stream."""
    found = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        name, data = None, []
        for line in block.split("\n"):
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                data.append(line.removeprefix("data: "))
        if data:
            found.append((name, "\n".join(data)))
    return found


def ask(text: str = "Why is the sky blue?", **more: Any) -> dict[str, Any]:
    """Return a chat request's body."""
    return {"model": "mock-chat", "messages": [{"role": "user", "content": text}], **more}
