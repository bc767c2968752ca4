"""The lessons without their outputs: copies, which nobody's code is lost in."""

import json
import shutil
from pathlib import Path

import pytest

from helpers import lessons, practice


@pytest.fixture(autouse=True)
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A course of two lessons, with outputs."""
    folder = tmp_path / "notebooks"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "book.txt").write_text("Once")
    for name in ("00_first", "01_second"):
        cells = [
            {"cell_type": "markdown", "id": "a", "metadata": {}, "source": ["# ü"]},
            {
                "cell_type": "code",
                "execution_count": 3,
                "id": "b",
                "metadata": {"tags": ["solution"], "jupyter": {"source_hidden": True}},
                "outputs": [{"output_type": "stream", "name": "stdout", "text": ["the answer"]}],
                "source": ["print(1)"],
            },
        ]
        notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        (folder / f"{name}.ipynb").write_text(json.dumps(notebook), "utf-8")
    monkeypatch.chdir(folder)  # where the kernel of one of its lessons stands
    return tmp_path


def test_copies_have_the_cells_and_no_outputs_and_the_lessons_keep_theirs(
    course: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (course / "notebooks" / "00_first.ipynb").read_text("utf-8")
    practice()
    text = (course / "practice" / "00_first.ipynb").read_text("utf-8")
    copy = json.loads(text)
    assert "the answer" not in text
    assert copy["cells"][1]["outputs"] == []
    assert copy["cells"][1]["execution_count"] is None
    assert copy["cells"][1]["metadata"] == json.loads(before)["cells"][1]["metadata"]
    assert copy["cells"][0]["source"] == ["# ü"]
    assert (course / "notebooks" / "00_first.ipynb").read_text("utf-8") == before
    assert (course / "practice" / "data" / "book.txt").read_text() == "Once"
    assert capsys.readouterr().out.splitlines() == [
        "2 of 2 lessons copied without outputs.",
        "Open practice/00_first.ipynb",
    ]


def test_a_copy_that_is_there_is_never_written_over(
    course: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    practice()
    mine = course / "practice" / "00_first.ipynb"
    mine.write_text("my code")
    (course / "practice" / "data" / "book.txt").write_text("mine")
    (course / "practice" / "01_second.ipynb").rename(course / "practice" / "kept.ipynb")
    capsys.readouterr()
    practice()
    assert mine.read_text() == "my code"
    assert (course / "practice" / "data" / "book.txt").read_text() == "mine"
    assert (course / "practice" / "01_second.ipynb").exists(), "begun anew"
    assert (course / "practice" / "kept.ipynb").exists()
    assert capsys.readouterr().out.splitlines()[:2] == [
        "1 of 2 lessons copied without outputs.",
        "1 in practice/ already, and left as they are.",
    ]


def test_without_lessons_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / "notebooks")
    monkeypatch.setattr(lessons, "COURSE", tmp_path / "site-packages")
    with pytest.raises(FileNotFoundError, match="only the helpers are here"):
        practice()


def test_where_helpers_are_installed_for_all_each_learners_own_lessons_are_copied(
    course: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lessons, "COURSE", course / "site-packages")
    practice()
    monkeypatch.chdir(course / "practice")  # a copy is open, and begins another anew
    (course / "practice" / "00_first.ipynb").unlink()
    practice()
    assert (course / "practice" / "00_first.ipynb").exists()
    assert not (course / "practice" / "practice").exists()


def test_away_from_any_lessons_those_of_the_course_are_copied(
    course: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    monkeypatch.setattr(lessons, "COURSE", course)
    practice()
    assert (course / "practice" / "01_second.ipynb").exists()
