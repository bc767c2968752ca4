"""The proxy on the way to an address: which variable names it, and how to go without it."""

import os
from dataclasses import dataclass
from urllib.parse import SplitResult
from urllib.request import getproxies, proxy_bypass

from helpers.endpoint.addresses import is_local, without_secrets

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Proxy:
    """The proxy that requests to an address go through."""

    shown: str
    """Its address, without a password."""
    variable: str
    """The variable that names it; empty where the system's settings do."""
    without: str
    """The setting by which the address is reached without it: `NO_PROXY=…`, a whole line."""
    local: bool
    """Whether the address is this machine's or its own network's, where a proxy rarely helps."""

    def __str__(self) -> str:
        named = f"{self.variable}={self.shown}" if self.variable else f"{self.shown} (the system's)"
        return f"the proxy {named}"


def proxy_between(parts: SplitResult) -> Proxy | None:
    """Return the proxy on the way to an address; None if there is none."""
    host = parts.hostname or ""
    known = getproxies()
    kind = next((kind for kind in (parts.scheme, "all") if known.get(kind)), None)
    if kind is None or proxy_bypass(host) or host in _hosts_without("no_proxy"):
        return None
    # The order in which Python itself looks: a name in small letters wins.
    names = (f"{kind}_proxy", f"{kind}_proxy".upper())
    return Proxy(
        shown=without_secrets(known[kind]),
        variable=next((name for name in names if os.environ.get(name)), ""),
        without=_without_proxy(f"[{host}]" if ":" in host else host),
        local=is_local(host),
    )


def _without_proxy(host: str) -> str:
    name = "no_proxy" if "no_proxy" in os.environ else "NO_PROXY"
    return f"{name}={','.join([*_hosts_without(name), host])}"


def _hosts_without(name: str) -> list[str]:
    return [host.strip() for host in os.environ.get(name, "").split(",") if host.strip()]


def keep_loopback_off_the_proxy() -> None:
    """Where a proxy is set for the outside, the SDK would send loopback requests there too."""
    for name in ("NO_PROXY", "no_proxy"):
        hosts = _hosts_without(name)
        if LOOPBACK not in hosts:
            os.environ[name] = ",".join([*hosts, LOOPBACK])
