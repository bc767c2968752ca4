"""`python -m helpers.mock_server` as somebody in a terminal meets it."""

import io
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from helpers.mock_server.__main__ import read_options
from tests.server.inside import Inside

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "helpers.mock_server"]


@contextmanager
def running(*options: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Give a server and its base URL; end it afterwards."""
    with subprocess.Popen(
        [*COMMAND, "--port", "0", *options],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            found = re.fullmatch(r"Listening on (http://127\.0\.0\.1:\d+/v1)\n", line)
            assert found, line
            yield process, found.group(1)
        finally:
            process.kill()


def words(*options: str) -> tuple[int, str, str]:
    """Return the exit code, standard output and standard error of a run that ends by itself."""
    ended = subprocess.run(
        [*COMMAND, *options], cwd=ROOT, input="", capture_output=True, text=True, timeout=30
    )
    return ended.returncode, ended.stdout, ended.stderr


def test_it_says_where_it_listens_and_answers_there() -> None:
    with running("--models", "a,b") as (_, base_url):
        answer = httpx2.get(
            f"{base_url}/models", headers={"authorization": "Bearer x"}, trust_env=False
        )
        assert [card["id"] for card in answer.json()["data"]] == ["a", "b"]


def test_it_listens_on_loopback_alone() -> None:
    with running() as (_, base_url):
        port = int(base_url.split(":")[2].split("/")[0])
        others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), port)}
        for address in others - {"127.0.0.1", "127.0.1.1", "::1"}:
            with pytest.raises(OSError, match=r"."):
                socket.create_connection((address, port), timeout=1).close()


def test_a_taken_port_is_told_in_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, _, error = words("--port", port)
    assert code == 1
    assert error.startswith(f"Port {port} cannot be used (")
    assert "--port 0" in error
    assert "Traceback" not in error


CONTROLS = """
    --port --pace --first --gap --jitter --seed --model-pace --models --api-key --max-body
    --requests --tokens --period --max-concurrent --max-queue --exit-with-parent
    --replies --strict --record --upstream /mock/replies
    x-mock-pace x-mock-fault x-mock-client
    /mock/journal /mock/journal/events /mock/pace /mock/faults /mock/limits /mock/reset
"""


def test_help_names_every_control(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, text, _ = words("--help")
    assert code == 0
    for word in CONTROLS.split():
        assert word in text, word
    assert max(map(len, text.splitlines())) <= 80


def test_the_pace_comes_from_the_environment_unless_it_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MOCK_PACE", "0.25")
    assert read_options([])[0].pace.dial == 0.25
    assert read_options(["--pace", "2"])[0].pace.dial == 2
    monkeypatch.setenv("MOCK_PACE", "")
    assert read_options([])[0].pace.dial == 1


def test_options_become_settings() -> None:
    options = """
        --port 5 --models a,b --api-key k --first 1 --gap 2 --jitter 0.5 --seed 3 --requests 4
        --tokens 5 --period 6 --max-concurrent 7 --max-queue 8 --model-pace org/x:1:gap=9
        --max-body 10 --exit-with-parent
    """
    state, _, port, ends = read_options(options.split())
    assert (port, ends) == (5, True)
    assert (state.models, state.api_key, state.max_body) == (("a", "b"), "k", 10)
    pace = state.pace
    assert (pace.first, pace.gap, pace.jitter, pace.seed) == (1, 2, 0.5, 3)
    rate = state.limiter.rate
    assert (rate.requests, rate.tokens, rate.period) == (4, 5, 6)
    assert (state.queue.places, state.queue.length) == (7, 8)
    assert state.model_paces == {"org/x:1": {"gap": 9}}


@pytest.mark.parametrize(
    "options",
    [
        "--pace -1", "--pace fast", "--port 70000", "--first -1", "--jitter 2", "--requests 0",
        "--max-queue -1", f"--tokens {10**400}", "--period 0", "--model-pace slow",
        "--model-pace slow:warp=9", "--what", "--record x", "--upstream http://127.0.0.1:1",
        "--record /no/such/place --upstream http://127.0.0.1:1", "--record x --upstream host",
        "--record x --upstream http://127.0.0.1:1 --api-key k",
    ],
)  # fmt: skip
def test_an_option_that_makes_no_sense_is_refused(
    options: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        read_options(options.split())
    assert raised.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_no_declaration_of_a_request_is_built_before_one_comes() -> None:
    code = (
        "import sys, helpers.mock_server.__main__\n"
        "from helpers.mock_server.api import requests\n"
        "kinds = [kind for kind in vars(requests).values() if hasattr(kind, 'model_validate')]\n"
        "sys.exit(not kinds or any(kind.__pydantic_complete__ for kind in kinds))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_replies_come_from_a_file_and_a_reset_brings_them_back(tmp_path: Path) -> None:
    file = tmp_path / "replies.jsonl"
    file.write_text('# first\n\n{"text": "Paris", "when": "capital"}\n{"text": "Rome"}\n')
    replies = read_options(["--replies", str(file), "--strict"])[0].replies
    assert replies.strict
    assert [waiting.script.text for waiting in replies.waiting] == ["Paris", "Rome"]
    replies.clear()
    replies.strict = False
    replies.reset()
    assert replies.strict
    assert [waiting.script.text for waiting in replies.waiting] == ["Paris", "Rome"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('{"text": "a"}\n{"txet": "b"}', "line 2: A reply has no 'txet'"),
        ('{"text": ', "line 1 is no JSON"),
        (None, "No such file"),
    ],
)
def test_a_file_of_replies_that_cannot_be_read_is_told_with_its_line(
    tmp_path: Path, text: str | None, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "replies.jsonl"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SystemExit):
        read_options(["--replies", str(file)])
    assert word in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_when_told_to_with_streams_under_way(number: int) -> None:
    with running("--pace", "1") as (process, base_url):
        body = {"model": "m", "messages": [{"role": "user", "content": "Tell a story"}]}
        with httpx2.stream(
            "POST",
            f"{base_url}/chat/completions",
            json={**body, "stream": True},
            headers={"authorization": "Bearer x"},
            trust_env=False,
        ) as answer:
            assert answer.status_code == 200
            process.send_signal(number)
            process.wait(timeout=2)
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_it_ends_when_its_input_ends() -> None:
    with running("--exit-with-parent") as (process, _):
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=2) == 0


def test_it_stays_when_its_input_ends_and_nobody_asked() -> None:
    with running() as (process, base_url):
        assert process.stdin is not None
        process.stdin.close()
        root = base_url.removesuffix("/v1")
        assert httpx2.get(f"{root}/mock", trust_env=False).status_code == 200
        assert process.poll() is None


@pytest.mark.skipif(os.name != "posix", reason="kill -9, and a pipe that two children share")
def test_it_ends_with_its_parent_though_another_child_holds_the_pipe() -> None:
    parent = (
        "import subprocess, sys, time\n"
        f"server = subprocess.Popen({[*COMMAND, '--port', '0', '--exit-with-parent']!r}, "
        "stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)\n"
        "other = subprocess.Popen(['sleep', '20'], pass_fds=(server.stdin.fileno(),))\n"
        "print(server.stdout.readline().strip(), other.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        *_, base_url, other = process.stdout.readline().split()
        try:
            process.kill()
            killed = time.monotonic()
            process.wait()
            root = base_url.removesuffix("/v1")
            while _answers(root):
                assert time.monotonic() - killed < 2.0
                time.sleep(0.02)
        finally:
            os.kill(int(other), signal.SIGKILL)


def _answers(root: str) -> bool:
    try:
        return httpx2.get(f"{root}/mock", trust_env=False, timeout=1.0).status_code == 200
    except httpx2.TransportError:
        return False


def test_an_address_beyond_loopback_wants_a_key() -> None:
    for host in ("0.0.0.0", "::", "192.0.2.7", "example.org"):
        code, _, error = words("--host", host)
        assert code == 2
        assert "--api-key" in error
    for host in ("127.0.0.1", "127.0.0.2", "localhost", "::1"):
        state, found, _, _ = read_options(["--host", host])
        assert (found, state.api_key) == (host, None)
    assert read_options(["--host", "0.0.0.0", "--api-key", "k"])[0].api_key == "k"


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1"])
def test_a_server_with_a_key_gives_401_to_other_keys_on_all_its_routes(host: str) -> None:
    # The rule goes by what was asked for; the test itself opens no port to the outside.
    state, _, _, _ = read_options(["--host", host, "--api-key", "right"])
    server = Inside(state)
    routes = [("GET", "/v1/models"), ("GET", "/mock"), ("GET", "/mock/journal")]
    for method, path in [*routes, ("DELETE", "/mock/journal"), ("POST", "/mock/reset")]:
        for wrong in ("Bearer wrong", "Bearer ", "", "Bearer right-and-more"):
            assert server.ask(method, path, headers={"authorization": wrong})[0] == 401
        assert server.ask(method, path, headers={"authorization": "Bearer right"})[0] == 200
    # The live journal would go on; its refusal ends.
    live = server.ask("GET", "/mock/journal/events", headers={"authorization": "Bearer wrong"})
    assert live[0] == 401
    assert server.ask("GET", "/health", headers={"authorization": ""})[0] == 200


def test_a_key_can_come_by_standard_input_where_no_list_of_processes_shows_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("a secret\nand what comes later\n"))
    assert read_options(["--api-key", "-"])[0].api_key == "a secret"
    code, _, error = words("--api-key", "-")
    assert code == 2
    assert "there was none" in error


def test_it_lets_in_pages_of_origins_that_are_named() -> None:
    with running("--allow-origin", "https://app.example/") as (_, base_url):
        for origin, status in (("https://app.example", 204), ("https://other.example", 403)):
            headers = {"origin": origin, "access-control-request-method": "POST"}
            answer = httpx2.request("OPTIONS", base_url, headers=headers, trust_env=False)
            assert answer.status_code == status
