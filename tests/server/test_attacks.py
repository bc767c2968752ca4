"""Clients that vanish, flood and dawdle: the server stays well, and the others keep their pace."""

import json
import random
import re
import resource
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc"),
]

ROOT = Path(__file__).parents[2]
STORY = {"model": "m", "messages": [{"role": "user", "content": "Tell a story"}], "stream": True}
KEY = "authorization: Bearer mock\r\n"

MEMORY_MARGIN = 12.0
"""MB that the server may hold more after an attack than after a first, like one: the allocator
keeps some of what was freed."""


@dataclass(slots=True)
class Victim:
    """A server under attack, and what can be seen of it from outside."""

    process: int
    port: int

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def files(self) -> int:
        """Return how many file descriptors it holds."""
        return sum(1 for _ in Path(f"/proc/{self.process}/fd").iterdir())

    def memory(self) -> float:
        """Return the memory it holds, in MB."""
        status = Path(f"/proc/{self.process}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found
        return int(found.group(1)) / 1024

    def get(self, path: str) -> Any:
        """Return a control route's JSON."""
        return httpx2.get(self.root + path, trust_env=False, timeout=60).json()

    def connect(self) -> socket.socket:
        """Return a connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def settled(self, files: int) -> None:
        """Return when nothing is under way and its files are closed; fail after some seconds."""
        once(lambda: self.get("/mock")["in_flight"] == 0)
        once(lambda: self.files() <= files)

    def journal(self) -> list[dict[str, Any]]:
        """Return what it saw."""
        found: list[dict[str, Any]] = self.get("/mock/journal")["requests"]
        return found


@pytest.fixture
def victim() -> Iterator[Victim]:
    """A server of its own for each attack; it must not have said a word on standard error."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    command = [sys.executable, "-m", "helpers.mock_server", "--port", "0", "--exit-with-parent"]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        found = re.search(r":(\d+)/v1", process.stdout.readline())
        assert found
        victim = Victim(process.pid, int(found.group(1)))
        victim.get("/mock")
        yield victim
        assert process.poll() is None, "it ended"
        process.terminate()
        assert process.stderr.read() == ""


def once(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Return when a condition holds; fail after some seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def post(body: bytes, *lines: str, path: str = "/v1/chat/completions") -> bytes:
    """Return a request as it goes over the wire."""
    head = f"POST {path} HTTP/1.1\r\nhost: a\r\n{KEY}content-length: {len(body)}\r\n"
    return (head + "".join(f"{line}\r\n" for line in lines) + "\r\n").encode() + body


def streamed(pace: str, **more: Any) -> bytes:
    """Return a request for a stream at a pace."""
    return post(json.dumps({**STORY, **more}).encode(), f"x-mock-pace: {pace}")


def reset(connection: socket.socket) -> None:
    """Close a connection the hard way."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class Pacer(threading.Thread):
    """Reads a stream with a gap of 20 ms while an attack goes on, and notes when tokens come."""

    def __init__(self, victim: Victim, tokens: int) -> None:
        super().__init__()
        self._victim = victim
        self._tokens = tokens
        self.moments: list[float] = []
        self.begun = threading.Event()

    def run(self) -> None:
        headers = {
            "authorization": "Bearer mock",
            "x-mock-pace": f"dial=1,first=0,gap=0.02,tokens={self._tokens}",
            "x-mock-client": "pacer",
        }
        with (
            httpx2.Client(trust_env=False, timeout=60) as client,
            client.stream(
                "POST", f"{self._victim.root}/v1/chat/completions", json=STORY, headers=headers
            ) as answer,
        ):
            for line in answer.iter_lines():
                if '"delta":{"content"' in line:
                    self.moments.append(time.monotonic())
                    self.begun.set()

    def worst_delay(self) -> float:
        """Return by how many seconds the latest token was late, as the server tells."""
        (record,) = self._victim.get("/mock/journal?client=pacer")["requests"]
        assert record["outcome"] == "finished"
        begin: float = record["started"]
        return max(moment - begin - 0.02 * slot for slot, moment in enumerate(record["tokens"]))


def test_clients_that_vanish_at_every_point_leave_nothing_behind(victim: Victim) -> None:
    files = victim.files()
    chance = random.Random(7)
    whole = streamed("dial=1,first=0.01,gap=0.002")
    body = json.dumps({**STORY, "stream": False}).encode()
    one_shot = post(body, "x-mock-pace: dial=1,first=0.05,gap=0")
    for _ in range(400):
        request = chance.choice([whole, one_shot])
        connection = victim.connect()
        place = chance.randrange(len(request) * 2)
        connection.sendall(request[:place])
        if place >= len(request):
            connection.settimeout(1)
            with suppress(TimeoutError):
                for _ in range(chance.randrange(4)):
                    connection.recv(chance.choice([1, 10, 500]))
        if chance.random() < 0.5:
            reset(connection)
        else:
            connection.close()
    victim.settled(files)
    records = victim.journal()
    assert len(records) > 200
    assert {record["outcome"] for record in records} <= {"abandoned", "finished"}
    assert sum(record["outcome"] == "abandoned" for record in records) > 100
    for record in records:
        assert record["tokens_sent"] <= (record["tokens_planned"] or 0)
        assert len(record["tokens"]) == (record["tokens_sent"] if record["stream"] else 0)


def test_two_thousand_connections_opened_and_dropped_come_back(victim: Victim) -> None:
    def wave() -> None:
        connections = [victim.connect() for _ in range(2000)]
        for number, connection in enumerate(connections):
            if number % 2:
                connection.sendall(streamed("dial=1,first=60"))
        once(lambda: victim.get("/mock")["in_flight"] == 1000)
        for number, connection in enumerate(connections):
            if number % 3:
                connection.close()
            else:
                reset(connection)
        victim.settled(files)

    files = victim.files()
    wave()
    after_one = victim.memory()
    for _ in range(3):
        wave()
    assert victim.memory() - after_one < MEMORY_MARGIN
    assert {record["outcome"] for record in victim.journal()} == {"abandoned"}


def test_others_keep_their_pace_while_connections_come_and_go(victim: Victim) -> None:
    pacer = Pacer(victim, tokens=150)
    pacer.start()
    assert pacer.begun.wait(10)
    while pacer.is_alive():
        connections = [victim.connect() for _ in range(20)]
        for connection in connections:
            connection.sendall(streamed("dial=1,first=0.05"))
            reset(connection)
        time.sleep(0.01)  # a flood, not a test of how many cores there are
    pacer.join()
    assert len(pacer.moments) == 150
    assert pacer.worst_delay() < 0.25


def test_readers_that_do_not_read_cost_little_and_hold_up_nobody(victim: Victim) -> None:
    files, before = victim.files(), victim.memory()
    lazy = []
    for _ in range(50):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", victim.port))
        # Each asks for some 25 MB and reads none of it.
        connection.sendall(streamed("dial=0,tokens=100000"))
        lazy.append(connection)
    once(lambda: victim.get("/mock")["in_flight"] == 50)
    pacer = Pacer(victim, tokens=100)
    pacer.start()
    pacer.join()
    assert pacer.worst_delay() < 0.25
    assert victim.get("/mock")["in_flight"] == 50
    # Their texts are made (3 MB of tokens each); what waits to be sent is bounded.
    assert victim.memory() - before < 50 * 4
    for connection in lazy:
        reset(connection)
    victim.settled(files)
    records = [record for record in victim.journal() if record["client"] is None]
    assert {record["outcome"] for record in records} == {"abandoned"}
    assert max(record["tokens_sent"] for record in records) < 50_000


def test_a_reader_that_is_slow_gets_all_of_it(victim: Victim) -> None:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(30)
    connection.connect(("127.0.0.1", victim.port))
    connection.sendall(streamed("dial=0,tokens=20000"))
    found = b""
    while b"[DONE]" not in found[-100:]:
        part = connection.recv(65536)
        assert part, "the connection ended early"
        found += part
    connection.close()
    # Chunks of the transfer may cut a mark in two: the text without them has all the tokens.
    text = re.sub(rb"\r\n[0-9a-f]+\r\n", b"", found)
    assert text.count(b'"delta":{"content":"') == 20000
    assert victim.journal()[0]["outcome"] == "finished"


def test_a_flood_of_headers_is_cut_off(victim: Victim) -> None:
    before = victim.memory()
    pacer = Pacer(victim, tokens=100)
    pacer.start()
    assert pacer.begun.wait(10)
    for piece, start in ((b"a" * 65536, b"x: "), (b"a: b\r\n" * 10_000, b"")):
        for _ in range(10):
            connection = victim.connect()
            connection.sendall(b"GET /v1/models HTTP/1.1\r\n" + start)
            with pytest.raises(OSError, match=r"."):
                connection.sendall(piece * 1000)
            connection.close()
    pacer.join()
    assert pacer.worst_delay() < 0.25
    assert victim.memory() - before < MEMORY_MARGIN


def test_a_head_of_a_common_size_is_taken(victim: Victim) -> None:
    body = json.dumps(STORY).encode()
    connection = victim.connect()
    request = post(body, "x-mock-pace: 0", f"x-long: {'a' * 30_000}")
    for _ in range(20):  # on one connection: what was counted for one must not burden the next
        connection.sendall(request)
        found = b""
        while b"[DONE]" not in found:
            found += connection.recv(65536)
        assert found.startswith(b"HTTP/1.1 200")
        while not found.endswith(b"0\r\n\r\n"):
            found += connection.recv(65536)
    connection.close()


def test_a_flood_of_bodies_is_refused_and_forgotten(victim: Victim) -> None:
    before = victim.memory()
    for _ in range(3):
        connection = victim.connect()
        connection.sendall(
            f"POST /v1/chat/completions HTTP/1.1\r\n{KEY}content-length: {10**12}\r\n\r\n".encode()
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 413")
        reset(connection)
    connection = victim.connect()
    connection.sendall(
        f"POST /v1/chat/completions HTTP/1.1\r\n{KEY}transfer-encoding: chunked\r\n\r\n".encode()
    )
    for _ in range(200):  # 200 MB, of which 32 are kept until it is too much
        connection.sendall(b"100000\r\n" + b"a" * 0x100000 + b"\r\n")
    assert connection.recv(100).startswith(b"HTTP/1.1 413")
    reset(connection)
    once(lambda: victim.get("/mock")["in_flight"] == 0)
    assert victim.memory() - before < 32 + MEMORY_MARGIN
    assert {record["status"] for record in victim.journal()} == {413}


def test_a_large_prompt_does_not_hold_up_the_others(victim: Victim) -> None:
    pacer = Pacer(victim, tokens=150)
    pacer.start()
    assert pacer.begun.wait(10)
    prompt = "word and another, " * 50_000  # 900 kB, as much as the largest models take
    headers = {"authorization": "Bearer mock", "x-mock-pace": "0"}
    for path, body in (
        ("/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": prompt}]}),
        ("/v1/responses", {"model": "m", "input": prompt}),
        ("/v1/embeddings", {"model": "m", "input": [prompt[:8000]] * 100}),
        ("/v1/moderations", {"input": prompt}),
    ):
        answer = httpx2.post(
            victim.root + path, json=body, headers=headers, trust_env=False, timeout=60
        )
        assert answer.status_code == 200
    pacer.join()
    assert pacer.worst_delay() < 0.5


def test_the_journal_and_the_stores_are_bounded(victim: Victim) -> None:
    looked_up = f"GET /v1/models/{'m' * 5000} HTTP/1.1\r\n{KEY}x-mock-client: {'t' * 999}\r\n\r\n"
    kept = json.dumps({"model": "m", "input": "hello " * 1000, "max_output_tokens": 16}).encode()

    def many(request: bytes, count: int) -> None:
        with victim.connect() as connection:
            for number in range(count):
                # Each comes with a key of its own: what is remembered for a key is bounded too.
                connection.sendall(request.replace(b"Bearer mock", b"Bearer key-%d" % number))
                found = b""
                while not found.endswith(b"}"):
                    found += connection.recv(65536)

    many(looked_up.encode(), 11_000)
    many(post(kept, "x-mock-pace: 0", path="/v1/responses"), 1200)
    found = victim.get("/mock/journal")
    full = victim.memory()
    assert len(found["requests"]) == 10_000
    assert found["dropped"] == 2_200
    assert {len(record["client"]) for record in found["requests"] if record["client"]} == {200}
    many(post(kept, "x-mock-pace: 0", path="/v1/responses"), 1200)
    assert victim.memory() - full < MEMORY_MARGIN


def test_a_follower_that_does_not_read_is_not_waited_for(victim: Victim) -> None:
    follower = socket.socket()
    follower.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    follower.connect(("127.0.0.1", victim.port))
    follower.sendall(b"GET /mock/journal/events HTTP/1.1\r\nhost: a\r\n\r\n")
    once(lambda: victim.get("/mock")["followers"] == 1)
    headers = {"authorization": "Bearer mock", "x-mock-pace": "dial=0,tokens=20000"}
    before = victim.memory()
    for _ in range(5):
        answer = httpx2.post(
            f"{victim.root}/v1/chat/completions",
            json=STORY,
            headers=headers,
            trust_env=False,
            timeout=60,
        )
        assert answer.text.endswith("data: [DONE]\n\n")
    assert victim.memory() - before < 40
    reset(follower)
    once(lambda: victim.get("/mock")["followers"] == 0)


@pytest.mark.parametrize(
    "garbage",
    [b"\x00\xff\r\n\r\n", b"GET\r\n\r\n", b"\r\n" * 50, b"PRI * HTTP/2.0\r\n\r\n"],
    ids=["binary", "half a line", "empty lines", "http 2"],
)
def test_what_is_not_http_is_refused(victim: Victim, garbage: bytes) -> None:
    files = victim.files()
    for _ in range(10):
        connection = victim.connect()
        connection.sendall(garbage)
        connection.settimeout(0.1)
        with suppress(TimeoutError):
            assert connection.recv(100)[:12] in (b"", b"HTTP/1.1 400", b"HTTP/1.1 404")
        connection.close()
    victim.settled(files)
