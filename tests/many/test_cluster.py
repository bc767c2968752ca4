"""Workers of a real cluster, on loopback: killed, refused, interrupted. Counted by the journal."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from helpers.many import cluster
from tests.many.conftest import ROOT, Many, interrupt

BOUND = 8
WORKERS = 2


class Cluster:
    """A scheduler and its workers, each a process of its own."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self.scheduler = self._start(
            "scheduler", "--port", "0", "--dashboard-address", "127.0.0.1:0"
        )
        self.address = self._say(self.scheduler, r"Scheduler at:\s+(tcp://127\.0\.0\.1:\d+)")
        self.nannies: list[subprocess.Popen[str]] = []

    def add_worker(self, *options: str) -> None:
        """Start a worker under a nanny, and wait until the scheduler has it."""
        private = ("--nthreads", "1", "--dashboard-address", "127.0.0.1:0")
        nanny = self._start("worker", self.address, *private, *options)
        self._say(nanny, r"(Registered to:.*)")
        self.nannies.append(nanny)

    def worker_processes(self) -> list[psutil.Process]:
        """Return the processes that hold the desks: each is its nanny's child."""
        children = [psutil.Process(nanny.pid).children() for nanny in self.nannies]
        return [
            child for each in children for child in each if "spawn_main" in str(child.cmdline())
        ]

    def _start(self, what: str, *options: str) -> "subprocess.Popen[str]":
        process = self._open.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "dask", what, *options, "--host", "127.0.0.1"],
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        )
        self._open.callback(_end, process)
        return process

    def _say(self, process: "subprocess.Popen[str]", pattern: str) -> str:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if found := re.search(pattern, line):
                threading.Thread(target=list, args=(process.stderr,), daemon=True).start()
                return found[1]
        raise AssertionError("".join(said))

    def close(self) -> None:
        self._open.close()


def _end(process: "subprocess.Popen[str]") -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def running(workers: int = WORKERS, *options: str) -> Iterator[Cluster]:
    made = Cluster()
    try:
        for _ in range(workers):
            made.add_worker(*options)
        yield made
    finally:
        made.close()


@pytest.mark.slow
def test_a_cluster_answers_each_line_once_and_listens_on_loopback_alone(many: Many) -> None:
    many.write(60, "{broken")
    many.mock.pace(1.0, first=0.05, gap=0.0)
    with running() as made:
        processes = [psutil.Process(made.scheduler.pid), *made.worker_processes()]
        processes += [psutil.Process(nanny.pid) for nanny in made.nannies]
        listening = [
            each.laddr.ip
            for process in processes
            for each in process.net_connections()
            if each.status == psutil.CONN_LISTEN
        ]
        assert len(processes) == 5
        assert set(listening) == {"127.0.0.1"}
        options = ("--part", "10", "--bound", str(BOUND), "--cluster", made.address)
        assert many.run(*options) == 1
    assert many.is_whole(60)
    assert set(many.paid().values()) == {1}
    assert "is no JSON" in many.errors()[61]
    assert BOUND < max(one.in_flight for one in many.asked()) <= BOUND * WORKERS


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_loses_nothing_and_pays_twice_for_what_was_in_flight_alone(
    many: Many,
) -> None:
    many.write(400)
    many.mock.pace(1.0, first=0.1, gap=0.0)
    with running() as made:
        options = ("--part", "100", "--bound", str(BOUND), "--cluster", made.address)
        with many.process(*options) as process:
            many.wait_for(lambda: many.finished() >= 100)
            victim = made.worker_processes()[0]
            victim.send_signal(signal.SIGKILL)
            said = process.communicate(timeout=120)[0]
    assert process.returncode == 0, said
    assert many.is_whole(400)
    paid = many.paid()
    assert len(paid) == 400
    assert sum(paid.values()) - 400 <= BOUND
    assert len(many.asked()) - 400 <= BOUND


@pytest.mark.slow
def test_a_scheduler_that_goes_ends_the_run_in_words_and_the_next_one_goes_on(many: Many) -> None:
    many.write(400)
    many.mock.pace(1.0, first=0.1, gap=0.0)
    options = ("--part", "100", "--bound", str(BOUND))
    with running() as made, many.process(*options, "--cluster", made.address) as process:
        many.wait_for(lambda: many.finished() >= 60)
        made.scheduler.send_signal(signal.SIGKILL)
        said = process.communicate(timeout=120)[0]
        assert process.returncode == 1, said
        assert f"The scheduler at {made.address} is gone" in said
        assert "run the same command again" in said
    with running() as made:
        assert many.run(*options, "--cluster", made.address) == 0
    assert many.is_whole(400)
    paid = many.paid()
    assert sum(paid.values()) - 400 <= BOUND * WORKERS


@pytest.mark.slow
def test_ctrl_c_reaches_the_workers_and_nothing_is_paid_for_twice(many: Many) -> None:
    many.write(400)
    many.mock.pace(1.0, first=0.1, gap=0.0)
    with running() as made:
        options = ("--part", "100", "--bound", str(BOUND), "--cluster", made.address)
        with many.process(*options) as process:
            many.wait_for(lambda: many.finished() >= 60)
            interrupt(process)
            said = process.communicate(timeout=120)[0]
        assert process.returncode == 130, said
        assert len(many.rows()) == sum(many.paid().values()) < 400
        many.mock.pace(0)
        assert many.run(*options) == 0
    assert many.is_whole(400)
    assert set(many.paid().values()) == {1}


@pytest.mark.slow
def test_workers_that_share_a_limit_are_refused_and_still_get_every_answer(many: Many) -> None:
    many.write(120)
    with running() as made:
        options = ("--part", "20", "--bound", str(BOUND), "--cluster", made.address)
        many.mock.limit(requests=20, period=0.4)
        assert many.run(*options) == 0
        assert {one.status for one in many.asked()} == {200, 429}
        assert many.is_whole(120)
        assert set(many.paid().values()) == {1}


@pytest.mark.slow
def test_a_rate_holds_for_all_workers_together_and_nobody_is_refused(many: Many) -> None:
    many.write(120)
    with running() as made:
        options = ("--part", "20", "--bound", str(BOUND), "--cluster", made.address)
        many.mock.limit(requests=60, period=1.0)  # 3,600 a minute
        assert many.run(*options, "--per-minute", "3000") == 0
    assert {one.status for one in many.asked()} == {200}
    assert many.is_whole(120)


@pytest.mark.slow
def test_a_worker_that_joins_late_takes_part(many: Many) -> None:
    many.write(300)
    many.mock.pace(1.0, first=0.2, gap=0.0)
    with running(workers=1) as made:
        options = ("--part", "20", "--bound", "4", "--cluster", made.address)
        with many.process(*options) as process:
            many.wait_for(lambda: many.finished() >= 8)
            made.add_worker()
            process.communicate(timeout=120)
    assert process.returncode == 0
    assert many.is_whole(300)
    assert max(one.in_flight for one in many.asked()) > 4


POISON = """
import os
from helpers.many import cluster

if not hasattr(cluster, "whole"):  # a preload may be loaded twice
    cluster.whole = cluster.answer_part

async def answer_part(desk, source, folder, part, *rest):
    if part.number == 2:
        os._exit(1)
    if part.number == 4:
        raise ValueError("not mine")
    return await cluster.whole(desk, source, folder, part, *rest)

cluster.answer_part = answer_part
"""
"""Loaded by each worker as it starts: the second part ends whoever begins it, the fourth fails."""


@pytest.mark.slow
def test_a_part_that_kills_each_worker_is_given_up_and_told_and_the_others_go_on(
    many: Many, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    many.write(60)
    preload = tmp_path / "poison.py"
    preload.write_text(POISON)
    with running(WORKERS, "--preload", str(preload)) as made:
        assert many.run("--part", "10", "--cluster", made.address) == 1
    said = capsys.readouterr().out
    assert "Part 2 (lines 11 to 20) broke off: each worker that had it died" in said
    assert "Part 4 (lines 31 to 40) broke off: ValueError: not mine" in said
    others = [*range(1, 11), *range(21, 31), *range(41, 61)]
    assert sorted(row["line"] for row in many.rows()) == others
    assert many.run("--part", "10") == 0
    assert many.is_whole(60)
    assert set(many.paid().values()) == {1}


@pytest.mark.slow
def test_a_worker_that_sees_other_files_is_told_before_anything_is_asked(
    many: Many, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    many.write(3)
    with running(workers=1) as made:
        seal = Path.write_text

        def elsewhere(path: Path, text: str, *rest: str) -> int:
            if path.name.startswith("seen-by-all-"):
                seal(path, text)
                path.rename(tmp_path / "elsewhere")
                path.parent.joinpath(path.name).symlink_to(tmp_path / "nowhere")
                return 0
            return seal(path, text, *rest)

        monkeypatch.setattr(Path, "write_text", elsewhere)
        assert many.run("--cluster", made.address) == 2
        assert "does not see the folder" in capsys.readouterr().err
        monkeypatch.undo()
    assert many.asked() == []


def test_where_no_scheduler_answers_the_run_says_what_to_start(
    many: Many, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    many.write(1)
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        assert many.run("--cluster", address) == 2
    said = capsys.readouterr().err
    assert f"No scheduler answers at {address}" in said
    assert "dask scheduler --host 127.0.0.1" in said


def test_without_the_engine_the_run_says_how_to_get_it(
    many: Many, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    many.write(1)
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    assert many.run("--cluster", "tcp://127.0.0.1:1") == 2
    assert "pip install 'distributed" in capsys.readouterr().err
