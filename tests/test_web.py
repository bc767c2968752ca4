"""A web application is served from a running loop as a guest: it takes nothing over and goes."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.sse import EventSourceResponse

from helpers import serving


def application() -> FastAPI:
    app = FastAPI()

    @app.get("/")
    async def greet() -> str:
        return "hello"

    @app.get("/broken")
    async def broken() -> str:
        raise ValueError("no such page")

    @app.get("/stream", response_class=EventSourceResponse)
    async def count() -> AsyncIterator[int]:
        for number in range(1000):
            yield number
        raise ValueError("never read so far")

    return app


def test_a_visitor_is_answered_in_the_loop_that_serves() -> None:
    async def visit() -> str:
        async with serving(application()) as visitor:
            return (await visitor.get("/")).json()

    assert asyncio.run(visit()) == "hello"


def test_it_listens_on_one_address_of_loopback_and_on_a_port_of_its_own() -> None:
    async def ports() -> list[int | None]:
        async with serving(application()) as one, serving(application()) as other:
            assert one.base_url.host == "127.0.0.1"
            with pytest.raises(OSError, match=r"127\.0\.0\.2"):  # a server on all would answer
                await asyncio.open_connection("127.0.0.2", one.base_url.port)
            return [one.base_url.port, other.base_url.port]

    one, other = asyncio.run(ports())
    assert one != other


def test_it_takes_no_signal_over() -> None:
    async def handlers() -> list[object]:
        before = signal.getsignal(signal.SIGINT)
        async with serving(application()) as visitor:
            await visitor.get("/")
            return [before, signal.getsignal(signal.SIGINT)]

    before, during = asyncio.run(handlers())
    assert before is during


def test_when_the_block_ends_nobody_listens_and_no_task_is_left() -> None:
    async def leftovers() -> set["asyncio.Task[object]"]:
        async with serving(application()) as visitor:
            address = str(visitor.base_url)
            await visitor.get("/")
        async with httpx2.AsyncClient(trust_env=False) as late:
            with pytest.raises(httpx2.ConnectError):
                await late.get(address)
        return asyncio.all_tasks() - {asyncio.current_task()}  # type: ignore[return-value]

    assert asyncio.run(leftovers()) == set()


def test_it_ends_also_when_the_block_is_cancelled() -> None:
    async def cancelled() -> None:
        entered = asyncio.Event()
        places: list[str] = []

        async def serve_on() -> None:
            async with serving(application()) as visitor:
                places.append(str(visitor.base_url))
                entered.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(serve_on())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with httpx2.AsyncClient(trust_env=False) as late:
            with pytest.raises(httpx2.ConnectError):
                await late.get(places[0])

    asyncio.run(cancelled())


def test_what_the_application_raised_is_told_in_a_line_at_the_end() -> None:
    async def told() -> list[str]:
        lines: list[str] = []
        async with serving(application(), lines.append) as visitor:
            assert (await visitor.get("/broken")).status_code == 500
            assert lines == []
        return lines

    assert asyncio.run(told()) == ["The application raised ValueError: no such page"]


def test_a_visitor_who_leaves_is_no_error_of_the_application() -> None:
    async def told() -> list[str]:
        lines: list[str] = []
        async with (
            serving(application(), lines.append) as visitor,
            visitor.stream("GET", "/stream") as reply,
        ):
            await anext(reply.aiter_lines())
        return lines

    assert asyncio.run(told()) == []


def test_an_application_that_does_not_start_says_why_and_leaves_the_loop_running() -> None:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        raise LookupError("no model is set")
        yield

    async def start() -> str:
        with pytest.raises(RuntimeError) as raised:
            async with serving(FastAPI(lifespan=lifespan)):
                pass
        await asyncio.sleep(0)
        return str(raised.value)

    said = "The application did not start. The application raised LookupError: no model is set"
    assert asyncio.run(start()) == said
