"""Looks at each cell when it has ended, and shows a card if there is something to say."""

import contextlib
import sys
import time
from typing import Any
from weakref import WeakSet

from helpers.doctor import card, leftovers, symptoms

_doctors: dict[int, "_Doctor"] = {}


def load_ipython_extension(shell: Any) -> None:
    """Begin to look at this shell's cells. Loading twice is the same as once."""
    if id(shell) not in _doctors:
        _doctors[id(shell)] = _Doctor(shell)


def unload_ipython_extension(shell: Any) -> None:
    """Stop looking."""
    doctor = _doctors.pop(id(shell), None)
    if doctor is not None:
        doctor.leave()


class _Doctor:
    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._began: float | None = None
        # Coroutines that were lying about before are not this cell's doing. Weak references: to
        # hold a coroutine would hold back Python's own warning about it.
        self._known = WeakSet(one for _, one in leftovers.waiting_in(shell.user_ns))
        shell.events.register("pre_run_cell", self._before)
        shell.events.register("post_run_cell", self._after)

    def leave(self) -> None:
        self._shell.events.unregister("pre_run_cell", self._before)
        self._shell.events.unregister("post_run_cell", self._after)

    def _before(self, info: Any) -> None:
        self._began = time.monotonic()

    def _after(self, result: Any) -> None:
        # Whatever a doctor gets wrong must not be in a learner's way: then there is no card.
        with contextlib.suppress(Exception):
            waiting = leftovers.waiting_in(self._shell.user_ns)
            new = [(name, one) for name, one in waiting if one not in self._known]
            self._known = WeakSet(one for _, one in waiting)
            if self._began is None:  # the cell that loaded us
                return
            finding = symptoms.look(result, new, self._shell)
            if finding is not None:
                card.show(finding, _requests_since(self._began))


def _requests_since(moment: float) -> int | None:
    """Return how many requests of this notebook reached the server since then.

    None when nobody knows: the course's clients are not in use, the endpoint keeps no journal, or
    it has answered a client that does not say whose it is: one of yours, or somebody else's.
    """
    if "helpers.clients" not in sys.modules:
        return None
    from helpers import endpoint, observe

    if not endpoint.in_use():
        return None
    seen = observe.journal(everyones=True)
    if isinstance(seen, observe.NoJournal):
        return None
    since = [request for request in seen.requests if request.arrived >= moment]
    ours = [request for request in since if request.client == endpoint.CLIENT_TAG]
    somebodys = [request for request in since if not request.client]
    return None if somebodys else len(ours)
