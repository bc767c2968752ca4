"""The one form in which notebooks are stored, and what makes two outputs the same."""

import re
from collections.abc import Iterable
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbval.plugin import get_sanitize_patterns

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "notebooks"
SANITIZERS = ROOT / "tests" / "sanitize.cfg"

RUN_IN_A_PAGE = ("00", "01", "02", "03", "09", "11")
"""The lessons that the browser edition runs as they are; each other says in its first cell why it
does not."""

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
"""The same on every machine: no version, no environment's name."""

CELL_METADATA = ("tags", "jupyter")
WIDGET = "application/vnd.jupyter.widget-view+json"
DRAWN = re.compile(r'src="data:image/png;base64,([^"]*)"')
"""A picture in an HTML output, which has its alternative text beside it."""


def paths() -> list[Path]:
    """Return the course's notebooks in order."""
    return sorted(FOLDER.glob("*.ipynb"))


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def text(notebook: NotebookNode) -> str:
    """Return the notebook as it stands in its file."""
    return nbformat.writes(notebook) + "\n"


def normalised(notebook: NotebookNode) -> NotebookNode:
    """Return a copy in the stored form: nothing in it tells which machine ran it.

    Cell ids stay, code cells are counted from 1, live widgets (dead without their kernel) are left
    out, and a traceback names installed files from `site-packages` on.
    """
    copy = nbformat.from_dict(notebook)
    copy.nbformat, copy.nbformat_minor = 4, 5
    copy.metadata = nbformat.from_dict(METADATA)
    number = 0
    for cell in copy.cells:
        cell.metadata = nbformat.from_dict(
            {key: cell.metadata[key] for key in CELL_METADATA if cell.metadata.get(key)}
        )
        if cell.cell_type != "code":
            continue
        number += 1
        cell.execution_count = number
        cell.outputs = [_output(output, number) for output in cell.outputs if not _is_dead(output)]
    return copy


def same_outputs(one: Iterable[NotebookNode], other: Iterable[NotebookNode]) -> bool:
    """Whether two cells' outputs say the same, pictures and what varies by nature aside."""
    return [_compared(output) for output in one] == [_compared(output) for output in other]


def sanitised(text: str) -> str:
    """Return the text with what varies by nature replaced, as nbval compares it."""
    for pattern, replacement in get_sanitize_patterns(SANITIZERS.read_text("utf-8")):
        text = re.sub(pattern, replacement, text)
    return text


def _output(output: NotebookNode, number: int) -> NotebookNode:
    if "execution_count" in output:
        output.execution_count = number
    if output.output_type == "error":
        output.traceback = [_without_folders(line) for line in output.traceback]
    elif output.output_type == "stream":
        output.text = _without_folders(output.text)
    if "metadata" in output:
        output.metadata = nbformat.from_dict({})
    return output


def _is_dead(output: NotebookNode) -> bool:
    """Whether an output is a live widget, or what is left where one was."""
    return WIDGET in output.get("data", {}) or output.get("data") == {}


def _without_folders(line: str) -> str:
    """Cut the machine's folders off: `…/site-packages/openai/x.py`, `<cell>:3`.

    A folder's name is taken to be no longer than 300 characters, as a line without spaces may be a
    megabyte, through which a search without a bound would go once for each of its characters.
    """
    line = re.sub(r"(?:[A-Za-z]:)?[^\s\"'\x1b]{0,300}ipykernel_\d+[/\\]\d+\.py", "<cell>", line)
    for kept in (r"site-packages[/\\]", r"helpers[/\\]\w+", r"lib[/\\]python3"):
        folders = r"(?:~|[A-Za-z]:)?[/\\][^\s:\"'\x1b]{0,300}[/\\]"
        line = re.sub(rf"{folders}(?={kept})", "…/", line)
    return line


def _compared(output: NotebookNode) -> dict[str, object]:
    if output.output_type == "stream":
        return {"name": output.name, "text": sanitised(output.text)}
    if output.output_type == "error":
        traceback = sanitised("\n".join(output.traceback))  # it quotes the source, which may change
        return {"ename": output.ename, "evalue": sanitised(output.evalue), "traceback": traceback}
    return {kind: sanitised(str(value)) for kind, value in output.data.items()}
