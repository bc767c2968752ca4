"""Reads the field guide's tables. Needs the standard library alone, so that any Python can."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "field-guide.md"

CODE = r"`` (.+?) ``|`([^`]+)`"
"""A text in code; in two backticks where it has one itself."""

FORM = re.compile(rf"(?:from (3\.\d+): )?(?:{CODE})")
LINES = re.compile(r"`[^`]+`(?:<br>`[^`]+`)*")
"""A line of code, or more, one below the other."""


@dataclass(frozen=True)
class Row:
    """A row whose second cell says what its first one tells of.

    `forms`: what Python says, and from which version on. `cells`: by the column's name.
    """

    section: str
    forms: tuple[tuple[tuple[int, int], str], ...]
    cells: dict[str, str]

    def says(self, version: tuple[int, int] = sys.version_info[:2]) -> str:
        """Return what a Python of that version says."""
        return [text for since, text in self.forms if since <= version][-1]

    def code(self, column: str) -> str:
        """Return the first code in a column: one line, or several."""
        found = LINES.search(self.cells[column])
        assert found is not None, self.cells[column]
        return found[0].replace("`<br>`", "\n").strip("`")


def tables(*first: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the section and the cells of each row of the tables whose first column is so named."""
    section, columns = "", list[str]()
    for line in GUIDE.read_text("utf-8").splitlines():
        if line.startswith("## "):
            section = line[3:]
        if not line.startswith("|"):
            columns = []
            continue
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if not columns:
            columns = cells
        elif columns[0] in first and not line.startswith("|---"):
            assert len(cells) == len(columns), line
            yield section, dict(zip(columns, cells, strict=True))


def rows(*columns: str) -> list[Row]:
    """Return the rows of the tables that have these columns besides what Python says."""
    return [
        Row(section, _forms(cells["Python says"]), cells)
        for section, cells in tables("Python says")
        if {*columns} <= cells.keys()
    ]


def _forms(cell: str) -> tuple[tuple[tuple[int, int], str], ...]:
    return tuple(
        (_version(since) if since else (3, 0), double or single)
        for since, double, single in FORM.findall(cell)
    )


def _version(text: str) -> tuple[int, int]:
    major, minor = text.split(".")
    return int(major), int(minor)


def is_said(text: str, words: str) -> bool:
    """Whether a text in the guide is what was said; its `…` stands for what varies."""
    pattern = ".*".join(re.escape(part) for part in text.split("…"))
    return re.fullmatch(pattern, words, re.DOTALL) is not None


OF_PYTHON = ("Awaited in vain", "The wrong for", "The wrong with", "Tasks and gather")
"""Sections whose texts are Python's own, whatever the SDK."""
