"""The mock server under load, beside a bare ASGI application on the same uvicorn, and a peer.

Server and client are pinned to a core each, where the platform can. Each setting is measured in
turns, several times, so that what else the machine does hits all alike; the median is told.
"""

import asyncio
import contextlib
import json
import os
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import load

ROOT = Path(__file__).parents[1]
TOKENS = 50
GAP = 0.02
BURSTS = 5
"""Times that a measurement without delay is done in a row: once lasts a fraction of a second."""

ROUNDS = 5
"""Turns of each measurement. Five are enough for a median that a single hiccup does not move."""

BODY = {"model": "mock-chat", "messages": [{"role": "user", "content": "Tell a story"}]}
PEER = "llmock"
"""The command of the npm package @copilotkit/aimock, measured where it is on the PATH:
`npm install --prefix /tmp/peer @copilotkit/aimock && PATH=$PATH:/tmp/peer/node_modules/.bin`."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A server to measure."""

    name: str
    command: tuple[str, ...]
    announces: bool = True
    """Whether it says where it listens. One that does not gets a port, and its pace, as options."""

    def request(self, gap: float) -> bytes:
        """Return the request for a stream of `TOKENS` tokens."""
        body = json.dumps({**BODY, "stream": True}).encode()
        if self.name == "bare ASGI":
            return load.post(f"/v1/chat/completions?tokens={TOKENS}&gap={gap}", body, {})
        pace = f"dial={1 if gap else 0},first={gap},gap={gap},tokens={TOKENS}"
        return load.post("/v1/chat/completions", body, {"x-mock-pace": pace})


OURS = Subject(
    "mock server",
    (sys.executable, "-m", "helpers.mock_server", "--port", "0", "--exit-with-parent"),
)
BARE = Subject("bare ASGI", (sys.executable, "-m", "bench.bare"))


@dataclass(frozen=True, slots=True)
class Measured:
    """One turn of one measurement."""

    streams_per_second: float
    server_us_per_token: float
    memory_mb: float
    gap_error_p50_ms: float
    gap_error_p99_ms: float
    complete: int


ALL_CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
"""The cores of this machine that we may use; none where the platform cannot pin a process."""


def pinned(core: int) -> None:
    """Keep this process on one core, where the platform can and there are two."""
    if len(ALL_CORES) > 1:
        os.sched_setaffinity(0, {ALL_CORES[core]})


@contextlib.contextmanager
def running(subject: Subject, gap: float) -> Iterator[tuple[int, int, float]]:
    """Give a server's process id, its port, and the seconds until it listened."""
    command = list(subject.command)
    port = 0
    if not subject.announces:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command += ["-p", str(port), "-l", f"{gap * 1000:g}"]
    begun = time.monotonic()
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            if ALL_CORES:
                os.sched_setaffinity(process.pid, {ALL_CORES[0]})
            if subject.announces:
                assert process.stdout is not None
                found = re.search(r":(\d+)/v1", process.stdout.readline())
                assert found, f"{subject.name} did not start"
                port = int(found.group(1))
            while not _listens(port):
                time.sleep(0.005)
            yield process.pid, port, time.monotonic() - begun
        finally:
            process.kill()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def cpu_seconds(process: int) -> float:
    """Return the processor time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(process: int) -> float:
    """Return the memory that a process holds now."""
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found.group(1)) / 1024 if found else 0.0


def measure(subject: Subject, process: int, port: int, count: int, gap: float) -> Measured:
    """Open so many streams at once and return what became of them."""
    mark = b'"delta":{"content":"'
    bursts = 1 if gap else BURSTS
    cpu = cpu_seconds(process)
    begun = time.monotonic()
    found: list[load.Stream] = []
    for _ in range(bursts):
        found += asyncio.run(load.streams(port, subject.request(gap), count, mark))
    passed = time.monotonic() - begun
    spent = cpu_seconds(process) - cpu
    tokens = sum(len(stream.tokens) for stream in found)
    errors = sorted(abs(step - gap) * 1000 for stream in found for step in stream.gaps())
    errors = errors or [0.0]
    return Measured(
        streams_per_second=len(found) / passed,
        server_us_per_token=spent / tokens * 1e6,
        memory_mb=memory_mb(process),
        gap_error_p50_ms=errors[len(errors) // 2],
        gap_error_p99_ms=errors[int(len(errors) * 0.99)],
        complete=sum(stream.complete and len(stream.tokens) >= TOKENS for stream in found),
    )


def median(turns: list[Measured], name: str) -> float:
    """Return the median of one number over the turns."""
    return float(statistics.median(getattr(turn, name) for turn in turns))


def main() -> None:
    """Measure and print a table."""
    pinned(1)
    with contextlib.suppress(ValueError, OSError):
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    subjects = [OURS, BARE, *peers()]
    settings = [(200, 0.0), (200, GAP), (1000, GAP)]
    ready: dict[str, list[float]] = {subject.name: [] for subject in subjects}
    idle: dict[str, float] = {}
    turns: dict[tuple[str, int, float], list[Measured]] = {}
    for turn in range(ROUNDS):
        for subject in subjects:
            for pace in (0.0, GAP):
                with running(subject, pace) as (process, port, seconds):
                    ready[subject.name].append(seconds)
                    idle[subject.name] = memory_mb(process)
                    for count, gap in settings:
                        if gap == pace:
                            turn_of = turns.setdefault((subject.name, count, gap), [])
                            turn_of.append(measure(subject, process, port, count, gap))
        print(f"round {turn + 1} of {ROUNDS}", file=sys.stderr)
    for subject in subjects:
        print(
            f"{subject.name}: ready in {statistics.median(ready[subject.name]):.2f} s, "
            f"{idle[subject.name]:.0f} MB idle"
        )
    print("\n| streams | server | streams/s | µs/token | MB | gap error p50 | p99 |")
    print("|---|---|---|---|---|---|---|")
    for count, gap in settings:
        what = f"{count} x {TOKENS}, " + (f"{gap * 1000:g} ms" if gap else "no delay")
        for subject in subjects:
            of = turns[(subject.name, count, gap)]
            errors = "- | -"
            if gap:
                middle, far = median(of, "gap_error_p50_ms"), median(of, "gap_error_p99_ms")
                errors = f"{middle:.2f} ms | {far:.1f} ms"
            print(
                f"| {what} | {subject.name} | {median(of, 'streams_per_second'):.0f} "
                f"| {median(of, 'server_us_per_token'):.1f} | {median(of, 'memory_mb'):.0f} "
                f"| {errors} |"
            )
            wanted = count * (1 if gap else BURSTS)
            short = [turn.complete for turn in of if turn.complete != wanted]
            if short:
                print(f"  incomplete: {short} of {wanted}", file=sys.stderr)


def peers() -> list[Subject]:
    """Return a peer from npm, where one is installed."""
    found = shutil.which(PEER)
    if found is None:
        return []
    story = "five_" * TOKENS  # in chunks of five characters, a token each
    fixture = {"match": {"userMessage": "story"}, "response": {"content": story}}
    file = Path(tempfile.mkdtemp()) / "story.json"
    file.write_text(json.dumps({"fixtures": [fixture]}))
    options = ("-f", str(file), "-c", "5", "--log-level", "silent")
    return [Subject("aimock (Node)", (found, *options), announces=False)]


if __name__ == "__main__":
    main()
