"""Files: the wire shapes of `/v1/files`, and what clients upload."""

import re
import secrets
import time
from dataclasses import dataclass
from typing import Any

from helpers.mock_server.api import requests
from helpers.mock_server.control.state import State
from helpers.mock_server.protocol import errors, fields
from helpers.mock_server.protocol.answers import Answer, Call, Whole, whole
from helpers.mock_server.protocol.errors import ApiError

SECONDS = "expires_after[seconds]"
MAX_PAGE = 10_000
USUAL_PAGE = 20
"""Things listed where no `limit` is given, as at OpenAI; of files all of a page."""
MAX_NAME = 255
"""Characters kept of a file's name: as many as common file systems allow."""


@dataclass(frozen=True, slots=True)
class File:
    """A file that a client uploaded, or that a batch wrote."""

    id: str
    name: str
    purpose: str
    content: bytes
    created: int
    lifetime: int | None = None
    """Seconds after which it is gone."""

    @property
    def is_expired(self) -> bool:
        return self.lifetime is not None and time.time() >= self.created + self.lifetime

    def card(self) -> dict[str, Any]:
        """Return what the API tells of the file."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": len(self.content),
            "created_at": self.created,
            "expires_at": None if self.lifetime is None else self.created + self.lifetime,
            "filename": self.name,
            "purpose": self.purpose,
            "status": "processed",
            "status_details": None,
        }


def upload(call: Call, state: State) -> Answer:
    """Answer `POST /v1/files`."""
    parts = read_form(call.body, call.headers.get("content-type", ""))
    texts = {
        name: parts[name][1].decode("utf-8", "replace")
        for name in ("purpose", SECONDS)
        if name in parts
    }
    form: dict[str, Any] = {"file": parts.get("file"), "purpose": texts.get("purpose")}
    if SECONDS in texts:
        seconds = texts[SECONDS]
        number = int(seconds) if seconds.isdecimal() and len(seconds) < 9 else seconds
        form["expires_after"] = {"anchor": "created_at", "seconds": number}
    sent = fields.read(requests.Upload, form)
    name, content = sent.file
    lifetime = None if sent.expires_after is None else sent.expires_after.seconds
    return whole(keep(state, name or "file", sent.purpose, content, lifetime).card())


def keep(
    state: State, name: str, purpose: str, content: bytes, lifetime: int | None = None
) -> File:
    """Keep a file and return it."""
    file = File(
        f"file-{secrets.token_hex(12)}",
        name[:MAX_NAME],
        purpose,
        content,
        int(time.time()),
        lifetime,
    )
    state.files.put(file.id, file, len(content))
    return file


def listing(call: Call, state: State) -> Answer:
    """Answer `GET /v1/files`."""
    wanted = call.query.get("purpose")
    cards = [
        file.card()
        for file in state.files.newest_first()
        if (wanted is None or file.purpose == wanted) and not file.is_expired
    ]
    return whole(page(cards, call, MAX_PAGE, MAX_PAGE))


def page(
    cards: list[dict[str, Any]], call: Call, most: int, usual: int = USUAL_PAGE
) -> dict[str, Any]:
    """Return the part of a list, newest first, that `order`, `after` and `limit` name.

    Raises:
        ApiError: `order` is unknown, or `limit` out of bounds.
    """
    order = call.query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise errors.unsupported_value("order", order[:20], ("asc", "desc"))
    if order == "asc":
        cards = cards[::-1]
    limit = call.query.get("limit", str(usual))
    if not (limit.isascii() and limit.isdigit() and len(limit) < 9 and 1 <= int(limit) <= most):
        raise errors.invalid(
            "limit",
            f"Invalid 'limit': expected an integer from 1 to {most}, but got '{limit[:20]}'.",
            "invalid_value",
        )
    after = call.query.get("after")
    if after is not None:
        ids = [card["id"] for card in cards]
        cards = cards[ids.index(after) + 1 :] if after in ids else []
    shown = cards[: int(limit)]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": len(cards) > len(shown),
    }


def retrieve(call: Call, state: State) -> Answer:
    """Answer `GET /v1/files/{id}`."""
    return whole(kept(call.params["file"], state).card())


def content(call: Call, state: State) -> Answer:
    """Answer `GET /v1/files/{id}/content`."""
    file = kept(call.params["file"], state)
    return Whole(file.content, content_type="application/octet-stream")


def delete(call: Call, state: State) -> Answer:
    """Answer `DELETE /v1/files/{id}`."""
    file = kept(call.params["file"], state)
    state.files.drop(file.id)
    return whole({"id": file.id, "object": "file", "deleted": True})


def kept(key: str, state: State) -> File:
    """Return a file by its id.

    Raises:
        ApiError: 404.
    """
    file = state.files.get(key)
    if isinstance(file, File) and file.is_expired:
        state.files.drop(key)
        file = None
    if not isinstance(file, File):
        raise ApiError(404, f"No such File object: {key}", param="id")
    return file


def read_form(body: bytes, content_type: str) -> dict[str, tuple[str, bytes]]:
    """Return the parts of a multipart form by name: each one's file name and bytes.

    Raises:
        ApiError: the body is no such form.
    """
    kind, _, options = content_type.partition(";")
    boundary = re.search(r'boundary="?([^";,]+)', options)
    if kind.strip().lower() != "multipart/form-data" or boundary is None:
        raise ApiError(
            400,
            "Invalid Content-Type header. Expected multipart/form-data with a boundary, but got "
            f"'{content_type[:100]}'.",
        )
    mark = b"--" + boundary.group(1).strip().encode()
    parts: dict[str, tuple[str, bytes]] = {}
    for part in (b"\r\n" + body).split(b"\r\n" + mark)[1:]:
        if part.startswith(b"--"):
            break
        head, gap, content = part.partition(b"\r\n\r\n")
        if not gap:
            continue
        text = head.decode("utf-8", "replace")
        name = re.search(r'\bname="([^"]*)"', text)
        file_name = re.search(r'\bfilename="([^"]*)"', text)
        if name is not None:
            parts[name.group(1)] = (_plain_name(file_name.group(1)) if file_name else "", content)
    return parts


def _plain_name(name: str) -> str:
    """Return a file's name without the escapes that forms put for what would end it."""
    return name.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")
