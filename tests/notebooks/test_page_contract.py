"""Every lesson keeps the page contract, and each clause of the contract can be broken."""

import base64
from collections.abc import Callable
from pathlib import Path

import pytest
from nbformat import NotebookNode, v4

from tools import notebooks, page_contract


@pytest.mark.parametrize("path", notebooks.paths(), ids=lambda path: path.stem)
def test_a_lesson_keeps_the_page_contract(path: Path) -> None:
    assert page_contract.problems(notebooks.read(path)) == []


ANSWERS = "".join(
    f"<details><summary>{answer}</summary>{word}. Because.</details>"
    for answer, word in (("a", "No"), ("b", "Right"), ("c", "No"))
)
LAST_ANSWER = "<details><summary>c</summary>No. Because.</details>"
QUIZ = f"## Check yourself\n**1. What?**\n{ANSWERS}\n**2. And?**\n{ANSWERS}"


def code(id: str, source: str, *outputs: NotebookNode, tags: tuple[str, ...] = ()) -> NotebookNode:
    metadata: dict[str, object] = {"tags": list(tags)} if tags else {}
    if "solution" in tags:
        metadata["jupyter"] = {"source_hidden": True}
    return v4.new_code_cell(
        source, id=id, metadata=metadata, outputs=list(outputs), execution_count=1
    )


def prints(text: str) -> NotebookNode:
    return v4.new_output("stream", name="stdout", text=text)


def fails(message: str, line: str = "1 + '1'", end: str = "TypeError: no") -> NotebookNode:
    traceback = ["TypeError  Traceback", f"Cell In[1], line 1\n\x1b[32m----> \x1b[39m1 {line}", end]
    return v4.new_output("error", ename="TypeError", evalue=message, traceback=traceback)


AS_PNG = "data:image/png;base64,"


def draws(picture: bytes) -> NotebookNode:
    return shows(f'<img alt="Two lanes." src="{AS_PNG}{base64.b64encode(picture).decode()}">')


def shows(html: str) -> NotebookNode:
    return v4.new_output("display_data", data={"text/html": html})


@pytest.fixture
def page() -> NotebookNode:
    """The smallest notebook that keeps the contract."""

    def markdown(id: str, source: str) -> NotebookNode:
        return v4.new_markdown_cell(source, id=id)

    top = "# A title\nYou will be able to do it.\n\n"
    block = "**Time** 18 minutes · **You need** lesson 01 · **You will** see, try"
    rest = [code(f"cell-{number}", "print(1)", prints("1\n")) for number in range(6)]
    cells = [
        markdown("title", top + block),
        markdown("predict", "## An idea\n**Predict.** What comes?"),
        code("broken", "1 + '1'", fails("no"), tags=("raises-exception",)),
        *rest,
        code("starter", "x = 1", tags=("exercise",)),
        code("check-starter", 'await check("09-1", x)', prints("not yet  no"), tags=("check",)),
        code("solution", "# Solution\nx = 2", tags=("solution",)),
        code("check-again", 'await check("09-1", x)', prints("passed   yes"), tags=("check",)),
        v4.new_markdown_cell(QUIZ, id="quiz", metadata={"tags": ["quiz"]}),
        markdown("recap", "## Recap\n- a\n- b\n- c\n\n**The rule.** Read https://example.org"),
    ]
    return notebooks.normalised(v4.new_notebook(cells=cells))


def test_a_page_in_order_has_no_problems(page: NotebookNode) -> None:
    assert page_contract.problems(page) == []


def test_a_picture_is_no_problem(page: NotebookNode) -> None:
    cell(page, "cell-0").outputs = [draws(page_contract.PNG + b"pixels")]
    assert page_contract.problems(page) == []


def cell(page: NotebookNode, id: str) -> NotebookNode:
    return next(cell for cell in page.cells if cell.id == id)


def set_source(id: str, source: str) -> Callable[[NotebookNode], None]:
    return lambda page: cell(page, id).update(source=source)


def set_outputs(id: str, *outputs: NotebookNode) -> Callable[[NotebookNode], None]:
    return lambda page: cell(page, id).update(outputs=list(outputs))


BREAKS: dict[str, tuple[Callable[[NotebookNode], None], str]] = {
    "no title": (set_source("title", "A title"), "no title"),
    "no block": (set_source("title", "# A title\nA sentence."), "**Time**"),
    "hurried": (
        lambda page: cell(page, "title").update(
            source=cell(page, "title").source.replace("18 minutes", "10 minutes")
        ),
        "It says 10 minutes; its words, cells and exercises take 18.",
    ),
    "no prediction": (set_source("predict", "## An idea"), "predicted"),
    "no recap": (set_source("recap", "The end."), "no recap"),
    "too few points": (set_source("recap", "## Recap\n- a\n\n**R** https://x.org"), "1 points"),
    "no rule": (set_source("recap", "## Recap\n- a\n- b\n- c\nhttps://x.org"), "bold"),
    "no link": (set_source("recap", "## Recap\n- a\n- b\n- c\n**R**"), "links"),
    "hype": (set_source("predict", "**Predict.** It is simply so."), "'simply'"),
    "a long cell": (set_source("cell-0", "print(1)\n" * 21), "21 lines"),
    "a cell not run": (lambda page: cell(page, "cell-0").update(execution_count=None), "not run"),
    "too few cells": (lambda page: page.cells.pop(3), "14 cells"),
    "a random id": (lambda page: cell(page, "cell-0").update(id="9a8b7c6d"), "readable"),
    "an output not compared": (
        set_source("cell-0", "# NBVAL_IGNORE_OUTPUT\nprint(1)"),
        "NBVAL_IGNORE_OUTPUT keeps its output",
    ),
    "an output not compared in the old way": (
        set_source("cell-0", "# PYTEST_VALIDATE_IGNORE_OUTPUT\nprint(1)"),
        "PYTEST_VALIDATE_IGNORE_OUTPUT keeps its output",
    ),
    "a cell passed over": (
        lambda page: cell(page, "cell-0").metadata.update(tags=["nbval-skip"]),
        "nbval-skip keeps its output",
    ),
    "a folder": (set_outputs("cell-0", prints("/home/ann/x.py")), "a folder: '/home/ann/x.py'"),
    "a cell's file": (set_outputs("cell-0", prints("ipykernel_12/3.py")), "a folder"),
    "a key": (set_outputs("cell-0", prints("sk-abcdefgh12345678")), "a key"),
    "a host": (set_outputs("cell-0", prints("http://llm.example.org/v1")), "a host"),
    "a port": (set_outputs("cell-0", prints("127.0.0.1:54321")), "a host"),
    "a folder of the machine's": (set_outputs("cell-0", prints("/work/x")), "a folder: '/work/x'"),
    "a home": (set_outputs("cell-0", prints("~/course/x.py")), "a folder: '~/course/x.py'"),
    "a folder in colours": (
        set_outputs("cell-0", prints("/ho\x1b[31mme/ann\x1b[0m")),
        "a folder: '/home/ann'",
    ),
    "a key in a header": (set_outputs("cell-0", prints("Bearer abcdefgh")), "a key"),
    "a picture that is none": (set_outputs("cell-0", draws(b"hello")), "no PNG"),
    "a picture cut off in its text": (
        set_outputs("cell-0", shows(f'<img alt="Two lanes." src="{AS_PNG}iVBOR">')),
        "no PNG",
    ),
    "a picture without a word": (
        set_outputs("cell-0", shows(f'<img alt="" src="{AS_PNG}iVBORw0KGgo=">')),
        "no alternative text",
    ),
    "a picture of a type that has no words": (
        set_outputs("cell-0", v4.new_output("display_data", data={"image/png": "iVBORw0KGgo="})),
        "no alternative text",
    ),
    "too many bytes": (set_outputs("cell-0", prints("x\n" * 250_000)), "500000 at most"),
    "another error's traceback": (
        set_outputs("broken", fails("no", end="ValueError: no")),
        "does not end in the error",
    ),
    "another cell's traceback": (
        set_outputs("broken", fails("no", line="1 + '2'")),
        "points at no line",
    ),
    "a traceback that points nowhere": (
        set_outputs(
            "broken",
            v4.new_output("error", ename="TypeError", evalue="no", traceback=["TypeError: no"]),
        ),
        "points at no line",
    ),
    "an error that is not raised": (set_outputs("broken"), "no error is stored"),
    "an error that is not tagged": (set_outputs("cell-0", fails("oh")), "not tagged"),
    "a starter that passes": (set_outputs("check-starter", prints("passed   yes")), "09-1"),
    "a solution that fails": (set_outputs("check-again", prints("not yet  no")), "09-1"),
    "a pass that would count": (set_source("solution", "x = 2"), "a run of it would count"),
    "an open solution": (lambda page: cell(page, "solution").metadata.pop("jupyter"), "folded"),
    "no solution": (lambda page: cell(page, "solution").metadata.pop("tags"), "pair up"),
    "an untagged check": (
        lambda page: cell(page, "check-starter").metadata.pop("tags"),
        "not tagged so",
    ),
    "no quiz": (lambda page: cell(page, "quiz").metadata.pop("tags"), "no quiz"),
    "too few questions": (set_source("quiz", QUIZ.replace("**2.", "**")), "1 questions"),
    "two right answers": (set_source("quiz", QUIZ.replace("No.", "Right.", 1)), "Question 1"),
    "two answers": (
        set_source("quiz", QUIZ.replace(ANSWERS, ANSWERS.replace(LAST_ANSWER, ""), 1)),
        "Question 1",
    ),
    "a bare verdict": (set_source("quiz", QUIZ.replace("No. Because.", "No. ", 1)), "Question 1"),
    "backticks in HTML": (set_source("quiz", QUIZ.replace("Because", "`x`", 1)), "backticks"),
    "not in the stored form": (lambda page: page.metadata.update(author="me"), "stored form"),
}


@pytest.mark.parametrize(("break_it", "says"), BREAKS.values(), ids=BREAKS)
def test_a_broken_page_is_told_so(
    page: NotebookNode, break_it: Callable[[NotebookNode], None], says: str
) -> None:
    break_it(page)
    assert any(says in problem for problem in page_contract.problems(page))
