"""Whether this Python lives in a web page: one thread, and neither processes nor sockets."""

import os
import sys
from pathlib import Path

DRIVE = Path("/drive")
"""The browser edition's folder of notebooks: of all files the browser keeps those in it alone."""

SETTING = "AWAITED_IN_PAGE"
"""The environment variable that, set to 1, has the course do without threads, processes and sockets
anywhere: so the tests hold what runs in a page."""


def in_page() -> bool:
    """Whether the mock server has to run in this process, on this thread, and all else with it."""
    return sys.platform == "emscripten" or os.environ.get(SETTING) == "1"
