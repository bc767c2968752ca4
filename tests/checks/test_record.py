"""Progress survives a restart, can be reset, and is never lost."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.checks.record import Progress, note_passed, progress, reset_progress


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "mine" / "progress.json"
    monkeypatch.setenv("AWAITED_PROGRESS", str(place))
    monkeypatch.setattr("helpers.checks.record._passed", set())
    return place


def test_it_survives_a_restart() -> None:
    note_passed("03-1")
    program = "from helpers import progress; print(sorted(progress().passed))"
    after = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert after.stdout == "['03-1']\n", after.stderr


def test_it_can_be_reset(file: Path) -> None:
    note_passed("03-1")
    reset_progress()
    assert progress().passed == frozenset()
    assert not file.exists()


def test_what_others_wrote_meanwhile_is_kept(file: Path) -> None:
    note_passed("03-1")
    file.write_text(json.dumps({"passed": ["02-1"]}))
    note_passed("03-2")
    assert json.loads(file.read_text())["passed"] == ["02-1", "03-2"]


@pytest.mark.parametrize("broken", ["{", "[]", '{"passed": 3}'])
def test_an_unreadable_file_is_put_aside_with_a_word(
    file: Path, broken: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file.parent.mkdir()
    file.write_text(broken)
    assert progress().passed == frozenset()
    assert file.with_suffix(".unreadable").read_text() == broken
    assert "progress.unreadable" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_a_word_and_no_error(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.parent.write_text("a file where the folder should be")
    note_passed("03-1")
    assert "could not be kept" in capsys.readouterr().err
    assert "03-1" in progress().passed


def test_a_folder_in_its_place_is_a_word_and_no_error(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.mkdir(parents=True)
    assert progress().passed == frozenset()
    note_passed("03-1")
    assert "could not be kept" in capsys.readouterr().err
    assert "03-1" in progress().passed


def test_set_to_nothing_no_file_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWAITED_PROGRESS", "")
    monkeypatch.chdir(tmp_path)
    note_passed("03-1")
    assert progress().passed == {"03-1"}
    assert list(tmp_path.iterdir()) == []


def test_it_reads_as_a_line_a_lesson() -> None:
    shown = Progress(frozenset({"01-2"}), ("01-1", "01-2", "02-1"))
    assert repr(shown).splitlines() == ["lesson 01  □■   1 of 2", "lesson 02  □    0 of 1"]
