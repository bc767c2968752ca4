"""An idle connection outlives the SDK's wish to reuse it."""

from openai import DEFAULT_CONNECTION_LIMITS

from helpers.mock_server.server import KEEP_ALIVE


def test_the_server_keeps_a_connection_longer_than_the_sdk_would_reuse_it() -> None:
    """Else a request may go out on a connection that is being closed, and be sent again."""
    assert DEFAULT_CONNECTION_LIMITS.keepalive_expiry is not None
    assert 2 * DEFAULT_CONNECTION_LIMITS.keepalive_expiry < KEEP_ALIVE
