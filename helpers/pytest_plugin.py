"""The pytest plugin: a running mock server for anybody's tests, as the fixture `mock_openai`."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import httpx2

    from helpers.observe import Request


@dataclass(frozen=True, slots=True)
class MockOpenAI:
    """A running mock server. `base_url` and `api_key` are what an OpenAI client takes."""

    base_url: str
    http: "httpx2.Client" = field(repr=False)
    """A plain HTTP client for the server's address without `/v1`, where its control routes are."""
    api_key: str = "mock"

    def fail(self, fault: str, times: int = 1, **only: str) -> None:
        """Let the next so many requests meet a fault, such as `"429; retry-after=0.1"`.

        `only`: `client`, `model` or `path` that a request must have to be counted.
        """
        self._ask("POST", "/mock/faults", {"fault": fault, "times": times, **only})

    def pace(self, dial: float | None = None, **changes: Any) -> None:
        """Turn the dial, or set `first`, `gap` (seconds), `jitter`, `seed`, `tokens`, `models`.

        At dial 0 nothing waits: a `first` or `gap` without a dial turns it from there to 1.
        """
        if dial is None and {"first", "gap"} & changes.keys():
            dial = self._ask("GET", "/mock/pace")["pace"] or 1.0
        if dial is not None:
            changes["pace"] = dial
        self._ask("PUT", "/mock/pace", changes)

    def limit(self, **limits: float) -> None:
        """Limit `requests` and `tokens` in a `period` (seconds), `max_concurrent`, `max_queue`."""
        self._ask("PUT", "/mock/limits", limits)

    def requests(self, settle: float = 1.0) -> "list[Request]":
        """Return what the server saw since the test began, oldest first.

        Waits up to `settle` seconds for requests under way to end.
        """
        from helpers.observe import Request

        records = self._ask("GET", f"/mock/journal?settle={settle}")["requests"]
        names = [known.name for known in fields(Request)]
        return [
            Request(**{**{name: record[name] for name in names}, "tokens": tuple(record["tokens"])})
            for record in records
        ]

    def peak_in_flight(self) -> int:
        """Return the most requests that were under way at one time since the test began."""
        return int(self._ask("GET", "/mock/journal")["peak_in_flight"])

    def reset(self) -> None:
        """Forget what was seen, drop all faults and limits, and go back to the first pace."""
        self._ask("POST", "/mock/reset")

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.http.request(method, path, json=body)
        if answer.status_code != 200:
            raise ValueError(answer.json()["error"]["message"])
        return answer.json()


@pytest.fixture(scope="session")
def mock_openai_options() -> list[str]:
    """Options of the server's command line. Override it in a conftest.py for others."""
    return ["--pace", "0"]


@pytest.fixture(scope="session")
def mock_openai_server(mock_openai_options: list[str]) -> Iterator[MockOpenAI]:
    """A mock server for the whole session. Tests mostly want `mock_openai`."""
    import httpx2

    command = [sys.executable, "-m", "helpers.mock_server", "--port", "0", "--exit-with-parent"]
    command += mock_openai_options
    with subprocess.Popen(
        command,
        cwd=Path(__file__).resolve().parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith("Listening on "):
            process.kill()
            pytest.fail("The mock server did not start: see its words on standard error.")
        base_url = line.split()[-1]
        # trust_env: a proxy for the outside has no business on loopback.
        with httpx2.Client(
            base_url=base_url.removesuffix("/v1"), trust_env=False, timeout=60.0
        ) as http:
            yield MockOpenAI(base_url, http)
        process.terminate()


@pytest.fixture
def mock_openai(mock_openai_server: MockOpenAI) -> MockOpenAI:
    """A running OpenAI-compatible server, as new: no faults, no limits, an empty journal."""
    mock_openai_server.reset()
    return mock_openai_server


@pytest.fixture
def mock_openai_env(mock_openai: MockOpenAI, monkeypatch: pytest.MonkeyPatch) -> MockOpenAI:
    """The same, and `OPENAI_BASE_URL` and `OPENAI_API_KEY` point to it."""
    monkeypatch.setenv("OPENAI_BASE_URL", mock_openai.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", mock_openai.api_key)
    return mock_openai
