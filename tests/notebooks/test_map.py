"""The map in the first lesson leads to every other, and nowhere that is not there."""

import re

from tools import notebooks

FIRST = "00_start_here.ipynb"


def test_the_map_names_every_lesson_in_order() -> None:
    first = notebooks.read(notebooks.FOLDER / FIRST)
    (map_,) = [cell.source for cell in first.cells if cell.id == "map"]
    links = re.findall(r"\]\(([^)]+)\)", map_)
    assert links == [path.name for path in notebooks.paths() if path.name != FIRST]
