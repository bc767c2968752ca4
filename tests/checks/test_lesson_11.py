"""Lesson 11's checks turn down what is wrong for the right reason, and take what is right."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from openai import (
    AsyncStream,
    ContentFilterFinishReasonError,
    LengthFinishReasonError,
    OpenAIError,
)
from openai.types.chat import ChatCompletionChunk
from pydantic import BaseModel

from helpers import async_client, model
from tests.checks.judging import turned_down, verdict
from tools import notebooks

LESSON = notebooks.FOLDER / "11_tools_types_and_responses.ipynb"

Create = Callable[..., Any]
Run = Callable[[str, str], Awaitable[str]]


# --- 11-1: no call is lost, and the loop ends -------------------------------------------------

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


async def turn(create: Create, messages: list[Any]) -> tuple[str, list[Any]]:
    """One turn of the model, which has to be whole: its text and its calls, by their index."""
    text, calls, ended = await turn_however_it_ended(create, messages)
    if ended not in ("stop", "tool_calls"):
        raise RuntimeError("Cut.")
    return text, calls


async def turn_cut_or_not(create: Create, messages: list[Any]) -> tuple[str, list[Any]]:
    text, calls, _ = await turn_however_it_ended(create, messages)
    return text, calls


async def turn_however_it_ended(
    create: Create, messages: list[Any]
) -> tuple[str, list[Any], str | None]:
    text, ended = "", None
    calls: dict[int, Any] = {}
    stream = await create(model=model(), messages=messages, tools=[TOOL], stream=True)
    async for chunk in stream:
        delta = chunk.choices[0].delta
        ended = chunk.choices[0].finish_reason or ended
        text += delta.content or ""
        for piece in delta.tool_calls or []:
            call = calls.setdefault(piece.index, piece)
            if call is not piece:
                call.function.arguments += piece.function.arguments or ""
    return text, list(calls.values()), ended


async def turn_of_the_last(create: Create, messages: list[Any]) -> tuple[str, list[Any]]:
    """The same, with each piece given to the call that began last."""
    text = ""
    calls: list[Any] = []
    stream = await create(model=model(), messages=messages, tools=[TOOL], stream=True)
    async for chunk in stream:
        delta = chunk.choices[0].delta
        text += delta.content or ""
        for piece in delta.tool_calls or []:
            if piece.id:
                calls.append(piece)
            else:
                calls[-1].function.arguments += piece.function.arguments
    return text, calls


async def turn_in_one_piece(create: Create, messages: list[Any]) -> tuple[str, list[Any]]:
    reply = await create(model=model(), messages=messages, tools=[TOOL])
    message = reply.choices[0].message
    if reply.choices[0].finish_reason == "length":
        raise ValueError("Cut.")
    return message.content or "", message.tool_calls or []


async def in_turns(run: Run, calls: list[Any]) -> list[str]:
    return [await run(call.function.name, call.function.arguments) for call in calls]


async def together(run: Run, calls: list[Any]) -> list[str]:
    return await asyncio.gather(
        *(run(call.function.name, call.function.arguments) for call in calls)
    )


async def in_a_group(run: Run, calls: list[Any]) -> list[str]:
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(run(call.function.name, call.function.arguments))  # type: ignore[arg-type]
            for call in calls
        ]
    return [task.result() for task in tasks]


async def backwards(run: Run, calls: list[Any]) -> list[str]:
    return (await together(run, calls))[::-1]


async def the_first_alone(run: Run, calls: list[Any]) -> list[str]:
    return await together(run, calls[:1])


def an_agent(
    turns: int,
    said: Callable[[Create, list[Any]], Awaitable[tuple[str, list[Any]]]] = turn,
    done: Callable[[Run, list[Any]], Awaitable[list[str]]] = together,
    at_the_end: str | None = None,
) -> Callable[[Create, str, Run], Awaitable[str]]:
    async def agent(create: Create, question: str, run: Run) -> str:
        messages: list[Any] = [{"role": "user", "content": question}]
        for _ in range(turns):
            text, calls = await said(create, messages)
            if not calls:
                return text
            asked = [call.model_dump(exclude={"index"}) for call in calls]
            messages.append({"role": "assistant", "tool_calls": asked})
            outputs = await done(run, calls)
            messages += [
                {"role": "tool", "tool_call_id": call.id, "content": output}
                for call, output in zip(calls, outputs, strict=False)
            ]
        if at_the_end is None:
            raise RuntimeError(f"No answer after {turns} turns.")
        return at_the_end

    return agent


async def forgets_half_of_the_calls(create: Create, messages: list[Any]) -> tuple[str, list[Any]]:
    text, calls = await turn(create, messages)
    return text, calls[:1]


async def asks_nothing(create: Create, question: str, run: Run) -> str:
    return "sunny"


async def never_awaits(create: Create, question: str, run: Run) -> str:
    reply = create(model=model(), messages=[{"role": "user", "content": question}])
    return str(reply.choices[0].message.content)


def plain(create: Create, question: str, run: Run) -> str:
    return "sunny"


@pytest.mark.parametrize(
    ("answer", "because"),
    [
        (an_agent(1000, turn_of_the_last, in_turns), "run got 'get_weather' with the arguments ''"),
        pytest.param(
            an_agent(8, turn_of_the_last),
            "run got 'get_weather' with the arguments ''",
            marks=pytest.mark.slow,
        ),
        (an_agent(8, done=in_turns), "waited for another of the same turn to end"),
        (an_agent(1000), "the agent would have gone on for ever"),
        (an_agent(8, at_the_end=""), "the agent returned the text '', as if that were the answer"),
        (an_agent(8, turn_cut_or_not), "was cut after 3 tokens, and the agent returned the text"),
        (an_agent(2), "No answer after 2 turns"),
        pytest.param(
            an_agent(2, at_the_end="?"),
            "In turn 2 the model called again, and got no next turn",
            marks=pytest.mark.slow,
        ),
        (an_agent(8, done=backwards), "another call's output"),
        (an_agent(8, done=the_first_alone), "did not have response messages"),
        (an_agent(8, forgets_half_of_the_calls), "was lost"),
        (asks_nothing, "asked the model nothing"),
        (never_awaits, "'coroutine' object has no attribute 'choices'"),
        (plain, "plain function"),
    ],
)
def test_an_agent_is_turned_down(answer: object, because: str) -> None:
    assert because in turned_down("11-1", answer)


@pytest.mark.parametrize(
    "answer",
    [an_agent(8), an_agent(10, done=in_a_group), an_agent(3, turn_in_one_piece)],
)
def test_an_agent_is_accepted(answer: object) -> None:
    assert verdict("11-1", answer).passed


def test_the_lessons_collected_bears_a_first_piece_without_arguments() -> None:
    (joined,) = [cell for cell in notebooks.read(LESSON).cells if cell.id == "pieces-joined"]
    names: dict[str, Any] = {"AsyncStream": AsyncStream}
    exec(joined.source.partition("\n\n\nasync with")[0], names)

    async def stream() -> AsyncIterator[ChatCompletionChunk]:
        for piece in (
            {"id": "call_1", "function": {"name": "get_weather"}},
            {"function": {"arguments": '{"city": '}},
            {"function": {"arguments": '"Paris"}'}},
        ):
            delta = {"tool_calls": [{"index": 0, **piece}]}
            yield ChatCompletionChunk.model_validate(
                {
                    "id": "c",
                    "object": "chat.completion.chunk",
                    "created": 0,
                    "model": "any",
                    "choices": [{"index": 0, "delta": delta}],
                }
            )

    _, (call,), ended = asyncio.run(names["collected"](stream()))
    assert (call.id, call.function.arguments) == ("call_1", '{"city": "Paris"}')
    assert ended is None, "a stream that says nothing of its end is no whole answer"


def test_the_lessons_agent_returns_no_answer_that_was_cut() -> None:
    (cell,) = [cell for cell in notebooks.read(LESSON).cells if cell.id == "agent"]

    async def main() -> None:
        async with async_client() as client:

            def cut(**options: Any) -> Awaitable[Any]:
                return client.responses.create(**options, max_output_tokens=16)

            responses = SimpleNamespace(responses=SimpleNamespace(create=cut))
            names: dict[str, Any] = {"asyncio": asyncio, "model": model, "client": responses}
            names["tool"] = {"type": "function", "name": "f", "parameters": None, "strict": False}
            exec(cell.source.partition("\n\n\nfor")[0], names)
            with pytest.raises(RuntimeError, match="The answer is incomplete"):
                await names["agent"]("Why is the sky blue?")

    asyncio.run(main())


# --- 11-2: a second try only where it helps ----------------------------------------------------


class Ticket(BaseModel):
    customer: str
    urgent: bool
    summary: str


Parse = Callable[..., Awaitable[Any]]


async def asked(parse: Parse, letter: str, room: int | None) -> Any:
    reply = await parse(
        model=model(),
        messages=[
            {"role": "system", "content": "Make a ticket of the letter."},
            {"role": "user", "content": letter},
        ],
        response_format=Ticket,
        **({} if room is None else {"max_completion_tokens": room}),
    )
    return reply.choices[0].message


def desk(
    rooms: tuple[int | None, ...] = (120, 600),
    again: type[Exception] | tuple[type[Exception], ...] = LengthFinishReasonError,
    refused: Callable[[Any], Any] = lambda message: message.refusal,
    one_by_one: bool = False,
    filtered: Callable[[Exception], Any] = str,
) -> Callable[[Parse, list[str]], Awaitable[list[Any]]]:
    async def tickets(parse: Parse, letters: list[str]) -> list[Any]:
        async def ticket(letter: str) -> Any:
            for room in rooms:
                try:
                    message = await asked(parse, letter, room)
                except again:
                    continue
                except ContentFilterFinishReasonError as error:
                    return filtered(error)
                return message.parsed or refused(message)
            return "cut short"

        if one_by_one:
            return [await ticket(letter) for letter in letters]
        return await asyncio.gather(*map(ticket, letters))

    return tickets


async def whatever_fails_is_asked_again(parse: Parse, letters: list[str]) -> list[Any]:
    async def ticket(letter: str) -> Any:
        for _ in range(3):
            try:
                return (await asked(parse, letter, 120)).parsed.model_copy()
            except (OpenAIError, AttributeError):
                continue
        return None

    return await asyncio.gather(*map(ticket, letters))


async def refusals_again(parse: Parse, letters: list[str]) -> list[Any]:
    once = await desk()(parse, letters)
    return [
        await desk()(parse, [letter]) if isinstance(one, str) and "sorry" in one else one
        for letter, one in zip(letters, once, strict=True)
    ]


async def in_another_order(parse: Parse, letters: list[str]) -> list[Any]:
    first, *rest, last = await desk()(parse, letters)
    return [last, *rest, first]


async def drops_what_has_no_ticket(parse: Parse, letters: list[str]) -> list[Any]:
    return [one for one in await desk()(parse, letters) if isinstance(one, Ticket)]


@pytest.mark.parametrize(
    ("answer", "because"),
    [
        (whatever_fails_is_asked_again, "Letter 2 was refused, and a second try is refused as"),
        pytest.param(refusals_again, "it was paid for 2 times", marks=pytest.mark.slow),
        (desk(again=(LengthFinishReasonError, ContentFilterFinishReasonError)), "content filter"),
        pytest.param(desk(again=()), "raised LengthFinishReasonError", marks=pytest.mark.slow),
        (desk((120,)), "Letter 3 was cut at 120 tokens. That is the one end"),
        (desk((120, 120)), "cut at the same place, and paid for twice"),
        pytest.param(desk((120, 600, 1200)), "Letter 5 was tried 3 times", marks=pytest.mark.slow),
        (desk((600, 1200)), "Letter 1 was allowed 600 tokens at the first try"),
        pytest.param(
            desk((None,)), "Letter 1 was allowed any number of tokens", marks=pytest.mark.slow
        ),
        (desk(refused=lambda message: None), "Letter 2 was refused, and nobody is told"),
        pytest.param(
            desk(refused=lambda message: "no"),
            "in words that are not in its place",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            desk(filtered=lambda error: None),
            "Letter 4 was filtered, and nobody is told",
            marks=pytest.mark.slow,
        ),
        (desk(one_by_one=True), "Each letter waited for the one before"),
        (in_another_order, "In place 1 stands another letter's ticket"),
        (drops_what_has_no_ticket, "6 letters came in, 3 results came out"),
    ],
)
def test_a_desk_is_turned_down(answer: object, because: str) -> None:
    assert because in turned_down("11-2", answer)


async def in_two_rounds(parse: Parse, letters: list[str]) -> list[Any]:
    first = await asyncio.gather(
        *(asked(parse, letter, 100) for letter in letters), return_exceptions=True
    )
    results: list[Any] = []
    for letter, one in zip(letters, first, strict=True):
        if isinstance(one, LengthFinishReasonError):
            (one,) = await asyncio.gather(asked(parse, letter, 800), return_exceptions=True)
        if isinstance(one, BaseException):
            results.append(f"no ticket: {one}")
        else:
            results.append(one.parsed or f"refused: {one.refusal}")
    return results


async def three_at_a_time(parse: Parse, letters: list[str]) -> tuple[Any, ...]:
    places = asyncio.Semaphore(3)

    async def one(letter: str) -> Any:
        async with places:
            return (await desk((120, 700))(parse, [letter]))[0]

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(letter)) for letter in letters]
    return tuple(task.result() for task in tasks)


@pytest.mark.parametrize("answer", [desk(), in_two_rounds, three_at_a_time])
def test_a_desk_is_accepted(answer: object) -> None:
    assert verdict("11-2", answer).passed
