"""What the environment and the nearest `.env` file say of an endpoint, read as it is written."""

import os
import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from helpers.endpoint import dotenv_file
from helpers.endpoint.addresses import (
    PAST_THE_BASE,
    QUOTES,
    host_name,
    meant_by,
    strange_characters,
    without_secrets,
)
from helpers.endpoint.errors import EndpointError
from helpers.endpoint.unread import unread_settings

NO_KEY = "EMPTY"
"""Servers that check no key still need the header to be there: the SDK refuses to send none."""

Source = Literal["the environment", "a .env file", "this call", "the embedded mock server"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Address, key and model as they are set. Without an address, the mock server is meant."""

    base_url: str
    api_key: str = field(repr=False)
    model: str
    source: Source
    key_is_set: bool = True
    remark: str = ""
    """A sentence on what is set and not read; empty if there is nothing of the kind."""

    @property
    def where(self) -> str:
        """`OPENAI_BASE_URL=… (from …)`, without a value that may be a key in the wrong place."""
        url = self.base_url
        shown = f"OPENAI_BASE_URL={without_secrets(url)}"
        if self._may_be_a_key():
            shown = "OPENAI_BASE_URL"
        return f"{shown} (from {self.source})"

    def _may_be_a_key(self) -> bool:
        url = self.base_url
        return url == self.api_key or url.startswith("sk-") or not re.search(r"[.:/]", url)

    @property
    def how_to_unset(self) -> str:
        """What to do to be back at the mock server."""
        if self.source == "a .env file":
            return "take the line with OPENAI_BASE_URL out of that file"
        if self.source == "this call":
            return "leave it out"
        return "unset OPENAI_BASE_URL"

    def set_to_what_was_meant(self) -> str:
        """`Set OPENAI_BASE_URL=….`, the address that this one was meant to be."""
        if self._may_be_a_key() or not host_name(meant := meant_by(self.base_url)):
            return "Write the whole address, for example http://localhost:8000/v1."
        return f"Set OPENAI_BASE_URL={without_secrets(meant)}."


def read_settings() -> Settings:
    """Return what is set in the environment or, for what is not, in the nearest `.env` file.

    A variable that is set, even to nothing, wins over the file. An empty `OPENAI_BASE_URL` in the
    environment asks for the mock server, and nothing is said then of what is not read.

    Raises:
        EndpointError: the file cannot be read.
    """
    file = dotenv_file.read()

    def value(name: str) -> tuple[str, Source]:
        if name in os.environ:
            return os.environ[name].strip(), "the environment"
        return (file.get(name) or "").strip(), "a .env file"

    base_url, source = value("OPENAI_BASE_URL")
    api_key, _ = value("OPENAI_API_KEY")
    model, _ = value("OPENAI_MODEL")
    there = {"OPENAI_BASE_URL": base_url, "OPENAI_API_KEY": api_key, "OPENAI_MODEL": model}
    remark = ""
    if base_url or "OPENAI_BASE_URL" not in os.environ:
        remark = unread_settings(there, file, os.environ)
        if not remark and (name := dotenv_file.misnamed()):
            remark = f"The file {name} is not read: its name must be .env, with nothing behind it."
    return Settings(base_url.rstrip("/"), api_key or NO_KEY, model, source, bool(api_key), remark)


def check_as_written(settings: Settings) -> None:
    """Say what can be seen to be wrong with an address and a key without asking anybody.

    Raises:
        EndpointError: something is.
    """
    where, url = settings.where, settings.base_url
    if re.search(f"[{QUOTES}]", url):
        raise EndpointError(f"{where} holds quotation marks. {settings.set_to_what_was_meant()}")
    if not re.match(r"https?://", url, re.IGNORECASE):
        raise EndpointError(
            f"{where} has no http:// or https:// in front. {settings.set_to_what_was_meant()}"
        )
    if strange_characters(url):
        raise EndpointError(
            f"{where} holds a space or a character that cannot be seen. "
            f"{settings.set_to_what_was_meant()}"
        )
    try:
        parts = urlsplit(url)
        _ = parts.port  # it is looked at only when asked for
    except ValueError as error:
        raise EndpointError(
            f"{where} is no address ({error}). Write it like http://localhost:8000/v1."
        ) from None
    if not parts.hostname:
        raise EndpointError(f"{where} names no host. Write it like http://localhost:8000/v1.")
    if parts.query or parts.fragment:
        raise EndpointError(f"{where} holds a ? or #. Leave out what follows it.")
    if too_far := re.search(PAST_THE_BASE, parts.path):
        shorter = without_secrets(url.removesuffix(too_far.group()))
        if not re.search(r"/api$", shorter):  # Ollama's /api/chat: the look there knows better
            raise EndpointError(f"{where} goes too far. Set OPENAI_BASE_URL={shorter}.")
    if re.match(rf"[{QUOTES}]|bearer\b", settings.api_key, re.IGNORECASE):
        raise EndpointError(
            "OPENAI_API_KEY holds more than the key. Leave out quotation marks and “Bearer”."
        )
    if not re.fullmatch(r"[!-~]+", settings.api_key):
        raise EndpointError(
            "OPENAI_API_KEY holds characters that no key has, such as a space or “…”. "
            "Put your key there in place of what may still be a placeholder."
        )
    if re.search(f"[{QUOTES}]", settings.model):
        raise EndpointError("OPENAI_MODEL holds quotation marks. Leave them out.")
