"""Ten thousand prompts: a task for each, or a few workers behind a bounded queue.

Each figure comes from a fresh process, against one mock server in a process of its own that
answers without delay: the peak memory of the client above what it has before the first prompt, and
the wall time. `python -m bench.many [N …]`
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from openai import AsyncOpenAI

WORKERS = 8

PROMPT = "Say hello to reader {}. " + "Mind the gap. " * 300
"""Some 4,000 characters: a page of text."""


def prompts(number: int) -> Iterator[str]:
    """Make prompts, each when it is asked for."""
    return (PROMPT.format(n) for n in range(number))


async def ask(client: AsyncOpenAI, prompt: str) -> None:
    messages: Any = [{"role": "user", "content": prompt}]
    await client.chat.completions.create(model="any", messages=messages, max_tokens=1)


async def tasks(client: AsyncOpenAI, number: int) -> None:
    """Start a task for each prompt; a semaphore bounds what is in flight."""
    places = asyncio.Semaphore(WORKERS)

    async def one(prompt: str) -> None:
        async with places:
            await ask(client, prompt)

    await asyncio.gather(*(one(prompt) for prompt in prompts(number)))


async def workers(client: AsyncOpenAI, number: int) -> None:
    """Let workers take prompts from a bounded queue, as lesson 05 does."""
    queue: asyncio.Queue[str | None] = asyncio.Queue(maxsize=WORKERS)

    async def worker() -> None:
        while (prompt := await queue.get()) is not None:
            await ask(client, prompt)

    async with asyncio.TaskGroup() as group:
        for _ in range(WORKERS):
            group.create_task(worker())
        for prompt in prompts(number):
            await queue.put(prompt)
        for _ in range(WORKERS):
            await queue.put(None)


WAYS: dict[str, Callable[[AsyncOpenAI, int], Any]] = {"a task each": tasks, "workers": workers}


def peak() -> float:
    """Return the most memory that this process has had, in MB."""
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1024 * 1024 if sys.platform == "darwin" else 1024)


async def measure(way: str, base_url: str, number: int) -> None:
    """Run one way in this process and print its figures as JSON."""
    async with AsyncOpenAI(base_url=base_url, api_key="EMPTY") as client:
        await WAYS[way](client, 10 * WORKERS)  # what every way needs is not the question here
        before, start = peak(), time.perf_counter()
        await WAYS[way](client, number)
        wall = time.perf_counter() - start
    print(json.dumps({"wall": wall, "memory": peak() - before}))


def main() -> None:
    numbers = [int(number) for number in sys.argv[1:]] or [1_000, 10_000]
    server = [sys.executable, "-m", "helpers.mock_server", "--port", "0", "--pace", "0"]
    with subprocess.Popen(
        [*server, "--exit-with-parent"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        base_url = process.stdout.readline().split()[-1]
        print(f"{'N':>6}  {'':<13}{'MB more':>8}{'wall s':>8}")
        for number in numbers:
            for way in WAYS:
                command = [sys.executable, "-m", "bench.many", "--one", way, base_url]
                run = subprocess.run([*command, str(number)], capture_output=True, text=True)
                if run.returncode:
                    print(f"{number:>6}  {way:<13}failed: {run.stderr.strip().splitlines()[-1]}")
                    continue
                got = json.loads(run.stdout)
                print(f"{number:>6}  {way:<13}{got['memory']:>8.1f}{got['wall']:>8.1f}", flush=True)
        process.kill()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        asyncio.run(measure(sys.argv[2], sys.argv[3], int(sys.argv[4])))
    else:
        main()
