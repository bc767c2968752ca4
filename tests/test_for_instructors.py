"""What docs/for-instructors.md says of the lessons, and of deploy/, is so."""

import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml
from traitlets.config import Config

from tools import launch, notebooks

ROOT = notebooks.ROOT
PAGE = (ROOT / "docs" / "for-instructors.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
DEPLOYED = ROOT / "deploy" / "jupyterhub_config.py"

LESSONS = {path.name[:2]: notebooks.read(path) for path in notebooks.paths()}
HEADINGS = {
    number: {
        line.lstrip("# ")
        for cell in lesson.cells
        if cell.cell_type == "markdown"
        for line in cell.source.splitlines()
        if line.startswith("#")
    }
    for number, lesson in LESSONS.items()
}


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading, without its head."""
    section = PAGE.split(f"{heading}\n", 1)[1].split("\n#", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def minutes(number: str) -> int:
    return int(re.findall(r"\*\*Time\*\* (\d+) minutes", LESSONS[number].cells[0].source)[0])


def test_each_lesson_is_listed_with_its_title_its_minutes_and_what_it_needs() -> None:
    listed = rows("## How long it takes")
    assert [row[0] for row in listed] == list(LESSONS)
    for number, title, said, needs in listed:
        top = LESSONS[number].cells[0].source
        assert f"# {title}\n" in top
        assert int(said) == minutes(number), f"lesson {number}"
        (asked,) = re.findall(r"\*\*You need\*\* (.*?)(?: · )", top, re.DOTALL)
        assert re.findall(r"\d\d", asked) == re.findall(r"\d\d", needs), f"lesson {number}"


HOUR_AND_A_HALF = "### 90 minutes: the forgotten await"
DAY = "### A day: from a first call to ten thousand"


@pytest.mark.parametrize("plan", [HOUR_AND_A_HALF, DAY])
def test_a_plan_adds_up_and_a_whole_lesson_has_its_own_minutes(plan: str) -> None:
    found = rows(plan)
    total = sum(int(row[0]) for row in found)
    section = PAGE[PAGE.index(plan) :].split("\n#", 1)[0]
    assert f"{total} minutes" in section, "in its heading, or below it"
    for said, number, what in found:
        if what == "whole":
            assert int(said) == minutes(number), f"lesson {number}"
        elif number:
            assert int(said) <= minutes(number)
            assert re.findall(r'"', what), "a part of a lesson is named"


def test_a_plan_asks_for_no_lesson_before_what_it_needs() -> None:
    needs = {row[0]: re.findall(r"\d\d", row[3]) for row in rows("## How long it takes")}
    before: list[str] = []
    for _, number, what in rows(DAY):
        if what == "whole":
            assert set(needs[number]) <= set(before), f"lesson {number}"
            before.append(number)


def test_each_section_that_is_named_is_in_its_lesson() -> None:
    named = [
        (number, section)
        for _, number, what in rows(HOUR_AND_A_HALF)
        for section in re.findall(r'"([^"]+)"', what)
    ]
    shown = PAGE.split("## What to show on the screen")[1].split("\n## To begin anew")[0]
    prose = " ".join(shown.split())
    number = ""
    for word in re.finditer(r'[Ll]esson (\d\d)|"([^"]+)"', prose):
        number = word[1] or number
        if word[2]:
            named.append((number, word[2]))
    assert len(named) > 25
    for number, section in named:
        assert section in HEADINGS[number], f"lesson {number} has no section {section!r}"


def test_where_progress_lives_is_said_once() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
    assert [p.name for p in pages if "progress.json" in p.read_text("utf-8")] == ["README.md"]
    assert "../README.md#your-progress" in PAGE
    assert "## Your progress\n" in README


# --- deploy/ --------------------------------------------------------------------------------------


def configured(monkeypatch: pytest.MonkeyPatch, folder: Path, spawner: str) -> Any:
    """Return the hub's configuration as JupyterHub would have it, without JupyterHub."""
    config = Config()
    (folder / "learners.txt").write_text("# a class\nada\n ben \n\n")
    for name, value in {
        "AWAITED_SPAWNER": spawner,
        "AWAITED_HUB_STATE": str(folder / "state"),
        "AWAITED_LEARNERS": str(folder / "learners.txt"),
    }.items():
        monkeypatch.setenv(name, value)
    runpy.run_path(str(DEPLOYED), {"get_config": lambda: config})
    return config


def test_on_one_machine_the_class_alone_logs_in_and_all_is_on_loopback(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for spawner in ("docker", "accounts"):
        config = configured(monkeypatch, tmp_path, spawner)
        assert config.Authenticator.allowed_users == {"ada", "ben"}
        assert config.Authenticator.allow_all is False
        assert config.JupyterHub.bind_url == "http://127.0.0.1:8000"
        assert config.JupyterHub.hub_ip in {"127.0.0.1", "172.17.0.1"}
    assert (tmp_path / "state").stat().st_mode & 0o077 == 0


def test_each_container_has_a_volume_of_its_own_and_a_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = configured(monkeypatch, tmp_path, "docker")
    assert config.JupyterHub.spawner_class == "docker"
    (volume,) = config.DockerSpawner.volumes
    assert "{username}" in volume
    assert config.Spawner.mem_limit == "1G"


@pytest.mark.parametrize("spawner", ["simple", "", "localprocess"])
def test_a_spawner_that_keeps_nobody_apart_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, spawner: str
) -> None:
    with pytest.raises(SystemExit, match="docker or accounts"):
        configured(monkeypatch, tmp_path, spawner)


def test_without_a_name_in_the_list_the_hub_says_so_and_does_not_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWAITED_HUB_STATE", str(tmp_path))
    monkeypatch.delenv("AWAITED_LEARNERS", raising=False)
    with pytest.raises(SystemExit, match=r"learners\.txt names no learner"):
        runpy.run_path(str(DEPLOYED), {"get_config": Config})


def test_kubernetes_gets_the_same_limits_times_and_login(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = configured(monkeypatch, tmp_path, "docker")
    values = yaml.safe_load((ROOT / "deploy" / "values.yaml").read_text("utf-8"))
    user, hub = values["singleuser"], values["hub"]["config"]
    assert user["memory"]["limit"] == config.Spawner.mem_limit
    assert user["defaultUrl"] == config.Spawner.default_url
    assert user["startTimeout"] == config.Spawner.start_timeout == config.Spawner.http_timeout
    assert hub["JupyterHub"]["authenticator_class"] == config.JupyterHub.authenticator_class
    assert hub["Authenticator"]["allow_all"] is False
    kernels = user["extraFiles"]["kernels"]["data"]["MappingKernelManager"]
    assert [f"--MappingKernelManager.{k}={v}" for k, v in kernels.items()] == config.Spawner.args
    (culler,) = config.JupyterHub.services
    assert f"--timeout={values['cull']['timeout']}" in culler["command"]


def test_the_image_takes_what_is_there_and_installs_what_the_lessons_need() -> None:
    text = (ROOT / "deploy" / "Dockerfile").read_text("utf-8")
    (base,) = re.findall(r"^ARG BASE=(\S+)$", text, re.MULTILINE)
    assert "/jupyter/base-notebook:" in base
    copied = re.findall(r"^COPY (?:--\S+ )*(.+) \S+$", text, re.MULTILINE)
    sources = " ".join(copied).split()
    assert all((ROOT / source).exists() for source in sources)
    let_in = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    assert [line.strip("!") for line in let_in if line.startswith("!")] == sources
    assert '".[web,tools,engine]"' in text
    assert "-c constraints.txt" in text
    assert "nbgitpuller" in text


# --- links ----------------------------------------------------------------------------------------


def test_the_readmes_links_are_those_of_the_address_that_it_names() -> None:
    (found,) = launch.BLOCK.finditer(README)
    assert found.group() == launch.block(found[1])


def test_with_an_address_the_readme_gets_links_that_open_the_first_lesson(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "README.md"
    copy.write_text(README, "utf-8")
    monkeypatch.setattr(launch, "README", copy)
    monkeypatch.setattr("sys.argv", ["launch", "https://github.com/somebody/awaited.git"])
    launch.main()
    text = copy.read_text("utf-8")
    binder = "https://mybinder.org/v2/gh/somebody/awaited/main?urlpath=lab%2Ftree%2Fnotebooks%2F"
    assert f"({binder}00_start_here.ipynb)" in text
    assert "(https://codespaces.new/somebody/awaited)" in text
    assert launch.BLOCK.sub("", text) == launch.BLOCK.sub("", README), "and nothing else changes"
    monkeypatch.setattr("sys.argv", ["launch", "git@example.org:somebody/awaited"])
    with pytest.raises(SystemExit, match="An address looks like"):
        launch.main()
    assert copy.read_text("utf-8") == text


def test_a_class_gets_one_link() -> None:
    link = launch.class_link("https://hub.example.org/", "https://github.com/somebody/awaited.git")
    assert link == (
        "https://hub.example.org/hub/user-redirect/git-pull"
        "?repo=https%3A%2F%2Fgithub.com%2Fsomebody%2Fawaited.git&branch=main"
        "&urlpath=lab%2Ftree%2Fawaited%2Fnotebooks%2F00_start_here.ipynb"
    )
    assert (ROOT / launch.FIRST).exists()


def test_a_codespace_opens_the_first_lesson() -> None:
    told = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8"))
    assert told["customizations"]["codespaces"]["openFiles"] == [launch.FIRST]
