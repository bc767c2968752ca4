"""Reads addresses as people write them: what is wrong with one, and what was meant by it."""

import ipaddress
import re
import unicodedata
from urllib.parse import urlsplit

PAST_THE_BASE = r"/(chat/completions|completions|chat|responses|embeddings|models)$"
"""Routes that are often copied along with an address."""

QUOTES = "\"'`\u2018\u2019\u201c\u201d"
"""Quotation marks, as they come along from a shell or a web page."""

MODELS_ROUTE = r"/models/?$"

LOCAL_ENDINGS = (".localhost", ".localdomain", ".local", ".lan", ".internal", ".home.arpa")
"""Names that no public name server knows: they are for this machine or its own network."""

OLLAMA_PORT = 11434
"""Where Ollama listens unless told otherwise; its `OLLAMA_HOST` mostly leaves it out."""

AZURE = r"\.(openai\.azure\.com|services\.ai\.azure\.com|cognitiveservices\.azure\.com)$"
"""Hosts of Azure, whose API without deployments and versions in the path is at `/openai/v1`."""


def meant_by(text: str, port: int | None = None) -> str:
    """Return the base URL that somebody meant who wrote `text`; `port` where none is in it.

    Quotation marks, spaces and what looks like other characters are put right, a missing scheme is
    put in front, a route is left out, and `/v1` is put behind where there is no path.
    """
    text = "".join(filter(_can_be_seen, unicodedata.normalize("NFKC", text))).strip(f"{QUOTES}<>")
    scheme, rest = re.fullmatch(  # type: ignore[union-attr]  # it matches everything
        r"(?:(https?)[:;/\\]+|\w+://|[:/\\]+(?!\d))?(.*)", text, re.IGNORECASE
    ).groups()
    rest = re.sub(r"[?#].*", "", rest).replace("\\", "/")
    host, slash, path = rest.partition("/")
    if host.startswith(":"):  # `:8000` is how a server is told where to listen
        host = f"localhost{host}"
    host = re.sub(r"(^|@)0\.0\.0\.0(?=:|$)", r"\1localhost", host)
    name = host_name(f"http://{host}")
    if port and not re.search(r":\d+$", host):
        host = f"{host}:{port}"
    path = re.sub(r"//+", "/", f"{slash}{path}").rstrip("/")
    path = re.sub(PAST_THE_BASE, "", path)
    if re.search(AZURE, name):
        path = "/openai/v1"
    scheme = scheme or ("http" if is_local(name) or port else "https")
    return f"{scheme.lower()}://{host}{path or '/v1'}"


def host_name(url: str) -> str:
    """Return the host's name in an address; empty if it has none or is no address."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def is_local(host: str) -> bool:
    """Whether a host is this machine or one of its own network."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith(LOCAL_ENDINGS)
    return address.is_private or address.is_loopback or address.is_unspecified


def other_bases(path: str) -> list[str]:
    """Return the paths at which an API may be whose address was given as `path`, likelier first."""
    parts = [part for part in path.split("/") if part]
    above = ["".join(f"/{part}" for part in parts[:count]) for count in range(len(parts), -1, -1)]
    guesses = [guess for base in above for guess in (f"{base}/v1", base)]
    guesses += ["/api/v1", "/openai/v1", "/api"]  # relays, gateways and chat servers
    return [guess for guess in dict.fromkeys(guesses) if guess != path.rstrip("/")]


def strange_characters(text: str) -> str:
    """Return those characters of an address that cannot be in one, or cannot be seen there."""
    return "".join(letter for letter in text if not _can_be_seen(letter))


def _can_be_seen(letter: str) -> bool:
    return unicodedata.category(letter) not in ("Cc", "Cf", "Zs", "Zl", "Zp")


def without_secrets(url: str) -> str:
    """Hide what an address may carry: a password before an `@`, a key after a `?` or `#`."""
    return re.sub(r"[?#].*", "?…", re.sub(r"^(\w+://)?.*@", r"\1…@", url))
