"""Ten thousand prompts on 1, 2 and 4 workers, beside one process; and growth to 100,000.

Each row is a run of `python -m helpers.many` in fresh processes, against one mock server whose
answers take a quarter of a second, so that what is in flight decides how fast a run can be. Told
are: prompts a second without the start; seconds until the first answer; the processor's time that
all processes but the server took for a prompt; the largest process's peak memory.
`python -m bench.engine [--prompts N] [--growth N,N,…]`
"""

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from helpers.pytest_plugin import MockOpenAI, running

BOUND = 64
"""Calls in flight in each process."""

FIRST = 0.25
"""Seconds of an answer: with 64 in flight one process can have 256 a second."""

LOOK = 0.1
"""Seconds between two looks at the processes' memory and time."""


@dataclass(slots=True)
class Watch:
    """Processes' time and memory while something runs."""

    processes: list[psutil.Process]
    peak: int = 0
    seconds: float = 0.0

    def run(self, ended: threading.Event) -> None:
        """Look until the event; what a process took before is not counted."""
        before: dict[int, float] = {}
        last: dict[int, float] = {}
        while not ended.wait(LOOK):
            for process in list(self.processes):
                with contextlib.suppress(psutil.Error):
                    for each in (process, *process.children(recursive=True)):
                        times = each.cpu_times()
                        last[each.pid] = times.user + times.system
                        before.setdefault(each.pid, last[each.pid])
                        self.peak = max(self.peak, each.memory_info().rss)
        self.seconds = sum(last[pid] - before[pid] for pid in last)


@contextlib.contextmanager
def cluster(workers: int) -> Iterator[tuple[str, list[psutil.Process]]]:
    """Run a scheduler and workers on loopback; give its address and all the processes."""
    started: list[subprocess.Popen[str]] = []

    def start(what: str, *options: str) -> str:
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", what, *options, "--host", "127.0.0.1"],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"Scheduler at: +(tcp\S+)|Registered to: +(tcp\S+)", line):
                threading.Thread(target=list, args=(process.stderr,), daemon=True).start()
                return found[1] or found[2]
        raise RuntimeError(f"dask {what} did not start")

    private = ("--dashboard-address", "127.0.0.1:0")
    try:
        address = start("scheduler", "--port", "0", *private)
        for _ in range(workers):
            start("worker", address, "--nthreads", "1", *private)
        yield address, [psutil.Process(process.pid) for process in started]
    finally:
        for process in started:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def measured(
    mock: MockOpenAI, file: Path, prompts: int, bound: int, workers: int, first: float
) -> str:
    """Run the tool once and return a row of the table."""
    mock.reset()
    with (
        tempfile.TemporaryDirectory() as folder,
        cluster(workers) if workers else contextlib.nullcontext(("", [])) as (address, others),
    ):
        command = [sys.executable, "-m", "helpers.many", str(file), "--to", f"{folder}/a"]
        command += ["--bound", str(bound), "--header", f"x-mock-pace: dial=1,first={first},gap=0"]
        command += ["--cluster", address] if workers else []
        settings = {"OPENAI_BASE_URL": mock.base_url, "OPENAI_API_KEY": "k", "OPENAI_MODEL": "any"}
        began = time.monotonic()
        process = subprocess.Popen(
            command,
            env={**os.environ, **settings},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        watch = Watch([psutil.Process(process.pid), *others])
        ended = threading.Event()
        looking = threading.Thread(target=watch.run, args=(ended,))
        looking.start()
        said, _ = process.communicate()
        ended.set()
        looking.join()
        if process.returncode:
            raise RuntimeError(said)
    seen = [one for one in mock.requests() if one.path.endswith("/completions")]
    arrived, end = min(one.arrived for one in seen), max(one.ended or 0 for one in seen)
    # The journal holds the last 10,000: of more, the first arrival is the run's own.
    start = arrived if len(seen) == prompts else began + 1
    return (
        f"{prompts / (end - start):8.0f} /s {end - start:8.1f} s {start - began:6.1f} s "
        f"{watch.seconds / prompts * 1e3:8.2f} ms {watch.peak / 2**20:8.0f} MB"
    )


def write(folder: Path, prompts: int) -> Path:
    """Write a file of so many prompts."""
    file = folder / f"{prompts}.jsonl"
    with file.open("w") as lines:
        for number in range(prompts):
            line = {"prompt": f"Say hello to reader {number}.", "max_tokens": 5}
            lines.write(json.dumps(line) + "\n")
    return file


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.engine", description=__doc__)
    parser.add_argument("--prompts", type=int, default=10_000)
    parser.add_argument("--growth", default="1000,10000,100000")
    options = parser.parse_args([] if arguments is None else arguments)
    print(f"load at the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    head = f"{'':34}  throughput    asking  start   cpu/prompt   memory"
    with tempfile.TemporaryDirectory() as name, running(["--pace", "1"]) as mock:
        file = write(Path(name), options.prompts)
        print(f"{options.prompts:,} prompts of {FIRST} s\n{head}")
        ways = [("one process", BOUND, 0), ("one process", 2 * BOUND, 0)]
        ways += [("one process", 4 * BOUND, 0)]
        ways += [(f"{count} worker{'s' * (count > 1)}", BOUND, count) for count in (1, 2, 4)]
        for what, bound, workers in ways:
            told = measured(mock, file, options.prompts, bound, workers, FIRST)
            print(f"{what:<12}{bound * max(1, workers):>4} in flight{'':10}{told}", flush=True)
        print(f"\ngrowth, answers without delay\n{head}")
        for count in map(int, options.growth.split(",")):
            file = write(Path(name), count)
            for what, workers in (("one process", 0), ("2 workers", 2)):
                told = measured(mock, file, count, BOUND, workers, 0)
                print(f"{count:>7,} prompts, {what:<14} {told}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
