"""The script that lesson 02 gives its reader to take to work, run as it stands there."""

import os
import re
import subprocess
import sys

from helpers import model
from helpers.checks.at_once import whole_answer
from helpers.endpoint import endpoint
from tools import notebooks

LESSON = notebooks.FOLDER / "02_async_streaming.ipynb"


def the_script() -> str:
    (cell,) = (cell for cell in notebooks.read(LESSON).cells if cell.id == "out-of-the-notebook")
    (script,) = re.findall(r"```python\n(.*?)```", cell.source, re.DOTALL)
    return str(script)


def test_it_prints_the_answer_and_python_has_nothing_to_warn_of() -> None:
    where = {
        "OPENAI_BASE_URL": endpoint().base_url,
        "OPENAI_API_KEY": endpoint().api_key,
        "OPENAI_MODEL": model(),
    }
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-"],
        input=the_script(),
        capture_output=True,
        text=True,
        env=os.environ | where,
        timeout=60,
    )
    assert ran.stderr == ""
    assert ran.stdout == whole_answer("Why is the sky blue?")


def test_it_is_a_script_of_its_own_that_makes_its_client_itself() -> None:
    assert "AsyncOpenAI(" in the_script()
    assert "helpers" not in the_script()
