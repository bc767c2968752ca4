"""The embedded mock server: a child of its kernel, which it neither outlives nor shares."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from helpers import clients, endpoint, observe
from helpers.endpoint import proxies

KERNEL = """
from helpers.endpoint import endpoint
print(endpoint().base_url, flush=True)
{then}
"""
WAIT = "import sys; sys.stdin.read()"
GONE_WITHIN = 2.0
"""Seconds, as promised to whoever kills a kernel."""


def a_kernel(then: str = WAIT) -> subprocess.Popen[str]:
    """Start a process that uses the embedded server and then waits."""
    return subprocess.Popen(
        [sys.executable, "-c", KERNEL.format(then=then)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def its_server(kernel: subprocess.Popen[str]) -> str:
    assert kernel.stdout is not None
    return kernel.stdout.readline().strip()


def answers(base_url: str) -> bool:
    try:
        return httpx2.get(f"{base_url.removesuffix('/v1')}/health").status_code == 200
    except httpx2.TransportError:
        return False


def seconds_until_gone(base_url: str) -> float:
    start = time.monotonic()
    while answers(base_url):
        if time.monotonic() - start > 3 * GONE_WITHIN:
            pytest.fail("The server outlived its kernel.")
        time.sleep(0.02)
    return time.monotonic() - start


@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL", "SIGINT"])
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_the_server_goes_with_its_kernel_whatever_the_signal(how: str) -> None:
    with a_kernel() as kernel:
        base_url = its_server(kernel)
        assert answers(base_url)
        kernel.send_signal(getattr(signal, how))
        kernel.wait()
    assert seconds_until_gone(base_url) < GONE_WITHIN


def test_the_server_goes_when_its_kernel_ends_by_itself() -> None:
    with a_kernel(then="") as kernel:
        base_url = its_server(kernel)
        kernel.wait()
    assert seconds_until_gone(base_url) < GONE_WITHIN


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_that_lives_on_does_not_keep_the_server() -> None:
    fork = (
        "import os, time\nchild = os.fork()\nif not child:\n    time.sleep(30)\n    os._exit(0)\n"
    )
    with a_kernel(then=fork + "print(child, flush=True)\n" + WAIT) as kernel:
        assert kernel.stdout is not None
        base_url = its_server(kernel)
        child = int(kernel.stdout.readline())
        kernel.kill()
        try:
            assert seconds_until_gone(base_url) < GONE_WITHIN
        finally:
            os.kill(child, signal.SIGKILL)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_uses_its_parents_server_and_has_its_key() -> None:
    fork = (
        "import os\n"
        "from helpers import blocking_client, requests_seen\n"
        "blocking_client().models.list()\n"
        "child = os.fork()\n"
        "if child:\n    os.waitpid(child, 0)\n"
        "print(endpoint().base_url, requests_seen(), flush=True)\n"
        "if not child:\n    os._exit(0)\n"
    )
    with a_kernel(then=fork) as kernel:
        base_url = its_server(kernel)
        assert kernel.stdout is not None
        assert kernel.stdout.read() == f"{base_url} 1\n" * 2


JOURNAL = "/mock/journal"
DOORS = [
    ("GET", "/v1/models"),
    ("POST", "/v1/chat/completions"),
    ("GET", "/mock"),
    ("GET", JOURNAL),
    ("GET", f"{JOURNAL}/events"),
    ("DELETE", JOURNAL),
    ("PUT", "/mock/pace"),
    ("POST", "/mock/faults"),
    ("POST", "/mock/replies"),
    ("POST", "/mock/reset"),
]


@pytest.mark.parametrize("key", ["", "Bearer", "Bearer EMPTY", "Bearer mock", "bearer none"])
def test_who_has_not_its_key_can_neither_ask_it_nor_read_or_reset_what_it_saw(key: str) -> None:
    with clients.blocking_client() as client:
        client.models.list()
    before = observe.requests_seen()
    assert before > 0
    root = endpoint.endpoint().base_url.removesuffix("/v1")
    for method, path in DOORS:
        headers = {"Authorization": key} if key else {}
        answer = httpx2.request(method, f"{root}{path}", headers=headers)
        assert answer.status_code == 401, (method, path)
        assert "kernel-" not in answer.text, "no tag of a client's is told"
    assert observe.requests_seen() == before


def test_two_kernels_have_a_server_each_and_the_key_of_one_does_not_open_the_others() -> None:
    print_key = "print(endpoint().api_key, flush=True)\n" + WAIT
    with a_kernel(print_key) as one, a_kernel(print_key) as other:
        theirs = {}
        for kernel in (one, other):
            assert kernel.stdout is not None
            server = its_server(kernel)
            theirs[server] = kernel.stdout.readline().strip()
        assert len(theirs) == 2
        here, there = theirs
        for server, key, status in [
            (here, theirs[here], 200),
            (here, theirs[there], 401),
            (there, theirs[there], 200),
            (there, theirs[here], 401),
        ]:
            journal = f"{server.removesuffix('/v1')}{JOURNAL}"
            answer = httpx2.get(journal, headers={"Authorization": f"Bearer {key}"})
            assert answer.status_code == status
        one.kill()
        other.kill()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_no_list_of_processes_shows_its_key() -> None:
    key = endpoint.endpoint().api_key
    server = endpoint._server
    assert server is not None
    assert server._process is not None
    for told in ("cmdline", "environ"):
        text = Path(f"/proc/{server._process.pid}/{told}").read_bytes()
        assert text
        assert key.encode() not in text
    assert key not in repr(endpoint.endpoint())


def test_an_interrupt_of_the_kernels_group_leaves_the_server_alone() -> None:
    place = endpoint.endpoint()
    server = endpoint._server
    assert server is not None
    assert server._process is not None
    if sys.platform != "win32":
        assert os.getpgid(server._process.pid) != os.getpgid(0)
    assert answers(place.base_url)


def test_a_server_that_died_is_started_again_with_a_word_and_on_its_port(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with clients.blocking_client(max_retries=0) as before:
        server = endpoint._server
        assert server is not None
        assert server._process is not None
        server._process.kill()
        server._process.wait()
        assert observe.requests_seen() == 0
        said = capsys.readouterr().err
        assert "The mock server had stopped" in said
        assert "journal starts empty" in said
        assert list(before.models.list()), "a client made before still finds it"


def test_a_server_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "_server", None)
    monkeypatch.setenv("MOCK_PACE", "fast")
    with pytest.raises(endpoint.EndpointError, match=r"did not start.*fast.*mock_server"):
        endpoint.endpoint()


def test_a_server_whose_port_was_taken_meanwhile_starts_on_another() -> None:
    before = endpoint.endpoint().base_url
    server = endpoint._server
    assert server is not None
    assert server._process is not None
    server._process.kill()
    server._process.wait()
    with socket.create_server(("127.0.0.1", server._port)):
        after = endpoint.endpoint().base_url
        assert after != before
        assert answers(after)


def test_a_file_beside_the_notebook_is_not_what_the_server_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "uvicorn.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(tmp_path)
    with a_kernel() as kernel:
        assert answers(its_server(kernel))
        kernel.kill()


def test_a_proxy_set_for_the_outside_does_not_get_loopback_requests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "intranet.example")
    proxies.keep_loopback_off_the_proxy()
    with clients.blocking_client(max_retries=0) as client:
        assert list(client.models.list())
    assert os.environ["NO_PROXY"] == "intranet.example,127.0.0.1"
