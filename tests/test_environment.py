"""The environment: what is too old or missing is said in a sentence, with the way to repair it."""

import re
from importlib.metadata import version
from pathlib import Path

import pytest
from jupyter_server.serverapp import ServerApp
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from helpers import check_environment, environment
from helpers.environment import Environment, examine

PYTHON = SpecifierSet(">=3.11")
ROOT = Path(__file__).resolve().parents[1]


def with_openai(needed: str) -> Environment:
    return examine("3.11.7", PYTHON, [Requirement(f"openai{needed}")])


def test_where_the_course_is_installed_all_is_well() -> None:
    found = check_environment()
    assert found.good, found
    assert [line.split()[:2] for line in repr(found).splitlines()[:3]] == [
        ["ok", "Python"],
        ["ok", "openai"],
        ["ok", "ipykernel"],
    ]


def test_what_is_well_names_no_version_of_this_machine() -> None:
    assert version("openai") not in repr(check_environment())


def test_an_old_python_is_told_apart_by_its_number_and_asks_for_a_newer_one() -> None:
    found = examine("3.9.18", PYTHON, [])
    assert not found.good
    assert "Python 3.9.18 is too old; the course needs 3.11 or newer." in repr(found)
    assert "install a newer Python" in found.repair


def test_an_old_package_says_what_is_there_and_what_is_needed() -> None:
    found = with_openai(">=90,<91")
    installed = version("openai")
    assert f"openai {installed} is too old; the course needs 90 or newer, below 91." in repr(found)
    assert "%pip install" in found.repair


def test_a_package_newer_than_the_course_is_not_called_old() -> None:
    assert "is newer than the course knows" in repr(with_openai(">=1,<2"))


def test_a_missing_package_is_named_also_when_no_lesson_is_about_it() -> None:
    found = examine("3.11.7", PYTHON, [Requirement("no-such-package>=2")])
    assert "no-such-package is not installed; the course needs 2 or newer." in repr(found)
    assert "other packages" not in repr(found)


def test_packages_for_other_systems_and_for_developers_are_not_asked_for() -> None:
    declared = ['nowhere>=1; sys_platform == "amiga"', 'tester>=1; extra == "test"']
    assert examine("3.11.7", PYTHON, [Requirement(line) for line in declared]).good


def test_the_web_framework_of_a_lesson_is_asked_for() -> None:
    found = examine("3.11.7", PYTHON, [Requirement('no-such-web>=1; extra == "web"')])
    assert "no-such-web is not installed; the course needs 1 or newer." in repr(found)
    assert '-e "..[web,tools,engine]"' in found.repair


def test_a_course_that_is_not_installed_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "COURSE", "no-such-course")
    found = check_environment()
    assert not found.good
    assert "The course itself is not installed" in repr(found)


def test_jupyterlab_opens_the_first_lesson_with_the_guide_and_the_readme_in_reach(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    told = [(ROOT / name).read_text("utf-8") for name in ("README.md", "Makefile")]
    commands = re.findall(r"jupyter lab (.*\.ipynb)", "\n".join(told))
    assert len(commands) == 3
    for options in commands:
        app = ServerApp()
        app.parse_command_line(options.split())
        assert Path(app.root_dir).resolve() == ROOT
        assert app.extra_args == ["notebooks/00_start_here.ipynb"]
