"""The field guide's rows on an engine's workers: each is run, on two processes."""

import asyncio
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from distributed import Client, LocalCluster, WorkerPlugin, get_worker
from openai import AsyncOpenAI

from helpers.pytest_plugin import MockOpenAI
from tests.guide import lines, rows

ROWS = [cells for section, cells in rows.tables("dask says") if section == "On an engine's workers"]
SAYS, WORKS = "a line that says it", "a line that works"


class Desk(WorkerPlugin):
    name = "desk"

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url

    async def setup(self, worker: Any) -> None:
        worker.openai = AsyncOpenAI(base_url=self.base_url, api_key="k")

    async def teardown(self, worker: Any) -> None:
        await worker.openai.close()


class Taken(WorkerPlugin):
    name = "taken"

    async def setup(self, worker: Any) -> None:
        worker.client = "mine"


class Free(WorkerPlugin):
    name = "free"

    async def setup(self, worker: Any) -> None:
        worker.mine = "mine"


async def ask_with(client: AsyncOpenAI, question: str) -> str:
    asked: Any = [{"role": "user", "content": question}]
    reply = await client.chat.completions.create(model="any", messages=asked)
    return reply.choices[0].message.content or ""


async def ask(question: str) -> str:
    return await ask_with(get_worker().openai, question)


class Engine:
    """One loop with a cluster on it, in which lines run as in a notebook's cells."""

    def __init__(self, base_url: str) -> None:
        self.runner = asyncio.Runner()
        self.runner.run(self._open(base_url))

    async def _open(self, base_url: str) -> None:
        self.cluster = await LocalCluster(
            n_workers=2,
            threads_per_worker=2,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            asynchronous=True,
            silence_logs=logging.CRITICAL + 1,
        )
        self.client = await Client(self.cluster, asynchronous=True)
        await self.client.register_plugin(Desk(base_url))
        self.names = {
            **{each.__name__: each for each in (ask, ask_with, get_worker, Taken, Free)},
            "engine": self.client,
            "client": AsyncOpenAI(base_url=base_url, api_key="k"),
        }

    def run(self, line: str) -> str:
        """Run a line; return the last line of the error that it raises, or nothing."""
        return self.runner.run(self._run(line))

    async def _run(self, line: str) -> str:
        try:
            await lines.ran(line, dict(self.names))
        except Exception as error:
            return f"{type(error).__name__}: {error}".splitlines()[0]
        return ""

    def close(self) -> None:
        self.runner.run(self._close())
        self.runner.close()

    async def _close(self) -> None:
        await self.names["client"].close()
        await self.client.close()
        await self.cluster.close()


@pytest.fixture(scope="module")
def engine(mock_openai_server: MockOpenAI) -> Iterator[Engine]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the broken lines leave un-awaited
        made = Engine(mock_openai_server.base_url)
        yield made
        made.close()


def test_the_guide_has_rows_on_engines() -> None:
    assert len(ROWS) == 6


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[SAYS])
def test_a_line_on_the_workers_says_its_text_and_the_one_beside_it_works(
    row: dict[str, str], engine: Engine, mock_openai: MockOpenAI
) -> None:
    said = engine.run(row[SAYS].strip("`"))
    assert rows.is_said(row["dask says"].strip("`"), said), said
    assert str(len(mock_openai.requests())) in row["requests"].split(" or ")
    code = rows.LINES.search(row[WORKS])
    assert code is not None
    assert engine.run(code[0].strip("`")) == ""
