"""The routes, and nothing else."""

from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from helpers.mock_server import (
    batches,
    chat,
    completions,
    control,
    embeddings,
    errors,
    files,
    models,
    moderations,
    responses,
)
from helpers.mock_server.control import Control, Live, Panel
from helpers.mock_server.door import Door, Handler, deliver, read_headers
from helpers.mock_server.state import State


def routes(state: State) -> list[BaseRoute]:
    """Return every route of the server."""

    def api(path: str, **handlers: Handler) -> Route:
        return Route(f"/v1{path}", Door(state, handlers))

    def panel(path: str, **controls: Control) -> Route:
        return Route(f"/mock{path}", Panel(state, controls))

    return [
        api("/chat/completions", POST=chat.create),
        api("/responses", POST=responses.create),
        api("/responses/{response}", GET=responses.retrieve, DELETE=responses.delete),
        api("/responses/{response}/cancel", POST=responses.cancel),
        api("/responses/{response}/input_items", GET=responses.input_items),
        api("/completions", POST=completions.create),
        api("/embeddings", POST=embeddings.create),
        api("/moderations", POST=moderations.create),
        api("/models", GET=models.listing),
        api("/models/{model:path}", GET=models.retrieve),
        api("/files", POST=files.upload, GET=files.listing),
        api("/files/{file}", GET=files.retrieve, DELETE=files.delete),
        api("/files/{file}/content", GET=files.content),
        api("/batches", POST=batches.create, GET=batches.listing),
        api("/batches/{batch}", GET=batches.retrieve),
        api("/batches/{batch}/cancel", POST=batches.cancel),
        panel("", GET=control.about),
        panel("/journal", GET=control.read_journal, DELETE=control.reset_journal),
        Route("/mock/journal/events", Live(state)),
        panel("/pace", GET=control.read_pace, PUT=control.set_pace),
        panel(
            "/faults", GET=control.read_faults, POST=control.add_fault, DELETE=control.clear_faults
        ),
        panel("/limits", GET=control.read_limits, PUT=control.set_limits),
        panel("/reset", POST=control.reset),
    ]


def build(state: State) -> ASGIApp:
    """Return the server as an ASGI application."""
    router = Router(routes(state), redirect_slashes=False, default=_unknown_url(state))
    journal = state.journal

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path == "/mock" or path.startswith("/mock/"):
            await router(scope, receive, send)
            return
        headers = scope["mock.headers"] = read_headers(scope)
        retry = headers.get("x-stainless-retry-count", "")
        record = scope["mock.record"] = journal.open(
            scope["method"],
            path,
            headers.get("x-mock-client"),
            int(retry) if retry.isascii() and retry.isdigit() and len(retry) < 10 else 0,
        )
        try:
            await router(scope, receive, send)
        finally:
            # A door closes its record itself; what is still open here broke off.
            journal.close(record, "failed")

    return app


def _unknown_url(state: State) -> ASGIApp:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        error = errors.unknown_url(scope["method"], scope["path"])
        if "mock.record" in scope:
            await deliver(error.answer(), state, scope["mock.record"], receive, send)
        else:
            await control.send_error(error, send)

    return answer
