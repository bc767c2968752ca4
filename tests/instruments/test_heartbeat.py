"""The heartbeat: it tells a loop that was held from one that kept running."""

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from helpers.heartbeat import INTERVAL, Heartbeat
from tests.starving import no_thread_has_a_turn


def hold(seconds: float) -> None:
    """Keep whatever loop runs here from running."""
    time.sleep(seconds)


async def listened(work: Callable[[], Any], **options: Any) -> Heartbeat:
    with Heartbeat(**options) as beat:
        result = work()
        if asyncio.iscoroutine(result):
            await result
    return beat


def test_a_loop_that_is_held_shows_one_freeze_of_that_length() -> None:
    beat = asyncio.run(listened(lambda: hold(0.3)))
    (freeze,) = beat.freezes
    assert 0.3 <= freeze.seconds < 0.3 + 20 * INTERVAL
    assert beat.longest_freeze == freeze.seconds
    assert repr(beat) == "The event loop froze."


def test_a_loop_that_waits_never_freezes() -> None:
    beat = asyncio.run(listened(lambda: asyncio.sleep(0.3), threshold=0.25))
    assert beat.freezes == ()
    assert beat.longest_freeze == 0.0
    assert repr(beat) == "The event loop never froze."


def test_the_longest_of_several_freezes_is_named() -> None:
    async def work() -> None:
        for seconds in (0.12, 0.3, 0.12):
            hold(seconds)
            await asyncio.sleep(3 * INTERVAL)

    beat = asyncio.run(listened(work))
    assert len(beat.freezes) >= 3
    assert 0.3 <= beat.longest_freeze < 0.3 + 20 * INTERVAL
    starts = [freeze.start for freeze in beat.freezes]
    assert starts == sorted(starts)


def test_a_freeze_that_lasts_until_the_end_is_counted() -> None:
    async def main() -> Heartbeat:
        async with Heartbeat() as beat:
            await asyncio.sleep(3 * INTERVAL)
            hold(0.2)
        return beat

    assert asyncio.run(main()).longest_freeze >= 0.2


def test_asked_where_it_names_your_line_and_not_a_library_s() -> None:
    def mine() -> None:
        threading.Event().wait(0.4)

    beat = asyncio.run(listened(mine, where=True))
    where = beat.freezes[0].where
    assert where is not None
    assert where.endswith(" of mine(): threading.Event().wait(0.4)")
    assert repr(beat) == f"The event loop froze, longest at {where}"


def test_a_loop_that_a_call_holds_is_seen_to_stand_still() -> None:
    beat = asyncio.run(listened(lambda: hold(0.4), where=True))
    (freeze,) = beat.freezes
    assert beat.looks_while_still(freeze.start, freeze.end) >= 5


@pytest.mark.skipif(sys.platform == "win32", reason="no usleep")
def test_a_loop_that_had_no_turn_as_the_whole_process_had_none_is_not_seen_to_stand_still() -> None:
    beat = asyncio.run(listened(lambda: no_thread_has_a_turn(0.4), where=True))
    (freeze,) = beat.freezes
    assert freeze.seconds >= 0.4
    assert beat.looks_while_still(freeze.start, freeze.end) <= 2


def test_not_asked_where_it_starts_no_thread() -> None:
    before = threading.active_count()

    async def main() -> int:
        with Heartbeat():
            return threading.active_count()

    assert asyncio.run(main()) == before


def test_it_leaves_no_task_no_timer_and_no_thread_behind() -> None:
    async def main() -> tuple[int, list[Any]]:
        with Heartbeat(where=True):
            await asyncio.sleep(3 * INTERVAL)
        timers = [t for t in asyncio.get_running_loop()._scheduled if not t.cancelled()]  # type: ignore[attr-defined]
        return len(asyncio.all_tasks()), timers

    before = threading.active_count()
    assert asyncio.run(main()) == (1, [])
    assert threading.active_count() == before


def test_seconds_still_looks_at_one_stretch_at_a_time() -> None:
    beat = Heartbeat()
    beat._lags = [(1.0, 2.0), (2.5, 4.0)]
    assert beat.seconds_still(0.0, 10.0) == 1.5
    assert beat.seconds_still(1.5, 2.6) == 0.5
    assert beat.seconds_still(4.5, 5.0) == 0.0


def test_without_a_loop_it_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match="inside an async def"), Heartbeat():
        pass


def test_the_same_heartbeat_cannot_run_twice_at_once() -> None:
    async def main() -> None:
        with Heartbeat() as beat:
            beat.start()

    with pytest.raises(RuntimeError, match="is running"):
        asyncio.run(main())


def test_used_again_it_starts_from_nothing() -> None:
    async def main() -> Heartbeat:
        beat = Heartbeat()
        with beat:
            hold(0.2)
        with beat:
            await asyncio.sleep(INTERVAL)
        return beat

    assert asyncio.run(main()).longest_freeze < 0.2
