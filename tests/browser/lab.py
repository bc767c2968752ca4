"""JupyterLab on loopback with nothing of the machine's own settings, and a notebook open in it."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

from tools import notebooks

if TYPE_CHECKING:  # playwright comes with the extra `browser` alone
    from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[2]

READY_SECONDS = 120
"""JupyterLab answers after 2 to 4 s on two idle cores; at a load of ten it took a minute."""

ENDING_SECONDS = 30
"""It ends within 2 s, or never: its end may wait for a socket to a kernel that is gone."""

RUN_SECONDS = 300
"""A lesson's cells take a few seconds at the tests' pace, forty at a reader's."""

SETTINGS = {
    # The first start asks whether to fetch news, over the notebook.
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    # Otherwise cells out of sight have no outputs in the page.
    "notebook-extension/tracker": {"windowingMode": "none"},
}

THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}


@dataclass(frozen=True, slots=True)
class Lab:
    """A running JupyterLab: where it answers, and its token."""

    address: str
    token: str

    def url(self, notebook: str) -> str:
        return f"{self.address}/lab/tree/{notebook}?token={self.token}&reset"


@contextmanager
def running_lab(folder: Path, scratch: Path) -> Iterator[Lab]:
    """Serve `folder` until the block ends, or this process. All of its own lives in `scratch`."""
    for extension, settings in SETTINGS.items():
        file = scratch / "settings" / "@jupyterlab" / f"{extension}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(settings), "utf-8")
    own = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    environment = os.environ | {name: str(scratch / part) for name, part in own.items()}
    lab = Lab(f"http://127.0.0.1:{_free_port()}", secrets.token_hex(16))
    command = [
        *(sys.executable, "-m", "tests.browser.serve"),
        "--no-browser",
        "--expose-app-in-browser",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={lab.address.rpartition(':')[2]}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={folder}",
        f"--IdentityProvider.token={lab.token}",
    ]
    if sys.platform == "linux" and os.geteuid() == 0:
        command.append("--allow-root")  # containers
    log = scratch / "jupyterlab.log"
    with (
        log.open("wb") as out,
        subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=out, stderr=out
        ) as process,
    ):
        try:
            _wait_until_it_answers(lab, process, log)
            yield lab
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let JupyterLab end its kernels and itself."""
    assert process.stdin is not None
    process.stdin.close()  # it knows by that; a signal beside it would begin a second ending
    try:
        process.wait(ENDING_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def written(folder: Path, *sources: str) -> Path:
    """Write a notebook with these code cells into a new `folder`; return its path."""
    folder.mkdir()
    cells = [new_code_cell(source) for source in sources]
    path = folder / "small.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata=notebooks.METADATA), path)
    return path


def copied(notebook: Path, folder: Path) -> str:
    """Copy a notebook with all that stands beside it into `folder`; return its name there."""
    shutil.copytree(
        notebook.parent,
        folder,
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns(".*", "__pycache__"),
    )
    return notebook.name


@dataclass(frozen=True, slots=True)
class OpenNotebook:
    """A notebook in the browser, its kernel idle."""

    page: "Page"
    pictures: Path

    def run_all(self, seconds: float = RUN_SECONDS) -> None:
        """Do what the menu's *Run All Cells* does and wait until every cell has run.

        Raises:
            AssertionError: a cell failed that is not tagged `raises-exception`, or did not run.
        """
        self.page.evaluate(RUN_ALL)
        self.page.wait_for_function("window.allRan", timeout=seconds * 1000)
        assert not (wrong := self.page.evaluate(WRONG)), "\n\n".join(wrong)

    def photograph(self, name: str, selector: str | None = None) -> list[Path]:
        """Store what `selector` matches first (the whole window by default), light and dark."""
        self.pictures.mkdir(parents=True, exist_ok=True)
        taken = []
        for word, theme in THEMES.items():
            self._change_theme(theme)
            path = self.pictures / f"{name}-{word}.png"
            if selector is None:
                self.page.screenshot(path=path)
            else:
                found = self.page.locator(selector).first
                found.scroll_into_view_if_needed()
                found.screenshot(path=path)
            taken.append(path)
        self._change_theme(THEMES["light"])
        return taken

    def photograph_whole(self, name: str) -> list[Path]:
        """Store the notebook in its whole length, light and dark."""
        window = self.page.viewport_size
        assert window is not None
        length = self.page.evaluate(
            """() => Math.max(...[...document.querySelectorAll('.jp-Notebook *')]
                .map(each => each.scrollHeight))"""
        )
        # JupyterLab scrolls inside its own panel, so the window must hold it all.
        self.page.set_viewport_size({"width": window["width"], "height": length + 200})
        taken = self.photograph(name)
        self.page.set_viewport_size(window)
        return taken

    def _change_theme(self, theme: str) -> None:
        self.page.evaluate(
            "theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", theme
        )
        self.page.wait_for_selector(f'body[data-jp-theme-name="{theme}"]', state="attached")
        self.page.wait_for_selector("#jupyterlab-splash", state="detached")  # fades out over it


KERNEL_IDLE = "jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'"

RUN_ALL = """() => {
    window.allRan = false;
    const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    jupyterapp.commands.execute('notebook:run-all-cells')
        // That ends with the first error, be it tagged, and takes the stars off the cells that are
        // still in the kernel's queue. So queue up behind them.
        .then(() => kernel.requestExecute({code: '', silent: true, stop_on_error: false}).done)
        .finally(() => { window.allRan = true; });
}"""

WRONG = """() => jupyterapp.shell.currentWidget.content.widgets
    .filter(({model}) => model.type === 'code' && model.sharedModel.getSource().trim())
    .map(({model}) => {
        const source = model.sharedModel.getSource();
        if (model.executionCount === null) return `did not run: ${source.split('\\n')[0]}`;
        if (model.getMetadata('tags')?.includes('raises-exception')) return null;
        const error = model.outputs.toJSON().find(output => output.output_type === 'error');
        return error ? `raised ${error.ename}: ${error.evalue}:\\n${source}` : null;
    })
    .filter(wrong => wrong)"""


def open_notebook(page: "Page", lab: Lab, name: str, pictures: Path) -> OpenNotebook:
    """Show the notebook `name` of the served folder, and wait for its kernel."""
    page.goto(lab.url(name))
    try:
        page.wait_for_function(
            f"""() => window.jupyterapp?.shell.currentWidget?.sessionContext?.isReady
                && jupyterapp.shell.currentWidget.context.path === {json.dumps(name)}
                && {KERNEL_IDLE}""",
            timeout=READY_SECONDS * 1000,
        )
    except Exception as error:
        pictures.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=pictures / "not-opened.png")
        error.add_note(f"What the window showed instead: {pictures / 'not-opened.png'}")
        raise
    page.evaluate("jupyterapp.shell.collapseLeft()")  # the width of a reader's window
    return OpenNotebook(page, pictures)


def start_all(page: "Page") -> None:
    """Run all cells without waiting for their end."""
    page.evaluate(
        """() => {
            window.allRan = false;
            jupyterapp.commands.execute('notebook:run-all-cells')
                .finally(() => { window.allRan = true; });
        }"""
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_it_answers(lab: Lab, process: "subprocess.Popen[bytes]", log: Path) -> None:
    question = urllib.request.Request(
        f"{lab.address}/api/status", headers={"Authorization": f"token {lab.token}"}
    )
    deadline = time.monotonic() + READY_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(question, timeout=5).close()
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.1)  # nothing tells when a port opens
        else:
            return
    raise AssertionError(f"JupyterLab did not start:\n{log.read_text('utf-8')[-4000:]}")
