"""The harness itself: a small notebook runs in JupyterLab, and its trouble is seen."""

import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.lab import OpenNotebook, written

pytestmark = pytest.mark.browser

WIDGET = """\
import asyncio
from ipywidgets import HTML

line = HTML("waiting")
line.add_class("the-line")
display(line)
for word in ("one", "two", "three"):
    await asyncio.sleep(0.05)
    line.value = f"<b>{word}</b>"
"""


def test_a_widget_that_changes_during_an_await_shows_its_last_value(
    in_jupyterlab: Callable[[Path], OpenNotebook], tmp_path: Path
) -> None:
    notebook = in_jupyterlab(written(tmp_path / "mine", WIDGET, "print(6 * 7)"))
    notebook.run_all()
    assert notebook.page.locator(".the-line").text_content() == "three"
    assert "42" in notebook.page.locator(".jp-OutputArea-output").all_text_contents()[-1]
    light, dark = notebook.photograph("harness")
    assert light.read_bytes() != dark.read_bytes()


def test_run_all_tells_what_failed_and_what_was_left_out(
    in_jupyterlab: Callable[[Path], OpenNotebook], tmp_path: Path
) -> None:
    # While the first cell sleeps even a busy browser sends the others: when one fails, the kernel
    # leaves out what is in its queue, and runs what comes later.
    cells = ("import time\n\ntime.sleep(2)", "1 / 0", "print('never')")
    notebook = in_jupyterlab(written(tmp_path / "mine", *cells))
    with pytest.raises(AssertionError) as told:
        notebook.run_all()
    assert str(told.value).split("\n\n") == [
        "raised ZeroDivisionError: division by zero:\n1 / 0",
        "did not run: print('never')",
    ]


def test_jupyterlab_ends_when_the_tests_are_killed(tmp_path: Path) -> None:
    tests = """
from pathlib import Path
from tests.browser.lab import running_lab

with running_lab(Path.cwd(), Path.cwd()) as lab:
    print(lab.address, flush=True)
    input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", tests],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        process.kill()
    deadline = time.monotonic() + 30
    while answers(address):
        assert time.monotonic() < deadline, "JupyterLab runs on"
        time.sleep(0.2)  # nothing tells when a process that is not ours has ended


def answers(address: str) -> bool:
    try:
        urllib.request.urlopen(f"{address}/login", timeout=5).close()
    except TimeoutError:
        return True
    except OSError:
        return False
    return True
