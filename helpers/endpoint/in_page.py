"""The embedded mock server where there is no process to be had: in this one, behind its own door.

This module alone of all `helpers` imports from the server. It takes its transports, and everything
goes through those as HTTP.
"""

import secrets

import httpx2

from helpers.endpoint.embedded import EMBEDDED_MODELS
from helpers.endpoint.errors import EndpointError


class ServerInPage:
    """A server of this process and this thread, which ends with it."""

    def __init__(self) -> None:
        from helpers.mock_server import inside

        # Nobody else can come this way; but a wrong key is to meet here what it meets elsewhere.
        self.api_key = f"mock-{secrets.token_urlsafe(24)}"
        try:
            state = inside.state(EMBEDDED_MODELS, self.api_key)
        except ValueError as error:
            raise EndpointError(f"The mock server did not start: {error}.") from None
        self._door = inside.Door(state)
        self._door.open_to_all()
        self.base_url = self._door.base_url

    @property
    def blocking(self) -> httpx2.BaseTransport:
        """The way to it for a blocking client."""
        return self._door.blocking

    @property
    def asynchronous(self) -> httpx2.AsyncBaseTransport:
        """The way to it for an async one."""
        return self._door.asynchronous

    def ensure_running(self) -> None:
        """Nothing: it runs while this process does."""

    def close(self) -> None:
        """Let in no more clients than hold its transports."""
        self._door.close()
