"""What Binder makes of the repository, by its own builder, which needs no Docker to say so."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.hub.machine import ROOT
from tests.test_declarations import PINS, declared

pytestmark = pytest.mark.hub

ENVIRONMENT = (ROOT / "environment.yml").read_text("utf-8")
(PYTHON,) = re.findall(r"python=(\S+)", ENVIRONMENT)
PIP = re.findall(r"^      - (.+)$", ENVIRONMENT, re.MULTILINE)


@pytest.fixture(scope="module")
def said() -> str:
    """What `repo2docker --no-build --debug .` says: its log and the Dockerfile it would build."""
    command = [sys.executable, "-m", "repo2docker", "--no-build", "--debug", str(ROOT)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stderr + ended.stdout


def test_binder_takes_the_python_that_is_named(said: str) -> None:
    assert f"Building conda environment for python={PYTHON}\n" in said
    assert "version unspecified" not in said


def test_binder_installs_the_environment_when_the_repository_is_there(said: str) -> None:
    copied, installed = said.index("COPY --chown=0:0 src/"), said.index("env update -p")
    assert copied < installed, "pip reads constraints.txt and the package from it"
    assert '--file "environment.yml"' in said


def test_pip_installs_the_pinned_versions_for_that_python(tmp_path: Path) -> None:
    """The lines as conda and mamba hand them to pip, in a file beside environment.yml.

    Only the package itself is replaced by what it declares: pip resolves for a Python that is not
    here from wheels alone.
    """
    assert PIP == ["-c constraints.txt", "-e .[web,tools,engine]"]
    wanted = [str(each) for each in declared("web", "tools").values()]
    (tmp_path / "constraints.txt").write_text((ROOT / "constraints.txt").read_text("utf-8"))
    (tmp_path / "requirements.txt").write_text("\n".join([PIP[0], *wanted]))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
    command += ["--python-version", PYTHON, "--only-binary=:all:", "--target", "nowhere"]
    command += ["--report", "report.json", "-r", "requirements.txt"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=400)
    assert ended.returncode == 0, ended.stderr[-2000:]
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    found = [each["metadata"] for each in report["install"]]
    installed = {canonicalize_name(each["name"]): each["version"] for each in found}
    pins = {canonicalize_name(name): pin for name, pin in (line.split("==") for line in PINS)}
    assert {canonicalize_name(Requirement(one).name) for one in wanted} <= installed.keys()
    assert installed == {name: pins[name] for name in installed}
