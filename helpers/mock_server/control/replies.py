"""Which scripted reply is whose answer: those that wait, those given, the requests they missed."""

import itertools
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from helpers.mock_server.content.asked import Asked
from helpers.mock_server.content.scripts import Script
from helpers.mock_server.protocol.errors import ApiError


@dataclass(slots=True)
class Waiting:
    """A reply that waits for requests."""

    id: int
    script: Script
    from_file: bool = False
    used: int = 0

    @property
    def spent(self) -> bool:
        """Whether it has been given as often as it was to be."""
        return self.script.times is not None and self.used >= self.script.times

    @property
    def unused(self) -> bool:
        """Whether a test should hear that it was not needed."""
        if self.from_file or self.script.optional:
            return False
        return not self.used if self.script.times is None else not self.spent

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON value."""
        return {"id": self.id, "used": self.used, "unused": self.unused, **self.script.brief()}


class Replies:
    """The replies, in the order in which they were given: the first that fits is the answer."""

    MAX = 10_000
    """Replies that may wait: a day's recording, or a test that forgot to clear them."""

    TOLD = 5
    """Replies that are told of, one by one, where none fits."""

    MAX_MISSED = 100
    """Requests that are told of where no reply fitted: a test reads the first few."""

    def __init__(self, from_file: "Iterable[Script]" = (), strict: bool = False) -> None:
        self._from_file = tuple(from_file)
        self._begun_strict = strict
        self._ids = itertools.count(1)
        self.reset()

    def reset(self) -> None:
        """Go back to those from the file."""
        self.strict = self._begun_strict
        self.clear()
        for script in self._from_file:
            self.add(script, from_file=True)

    def clear(self) -> None:
        """Drop all, those from the file too."""
        self.waiting: list[Waiting] = []
        self.missed: deque[str] = deque(maxlen=self.MAX_MISSED)
        self.given = 0
        """How many there were, those that are used up included."""

    def add(self, script: Script, from_file: bool = False) -> int:
        """Let a reply wait for the requests it fits; return its id.

        Raises:
            ApiError: too many wait already.
        """
        if len(self.waiting) >= self.MAX:
            raise ApiError(
                400, f"{self.MAX} replies wait already. Clear them: DELETE /mock/replies."
            )
        self.given += 1
        self.waiting.append(Waiting(next(self._ids), script, from_file))
        return self.waiting[-1].id

    def take_answer(self, asked: Asked) -> Waiting | None:
        """Return the reply that is an answer to this very path, for a route that says no words."""
        return self._first(asked, at_its_path_alone=True)

    def _first(self, asked: Asked, *, at_its_path_alone: bool = False) -> Waiting | None:
        for waiting in self.waiting:
            script = waiting.script
            if at_its_path_alone and (
                script.when.path is None or not (script.is_raw or script.error)
            ):
                continue
            if asked.misfit(script.when) is None:
                waiting.used += 1
                if waiting.spent:
                    self.waiting.remove(waiting)
                return waiting
        return None

    def take(self, asked: Asked) -> Waiting | None:
        """Return the reply to a request, and count it off; None where the built-in ones answer.

        Raises:
            ApiError: 400, none fits, and the server is strict.
        """
        found = self._first(asked)
        if found is not None:
            return found
        if self.given or self.strict:
            self.missed.append(str(asked))
        if self.strict:
            raise ApiError(400, self.why_none(asked), code="no_scripted_reply")
        return None

    def why_none(self, asked: Asked) -> str:
        """Return why no reply was found for a request."""
        if not self.waiting:
            left = "all are used up" if self.given else "none was given"
            return f"No scripted reply is left for {asked}: {left}."
        some = [f"reply {one.id} by its '{asked.misfit(one.script.when)}'" for one in self.waiting]
        listed = ", ".join(some[: self.TOLD]) + (", …" if len(some) > self.TOLD else "")
        return f"No scripted reply that waits fits {asked}: not {listed}."

    def as_json(self) -> dict[str, Any]:
        """Return what waits, and what was missed, as a JSON value."""
        return {
            "strict": self.strict,
            "given": self.given,
            "waiting": [waiting.as_json() for waiting in self.waiting],
            "missed": list(self.missed),
        }
