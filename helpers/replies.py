"""Scripted replies of the mock server, written in Python: `reply(tool_call("f", x=1), when="…")`.

Each function returns a part of a reply, as the server's JSON has it. `reply` puts parts together;
the pytest fixture's `mock_openai.reply(…)` takes the same and sends it to the server.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

Part: TypeAlias = dict[str, Any]
"""A part of a reply, or a whole one: the JSON object that `POST /mock/replies` takes."""

Finish = Literal["stop", "length", "tool_calls", "content_filter"]

When: TypeAlias = str | re.Pattern[str] | Mapping[str, Any]
"""Which requests a reply is for: what the last message has to hold, as a text or a pattern; or a
mapping of `message`, `exactly`, `model`, `turn`, `tool_result`, `client`, `path` and `method`, all
of which must fit."""


def text(*pieces: str) -> Part:
    """Return a text. Several pieces leave as that many tokens, one piece as the server cuts it."""
    return {"text": pieces[0] if len(pieces) == 1 else list(pieces)}


def tool_call(name: str, arguments: str | Mapping[str, Any] | None = None, /, **named: Any) -> Part:
    """Return a call of a tool: `tool_call("get_weather", city="Paris")`.

    `arguments`: all of them as a mapping, where names are no Python names; or as a string, which is
    sent as it is, valid JSON or not.

    Raises:
        TypeError: arguments are given in both ways.
    """
    if arguments is not None and named:
        raise TypeError("tool_call takes its arguments by name, or all in one, not in both ways.")
    given: Any = named if arguments is None else arguments
    call = {"name": name, "arguments": given if isinstance(given, str) else dict(given)}
    return {"tool_calls": [call]}


def refusal(words: str) -> Part:
    """Return a refusal, which stands in the place of a text."""
    return {"refusal": words}


def reasoning(words: str) -> Part:
    """Return what the model thinks before it speaks: `reasoning_content`, or a reasoning item."""
    return {"reasoning": words}


def error(
    status: int,
    message: str | None = None,
    *,
    code: str | None = None,
    type: str | None = None,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Part:
    """Return an error in the place of an answer: `error(429, code="rate_limit_exceeded")`."""
    told: dict[str, Any] = {"status": status, "message": message, "code": code, "type": type}
    told |= {"param": param, "headers": dict(headers) if headers else None}
    return {"error": {name: value for name, value in told.items() if value is not None}}


def raw(body: Any, status: int = 200) -> Part:
    """Return a JSON value to be sent as it is. To a stream, a list is sent event by event."""
    return {"json": body, "status": status}


def usage(
    *,
    prompt_tokens: int | None = None,
    completion_tokens: int | None = None,
    cached_tokens: int | None = None,
    reasoning_tokens: int | None = None,
) -> Part:
    """Return what the answer says that it cost; what is left out is counted."""
    told = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "cached_tokens": cached_tokens,
        "reasoning_tokens": reasoning_tokens,
    }
    return {"usage": {name: value for name, value in told.items() if value is not None}}


def reply(
    *parts: str | Part,
    when: When | None = None,
    times: int | None = 1,
    finish: Finish | None = None,
    first: float | None = None,
    gaps: float | Sequence[float] | None = None,
    check: bool = True,
    optional: bool = False,
) -> Part:
    """Return a reply made of parts: texts, and what the functions of this module return.

    `when`: which requests it is for; left out, any.
    `times`: for how many of them; None for all.
    `finish`: the finish reason, where it is not the usual one.
    `first`, `gaps`: seconds to the first token, and between tokens; the dial multiplies both.
    `check`: False sends calls of tools that were not offered, and arguments that are not valid.
    `optional`: True lets a test pass that did not need it.

    Raises:
        ValueError: two parts say the same thing, or a part is none.
    """
    whole: Part = {}
    for part in parts:
        if not isinstance(part, str | dict):
            raise ValueError(
                f"A reply is made of texts and parts such as tool_call(…), not {part!r}."
            )
        for name, value in (text(part) if isinstance(part, str) else part).items():
            if name == "tool_calls":
                whole[name] = [*whole.get(name, []), *value]
            elif name in whole:
                raise ValueError(f"This reply has two parts for '{name}': give it one.")
            else:
                whole[name] = value
    each = list(gaps) if isinstance(gaps, Sequence) else gaps
    options = {"finish": finish, "first": first, "gaps": each}
    whole |= {name: value for name, value in options.items() if value is not None}
    if when is not None:
        whole["when"] = _when(when)
    if times != 1:
        whole["times"] = times
    if not check:
        whole["check"] = False
    if optional:
        whole["optional"] = True
    return whole


def _when(when: When) -> Any:
    if isinstance(when, re.Pattern):
        return _pattern(when)
    if isinstance(when, str):
        return when
    return {
        name: _pattern(value) if isinstance(value, re.Pattern) else value
        for name, value in when.items()
    }


def _pattern(pattern: re.Pattern[str]) -> str:
    return f"/{pattern.pattern}/{'i' if pattern.flags & re.IGNORECASE else ''}"
