"""Lines that can be asked, and a plain word on each that cannot."""

from pathlib import Path

import pytest

from helpers.many.prompts import BadLine, Prompt, parts_of, read_line, read_part


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"{broken", "is no JSON: Expecting property name"),
        (b'"text"', "is JSON, but no object"),
        (b"{}", "has neither of 'prompt' and 'messages'"),
        (b'{"prompt": "a", "messages": []}', "has both of 'prompt' and 'messages'"),
        (b'{"prompt": 3}', "no text, or an empty one"),
        (b'{"prompt": "  "}', "no text, or an empty one"),
        (b'{"messages": []}', "no list of objects, or an empty one"),
        (b'{"messages": ["a"]}', "no list of objects"),
        (b'{"prompt": "a", "stream": true}', "has 'stream'"),
        (b'{"prompt": "a", "n": 2}', "has 'n'"),
        (b'{"prompt": "\xff"}', "is not UTF-8: byte 13 is 0xff. Save the file as UTF-8."),
        (b'{"prompt": "\\ud800"}', "holds half a surrogate pair"),
        (b'{"prompt": "a", "temperature": NaN}', "holds NaN, which JSON does not have"),
        (b"[" * 200_000, "is nested too deep"),
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_asked_says_why(line: bytes, told: str) -> None:
    found = read_line(7, line, {})
    assert isinstance(found, BadLine)
    assert found.line == 7
    assert told in found.reason


def test_a_line_says_what_its_request_holds_and_wins_over_what_holds_for_all() -> None:
    line = b'{"id": [1], "prompt": "Hi", "temperature": 0, "max_tokens": 5}'
    found = read_line(1, line, {"max_tokens": 9, "seed": 3})
    assert isinstance(found, Prompt)
    assert found.id == [1]
    assert found.body == {
        "messages": [{"role": "user", "content": "Hi"}],
        "temperature": 0,
        "max_tokens": 5,
        "seed": 3,
    }


def test_a_lines_mark_changes_with_the_line() -> None:
    marks = [read_line(1, line, {}) for line in (b'{"prompt": "a"}', b'{"prompt": "b"}')]
    assert len({mark.mark for mark in marks if isinstance(mark, Prompt)}) == 2


@pytest.mark.parametrize("size", [1, 2, 3, 10])
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n\r\n"])
def test_the_parts_together_are_the_file_whatever_their_size(
    tmp_path: Path, size: int, end: bytes
) -> None:
    file = tmp_path / "a.jsonl"
    texts = [f'{{"prompt": "{number} é"}}' for number in range(1, 6)]
    file.write_bytes(b"\xef\xbb\xbf" + "\n".join([*texts[:2], "", *texts[2:]]).encode() + end)
    parts = parts_of(file, size)
    found = [line for part in parts for line in read_part(file, part, {})]
    assert [line.line for line in found] == [1, 2, 4, 5, 6]
    assert all(isinstance(line, Prompt) for line in found)
    assert sum(part.asked for part in parts) == 5
    assert [part.first for part in parts] == list(range(1, parts[-1].last + 1, size))
