"""Which endpoint is in use: yours (environment or `.env` file) or the embedded mock server."""

import os
import secrets
import sys
import threading
from dataclasses import dataclass, field
from getpass import getpass
from typing import Any
from urllib.parse import urlsplit

import httpx2

from helpers.endpoint import dotenv_file
from helpers.endpoint.addresses import without_secrets
from helpers.endpoint.embedded import EMBEDDED_MODELS, EmbeddedServer
from helpers.endpoint.errors import EndpointError as EndpointError
from helpers.endpoint.errors import a_mock_server_that_answers as a_mock_server_that_answers
from helpers.endpoint.errors import machine_settings as machine_settings
from helpers.endpoint.in_page import ServerInPage
from helpers.endpoint.probe import look_at
from helpers.endpoint.settings import NO_KEY, Settings, Source, check_as_written, read_settings
from helpers.page import in_page

CLIENT_TAG = f"kernel-{secrets.token_hex(4)}"
"""Marks this process's requests in the journal, as several may share one mock server."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go. The key never shows in a repr."""

    base_url: str
    api_key: str = field(repr=False)
    model: str
    source: Source
    keeps_journal: bool
    """Whether the endpoint is a mock server, which can be asked what it saw."""
    listed: bool = True
    """False where the endpoint lists models, and this one is not among them. Some take any name."""
    key_is_set: bool = field(default=False, compare=False)
    """Whether there is an `OPENAI_API_KEY`; without an address it is sent nowhere."""
    remark: str = field(default="", compare=False)
    """A sentence on what is set and not read; empty if there is nothing of the kind."""

    def control(self, route: str) -> str:
        """Return the URL of a control route of this mock server, such as `journal`."""
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc}/mock/{route}"

    @property
    def authorization(self) -> dict[str, str]:
        """The header that opens the control routes, as it does the API."""
        return {"Authorization": f"Bearer {self.api_key}"}

    @property
    def how_to_revive(self) -> str:
        """What to do where this mock server answers no more."""
        if self.source == "the embedded mock server":
            return "Restart the kernel: a new one starts with it."
        return f"Look at the one at {without_secrets(self.base_url)}, and start it anew."

    def __str__(self) -> str:
        """Say where requests go, without the key and without the embedded server's chance port."""
        if self.source == "the embedded mock server":
            where = f"{self.source}, on this machine"
            key = "set, and sent nowhere: the mock server has one of its own"
            none = "none set, and none needed: the mock server has one of its own"
        else:
            where = f"{without_secrets(self.base_url)} (from {self.source})"
            key = "set, and never shown"
            none = f'none set: "{NO_KEY}" is sent'
        if not self.key_is_set:
            key = none
        journal = (
            "kept: a cell can ask the server what it saw"
            if self.keeps_journal
            else "none: only the mock server keeps one"
        )
        model = self.model if self.listed else f"{self.model} (not among those the endpoint lists)"
        facts = {"endpoint": where, "model": model, "key": key, "journal": journal}
        if self.remark:
            facts["remark"] = self.remark
        return "\n".join(f"{name:<10}{fact}" for name, fact in facts.items())


_lock = threading.RLock()
_checked: dict[Settings, Endpoint] = {}
_server: EmbeddedServer | ServerInPage | None = None
_remarked: set[str] = set()


def endpoint() -> Endpoint:
    """Return the endpoint in use, having made sure that it answers.

    `OPENAI_BASE_URL`, `OPENAI_API_KEY` and `OPENAI_MODEL` are read from the environment, then from
    the nearest `.env` file; a variable that is set, even to nothing, wins over the file. Without a
    base URL the course's own mock server is started, once for this process.

    Raises:
        EndpointError: the address, the key or the model cannot be used.
    """
    with _lock:
        settings = read_settings()
        if not settings.base_url:
            return _embedded_endpoint(settings)
        if settings not in _checked:
            _checked[settings] = _endpoint_of(settings)
        return _checked[settings]


def show_endpoint() -> None:
    """Print which endpoint is in use, having made sure that it answers; never its key.

    Raises:
        EndpointError: the address, the key or the model cannot be used.
    """
    place = endpoint()
    _remarked.add(place.remark)
    print(place)


def remark_once(place: Endpoint) -> None:
    """Say once, beside a cell's output, what is set and not read: somebody expects it to be."""
    if place.remark and place.remark not in _remarked:
        _remarked.add(place.remark)
        print(place.remark, file=sys.stderr)


def use_endpoint(base_url: str = "", model: str = "") -> None:
    """Use an endpoint of yours, here and in all lessons: look at it, then keep it in a `.env` file.

    The key is asked for, so that it stands in no notebook. Without an address, go back to the
    course's own mock server. A client that was made before keeps its address.

    Raises:
        EndpointError: the endpoint cannot be used, or the environment decides. Nothing is written.
    """
    if "OPENAI_BASE_URL" in os.environ:
        raise EndpointError(
            "OPENAI_BASE_URL is set in the environment, which wins over a file. Set it there, or "
            "take it out: import os; del os.environ['OPENAI_BASE_URL']"
        )
    if not base_url.strip():
        dotenv_file.write({"OPENAI_BASE_URL": "", "OPENAI_API_KEY": "", "OPENAI_MODEL": ""})
    else:
        address = base_url.strip().rstrip("/")
        wanted = Settings(address, NO_KEY, model.strip(), "this call", key_is_set=False)
        check_as_written(wanted)
        given = os.environ.get("OPENAI_API_KEY", "").strip()  # it wins, and stays where it is
        asked = ""
        if not given:
            asked = getpass(f"Key for {without_secrets(address)} (none: press Enter) ").strip()
        key = given or asked
        look_at(Settings(address, key or NO_KEY, model.strip(), "this call", bool(key)))
        dotenv_file.write(
            {"OPENAI_BASE_URL": address, "OPENAI_API_KEY": asked, "OPENAI_MODEL": model.strip()}
        )
    show_endpoint()


def transport_to(place: Endpoint) -> httpx2.BaseTransport | None:
    """Return the way to an endpoint that has no socket; None where httpx2 finds its own."""
    inside = _server_inside(place)
    return None if inside is None else inside.blocking


def async_transport_to(place: Endpoint) -> httpx2.AsyncBaseTransport | None:
    """Return the way there for an async client."""
    inside = _server_inside(place)
    return None if inside is None else inside.asynchronous


def asking(place: Endpoint, **options: Any) -> httpx2.Client:
    """Return a plain HTTP client that reaches the endpoint's server."""
    return httpx2.Client(transport=transport_to(place), **options)


def in_use() -> bool:
    """Whether this process has used an endpoint so far. Starts nothing and asks nothing."""
    return _server is not None or bool(_checked)


def _server_inside(place: Endpoint) -> ServerInPage | None:
    inside = isinstance(_server, ServerInPage) and place.source == "the embedded mock server"
    return _server if inside else None  # type: ignore[return-value]


def _endpoint_of(settings: Settings) -> Endpoint:
    found = look_at(settings)
    return Endpoint(
        base_url=settings.base_url,
        api_key=settings.api_key,
        model=found.model,
        source=settings.source,
        keeps_journal=found.keeps_journal,
        listed=found.listed,
        key_is_set=settings.key_is_set,
        remark=settings.remark,
    )


def _embedded_endpoint(settings: Settings) -> Endpoint:
    global _server
    if _server is None:
        _server = ServerInPage() if in_page() else EmbeddedServer()
    _server.ensure_running()
    return Endpoint(
        base_url=_server.base_url,
        api_key=_server.api_key,
        model=EMBEDDED_MODELS[0],
        source="the embedded mock server",
        keeps_journal=True,
        key_is_set=settings.key_is_set,
        remark=settings.remark,
    )
