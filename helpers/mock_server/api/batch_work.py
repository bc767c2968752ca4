"""A batch and its work: each line of its file is answered, side by side with others."""

import asyncio
import contextlib
import json
import secrets
import time
import traceback
from dataclasses import dataclass, field, replace
from typing import Any

from helpers.mock_server.api import chat, completions, embeddings, files, moderations, responses
from helpers.mock_server.control.faults import FOREVER
from helpers.mock_server.control.journal import MAX_TEXT, Record
from helpers.mock_server.control.state import STORED_BYTES, State
from helpers.mock_server.delivery.endpoint import Handler, respond
from helpers.mock_server.delivery.sending import outcome
from helpers.mock_server.protocol import errors
from helpers.mock_server.protocol.answers import Call, Whole, dump
from helpers.mock_server.protocol.errors import ApiError

ENDPOINTS: dict[str, Handler] = {
    "/v1/chat/completions": chat.create,
    "/v1/completions": completions.create,
    "/v1/embeddings": embeddings.create,
    "/v1/moderations": moderations.create,
    "/v1/responses": responses.create,
}

WINDOW = 24 * 60 * 60
MAX_REQUESTS = 50_000
"""Requests in a batch, as at OpenAI."""

OVER = ("completed", "failed", "cancelled", "expired")


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
    ends_after: int | None = None
    """Lines after which its day is over, where a fault wants that."""
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
        stamps = ("in_progress", "finalizing", *OVER, "cancelling")
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


EXPIRED = (
    "batch_expired",
    ("This request could not be executed before the completion window expired."),
)
CANCELLED = "batch_cancelled", "The batch was cancelled before this request was executed."
TIMED_OUT = "request_timeout", "The call to the model timed out."
"""What the error file says of a line that has no response: a code, a message."""

LOOK = 0.25
"""Seconds after which a line that waits for its key's budget looks if its batch still goes on."""

A_STRETCH = 500
"""Lines that are read in one go: some 5 ms of work, after which live streams may go on."""


class _Dropped(Exception):
    """The batch does not go on, so that the line's turn never comes."""


@dataclass(slots=True)
class _Results:
    """What a batch has come to: the lines of its two files, in the order in which they ended."""

    answered: list[bytes] = field(default_factory=list)
    refused: list[bytes] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    """By their `custom_id`."""
    written: int = 0
    """Bytes of both."""


async def work(batch: Batch, call: Call, state: State) -> None:
    """Take a batch through its states. Each step takes as long as an answer's first token."""
    await asyncio.sleep(step(call, state))
    file = state.files.get(batch.input_file)
    lines: list[dict[str, Any]] = []
    if file is None or file.is_expired:
        batch.problems = [_problem("file_not_found", "The batch input file is gone.", None)]
    else:
        lines, batch.problems = await _read(file.content, batch.endpoint)
    if batch.status == "cancelling":
        batch.enter("cancelled")
        return
    if batch.problems:
        batch.enter("failed")
        return
    batch.total = len(lines)
    batch.enter("in_progress")
    await asyncio.sleep(step(call, state))
    results = _Results()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(WINDOW):
            await _answer_all(batch, lines, results, call, state)
    if batch.status != "cancelling":
        batch.enter("finalizing")
        await asyncio.sleep(step(call, state))
    left = [line for line in lines if line["custom_id"] not in results.done]
    code, message = CANCELLED if batch.status == "cancelling" else EXPIRED
    for line in left:
        results.refused.append(_record(line, None, {"code": code, "message": message}))
    for texts, which in ((results.answered, "output"), (results.refused, "error")):
        if texts:
            name = f"{batch.id}_{which}.jsonl"
            content = b"\n".join(texts) + b"\n"
            kept = files.keep(state, name, "batch_output", content, batch.lifetime)
            setattr(batch, f"{which}_file", kept.id)
    if batch.status == "cancelling":
        batch.enter("cancelled")
    else:
        batch.enter("expired" if left else "completed")


def step(call: Call, state: State) -> float:
    """Return the seconds that a step takes: a first token's, at the batch's pace."""
    return state.pace_for("", replace(call, headers=_headers(call, state))).total(1)


def _headers(call: Call, state: State) -> dict[str, str]:
    """Return the headers of a batch's lines: whose it is, and its pace, as its call had them."""
    headers = {}
    if "x-mock-client" in call.headers:
        headers["x-mock-client"] = call.headers["x-mock-client"]
    dial = "" if state.batch_dial is None else f"{state.batch_dial},"
    pace = dial + call.headers.get("x-mock-pace", "")
    if pace:
        headers["x-mock-pace"] = pace
    return headers


async def _answer_all(
    batch: Batch, lines: list[dict[str, Any]], results: _Results, call: Call, state: State
) -> None:
    """Answer the lines side by side, until all are answered or the batch is not to go on.

    When it is cancelled, lines under way come to their end, as at OpenAI. When its day is over,
    they are dropped.
    """
    waiting = iter(lines)
    till = asyncio.Lock()

    async def worker() -> None:
        for line in waiting:
            if batch.status == "cancelling" or results.written > STORED_BYTES:
                return
            with contextlib.suppress(_Dropped):
                await _answer_line(batch, line, results, till, call, state)
            if batch.ends_after is not None and len(results.done) >= batch.ends_after:
                over.set()

    over = asyncio.Event()
    if batch.ends_after == 0:
        return
    workers = [asyncio.create_task(worker()) for _ in range(min(state.side_by_side, len(lines)))]
    all_done = asyncio.gather(*workers)
    stop = asyncio.create_task(over.wait())
    try:
        await asyncio.wait((all_done, stop), return_when=asyncio.FIRST_COMPLETED)
    finally:
        all_done.cancel()
        stop.cancel()
        await asyncio.gather(all_done, stop, *workers, return_exceptions=True)


async def _answer_line(
    batch: Batch,
    line: dict[str, Any],
    results: _Results,
    till: asyncio.Lock,
    call: Call,
    state: State,
) -> None:
    """Answer one line, and note it in the journal and in the results.

    Raises:
        _Dropped: the batch was cancelled while the line waited for its budget.
    """
    headers = _headers(call, state)
    record = state.journal.open("POST", batch.endpoint, headers.get("x-mock-client"), 0, batch.id)
    try:
        answer = await _respond(batch, line, record, till, replace(call, headers=headers), state)
        await _wait(answer, record, state)
        if batch.ends_after is not None and len(results.done) >= batch.ends_after:
            raise _Dropped
    except BaseException:
        state.journal.close(record, "abandoned")
        raise
    status, body, error = _said(answer)
    if status is not None:
        state.journal.first_byte(record, status)
    record.tokens_sent = answer.tokens
    response = (
        None
        if status is None
        else {"status_code": status, "request_id": record.request_id, "body": body}
    )
    text = _record(line, response, error)
    results.done.add(line["custom_id"])
    results.written += len(text)
    if status == 200:
        batch.answered += 1
        batch.model = batch.model or answer.model
        batch.input_tokens += answer.prompt_tokens
        batch.output_tokens += answer.tokens
        results.answered.append(text)
        state.journal.close(record, outcome(answer))
    else:
        batch.failed += 1
        results.refused.append(text)
        state.journal.close(record, "failed" if (status or 500) >= 500 else "refused")


async def _respond(
    batch: Batch,
    line: dict[str, Any],
    record: Record,
    till: asyncio.Lock,
    call: Call,
    state: State,
) -> Whole:
    """Return the answer to a line; where its key's budget does not suffice, once it does."""

    async def charge(key: str, tokens: int, state: State) -> dict[str, str]:
        async with till:  # first come, first served: a hundred that ask anew would be a crowd
            while True:
                if batch.status == "cancelling":
                    raise _Dropped
                try:
                    return state.limiter.charge(key, tokens)
                except ApiError as error:
                    wait = error.headers.get("retry-after-ms")
                    if wait is None:  # more than a whole period's budget: it never will
                        raise
                    await asyncio.sleep(min(int(wait) / 1000, LOOK))

    body = {key: value for key, value in line["body"].items() if not key.startswith("stream")}
    made = replace(
        call, method="POST", path=batch.endpoint, body=dump(body), tell=record.tell, params={}
    )
    try:
        answer = await respond(ENDPOINTS[batch.endpoint], made, state, record, charge)
    except ApiError as error:
        answer = error.answer()
    except _Dropped:
        raise
    except Exception:  # a fault of ours, as an endpoint would answer it: the other lines go on
        traceback.print_exc()
        answer = errors.our_fault().answer()
    assert isinstance(answer, Whole)
    record.model = answer.model[:MAX_TEXT] if answer.model else None
    record.tokens_planned = answer.tokens or None
    return answer


async def _wait(answer: Whole, record: Record, state: State) -> None:
    """Wait for a place among those that are answered at one time, then for the answer's end."""
    seconds = answer.pace.total(answer.turns) + (0.0 if _is_stalled(answer) else answer.late)
    if not answer.tokens:
        await asyncio.sleep(seconds)
        return
    while True:
        try:
            place = state.queue.enter()
            break
        except ApiError:  # nobody more may queue: a batch has time
            await asyncio.sleep(LOOK)
    try:
        if place is not None:
            await place
        record.started = time.monotonic()
        await asyncio.sleep(seconds)
    finally:
        state.queue.leave(place)


def _is_stalled(answer: Whole) -> bool:
    """Whether a fault holds it back until its client leaves: nobody leaves a batch."""
    return answer.late >= FOREVER


def _said(answer: Whole) -> tuple[int | None, Any, dict[str, str] | None]:
    """Return the status and the body of a line's response, None where there is none; its error."""
    if _is_stalled(answer):
        return None, None, dict(zip(("code", "message"), TIMED_OUT, strict=True))
    if answer.broken:  # there is no connection that a fault could break off
        ours = errors.our_fault()
        return ours.status, ours.body(), None
    return answer.status, json.loads(answer.body + b"".join(answer.more)), None


def _record(
    line: dict[str, Any], response: dict[str, Any] | None, error: dict[str, str] | None
) -> bytes:
    """Return a line of the output file or the error file."""
    return dump(
        {
            "id": f"batch_req_{secrets.token_hex(16)}",
            "custom_id": line["custom_id"],
            "response": response,
            "error": error,
        }
    )


async def _read(content: bytes, endpoint: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
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
    for count, (at, text) in enumerate(texts, 1):
        if count % A_STRETCH == 0:
            await asyncio.sleep(0)
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
