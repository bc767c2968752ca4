"""A request as scripted replies see it, and whether one is for it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from helpers.mock_server.content.scripts import When

REGEX = re.compile(r"/(?P<pattern>.+)/(?P<flags>i?)", re.DOTALL)
"""A text to look for that is a regular expression: `/^weather/i`."""


def looks_for(wanted: str) -> Callable[[str], bool]:
    """Return what tells whether a text is found: in any case of letters, or as a `/pattern/`.

    Raises:
        ValueError: the pattern is no regular expression.
    """
    written = REGEX.fullmatch(wanted)
    if written is None:
        low = wanted.casefold()
        return lambda text: low in text.casefold()
    try:
        flags = re.IGNORECASE if written["flags"] else re.NOFLAG
        found = re.compile(written["pattern"], flags | re.DOTALL).search
    except re.error as problem:
        raise ValueError(f"{wanted} is no regular expression: {problem}") from None
    return lambda text: found(text) is not None


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a request decides which reply is its answer."""

    path: str
    model: str | None
    method: str = "POST"
    client: str | None = None
    last: str = ""
    """The last message, whosever it is."""
    turn: int = 1
    results: tuple[str, ...] = ()
    """What the tools answered, where they spoke last."""

    def misfit(self, when: "When") -> str | None:
        """Return which wish of a reply's this request does not meet; None where it is for it."""
        if when.message is not None and not looks_for(when.message)(self.last):
            return "message"
        for name, given in (
            ("exactly", self.last),
            ("model", self.model),
            ("turn", self.turn),
            ("client", self.client),
            ("path", self.path),
            ("method", self.method),
        ):
            wanted = getattr(when, name)
            if wanted is not None and wanted != given:
                return name
        result = when.tool_result
        if isinstance(result, bool):
            return None if result == bool(self.results) else "tool_result"
        if result is None or any(map(looks_for(result), self.results)):
            return None
        return "tool_result"

    def __str__(self) -> str:
        said = " ".join(self.last[:200].split())
        by = "a tool's answer" if self.results else "the last message"
        return f"{self.path}, model {self.model}, turn {self.turn}, {by} “{said[:60]}”"
