"""A lesson's own solution never counts as the learner's, in whatever way the notebook is run."""

import ast
import asyncio
import functools
import inspect
import json
import linecache
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat import NotebookNode

from helpers.checks import check, shipped
from helpers.checks.shipped import HEADING, is_shipped
from tools import notebooks
from tools.refresh import run

LESSON = notebooks.FOLDER / "00_start_here.ipynb"


@pytest.fixture
def progress_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "progress.json"
    monkeypatch.setenv("AWAITED_PROGRESS", str(file))
    monkeypatch.setattr("helpers.checks.record._passed", set())
    return file


def passed(file: Path) -> list[str]:
    return list(json.loads(file.read_text())["passed"]) if file.exists() else []


def source(lesson: NotebookNode, id: str) -> str:
    return next(str(cell.source) for cell in lesson.cells if cell.id == id)


# Slow, as what follows runs the same cells without a kernel: this is the second proof.
@pytest.mark.slow
def test_a_headless_run_from_top_to_bottom_passes_no_exercise(
    progress_file: Path,
) -> None:
    lesson = notebooks.read(LESSON)
    ran = run(lesson, notebooks.FOLDER)
    verdicts = [c.outputs[0].data["text/plain"] for c in ran.cells if c.id.endswith("check-again")]
    assert [verdict.split()[0] for verdict in verdicts] == ["passed", "passed"]
    assert passed(progress_file) == []


@pytest.mark.slow
def test_a_starter_repaired_word_for_word_as_the_solution_counts(progress_file: Path) -> None:
    lesson = notebooks.read(LESSON)
    kept = ("first-answer", "ask-starter", "ask-check")
    lesson.cells = [cell for cell in lesson.cells if cell.id in kept]
    starter = lesson.cells[1]
    starter.source += ".content"
    solution = source(notebooks.read(LESSON), "ask-solution")
    assert starter.source.endswith(solution.removeprefix(HEADING))
    run(lesson, notebooks.FOLDER)
    assert passed(progress_file) == ["00-1"]


def executed(*sources: str) -> dict[str, Any]:
    """Run cells as a tool does that knows no notebook: compile, exec, await what is to be awaited.

    Python has no source of what such cells define.
    """
    names: dict[str, Any] = {"__name__": "__main__"}

    async def all_cells() -> None:
        for number, cell in enumerate(sources):
            code = compile(cell, f"<{number}>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            result = eval(code, names)
            if inspect.iscoroutine(result):
                await result

    asyncio.run(all_cells())
    return names


def test_cells_run_by_exec_pass_no_exercise(progress_file: Path) -> None:
    cells = [cell.source for cell in notebooks.read(LESSON).cells if cell.cell_type == "code"]
    assert '"00-1"' in "".join(cells)
    executed(*cells)
    assert passed(progress_file) == []


def test_an_answer_of_ones_own_run_by_exec_counts(progress_file: Path) -> None:
    lesson = notebooks.read(LESSON)
    own = "def ask(text):\n    return ''.join([create(text).choices[0].message.content])\n"
    own += "def create(text):\n    messages = [{'role': 'user', 'content': text}]\n"
    own += "    return client.chat.completions.create(model=model(), messages=messages)\n"
    executed(
        source(lesson, "first-answer"), "from helpers import check", own, 'await check("00-1", ask)'
    )
    assert passed(progress_file) == ["00-1"]


# --- how it is told ---


def typed(text: str, name: str = "f") -> Any:
    """Define what a cell of this text does, its source kept as IPython keeps it."""
    file = f"<cell {abs(hash(text))}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    names: dict[str, Any] = {"functools": functools}
    exec(compile(text, file, "exec"), names)
    return names[name]


PLAIN = "def f(x):\n    return x\n"
WAYS: dict[str, tuple[str, bool]] = {
    "under its heading": (f"{HEADING}\n{PLAIN}", True),
    "pasted below other code": (f"y = 1\n{HEADING}\n{PLAIN}", True),
    "a partial of it": (f"{HEADING}\ndef g(x):\n    return x\nf = functools.partial(g)\n", True),
    "wrapped": (f"{HEADING}\n@functools.lru_cache\ndef f(x):\n    return x\n", True),
    "a class": (f"{HEADING}\nclass f:\n    def m(self):\n        return 1\n", True),
    "an object": (
        f"{HEADING}\nclass C:\n    def __call__(self):\n        return 1\nf = C()\n",
        True,
    ),
    "pasted without its heading": (PLAIN, False),
    "under a heading of one's own": (f"# Solution of mine\n{PLAIN}", False),
}


@pytest.mark.parametrize(("text", "told"), WAYS.values(), ids=WAYS)
def test_a_cell_is_told_by_its_heading(text: str, told: bool) -> None:
    assert is_shipped("00-1", typed(text)) is told


@pytest.mark.parametrize("answer", [print, 3, "text", None])
def test_what_has_no_code_is_no_solution(answer: object) -> None:
    assert not is_shipped("00-1", answer)


def untyped(text: str, name: str) -> Any:
    names: dict[str, Any] = {}
    exec(text, names)
    return names[name]


CHANGES: dict[str, tuple[Callable[[str], str], str, bool]] = {
    "as it is": (lambda text: text, "ask", True),
    "renamed": (lambda text: text.replace("ask(", "mine("), "mine", True),
    "further down": (lambda text: f"x = 1\n\n\n{text}", "ask", True),
    "of another name inside": (lambda text: text.replace("answer", "reply"), "ask", False),
}


@pytest.mark.parametrize(("change", "name", "told"), CHANGES.values(), ids=CHANGES)
def test_without_a_source_the_code_is_compared(
    change: Callable[[str], str], name: str, told: bool
) -> None:
    solution = source(notebooks.read(LESSON), "ask-solution")
    assert is_shipped("00-1", untyped(change(solution), name)) is told


def test_where_the_lessons_are_not_there_code_without_source_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    solution = source(notebooks.read(LESSON), "ask-solution")
    monkeypatch.setattr(shipped.lessons, "found", list)
    assert not is_shipped("00-1", untyped(solution, "ask"))


def test_a_pass_of_the_solution_is_a_pass_and_does_not_count(progress_file: Path) -> None:
    lesson = nbformat.read(LESSON, 4)
    names = executed(source(lesson, "first-answer"))
    text = source(lesson, "ask-solution")
    ask = typed(text, "ask")
    ask.__globals__.update(names)
    assert asyncio.run(check("00-1", ask)).passed
    assert passed(progress_file) == []
