"""Serves a built site on loopback."""

import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of each request."""


def _server(folder: Path) -> ThreadingHTTPServer:
    return ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))


def _address(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/"


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on a free port until the block ends; yield its address."""
    with _server(folder) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield _address(server)
        finally:
            server.shutdown()
            thread.join()


def show(folder: Path) -> None:
    """Serve a folder and open it in the reader's browser, until Ctrl-C."""
    with _server(folder) as server:
        print(f"The site: {_address(server)} (Ctrl-C ends it)", flush=True)
        webbrowser.open(_address(server))
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return
