"""What every lesson keeps to, as a list of what is wrong with a notebook."""

import base64
import binascii
import re
from collections.abc import Iterator

from nbformat import NotebookNode

from helpers.checks.shipped import HEADING
from tools import notebooks

MOST_LINES = 20
"""A code cell that shows one idea reads aloud in a breath; beyond this it is two ideas."""

CELLS = range(15, 41)
"""Twenty to thirty is the aim; the opening lesson is shorter, one with many failures longer."""

WORDS_A_MINUTE = 180
"""Technical prose, read slowly."""

MINUTES_A_CELL = 1.5
"""To read a code cell, guess, run it and look."""

MINUTES_AN_EXERCISE = 6
"""With the try or two that go wrong. By these three, lessons 01 to 03 take what readers took."""

MOST_BYTES = 500_000
"""What GitHub and a phone still open at once."""

FOLDERS = re.compile(
    r"(?:/home/|/root/|/Users/|/work/|/tmp/|/var/folders/|[A-Z]:\\|~/)[^\s\"'<]*|ipykernel_\d+"
)
KEYS = re.compile(r"\bsk-[A-Za-z0-9_-]{8,}|Bearer [A-Za-z0-9_-]{8,}")
HOSTS = re.compile(r"https?://(?!127\.0\.0\.1|localhost)[\w.-]+|127\.0\.0\.1:\d+")

BLOCK = re.compile(
    r"\*\*Time\*\* (\d+) minutes? · \*\*You need\*\* .+ · \*\*You will\*\* ", re.DOTALL
)
NOT_TESTED = re.compile(r"\b(?:NBVAL|PYTEST_VALIDATE)_\w+|^nbval-.*", re.MULTILINE)
"""What makes nbval pass over a cell, or over what it shows."""

CULPRIT = re.compile(r"^-+> ?\d+ (.*)$", re.MULTILINE)
"""The line that a traceback points at."""

DESCRIBED = re.compile(r'<img alt="[^"]')
"""Jupyter shows an output of a type such as image/png without alternative text."""
PNG = b"\x89PNG\r\n\x1a\n"

UNLOVED = re.compile(r"\b(simply|just|obviously)\b", re.IGNORECASE)


def problems(notebook: NotebookNode) -> list[str]:
    """Return all that breaks the contract, a sentence each; empty if the page keeps it."""
    return [
        *_page(notebook),
        *_cells(notebook),
        *_outputs(notebook),
        *_failures(notebook),
        *_exercises(notebook),
        *_quiz(notebook),
    ]


def _page(notebook: NotebookNode) -> Iterator[str]:
    if notebooks.text(notebook) != notebooks.text(notebooks.normalised(notebook)):
        yield "It is not in the stored form: run `make refresh`."
    if len(notebook.cells) not in CELLS:
        yield f"It has {len(notebook.cells)} cells; {CELLS.start} to {CELLS.stop - 1} are a lesson."
    size = len(notebooks.text(notebook).encode())
    if size > MOST_BYTES:
        yield f"It has {size} bytes; {MOST_BYTES} at most."
    ids = [cell.id for cell in notebook.cells]
    if len(set(ids)) != len(ids):
        yield "Two cells have the same id."
    first, last = notebook.cells[0].source, notebook.cells[-1].source
    if not re.match(r"# .+\n+\S", first):
        yield "The first cell is no title with a sentence under it."
    block = next(filter(None, (BLOCK.search(cell.source) for cell in notebook.cells[:2])), None)
    if block is None:
        yield "The block **Time** … · **You need** … · **You will** … is missing at the top."
    elif not 0.75 <= int(block[1]) / (takes := minutes(notebook)) <= 1.25:
        yield f"It says {block[1]} minutes; its words, cells and exercises take {takes:.0f}."
    if not last.startswith("## Recap"):
        yield "The last cell is no recap."
    else:
        bullets = len(re.findall(r"^[-*] ", last, re.MULTILINE))
        if not 3 <= bullets <= 5:
            yield f"The recap has {bullets} points; three to five are remembered."
        if "**" not in last:
            yield "The recap has no rule in bold."
        if "https://" not in last:
            yield "The recap links to nothing."
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    if "**Predict.**" not in prose:
        yield "Nothing is predicted."
    for word in UNLOVED.findall(re.sub(r"`[^`]*`|```.*?```", "", prose, flags=re.DOTALL)):
        yield f"The prose says {word!r}."


def minutes(notebook: NotebookNode) -> float:
    """Return how long a reader takes; answers of the quiz and solutions are left folded."""
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    words = len(re.sub(r"<details>.*?</details>", "", prose, flags=re.DOTALL).split())
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    read = sum(not {"solution", "check"} & {*tags(cell)} for cell in code)
    exercises = sum("exercise" in tags(cell) for cell in code)
    return words / WORDS_A_MINUTE + read * MINUTES_A_CELL + exercises * MINUTES_AN_EXERCISE


def _cells(notebook: NotebookNode) -> Iterator[str]:
    for cell in notebook.cells:
        if not re.fullmatch(r"[a-z][a-z0-9-]+", cell.id):
            yield f"Cell {cell.id}: the id is not readable kebab-case."
        if cell.cell_type != "code":
            continue
        lines = len(cell.source.splitlines())
        if lines > MOST_LINES:
            yield f"Cell {cell.id}: {lines} lines; {MOST_LINES} at most."
        if cell.execution_count is None:
            yield f"Cell {cell.id}: was not run."
        if found := NOT_TESTED.search("\n".join([cell.source, *tags(cell)])):
            yield f"Cell {cell.id}: {found.group()} keeps its output from being tested."


def _outputs(notebook: NotebookNode) -> Iterator[str]:
    """Look for what a machine leaves behind in stored outputs."""
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        for said in _texts(cell):
            bare = _plain(said)
            for what, pattern in (("folder", FOLDERS), ("key", KEYS), ("host", HOSTS)):
                found = pattern.search(bare)
                if found:
                    yield f"Cell {cell.id}: its output shows a {what}: {found.group()!r}."
        for output in cell.outputs:
            data = output.get("data", {})
            pictures = notebooks.DRAWN.findall(str(data.get("text/html", "")))
            if not all(map(_is_png, pictures)):
                yield f"Cell {cell.id}: its picture is no PNG."
            described = len(DESCRIBED.findall(str(data.get("text/html", ""))))
            if described < len(pictures) or any(kind.startswith("image/") for kind in data):
                yield f"Cell {cell.id}: its picture has no alternative text."


def _is_png(picture: str) -> bool:
    try:
        return base64.b64decode(picture).startswith(PNG)
    except binascii.Error:
        return False


def _texts(cell: NotebookNode) -> Iterator[str]:
    for output in cell.outputs:
        if output.output_type == "stream":
            yield output.text
        elif output.output_type == "error":
            yield from [*output.traceback, output.evalue]
        else:
            for value in output.data.values():
                yield notebooks.DRAWN.sub("", str(value))


def shown(cell: NotebookNode) -> str:
    """Return all that a code cell's stored outputs say as text, without colours."""
    return "\n".join(_plain(said) for said in _texts(cell))


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def _failures(notebook: NotebookNode) -> Iterator[str]:
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        fails = any(output.output_type == "error" for output in cell.outputs)
        tagged = "raises-exception" in tags(cell)
        if tagged and not fails:
            yield f"Cell {cell.id}: tagged raises-exception, and no error is stored."
        if fails and not tagged:
            yield f"Cell {cell.id}: an error is stored, and it is not tagged raises-exception."
        for output in cell.outputs:
            if output.output_type == "error":
                yield from _traceback(cell, output)


def _traceback(cell: NotebookNode, error: NotebookNode) -> Iterator[str]:
    """Hold a stored traceback, which nbval does not compare, to its error and to its cell."""
    said = _plain("\n".join(error.traceback))
    if not said.endswith(f"{error.ename}: {error.evalue}"):
        yield f"Cell {cell.id}: the traceback does not end in the error that is stored."
    culprit = CULPRIT.search(said)
    if culprit is None or culprit.group(1) not in cell.source.splitlines():
        yield f"Cell {cell.id}: the traceback points at no line of the cell."


def _exercises(notebook: NotebookNode) -> Iterator[str]:
    """Each exercise: a starter, a check that turns it down, a folded solution, the check again."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    verdicts: dict[str, list[str]] = {}
    for cell in code:
        if "solution" in tags(cell) and cell.source.split("\n")[0] != HEADING:
            yield f"Cell {cell.id}: its first line is not {HEADING!r}, so a run of it would count."
    for cell in code:
        asked = re.search(r"await check\(\"(\d\d-\d)\"", cell.source)
        if asked and "check" not in tags(cell):
            yield f"Cell {cell.id}: calls check and is not tagged so."
        if asked:
            said = "".join(_texts(cell))
            verdicts.setdefault(asked.group(1), []).append(said.split("  ")[0])
        if "solution" in tags(cell) and not cell.metadata.get("jupyter", {}).get("source_hidden"):
            yield f"Cell {cell.id}: the solution is not folded."
    for name, words in verdicts.items():
        if words != ["not yet", "passed"]:
            yield f"Exercise {name}: its checks say {words}, not 'not yet' and then 'passed'."
    number = {
        tag: sum(tag in tags(cell) for cell in code) for tag in ("exercise", "solution", "check")
    }
    if number["exercise"] < 1:
        yield "It has no exercise."
    if not number["exercise"] == number["solution"] == len(verdicts):
        yield f"Starters, solutions and checks don't pair up: {number}."


def _quiz(notebook: NotebookNode) -> Iterator[str]:
    """Two or three questions before the recap, whose every answer unfolds to an explanation."""
    cell = notebook.cells[-2]
    if "quiz" not in tags(cell) or "## Check yourself" not in cell.source:
        yield "The cell before the recap is no quiz."
        return
    questions = re.split(r"^\*\*\d\. ", cell.source, flags=re.MULTILINE)[1:]
    if not 2 <= len(questions) <= 3:
        yield f"The quiz has {len(questions)} questions; two or three are answered."
    for number, question in enumerate(questions, 1):
        answers = re.findall(r"<details>(.*?)</details>", question, re.DOTALL)
        verdicts = sorted(re.findall(r"</summary>\s*(Right|No)\. \S", " ".join(answers)))
        if len(answers) < 3 or verdicts != ["No"] * (len(answers) - 1) + ["Right"]:
            yield f"Question {number}: one answer of three is right, and each says why."
        if "`" in "".join(answers):
            yield f"Question {number}: HTML shows backticks as they are; write <code>."


def tags(cell: NotebookNode) -> list[str]:
    return list(cell.metadata.get("tags", []))
