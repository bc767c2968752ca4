"""Each pitfall is shown live and repaired beside it, or stands in the field guide, with a run."""

import re
from functools import cache
from pathlib import Path

import pytest
from nbformat import NotebookNode

from tests.guide import rows
from tools import notebooks
from tools.page_contract import shown, tags

PITFALLS = range(1, 52)

IN_THE_GUIDE = {
    37: "TypeError: 'NoneType' object is not subscriptable",
    38: "AttributeError: 'NoneType' object has no attribute 'strip'",
    39: "AttributeError: 'str' object has no attribute 'choices'",
    43: "SyntaxError: 'await' outside async function",
    44: "SyntaxError: 'await' outside function",
    45: "ReadError('')",
    46: "CancelledError: ",
    48: "RuntimeError: cannot reuse already awaited coroutine",
    51: "openai.APIStatusError: Error code: 405",
}
"""Those that only the guide has: a text of each, in a table whose rows are run
(`test_field_guide.py`)."""

RUN = ("Python says", "`__cause__` says")
"""Columns of the tables that are run. Those of "More words" are held to a lesson's output."""

GUIDE = notebooks.ROOT / "docs" / "field-guide.md"
ROW = re.compile(
    r"^\| (\d+) \| (.+?) \| .+? \| .+? \| \[(\d\d)\]\(\.\./notebooks/(.+?)\) \|$", re.M
)
ROWS = {int(row[0]): row[1:] for row in ROW.findall(GUIDE.read_text("utf-8"))}


@cache
def lessons() -> list[tuple[Path, NotebookNode]]:
    return [(path, notebooks.read(path)) for path in notebooks.paths()]


def cells_tagged(tag: str) -> list[tuple[Path, str]]:
    return [
        (path, cell.id) for path, lesson in lessons() for cell in lesson.cells if tag in tags(cell)
    ]


@pytest.mark.parametrize("number", [n for n in PITFALLS if n not in IN_THE_GUIDE])
def test_a_pitfall_is_shown_live_and_repaired_in_the_same_lesson(number: int) -> None:
    shows = {path for path, _ in cells_tagged(f"pitfall-{number}")}
    repairs = {path for path, _ in cells_tagged(f"repair-{number}")}
    assert shows
    assert shows <= repairs


@pytest.mark.parametrize("number", IN_THE_GUIDE)
def test_a_pitfall_that_only_the_guide_has_stands_in_a_row_that_is_run(number: int) -> None:
    texts = [
        text
        for section, cells in rows.tables(*RUN, "the notebook")
        if not section.startswith("More words")
        for text in cells.values()
    ]
    assert any(f"`{IN_THE_GUIDE[number]}`" in text for text in texts)


def test_the_guide_has_every_pitfall_that_is_shown_and_no_other() -> None:
    live = {number for number in PITFALLS if cells_tagged(f"pitfall-{number}")}
    assert set(ROWS) == live


@pytest.mark.parametrize("number", ROWS)
def test_a_symptom_in_the_guide_is_one_that_its_lesson_shows(number: int) -> None:
    symptom, lesson, name = ROWS[number]
    assert name.startswith(lesson)
    notebook = notebooks.read(notebooks.FOLDER / name)
    seen = "\n".join(shown(cell) for cell in notebook.cells if f"pitfall-{number}" in tags(cell))
    for quoted in re.findall(r"`([^`]+)`", symptom):
        for part in quoted.split("…"):
            assert part.strip() in seen, quoted


MORE = [
    (name, said)
    for section in GUIDE.read_text("utf-8").split("\n## More words")[1:]
    for name in re.findall(r"\]\(\.\./notebooks/(.+?)\)", section)
    for said in re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)
]


def test_the_guide_has_more_words_for_two_mistakes() -> None:
    assert len({name for name, _ in MORE}) == 2


@pytest.mark.parametrize(("name", "said"), MORE)
def test_more_words_in_the_guide_are_said_in_the_lesson(name: str, said: str) -> None:
    notebook = notebooks.read(notebooks.FOLDER / name)
    seen = "\n".join(shown(cell) for cell in notebook.cells if cell.cell_type == "code")
    assert said in seen
