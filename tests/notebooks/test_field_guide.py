"""The field guide's table of what no lesson runs: each message comes of the code beside it."""

import asyncio
import gc
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from helpers import async_client
from tools import notebooks

GUIDE = (notebooks.ROOT / "docs" / "field-guide.md").read_text("utf-8")
SAID = re.findall(
    r"^\| `([^`]+)` \|", GUIDE.split("\n## Met at work")[1].split("\n## ")[0], re.MULTILINE
)


async def f(x: int) -> int:
    return x


async def no_star() -> Any:
    calls: Any = [f(1)]
    try:
        await asyncio.gather(calls)
    finally:
        calls[0].close()


async def plain_calls() -> Any:
    calls: Any = [1, 2]
    await asyncio.gather(*calls)


async def a_closed_client() -> Any:
    async with async_client() as client:
        pass
    await client.models.list()


async def fails() -> None:
    raise LookupError("no")


async def a_group() -> Any:
    async with asyncio.TaskGroup() as group:
        group.create_task(fails())


async def nobody_awaits() -> Any:
    said: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, about: said.append(about["message"]))
    asyncio.create_task(fails())  # noqa: RUF006
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gc.collect()
    raise RuntimeError(*said)


WAYS: list[Callable[[], Awaitable[Any]]] = [
    no_star, plain_calls, a_closed_client, a_group, nobody_awaits
]  # fmt: skip


@pytest.mark.parametrize(("said", "way"), list(zip(SAID, WAYS, strict=True)))
def test_a_message_comes_of_the_code_beside_it(said: str, way: Callable[[], Any]) -> None:
    with pytest.raises(Exception, match=re.escape(said)):
        asyncio.run(way())
