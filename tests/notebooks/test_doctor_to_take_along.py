"""The install line that lesson 03 gives: `--no-deps` is enough for the doctor."""

import subprocess
import sys
import tomllib

from packaging.requirements import Requirement

from tools import notebooks

A_NOTEBOOK_HAS = {"ipykernel", "jupyterlab", "openai"}
"""What stands in any notebook that uses the SDK, and so needs no installing."""

IN_A_SHELL = """\
import sys

for name in {missing!r}:
    sys.modules[name] = None  # an import of it fails

from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "helpers.doctor")
shell.run_cell("async def ask():\\n    return 'Hi'\\n\\nreply = ask()\\nreply.choices")
"""


def test_the_doctor_needs_none_of_the_courses_other_packages() -> None:
    declared = tomllib.loads((notebooks.ROOT / "pyproject.toml").read_text("utf-8"))
    packages = {Requirement(line).name for line in declared["project"]["dependencies"]}
    missing = {name.replace("-", "_").removeprefix("python_") for name in packages}
    missing = missing - A_NOTEBOOK_HAS - {"jupyter_client"}
    assert {"starlette", "httpx2", "matplotlib", "platformdirs", "dotenv"} <= missing
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IN_A_SHELL.format(missing=sorted(missing))],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "A coroutine was used as if it were the answer." in ran.stdout, ran.stderr
