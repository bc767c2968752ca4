"""What a chunk costs: the same streams read by `AsyncOpenAI` and as bare lines by `httpx2`.

One mock server in a process of its own sends without delay, each chunk by itself. Told is the CPU
time of this process for each chunk, the median of several turns. `python -m bench.chunks [N …]`,
for so many streams at once.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
from openai import AsyncOpenAI, DefaultAioHttpClient

from bench.server import pinned

TOKENS = 500
"""Chunks of a stream: enough that the request and the headers weigh nothing."""

TURNS = 5

ASK: dict[str, Any] = {
    "model": "mock-chat",
    "messages": [{"role": "user", "content": "Tell a story"}],
    "stream": True,
}
PACE = {"x-mock-pace": f"dial=0,tokens={TOKENS}"}


async def with_sdk(client: AsyncOpenAI) -> int:
    async with await client.chat.completions.create(**ASK, extra_headers=PACE) as stream:
        return len([chunk async for chunk in stream])


async def with_lines(client: httpx2.AsyncClient) -> int:
    async with client.stream("POST", "/chat/completions", json=ASK, headers=PACE) as response:
        chunks = [line async for line in response.aiter_lines() if line.startswith("data: {")]
    return len(chunks)


async def with_lines_of_json(client: httpx2.AsyncClient) -> int:
    async with client.stream("POST", "/chat/completions", json=ASK, headers=PACE) as response:
        lines = response.aiter_lines()
        chunks = [json.loads(line[6:]) async for line in lines if line.startswith("data: {")]
    return len(chunks)


async def microseconds(read: Callable[[], Awaitable[int]], streams: int) -> float:
    """Return the CPU time of this process for each chunk, when so many streams are read at once."""
    start = time.process_time()
    chunks = sum(await asyncio.gather(*(read() for _ in range(streams))))
    return 1e6 * (time.process_time() - start) / chunks


async def measure(base_url: str, numbers: list[int]) -> None:
    sdk = AsyncOpenAI(base_url=base_url, api_key="EMPTY")
    aiohttp = AsyncOpenAI(
        base_url=base_url, api_key="EMPTY", http_client=DefaultAioHttpClient(timeout=60)
    )
    key = {"authorization": "Bearer EMPTY"}
    bare = httpx2.AsyncClient(base_url=base_url, headers=key, timeout=60)
    ways: dict[str, Callable[[], Awaitable[int]]] = {
        "AsyncOpenAI": lambda: with_sdk(sdk),
        "AsyncOpenAI, aiohttp": lambda: with_sdk(aiohttp),
        "httpx2, lines": lambda: with_lines(bare),
        "httpx2, lines, json": lambda: with_lines_of_json(bare),
    }
    async with sdk, aiohttp, bare:
        print(f"{'streams':>7}  {'':<21}{'µs/chunk':>9}{'chunks/s of CPU':>17}")
        for number in numbers:
            turns: dict[str, list[float]] = {way: [] for way in ways}
            for turn in range(TURNS + 1):
                for way, read in ways.items():
                    took = await microseconds(read, number)
                    if turn:  # the first turn loads and connects
                        turns[way].append(took)
            for way, took_each in turns.items():
                each = statistics.median(took_each)
                print(f"{number:>7}  {way:<21}{each:>9.0f}{1e6 / each:>17.0f}", flush=True)


def main() -> None:
    numbers = [int(number) for number in sys.argv[1:]] or [1, 10]
    server = [sys.executable, "-m", "helpers.mock_server", "--port", "0", "--exit-with-parent"]
    with subprocess.Popen(
        server, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        base_url = process.stdout.readline().split()[-1]
        pinned(1)
        asyncio.run(measure(base_url, numbers))
        process.kill()


if __name__ == "__main__":
    main()
