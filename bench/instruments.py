"""What the instruments cost: the heartbeat a second, a column a token, the doctor a cell."""

import asyncio
import contextlib
import io
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from helpers.heartbeat import Heartbeat
from helpers.panels import side_by_side

SECONDS = 3.0
TOKENS = 50_000
CELLS = 300
NAMES = 500
"""As many names as a long notebook gathers."""


def cpu(work: Callable[[], Any]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def heartbeat(**options: Any) -> float:
    """Return seconds of CPU for a second of listening to an idle loop."""

    async def listen() -> None:
        with Heartbeat(**options):
            await asyncio.sleep(SECONDS)

    async def rest() -> None:
        await asyncio.sleep(SECONDS)

    return (cpu(lambda: asyncio.run(listen())) - cpu(lambda: asyncio.run(rest()))) / SECONDS


def column(in_view: bool, asynchronous: bool) -> float:
    """Return seconds of CPU that a column adds to each token."""

    def blocking() -> Iterator[str]:
        for _ in range(TOKENS):
            yield "word "

    async def streamed() -> AsyncIterator[str]:
        for _ in range(TOKENS):
            yield "word "

    async def bare() -> None:
        _ = [piece async for piece in streamed()] if asynchronous else list(blocking())

    async def watched() -> None:
        await side_by_side(column=streamed if asynchronous else blocking)

    shell = InteractiveShell.instance() if in_view else None
    if shell is not None:
        shell.display_pub.publish = lambda *_, **__: None
    with contextlib.redirect_stdout(io.StringIO()):  # outside a notebook the text is printed
        more = cpu(lambda: asyncio.run(watched())) - cpu(lambda: asyncio.run(bare()))
    if shell is not None:
        InteractiveShell.clear_instance()
    return more / TOKENS


def doctor() -> float:
    """Return seconds of CPU that the doctor adds to each correct cell."""
    shell = InteractiveShell.instance()
    shell.user_ns.update({f"name_{i}": [i] * 1000 for i in range(NAMES)})

    def cells() -> None:
        for _ in range(CELLS):
            shell.run_cell("x = 1", store_history=False)

    cells()
    without = cpu(cells)
    shell.extension_manager.load_extension("helpers.doctor")
    with_it = cpu(cells)
    InteractiveShell.clear_instance()
    return (with_it - without) / CELLS


def main() -> None:
    print(f"heartbeat                    {100 * heartbeat():>8.2f} % of a core")
    print(f"heartbeat, asked where       {100 * heartbeat(where=True):>8.2f} % of a core")
    for in_view, place in ((False, ""), (True, ", in view")):
        for asynchronous, kind in ((False, "blocking"), (True, "async")):
            name = f"a {kind} column{place}"
            print(f"{name:<28} {1e6 * column(in_view, asynchronous):>8.2f} µs a token")
    print(f"doctor, {NAMES} names           {1e6 * doctor():>8.0f} µs a cell")


if __name__ == "__main__":
    main()
