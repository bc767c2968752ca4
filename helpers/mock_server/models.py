"""Models: the wire shapes of `/v1/models`."""

from typing import Any

from helpers.mock_server import errors
from helpers.mock_server.answers import Answer, Call, whole
from helpers.mock_server.state import State

DEFAULT = ("mock-chat", "mock-embed")
"""What a server that takes any name lists."""

CREATED = 1_700_000_000


def listing(call: Call, state: State) -> Answer:
    """Answer `GET /v1/models`."""
    names = state.models or DEFAULT
    return whole({"object": "list", "data": [_card(name) for name in names]})


def retrieve(call: Call, state: State) -> Answer:
    """Answer `GET /v1/models/{model}`."""
    return whole(_card(known(call.params["model"], state)))


def known(name: Any, state: State) -> str:
    """Return a model's name if this server has it.

    Raises:
        ApiError: 404 for an unknown one, 400 for none at all.
    """
    if name is None:
        raise errors.no_model()
    if not isinstance(name, str):
        raise errors.wrong_type("model", "a string", name)
    if not name:
        raise errors.no_model()
    if state.models and name not in state.models:
        raise errors.unknown_model(name)
    return name


def _card(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "awaited"}
