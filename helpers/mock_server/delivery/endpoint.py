"""The way in: what a call has to pass before its handler answers it, and what then leaves."""

import inspect
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

from starlette.types import Receive, Scope, Send

from helpers.mock_server.control import faults
from helpers.mock_server.control.faults import Fault
from helpers.mock_server.control.journal import Record
from helpers.mock_server.control.state import State
from helpers.mock_server.delivery.sending import deliver
from helpers.mock_server.protocol import azure, errors
from helpers.mock_server.protocol.answers import Answer, Call
from helpers.mock_server.protocol.asgi import Gone, check_key, read_body, read_query
from helpers.mock_server.protocol.errors import ApiError

Handler: TypeAlias = Callable[[Call, State], Answer | Awaitable[Answer]]


class Endpoint:
    """An ASGI endpoint: one path, and a handler for each method it takes."""

    def __init__(self, state: State, handlers: Mapping[str, Handler]) -> None:
        self._state = state
        self._handlers = handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        record: Record = scope["mock.record"]
        try:
            answer = await self._answer(scope, receive, record)
            await deliver(answer, self._state, record, receive, send)
        except Gone:
            self._state.journal.close(record, "abandoned")

    async def _answer(self, scope: Scope, receive: Receive, record: Record) -> Answer:
        state = self._state
        try:
            handler = self._handlers.get(scope["method"])
            if handler is None:
                allowed = ", ".join(self._handlers)
                raise errors.wrong_method(scope["method"], scope["path"], allowed)
            headers = scope["mock.headers"]
            key = check_key(headers, state.api_key)
            length = headers.get("content-length", "")
            if length.isdecimal() and int(length[:20]) > state.max_body:
                raise errors.body_too_large(state.max_body)
            body = await read_body(receive, state.max_body)
            record.started = scope.get("mock.asked") or time.monotonic()
            deployment = scope.get("mock.deployment")
            call = Call(
                method=scope["method"],
                path=scope.get("mock.path", scope["path"]),
                headers=headers,
                body=body if deployment is None else azure.with_model(body, deployment),
                query=read_query(scope),
                params=scope.get("path_params", {}),
                tell=record.tell,
                key=key,
            )
            return await respond(handler, call, state, record, _charge)
        except ApiError as error:
            return error.answer()
        except Gone:
            raise
        except Exception:  # a fault of ours: the client gets OpenAI's words, standard error ours
            traceback.print_exc()
            return errors.our_fault().answer()


Charge: TypeAlias = Callable[[str, int, State], Awaitable[dict[str, str]]]
"""Takes an answer's tokens from a key's budget and returns the headers that tell of it; raises
`ApiError` where the budget does not suffice."""


async def respond(
    handler: Handler, call: Call, state: State, record: Record, charge: Charge
) -> Answer:
    """Return the answer to a call, with the faults that it is to meet, once it is paid for.

    Raises:
        ApiError: the call is wrong, or its key has spent its budget.
    """
    fault = wanted_fault(call, state, record.retry)
    if fault is not None:
        record.fault = fault.name
        refusal = faults.refusal(fault)
        if refusal is not None:
            return replace(refusal, model=faults.model_of(call))
        if fault.needs_wide_character:
            call = replace(call, appendix=faults.NOTE)
        if fault.name == "not-sse":
            call = replace(call, body=faults.without_stream(call.body))
        if fault.name == "expired":
            call = replace(call, ends_after=fault.after or 0)
    await state.turnstile.enter()
    found = handler(call, state)
    answer = await found if inspect.isawaitable(found) else found
    if answer.tokens or answer.prompt_tokens:
        spent = await charge(call.key, answer.prompt_tokens + answer.tokens, state)
        if spent:
            answer = replace(answer, headers={**answer.headers, **spent})
    return answer if fault is None else faults.spoil(fault, answer)


async def _charge(key: str, tokens: int, state: State) -> dict[str, str]:
    return state.limiter.charge(key, tokens)


def wanted_fault(call: Call, state: State, retry: int) -> Fault | None:
    """Return the fault that this try of a call is to meet, if any.

    Raises:
        ApiError: 400 where the `x-mock-fault` header names no fault.
    """
    text = call.headers.get("x-mock-fault")
    if text is None:
        return state.orders.take(call, retry) if state.orders.waiting else None
    try:
        fault = faults.parse(text)
    except ValueError as problem:
        raise ApiError(400, str(problem), param="x-mock-fault") from None
    return fault if fault.meets(retry) and state.orders.strikes(fault) else None
