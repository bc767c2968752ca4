"""What a killed worker costs: a task for each prompt, a part written at its end, or line by line.

2,000 prompts on two workers with 32 calls in flight on each, of which one is killed by signal 9
when 1,300 have been asked. Told are the prompts that were asked twice, and those that were paid for
twice: answered in full more than once, by the mock server's journal. `python -m bench.killed`
"""

import asyncio
import json
import logging
import os
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
from distributed import Client, LocalCluster, WorkerPlugin, get_worker, wait
from openai import AsyncOpenAI

from helpers.pytest_plugin import MockOpenAI, running

PROMPTS = 2_000
PART = 100
IN_FLIGHT = 32
"""Calls under way on each worker."""

AT_A_TIME = 4
"""Parts under way on each worker, as in lesson 13; each has an eighth of the worker's calls."""

KILLED_AT = 1_300
"""Prompts that have been asked by then: two thirds. Each worker has whole parts behind it."""

FIRST = 0.1
"""Seconds of an answer."""

SETTLE = 1.0
"""Seconds in which the server may still write what nobody waits for."""


class Desk(WorkerPlugin):
    name = "desk"

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url

    async def setup(self, worker: Any) -> None:
        worker.openai = AsyncOpenAI(base_url=self.base_url, api_key="k", max_retries=0)


async def ask(number: int) -> str:
    headers = {"x-mock-client": f"prompt {number}", "x-mock-pace": f"dial=1,first={FIRST},gap=0"}
    asked: Any = [{"role": "user", "content": f"Say hello to reader {number}."}]
    reply = await get_worker().openai.chat.completions.create(
        model="any", messages=asked, max_tokens=5, extra_headers=headers
    )
    return reply.choices[0].message.content or ""


async def answer_part(number: int, folder: str, at_once: bool) -> None:
    """Answer a part: its file is written whole at the end, or line by line and gone on with."""
    file = Path(folder) / f"part-{number:03}.jsonl"
    text = file.read_text() if file.exists() else ""
    kept = text[: text.rfind("\n") + 1]
    done = {json.loads(row)["prompt"] for row in kept.splitlines()}
    left = iter([n for n in range(number * PART, (number + 1) * PART) if n not in done])
    rows: list[str] = []

    async def asker() -> None:
        for prompt in left:
            row = json.dumps({"prompt": prompt, "answer": await ask(prompt)}) + "\n"
            out.write(row) if at_once else rows.append(row)

    with tempfile.TemporaryFile("w") if not at_once else file.open("w", buffering=1) as out:
        out.write(kept)
        await asyncio.gather(*(asker() for _ in range(IN_FLIGHT // AT_A_TIME)))
    if not at_once:
        file.write_text("".join(rows))


async def killed(mock: MockOpenAI, way: str) -> str:
    """Run one way, kill a worker on the way, and return a row of the table."""
    threads = IN_FLIGHT if way == "prompt" else AT_A_TIME
    with tempfile.TemporaryDirectory() as folder:
        async with (
            LocalCluster(
                n_workers=2,
                threads_per_worker=threads,
                dashboard_address="127.0.0.1:0",
                asynchronous=True,
                silence_logs=logging.CRITICAL + 1,
            ) as cluster,
            Client(cluster, asynchronous=True) as engine,
        ):
            await engine.register_plugin(Desk(mock.base_url))
            mock.reset()
            began = time.monotonic()
            if way == "prompt":
                futures = engine.map(ask, range(PROMPTS))
            else:
                parts, at_once = range(PROMPTS // PART), way == "line"
                futures = engine.map(answer_part, parts, folder=folder, at_once=at_once)
            processes = await engine.run(os.getpid)
            while len(await asyncio.to_thread(mock.requests, 0)) < KILLED_AT:  # noqa: ASYNC110  a server is asked
                await asyncio.sleep(0.05)
            psutil.Process(min(processes.values())).kill()
            await wait(futures)
            seconds = time.monotonic() - began
    seen = [one for one in mock.requests(SETTLE) if one.client.startswith("prompt ")]
    asked = Counter(one.client for one in seen)
    paid = Counter(one.client for one in seen if one.outcome == "finished")
    twice = [sum(n - 1 for n in counted.values()) for counted in (asked, paid)]
    return f"{seconds:7.1f} s {PROMPTS - len(paid):7} {twice[0]:12} {twice[1]:11}"


WAYS = {
    "prompt": "one prompt, its answer in the worker's memory",
    "end": f"a part of {PART}, its file written at the end",
    "line": f"a part of {PART}, a line appended for each answer",
}


def main() -> None:
    print(f"{'a task is':50}      run    lost  asked twice  paid twice")
    with running(["--pace", "1"]) as mock:
        for way, words in WAYS.items():
            print(f"{words:50}{asyncio.run(killed(mock, way))}", flush=True)


if __name__ == "__main__":
    main()
