"""Models: the wire shapes of `/v1/models`."""

from typing import Any

from helpers.mock_server.control.state import State
from helpers.mock_server.protocol import errors
from helpers.mock_server.protocol.answers import Answer, Call, whole

DEFAULT = ("mock-chat", "mock-embed")
"""What a server that takes any name lists."""

FINE_TUNED = "ft:"
"""How the names of fine-tuned models begin, which their owners may delete."""

MAX_DELETED = 1000
"""Deleted models that are remembered: a name is free text, and must not fill the memory."""

CREATED = 1_700_000_000


def listing(call: Call, state: State) -> Answer:
    """Answer `GET /v1/models`."""
    names = [name for name in state.models or DEFAULT if name not in state.deleted_models]
    return whole({"object": "list", "data": [_card(name) for name in names]})


def retrieve(call: Call, state: State) -> Answer:
    """Answer `GET /v1/models/{model}`."""
    return whole(_card(known(call.params["model"], state)))


def delete(call: Call, state: State) -> Answer:
    """Answer `DELETE /v1/models/{model}`: one that was fine-tuned goes, others are OpenAI's own."""
    name = known(call.params["model"], state)
    if not name.startswith(FINE_TUNED):
        raise errors.ApiError(
            403, "You have insufficient permissions for this operation.", param="model"
        )
    if len(state.deleted_models) < MAX_DELETED:
        state.deleted_models.add(name)
    return whole({"id": name, "object": "model", "deleted": True})


def known(name: str, state: State) -> str:
    """Return a model's name if this server has it.

    Raises:
        ApiError: 404.
    """
    if (state.models and name not in state.models) or name in state.deleted_models:
        raise errors.unknown_model(name)
    return name


def _card(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": "awaited"}
