"""The instruments in a real kernel: what a stored notebook keeps, and what its test compares."""

import re
from pathlib import Path
from queue import Empty
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel
from nbformat.v4 import new_code_cell, new_notebook

from tools import notebooks, refresh

# Slow: what the lessons store is compared at each of their runs, and ■ has tests of its own.
pytestmark = pytest.mark.slow

SET_UP = """\
import asyncio
from helpers import Heartbeat, async_client, blocking_client, model, recorded, side_by_side
from helpers import timeline

question = [{"role": "user", "content": "Why is the sky blue?"}]

def ask(messages):
    client = blocking_client()
    for chunk in client.chat.completions.create(model=model(), messages=messages, stream=True):
        if chunk.choices and chunk.choices[0].delta.content:
            yield chunk.choices[0].delta.content

async def ask_async(messages):
    stream = await async_client().chat.completions.create(
        model=model(), messages=messages, stream=True
    )
    async for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            yield chunk.choices[0].delta.content

async def whole(messages):
    return "".join([piece async for piece in ask_async(messages)])
"""

CELLS = (
    SET_UP,
    "await side_by_side(question, OpenAI=ask, AsyncOpenAI=ask_async)\ntimeline()",
    "with timeline():\n    text = ''.join(ask(question))",
    """\
with recorded() as one_by_one:
    for _ in range(3):
        text = "".join(ask(question))
with recorded() as together:
    texts = await asyncio.gather(*(whole(question) for _ in range(3)))
timeline(one_by_one=one_by_one, together=together)""",
    "with Heartbeat() as beat:\n    text = ''.join(ask(question))\nbeat",
    "timeline()",
)


def stored(folder: Path) -> Any:
    cells = [new_code_cell(source) for source in CELLS]
    return notebooks.normalised(refresh.run(new_notebook(cells=cells), folder))


def test_a_stored_notebook_keeps_pictures_tables_and_words_and_no_live_widget(
    tmp_path: Path,
) -> None:
    ran = refresh.run(new_notebook(cells=[new_code_cell(source) for source in CELLS]), tmp_path)
    stored = notebooks.normalised(ran)
    said = [
        [(sorted(output.data)[0], output.data["text/plain"]) for output in cell.outputs]
        for cell in stored.cells
    ]
    assert said == [
        [],
        [
            ("text/html", SIDE_BY_SIDE),
            ("text/html", "the figure in words:"),
            ("text/plain", "2 requests reached the server, one after another; all finished."),
        ],
        [
            ("text/html", "the figure in words:"),
            (
                "text/plain",
                "One request reached the server; it sent 55 tokens one by one and finished. The "
                "event loop stood\n  still meanwhile.",
            ),
        ],
        [
            ("text/html", "the figure in words:"),
            (
                "text/plain",
                "one by one: 3 requests reached the server, one after another; all finished. The "
                "event loop stood\n  still meanwhile.\n"
                "together: 3 requests reached the server, all 3 in flight at once; all finished. "
                "The event loop\n  had its turns meanwhile.\n"
                "one by one took longer than together.",
            ),
        ],
        [("text/plain", "The event loop froze.")],
        [
            (
                "text/plain",
                "No request reached the server in this cell. timeline() shows those of the cell it "
                "stands in:\nmake it the last line of the cell that asks, or write `with "
                "timeline():` around the calls.",
            )
        ],
    ]
    assert len(nbformat.writes(stored)) < 150_000
    assert len(drawn(stored)) == 3
    assert all(' width="690" ' in picture for picture in drawn(stored)), "sharp, and no larger"
    assert re.findall(r'alt="(.*?)"', drawn(stored)[2]) == [
        "Timeline of 6 requests: one by one and together. The words below say what it shows."
    ]


ANSWER = (
    "    Sunlight meets air, and air scatters blue light far more than red. The blue reaches your "
    "eyes from every part of the sky, so the whole sky looks blue. At sunset the light crosses "
    "more air, loses its blue on the way, and what is left is red."
)
SIDE_BY_SIDE = f"""\
OpenAI: finished, 1 request, 55 pieces of text, held the event loop
{ANSWER}
AsyncOpenAI: finished, 1 request, 55 pieces of text
{ANSWER}"""


def drawn(notebook: Any) -> list[str]:
    shown = [output.data.get("text/html", "") for cell in notebook.cells for output in cell.outputs]
    return [html for html in shown if "<img" in html]


def test_an_interrupt_reaches_a_blocking_column_and_the_kernel_lives_on() -> None:
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        run(client, SET_UP)
        client.execute(
            "def forever():\n"
            "    import time\n"
            "    yield 'so far'\n"
            "    print('blocking now', flush=True)\n"
            "    time.sleep(3600)\n"
            "await side_by_side(blocks=forever, waits=lambda: asyncio.sleep(3600))",
            stop_on_error=False,
        )
        until(client, lambda message: message["content"].get("text", "").startswith("blocking"))
        manager.interrupt_kernel()
        failed = until(client, lambda message: message["msg_type"] == "error")
        assert failed["content"]["ename"] == "KeyboardInterrupt"
        left = run(client, "[t.get_name() for t in asyncio.all_tasks() if 'Column' in str(t)]")
        assert left == "[]"
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def run(client: Any, source: str) -> str | None:
    """Run a cell and return its value as text."""
    request = client.execute(source)
    value = None
    while True:
        message = client.get_iopub_msg(timeout=30)
        if message["parent_header"].get("msg_id") != request:
            continue
        if message["msg_type"] == "execute_result":
            value = message["content"]["data"]["text/plain"]
        if message["content"].get("execution_state") == "idle":
            return value


def until(client: Any, found: Any) -> Any:
    try:
        while not found(message := client.get_iopub_msg(timeout=30)):
            pass
    except Empty:
        raise AssertionError("the message never came") from None
    return message
