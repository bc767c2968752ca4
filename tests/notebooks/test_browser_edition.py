"""Which lessons the browser edition runs is said where a reader looks, and says the same."""

import re
from pathlib import Path

import pytest

from tools import notebooks

START = (notebooks.ROOT / "lite" / "index.html").read_text("utf-8")
SAID = re.compile(
    r"\*\*In the browser edition\*\* it (?:does not run|runs only in part): .+\. "
    r"\[Other ways to run it\]\(\.\./README\.md#two-commands\)\.$"
)


@pytest.mark.parametrize("path", notebooks.paths(), ids=lambda path: path.stem)
def test_a_lesson_that_cannot_run_there_says_so_in_its_first_cell_and_no_other(
    path: Path,
) -> None:
    first = notebooks.read(path).cells[0].source
    assert bool(SAID.search(first)) != (path.stem[:2] in notebooks.RUN_IN_A_PAGE)


def test_the_start_page_has_the_lessons_that_run_with_their_titles() -> None:
    shown = re.findall(r'<a href="\?lesson=(.+?)">(\d\d) · (.+?)</a>', START)
    there = [path for path in notebooks.paths() if path.stem[:2] in notebooks.RUN_IN_A_PAGE]
    assert shown == [
        (path.name, path.stem[:2], notebooks.read(path).cells[0].source.split("\n")[0][2:])
        for path in there
    ]


def test_the_readme_has_what_the_lessons_link_to() -> None:
    assert "\n## Two commands\n" in (notebooks.ROOT / "README.md").read_text("utf-8")
