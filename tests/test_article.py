"""Each claim of the article that the course grew from, run: the verdicts of its page in `docs`."""

import asyncio
import re
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from itertools import pairwise
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI, OpenAIError

from helpers.heartbeat import Heartbeat
from helpers.pytest_plugin import MockOpenAI
from tools import notebooks

PAGE = (notebooks.ROOT / "docs" / "the-article.md").read_text("utf-8")
ROW = re.compile(
    r"^\| (\d+) \| .+? \| (true|half|wrong) \| .+? \| ((?:\[\d\d\]\(\S+?\)(?:, )?)+) \|$", re.M
)
ROWS = {int(number): (verdict, lessons) for number, verdict, lessons in ROW.findall(PAGE)}

Proof = Callable[[MockOpenAI], Awaitable[None]]
PROOFS: dict[int, tuple[str, Proof]] = {}

MESSAGES: Any = [{"role": "user", "content": "Why is the sky blue?"}]

UNHURRIED = {"dial": 1.0, "first": 0.1, "gap": 0.001}
"""Seconds: the first token after a tenth, so that who waits for whom can be seen."""


def proves(number: int, verdict: str) -> Callable[[Proof], Proof]:
    """Make the decorated function the proof of a row's verdict."""

    def wrap(proof: Proof) -> Proof:
        PROOFS[number] = verdict, proof
        return proof

    return wrap


def test_the_page_names_the_article_by_its_title() -> None:
    assert "【AsyncOpenAI vs OpenAI】在异步函数中调用OpenAI API进行流式输出" in PAGE


def test_every_row_has_its_verdict_run_and_leads_to_a_lesson_that_is_there() -> None:
    assert {number: verdict for number, (verdict, _) in ROWS.items()} == {
        number: verdict for number, (verdict, _) in PROOFS.items()
    }
    assert len(ROWS) == len(re.findall(r"^\| \d+ \|", PAGE, re.M))
    for _, lessons in ROWS.values():
        for number, path in re.findall(r"\[(\d\d)\]\(\.\./notebooks/(\S+?)\)", lessons):
            assert path.startswith(number)
            assert (notebooks.FOLDER / path).exists()


@pytest.mark.parametrize("number", range(1, 15))
def test_a_verdict_is_what_happens(number: int, mock_openai_env: MockOpenAI) -> None:
    mock_openai_env.pace(**UNHURRIED)
    _, proof = PROOFS[number]
    asyncio.run(proof(mock_openai_env))  # type: ignore[arg-type]


# --- its first listing: a generator over an async stream ----------------------------------------


async def api_predict(client: AsyncOpenAI, **options: Any) -> AsyncIterator[str]:
    response = await client.chat.completions.create(
        model="any", messages=MESSAGES, stream=True, **options
    )
    async for chunk in response:
        if content := chunk.choices[0].delta.content:
            yield content


async def api_predict_closed(client: AsyncOpenAI) -> AsyncIterator[str]:
    create = client.chat.completions.create
    async with await create(model="any", messages=MESSAGES, stream=True) as stream:
        async for chunk in stream:
            if chunk.choices and (content := chunk.choices[0].delta.content):
                yield content


@proves(1, "true")
async def _it_streams(server: MockOpenAI) -> None:
    async with AsyncOpenAI() as client:
        pieces = [piece async for piece in api_predict(client)]
    (request,) = server.requests()
    assert len(pieces) == len(request.tokens) > 10


@proves(2, "wrong")
async def _it_is_no_finished_code(server: MockOpenAI) -> None:
    server.pace(gap=0.02)
    outcomes = []
    for generator in (api_predict, api_predict_closed):
        async with AsyncOpenAI() as client:
            async with aclosing(generator(client)) as pieces:  # type: ignore[type-var]
                await anext(pieces)
            outcomes.append(server.requests(settle=5)[-1].outcome)
    assert outcomes == ["finished", "abandoned"]

    async with AsyncOpenAI() as client:
        with pytest.raises(IndexError):
            async for _ in api_predict(client, stream_options={"include_usage": True}):
                pass


# --- its second and third: the blocking client --------------------------------------------------


def second_listing(client: OpenAI) -> Iterator[str]:
    response: Any = client.chat.completions.create(model="any", messages=MESSAGES)
    for chunk in response:
        if content := chunk.choices[0].delta.content:
            yield content


@proves(3, "wrong")
async def _the_blocking_client_streams_too(server: MockOpenAI) -> None:
    with OpenAI() as client:
        stream = client.chat.completions.create(model="any", messages=MESSAGES, stream=True)
        pieces = [chunk.choices[0].delta.content for chunk in stream]
    assert len(pieces) > 10


@proves(4, "half")
async def _a_blocking_call_holds_its_thread_and_with_it_the_loop(server: MockOpenAI) -> None:
    server.pace(first=0.3)
    with OpenAI() as client, Heartbeat() as heartbeat:
        create = client.chat.completions.create
        marks = [time.monotonic()]
        create(model="any", messages=MESSAGES)
        marks.append(time.monotonic())
        await asyncio.to_thread(create, model="any", messages=MESSAGES)
        marks.append(time.monotonic())
    held, free = (heartbeat.seconds_still(*stretch) for stretch in pairwise(marks))
    assert held > 0.2 > free


@proves(5, "wrong")
async def _it_sends_nothing_until_next_and_then_fails_for_the_full_price(
    server: MockOpenAI,
) -> None:
    with OpenAI() as client:
        pieces = second_listing(client)
        assert server.requests() == []
        with pytest.raises(AttributeError, match="'tuple' object has no attribute 'choices'"):
            next(pieces)
    (request,) = server.requests()
    assert request.outcome == "finished"
    assert request.tokens_sent > 10


@proves(6, "wrong")
async def _a_generator_is_no_text(server: MockOpenAI) -> None:
    with OpenAI() as client:
        answer = client.chat.completions.create(model="any", messages=MESSAGES)
        assert isinstance(answer.choices[0].message.content, str)
        assert not isinstance(second_listing(client), str)


@proves(7, "wrong")
async def _the_third_listing_lacks_its_address_and_its_conversation(server: MockOpenAI) -> None:
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("OPENAI_BASE_URL")
        with OpenAI() as client:
            assert client.base_url.host == "api.openai.com"
        environment.delenv("OPENAI_API_KEY")
        with pytest.raises(OpenAIError, match="Missing credentials"):
            OpenAI()

    def listing() -> Any:
        client = OpenAI()
        return client.chat.completions.create(
            model="any",
            messages=conversation,  # type: ignore[name-defined]  # noqa: F821
        )

    with pytest.raises(NameError, match="conversation"):
        listing()
    assert server.requests() == []


# --- what it says of speed, concurrency and loops -----------------------------------------------


@proves(8, "half")
async def _waits_overlap_and_no_call_is_shorter(server: MockOpenAI) -> None:
    def ask(client: OpenAI) -> object:
        return client.chat.completions.create(model="any", messages=MESSAGES)

    async with AsyncOpenAI() as client:
        create = client.chat.completions.create
        await create(model="any", messages=MESSAGES)
        await asyncio.gather(*(create(model="any", messages=MESSAGES) for _ in range(4)))
        assert server.peak_in_flight() == 4
        server.reset()
        server.pace(**UNHURRIED)
        for _ in range(4):
            await create(model="any", messages=MESSAGES)
        assert server.peak_in_flight() == 1
    server.reset()
    server.pace(**UNHURRIED)
    with OpenAI() as blocking:
        ask(blocking)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(ask, [blocking] * 4))
    assert server.peak_in_flight() == 4
    alone, *_ = server.requests()
    assert alone.ended is not None
    assert alone.ended - alone.arrived > UNHURRIED["first"]  # the server's time, whoever asks


@proves(9, "half")
async def _one_loop_and_no_second(server: MockOpenAI) -> None:
    async with AsyncOpenAI() as client:
        create = client.chat.completions.create
        await asyncio.gather(*(create(model="any", messages=MESSAGES) for _ in range(3)))

        async def elsewhere() -> None:
            await create(model="any", messages=MESSAGES)

        with pytest.raises(RuntimeError, match="is bound to a different event loop"):
            await asyncio.to_thread(asyncio.run, elsewhere())


# --- its supplement -----------------------------------------------------------------------------


@proves(10, "true")
async def _without_await_there_is_a_coroutine_and_no_request(server: MockOpenAI) -> None:
    async with AsyncOpenAI() as client:
        call = client.chat.completions.create(model="any", messages=MESSAGES)
        assert repr(call).startswith("<coroutine object AsyncCompletions.create at 0x")
        assert server.requests() == []
        call.close()


@proves(11, "wrong")
async def _one_shot_output_comes_from_the_async_client(server: MockOpenAI) -> None:
    async with AsyncOpenAI() as client:
        answer = await client.chat.completions.create(model="any", messages=MESSAGES)
    assert answer.choices[0].message.content


@proves(12, "wrong")
async def _awaiting_the_blocking_client_fails_for_the_full_price(server: MockOpenAI) -> None:
    awaited = "can't be used in 'await' expression|'ChatCompletion' object can't be awaited"
    with OpenAI() as client, pytest.raises(TypeError, match=awaited):
        await client.chat.completions.create(model="any", messages=MESSAGES)  # type: ignore[misc]
    (request,) = server.requests()
    assert request.outcome == "finished"


@proves(13, "true")
async def _whoever_calls_it_must_await_too(server: MockOpenAI) -> None:
    async with AsyncOpenAI() as client:

        async def summary() -> str:
            answer = await client.chat.completions.create(model="any", messages=MESSAGES)
            return answer.choices[0].message.content or ""

        async def caller() -> Any:
            return summary()

        found = await caller()
        assert asyncio.iscoroutine(found)
        assert server.requests() == []
        assert isinstance(await found, str)


@proves(14, "half")
async def _each_call_makes_a_client_and_closes_none(server: MockOpenAI) -> None:
    clients: list[AsyncOpenAI] = []

    async def extract_summary(text: str) -> str | None:
        if not isinstance(text, str):
            raise ValueError("The text must be a string.")
        clients.append(AsyncOpenAI())
        answer = await clients[-1].chat.completions.create(model="any", messages=MESSAGES)
        return answer.choices[0].message.content

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="must be a string"):
            await extract_summary(None)  # type: ignore[arg-type]
        await asyncio.gather(*(extract_summary("A text.") for _ in range(3)))
    assert [client.is_closed() for client in clients] == [False] * 3
    for client in clients:
        await client.close()
