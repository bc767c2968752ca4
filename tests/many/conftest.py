"""A mock server, a file of prompts, and the program that asks them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from helpers.many.__main__ import main
from helpers.pytest_plugin import MockOpenAI
from helpers.pytest_plugin import mock_openai as mock_openai
from helpers.pytest_plugin import mock_openai_options as mock_openai_options
from helpers.pytest_plugin import mock_openai_server as mock_openai_server

ROOT = Path(__file__).parents[2]


class Many:
    """A file of prompts in a folder of its own, and runs over it.

    Each line has a model of its own, by which the journal tells what was asked for which line.
    """

    def __init__(self, folder: Path, mock: MockOpenAI) -> None:
        self.file = folder / "prompts.jsonl"
        self.answers = folder / "answers"
        self.mock = mock

    def write(self, count: int, *more: str | bytes) -> None:
        """Write a file of so many good lines, and some others behind them."""
        good = [json.dumps(self.line(number)) for number in range(1, count + 1)]
        lines = [line if isinstance(line, bytes) else line.encode() for line in (*good, *more)]
        self.file.write_bytes(b"\n".join(lines) + b"\n")

    @staticmethod
    def line(number: int, text: str = "Say hello to a reader.") -> dict[str, Any]:
        return {"id": f"q{number}", "prompt": text, "model": f"m{number}", "max_tokens": 3}

    def command(self, *options: str) -> list[str]:
        return [str(self.file), "--to", str(self.answers), "--quiet", *options]

    def run(self, *options: str) -> int:
        """Run here, in this process; return the exit code."""
        return main(self.command(*options))

    @contextmanager
    def process(self, *options: str) -> Iterator["subprocess.Popen[str]"]:
        """Run in a process of its own, which ends with the block at the latest."""
        command = [sys.executable, "-m", "helpers.many", *self.command(*options)]
        with subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def wait_for(self, reached: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait until something is so."""
        end = time.monotonic() + seconds
        while not reached():
            assert time.monotonic() < end, "it did not come to that"
            time.sleep(0.02)

    def finished(self) -> int:
        """Return how many requests the server has answered in full."""
        return sum(one.outcome == "finished" for one in self.asked(0))

    def asked(self, settle: float = 2.0) -> list[Any]:
        """Return the requests for lines, as the server saw them."""
        paths = "/v1/chat/completions"
        return [one for one in self.mock.requests(settle) if one.path == paths]

    def paid(self) -> Counter[str]:
        """Return for each line, by its model, how many answers the server wrote to their end."""
        return Counter(str(one.model) for one in self.asked() if one.outcome == "finished")

    def rows(self) -> list[dict[str, Any]]:
        """Return the table, read as any other program would."""
        parts = sorted(self.answers.glob("part-*.jsonl"))
        return [json.loads(line) for part in parts for line in part.read_text("utf-8").splitlines()]

    def errors(self) -> dict[int, str]:
        """Return the failed lines and why."""
        found = {}
        for part in self.answers.glob("errors-*.jsonl"):
            for line in part.read_text("utf-8").splitlines():
                told = json.loads(line)
                found[told["line"]] = f"{told['kind']}: {told['reason']}"
        return found

    def is_whole(self, count: int) -> bool:
        """Whether each line has one row, and no more."""
        return Counter(row["line"] for row in self.rows()) == Counter(range(1, count + 1))


@pytest.fixture
def many(tmp_path: Path, mock_openai: MockOpenAI, monkeypatch: pytest.MonkeyPatch) -> Many:
    """A file to write, and the mock server as the endpoint."""
    for name, value in (
        ("OPENAI_BASE_URL", mock_openai.base_url),
        ("OPENAI_API_KEY", "a-key"),
        ("OPENAI_MODEL", "mock-chat"),
    ):
        monkeypatch.setenv(name, value)
    return Many(tmp_path, mock_openai)


def interrupt(process: "subprocess.Popen[str]") -> None:
    """Press Ctrl-C."""
    os.kill(process.pid, signal.SIGINT)
