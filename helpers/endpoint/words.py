"""The words in which a server answered, whatever its form, short and without a key."""

import html
import re
from collections.abc import Mapping
from typing import Any

import httpx2

LONGEST = 160
"""Characters of a server's words that are shown: its sentence, and no page or stack trace."""

HIDDEN_KEY = re.compile(r"\bsk-[^\s'\",;]*|[^\s'\":=(]*\*{2,}[^\s'\",;)]*")
"""A key, or what a server leaves of one when it quotes it back."""

Body = Mapping[str, Any] | list[Any] | None


def body_of(answer: httpx2.Response) -> Body:
    """Return the JSON object or array of an answer; None if it is something else."""
    try:
        body = answer.json()
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict | list) else None


def error_in(answer: httpx2.Response) -> str:
    """Return the words of the error object in an answer; empty if there is none."""
    body = body_of(answer)
    if not isinstance(body, dict):
        return ""
    for name in ("error", "detail", "message", "msg"):
        if said := _sentence(body.get(name)):
            return said
    return ""


def words_of(answer: httpx2.Response, key: str) -> str:
    """Return what an answer says: `HTTP 404: “model not found”`, with `key` hidden."""
    return f"HTTP {answer.status_code}: {_content(answer, key)}"


def _content(answer: httpx2.Response, key: str) -> str:
    if said := error_in(answer):
        return f"“{_short(said, key)}”"
    text = answer.text.strip()
    if not text:
        return "an empty answer"
    if "html" in answer.headers.get("content-type", "") or re.match(
        r"<(!doctype|html)", text, re.I
    ):
        title = re.search(r"<title[^>]*>(.*?)</title>", text, re.I | re.S)
        shown = (
            title[1] if title else re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", text, flags=re.S)
        )
        shown = _short(html.unescape(shown), key)
        return f"a web page, “{shown}”" if shown else "a web page"
    return f"“{_short(text, key)}”"


def _sentence(error: object) -> str:
    match error:
        case str():
            return error
        case {"message": str(said)} | {"msg": str(said)} | {"detail": str(said)}:
            return said
        case [first, *_]:
            return _sentence(first)
        case dict() if error:
            return str(error)
    return ""


def _short(said: str, key: str) -> str:
    if len(key) > 5:  # a word such as EMPTY is no secret
        said = said.replace(key, "…")
    said = " ".join(HIDDEN_KEY.sub("…", said).split()).rstrip(".")
    return said if len(said) <= LONGEST else f"{said[:LONGEST].rstrip()}…"
