"""Batches: the wire shapes of `/v1/batches`."""

import asyncio
import secrets
import time

from helpers.mock_server.api import files, requests
from helpers.mock_server.api.batch_work import OVER, Batch, step, work
from helpers.mock_server.control.state import State
from helpers.mock_server.protocol import errors, fields
from helpers.mock_server.protocol.answers import Answer, Call, whole
from helpers.mock_server.protocol.errors import ApiError

MAX_PAGE = 100


async def create(call: Call, state: State) -> Answer:
    """Answer `POST /v1/batches`, and begin the work."""
    body = fields.read(requests.Batch, fields.json_object(call.body))
    if files.kept(body.input_file_id, state).purpose != "batch":
        raise errors.invalid(
            "input_file_id",
            f"The file '{body.input_file_id}' was uploaded for another purpose; a batch takes one "
            "whose purpose is 'batch'.",
            "invalid_value",
        )
    expiry = body.output_expires_after
    batch = Batch(
        id=f"batch_{secrets.token_hex(16)}",
        endpoint=body.endpoint,
        input_file=body.input_file_id,
        metadata=body.metadata or None,
        created=int(time.time()),
        lifetime=None if expiry is None else expiry.seconds,
        ends_after=call.ends_after,
    )
    step(call, state)  # a pace that cannot be read is told to who asks for it
    state.batches.put(batch.id, batch)
    task = asyncio.get_running_loop().create_task(work(batch, call, state))
    state.tasks.add(task)
    task.add_done_callback(state.tasks.discard)
    return whole(batch.card())


async def retrieve(call: Call, state: State) -> Answer:
    """Answer `GET /v1/batches/{id}`."""
    return whole(_kept(call, state).card())


async def listing(call: Call, state: State) -> Answer:
    """Answer `GET /v1/batches`."""
    cards = [batch.card() for batch in state.batches.newest_first()]
    return whole(files.page(cards, call, MAX_PAGE))


async def cancel(call: Call, state: State) -> Answer:
    """Answer `POST /v1/batches/{id}/cancel`."""
    batch = _kept(call, state)
    if batch.status in OVER:
        raise ApiError(409, f"Cannot cancel a batch with status '{batch.status}'.")
    if batch.status != "cancelling":
        batch.enter("cancelling")
    return whole(batch.card())


def _kept(call: Call, state: State) -> Batch:
    key = call.params["batch"]
    batch = state.batches.get(key)
    if not isinstance(batch, Batch):
        raise ApiError(404, f"No batch found with id '{key}'.")
    return batch
