"""The browser edition's lessons without process, thread and socket: their stored outputs, still."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.page import SETTING
from tools import notebooks

# Slow, as each has been run through the socket already: this is the second proof.
pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "path",
    [path for path in notebooks.paths() if path.stem[:2] in notebooks.RUN_IN_A_PAGE],
    ids=lambda p: p.stem,
)
def test_a_lesson_shows_the_same_through_the_door_within_its_process(path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, str(path)],
        env=os.environ | {SETTING: "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed
    assert int(passed[1]) > 10, "hardly a cell ran"
