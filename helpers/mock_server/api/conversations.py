"""Conversations: the wire shapes of `/v1/conversations`, and the items that they hold."""

import secrets
import time
from typing import Any

from helpers.mock_server.api import files, requests, responses
from helpers.mock_server.api.responses import Thread
from helpers.mock_server.control.state import State
from helpers.mock_server.protocol import fields
from helpers.mock_server.protocol.answers import Answer, Call, whole
from helpers.mock_server.protocol.errors import ApiError

MAX_PAGE = 100


def create(call: Call, state: State) -> Answer:
    """Answer `POST /v1/conversations`."""
    body = fields.read(requests.NewConversation, fields.json_object(call.body or b"{}"))
    thread = Thread(f"conv_{secrets.token_hex(24)}", int(time.time()), body.metadata or {}, [])
    thread.take_up(responses.read_items(body.items or [], "items", state), state)
    return whole(_card(thread))


def retrieve(call: Call, state: State) -> Answer:
    """Answer `GET /v1/conversations/{id}`."""
    return whole(_card(_kept(call, state)))


def update(call: Call, state: State) -> Answer:
    """Answer `POST /v1/conversations/{id}`: its metadata can be changed."""
    thread = _kept(call, state)
    changed = fields.read(requests.Update, fields.json_object(call.body))
    thread.metadata = changed.metadata or {}
    return whole(_card(thread))


def delete(call: Call, state: State) -> Answer:
    """Answer `DELETE /v1/conversations/{id}`."""
    thread = _kept(call, state)
    state.conversations.drop(thread.id)
    return whole({"id": thread.id, "object": "conversation.deleted", "deleted": True})


def items(call: Call, state: State) -> Answer:
    """Answer `GET /v1/conversations/{id}/items`."""
    return whole(files.page(_kept(call, state).items[::-1], call, MAX_PAGE))


def add_items(call: Call, state: State) -> Answer:
    """Answer `POST /v1/conversations/{id}/items`."""
    thread = _kept(call, state)
    body = fields.read(requests.NewItems, fields.json_object(call.body))
    added = responses.read_items(body.items, "items", state)
    thread.take_up(added, state)
    return whole(files.page(added, call, requests.MAX_ITEMS))


def retrieve_item(call: Call, state: State) -> Answer:
    """Answer `GET /v1/conversations/{id}/items/{item}`."""
    return whole(_kept_item(call, _kept(call, state)))


def delete_item(call: Call, state: State) -> Answer:
    """Answer `DELETE /v1/conversations/{id}/items/{item}`, with the conversation."""
    thread = _kept(call, state)
    thread.items.remove(_kept_item(call, thread))
    return whole(_card(thread))


def _card(thread: Thread) -> dict[str, Any]:
    return {
        "id": thread.id,
        "object": "conversation",
        "created_at": thread.created,
        "metadata": thread.metadata,
    }


def _kept(call: Call, state: State) -> Thread:
    return responses.kept_thread(call.params["conversation"], state, None)


def _kept_item(call: Call, thread: Thread) -> dict[str, Any]:
    key = call.params["item"]
    for item in thread.items:
        if item["id"] == key:
            return item
    raise ApiError(404, f"Item with id '{key}' not found in conversation '{thread.id}'.")
