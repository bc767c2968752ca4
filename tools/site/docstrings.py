"""Reads the docstrings' plain text as what it is: a block that is set in is code, lines that begin
with a parameter are a list, and what stands under `Raises:` are the errors."""

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PARAMETERS = re.compile(r"`\w+`(?:, `\w+`)*: ")
"""How a line begins that tells of a parameter."""


def marked_up(lines: list[str]) -> list[str]:
    """Return a docstring's lines as reStructuredText."""
    end = lines.index("Raises:") if "Raises:" in lines else len(lines)
    return [*_words(lines[:end]), *_errors(lines[end + 1 :])]


def _words(lines: list[str]) -> list[str]:
    told: list[str] = []
    in_code = in_list = False
    for line, before in zip(lines, ["", *lines], strict=False):
        if line == "":
            in_list = False
        elif not line.startswith(" "):
            in_code = False
        elif before == "" and not in_code and _is_prose(told):
            in_code = True
            told += [".. code-block:: python", ""]
        if PARAMETERS.match(line):
            told += [f"- {line}"] if in_list else ["", f"- {line}"]
            in_list = True
        else:
            told.append(f"  {line}" if in_list else line)
    return told


def _is_prose(told: list[str]) -> bool:
    """Whether what stands above is a paragraph, and no list's item, whose second one is set in."""
    above = [line for line in told if line]
    return bool(above) and not above[-1].startswith(("- ", " "))


def _errors(lines: list[str]) -> list[str]:
    told = [""]
    for line in lines:
        found = re.match(r"    ([\w.]+): (.*)", line)
        told.append(f":raises {found[1]}: {found[2]}" if found else line)
    return told


def mark_up(
    app: "Sphinx", kind: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    lines[:] = marked_up(lines)


def setup(app: "Sphinx") -> dict[str, Any]:
    app.connect("autodoc-process-docstring", mark_up)
    return {"version": "1", "parallel_read_safe": True}
