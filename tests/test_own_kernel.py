"""Experiments in kernels of their own tell what became of each cell, and leave nothing behind.

What `nest_asyncio` breaks is repeated here, so that lesson 06 is told when it no longer does.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

import pytest

from helpers.own_kernel import KernelRun, run_all, run_each

APPLY = "import asyncio, nest_asyncio\nnest_asyncio.apply()"
NESTED = "print(asyncio.run(asyncio.sleep(0.1, 'nested')))"
AWAITED = "print(await asyncio.sleep(0.1, 'awaited'))"
LATE = "async with asyncio.timeout(0.1):\n    asyncio.run(asyncio.sleep(0.3))"


def states(run: KernelRun) -> list[str]:
    return [cell.state for cell in run.cells]


def test_awaited_cells_all_run_in_order_when_queued_at_once() -> None:
    run = asyncio.run(run_all("import asyncio", AWAITED, "print('second')", "print('third')"))
    assert states(run) == ["ran"] * 4
    assert [cell.printed for cell in run.cells] == ["", "awaited\n", "second\n", "third\n"]
    assert run.afterwards


# Slow, as lesson 06 shows the three at each of its runs.
@pytest.mark.slow
def test_a_nested_run_drops_the_cells_queued_behind_it() -> None:
    run = asyncio.run(run_all(APPLY, NESTED, "print('second')", "print('third')"))
    assert states(run) == ["ran", "ran", "never started", "never started"]
    assert run.cells[1].printed == "nested\n"
    assert run.cells[1].stderr.count("is already entered") == 2  # once for each cell dropped
    assert run.afterwards


@pytest.mark.slow
def test_one_by_one_the_same_cells_all_run() -> None:
    run = asyncio.run(run_each(APPLY, NESTED, "print('second')", "print('third')"))
    assert states(run) == ["ran"] * 4


@pytest.mark.slow
def test_a_timeout_around_a_nested_run_leaves_its_cell_without_an_end() -> None:
    run = asyncio.run(run_each(APPLY, LATE, "print('third')"))
    # From 3.13 on the end of the limit takes its own cancellation back; it is as little heard.
    late = "ran" if sys.version_info >= (3, 13) else "never ended"
    assert states(run) == ["ran", late, "ran"]


def test_a_cell_that_fails_keeps_the_queued_ones_from_running() -> None:
    run = asyncio.run(run_all("print('first')", "1 / 0", "print('third')"))
    assert states(run) == ["ran", "failed", "never started"]
    assert run.cells[1].error == "ZeroDivisionError: division by zero"
    assert run.afterwards


def test_a_kernel_that_dies_gives_no_answer_afterwards() -> None:
    die = "import os, threading, time\nthreading.Timer(0.2, os._exit, [1]).start()\ntime.sleep(60)"
    run = asyncio.run(run_each(die, patience=1.0))
    assert states(run) == ["never ended"]
    assert not run.afterwards


def test_it_prints_a_line_a_cell() -> None:
    run = asyncio.run(run_each("print('a')\nprint('b')", "1 / 0"))
    assert repr(run).splitlines() == [
        "cell 1   ran            a, b",
        "cell 2   failed         ZeroDivisionError: division by zero",
        "sent afterwards: ran",
    ]


@pytest.mark.parametrize("experiment", [run_all, run_each])
def test_no_kernel_outlives_its_experiment(
    experiment: Callable[[str], Awaitable[KernelRun]],
) -> None:
    run = asyncio.run(experiment("import os; print(os.getpid())"))
    with pytest.raises(ProcessLookupError):
        os.kill(int(run.cells[0].printed), 0)


def test_an_experiment_called_off_takes_its_kernel_along() -> None:
    async def call_off() -> int:
        told: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            told.set_result(int(await reader.readline()))
            writer.close()

        async with await asyncio.start_server(listen, "127.0.0.1") as server:
            port = server.sockets[0].getsockname()[1]
            tell = (
                f"socket.create_connection(('127.0.0.1', {port})).sendall(b'%d\\n' % os.getpid())"
            )
            cell = f"import os, socket, time\n{tell}\ntime.sleep(60)"
            experiment = asyncio.create_task(run_all(cell, patience=60))
            process = await told
            experiment.cancel()
            await asyncio.wait([experiment])
            assert experiment.cancelled()
            return process

    with pytest.raises(ProcessLookupError):
        os.kill(asyncio.run(call_off()), 0)
