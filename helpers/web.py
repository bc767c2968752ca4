"""Serves a web application from the notebook's own event loop, and calls on it as a visitor."""

import asyncio
import html
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext

import anyio
import httpx2
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from helpers.views import show_widget

PATIENCE = 600.0
"""Seconds that a visitor waits for the next piece of an answer, as many as the SDK waits: the last
of a hundred who are served one by one waits for a hundred answers."""

LAST_WORDS = 1
"""Seconds that what still runs gets to end at the close, before it is cancelled."""


@asynccontextmanager
async def serving(
    app: ASGIApp, tell: Callable[[str], object] = print
) -> AsyncIterator[httpx2.AsyncClient]:
    """Serve an application, such as a `FastAPI()`, until the block ends; yield a visitor.

        async with serving(app) as visitor:
            reply = await visitor.get("/answer")

    The visitor is an HTTP client whose `base_url` is the application's address: a free port that
    this machine alone can reach. Each of its requests comes over a connection of its own, as those
    of different visitors do. The server is a task of the running event loop. It takes no signal
    over, so ■ goes on stopping the cell and not the server, and it ends with the block, or with the
    process. Errors that the application let out go to `tell`, a line each, when the block ends.

    Raises:
        RuntimeError: the application did not start; its lifespan failed.
    """
    errors: list[Exception] = []

    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except Exception as error:
            errors.append(error)
            raise

    # No logging of uvicorn's own: it would change the kernel's, and its tracebacks name folders.
    config = uvicorn.Config(
        told, log_config=None, log_level="critical", timeout_graceful_shutdown=LAST_WORDS
    )
    server = _Server(config)
    door = socket.create_server(("127.0.0.1", 0))
    address = f"http://127.0.0.1:{door.getsockname()[1]}"
    running = asyncio.create_task(server.serve(sockets=[door]))
    try:
        await server.ready.wait()
        if not server.started:
            raise RuntimeError(" ".join(["The application did not start.", *_in_words(errors)]))
        # A machine's proxy does not lead to this machine, and loading certificates takes 50 ms.
        async with httpx2.AsyncClient(
            base_url=address,
            timeout=PATIENCE,
            limits=httpx2.Limits(max_keepalive_connections=0),
            trust_env=False,
            verify=False,
        ) as visitor:
            yield visitor
    finally:
        server.over.set()
        await running
        door.close()
        if server.started:
            for line in _in_words(errors):
                tell(line)


def show_page(address: object, height: int = 160) -> None:
    """Show the page at `address` under the cell, in a frame so many pixels high.

    Your browser asks for it, so it must run on the machine that the notebook runs on. The frame is
    a live widget: it is not stored in the notebook, as the address holds for this run alone.
    """
    import ipywidgets as widgets  # takes a while to load

    frame = widgets.HTML(
        f'<iframe src="{html.escape(str(address))}" height="{height}" '
        'style="width: 100%; border: 1px solid #bbb; background: white"></iframe>'
    )
    frame.add_class("awaited-page")
    show_widget(frame)


class _Server(uvicorn.Server):
    """uvicorn's server, as a guest in a loop that is not its own."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        """Set when it serves, or never will."""
        self.over = asyncio.Event()
        """Set to end it."""

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return nullcontext()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self.over.wait()  # uvicorn's own looks every tenth of a second, which adds up

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().serve(sockets)
        except SystemExit:
            pass  # uvicorn's way to say that the lifespan failed; out of a task it ends the kernel
        finally:
            self.ready.set()


def _in_words(errors: Sequence[BaseException]) -> list[str]:
    """Return a line for each error, those in groups included."""
    lines: list[str] = []
    for error in errors:
        if isinstance(error, BaseExceptionGroup):
            lines += _in_words(error.exceptions)
        elif not isinstance(error, anyio.BrokenResourceError):  # FastAPI's, when a visitor leaves
            lines.append(f"The application raised {type(error).__name__}: {error}")
    return lines
