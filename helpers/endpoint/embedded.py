"""The embedded mock server: `python -m helpers.mock_server` as a child of this process.

It has a key of its own, which this process makes and hands to its own clients: on a machine that
several people share, loopback is everybody's, and another could read the journal or reset it.
"""

import atexit
import os
import re
import secrets
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from helpers.endpoint.errors import EndpointError
from helpers.endpoint.proxies import keep_loopback_off_the_proxy

EMBEDDED_MODELS = ("mock-chat", "mock-embed")
"""The models of the embedded server. It knows no others, so that a typo meets a true 404."""

START_TIMEOUT = 20.0
"""Seconds for the embedded server to listen. It takes about 0.3; a cold disk or a virus scanner
can make it ten times that."""


class EmbeddedServer:
    """A server of this process alone, which ends when we end."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._owner = 0
        self._port = 0
        self.base_url = ""
        # The same for a server that takes the place of one that died: clients made before have it.
        self.api_key = f"mock-{secrets.token_urlsafe(24)}"

    def ensure_running(self) -> None:
        if self._process is None:
            self._start()
        elif self._owner != os.getpid():
            return  # a forked child: the server is its parent's, which alone can ask after it
        elif self._process.poll() is not None:
            code = self._process.returncode
            self._start()
            print(
                f"The mock server had stopped (exit code {code}). A new one runs; "
                f"its journal starts empty.",
                file=sys.stderr,
            )

    def _start(self) -> None:
        try:
            self._launch(self._port)
        except EndpointError:
            if not self._port:
                raise
            self._launch(0)  # somebody took our old port meanwhile

    def _launch(self, port: int) -> None:
        command = [sys.executable, "-m", "helpers.mock_server", "--exit-with-parent"]
        command += ["--port", str(port), "--models", ",".join(EMBEDDED_MODELS), "--api-key", "-"]
        # The server's folder, not the notebook's: a learner's `helpers.py` or `json.py` beside the
        # notebook must not be what the server imports.
        root = Path(__file__).resolve().parents[2]
        process = subprocess.Popen(
            command,
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Ctrl-C in a terminal, or Jupyter's interrupt, is for the learner's code alone.
            start_new_session=True,
        )
        assert process.stdin is not None
        # That it ended before it could read is what its silence tells, in words of its own.
        with suppress(OSError):
            process.stdin.write(f"{self.api_key}\n")
            process.stdin.flush()
        self.base_url = _wait_until_listening(process)
        self._process = process
        self._owner = os.getpid()
        self._port = urlsplit(self.base_url).port or 0
        keep_loopback_off_the_proxy()
        atexit.register(_end, process)


def _end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.wait()


def _wait_until_listening(process: "subprocess.Popen[str]") -> str:
    """Read the line that says where the server listens; kill it if none comes in time."""
    assert process.stdout is not None
    assert process.stderr is not None
    timer = threading.Timer(START_TIMEOUT, process.kill)
    timer.start()
    try:
        line = process.stdout.readline()
    finally:
        timer.cancel()
    found = re.search(r"http://\S+/v1", line)
    if not found:
        process.kill()
        _, said = process.communicate()
        error = said.strip().splitlines()
        raise EndpointError(
            "The mock server did not start"
            + (f": {error[-1]}" if error else f" within {START_TIMEOUT:g} seconds.")
            + " Run `python -m helpers.mock_server` in a terminal to see all it says."
        )
    for pipe in (process.stdout, process.stderr):
        threading.Thread(target=_drain, args=(pipe,), daemon=True).start()
    return found.group()


def _drain(pipe: IO[str]) -> None:
    """Read and drop what the server says later: a full pipe would stop it."""
    for _ in pipe:
        pass
