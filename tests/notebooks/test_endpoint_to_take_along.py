"""The endpoint that lesson 10 gives its reader to take to work, against every fault there is."""

import ast
import asyncio
import logging
from typing import Any

import httpx2
import pytest

from helpers import serving
from helpers.mock_server.control.faults import KINDS
from tools import notebooks

LESSON = notebooks.FOLDER / "10_inside_a_web_application.ipynb"

REFUSED = {name for name in KINDS if name.isdecimal()} | {"quota"}
"""Those that strike before an answer begins."""

CUT = {"stall", "disconnect", "no-done", "error-event", "bad-json", "bad-utf8", "data-error"}
NO_ANSWER = {"html", "empty", "not-sse", "error-body"}
BROKEN = CUT | NO_ANSWER | {"flat-error"}
"""Those under which the model never says that its answer is over."""

PATIENCE = 2.0
"""Seconds until the client gives up a stall: far above the tests' pace, and short to sit through.
Above the second that `slow-head` takes."""


def the_endpoint() -> dict[str, Any]:
    """Return what the lesson has defined when its application `app` tells a page how it ended."""
    cells = {cell.id: cell.source for cell in notebooks.read(LESSON).cells}
    names: dict[str, Any] = {"__name__": "the_lesson"}
    for cell in ("set-up", "burst", "told", "honest-status"):
        lines = ast.parse(cells[cell]).body
        if cell == "burst":
            lines = [line for line in lines if getattr(line, "name", "") == "opened"]
        lines = [line for line in lines if not isinstance(line, ast.AsyncWith)]  # the visits
        exec(compile(ast.Module(lines, []), cell, "exec"), names)
    return names


async def visit(visitor: httpx2.AsyncClient, fault: str) -> str:
    """Return the status of a page that is refused, the last event of any other."""
    try:
        reply = await visitor.get("/stream", params={"question": "Count to ten.", "fault": fault})
    except httpx2.TransportError:
        return "broken off"
    if reply.status_code != 200:
        return str(reply.status_code)
    events = [line for line in reply.text.splitlines() if line.startswith("event: ")]
    return events[-1] if events else "no event"


def test_a_page_hears_how_every_stream_ended_and_the_log_of_each_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[str] = []

    async def visits() -> list[str]:
        lesson = the_endpoint()
        lesson["client"] = lesson["client"].with_options(timeout=PATIENCE)
        async with lesson["client"], serving(lesson["app"], told.append) as visitor:
            return await asyncio.gather(*(visit(visitor, fault) for fault in KINDS))

    with caplog.at_level(logging.ERROR, "root"):
        ends = dict(zip(KINDS, asyncio.run(visits()), strict=True))
    assert {fault for fault, end in ends.items() if end == "502"} == REFUSED
    assert {fault for fault, end in ends.items() if end == "event: failed"} == BROKEN
    others = KINDS.keys() - REFUSED - BROKEN
    assert {fault for fault, end in ends.items() if end == "event: done"} == others
    assert told == [], "the application let an error out"
    assert {record.getMessage().split()[-1] for record in caplog.records} >= {
        "APIConnectionError",
        "APIError",
        "APITimeoutError",
        "JSONDecodeError",
        "UnicodeDecodeError",
    }
