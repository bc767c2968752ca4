"""Batches: the wire shapes of `/v1/batches`, and their work: each line of the file is answered."""

import asyncio
import inspect
import json
import secrets
import time
import traceback
from dataclasses import dataclass, field
from typing import Any

from helpers.mock_server.api import (
    chat,
    completions,
    embeddings,
    files,
    moderations,
    requests,
    responses,
)
from helpers.mock_server.control.state import STORED_BYTES, State
from helpers.mock_server.protocol import errors, fields
from helpers.mock_server.protocol.answers import Answer, Call, Whole, dump, whole
from helpers.mock_server.protocol.errors import ApiError

ENDPOINTS = {
    "/v1/chat/completions": chat.create,
    "/v1/completions": completions.create,
    "/v1/embeddings": embeddings.create,
    "/v1/moderations": moderations.create,
    "/v1/responses": responses.create,
}

WINDOW = 24 * 60 * 60
MAX_REQUESTS = 50_000
"""Requests in a batch, as at OpenAI."""

MAX_PAGE = 100
_OVER = ("completed", "failed", "cancelled", "expired")


@dataclass(slots=True, eq=False)
class Batch:
    """A batch and how far it is."""

    id: str
    endpoint: str
    input_file: str
    metadata: dict[str, str] | None
    created: int
    status: str = "validating"
    times: dict[str, int] = field(default_factory=dict)
    """When it came into each state, as `in_progress_at` and the like."""
    problems: list[dict[str, Any]] = field(default_factory=list)
    total: int = 0
    answered: int = 0
    failed: int = 0
    lifetime: int | None = None
    """Seconds after which the files that it leaves are gone."""
    output_file: str | None = None
    error_file: str | None = None
    model: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0

    def enter(self, status: str) -> None:
        """Go into another state, and note when."""
        self.status = status
        self.times[f"{status}_at"] = int(time.time())

    def card(self) -> dict[str, Any]:
        """Return what the API tells of the batch."""
        stamps = ("in_progress", "finalizing", *_OVER, "cancelling")
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "model": self.model,
            "errors": {"object": "list", "data": self.problems} if self.problems else None,
            "input_file_id": self.input_file,
            "completion_window": "24h",
            "status": self.status,
            "output_file_id": self.output_file,
            "error_file_id": self.error_file,
            "created_at": self.created,
            "expires_at": self.created + WINDOW,
            **{f"{stamp}_at": self.times.get(f"{stamp}_at") for stamp in stamps},
            "request_counts": {
                "total": self.total,
                "completed": self.answered,
                "failed": self.failed,
            },
            "usage": {
                "input_tokens": self.input_tokens,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": self.output_tokens,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": self.input_tokens + self.output_tokens,
            },
            "metadata": self.metadata,
        }


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
    )
    state.batches.put(batch.id, batch)
    task = asyncio.get_running_loop().create_task(_work(batch, state))
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
    if batch.status in _OVER:
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


# --- the work ---------------------------------------------------------------------------------


async def _work(batch: Batch, state: State) -> None:
    """Take a batch through its states. Each step takes as long as an answer's first token."""
    step = state.pace.first * state.pace.dial
    await asyncio.sleep(step)
    file = state.files.get(batch.input_file)
    if file is None or file.is_expired:
        batch.problems = [_problem("file_not_found", "The batch input file is gone.", None)]
        lines: list[dict[str, Any]] = []
    else:
        lines, batch.problems = _read(file.content, batch.endpoint)
    if batch.status == "cancelling":
        batch.enter("cancelled")
        return
    if batch.problems:
        batch.enter("failed")
        return
    batch.total = len(lines)
    batch.enter("in_progress")
    answered: list[bytes] = []
    refused: list[bytes] = []
    written = 0
    for line in lines:
        await asyncio.sleep(step)
        if batch.status == "cancelling" or written > STORED_BYTES:
            break
        status, body = await _answer(line, batch, state)
        record = {
            "id": f"batch_req_{secrets.token_hex(16)}",
            "custom_id": line["custom_id"],
            "response": {
                "status_code": status,
                "request_id": f"req_{secrets.token_hex(16)}",
                "body": body,
            },
            "error": None,
        }
        text = dump(record)
        written += len(text)
        if status == 200:
            batch.answered += 1
            answered.append(text)
        else:
            batch.failed += 1
            refused.append(text)
    left_over = batch.answered + batch.failed < batch.total
    if batch.status != "cancelling":
        batch.enter("finalizing")
        await asyncio.sleep(step)
    for texts, which in ((answered, "output"), (refused, "error")):
        if texts:
            name = f"{batch.id}_{which}.jsonl"
            kept = files.keep(
                state, name, "batch_output", b"\n".join(texts) + b"\n", batch.lifetime
            )
            setattr(batch, f"{which}_file", kept.id)
    if batch.status == "cancelling":
        batch.enter("cancelled")
    else:
        batch.enter("expired" if left_over else "completed")


async def _answer(line: dict[str, Any], batch: Batch, state: State) -> tuple[int, Any]:
    body = {key: value for key, value in line["body"].items() if not key.startswith("stream")}
    try:
        call = Call(method="POST", path=batch.endpoint, headers={}, body=dump(body))
        found: Any = ENDPOINTS[batch.endpoint](call, state)
        answer: Answer = await found if inspect.isawaitable(found) else found
    except ApiError as error:
        return error.status, error.body()
    except Exception:  # a fault of ours, as an endpoint would answer it: the other lines go on
        traceback.print_exc()
        ours = errors.our_fault()
        return ours.status, ours.body()
    assert isinstance(answer, Whole)
    batch.model = batch.model or answer.model
    batch.input_tokens += answer.prompt_tokens
    batch.output_tokens += answer.tokens
    return answer.status, json.loads(answer.body + b"".join(answer.more))


def _read(content: bytes, endpoint: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the requests in a batch's file, and what is wrong with it."""
    lines: list[dict[str, Any]] = []
    problems: list[dict[str, Any]] = []
    seen: set[str] = set()
    texts = [(at, text) for at, text in enumerate(content.split(b"\n"), 1) if text.strip()]
    if not texts:
        return [], [_problem("empty_file", "The batch input file is empty.", None)]
    if len(texts) > MAX_REQUESTS:
        message = f"The batch input file has more than {MAX_REQUESTS} requests."
        return [], [_problem("too_many_tasks", message, None)]
    for at, text in texts:
        try:
            line = json.loads(text.decode("utf-8"))
        except (ValueError, RecursionError):
            line = None
        if not isinstance(line, dict):
            problem = ("invalid_json_line", "This line is not parseable as valid JSON.")
        elif not isinstance(line.get("custom_id"), str):
            problem = ("missing_required_parameter", "Missing required parameter: 'custom_id'.")
        elif line["custom_id"] in seen:
            problem = ("duplicate_custom_id", "The custom_id of this request is not unique.")
        elif line.get("method") != "POST":
            problem = ("invalid_method", "The method of this request is not POST.")
        elif line.get("url") != endpoint:
            problem = ("invalid_url", f"The url of this request is not the batch's, {endpoint}.")
        elif not isinstance(line.get("body"), dict):
            problem = ("missing_required_parameter", "Missing required parameter: 'body'.")
        else:
            seen.add(line["custom_id"])
            lines.append(line)
            continue
        problems.append(_problem(*problem, at))
        if len(problems) == 100:
            break
    return lines, problems


def _problem(code: str, message: str, line: int | None) -> dict[str, Any]:
    return {"code": code, "message": message, "param": None, "line": line}
