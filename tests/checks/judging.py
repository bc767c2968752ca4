"""Judges an answer as a cell of a lesson would, in an event loop of its own."""

import asyncio

from helpers import async_client, check
from helpers.checks import Verdict


def verdict(name: str, answer: object) -> Verdict:
    async def judged() -> Verdict:
        before = asyncio.all_tasks()
        async with async_client():  # the shared client belongs to this loop
            seen = await check(name, answer)
        assert asyncio.all_tasks() == before, "a task was left behind"
        return seen

    return asyncio.run(judged())


def turned_down(name: str, answer: object) -> str:
    """Return all that the check saw in an answer that does not pass."""
    seen = verdict(name, answer)
    assert not seen.passed
    return "\n".join(seen.saw)
