"""The map in the first lesson leads to every other, as README's does, which adds up the hours."""

import math
import re
from base64 import b64decode

from tools import notebooks

FIRST = "00_start_here.ipynb"


def test_the_map_names_every_lesson_in_order() -> None:
    first = notebooks.read(notebooks.FOLDER / FIRST)
    (map_,) = [cell.source for cell in first.cells if cell.id == "map"]
    links = re.findall(r"\]\(([^)]+)\)", map_)
    assert links == [path.name for path in notebooks.paths() if path.name != FIRST]


README = (notebooks.ROOT / "README.md").read_text("utf-8")


def test_the_readme_names_every_lesson_in_order() -> None:
    assert re.findall(r"^\| .+\]\(notebooks/(\S+?\.ipynb)\)", README, re.M) == [
        path.name for path in notebooks.paths()
    ]


def test_the_readmes_picture_is_one_that_lesson_04_stores() -> None:
    lesson = notebooks.read(notebooks.FOLDER / "04_side_by_side.ipynb")
    (outputs,) = [cell.outputs for cell in lesson.cells if cell.id == "six-calls"]
    (drawn,) = notebooks.DRAWN.findall(outputs[0].data["text/html"])
    assert (notebooks.ROOT / "docs" / "six-questions.png").read_bytes() == b64decode(drawn)


def test_the_readme_tells_how_many_lessons_and_hours_there_are() -> None:
    tops = [notebooks.read(path).cells[0].source for path in notebooks.paths()]
    minutes = [int(re.findall(r"\*\*Time\*\* (\d+) minutes", top)[0]) for top in tops]
    hours = math.ceil(sum(minutes) / 60)
    assert f"{len(tops)} lessons, about {hours} hours in all" in README
