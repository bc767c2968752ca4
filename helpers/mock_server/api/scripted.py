"""Whether a scripted reply answers a request, asked alike by every family that has words to say."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any, TypeAlias

from helpers.mock_server.content import talk
from helpers.mock_server.content.asked import Asked
from helpers.mock_server.content.scripts import Script
from helpers.mock_server.content.talk import Conversation, Wanted
from helpers.mock_server.control.state import State
from helpers.mock_server.protocol import fields
from helpers.mock_server.protocol.answers import Answer, Call, Event, Stream, dump, whole
from helpers.mock_server.protocol.errors import ApiError
from helpers.mock_server.protocol.pacing import Pace

DONE = b"data: [DONE]\n\n"
"""What ends a stream whose events have no names."""


def find(
    call: Call,
    state: State,
    *,
    model: str,
    conversation: Conversation,
    wanted: Wanted,
    pace: Pace,
    stream: bool,
) -> Script | Answer | None:
    """Return the reply to a request: a script to say, or all of the answer where that is given.

    None where no script fits: then the built-in replies answer.

    Raises:
        ApiError: 400, the script is not valid for the request; or none fits, in a strict server.
    """
    replies = state.replies
    if not replies.given and not replies.strict:
        return None
    asked = Asked(
        path=call.path,
        model=model,
        client=call.headers.get("x-mock-client"),
        last=conversation.last,
        turn=conversation.turn,
        results=conversation.results,
    )
    try:
        waiting = replies.take(asked)
    except ApiError as problem:
        call.tell(None, problem.message)
        raise
    if waiting is None:
        call.tell(None, replies.why_none(asked))
        return None
    call.tell(waiting.id, None)
    script = waiting.script
    if script.error is not None or script.is_raw:
        return _given(script, script.at(pace), model, stream)
    try:
        talk.check(script, wanted)
    except ValueError as problem:
        said = f"Scripted reply {waiting.id}: {problem}"
        call.tell(waiting.id, said)
        raise ApiError(400, said, code="invalid_scripted_reply") from None
    return script


Handler: TypeAlias = Callable[[Call, State], Answer | Awaitable[Answer]]


def before(handler: Handler) -> Handler:
    """Return a handler of a route that says no words, before which raw replies and errors come."""

    def answer(call: Call, state: State) -> Answer | Awaitable[Answer]:
        if state.replies.given:
            waiting = state.replies.take_answer(asked_of(call))
            if waiting is not None:
                call.tell(waiting.id, None)
                pace = waiting.script.at(state.pace_for("", call))
                return _given(waiting.script, pace, None, _wants_stream(call))
        return handler(call, state)

    return answer


def asked_of(call: Call) -> Asked:
    """Return what can be told of any request: its path, and of a JSON body model and input."""
    body = _body(call)
    model, text = body.get("model"), body.get("input")
    if text is not None and not isinstance(text, str):
        text = dump(text).decode("utf-8", "replace")
    return Asked(
        path=call.path,
        method=call.method,
        model=model if isinstance(model, str) else None,
        client=call.headers.get("x-mock-client"),
        last=text or "",
    )


def _wants_stream(call: Call) -> bool:
    return _body(call).get("stream") is True or call.query.get("stream") == "true"


def _body(call: Call) -> dict[str, Any]:
    """Return the body of any request as a JSON object; an empty one where it is none."""
    try:
        return fields.json_object(call.body)
    except ApiError:
        return {}


def _given(script: Script, pace: Pace, model: str | None, stream: bool) -> Answer:
    if script.error is not None:
        given = script.error
        kind = "server_error" if given.status >= 500 else "invalid_request_error"
        error = ApiError(
            given.status,
            given.message,
            kind=given.type or kind,
            param=given.param,
            code=given.code,
            headers=given.headers,
        )
        late = {"pace": pace, "turns": 1} if script.first is not None else {}
        return replace(error.answer(), model=model, **late)  # type: ignore[arg-type]
    if stream and script.status == 200:
        events = script.raw if isinstance(script.raw, list) else [script.raw]
        return Stream(_events(events), pace=pace, tokens=len(events), model=model, holds="anything")
    return whole(
        script.raw,
        status=script.status,
        pace=pace,
        turns=1,
        tokens=1,
        model=model,
        holds="anything",
    )


def _events(values: list[Any]) -> Iterator[Event]:
    named = False
    for turn, value in enumerate(values):
        kind = value.get("type") if isinstance(value, dict) else None
        named = named or isinstance(kind, str)
        name = f"event: {kind}\n".encode() if isinstance(kind, str) else b""
        yield turn, 1, name + b"data: " + dump(value) + b"\n\n"
    if not named:
        yield max(0, len(values) - 1), 0, DONE
