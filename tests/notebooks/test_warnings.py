"""What lesson 03 says of the line that Python's warning names, tried in scripts."""

import subprocess
import sys

import pytest

ASK = """\
import asyncio, sys

async def ask(text):
    return text

"""

IN_MAIN = f"""{ASK}
async def main():
    ask("no name")  # guilty
    print("on")

asyncio.run(main())
"""

LOCAL_TO_MAIN = f"""{ASK}
async def main():
    call = ask("a local name")  # guilty
    print("on")

asyncio.run(main())
"""

AT_THE_END = f"""{ASK}
class Kept:
    call = ask("kept until the program ends")
    itself = None

Kept.itself = Kept
"""

SWITCHED_ON = f"""{ASK}
sys.set_coroutine_origin_tracking_depth(1)
call = ask("a name")  # guilty
call = "used again"
"""


def warning(script: str, *options: str) -> list[str]:
    """Run a script and return what Python says on stderr."""
    ran = subprocess.run(
        [sys.executable, *options, "-"], input=script, capture_output=True, text=True, timeout=60
    )
    assert "was never awaited" in ran.stderr
    return ran.stderr.splitlines()


def guilty(script: str) -> str:
    (line,) = (n for n, text in enumerate(script.splitlines(), 1) if text.endswith("# guilty"))
    return str(line)


def test_of_a_call_without_a_name_in_main_the_guilty_line_is_named() -> None:
    assert warning(IN_MAIN)[0].startswith(f"<stdin>:{guilty(IN_MAIN)}: RuntimeWarning")


def test_of_a_name_in_main_a_line_of_pythons_own_is_named() -> None:
    assert "asyncio" in warning(LOCAL_TO_MAIN)[0].partition(": RuntimeWarning")[0]


def test_of_what_is_kept_to_the_programs_end_no_line_of_it_is_named() -> None:
    assert not warning(AT_THE_END)[0].startswith("<stdin>")


@pytest.mark.parametrize(("script", "options"), [(LOCAL_TO_MAIN, ["-X", "dev"]), (SWITCHED_ON, [])])
def test_python_can_be_asked_to_name_the_line_that_made_it(script: str, options: list[str]) -> None:
    said = "\n".join(warning(script, *options))
    assert "Coroutine created at (most recent call last)" in said
    assert f'File "<stdin>", line {guilty(script)}, in' in said
