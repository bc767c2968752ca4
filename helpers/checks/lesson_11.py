"""Lesson 11's checks: is no tool call lost, does the loop end, is no refusal paid for twice?"""

import asyncio
import itertools
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx2
from openai import AsyncOpenAI
from pydantic import BaseModel

from helpers.checks.exercise import NotYet, Trial, count, describe, describe_call, register, shorten
from helpers.clients import async_client
from helpers.endpoint import endpoint
from helpers.observe import peak_in_flight

QUESTION = "What is the weather in Paris and Rome?"
"""Two calls of a tool about weather, in each turn that brings calls."""

INSISTS = 2
"""Turns in which the model calls before it answers: an agent that knows one round is found out."""

MOST_TURNS = 10
"""Turns after which an agent has to have given up on a model that calls in every one."""

GIVES_IN = MOST_TURNS + 2
"""Turns after which that model answers all the same, so that no agent goes on for ever."""

ALONE = 0.1
"""Seconds for which a tool waits for those of its turn to be under way too. They are started in one
step of the event loop, or one after another."""

CUT = 3
"""Tokens in which a model says nothing whole about the weather."""

Call = tuple[str, str]
"""A tool's name, and its arguments as JSON."""


@dataclass(slots=True)
class _Turn:
    """What the model said in one turn."""

    calls: dict[str, Call]
    """By their ids."""
    text: str
    cut: bool = False


class _Relay(httpx2.AsyncBaseTransport):
    """Passes chat requests on to the endpoint, as a model that insists and streams calls in turns.

    For `insists` turns the endpoint is not told what the tools have said, so that it calls them
    again. Of several calls in one stream, it hands on a piece of each in turns. With `cuts`, what
    it says after that is allowed a few tokens only.
    """

    def __init__(self, insists: int, cuts: bool = False) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.turns: list[_Turn] = []
        self._insists = insists
        self._cuts = cuts
        self._endpoint = httpx2.AsyncHTTPTransport(verify=_wants_certificates())

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = json.loads(await request.aread())
        self.bodies.append(body)
        if len(self.bodies) <= self._insists:
            body = {**body, "messages": _up_to_the_question(body["messages"])}
        elif self._cuts:
            body = {**body, "max_tokens": CUT}
        headers = {k: v for k, v in request.headers.items() if k != "content-length"}
        answer = await self._endpoint.handle_async_request(
            httpx2.Request(
                request.method,
                request.url,
                headers=headers,
                json=body,
                extensions=request.extensions,
            )
        )
        content = (await answer.aread()).decode()
        await answer.aclose()
        if answer.status_code == 200:
            streamed = answer.headers["content-type"].startswith("text/event-stream")
            self.turns.append(_streamed_turn(content) if streamed else _turn(content))
            content = _in_turns(content) if streamed else content
        kind = {"content-type": answer.headers.get("content-type", "application/json")}
        return httpx2.Response(answer.status_code, headers=kind, content=content, request=request)

    async def aclose(self) -> None:
        await self._endpoint.aclose()


@dataclass(slots=True)
class _Tools:
    """The `run` that an agent is given: answers each call, and sees which run at the same time."""

    relay: _Relay
    ran: list[Call] = field(default_factory=list)
    alone: int = 0
    """Calls that ran while another of their turn had not been started, or had ended."""
    _under_way: int = 0
    _all: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, name: str, arguments: str) -> str:
        """Return what the tool says to these arguments; it never raises."""
        self.ran.append((name, arguments))
        self._under_way += 1
        if self._under_way >= len(self.relay.turns[-1].calls):
            self._all.set()
        try:
            await asyncio.wait_for(self._all.wait(), ALONE)
        except TimeoutError:
            self.alone += 1
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._all.clear()
        return said(name, arguments)


def said(name: str, arguments: str) -> str:
    """Return a tool's output, another for each call."""
    return f"{name} of {arguments}: sunny."


@register(
    "11-1",
    hints=(
        "Four things: whose piece is it, who waits for whom, who says when it is enough, and was "
        "the answer whole? Look at what run was given, and at the figure.",
        "A piece belongs to the call with its `index`, whichever call began last. The lesson's "
        "`collected` keeps them apart. The outputs of a turn can be waited for together, and a "
        "`for` over a range ends where a `while True` does not.",
        "`for _ in range(8):` with `text, calls, ended = await collected(stream)`, whose `ended` "
        'is "stop" or "tool_calls" where all is well; then `outputs = await '
        "asyncio.gather(*(run(call.function.name, call.function.arguments) for call in calls))`, a "
        'message of the role "tool" for each pair in `zip(calls, outputs)`, and behind the loop '
        '`raise RuntimeError("…")`.',
    ),
)
async def loses_no_call_and_ends(trial: Trial) -> str:
    async with _agent_on_trial(INSISTS) as (client, tools):
        text = await trial.run_awaited(client.chat.completions.create, QUESTION, tools.run)
        turns = tools.relay.turns
        call = describe_call(trial.answer, (client.chat.completions.create, QUESTION, tools.run))
        if not turns:
            raise NotYet(f"{call} returned {describe(text)} and asked the model nothing.")
        if not any(turn.calls for turn in turns):
            if not isinstance(text, str):
                raise NotYet(f"{call} returned {describe(text)}, where the text was wanted.")
            return "This model called no tool: nothing but the text could be judged."
        _expect_every_call_whole(turns, tools)
        if tools.alone:
            raise NotYet(
                f"{count(tools.alone, 'tool call')} of {len(tools.ran)} waited for another of the "
                f"same turn to end; all calls of a turn can be under way at once."
            )
        if turns[-1].calls:
            raise NotYet(
                f"In turn {len(turns)} the model called again, and got no next turn: an answer may "
                f"need a second round of tools."
            )
        _expect_outputs_with_their_calls(tools.relay)
        if text != turns[-1].text:
            raise NotYet(f"{call} returned {describe(text)}; the model's text was another.")
    async with _agent_on_trial(1, cuts=True) as (client, cut):
        await _expect_no_half_answer(trial, client, cut)
    async with _agent_on_trial(GIVES_IN) as (client, endless):
        await _expect_an_end(trial, client, endless)
    return (
        f"{len(tools.ran)} calls in {INSISTS} turns, each whole, those of a turn at once. A model "
        f"that calls in every turn was left after {len(endless.relay.turns)}."
    )


@asynccontextmanager
async def _agent_on_trial(
    insists: int, cuts: bool = False
) -> AsyncIterator[tuple[AsyncOpenAI, _Tools]]:
    """Make a client whose model insists for so many turns, and the tools for it."""
    relay = _Relay(insists, cuts)
    async with async_client(
        http_client=httpx2.AsyncClient(transport=relay),
        default_headers={"x-mock-pace": "0"},  # what is judged is an order
        max_retries=0,
    ) as client:
        yield client, _Tools(relay)


def _expect_every_call_whole(turns: list[_Turn], tools: _Tools) -> None:
    asked = [call for turn in turns for call in turn.calls.values()]
    odd = [call for call in tools.ran if call not in asked]
    if odd:
        name, arguments = odd[0]
        raise NotYet(
            f"The model streamed its calls in turns, a piece of each: "
            f"{' and '.join(map(_written, turns[0].calls.values()))}. run got "
            f"{shorten(repr(name))} with the arguments {shorten(repr(arguments))}."
        )
    missing = [call for call in asked if tools.ran.count(call) < asked.count(call)]
    if missing and not turns[-1].calls:
        raise NotYet(
            f"The model made {count(len(asked), 'call')}; run saw {len(tools.ran)}. "
            f"{_written(missing[0])} was lost."
        )
    if len(tools.ran) > len(asked):
        raise NotYet(f"The model made {count(len(asked), 'call')}, and run saw {len(tools.ran)}.")


def _written(call: Call) -> str:
    name, arguments = call
    return f"{name}({shorten(arguments)})"


def _expect_outputs_with_their_calls(relay: _Relay) -> None:
    told = {
        message.get("tool_call_id"): message.get("content")
        for message in relay.bodies[-1]["messages"]
        if message.get("role") == "tool"
    }
    for turn in relay.turns:
        for id_, call in turn.calls.items():
            if id_ not in told:
                raise NotYet(f"The model was never told what {_written(call)} had said.")
            if told[id_] != said(*call):
                raise NotYet(
                    f"Under the id of {_written(call)} the model was told "
                    f"{shorten(repr(told[id_]))}, another call's output."
                )


async def _expect_an_end(trial: Trial, client: AsyncOpenAI, tools: _Tools) -> None:
    given_up, text = await _given_up(trial, client, tools)
    turns = len(tools.relay.turns)
    if turns > MOST_TURNS:
        raise NotYet(
            f"Then the model called tools in every turn. After {turns} turns, each of them paid "
            f"for, I let it answer: the agent would have gone on for ever."
        )
    if not given_up:
        raise NotYet(
            f"Then the model called tools in every turn. After {turns} turns the agent returned "
            f"{describe(text)}, as if that were the answer; raise an error that says what happened."
        )


async def _expect_no_half_answer(trial: Trial, client: AsyncOpenAI, tools: _Tools) -> None:
    given_up, text = await _given_up(trial, client, tools)
    if not given_up and tools.relay.turns[-1].cut:  # some answer in so few words
        raise NotYet(
            f"Then the model's answer was cut after {CUT} tokens, and the agent returned "
            f"{describe(text)}, as if that were the answer; raise an error that says what happened."
        )


async def _given_up(trial: Trial, client: AsyncOpenAI, tools: _Tools) -> tuple[bool, object]:
    """Return whether the agent raised an error of its own, and what it returned otherwise."""
    try:
        return False, await trial.run_awaited(client.chat.completions.create, QUESTION, tools.run)
    except NotYet as verdict:
        if verdict.__context__ is None:  # no error of the agent's own
            raise
        return True, None


def _wants_certificates() -> bool:
    """Loading certificates takes 50 ms, and on plain HTTP nobody asks for them."""
    return endpoint().base_url.startswith("https:")


def _up_to_the_question(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    last = max((at for at, one in enumerate(messages) if one.get("role") == "user"), default=0)
    return messages[: last + 1]


def _turn(content: str) -> _Turn:
    message = json.loads(content)["choices"][0]["message"]
    calls = {
        call["id"]: (call["function"]["name"], call["function"]["arguments"])
        for call in message.get("tool_calls") or []
    }
    cut = json.loads(content)["choices"][0].get("finish_reason") == "length"
    return _Turn(calls, message.get("content") or "", cut)


def _streamed_turn(content: str) -> _Turn:
    text = ""
    cut = False
    parts: dict[int, list[str]] = {}
    for event in _events(content):
        cut = cut or _choice(event).get("finish_reason") == "length"
        delta = _delta(event)
        text += delta.get("content") or ""
        for piece in delta.get("tool_calls") or []:
            call = parts.setdefault(piece["index"], ["", "", ""])
            function = piece.get("function") or {}
            said_here = piece.get("id"), function.get("name"), function.get("arguments")
            for at, part in enumerate(said_here):
                call[at] += part or ""
    return _Turn({id_: (name, arguments) for id_, name, arguments in parts.values()}, text, cut)


def _in_turns(content: str) -> str:
    """Return the stream with the pieces of its calls in turns, all else where it was."""
    events = _events(content)
    owners = [_owner(event) for event in events]
    pieces: dict[int, list[str]] = defaultdict(list)
    for event, owner in zip(events, owners, strict=True):
        if owner is not None:
            pieces[owner].append(event)
    rounds: Iterable[tuple[str | None, ...]] = itertools.zip_longest(*pieces.values())
    mixed = iter([piece for one_round in rounds for piece in one_round if piece is not None])
    mixed_in = (
        event if owner is None else next(mixed) for event, owner in zip(events, owners, strict=True)
    )
    return "".join(f"{event}\n\n" for event in mixed_in)


def _events(content: str) -> list[str]:
    return [event for event in content.replace("\r\n", "\n").split("\n\n") if event.strip()]


def _owner(event: str) -> int | None:
    """Return the index of the call that an event brings a piece of; None where it brings none."""
    pieces = _delta(event).get("tool_calls") or []
    return int(pieces[0]["index"]) if pieces else None


def _delta(event: str) -> dict[str, Any]:
    return _choice(event).get("delta") or {}


def _choice(event: str) -> dict[str, Any]:
    with suppress(ValueError):  # [DONE], and comments
        choices = json.loads(event.removeprefix("data: ")).get("choices") or [{}]
        choice: dict[str, Any] = choices[0]
        return choice
    return {}


# --- 11-2: each letter once, unless room was what it lacked ------------------------------------


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter, and what becomes of it."""

    text: str
    fate: str = "a ticket"
    fault: str | None = None
    tries: int = 1
    """Requests that it is worth."""


LETTERS = (
    Letter("The lamp came with a broken foot. Please send a new one. Ada Brown"),
    Letter("I will tell you what I do to people like you. Max Frost", "refused", "refusal"),
    Letter("I count up to 60 holes in this shelf and not one screw. Rosa Lind", tries=2),
    Letter(
        "The knives arrived without their box. Karl Stone", "filtered", "content-filter; after=5"
    ),
    Letter("I count up to 900 ants in the parcel. Vera Hill", "too long", tries=2),
    Letter("Nobody answers the telephone. Linus Wood"),
)
"""The mock server's summary of a letter that counts is as long as the count."""

ROOM = 120
"""Tokens that the exercise gives a first try."""

PACE = "dial=1,first=0.05,gap=0"
"""Long enough for all first tries to be under way at once, whatever the pace."""


class _Desk:
    """Stands between the answer and the endpoint: lets letters meet their fate, and counts."""

    def __init__(self, letters: tuple[Letter, ...]) -> None:
        self.rooms: dict[Letter, list[int | None]] = {letter: [] for letter in letters}
        """The tokens that each try of a letter was allowed."""
        self.written: dict[Letter, str] = {}
        """What the model wrote at the last try."""

    async def on_request(self, request: httpx2.Request) -> None:
        body = json.loads(await request.aread())
        letter = self._letter(body)
        if letter is None:
            return
        self.rooms[letter].append(body.get("max_completion_tokens") or body.get("max_tokens"))
        if letter.fault:
            request.headers["x-mock-fault"] = letter.fault

    async def on_response(self, response: httpx2.Response) -> None:
        letter = self._letter(json.loads(response.request.content))
        if letter is None or response.status_code != 200:
            return
        await response.aread()
        message = response.json()["choices"][0]["message"]
        self.written[letter] = message.get("content") or message.get("refusal") or ""

    def _letter(self, body: dict[str, Any]) -> Letter | None:
        asked = json.dumps(body.get("messages"), ensure_ascii=False)
        return next((letter for letter in self.rooms if letter.text in asked), None)


@register(
    "11-2",
    hints=(
        "Each of these ends has another cure. Which of them does a second try mend, and what must "
        "be different about it? Look at how often each letter was asked for.",
        "`LengthFinishReasonError`: once more, with more room. `ContentFilterFinishReasonError`, "
        "or a refusal: the next try would end alike. A refusal raises nothing; `parsed` is None, "
        "and the words are in `message.refusal`.",
        "`for room in (120, 600):` around a `try`. `except LengthFinishReasonError: continue`; "
        "`except ContentFilterFinishReasonError as error: return str(error)`; after it `return "
        'message.parsed or message.refusal`; behind the loop `return "cut short"`.',
    ),
)
async def pays_for_no_refusal_twice(trial: Trial) -> str:
    letters = LETTERS if trial.sees_requests else LETTERS[:1]  # elsewhere no letter has a fate
    desk = _Desk(letters)
    hooks: dict[str, Any] = {"request": [desk.on_request], "response": [desk.on_response]}
    async with async_client(
        http_client=httpx2.AsyncClient(event_hooks=hooks, verify=_wants_certificates()),
        default_headers={"x-mock-pace": PACE},
        max_retries=0,
    ) as client:
        texts = [letter.text for letter in letters]
        tickets = await trial.run_awaited(client.chat.completions.parse, texts)
    if not isinstance(tickets, list | tuple):
        raise NotYet(f"It returned {describe(tickets)}, where a list was wanted.")
    if len(tickets) != len(letters):
        raise NotYet(f"{len(letters)} letters came in, {count(len(tickets), 'result')} came out.")
    if not trial.sees_requests:
        return f"{count(len(letters), 'letter')} went in; for each something came out."
    for number, (letter, ticket) in enumerate(zip(letters, tickets, strict=True), 1):
        _expect_tries(number, letter, desk.rooms[letter])
        _expect_result(number, letter, ticket, desk)
    if peak_in_flight(trial.requests) == 1:
        raise NotYet("Each letter waited for the one before; all can be under way at once.")
    whole = sum(isinstance(ticket, BaseModel) for ticket in tickets)
    return (
        f"{len(letters)} letters, {len(trial.requests)} requests: {whole} tickets, and "
        f"{len(letters) - whole} reasons why there is none."
    )


def _expect_tries(number: int, letter: Letter, rooms: list[int | None]) -> None:
    tries = len(rooms)
    if not tries:
        raise NotYet(f"The model was never asked about letter {number}, or got another text.")
    if rooms[0] is None or rooms[0] > ROOM:
        raise NotYet(
            f"Letter {number} was allowed {rooms[0] or 'any number of'} tokens at the first try; "
            f"{ROOM} are enough for most."
        )
    if letter.tries == 1 and tries > 1:
        why = {
            "refused": "was refused, and a second try is refused as well",
            "filtered": "was stopped by the content filter, and will be again",
        }.get(letter.fate, "had its ticket at the first try")
        raise NotYet(f"Letter {number} {why}; it was paid for {tries} times.")
    if letter.tries == 2 and tries == 1:
        raise NotYet(
            f"Letter {number} was cut at {rooms[0]} tokens. That is the one end that a second try "
            f"mends, with more room."
        )
    if tries > 1 and (rooms[1] is not None and rooms[1] <= ROOM):
        raise NotYet(
            f"Letter {number} was cut at {rooms[0]} tokens, and tried again with {rooms[1]}: it is "
            f"cut at the same place, and paid for twice."
        )
    if tries > letter.tries:
        raise NotYet(f"Letter {number} was tried {tries} times; the exercise allows two.")


def _expect_result(number: int, letter: Letter, ticket: object, desk: _Desk) -> None:
    if letter.fate == "a ticket":
        if not isinstance(ticket, BaseModel):
            raise NotYet(
                f"Letter {number} has a ticket to get; in its place is {describe(ticket)}."
            )
        if ticket.model_dump() != json.loads(desk.written[letter]):
            raise NotYet(f"In place {number} stands another letter's ticket.")
        return
    if not isinstance(ticket, str) or not ticket.strip():
        raise NotYet(
            f"Letter {number} was {letter.fate}, and nobody is told: in its place is "
            f"{describe(ticket)}, where a text was to say why."
        )
    if letter.fate == "refused" and desk.written[letter] not in ticket:
        raise NotYet(
            f"Letter {number} was refused, in words that are not in its place: there is "
            f"{describe(ticket)}."
        )
