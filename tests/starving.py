"""Leaves the whole process without a turn, as a machine does that has too much to do."""

import ctypes
import sys
import threading
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from helpers import requests_seen

P = ParamSpec("P")
R = TypeVar("R")


def no_thread_has_a_turn(seconds: float) -> None:
    """Keep Python's lock while this thread sleeps: no other one runs, the event loop's neither.

    For the process it is as if others had the processors: what a loaded machine does now and then,
    and a test cannot wait for.
    """
    assert sys.platform != "win32"
    ctypes.PyDLL(None).usleep(int(seconds * 1_000_000))


def starving_when_asked(seconds: float) -> None:
    """Leave the process without a turn as soon as the server has its next request."""
    before = requests_seen()

    def starve() -> None:
        while requests_seen() <= before:
            time.sleep(0.01)
        no_thread_has_a_turn(seconds)

    threading.Thread(target=starve, daemon=True).start()


def starved(answer: Callable[P, R], *seconds: float) -> Callable[P, R]:
    """Return `answer`, whose first calls meet so many seconds each without a turn."""
    left = list(seconds)

    def call(*arguments: P.args, **options: P.kwargs) -> R:
        if left:
            starving_when_asked(left.pop(0))
        return answer(*arguments, **options)

    return call
