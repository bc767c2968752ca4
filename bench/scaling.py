"""N calls that take half a second each: in a row, in threads, async, async over aiohttp.

Each figure comes from a fresh process, against one mock server in a process of its own: wall time,
the CPU time and the peak memory of the client alone. `python -m bench.scaling [N …]`
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from openai import AsyncOpenAI, DefaultAioHttpClient, OpenAI

REPLY = 0.49
"""Seconds: the mock server's first token at 0.4 and three more at 0.03 each."""

IN_A_ROW_MOST = 10
"""A hundred in a row would take 50 s and show nothing new."""

ASK: dict[str, Any] = {
    "model": "any",
    "messages": [{"role": "user", "content": "Why is the sky blue?"}],
    "max_tokens": 4,
}


def in_a_row(client: dict[str, str], number: int) -> None:
    with OpenAI(**client) as openai:
        for _ in range(number):
            openai.chat.completions.create(**ASK)


def in_threads(client: dict[str, str], number: int) -> None:
    with OpenAI(**client) as openai, ThreadPoolExecutor(number) as pool:
        for answer in [pool.submit(openai.chat.completions.create, **ASK) for _ in range(number)]:
            answer.result()


def with_async(client: dict[str, Any], number: int) -> None:
    async def main() -> None:
        async with AsyncOpenAI(**client) as openai:
            await asyncio.gather(*(openai.chat.completions.create(**ASK) for _ in range(number)))

    asyncio.run(main())


def with_aiohttp(client: dict[str, Any], number: int) -> None:
    async def main() -> None:
        async with AsyncOpenAI(**client, http_client=DefaultAioHttpClient()) as openai:
            await asyncio.gather(*(openai.chat.completions.create(**ASK) for _ in range(number)))

    asyncio.run(main())


WAYS: dict[str, Callable[[dict[str, str], int], None]] = {
    "in a row": in_a_row,
    "threads": in_threads,
    "async": with_async,
    "async, aiohttp": with_aiohttp,
}


def measure(way: str, base_url: str, number: int) -> None:
    """Run one way in this process and print its figures as JSON."""
    import resource

    client = {"base_url": base_url, "api_key": "EMPTY"}
    WAYS[way](client, 1)  # what the first call costs alone is not the question here
    cpu, start = time.process_time(), time.perf_counter()
    WAYS[way](client, number)
    wall = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"wall": wall, "cpu": time.process_time() - cpu, "memory": memory}))


def main() -> None:
    numbers = [int(number) for number in sys.argv[1:]] or [1, 10, 100, 1000]
    with subprocess.Popen(
        [sys.executable, "-m", "helpers.mock_server", "--port", "0", "--exit-with-parent"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        base_url = server.stdout.readline().split()[-1]
        print(f"each call takes {REPLY} s\n")
        print(f"{'N':>5}  {'':<15}{'wall s':>8}{'CPU s':>8}{'CPU ms/call':>13}{'MB':>6}")
        for number in numbers:
            for way in WAYS:
                if way == "in a row" and number > IN_A_ROW_MOST:
                    continue
                command = [sys.executable, "-m", "bench.scaling", "--one", way, base_url]
                run = subprocess.run([*command, str(number)], capture_output=True, text=True)
                if run.returncode:
                    print(f"{number:>5}  {way:<15}failed: {run.stderr.strip().splitlines()[-1]}")
                    continue
                got = json.loads(run.stdout)
                each = 1000 * got["cpu"] / number
                figures = f"{got['wall']:>8.2f}{got['cpu']:>8.2f}{each:>13.1f}{got['memory']:>6.0f}"
                print(f"{number:>5}  {way:<15}{figures}")
        server.kill()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        measure(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main()
