"""Mends what the browser edition's Python does otherwise than any other, in one place.

Each is a gap of Pyodide or of its kernel that the lessons would fall into. Nothing here runs
elsewhere.
"""

import asyncio
import time
import warnings
from typing import Any


def mend(shell: Any) -> None:
    """Mend this process and its notebook's shell, once."""
    if getattr(shell, "awaited_mended", False):
        return
    shell.awaited_mended = True
    _name_tasks_of_a_factory()
    _block_while_asleep()
    _tell_of_the_end_of_cells_that_await(shell)
    warnings.filterwarnings("ignore", message="The following transport option")


def _name_tasks_of_a_factory() -> None:
    """Pyodide's event loop, given a task factory, calls what Python 3.14 has no more."""

    def set_name(task: "asyncio.Task[Any]", name: object) -> None:
        if name is not None:
            task.set_name(name)

    if not hasattr(asyncio.tasks, "_set_task_name"):
        asyncio.tasks._set_task_name = set_name  # type: ignore[attr-defined]


def _block_while_asleep() -> None:
    """Pyodide's `time.sleep` lets other tasks run: the very thing that a blocking call does not."""
    from pyodide import webloop

    time.sleep = webloop._orig_sleep


def _tell_of_the_end_of_cells_that_await(shell: Any) -> None:
    """The kernel says `post_run_cell` after plain cells alone, and the doctor would be silent."""
    run_cell, run_cell_async = shell.run_cell, shell.run_cell_async
    in_a_plain_cell = False

    def run_plainly(*arguments: Any, **options: Any) -> Any:
        nonlocal in_a_plain_cell
        in_a_plain_cell = True
        try:
            return run_cell(*arguments, **options)
        finally:
            in_a_plain_cell = False

    async def run_async(*arguments: Any, **options: Any) -> Any:
        plain = in_a_plain_cell  # IPython runs those through here too, and tells by itself
        result = await run_cell_async(*arguments, **options)
        if not plain:
            shell.events.trigger("post_execute")
            if not options.get("silent", False):
                shell.events.trigger("post_run_cell", result)
        return result

    shell.run_cell, shell.run_cell_async = run_plainly, run_async
