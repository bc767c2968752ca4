"""Which endpoint is in use: yours (environment or `.env` file) or the embedded mock server."""

import atexit
import contextlib
import os
import re
import secrets
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal
from urllib.parse import urlsplit

import httpx2
from dotenv import dotenv_values, find_dotenv

EMBEDDED_MODELS = ("mock-chat", "mock-embed")
"""The models of the embedded server. It knows no others, so that a typo meets a true 404."""

NO_KEY = "EMPTY"
"""Servers that check no key still need the header to be there: the SDK refuses to send none."""

PROBE_TIMEOUT = 5.0
"""Seconds for the first look at an endpoint: a local server that loads a model may be slow to
answer, and a learner should not wait longer than this to hear that an address is wrong."""

START_TIMEOUT = 20.0
"""Seconds for the embedded server to listen. It takes about 0.3; a cold disk or a virus scanner
can make it ten times that."""

CLIENT_TAG = f"kernel-{secrets.token_hex(4)}"
"""Marks this process's requests in the journal, as several may share one mock server."""

Source = Literal["the environment", "a .env file", "the embedded mock server"]


class EndpointError(RuntimeError):
    """The endpoint cannot be used as it is set; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go. The key never shows in a repr."""

    base_url: str
    api_key: str = field(repr=False)
    model: str
    source: Source
    keeps_journal: bool
    """Whether the endpoint is a mock server, which can be asked what it saw."""

    def __str__(self) -> str:
        """Say where requests go, without the key and without the embedded server's chance port."""
        if self.source == "the embedded mock server":
            where = f"{self.source}, on this machine"
        else:
            where = f"{_without_password(self.base_url)} (from {self.source})"
        key = 'none set: "EMPTY" is sent' if self.api_key == NO_KEY else "set, and never shown"
        journal = (
            "kept: a cell can ask the server what it saw"
            if self.keeps_journal
            else "none: only the mock server keeps one"
        )
        facts = {"endpoint": where, "model": self.model, "key": key, "journal": journal}
        return "\n".join(f"{name:<10}{fact}" for name, fact in facts.items())


@dataclass(frozen=True, slots=True)
class _Settings:
    base_url: str
    api_key: str = field(repr=False)
    model: str
    source: Source


_lock = threading.RLock()
_checked: dict[_Settings, Endpoint] = {}
_server: "_EmbeddedServer | None" = None


def endpoint() -> Endpoint:
    """Return the endpoint in use, having made sure that it answers.

    `OPENAI_BASE_URL`, `OPENAI_API_KEY` and `OPENAI_MODEL` are read from the environment, then from
    the nearest `.env` file; a variable that is set, even to nothing, wins over the file. Without a
    base URL the course's own mock server is started, once for this process.

    Raises:
        EndpointError: the address, the key or the model cannot be used.
    """
    with _lock:
        settings = _read_settings()
        if settings is None:
            return _embedded_endpoint()
        if settings not in _checked:
            _checked[settings] = _probe(settings)
        return _checked[settings]


def show_endpoint() -> None:
    """Print which endpoint is in use, having made sure that it answers; never its key.

    Raises:
        EndpointError: the address, the key or the model cannot be used.
    """
    print(endpoint())


def in_use() -> bool:
    """Whether this process has used an endpoint so far. Starts nothing and asks nothing."""
    return _server is not None or bool(_checked)


def stop_embedded_server() -> None:
    """Stop the embedded server, if one runs. The next use starts another on the same port."""
    with _lock:
        if _server is not None:
            _server.stop()


# --- an endpoint of yours ---------------------------------------------------------------------


def _read_settings() -> _Settings | None:
    file = dotenv_values(find_dotenv(usecwd=True))

    def value(name: str) -> tuple[str, Source]:
        if name in os.environ:
            return os.environ[name].strip(), "the environment"
        return (file.get(name) or "").strip(), "a .env file"

    base_url, source = value("OPENAI_BASE_URL")
    if not base_url:
        return None
    api_key, _ = value("OPENAI_API_KEY")
    model, _ = value("OPENAI_MODEL")
    return _Settings(base_url.rstrip("/"), api_key or NO_KEY, model, source)


def _probe(settings: _Settings) -> Endpoint:
    """Ask the endpoint for its models: one request that needs address, path and key to be right."""
    where = f"OPENAI_BASE_URL={_without_password(settings.base_url)} (from {settings.source})"
    try:
        parts = urlsplit(settings.base_url)
    except ValueError as error:
        raise EndpointError(
            f"{where} is no address ({error}). Write it like http://localhost:8000/v1."
        ) from None
    if parts.scheme not in ("http", "https"):
        raise EndpointError(
            f"{where} has no http:// or https:// in front. "
            f"Write the whole address, for example http://localhost:8000/v1."
        )
    if not parts.hostname:
        raise EndpointError(f"{where} names no host. Write it like http://localhost:8000/v1.")
    if not re.fullmatch(r"[!-~]+", settings.api_key):
        raise EndpointError(
            "OPENAI_API_KEY holds characters that no key has, such as a space or “…”. "
            "Put your key there in place of what may still be a placeholder."
        )
    try:
        answer = _get_models(settings.base_url, settings.api_key)
    except httpx2.TimeoutException:
        raise EndpointError(
            f"{where} did not answer within {PROBE_TIMEOUT:g} seconds. "
            f"Is the server up, and is the address right?"
        ) from None
    except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError) as error:
        raise EndpointError(
            f"{where} cannot be reached ({_reason(error)}). Start the server there, correct the "
            f"address, or {_how_to_unset(settings.source)} to use the course's own mock server."
        ) from None
    if answer.status_code in (401, 403):
        raise EndpointError(
            f"{where} refused the key (HTTP {answer.status_code}). "
            f"Set OPENAI_API_KEY to a key that is valid there."
        )
    names = _model_names(answer)
    if names is None and not parts.path.endswith("/v1"):
        with contextlib.suppress(httpx2.HTTPError):
            if _model_names(_get_models(f"{settings.base_url}/v1", settings.api_key)) is not None:
                raise EndpointError(
                    f"{where} lacks its last part. "
                    f"Set OPENAI_BASE_URL={_without_password(settings.base_url)}/v1."
                )
    if names is None and answer.status_code not in (404, 405):
        raise EndpointError(
            f"{where} does not look like an OpenAI-compatible API: {parts.path}/models answered "
            f"HTTP {answer.status_code} without a list of models. Such addresses mostly end in /v1."
        )
    if names is None and not parts.path.strip("/"):
        raise EndpointError(
            f"{where} has no path, and /models answered HTTP {answer.status_code}. "
            f"OpenAI-compatible addresses mostly end in /v1."
        )
    model = settings.model or (names[0] if names else "")
    if not model:
        raise EndpointError(f"{where} lists no models. Set OPENAI_MODEL to the one to use.")
    return Endpoint(
        base_url=settings.base_url,
        api_key=settings.api_key,
        model=model,
        source=settings.source,
        keeps_journal="x-mock-server" in answer.headers,
    )


def _get_models(base_url: str, api_key: str) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {api_key}"}
    return httpx2.get(
        f"{base_url}/models", headers=headers, timeout=PROBE_TIMEOUT, follow_redirects=True
    )


def _model_names(answer: httpx2.Response) -> list[str] | None:
    if answer.status_code != 200:
        return None
    try:
        return [str(card["id"]) for card in answer.json()["data"]]
    except (ValueError, KeyError, TypeError):
        return None


def _how_to_unset(source: Source) -> str:
    if source == "a .env file":
        return "take the line with OPENAI_BASE_URL out of that file"
    return "unset OPENAI_BASE_URL"


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _without_password(url: str) -> str:
    """Hide what stands before an `@`: an address may carry a password."""
    return re.sub(r"//[^/@]*@", "//…@", url)


# --- the embedded server ----------------------------------------------------------------------


def _embedded_endpoint() -> Endpoint:
    global _server
    if _server is None:
        _server = _EmbeddedServer()
    _server.ensure_running()
    return Endpoint(
        base_url=_server.base_url,
        api_key=NO_KEY,
        model=EMBEDDED_MODELS[0],
        source="the embedded mock server",
        keeps_journal=True,
    )


class _EmbeddedServer:
    """`python -m helpers.mock_server` as a child of this process, which ends when we end."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._port = 0
        self.base_url = ""

    def ensure_running(self) -> None:
        if self._process is None:
            self._start()
        elif self._process.poll() is not None:
            code = self._process.returncode
            self._start()
            print(
                f"The mock server had stopped (exit code {code}). A new one runs; "
                f"its journal starts empty.",
                file=sys.stderr,
            )

    def _start(self) -> None:
        try:
            self._launch(self._port)
        except EndpointError:
            if not self._port:
                raise
            self._launch(0)  # somebody took our old port meanwhile

    def _launch(self, port: int) -> None:
        command = [sys.executable, "-m", "helpers.mock_server", "--exit-with-parent"]
        command += ["--port", str(port), "--models", ",".join(EMBEDDED_MODELS)]
        # The server's folder, not the notebook's: a learner's `helpers.py` or `json.py` beside the
        # notebook must not be what the server imports.
        root = Path(__file__).resolve().parents[1]
        process = subprocess.Popen(
            command,
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Ctrl-C in a terminal, or Jupyter's interrupt, is for the learner's code alone.
            start_new_session=True,
        )
        self.base_url = _wait_until_listening(process)
        self._process = process
        self._port = urlsplit(self.base_url).port or 0
        _keep_loopback_off_the_proxy()
        atexit.register(_end, process)

    def stop(self) -> None:
        if self._process is not None:
            _end(self._process)


def _end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.wait()


def _wait_until_listening(process: "subprocess.Popen[str]") -> str:
    """Read the line that says where the server listens; kill it if none comes in time."""
    assert process.stdout is not None
    assert process.stderr is not None
    timer = threading.Timer(START_TIMEOUT, process.kill)
    timer.start()
    try:
        line = process.stdout.readline()
    finally:
        timer.cancel()
    found = re.search(r"http://\S+/v1", line)
    if not found:
        process.kill()
        _, said = process.communicate()
        error = said.strip().splitlines()
        raise EndpointError(
            "The mock server did not start"
            + (f": {error[-1]}" if error else f" within {START_TIMEOUT:g} seconds.")
            + " Run `python -m helpers.mock_server` in a terminal to see all it says."
        )
    for pipe in (process.stdout, process.stderr):
        threading.Thread(target=_drain, args=(pipe,), daemon=True).start()
    return found.group()


def _drain(pipe: IO[str]) -> None:
    """Read and drop what the server says later: a full pipe would stop it."""
    for _ in pipe:
        pass


def _keep_loopback_off_the_proxy() -> None:
    """Where a proxy is set for the outside, the SDK would send loopback requests there too."""
    for name in ("NO_PROXY", "no_proxy"):
        hosts = [host for host in os.environ.get(name, "").split(",") if host]
        if "127.0.0.1" not in hosts:
            os.environ[name] = ",".join([*hosts, "127.0.0.1"])
