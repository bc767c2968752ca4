"""Turns the mock server's dials from a notebook."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from helpers.endpoint import CLIENT_TAG, Endpoint, a_mock_server_that_answers, asking, endpoint


@contextmanager
def server_limits(
    *,
    max_concurrent: int | None = None,
    max_queue: int | None = None,
    requests: int | None = None,
    tokens: int | None = None,
    period: float = 60.0,
) -> Iterator[None]:
    """Let the mock server take no more than this, inside the block.

    `max_concurrent`: requests answered at one time; further ones queue at the server.
    `max_queue`: how many may queue there; those beyond are refused with a 503.
    `requests`, `tokens`: how many in `period` seconds; further ones are refused with a 429.

    What is not named is not limited. On another endpoint it says that the endpoint sets its own
    limits, and changes nothing.

    Raises:
        EndpointError: the server does not answer.
        httpx2.HTTPStatusError: a limit that the server does not take.
    """
    place = endpoint()
    if not place.keeps_journal:
        print("This endpoint sets its own limits; only the mock server's can be set from here.")
        yield
        return
    url = place.control("limits")
    with a_mock_server_that_answers(place.how_to_revive):
        before: dict[str, Any] = _asked(place, "GET", url)
    wanted = {
        "max_concurrent": max_concurrent,
        "max_queue": max_queue,
        "requests": requests,
        "tokens": tokens,
    }
    _set(place, url, {**wanted, "period": period})
    try:
        yield
    finally:
        _set(place, url, before)


@contextmanager
def next_request_meets(fault: str, times: int = 1) -> Iterator[None]:
    """Let the next request of this process's clients meet a fault of the mock server's.

    `times`: so many requests, the next ones. What no request has met when the block ends is
    forgotten. `fault` is written as in the header `x-mock-fault`: "429; retry-after=0.5". On
    another endpoint it changes nothing.

    Raises:
        EndpointError: the server does not answer.
        httpx2.HTTPStatusError: a fault that the server does not know.
    """
    place = endpoint()
    if not place.keeps_journal:
        yield
        return
    url = place.control("faults")
    order = {"fault": fault, "times": times, "client": CLIENT_TAG}
    with a_mock_server_that_answers(place.how_to_revive):
        _asked(place, "POST", url, order)
    try:
        yield
    finally:
        waiting = _asked(place, "GET", url)["waiting"]
        if any(one["client"] == CLIENT_TAG for one in waiting):
            _asked(place, "DELETE", url)


def _set(place: Endpoint, url: str, limits: dict[str, Any]) -> None:
    named = {name: value for name, value in limits.items() if value is not None}
    _asked(place, "PUT", url, named)


def _asked(place: Endpoint, method: str, url: str, body: dict[str, Any] | None = None) -> Any:
    with asking(place) as http:
        answer = http.request(method, url, json=body, headers=place.authorization)
        return answer.raise_for_status().json()
