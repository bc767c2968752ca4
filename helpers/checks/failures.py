"""The SDK's errors as its calls raise them, made without a server, for calls that a check fails."""

import httpx2
from openai import (
    APIConnectionError,
    APIError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
)

from helpers.endpoint import endpoint

_KINDS: dict[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    404: NotFoundError,
    429: RateLimitError,
    503: InternalServerError,
}


def lost_connection() -> APIConnectionError:
    """Return what a call raises whose connection broke."""
    return APIConnectionError(request=_request())


def refused(status: int) -> APIStatusError:
    """Return what a call raises that the server answers with this status.

    Raises:
        KeyError: the course has no use for that status yet.
    """
    response = httpx2.Response(status, request=_request())
    return _KINDS[status](f"Error code: {status}", response=response, body=None)


def error_in_a_stream() -> APIError:
    """Return what an error inside a stream raises: no status, the kind that all others are of."""
    return APIError("The server had an error.", _request(), body=None)


def _request() -> httpx2.Request:
    return httpx2.Request("POST", endpoint().base_url)
