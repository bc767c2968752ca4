"""The same lines through the Batch API: into the same folder, and never paid for twice."""

import pytest

from helpers.many.batch import NOTES
from tests.many.conftest import Many, interrupt

POLL = ("--poll", "0.01")


def batches(many: Many) -> list[dict[str, str]]:
    headers = {"authorization": "Bearer a-key"}
    found = many.mock.http.get("/v1/batches", headers=headers)
    return found.raise_for_status().json()["data"]  # type: ignore[no-any-return]


def test_a_batch_fills_the_same_folder_as_calls_do(many: Many) -> None:
    many.write(25, "{broken")
    assert many.run("--part", "10", "--batch", *POLL) == 1
    assert many.is_whole(25)
    assert set(many.paid().values()) == {1}
    assert all(one.batch for one in many.asked())
    by_line = {row["line"]: row for row in many.rows()}
    assert by_line[17]["id"] == "q17"
    assert by_line[17]["model"] == "m17"
    assert "is no JSON" in many.errors()[26]
    by_batch = {name: {**row} for name, row in by_line.items()}
    for part in many.answers.glob("part-*.jsonl"):
        part.unlink()
    assert many.run("--part", "10") == 1
    assert {row["line"]: row for row in many.rows()} == by_batch


def test_many_lines_are_several_batches(many: Many) -> None:
    many.write(25)
    assert many.run("--batch", "--batch-lines", "10", *POLL) == 0
    assert many.is_whole(25)
    assert len(batches(many)) == 3
    assert set(many.paid().values()) == {1}


def test_what_failed_in_a_batch_is_told_and_asked_again(
    many: Many, capsys: pytest.CaptureFixture[str]
) -> None:
    many.write(5)
    many.mock.fail("500", model="m3")
    assert many.run("--batch", *POLL) == 1
    assert "status 500" in many.errors()[3]
    assert "Line 3" in capsys.readouterr().out
    assert many.run("--batch", *POLL) == 0
    assert many.is_whole(5)
    assert set(many.paid().values()) == {1}
    assert many.errors() == {}


def test_what_had_no_turn_before_a_batch_expired_is_asked_again_alone(many: Many) -> None:
    many.write(20)
    header = ("--header", "x-mock-fault: expired; after=8")
    assert many.run("--batch", *POLL, *header) == 1
    assert len(many.rows()) == 8
    errors = many.errors()
    assert len(errors) == 12
    assert all("batch_expired" in why for why in errors.values())
    assert many.run("--batch", *POLL) == 0
    assert many.is_whole(20)
    assert set(many.paid().values()) == {1}


@pytest.mark.slow
def test_a_run_that_is_broken_off_finds_its_batches_again(many: Many) -> None:
    many.write(12)
    many.mock.batches(pace=1.0)
    many.mock.pace(1.0, first=0.5, gap=0.0)
    with many.process("--batch", *POLL) as process:
        many.wait_for(lambda: bool(batches(many)))
        many.wait_for(lambda: (many.answers / NOTES).exists())
        interrupt(process)
        said = process.communicate(timeout=60)[0]
    assert process.returncode == 130
    assert "go on at the provider" in said
    assert many.rows() == []
    assert many.run("--batch", *POLL) == 0
    assert many.is_whole(12)
    assert len(batches(many)) == 1
    assert set(many.paid().values()) == {1}


@pytest.mark.parametrize("lost", ["its note", "the note that it is fetched"])
def test_a_batch_whose_note_was_lost_is_not_paid_for_again(many: Many, lost: str) -> None:
    many.write(6)
    assert many.run("--batch", *POLL) == 0
    notes = many.answers / NOTES
    kept = notes.read_text().splitlines(keepends=True)[:1] if "fetched" in lost else []
    notes.write_text("".join(kept))
    if not kept:  # the run died before its answers were fetched, too
        (many.answers / "part-000001.jsonl").unlink()
    assert many.run("--batch", *POLL) == 0
    assert many.is_whole(6)
    assert set(many.paid().values()) == {1}


def test_calls_and_batches_go_on_with_each_other(many: Many) -> None:
    many.write(10)
    many.mock.fail("400", model="m4")
    assert many.run() == 1
    assert many.run("--batch", *POLL) == 0
    assert many.is_whole(10)
    assert [one.model for one in many.asked() if one.batch] == ["m4"]


def test_an_endpoint_without_batches_says_so(
    many: Many, capsys: pytest.CaptureFixture[str]
) -> None:
    many.write(2)
    many.mock.fail("404", path="/v1/batches")
    assert many.run("--batch", *POLL) == 2
    assert "The endpoint does not do it: NotFoundError" in capsys.readouterr().err
