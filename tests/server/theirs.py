"""Runs the tests of somebody's project, which has this checkout's plugin and no other."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def tested(project: Path) -> "subprocess.CompletedProcess[str]":
    # The plugin is loaded by its path, whether or not this checkout is what pip installed.
    options = ["-q", "-p", "no:cacheprovider", "-p", "helpers.pytest_plugin"]
    # Under CI pytest's summary has the whole message, and every text would be there twice.
    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "CI": ""}
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(project)],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT), **alone},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
