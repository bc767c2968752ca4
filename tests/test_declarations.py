"""What the project needs is declared once, and every way of setting it up agrees."""

import json
import re
import shlex
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
README = (ROOT / "README.md").read_text("utf-8")
PINS = [
    line
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    if not line.startswith("#")
]


def declared(*extras: str) -> dict[str, Requirement]:
    lines = [*PROJECT["dependencies"]]
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    return {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines}


def test_the_packages_that_the_course_is_about_are_direct_dependencies() -> None:
    assert {"jupyterlab", "openai", "nest-asyncio", "ipywidgets"} <= declared().keys()
    assert {"nbval", "pytest"} <= declared("tools", "test").keys()


def test_the_conda_environment_names_one_python_and_has_pip_install_the_pinned_versions() -> None:
    text = (ROOT / "environment.yml").read_text("utf-8")
    channel, python, *pip = re.findall(r"^ +- (.+)$", text, re.MULTILINE)
    assert channel == "conda-forge"
    assert pip == ["pip", "pip:", "-c constraints.txt", "-e .[web,tools,engine]"]
    assert re.search(r"^name: awaited$", text, re.MULTILINE)
    # One equals sign and two numbers: for anything else Binder takes a Python of its own choice.
    named = re.fullmatch(r"python=(\d+\.\d+)", python)
    assert named
    assert SpecifierSet(PROJECT["requires-python"]).contains(named[1])


def test_a_codespace_has_the_same_python_and_is_set_up_as_the_readme_says() -> None:
    told = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8"))
    environment = (ROOT / "environment.yml").read_text("utf-8")
    assert f"  - python={told['image'].removeprefix('python:')}\n" in environment
    assert "pip install" in told["updateContentCommand"]
    assert told["updateContentCommand"].endswith("-c constraints.txt -e '.[web,tools,engine]'")


def test_the_cell_for_colab_installs_what_the_course_declares_and_leaves_its_jupyter_alone() -> (
    None
):
    (line,) = re.findall(r"^%pip install -q (.+)$", README, re.MULTILINE)
    asked = {canonicalize_name(r.name): r for r in map(Requirement, shlex.split(line))}
    known = declared("web")
    for name, requirement in asked.items():
        assert requirement.specifier in (known[name].specifier, SpecifierSet()), name
    # What Colab has by itself, and what its page speaks to.
    there = {"ipykernel", "ipywidgets", "jupyter-client", "jupyterlab", "matplotlib"}
    there |= {"packaging", "platformdirs", "tqdm"}
    assert known.keys() - asked.keys() == there


def test_every_way_of_setting_up_installs_what_single_lessons_need() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert "fastapi" in declared("web")
    assert {"mypy", "pytest", "ruff"} <= declared("tools").keys()
    assert "distributed" in declared("engine")
    for target in ("lab", "dev"):
        (recipe,) = re.findall(rf"^\$\(VENV\)/{target}\.done:.*\n((?:\t.*\n)+)", makefile, re.M)
        assert re.search(r"-e '\.\[web,tools,engine\b", recipe), target
    for name in ("environment.yml", "README.md"):
        assert re.search(r"-e \"?\.\[web,tools,engine\]", (ROOT / name).read_text("utf-8")), name


def test_every_pin_is_exact_and_names_no_place() -> None:
    for line in PINS:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!-]+", line), line
    assert len(PINS) == len({canonicalize_name(line.split("==")[0]) for line in PINS})


def test_every_declared_package_is_pinned_to_a_version_it_allows() -> None:
    pins = {canonicalize_name(name): v for name, v in (line.split("==") for line in PINS)}
    extras = PROJECT["optional-dependencies"]
    for name, requirement in declared(*extras).items():
        assert name in pins, f"{name} is declared and not pinned: run `make constraints`"
        assert requirement.specifier.contains(pins[name]), f"{name}=={pins[name]}"


def test_the_readme_shows_the_three_ways_to_set_up() -> None:
    assert "make lab" in README
    assert "conda env create -f environment.yml" in README
    assert "conda activate awaited" in README
    assert 'pip install -c constraints.txt -e ".[web,tools,engine]"' in README
    assert "make test" in README


def test_the_readme_asks_for_the_python_that_the_package_asks_for() -> None:
    assert PROJECT["requires-python"] == ">=3.11"
    assert "Python 3.11" in README
