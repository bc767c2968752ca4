"""One machine: every line is answered once, whatever happens meanwhile. Counted by the journal."""

import asyncio
import errno
import io
import json
from pathlib import Path

import pytest

from helpers.many import rows
from helpers.many.answers import Job, PartFile, RunError, open_folder
from tests.many.conftest import Many, interrupt

BOUND = 8


def test_each_line_is_answered_once_and_the_parts_are_one_table(
    many: Many, capsys: pytest.CaptureFixture[str]
) -> None:
    many.write(25)
    assert many.run("--part", "10", "--bound", str(BOUND)) == 0
    assert many.is_whole(25)
    assert set(many.paid().values()) == {1}
    table = {row["line"]: row for row in rows(many.answers)}
    assert table[17]["id"] == "q17"
    assert table[17]["model"] == "m17"
    assert table[17]["completion_tokens"] == 3
    assert "25 of 25 lines are answered" in capsys.readouterr().out
    assert len(list(many.answers.glob("part-*.jsonl"))) == 3


def test_no_more_are_in_flight_than_the_bound_though_two_parts_are_under_way(many: Many) -> None:
    many.write(40)
    many.mock.pace(1.0, first=0.02, gap=0.0)
    assert many.run("--part", "10", "--bound", "5") == 0
    assert max(one.in_flight for one in many.asked()) == 5


def test_a_poisoned_line_is_told_with_its_number_and_stops_nothing_else(
    many: Many, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = json.dumps({"prompt": "Hi", "max_tokens": -1})
    many.write(6, "{broken", b'{"prompt": "\xff"}', refused)
    assert many.run() == 1
    assert many.is_whole(6)
    errors = many.errors()
    assert sorted(errors) == [7, 8, 9]
    assert "is no JSON" in errors[7]
    assert "is not UTF-8" in errors[8]
    assert "BadRequestError: Error code: 400" in errors[9]
    said = capsys.readouterr().out
    assert "3 failed" in said
    assert "Line 7 is no JSON" in said
    assert "Line 9: BadRequestError" in said
    assert max(many.paid().values()) == 1


def test_a_mended_line_is_asked_and_its_error_goes_away(many: Many) -> None:
    many.write(3, "{broken")
    assert many.run() == 1
    many.write(4)
    assert many.run() == 0
    assert many.is_whole(4)
    assert many.errors() == {}
    assert set(many.paid().values()) == {1}


def test_a_changed_line_is_asked_again_and_its_old_answer_stands_aside(many: Many) -> None:
    many.write(3)
    assert many.run() == 0
    lines = [many.line(1), many.line(2, "Count to three."), many.line(3)]
    many.file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert many.run() == 0
    assert many.is_whole(3)
    assert many.paid() == {"m1": 1, "m2": 2, "m3": 1}
    aside = (many.answers / "changed-000001.jsonl").read_text()
    assert json.loads(aside)["line"] == 2


def test_a_run_killed_in_the_middle_is_gone_on_with_and_pays_twice_for_what_was_in_flight_alone(
    many: Many,
) -> None:
    many.write(120)
    many.mock.pace(1.0, first=0.03, gap=0.0)
    with many.process("--part", "50", "--bound", str(BOUND)) as process:
        many.wait_for(lambda: many.finished() >= 40)
        process.kill()
    assert many.run("--part", "50", "--bound", str(BOUND)) == 0
    assert many.is_whole(120)
    paid = many.paid()
    assert len(paid) == 120
    assert sum(paid.values()) - 120 <= BOUND


def test_half_a_line_that_a_killed_run_left_is_no_answer_and_is_asked_again(many: Many) -> None:
    many.write(5)
    assert many.run() == 0
    part = many.answers / "part-000001.jsonl"
    part.write_bytes(part.read_bytes()[:-20])
    assert len(list(rows(many.answers))) == 4
    assert many.run() == 0
    assert many.is_whole(5)
    assert sorted(many.paid().values()) == [1, 1, 1, 1, 2]


@pytest.mark.slow
def test_ctrl_c_waits_for_what_is_in_flight_and_nothing_is_paid_for_twice(many: Many) -> None:
    many.write(120)
    many.mock.pace(1.0, first=0.05, gap=0.0)
    with many.process("--bound", str(BOUND)) as process:
        many.wait_for(lambda: many.finished() >= 20)
        interrupt(process)
        said = process.communicate(timeout=60)[0]
    assert process.returncode == 130
    assert "Interrupted: no further call begins" in said
    assert "Run the same command again" in said
    assert len(many.rows()) == sum(many.paid().values()) < 120
    assert {one.outcome for one in many.asked()} == {"finished"}
    many.mock.pace(0)
    assert many.run("--bound", str(BOUND)) == 0
    assert many.is_whole(120)
    assert set(many.paid().values()) == {1}


def test_a_server_that_refuses_is_waited_for_and_every_line_gets_its_answer(many: Many) -> None:
    many.write(60)
    many.mock.limit(requests=20, period=0.2)
    assert many.run("--bound", "16") == 0
    assert many.is_whole(60)
    assert {one.status for one in many.asked()} == {200, 429}
    assert set(many.paid().values()) == {1}


def test_with_a_rate_below_the_servers_nothing_is_refused(many: Many) -> None:
    many.write(40)
    many.mock.limit(requests=40, period=0.5)  # 4,800 a minute
    assert many.run("--bound", "16", "--per-minute", "3600") == 0
    assert {one.status for one in many.asked()} == {200}


def test_a_failure_that_passes_is_tried_again_and_one_that_stays_is_told(many: Many) -> None:
    many.write(3)
    many.mock.fail("503; retry-after=0.01", times=2, model="m1")
    many.mock.fail("503; retry-after=0.01", times=9, model="m2")
    assert many.run("--retries", "2") == 1
    assert [row["line"] for row in many.rows()] == [3, 1]
    assert [one.retry for one in many.asked() if one.model == "m2"] == [0, 1, 2]
    assert "InternalServerError" in many.errors()[2]


def test_a_200_without_an_answer_is_no_answer(many: Many) -> None:
    many.write(2)
    many.mock.fail("null-choices", model="m1")
    assert many.run() == 1
    assert [row["line"] for row in many.rows()] == [2]
    assert "sent no answer" in many.errors()[1]


def test_an_endpoint_that_is_gone_is_not_asked_for_every_line(
    many: Many, capsys: pytest.CaptureFixture[str]
) -> None:
    many.write(300)
    many.mock.fail("500", times=1000)
    assert many.run("--retries", "0", "--bound", "4") == 1
    assert len(many.asked()) <= 20 + 2 * 4
    assert "24 lines in a row failed" in capsys.readouterr().out


@pytest.mark.parametrize(("fault", "told"), [("401", "take the key"), ("quota", "no budget left")])
def test_what_no_line_can_pass_stops_the_run_at_once(
    many: Many, capsys: pytest.CaptureFixture[str], fault: str, told: str
) -> None:
    many.write(100)
    many.mock.fail(fault, times=1000, path="/v1/chat/completions")
    assert many.run("--bound", "4") == 1
    assert len(many.asked()) <= 4
    assert told in capsys.readouterr().out


def test_a_folder_is_one_runs_at_a_time(many: Many, capsys: pytest.CaptureFixture[str]) -> None:
    many.write(3)
    lock, _ = open_folder(many.answers, Job(1000, "mock-chat", {}))
    with lock:
        assert many.run() == 2
    assert "Another run is at work" in capsys.readouterr().err
    assert many.run() == 0


@pytest.mark.parametrize("options", [["--part", "7"], ["--set", "max_tokens=9"]])
def test_a_folder_that_was_begun_otherwise_is_left_alone(
    many: Many, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    many.write(3)
    assert many.run() == 0
    assert many.run(*options) == 2
    assert "was begun with" in capsys.readouterr().err
    assert set(many.paid().values()) == {1}


def test_a_part_file_with_something_else_in_it_is_told_and_kept(
    many: Many, capsys: pytest.CaptureFixture[str]
) -> None:
    many.write(2)
    many.answers.mkdir()
    part = many.answers / "part-000001.jsonl"
    part.write_text("notes of mine\n")
    assert many.run() == 2
    assert "line 1, is no answer that this program wrote" in capsys.readouterr().err
    assert part.read_text() == "notes of mine\n"
    assert many.asked() == []


def test_a_full_disk_leaves_no_half_line_and_stops_the_run(tmp_path: Path) -> None:
    class Full(io.BytesIO):
        def write(self, line: bytes) -> int:  # type: ignore[override]
            return super().write(line[:5])

    async def written() -> bytes:
        async with PartFile(tmp_path, 1) as file:
            real, file._file = file._file, Full(b"kept\n")
            with pytest.raises(OSError, match="No space left") as raised:
                file.write({"line": 1, "mark": "a"})
            assert raised.value.errno == errno.ENOSPC
            assert file.done == {}
            left, file._file = file._file.getvalue(), real  # type: ignore[union-attr]
            return left

    assert asyncio.run(written()) == b"kept\n"


def test_a_second_writer_of_a_part_waits_for_the_first_and_sees_what_it_wrote(
    tmp_path: Path,
) -> None:
    async def both() -> dict[int, str]:
        async with PartFile(tmp_path, 1) as first:
            second = PartFile(tmp_path, 1)
            waiting = asyncio.create_task(second.__aenter__())
            await asyncio.sleep(0.01)
            assert not waiting.done()
            first.write({"line": 1, "mark": "a"})
        await waiting
        await second.__aexit__(None, None, None)
        return second.done

    assert asyncio.run(both()) == {1: "a"}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--bound", "0"], "--bound takes a number from 1"),
        (["--set", "messages=[]"], "--set takes NAME=VALUE"),
        (["--header", "Authorization: x"], "a key belongs into OPENAI_API_KEY"),
        (["--batch", "--cluster", "tcp://127.0.0.1:1"], "two ways"),
        (["--worker-keys"], "goes with --cluster"),
    ],
)
def test_an_option_that_cannot_be_used_says_so(
    many: Many, capsys: pytest.CaptureFixture[str], options: list[str], told: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        many.run(*options)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_a_file_that_is_not_there_or_holds_nothing_says_so(
    many: Many, capsys: pytest.CaptureFixture[str]
) -> None:
    assert many.run() == 2
    assert "prompts.jsonl: No such file" in capsys.readouterr().err
    many.file.write_text("\n\n")
    assert many.run() == 2
    assert "holds no line to ask" in capsys.readouterr().err


def test_the_table_can_be_printed(many: Many, capsys: pytest.CaptureFixture[str]) -> None:
    many.write(2)
    assert many.run() == 0
    capsys.readouterr()
    assert many.run("--table") == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted(row["id"] for row in printed) == ["q1", "q2"]
    (many.answers / "part-000001.jsonl").write_text('{"line": 1}\n')
    with pytest.raises(RunError, match="no answer that this program wrote"):
        list(rows(many.answers))
