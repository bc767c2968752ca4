"""What lesson 12 says that tools find in the SDK's calls: each row of its table is run."""

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.needs import missing
from tools import notebooks

LESSON = notebooks.FOLDER / "12_out_of_the_notebook.ipynb"
ROW = re.compile(r"^\| `(.+)` \| (\S+) \| (\S+) \| (\S+) \| (\S+) \|$", re.MULTILINE)
ROWS = [row for cell in notebooks.read(LESSON).cells for row in ROW.findall(cell.source)]

TOP = """\
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessageParam

client, blocking = AsyncOpenAI(), OpenAI()
messages: list[ChatCompletionMessageParam] = []
"""
MORE = ("truthy-bool", "unused-awaitable")


def lines_found(folder: Path) -> dict[str, set[int]]:
    """Return the lines of which each tool says something, by the table's columns."""

    def said(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True
        )
        return done.stdout

    rules = ["--isolated", "--select=ASYNC,B,F,RUF", "--output-format=concise"]
    ruff = re.findall(r"rows\.py:(\d+)", said("ruff", "check", *rules, "rows.py"))
    codes = [f"--enable-error-code={code}" for code in MORE]
    mypy = re.findall(r"rows\.py:(\d+): error: .*\[(.+)\]", said("mypy", *codes, "rows.py"))
    (folder / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": "standard"}))
    python = ["--pythonpath", sys.executable]
    pyright = json.loads(said("basedpyright", *python, "--outputjson", "rows.py"))
    return {
        "ruff": set(map(int, ruff)),
        "mypy": {int(line) for line, code in mypy if code not in MORE},
        "mypy, two more": {int(line) for line, _ in mypy},
        "pyright": {found["range"]["start"]["line"] + 1 for found in pyright["generalDiagnostics"]},
    }


@pytest.mark.slow
def test_the_tools_find_what_the_table_says(tmp_path: Path) -> None:
    if find_spec("basedpyright") is None:
        missing("basedpyright", "install the extra `lint`, as `make test` does")
    assert len(ROWS) == 9
    text, first_lines = TOP, []
    for number, (line, *_) in enumerate(ROWS):
        text += f"\n\nasync def row_{number}() -> None:\n"
        first_lines.append(text.count("\n") + 1)
        given = line.replace("…", 'model="any", messages=messages')
        text += "    " + re.sub(r": (?=print)", ":\n        ", given) + "\n"
    (tmp_path / "rows.py").write_text(text, "utf-8")
    found = lines_found(tmp_path)
    seen = [
        tuple(
            "found" if at in lines or at + 1 in lines else "\N{EN DASH}" for lines in found.values()
        )
        for at in first_lines
    ]
    assert seen == [tuple(marks) for _, *marks in ROWS]
