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
    url = f"{endpoint.endpoint().base_url.removesuffix('/v1')}/mock/pace"
    before = httpx2.get(url).json()["pace"]
    httpx2.put(url, json={"pace": pace}).raise_for_status()
    yield
    httpx2.put(url, json={"pace": before}).raise_for_status()


def expect_the_tests_pace() -> None:
    """Make sure that the next file's tests find the server as their answers' waits want it."""
    if endpoint._server is not None:
        url = f"{endpoint.endpoint().base_url.removesuffix('/v1')}/mock/pace"
        assert httpx2.get(url).json()["pace"] == float(os.environ["MOCK_PACE"])
