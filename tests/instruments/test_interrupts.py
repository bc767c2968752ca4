"""■ in a real kernel: what is awaited stops at once, and the server sees the client hang up."""

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from jupyter_client.manager import start_new_kernel

SET_UP = """\
import asyncio
from helpers import async_client, blocking_client, model, side_by_side
from helpers.endpoint import endpoint

question = [{"role": "user", "content": "Why is the sky blue?"}]

def ask(client, **options):
    return client.chat.completions.create(model=model(), messages=question, **options)

async def blocks():
    return ask(blocking_client())

print(endpoint().control("journal"), endpoint().api_key)"""

AT_ONCE = 2.5
"""Seconds: a tenth or two of an idle machine's, with room for a busy one. The answers take 16."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a cell said: its printed text, and the error it ended in."""

    printed: str
    error: str
    """Its name and message."""
    traceback: str


class Kernel:
    """A kernel whose cells are run, and interrupted."""

    def __init__(self, manager: Any, client: Any) -> None:
        self._manager = manager
        self._client = client
        self._journal, key = self.run(SET_UP).printed.split()
        self._key = {"Authorization": f"Bearer {key}"}
        # A kernel's first traceback reads the source of all its frames, which is no stopping.
        self.interrupt("await ask(async_client())")

    def run(self, cell: str) -> Said:
        return self._said(self._client.execute(cell, stop_on_error=False))

    def interrupt(self, cell: str, requests: int = 1) -> tuple[Said, float]:
        """Press ■ when the server has so many new requests of the cell's; return what it said, and
        the seconds from there to its end."""
        before = len(self.requests())
        cell_run = self._client.execute(cell, stop_on_error=False)
        deadline = time.monotonic() + 30
        while len(self.requests()) < before + requests:
            assert time.monotonic() < deadline, "the cell sent no request"
            time.sleep(0.02)  # the journal can only be asked
        self._manager.interrupt_kernel()
        pressed = time.monotonic()
        return self._said(cell_run), time.monotonic() - pressed

    def requests(self, settle: float = 0.0) -> list[dict[str, Any]]:
        answer = httpx2.get(
            self._journal, params={"settle": settle}, headers=self._key, timeout=settle + 30
        )
        requests: list[dict[str, Any]] = answer.raise_for_status().json()["requests"]
        return requests

    def outcomes(self, number: int) -> list[str]:
        """Tell how the latest requests ended. A server notices a hang-up at its next write."""
        return [request["outcome"] for request in self.requests(settle=5)[-number:]]

    def _said(self, cell_run: str) -> Said:
        printed = error = traceback = ""
        while True:
            message = self._client.get_iopub_msg(timeout=60)
            if message["parent_header"].get("msg_id") != cell_run:
                continue
            content = message["content"]
            match message["msg_type"]:
                case "stream":
                    printed += content["text"]
                case "error":
                    error = f"{content['ename']}: {content['evalue']}"
                    traceback = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(content["traceback"]))
            if content.get("execution_state") == "idle":
                return Said(printed, error, traceback)


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    manager, client = start_new_kernel(kernel_name="python3", env=os.environ | {"MOCK_PACE": "8"})
    try:
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


CANCELLED = "KeyboardInterrupt: You interrupted this cell, and what it awaited was cancelled."
STOPPED = "KeyboardInterrupt: You interrupted this cell."


@pytest.mark.parametrize(
    ("cell", "waited_at", "requests", "said"),
    [
        ("await ask(async_client())", "> 1 await ask", 1, CANCELLED),
        ("async for _ in await ask(async_client(), stream=True):\n    pass", "> 1 ", 1, CANCELLED),
        ("await asyncio.gather(*(ask(async_client()) for _ in '123'))", "> 1 ", 3, CANCELLED),
        ("async with asyncio.timeout(60):\n    await ask(async_client())", "> 2 ", 1, CANCELLED),
        ("task = asyncio.create_task(ask(async_client()))\nawait task", "> 2 ", 1, CANCELLED),
        ("ask(blocking_client())", "> 1 ask", 1, STOPPED),
        ("for _ in ask(blocking_client(), stream=True):\n    pass", "> 1 ", 1, STOPPED),
        ("await blocks()", "in blocks()", 1, STOPPED),
    ],
)
def test_an_interrupt_stops_the_cell_at_once_and_the_requests_are_abandoned(
    kernel: Kernel, cell: str, waited_at: str, requests: int, said: str
) -> None:
    told, seconds = kernel.interrupt(cell, requests)
    assert told.error == said
    assert seconds < AT_ONCE
    assert kernel.outcomes(requests) == ["abandoned"] * requests
    assert len(told.traceback.splitlines()) < 20, "a wall of library frames"
    assert waited_at in told.traceback
    assert kernel.run("print(6 * 7)").printed == "42\n", "the kernel lives on"


def test_a_task_of_an_earlier_cell_is_not_interrupted_and_can_be_cancelled(
    kernel: Kernel,
) -> None:
    told, seconds = kernel.interrupt(
        "kept = asyncio.create_task(ask(async_client()))\nawait asyncio.sleep(3600)"
    )
    assert told.error == CANCELLED
    assert seconds < AT_ONCE
    assert kernel.requests()[-1]["outcome"] == "running"
    assert kernel.run("print(kept.cancel())").printed == "True\n"
    assert kernel.outcomes(1) == ["abandoned"]


def test_what_no_interrupt_ended_is_shown_whole(kernel: Kernel) -> None:
    cancelled = kernel.run(
        "task = asyncio.create_task(asyncio.sleep(9))\ntask.cancel()\nawait task"
    )
    assert cancelled.error == "CancelledError: "
    assert "in sleep(" in cancelled.traceback, "a library's frame"
    raised = kernel.run("raise KeyboardInterrupt('of my own')")
    assert raised.error == "KeyboardInterrupt: of my own"


def test_an_error_in_the_cleaning_up_is_not_hidden(kernel: Kernel) -> None:
    told, _ = kernel.interrupt(
        "try:\n    await ask(async_client())\nfinally:\n    raise ValueError('while cleaning up')"
    )
    assert told.error == "ValueError: while cleaning up"
    assert "CancelledError" in told.traceback
