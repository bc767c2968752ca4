"""Each row of the field guide is run: the line says the text, and the line beside it works."""

import asyncio
import contextlib
import copy
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from jupyter_client.manager import start_new_kernel
from openai import AsyncOpenAI, OpenAI

from helpers import interrupts
from helpers.pytest_plugin import MockOpenAI
from tests.guide import causes, lines, names, other_pythons, rows, servers, stand_ins
from tests.guide.rows import Row

LINE, WORKS = "a line that says it", "a line that works"
SCRIPT, CELL = "a line of a script that says it", "a cell that says it"

LINES = rows.rows(LINE, "requests")
SCRIPTS = rows.rows(SCRIPT)
CELLS = rows.rows(CELL)
ANSWERS = rows.rows("the server's answer")
STATUS = rows.rows("the server")
OF_PYTHON = [row for row in LINES if row.section in rows.OF_PYTHON]


def by(*columns: str) -> Any:
    """Return how a row is named in the report: by its section and its line."""
    return lambda row: f"{row.section}: {'; '.join(row.cells[one] for one in columns)[:90]}"


def test_the_guide_has_rows_of_every_kind() -> None:
    assert len(LINES) > 100
    assert all([SCRIPTS, ENDS, CELLS, ANSWERS, STATUS])


# --- lines against the mock server ------------------------------------------------------------


class Cells:
    """One loop, with one client of each kind, in which lines run as in a notebook's cells."""

    def __init__(self, base_url: str) -> None:
        self.runner = asyncio.Runner()
        self.blocking = OpenAI(base_url=base_url, api_key="mock")
        self.client = AsyncOpenAI(base_url=base_url, api_key="mock")

    def at_fault(self, fault: str) -> "Cells":
        """The same, with a server that answers as `fault` says."""
        other = copy.copy(self)
        header = {"x-mock-fault": fault}
        other.client = self.client.with_options(default_headers=header)
        other.blocking = self.blocking.with_options(default_headers=header)
        return other

    def said(self, line: str) -> str:
        return self.runner.run(lines.said(line, names.names_of(self.client, self.blocking)))

    def works(self, line: str) -> None:
        self.runner.run(lines.works(line, names.names_of(self.client, self.blocking)))

    def close(self) -> None:
        self.runner.run(self.client.close())
        self.blocking.close()
        with warnings.catch_warnings():  # what the broken lines have left behind
            warnings.simplefilter("ignore")
            self.runner.close()


@pytest.fixture(scope="module")
def the_cells(mock_openai_server: MockOpenAI) -> Iterator[Cells]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_BASE_URL", mock_openai_server.base_url)
        patch.setenv("OPENAI_API_KEY", "mock")
        cells = Cells(mock_openai_server.base_url)
        yield cells
        cells.close()


@pytest.fixture
def cells(the_cells: Cells, mock_openai: MockOpenAI) -> Cells:
    """The same, and an empty journal."""
    return the_cells


@pytest.mark.parametrize("row", LINES, ids=by(LINE))
def test_a_line_says_its_text_after_so_many_requests(
    row: Row, cells: Cells, mock_openai: MockOpenAI
) -> None:
    said = cells.said(row.code(LINE))
    assert rows.is_said(row.says(), said), said
    assert str(len(mock_openai.requests())) in row.cells["requests"].split(" or ")


@pytest.mark.parametrize("row", LINES, ids=by(LINE))
def test_the_line_beside_it_works(row: Row, cells: Cells) -> None:
    cells.works(row.code(WORKS))


# --- scripts and magics -----------------------------------------------------------------------


def ran_as_a_script(line: str, cells: Cells) -> str:
    """Run a line where no loop runs and no await may stand alone; return the error's last line."""
    known = names.names_of(cells.client, cells.blocking)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            exec(compile(lines.source(line), "<script>", "exec"), known)
        except Exception as error:
            return lines.last_line(error)
        finally:
            known.clear()
    return ""


@pytest.mark.parametrize("row", SCRIPTS, ids=by(SCRIPT))
def test_a_script_says_its_text_after_so_many_requests(
    row: Row, cells: Cells, mock_openai: MockOpenAI
) -> None:
    said = ran_as_a_script(row.code(SCRIPT), cells)
    assert rows.is_said(row.says(), said), said
    assert len(mock_openai.requests()) == int(row.cells["requests"])


@pytest.mark.parametrize("row", SCRIPTS, ids=by(SCRIPT))
def test_the_line_beside_a_scripts_works(row: Row, cells: Cells) -> None:
    assert ran_as_a_script(row.code(WORKS), cells) == ""


ENDS = [Row(section, (), cells) for section, cells in rows.tables("standard error says")]
SAYS_IT = "a script that says it"


SCRIPTS_OWN = f"import asyncio\nfrom openai import AsyncOpenAI\n\nM = {names.QUESTION!r}\n"


def said_as_it_ended(script: str, server: MockOpenAI) -> list[str]:
    """Run a script that raises nothing, in a process of its own; return its standard error."""
    address = {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": server.api_key}
    process = subprocess.run(
        [sys.executable, "-c", SCRIPTS_OWN + lines.source(script)],
        env={**os.environ, **address},
        capture_output=True,
        text=True,
        check=True,
    )
    return process.stderr.splitlines()


@pytest.mark.parametrize("row", ENDS, ids=by(SAYS_IT))
def test_a_script_that_ends_well_says_its_text_on_standard_error(
    row: Row, mock_openai: MockOpenAI
) -> None:
    message, error = re.findall(r"`([^`]+)`", row.cells["standard error says"])
    mock_openai.pace(gap=0.05)  # a stream that is there as a whole may be at its end unread
    said, tries = list[str](), 0
    while not said and tries < 10:  # asyncio keeps the generators in a set, which has no order
        said = said_as_it_ended(row.code(SAYS_IT), mock_openai)
        tries += 1
    assert any(rows.is_said(message, line) for line in said), said
    assert error in said
    assert len(mock_openai.requests()) == tries * int(row.cells["requests"])


@pytest.mark.parametrize("row", ENDS, ids=by(SAYS_IT))
def test_the_script_beside_it_says_nothing(row: Row, mock_openai: MockOpenAI) -> None:
    assert said_as_it_ended(row.code("a script that works"), mock_openai) == []


def ran_in_ipython(cell: str, cells: Cells) -> str:
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    shell.user_ns.update(names.names_of(cells.client, cells.blocking))
    source = shell.transform_cell(cell.replace("(…", f"({lines.ARGUMENTS}"))
    with contextlib.redirect_stdout(io.StringIO()):
        result = cells.runner.run(shell.run_cell_async(cell, transformed_cell=source))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the cell has left un-awaited
        shell.reset(new_session=False)
    InteractiveShell.clear_instance()
    error = result.error_before_exec or result.error_in_exec
    return "" if error is None else lines.last_line(error)


@pytest.mark.parametrize("row", CELLS, ids=by(CELL))
def test_a_cell_says_its_text_after_so_many_requests(
    row: Row, cells: Cells, mock_openai: MockOpenAI
) -> None:
    said = ran_in_ipython(row.code(CELL), cells)
    assert rows.is_said(row.says(), said), said
    assert len(mock_openai.requests()) == int(row.cells["requests"])


@pytest.mark.parametrize("row", CELLS, ids=by(CELL))
def test_the_cell_beside_it_works(row: Row, cells: Cells) -> None:
    assert ran_in_ipython(row.code("a cell that works"), cells) == ""


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_timing_without_await_raises_nothing_and_sends_nothing(
    cells: Cells, mock_openai: MockOpenAI
) -> None:
    for cell in ("%time ask()", "%%time\nreply = ask()", "%timeit -n1 -r1 ask()"):
        assert ran_in_ipython(cell, cells) == ""
    assert mock_openai.requests() == []


# --- other Pythons ----------------------------------------------------------------------------


def test_stand_ins_say_what_the_sdks_own_objects_do() -> None:
    said = asyncio.run(other_pythons.words())
    for row in OF_PYTHON:
        words = said[row.code(LINE)]
        assert rows.is_said(row.says(), words), (row.code(LINE), words)


STAND_INS = {"client": AsyncOpenAI(api_key="k"), "blocking": OpenAI(api_key="k")}


@pytest.mark.parametrize("name", STAND_INS)
def test_a_stand_in_has_the_module_of_the_sdks_class(name: str) -> None:
    theirs, ours = STAND_INS[name], stand_ins.names_of()[name]
    for of in (
        lambda client: client,
        lambda client: client.chat.completions.stream(**names.QUESTION),
        lambda client: client.chat.completions.with_streaming_response.create(**names.QUESTION),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the async manager holds a call that nobody awaits
            real, stand_in = type(of(theirs)), type(of(ours))
        assert (stand_in.__module__, stand_in.__qualname__) == (real.__module__, real.__qualname__)


OTHERS = [
    path
    for minor in range(11, 20)
    if minor != sys.version_info.minor and (path := shutil.which(f"python3.{minor}"))
]


@pytest.mark.parametrize("python", OTHERS)
def test_another_python_on_this_machine_says_the_text_of_its_version(python: str) -> None:
    asked = subprocess.run(
        [python, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True
    )
    if asked.returncode:
        pytest.skip(f"{python} is a name without a Python behind it.")
    major, minor = map(int, asked.stdout.split())
    said = json.loads(
        subprocess.run(
            [python, other_pythons.__file__], capture_output=True, text=True, check=True
        ).stdout
    )
    for row in OF_PYTHON:
        words = said[row.code(LINE)]
        assert rows.is_said(row.says((major, minor)), words), (row.code(LINE), words)


# --- answers of compatible servers ------------------------------------------------------------


@pytest.fixture(scope="module")
def odd() -> Iterator[servers.Fake]:
    with servers.fake() as server:
        yield server


@pytest.fixture(scope="module")
def the_odd_cells(odd: servers.Fake) -> Iterator[Cells]:
    cells = Cells(f"{odd.address}/v1")
    yield cells
    cells.close()


@pytest.fixture
def at(odd: servers.Fake, the_odd_cells: Cells) -> Callable[[str], Cells]:
    """Return cells whose server answers as told, and has seen no request yet."""
    odd.seen.clear()
    return lambda fault: the_odd_cells.at_fault(fault)


ONE = ["POST /v1/chat/completions"]


@pytest.mark.parametrize("row", ANSWERS, ids=by("the server's answer", LINE))
def test_an_odd_answer_brings_its_text_and_is_not_tried_again(
    row: Row, at: Callable[[str], Cells], odd: servers.Fake
) -> None:
    said = at(row.code("the server's answer")).said(row.code(LINE))
    assert rows.is_said(row.says(), said), said
    assert odd.seen == ONE


@pytest.mark.parametrize("row", ANSWERS, ids=by("the server's answer", LINE))
def test_the_line_beside_it_takes_the_odd_answer(
    row: Row, at: Callable[[str], Cells], odd: servers.Fake
) -> None:
    at(row.code("the server's answer")).works(row.code(WORKS))
    assert odd.seen == ONE


@pytest.mark.parametrize("row", STATUS, ids=by("the server"))
def test_a_server_that_is_not_there_yet_brings_its_text(
    row: Row, at: Callable[[str], Cells], odd: servers.Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The waits between tries are the SDK's own, up to a second: not what is judged here.
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    said = at(row.code("the server")).said("await client.chat.completions.create(…)")
    assert rows.is_said(row.says(), said), said
    assert len(odd.seen) == int(row.cells["requests"].split(":")[0])


# --- the cause of a connection error ----------------------------------------------------------

CAUSES = [cells for _, cells in rows.tables("`__cause__` says")]


def test_each_cause_in_the_guide_has_a_run() -> None:
    assert len(CAUSES) == len(causes.WAYS)


@pytest.mark.parametrize(
    ("cells_of", "way"),
    list(zip(CAUSES, causes.WAYS, strict=False)),
    ids=[way.__name__ for way in causes.WAYS],
)
def test_a_connection_error_has_its_cause(
    cells_of: dict[str, str], way: causes.Way, mock_openai: MockOpenAI
) -> None:
    texts = [
        double or single
        for double, single in re.findall(rf"{rows.CODE}", cells_of["`__cause__` says"])
    ]
    error = asyncio.run(way(mock_openai.base_url))
    assert rows.is_said(texts[0].replace("\\\\\\\\", "\\\\"), repr(error.__cause__)), repr(
        error.__cause__
    )
    told = "Request timed out." if "imeout" in texts[0] else "Connection error."
    assert str(error) == told


# --- interrupted -------------------------------------------------------------------------------


def test_an_interrupt_is_in_the_guide_with_the_words_that_it_brings() -> None:
    texts = " ".join(row["Python says"] for _, row in rows.tables("the notebook"))
    for words in (interrupts.CANCELLED, interrupts.STOPPED):
        assert f"`KeyboardInterrupt: {words}`" in texts


@pytest.mark.slow  # waits for what an interrupt does not end
def test_without_the_course_an_interrupt_is_heard_when_the_awaited_thing_ends() -> None:
    seconds = 2.0
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        cell = client.execute(f"import asyncio\nprint('begun')\nawait asyncio.sleep({seconds})")
        began, error = 0.0, ""
        while True:
            message = client.get_iopub_msg(timeout=60)
            content = message["content"]
            if message["parent_header"].get("msg_id") != cell:
                continue
            if message["msg_type"] == "stream":
                began = time.monotonic()
                manager.interrupt_kernel()
            elif message["msg_type"] == "error":
                error = f"{content['ename']}: {content['evalue']}"
            elif content.get("execution_state") == "idle":
                break
        assert time.monotonic() - began > seconds / 2
        assert f"`{error}`" in [row["Python says"] for _, row in rows.tables("the notebook")]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


# --- facts beside the texts -------------------------------------------------------------------

NEVER = "async def f(): pass\n"


@pytest.mark.parametrize(
    ("code", "named"),
    [
        ("f()", False),
        ("import asyncio\nasync def main(): f()\nasyncio.run(main())", True),
    ],
)
def test_the_dev_mode_names_the_line_of_a_coroutine_made_while_a_loop_ran(
    code: str, named: bool
) -> None:
    ran = subprocess.run(
        [sys.executable, "-X", "dev", "-c", NEVER + code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": ""},
    )
    assert "was never awaited" in ran.stderr
    assert ("Coroutine created at" in ran.stderr) is named


@pytest.mark.parametrize(("expiry", "requests"), [(60.0, 1), (0.02, 0)], ids=["fresh", "stale"])
def test_a_call_in_a_second_loop_is_paid_for_only_on_a_fresh_connection(
    expiry: float, requests: int, mock_openai: MockOpenAI
) -> None:
    said = causes.in_two_loops(mock_openai.base_url, expiry)
    assert said == "Event loop is closed"
    assert len(mock_openai.requests()) == 1 + requests
