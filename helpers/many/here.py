"""The parts on this machine: one process, one event loop."""

import asyncio
from collections.abc import Iterator, Sequence
from functools import partial

from helpers.many.asking import Desk, answer_part
from helpers.many.interrupt import on_interrupt
from helpers.many.plan import Plan
from helpers.many.progress import Progress
from helpers.many.prompts import Part

AT_ONCE = 2
"""Parts under way: while the last calls of one are out, the next one's keep the places full."""


async def run(plan: Plan, parts: Sequence[Part], progress: Progress) -> str:
    """Answer all parts here; returns why the run ended early, an empty text if it did not."""
    async with Desk(plan.settings) as desk:
        desk.keep_to(plan.per_minute)
        with on_interrupt(lambda: desk.stop("interrupted")):
            left = iter(parts)
            lanes = [_lane(left, desk, plan, progress) for _ in range(AT_ONCE)]
            ends = await asyncio.gather(*lanes, return_exceptions=True)
        for error in filter(None, ends):
            raise error
        return desk.stopped


async def _lane(left: Iterator[Part], desk: Desk, plan: Plan, progress: Progress) -> None:
    for part in left:
        if desk.stopped:
            return
        tell = partial(progress.tell, part.number)
        try:
            report = await answer_part(desk, plan.source, plan.folder, part, plan.options, tell)
        except Exception as error:
            desk.stop(str(error))
            raise
        progress.ended(report)
