"""The pytest plugin: a running mock server for anybody's tests, as the fixture `mock_openai`."""

import argparse
import contextlib
import json
import subprocess
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import httpx2

    from helpers.observe import Request
    from helpers.replies import Part


_MOCK = pytest.StashKey["MockOpenAI"]()
"""The server that a test has been given."""

ANY_KEY = "mock"
"""What a server that was told of no key takes as well as any other."""


@dataclass(frozen=True, slots=True)
class MockOpenAI:
    """A running mock server. `base_url` and `api_key` are what an OpenAI client takes."""

    base_url: str
    http: "httpx2.Client" = field(repr=False)
    """A plain HTTP client for the server's address without `/v1`, where its control routes are."""
    api_key: str = ANY_KEY

    def fail(self, fault: str, times: int = 1, **only: str) -> None:
        """Let the next so many requests meet a fault, such as `"429; retry-after=0.1"`.

        `only`: `client`, `model` or `path` that a request must have to be counted.
        """
        self._ask("POST", "/mock/faults", {"fault": fault, "times": times, **only})

    def reply(self, *parts: "str | Part", **options: Any) -> None:
        """Script the next answer: `reply("Paris")`, `reply(tool_call("f", x=1), when="weather")`.

        Parts and options are those of `helpers.replies.reply`. The first reply given that fits a
        request is its answer; where none does, the server answers in its own words. A test that
        passes without having needed a reply fails, unless it is `optional=True`.

        Raises:
            ValueError: the reply makes no sense; the message says what it may hold.
        """
        from helpers.replies import reply

        self._ask("POST", "/mock/replies", reply(*parts, **options))

    def strict(self, on: bool = True) -> None:
        """Refuse requests that no reply fits, and fail the test where there was one."""
        self._ask("PUT", "/mock/replies", {"strict": on})

    def replies_report(self) -> str:
        """Return which replies were not needed, and which requests none fitted; empty for none."""
        unused, missed, _ = self._replies()
        return "\n".join([*unused, *missed])

    def unmet(self) -> str:
        """Return the report where it is a reason for the test to fail; empty where it is none."""
        unused, missed, strict = self._replies()
        return "\n".join([*unused, *missed]) if unused or (strict and missed) else ""

    def _replies(self) -> tuple[list[str], list[str], bool]:
        found = self._ask("GET", "/mock/replies")
        unused = [_unused(one) for one in found["waiting"] if one["unused"]]
        missed = [f"No scripted reply fitted: {missed}" for missed in found["missed"]]
        return unused, missed, found["strict"]

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

    def batches(self, **settings: float | None) -> None:
        """Set how batches work: lines `side_by_side`, and the dial `pace`; None is the server's."""
        self._ask("PUT", "/mock/batches", settings)

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


def _unused(waiting: dict[str, Any]) -> str:
    told = {"id", "used", "unused", "times"}
    reply = json.dumps({k: v for k, v in waiting.items() if k not in told}, ensure_ascii=False)
    times = waiting.get("times", 1)
    used = "" if times in (None, 1) else f" {times - waiting['used']} of {times} times"
    return f"Scripted reply {waiting['id']} was not used{used}: {reply[:300]}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Fail a test that passed, but did not need a reply that it scripted."""
    yield
    mock = item.stash.get(_MOCK, None)
    if mock is not None:
        told = ""
        with contextlib.suppress(Exception):  # the server may be what the test has ended
            told = mock.unmet()
        if told:
            pytest.fail(told, pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell in a failed test's report which scripted replies and requests did not meet."""
    report = yield
    mock = item.stash.get(_MOCK, None)
    if mock is not None and report.when == "call" and report.failed:
        told = ""
        with contextlib.suppress(Exception):
            told = mock.replies_report()
        if told and told not in report.longreprtext:
            report.sections.append(("scripted replies of mock_openai", told))
    return report


@pytest.fixture(scope="session")
def mock_openai_options() -> list[str]:
    """Options of the server's command line. Override it in a conftest.py for others."""
    return ["--pace", "0"]


@contextlib.contextmanager
def running(options: list[str]) -> Iterator[MockOpenAI]:
    """Run a mock server with these options of its command line, on a free port of this machine.

    Raises:
        RuntimeError: it did not start; its words are on standard error.
    """
    import httpx2

    command = [sys.executable, "-m", "helpers.mock_server", "--port", "0", "--exit-with-parent"]
    with subprocess.Popen(
        [*command, *options],
        cwd=Path(__file__).resolve().parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith("Listening on "):
            process.kill()
            raise RuntimeError("The mock server did not start: see its words on standard error.")
        base_url, key = line.split()[-1], _key_in(options)
        # trust_env: a proxy for the outside has no business on loopback.
        with httpx2.Client(
            base_url=base_url.removesuffix("/v1"),
            headers={"Authorization": f"Bearer {key}"},
            trust_env=False,
            timeout=60.0,
        ) as http:
            try:
                yield MockOpenAI(base_url, http, key)
            finally:
                process.terminate()


def _key_in(options: list[str]) -> str:
    """Return the one key that a server with these options takes, or one that any server takes."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--api-key", default=ANY_KEY)
    return str(parser.parse_known_args(options)[0].api_key)


@pytest.fixture(scope="session")
def mock_openai_server(mock_openai_options: list[str]) -> Iterator[MockOpenAI]:
    """A mock server for the whole session. Tests mostly want `mock_openai`."""
    with running(mock_openai_options) as mock:
        yield mock


@pytest.fixture
def mock_openai(mock_openai_server: MockOpenAI, request: pytest.FixtureRequest) -> MockOpenAI:
    """A running OpenAI-compatible server, as new: no faults, no limits, an empty journal.

    A test that passed fails at its end if a scripted reply was not needed; in a strict server also
    if a request met none.
    """
    mock_openai_server.reset()
    request.node.stash[_MOCK] = mock_openai_server
    return mock_openai_server


@pytest.fixture
def mock_openai_env(mock_openai: MockOpenAI, monkeypatch: pytest.MonkeyPatch) -> MockOpenAI:
    """The same, and `OPENAI_BASE_URL` and `OPENAI_API_KEY` point to it."""
    monkeypatch.setenv("OPENAI_BASE_URL", mock_openai.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", mock_openai.api_key)
    return mock_openai
