"""The first look at an endpoint of yours: whether it answers, or what is wrong and what to do."""

import re
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import SplitResult, urljoin, urlsplit

import httpx2

from helpers.endpoint.addresses import MODELS_ROUTE, other_bases, without_secrets
from helpers.endpoint.errors import EndpointError, machine_settings, reason
from helpers.endpoint.proxies import Proxy, proxy_between
from helpers.endpoint.settings import Settings, check_as_written
from helpers.endpoint.words import body_of, error_in, words_of

PROBE_TIMEOUT = 5.0
"""Seconds for the first look at an endpoint: a local server that loads a model may be slow to
answer, and a learner should not wait longer than this to hear that an address is wrong."""

LOADING_PATIENCE = 10.0
"""Seconds to ask on while a server says that it loads its model. A small one is there in a few; a
large one takes minutes, in which a learner has better things to do than to watch a cell."""

LOADING_PAUSE = 0.5
"""Seconds between two such questions."""

NOT_READY = r"\b(loading|starting|warming|initiali[sz]ing)\b|\bnot (yet )?ready\b"
"""How servers say with a 503 that their model is on its way; others mean that they are full."""

NO_ROUTE = (404, 405, 501)
"""How servers answer where they have nothing: no such path, no such method, not implemented."""

GATEWAY_ERRORS = (403, 502, 503, 504)
"""How a proxy answers for a server that it cannot or may not reach."""

TO_A_GET = (301, 302, 303)
"""Redirects after which a client, the SDK's too, asks with GET where it had sent a POST."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the first look found at an endpoint that answers."""

    model: str
    keeps_journal: bool
    listed: bool


def look_at(settings: Settings) -> Found:
    """Ask the endpoint for its models: one request that needs address, path and key to be right.

    Raises:
        EndpointError: it cannot be used as it is set.
    """
    check_as_written(settings)
    with machine_settings():
        # One for all that is asked: to make it, certificates are read, which takes 50 ms.
        client = httpx2.Client(timeout=PROBE_TIMEOUT, follow_redirects=False)
    with client:
        return _Look(settings, client).found()


class _Look:
    """One look at one endpoint; every way out of it but one is a sentence."""

    def __init__(self, settings: Settings, client: httpx2.Client) -> None:
        self._settings = settings
        self._client = client
        self._where = settings.where
        self._url = settings.base_url
        self._parts = urlsplit(settings.base_url)
        self._proxy = proxy_between(self._parts)

    def found(self) -> Found:
        answer = self._models()
        names = model_names(answer)
        if names is None:
            self._say_what_stands_in_the_way(answer)
            self._say_a_better_address(answer)
            self._make_sure_of_an_api_without_a_list(answer)
        model = self._settings.model or (names[0] if names else "")
        if not model:
            raise self._error(
                "lists no models. Load one there, or set OPENAI_MODEL to the one to use."
            )
        return Found(model, "x-mock-server" in answer.headers, listed=not names or model in names)

    # --- asking ---

    def _models(self) -> httpx2.Response:
        """Ask for the list of models, and on while the server says that it loads one."""
        began = time.monotonic()
        answer = self._ask("GET", "/models")
        while _is_loading(answer):
            if (tried := time.monotonic() - began) >= LOADING_PATIENCE:
                raise self._error(
                    f"is not ready yet ({self._words(answer)}), and was asked for {tried:.0f} "
                    f"seconds. Wait until its model is loaded, then run the cell again."
                )
            time.sleep(LOADING_PAUSE)
            answer = self._ask("GET", "/models")
        return answer

    def _ask(self, method: str, route: str) -> httpx2.Response:
        # A body without messages: any such API refuses it, and no model works or costs.
        body = {"model": self._settings.model} if method == "POST" else None
        try:
            return self._send(method, f"{self._url}{route}", body)
        except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError) as error:
            self._say_why_nothing_came(error)

    def _send(
        self, method: str, url: str, body: dict[str, str] | None = None, key: bool = True
    ) -> httpx2.Response:
        """Send one request. The key is in no variable that a traceback may show."""
        return self._client.request(
            method,
            url,
            json=body,
            headers={"Authorization": f"Bearer {self._settings.api_key}"} if key else None,
        )

    def _tried(self, url: str, key: bool = True) -> httpx2.Response | None:
        """Ask another address for its models; None if nothing of HTTP comes from there."""
        try:
            return self._send("GET", f"{url}/models", key=key)
        except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError):
            return None

    def _may_have_the_key(self, target: SplitResult) -> bool:
        """A key goes to the host that it was set for, and never in the clear if it need not."""
        encrypted = target.scheme == "https" or self._parts.scheme == "http"
        return encrypted and target.hostname == self._parts.hostname

    # --- what is wrong ---

    def _error(self, says: str) -> EndpointError:
        return EndpointError(f"{self._where} {says}")

    def _words(self, answer: httpx2.Response) -> str:
        return words_of(answer, self._settings.api_key)

    def _say_what_stands_in_the_way(self, answer: httpx2.Response) -> None:
        """Raise where an answer is about the way, the key or the server's state, not the path."""
        status, said = answer.status_code, self._words(answer)
        if answer.has_redirect_location:
            self._say_where_it_moved(answer)
        if self._proxy and _is_the_proxys(answer, self._proxy):
            raise self._error(f"is answered by {_proxy_words(self._proxy, said)}")
        if status in (401, 403) and (error_in(answer) or "html" not in _kind(answer)):
            if not self._settings.key_is_set:
                raise self._error(
                    f"wants a key, and none is set ({said}). "
                    f"{self._settings.remark or 'Set OPENAI_API_KEY to a key that is valid there.'}"
                )
            raise self._error(
                f"refused the key ({said}). Set OPENAI_API_KEY to a key that is valid there."
            )
        if status in (401, 403):
            raise self._error(
                f"lets nobody in ({said}). A login page or a firewall stands before it: ask "
                f"whoever runs it for the address of its API."
            )
        if status == 429:
            raise self._error(
                f"takes no more requests for now ({said}). Wait a while and run the cell again; "
                f"if it speaks of a quota, waiting does not help: look at the account there."
            )
        if status in (500, 502, 503, 504) and error_in(answer):
            raise self._error(
                f"answers, but fails ({said}). Wait and run the cell again; if it stays so, look "
                f"at that server's log."
            )

    def _say_where_it_moved(self, answer: httpx2.Response) -> None:
        """Raise where a redirect leads elsewhere; a slash more at the end is the same address."""
        status = answer.status_code
        target = urlsplit(urljoin(str(answer.request.url), answer.headers["location"]))
        base, routes = re.subn(MODELS_ROUTE, "", target.path)
        new = target._replace(path=base, query="", fragment="").geturl()
        if new == self._url:
            if status in TO_A_GET:
                raise self._error(
                    f"wants a slash at the end of each path (HTTP {status}), which the SDK sends "
                    f"none of, and its POST arrives there as a GET. Let the server, or what stands "
                    f"before it, answer {self._parts.path}/chat/completions itself."
                )
            raise self._error(
                f"wants a slash at the end of each path (HTTP {status}), which the SDK sends none "
                f"of. Let the server answer {self._parts.path}/chat/completions itself."
            )
        shown = without_secrets(new)
        if not routes:
            raise self._error(
                f"leads on to {without_secrets(target.geturl())} (HTTP {status}), which is no API: "
                f"a login page or a web site. Ask whoever runs it for the address of its API."
            )
        there = self._tried(new, key=self._may_have_the_key(target))
        if there is not None and _is_an_api(there):
            raise self._error(
                f"has moved to {shown} (HTTP {status}), where the SDK's POST would arrive as a "
                f"GET. Set OPENAI_BASE_URL={shown}."
                if status in TO_A_GET
                else f"has moved to {shown} (HTTP {status}). Set OPENAI_BASE_URL={shown}."
            )
        why = "nothing answers" if there is None else f"no API answers ({self._words(there)})"
        raise self._error(
            f"has moved to {shown} (HTTP {status}), where {why} from here. Set "
            f"OPENAI_BASE_URL={shown} if that is where it should be, or ask whoever runs it."
        )

    def _say_a_better_address(self, answer: httpx2.Response) -> None:
        """Raise where the list of models is found at another path of the same server."""
        root = self._parts._replace(path="").geturl()
        # Behind a wrong key every path may be refused, so a refusal tells less than a list.
        refused = ""
        for path in other_bases(self._parts.path):
            there = self._tried(f"{root}{path}")
            if there is None:
                break
            if model_names(there) is not None:
                raise self._error(
                    f"is not where the API is ({self._words(answer)}). "
                    f"Set OPENAI_BASE_URL={without_secrets(root + path)}."
                )
            if there.status_code in (401, 403) and error_in(there):
                refused = refused or path
        if refused:
            raise self._error(
                f"is not where the API is ({self._words(answer)}): {refused} asks for a key. Set "
                f"OPENAI_BASE_URL={without_secrets(root + refused)}, and OPENAI_API_KEY."
            )

    def _make_sure_of_an_api_without_a_list(self, answer: httpx2.Response) -> None:
        """Raise unless the server takes chats; without a model's name even then."""
        if answer.status_code not in NO_ROUTE:
            raise self._error(self._no_api(f"{self._parts.path}/models answered", answer))
        chat = self._ask("POST", "/chat/completions")
        self._say_what_stands_in_the_way(chat)
        if not _takes_chats(chat):
            raise self._error(self._no_api(f"{self._parts.path}/chat/completions answered", chat))
        if not self._settings.model:
            raise self._error(
                f"has no list of models at {self._parts.path}/models. "
                f"Set OPENAI_MODEL to the model to use."
            )

    def _no_api(self, asked: str, answer: httpx2.Response) -> str:
        said = f"is no OpenAI-compatible API: {asked} {self._words(answer)}."
        if self._parts.scheme == "http" and "HTTPS" in said:
            return f"{said} It wants https:// in place of http://."
        if self._proxy:
            return f"{said} The way there goes through {_proxy_words(self._proxy)}"
        return (
            f"{said} Nor is one at the usual paths there, such as /v1. Is the port right, and the "
            f"host? Another program may listen there."
        )

    def _say_why_nothing_came(self, error: Exception) -> NoReturn:
        """Raise the sentence for an error of the network: refused, unknown, silent, encrypted."""
        raise self._error(self._why_nothing_came(error)) from None

    def _why_nothing_came(self, error: Exception) -> str:
        causes = list(_causes(error))
        host = f"{self._parts.hostname}:{self._port()}"
        said = reason(error)
        if self._proxy:
            problem = "did not answer in time" if _timed_out(error) else f"is not reached ({said})"
            return f"{problem}; the way there goes through {_proxy_words(self._proxy)}"
        if isinstance(error, httpx2.ConnectTimeout):
            return (
                f"cannot be reached: {host} gave no sign within {PROBE_TIMEOUT:g} seconds. Is the "
                f"host right and up, and no firewall or VPN in between?"
            )
        if isinstance(error, httpx2.TimeoutException):
            return (
                f"did not answer within {PROBE_TIMEOUT:g} seconds, although {host} took the "
                f"connection. Is the port an API's, and is its server not busy or frozen?"
            )
        if isinstance(causes[-1], socket.gaierror):
            return (
                f"cannot be reached: no host is known by the name {self._parts.hostname!r} "
                f"({said}). Is it spelled right, and does it need a VPN?"
            )
        if isinstance(causes[-1], ConnectionRefusedError):
            return (
                f"cannot be reached: nothing listens at {host}{self._whose_loopback()} ({said}). "
                f"Start the server there, correct the address, or {self._settings.how_to_unset} "
                f"to use the course's own mock server."
            )
        if isinstance(causes[-1], ssl.SSLCertVerificationError):
            return (
                f"shows a certificate that is not trusted here "
                f"({causes[-1].verify_message}). Correct the host's name, or set SSL_CERT_FILE to "
                f"the file of the authority that signed it."
            )
        if isinstance(error, httpx2.ProtocolError | httpx2.ReadError) or any(
            isinstance(cause, ssl.SSLError) for cause in causes
        ):
            return self._why_not_understood(said)
        return (
            f"cannot be reached ({said}). Start the server there, correct the address, or "
            f"{self._settings.how_to_unset} to use the course's own mock server."
        )

    def _why_not_understood(self, said: str) -> str:
        """Say whether the other of http and https is spoken there, or neither."""
        other = "http" if self._parts.scheme == "https" else "https"
        url = self._parts._replace(scheme=other).geturl()
        if self._speaks_http(url):
            speaks = "with" if other == "https" else "without"
            return (
                f"answers {speaks} encryption: it is {other}:// in place of "
                f"{self._parts.scheme}://. Set OPENAI_BASE_URL={without_secrets(url)}."
            )
        return (
            f"is answered by something that speaks no HTTP ({said}). Is the port right? Another "
            f"program may listen there."
        )

    def _speaks_http(self, url: str) -> bool:
        """Whether anything of HTTP is spoken at an address, with or without a good certificate."""
        try:
            self._send("GET", f"{url}/models", key=False)
        except httpx2.HTTPError as error:
            return any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error))
        return True

    def _whose_loopback(self) -> str:
        """Say whose `localhost` it is: on Binder or a hub not the learner's own."""
        host = self._parts.hostname or ""
        here = host == "localhost" or host.startswith("127.") or host in ("::1", "0.0.0.0")
        return " on the machine that runs this kernel" if here else ""

    def _port(self) -> int:
        return self._parts.port or (443 if self._parts.scheme == "https" else 80)


def model_names(answer: httpx2.Response) -> list[str] | None:
    """Return the models that an answer lists; None if it is no list of models."""
    if answer.status_code != 200:
        return None
    body = body_of(answer)
    # Ollama without a model says null; some gateways send the list alone.
    cards = body.get("data", body) if isinstance(body, dict) else body or None
    if cards is None and isinstance(body, dict) and body.get("object") == "list":
        return []
    if not isinstance(cards, list):
        return None
    try:
        return [str(card["id"]) for card in cards]
    except (KeyError, TypeError):
        return None


def _is_an_api(answer: httpx2.Response) -> bool:
    """Whether an answer to the question for models is an API's, be it that it wants a key."""
    return model_names(answer) is not None or (
        answer.status_code in (401, 403) and bool(error_in(answer))
    )


def _takes_chats(answer: httpx2.Response) -> bool:
    """Whether an answer to a chat without messages is an API's, which refuses it in JSON."""
    body = body_of(answer)
    if not isinstance(body, dict):
        return False
    if answer.status_code in NO_ROUTE:  # that model may be what is not found
        return bool(re.search(r"\bmodel\b", error_in(answer)))
    if answer.status_code == 200:
        refused = re.search(r"endpoint|method|route|path|url|not found", error_in(answer), re.I)
        return "choices" in body or ("error" in body and not refused)
    return bool(error_in(answer))


def _is_loading(answer: httpx2.Response) -> bool:
    """Whether a server says that it is not ready yet, which a proxy in between does not know."""
    return answer.status_code == 503 and bool(re.search(NOT_READY, answer.text, re.I))


def _is_the_proxys(answer: httpx2.Response, proxy: Proxy) -> bool:
    """Whether an answer is likely the proxy's own: no API words its errors so."""
    if answer.status_code == 407:
        return True
    if error_in(answer):
        return False
    return answer.status_code in GATEWAY_ERRORS or (proxy.local and answer.status_code >= 400)


def _proxy_words(proxy: Proxy, said: str = "") -> str:
    """Return `the proxy HTTP_PROXY=…`, what it said, and how to go without it."""
    named = f"{proxy} ({said})" if said else str(proxy)
    if proxy.local:
        what = "which cannot know this machine or its network"
    else:
        what = "which may be what cannot reach it"
    return (
        f"{named}, {what}. To go without it, set {proxy.without} (in a cell: %env {proxy.without})."
    )


def _kind(answer: httpx2.Response) -> str:
    return answer.headers.get("content-type", "")


def _timed_out(error: Exception) -> bool:
    return isinstance(error, httpx2.TimeoutException)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what caused it, down to the system's own."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
