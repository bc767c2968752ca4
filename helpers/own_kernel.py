"""Runs cells in a kernel of their own, to show safely what would harm the notebook's kernel."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from queue import Empty
from typing import Any, Literal

from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.manager import start_new_async_kernel

PATIENCE = 1.5
"""Seconds without a word from the kernel after which it is taken to have no more to say. It speaks
at each cell's begin and end; the cells of an experiment are silent for some tenths in between."""

TIME_LIMIT = 60.0
"""Seconds for one experiment, the kernel's start included, which takes one or two."""

State = Literal["ran", "failed", "never ended", "never started"]


@dataclass(frozen=True, slots=True)
class CellRun:
    """What became of one cell. `never ended`: it began, and the kernel never said it was done."""

    state: State
    printed: str
    stderr: str
    error: str
    """The error's last line; empty if there was none."""


@dataclass(frozen=True, slots=True)
class KernelRun:
    """What became of the cells of one experiment. A notebook shows it as text."""

    cells: tuple[CellRun, ...]
    afterwards: bool
    """Whether the kernel ran one more cell, sent when it had nothing more to say."""

    def __repr__(self) -> str:
        lines = []
        for number, cell in enumerate(self.cells, 1):
            said = cell.error or ", ".join(cell.printed.split("\n")[:-1])
            lines.append(f"cell {number}   {cell.state:<15}{said}".rstrip())
        lines.append(f"sent afterwards: {'ran' if self.afterwards else 'no answer'}")
        return "\n".join(lines)


async def run_all(*cells: str, patience: float = PATIENCE) -> KernelRun:
    """Queue the cells at once in a fresh kernel, as *Run All* does, and return what became of each.

    As there, a cell that fails keeps those behind it from running.

    Raises:
        TimeoutError: the experiment took longer than `TIME_LIMIT`.
    """
    async with asyncio.timeout(TIME_LIMIT), _own_kernel() as kernel:
        watch = _Watch(kernel, patience)
        await watch.until_ended(*[watch.send(cell) for cell in cells])
        return await watch.report()


async def run_each(*cells: str, patience: float = PATIENCE) -> KernelRun:
    """Send each cell to a fresh kernel when the one before has ended, or its patience has.

    So does a person who presses Shift+Enter and reads, and so do most tools that test notebooks.

    Raises:
        TimeoutError: the experiment took longer than `TIME_LIMIT`.
    """
    async with asyncio.timeout(TIME_LIMIT), _own_kernel() as kernel:
        watch = _Watch(kernel, patience)
        for cell in cells:
            await watch.until_ended(watch.send(cell))
        return await watch.report()


@asynccontextmanager
async def _own_kernel() -> AsyncIterator[AsyncKernelClient]:
    # What it writes to its own terminal would show up in the cell that runs the experiment.
    manager, client = await start_new_async_kernel(
        startup_timeout=TIME_LIMIT, kernel_name="python3", stderr=subprocess.DEVNULL
    )
    try:
        yield client
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)


class _Watch:
    """Sends cells to a kernel and notes what it says about each."""

    def __init__(self, kernel: AsyncKernelClient, patience: float) -> None:
        self._kernel = kernel
        self._patience = patience
        self._said: dict[str, list[dict[str, Any]]] = {}

    def send(self, cell: str) -> str:
        name: str = self._kernel.execute(cell, store_history=False)
        self._said[name] = []
        return name

    async def until_ended(self, *names: str) -> None:
        """Listen until these cells have ended, or the kernel has been silent for `patience`."""
        while not all(_ended(self._said[name]) for name in names):
            try:
                message = await self._kernel.get_iopub_msg(timeout=self._patience)
            except Empty:
                return
            about = message["parent_header"].get("msg_id")
            if about in self._said:
                self._said[about].append(message)

    async def report(self) -> KernelRun:
        sent = list(self._said)
        one_more = self.send("")
        await self.until_ended(one_more)
        cells = tuple(_cell_run(self._said[name]) for name in sent)
        return KernelRun(cells, afterwards=_ended(self._said[one_more]))


def _ended(said: list[dict[str, Any]]) -> bool:
    return any(message["content"].get("execution_state") == "idle" for message in said)


def _cell_run(said: list[dict[str, Any]]) -> CellRun:
    printed = stderr = error = ""
    state: State = "never started"
    for message in said:
        content = message["content"]
        match message["msg_type"]:
            case "execute_input":
                state = "ran" if _ended(said) else "never ended"
            case "stream" if content["name"] == "stdout":
                printed += content["text"]
            case "stream":
                stderr += content["text"]
            case "error":
                state = "failed"
                error = ": ".join(filter(None, (content["ename"], content["evalue"])))
    return CellRun(state, printed, stderr, error)
