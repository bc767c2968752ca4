"""The embedded mock server's pace, turned for some tests and turned back."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2

from helpers import endpoint


@contextmanager
def embedded_server_at(pace: float) -> Iterator[None]:
    """Turn the dial of the server that a worker's test files share.

    `MOCK_PACE` would set it for whichever file happens to start the server, and for all after it.
    """
    before = _pace()
    _turn_to(pace)
    yield
    _turn_to(before)


def expect_the_tests_pace() -> None:
    """Make sure that the next file's tests find the server as their answers' waits want it."""
    if endpoint._server is not None:
        assert _pace() == float(os.environ["MOCK_PACE"])


def _pace() -> float:
    place = endpoint.endpoint()
    answer = httpx2.get(place.control("pace"), headers=place.authorization)
    return float(answer.raise_for_status().json()["pace"])


def _turn_to(pace: float) -> None:
    place = endpoint.endpoint()
    httpx2.put(
        place.control("pace"), json={"pace": pace}, headers=place.authorization
    ).raise_for_status()
