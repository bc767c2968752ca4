"""Which endpoint is in use: yours (environment or `.env` file) or the embedded mock server."""

import atexit
import contextlib
import io
import os
import re
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

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

NO_DOTENV_LINE = r"\s*(?:set\s+|setx\s+|\$env:)OPENAI_|\s*OPENAI_(?:BASE_URL|API_KEY|MODEL)\s*:"
"""What a shell of Windows or a YAML file would read, and a `.env` file passes over in silence."""

PAST_THE_BASE = r"/(chat/completions|completions|responses|embeddings|models)$"
"""Routes that are often copied along with an address."""

Source = Literal["the environment", "a .env file", "the embedded mock server"]


class EndpointError(RuntimeError):
    """The endpoint cannot be used as it is set; the message says why and what to do."""


@contextlib.contextmanager
def machine_settings() -> Iterator[None]:
    """Say which settings to look at where no client can be made: its proxy's or certificates'.

    Raises:
        EndpointError: they cannot be used.
    """
    try:
        yield
    except (ImportError, ValueError, OSError, httpx2.InvalidURL) as error:
        raise EndpointError(
            f"This machine's proxy or certificate settings cannot be used ({_reason(error)}). "
            f"Look at ALL_PROXY, HTTP_PROXY, HTTPS_PROXY and SSL_CERT_FILE."
        ) from None


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

    def __str__(self) -> str:
        """Say where requests go, without the key and without the embedded server's chance port."""
        if self.source == "the embedded mock server":
            where = f"{self.source}, on this machine"
        else:
            where = f"{_without_secrets(self.base_url)} (from {self.source})"
        key = 'none set: "EMPTY" is sent' if self.api_key == NO_KEY else "set, and never shown"
        journal = (
            "kept: a cell can ask the server what it saw"
            if self.keeps_journal
            else "none: only the mock server keeps one"
        )
        model = self.model if self.listed else f"{self.model} (not among those the endpoint lists)"
        facts = {"endpoint": where, "model": model, "key": key, "journal": journal}
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


# --- an endpoint of yours ---------------------------------------------------------------------


def _read_settings() -> _Settings | None:
    file = _read_dotenv()

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


def _read_dotenv() -> Mapping[str, str | None]:
    path = find_dotenv(usecwd=True)
    if not path:
        return {}
    try:
        text = Path(path).read_text("utf-8-sig")  # Windows tools put a mark in front
    except UnicodeDecodeError:
        raise EndpointError(f"The file {path} is not UTF-8 text. Save it as UTF-8.") from None
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(NO_DOTENV_LINE, line):
            raise EndpointError(
                f"Line {number} of {path} sets no variable. Write NAME=value, a line each."
            )
    return dotenv_values(stream=io.StringIO(text))


def _probe(settings: _Settings) -> Endpoint:
    """Ask the endpoint for its models: one request that needs address, path and key to be right."""
    where = f"{_shown_address(settings)} (from {settings.source})"
    try:
        parts = urlsplit(settings.base_url)
        _ = parts.port  # it is looked at only when asked for
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
    if parts.query or parts.fragment:
        raise EndpointError(f"{where} holds a ? or #. Leave out what follows it.")
    if too_far := re.search(PAST_THE_BASE, parts.path):
        shorter = _without_secrets(settings.base_url.removesuffix(too_far.group()))
        raise EndpointError(f"{where} goes too far. Set OPENAI_BASE_URL={shorter}.")
    if re.match(r"[\"']|bearer\b", settings.api_key, re.IGNORECASE):
        raise EndpointError(
            "OPENAI_API_KEY holds more than the key. Leave out quotation marks and “Bearer”."
        )
    if not re.fullmatch(r"[!-~]+", settings.api_key):
        raise EndpointError(
            "OPENAI_API_KEY holds characters that no key has, such as a space or “…”. "
            "Put your key there in place of what may still be a placeholder."
        )
    try:
        answer = _get_models(settings)
    except httpx2.TimeoutException:
        raise EndpointError(
            f"{where} did not answer within {PROBE_TIMEOUT:g} seconds. "
            f"Is the server up, and is the address right?"
        ) from None
    except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError) as error:
        if "WRONG_VERSION_NUMBER" in str(error):
            raise EndpointError(
                f"{where} answers without encryption. Is it http:// in place of https://?"
            ) from None
        raise EndpointError(
            f"{where} cannot be reached ({_reason(error)}).{_proxy_between(parts)} "
            f"Start the server there, correct the "
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
            if _model_names(_get_models(settings, "/v1")) is not None:
                raise EndpointError(
                    f"{where} lacks its last part. "
                    f"Set OPENAI_BASE_URL={_without_secrets(settings.base_url)}/v1."
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
    if names is None and not settings.model:
        raise EndpointError(
            f"{where} has no list of models at {parts.path}/models. Such addresses mostly end in "
            f"/v1; if this one is right, set OPENAI_MODEL to the model to use."
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
        listed=not names or model in names,
    )


def _get_models(settings: _Settings, below: str = "") -> httpx2.Response:
    """Ask for `{base URL}{below}/models`. The key is in no variable that a traceback may show."""
    with machine_settings():
        client = httpx2.Client(timeout=PROBE_TIMEOUT, follow_redirects=True)
    with client:
        return client.get(
            f"{settings.base_url}{below}/models",
            headers={"Authorization": f"Bearer {settings.api_key}"},
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


def _proxy_between(parts: SplitResult) -> str:
    """Return a sentence about the proxy on the way to an address; empty if there is none."""
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy is None or proxy_bypass(parts.netloc):
        return ""
    return (
        f" The way there goes through the proxy {_without_secrets(proxy)}; "
        f"NO_PROXY lists the hosts to reach without it."
    )


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def _shown_address(settings: _Settings) -> str:
    """Return `OPENAI_BASE_URL=…`, without a value that may be a key pasted in the wrong place."""
    url = settings.base_url
    if url == settings.api_key or url.startswith("sk-") or not re.search(r"[.:/]", url):
        return "OPENAI_BASE_URL"
    return f"OPENAI_BASE_URL={_without_secrets(url)}"


def _without_secrets(url: str) -> str:
    """Hide what an address may carry: a password before an `@`, a key after a `?` or `#`."""
    return re.sub(r"[?#].*", "?…", re.sub(r"^(\w+://)?.*@", r"\1…@", url))


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
        self._owner = 0
        self._port = 0
        self.base_url = ""

    def ensure_running(self) -> None:
        if self._process is None:
            self._start()
        elif self._owner != os.getpid():
            return  # a forked child: the server is its parent's, which alone can ask after it
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
        self._owner = os.getpid()
        self._port = urlsplit(self.base_url).port or 0
        _keep_loopback_off_the_proxy()
        atexit.register(_end, process)


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
