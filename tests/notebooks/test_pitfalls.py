"""Each pitfall is shown live and repaired beside it; the field guide says what the lessons show."""

import re
from pathlib import Path

import pytest

from tools import notebooks
from tools.page_contract import shown, tags

PITFALLS = range(1, 36)

LATER = {
    14: "streams that break",
    16: "streams that break",
    17: "streams that break",
    19: "streams that break",
    20: "streams that break",
    24: "testing",
    25: "live interfaces",
    26: "streams that break",
    29: "streams that break",
    33: "streams that break",
    34: "streams that break",
}
"""Those that no lesson shows yet, and the lesson that will."""

GUIDE = notebooks.ROOT / "docs" / "field-guide.md"
ROW = re.compile(
    r"^\| (\d+) \| (.+?) \| .+? \| .+? \| \[(\d\d)\]\(\.\./notebooks/(.+?)\) \|$", re.M
)
ROWS = {int(row[0]): row[1:] for row in ROW.findall(GUIDE.read_text("utf-8"))}


def cells_tagged(tag: str) -> list[tuple[Path, str]]:
    return [
        (path, cell.id)
        for path in notebooks.paths()
        for cell in notebooks.read(path).cells
        if tag in tags(cell)
    ]


@pytest.mark.parametrize("number", [n for n in PITFALLS if n not in LATER])
def test_a_pitfall_is_shown_live_and_repaired_in_the_same_lesson(number: int) -> None:
    shows = {path for path, _ in cells_tagged(f"pitfall-{number}")}
    repairs = {path for path, _ in cells_tagged(f"repair-{number}")}
    assert shows
    assert shows <= repairs


@pytest.mark.parametrize("number", LATER)
def test_a_pitfall_on_the_later_list_is_not_shown_yet(number: int) -> None:
    assert cells_tagged(f"pitfall-{number}") == []


def test_the_guide_has_every_pitfall_that_is_shown_and_no_other() -> None:
    assert set(ROWS) == {number for number in PITFALLS if number not in LATER}


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
