"""Every lesson runs on a real model: what must work works, what must fail fails in the same way."""

from pathlib import Path

import pytest
from nbformat import NotebookNode, v4

from tests.real.conftest import RealServer
from tests.real.lessons import problems, run
from tools import notebooks


@pytest.mark.real
@pytest.mark.parametrize("path", notebooks.paths(), ids=lambda path: path.stem)
def test_a_lesson_runs_on_a_real_model(path: Path, real_server: RealServer) -> None:
    stored = notebooks.read(path)
    found = problems(stored, run(stored, path.parent, real_server.environment))
    assert not found, "\n\n".join(found)


ASK = """\
from helpers import blocking_client, model, requests_seen

answer = blocking_client().chat.completions.create(
    model=model(), messages=[{"role": "user", "content": "Hello"}]
)
print(answer.choices[0].message.content)
"""


@pytest.mark.real
def test_a_cell_asks_the_real_model_and_the_journal_says_in_one_line_that_it_cannot_know(
    real_server: RealServer, tmp_path: Path
) -> None:
    cells = [ASK, "print('seen:', requests_seen())", "answer.system_fingerprint"]
    stored = page(*(v4.new_code_cell(source) for source in cells))
    fresh = run(stored, tmp_path, real_server.environment)
    assert problems(stored, fresh) == []
    assert fresh.cells[1].outputs[0].text.startswith("seen: unknown (only the mock server")
    assert fresh.cells[1].outputs[0].text.count("\n") == 1
    assert fresh.cells[2].outputs[0].data["text/plain"].startswith("'b")  # llama.cpp's build


def page(*cells: NotebookNode) -> NotebookNode:
    return v4.new_notebook(cells=list(cells), metadata=notebooks.METADATA)


def says(text: str, name: str = "stdout") -> NotebookNode:
    return v4.new_code_cell("…", outputs=[v4.new_output("stream", name=name, text=text)])


def shows(text: str) -> NotebookNode:
    data = {"text/plain": text}
    return v4.new_code_cell("…", outputs=[v4.new_output("execute_result", data=data)])


def raises(name: str, message: str) -> NotebookNode:
    error = v4.new_output("error", ename=name, evalue=message, traceback=[])
    return v4.new_code_cell("…", outputs=[error])


AT_ONE_ADDRESS = raises("TypeError", "<coroutine object f at 0x7f8ee3f93990>")
AT_ANOTHER = raises("TypeError", "<coroutine object f at 0x7f8ee3f00000>")
OTHER_MESSAGE = raises("TypeError", "no")
OTHER_ERROR = raises("ValueError", "no")
PASSED = shows("passed   1 request reached the server")
PASSED_BLINDLY = shows("passed   fine\n         This endpoint keeps no journal")
NOT_YET = shows("not yet  ask() returned a coroutine")


@pytest.mark.parametrize(
    ("stored", "fresh"),
    [
        (says("Because of Rayleigh scattering."), says("The sky, in its vastness")),
        (AT_ONE_ADDRESS, AT_ANOTHER),
        (PASSED, PASSED_BLINDLY),
        (NOT_YET, PASSED_BLINDLY),
        (says("/tmp/ipykernel_1/2.py:3: w", "stderr"), says("<cell>:3: w", "stderr")),
    ],
)
def test_what_the_model_may_do_otherwise(stored: NotebookNode, fresh: NotebookNode) -> None:
    assert problems(page(stored), page(fresh)) == []


@pytest.mark.parametrize(
    ("stored", "fresh", "told"),
    [
        (says("fine"), OTHER_ERROR, "should have worked, but raised ValueError: no"),
        (OTHER_ERROR, says("fine"), "should have raised ValueError: no, but worked"),
        (OTHER_MESSAGE, OTHER_ERROR, "should have raised TypeError: no, but raised ValueError: no"),
        (OTHER_MESSAGE, AT_ANOTHER, "but raised TypeError: <coroutine object f at 0x...>"),
        (PASSED, NOT_YET, "should have passed, but said:\nnot yet"),
        (says("a", "stderr"), says("b", "stderr"), "should have warned 'a', but warned 'b'"),
    ],
)
def test_what_must_not_differ(stored: NotebookNode, fresh: NotebookNode, told: str) -> None:
    (problem,) = problems(page(stored), page(fresh))
    assert told in problem
