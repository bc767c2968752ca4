"""The edition with nothing to install, in a browser that reaches nothing but its files.

`make lite` has built it; here it lies on a plain file server, as on any web host.
"""

import functools
import http.server
import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import PICTURES
from tests.browser.lab import KERNEL_IDLE, ROOT, OpenNotebook
from tests.needs import missing
from tools import notebooks

if TYPE_CHECKING:  # playwright comes with the extra `browser` alone
    from playwright.sync_api import Browser, BrowserContext, Page, Request

pytestmark = pytest.mark.lite

EDITION = ROOT / "build" / "site" / "lite"

START_SECONDS = 120
"""A kernel is there after 12 s on two idle cores."""

PACE = 0.5
"""Half of a reader's. At a tenth, as in the other tests, a page's Python works on an answer for as
long as it waits for it, and a check takes that for a loop that stands still."""

CELL = re.compile(r"<ipython-input-\d+-[0-9a-f]+>")
"""What a warning calls a cell there; elsewhere it is a temporary file."""

NOT_THERE = ("ok      ipykernel 7.4 or newer\n",)
"""What lesson 00 finds installed, and a page has not: its kernel is another."""


class _Files(http.server.SimpleHTTPRequestHandler):
    extensions_map = {  # noqa: RUF012
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The edition on a file server of its own, in a folder, as it lies under the site."""
    if not (EDITION / "loads.json").exists():
        missing("build/site/lite", "run `make lite`")
    handler = functools.partial(_Files, directory=str(EDITION.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/lite"
        server.shutdown()


@pytest.fixture
def context(chromium: "Browser") -> Iterator["BrowserContext"]:
    """A browser that has never been here. Fails the test if it asked for more than the files."""
    foreign: list[str] = []

    def note(request: "Request") -> None:
        if not request.url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            foreign.append(request.url)

    with chromium.new_context(viewport={"width": 1400, "height": 1000}) as made:
        made.on("request", note)
        yield made
    assert not foreign, f"the page reached beyond its host: {foreign}"


Opened = Callable[[str], OpenNotebook]


@pytest.fixture
def in_the_edition(context: "BrowserContext", address: str) -> Opened:
    """Return `in_the_edition(name)`: a lesson opened from the start page, its kernel idle."""

    def opened(name: str) -> OpenNotebook:
        page = context.new_page()
        page.goto(f"{address}/")
        page.locator(f'a[href="?lesson={name}"]').click()
        return when_idle(page)

    return opened


def when_idle(page: "Page") -> OpenNotebook:
    page.wait_for_function(
        "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.isReady && " + KERNEL_IDLE,
        timeout=START_SECONDS * 1000,
    )
    return OpenNotebook(page, PICTURES)


OUTPUTS = """() => jupyterapp.shell.currentWidget.content.widgets
    .filter(({model}) => model.type === 'code')
    .map(({model}) => model.outputs.toJSON())"""


def promised() -> list[Path]:
    return [path for path in notebooks.paths() if path.stem[:2] in notebooks.RUN_IN_A_PAGE]


@pytest.mark.parametrize("path", promised(), ids=lambda path: path.stem)
def test_run_all_takes_a_lesson_to_its_end_and_shows_what_is_stored(
    in_the_edition: Opened, path: Path
) -> None:
    notebook = in_the_edition(path.name)
    run(notebook, f"import os; os.environ['MOCK_PACE'] = '{PACE}'")
    notebook.run_all()
    shown = notebook.page.evaluate(OUTPUTS)
    stored = [cell.outputs for cell in notebooks.read(path).cells if cell.cell_type == "code"]
    assert len(shown) == len(stored)
    for here, there in zip(shown, stored, strict=True):
        expected = comparable(there)
        for line in NOT_THERE:
            expected = {kind: text.replace(line, "") for kind, text in expected.items()}
        assert comparable(here) == expected
    notebook.photograph(f"lite-{path.stem}")


def comparable(outputs: list[Any]) -> dict[str, str]:
    """Return a cell's outputs as text, by kind, without what differs by nature."""
    found: dict[str, str] = {}
    for output in outputs:
        if notebooks.WIDGET in output.get("data", {}):
            continue  # live, and not stored
        match output["output_type"]:
            case "stream":
                kind, text = output["name"], "".join(output["text"])
            case "error":
                name = output["ename"].removeprefix("<class '").removesuffix("'>")
                kind, text = "error", f"{name.rpartition('.')[2]}: {output['evalue']}"
            case _:
                kind, text = "shown", "".join(output["data"].get("text/plain", "")) + "\n"
        found[kind] = found.get(kind, "") + text
    return {
        kind: notebooks.sanitised(CELL.sub("<cell>", text)).strip() for kind, text in found.items()
    }


def run(notebook: OpenNotebook, code: str) -> str:
    """Run code in the notebook's kernel, beside its cells; return what it prints."""
    said: str = notebook.page.evaluate(
        """async code => {
            const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
            const future = kernel.requestExecute({code});
            let said = '';
            future.onIOPub = ({content}) => { said += content.text ?? content.evalue ?? ''; };
            await future.done;
            return said;
        }""",
        code,
    )
    return said.strip()


SOLVED = """
from helpers import blocking_client, check, model, progress

def ask(text):
    answer = blocking_client().chat.completions.create(
        model=model(), messages=[{"role": "user", "content": text}]
    )
    return answer.choices[0].message.content

print(await check("00-1", ask))
"""


def test_progress_notebooks_and_copies_outlive_a_reload(in_the_edition: Opened) -> None:
    notebook = in_the_edition("00_start_here.ipynb")
    assert run(notebook, SOLVED).startswith("passed")
    copies = "from helpers import practice; practice()"
    assert "lessons copied without outputs" in run(notebook, copies)
    page = notebook.page
    page.evaluate(
        """async () => {
            const panel = jupyterapp.shell.currentWidget;
            panel.content.widgets[1].model.sharedModel.setSource('kept = 41 + 1');
            await panel.context.save();
        }"""
    )
    page.reload()
    notebook = when_idle(page)
    said = run(notebook, "from helpers import progress; print(progress())")
    assert said.splitlines()[0] == "lesson 00  ■□   1 of 2"
    assert "in practice/ already, and left as they are" in run(notebook, copies)
    sources = page.evaluate(
        "jupyterapp.shell.currentWidget.content.widgets.map(one => one.model.sharedModel.source)"
    )
    assert "kept = 41 + 1" in sources


BLOCKING = """
import asyncio
from helpers import Heartbeat, blocking_client, journal, model

ticks = 0

async def tick():
    global ticks
    while True:
        ticks += 1
        await asyncio.sleep(0)

clock = asyncio.create_task(tick())
await asyncio.sleep(0.1)
before = ticks
async with Heartbeat() as beat:
    blocking_client().chat.completions.create(
        model=model(), messages=[{"role": "user", "content": "Why is the sky blue?"}]
    )
print(before > 1, ticks - before, beat)
clock.cancel()
"""


def test_a_blocking_call_freezes_the_loop_of_the_page(in_the_edition: Opened) -> None:
    said = run(in_the_edition("01_blocking_calls.ipynb"), BLOCKING)
    assert said == "True 0 The event loop froze."


def test_the_start_page_says_what_it_loads_and_how_far_it_is(
    context: "BrowserContext", address: str
) -> None:
    page = context.new_page()
    held: list[Any] = []
    page.route("**/python_stdlib.zip", lambda route: held.append(route))
    page.goto(f"{address}/?lesson=00_start_here.ipynb")
    page.get_by_text(" MB", exact=False).first.wait_for()
    total = sum(file["bytes"] for file in json.loads((EDITION / "loads.json").read_text("utf-8")))
    page.get_by_text(f"of {total / 1e6:.1f} MB").wait_for()
    bar = page.get_by_role("progressbar")
    assert 0 < float(bar.get_attribute("value") or 0) < float(bar.get_attribute("max") or 0)
    while not held:
        page.wait_for_timeout(10)
    held[0].continue_()
    page.wait_for_url("**/lab/index.html?path=notebooks/00_start_here.ipynb")


def test_the_start_page_says_what_to_do_where_it_cannot_load(
    context: "BrowserContext", address: str
) -> None:
    page = context.new_page()
    page.route("**/pyodide.asm.wasm", lambda route: route.abort())
    page.goto(f"{address}/?lesson=00_start_here.ipynb")
    page.get_by_text("Not everything could be loaded.").wait_for()
    assert page.get_by_text("Choose a lesson to try again.").is_visible()
    assert page.get_by_role("link", name="00 · Start here").is_visible()
