"""The routes, and nothing else."""

from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from helpers.mock_server.api import (
    batches,
    completions,
    conversations,
    embeddings,
    files,
    models,
    moderations,
    responses,
    scripted,
    stored,
)
from helpers.mock_server.control import controls
from helpers.mock_server.control.controls import Control, Live, Panel
from helpers.mock_server.control.state import State
from helpers.mock_server.delivery import origins
from helpers.mock_server.delivery.endpoint import Endpoint, Handler
from helpers.mock_server.delivery.sending import deliver
from helpers.mock_server.protocol import azure, errors
from helpers.mock_server.protocol.answers import Answer, Call
from helpers.mock_server.protocol.asgi import check_key, read_headers
from helpers.mock_server.protocol.errors import ApiError

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")

SPEAKING = (stored.create, responses.create, completions.create)
"""What says a model's words: it looks for a script by itself. All other answers a script can only
be the whole of."""


def routes(state: State) -> list[BaseRoute]:
    """Return every route of the server."""

    def api(path: str, **handlers: Handler) -> Route:
        answers = {
            method: handler if handler in SPEAKING else scripted.before(handler)
            for method, handler in handlers.items()
        }
        return Route(f"/v1{path}", Endpoint(state, answers))

    def panel(path: str, **methods: Control) -> Route:
        return Route(f"/mock{path}", Panel(state, methods))

    return [
        api("/chat/completions", POST=stored.create, GET=stored.listing),
        api(
            "/chat/completions/{completion}",
            GET=stored.retrieve,
            POST=stored.update,
            DELETE=stored.delete,
        ),
        api("/chat/completions/{completion}/messages", GET=stored.messages),
        api("/responses", POST=responses.create),
        api("/responses/input_tokens", POST=responses.count_input),
        api("/responses/compact", POST=responses.compact),
        api("/responses/{response}", GET=responses.retrieve, DELETE=responses.delete),
        api("/responses/{response}/cancel", POST=responses.cancel),
        api("/responses/{response}/input_items", GET=responses.input_items),
        api("/conversations", POST=conversations.create),
        api(
            "/conversations/{conversation}",
            GET=conversations.retrieve,
            POST=conversations.update,
            DELETE=conversations.delete,
        ),
        api(
            "/conversations/{conversation}/items",
            GET=conversations.items,
            POST=conversations.add_items,
        ),
        api(
            "/conversations/{conversation}/items/{item}",
            GET=conversations.retrieve_item,
            DELETE=conversations.delete_item,
        ),
        api("/completions", POST=completions.create),
        api("/embeddings", POST=embeddings.create),
        api("/moderations", POST=moderations.create),
        api("/models", GET=models.listing),
        api("/models/{model:path}", GET=models.retrieve, DELETE=models.delete),
        api("/files", POST=files.upload, GET=files.listing),
        api("/files/{file}", GET=files.retrieve, DELETE=files.delete),
        api("/files/{file}/content", GET=files.content),
        api("/batches", POST=batches.create, GET=batches.listing),
        api("/batches/{batch}", GET=batches.retrieve),
        api("/batches/{batch}/cancel", POST=batches.cancel),
        Route("/health", Panel(state, {"GET": controls.health})),
        panel("", GET=controls.about),
        panel("/journal", GET=controls.read_journal, DELETE=controls.reset_journal),
        Route("/mock/journal/events", Live(state)),
        panel("/pace", GET=controls.read_pace, PUT=controls.set_pace),
        panel(
            "/faults",
            GET=controls.read_faults,
            POST=controls.add_fault,
            DELETE=controls.clear_faults,
        ),
        panel(
            "/replies",
            GET=controls.read_replies,
            POST=controls.add_reply,
            PUT=controls.set_replies,
            DELETE=controls.clear_replies,
        ),
        panel("/batches", GET=controls.read_batches, PUT=controls.set_batches),
        panel("/limits", GET=controls.read_limits, PUT=controls.set_limits),
        panel("/reset", POST=controls.reset),
    ]


def build(state: State) -> ASGIApp:
    """Return the server as an ASGI application."""
    router = Router(routes(state), redirect_slashes=False, default=_unknown_url(state))
    serve: ASGIApp = router
    if state.upstream is not None:
        from helpers.mock_server.recording import Recorder  # its client takes 10 MB and 0.1 s

        serve = Recorder(state)
    journal = state.journal

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        headers = scope["mock.headers"] = read_headers(scope)
        if "origin" in headers:
            if origins.is_preflight(scope["method"], headers):
                await origins.answer_preflight(scope, headers, state.origins, receive, send)
                return
            if origins.is_allowed(headers["origin"], state.origins):
                send = origins.Allowing(send, headers["origin"]).send
        if path == "/mock" or path.startswith("/mock/"):
            if state.api_key is not None:
                try:
                    check_key(headers, state.api_key)
                except ApiError as error:
                    await controls.send_error(error, send)
                    return
            await router(scope, receive, send)
            return
        if path == "/health":
            await router(scope, receive, send)
            return
        retry = headers.get("x-stainless-retry-count", "")
        record = scope["mock.record"] = journal.open(
            scope["method"],
            path,
            headers.get("x-mock-client"),
            int(retry) if retry.isascii() and retry.isdigit() and len(retry) < 10 else 0,
            arrived=scope.get("mock.asked"),
        )
        try:
            if path.startswith(azure.ROOT):
                try:
                    found, deployment = azure.plain(path, scope["query_string"])
                except ApiError as error:
                    await deliver(error.answer(), state, record, receive, send)
                    return
                scope = {**scope, "path": found, "mock.path": path, "mock.deployment": deployment}
            await serve(scope, receive, send)
        finally:
            # An endpoint closes its record itself; what is still open here broke off.
            journal.close(record, "failed")

    return app


def _unknown_url(state: State) -> ASGIApp:
    def refuse(call: Call, state: State) -> Answer:
        raise errors.unknown_url(call.method, call.path)

    scripts = Endpoint(state, dict.fromkeys(METHODS, scripted.before(refuse)))

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        error = errors.unknown_url(scope["method"], scope["path"])
        if "mock.record" not in scope:
            await controls.send_error(error, send)
        elif state.replies.given and scope["method"] in METHODS:
            await scripts(scope, receive, send)
        else:
            await deliver(error.answer(), state, scope["mock.record"], receive, send)

    return answer
