"""A mock server for other people's clients: they in an environment of their own, it in the
project's."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PACE = "0.02"
"""No client waits for what it could see at any pace."""


@pytest.fixture(scope="session")
def base_url() -> Iterator[str]:
    """The address of a mock server, with its /v1."""
    python = os.environ["AWAITED_PYTHON"]  # set by `make clients`
    command = [python, "-m", "helpers.mock_server", "--port", "0", "--pace", PACE]
    with subprocess.Popen(
        [*command, "--exit-with-parent"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        found = re.fullmatch(r"Listening on (http://127\.0\.0\.1:\d+/v1)\n", line)
        assert found, line
        yield found.group(1)
        server.terminate()


@pytest.fixture(autouse=True)
def set_up(base_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a user of these libraries sets to reach another server."""
    monkeypatch.setenv("OPENAI_BASE_URL", base_url)
    monkeypatch.setenv("OPENAI_API_KEY", "mock")
    monkeypatch.setenv("OPENAI_AGENTS_DISABLE_TRACING", "1")  # it would report elsewhere
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # as it would fetch one
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
