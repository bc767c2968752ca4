"""The folder that is written: a file of answers for each part, appended to line by line."""

import asyncio
import errno
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from secrets import token_hex
from typing import IO, Any

try:
    import fcntl
except ImportError:  # Windows: nothing there keeps two runs apart
    fcntl = None  # type: ignore[assignment]

JOB = "job.json"

LOOK = 0.2
"""Seconds after which a part that another process writes is looked at again."""


class RunError(Exception):
    """The run cannot begin or go on; its text says why and what to do."""


def rows(folder: str | Path) -> Iterator[dict[str, Any]]:
    """Yield all answers of a folder as one table, part after part; each has `line`, `answer`, ….

    A last line that a run which was killed left unfinished is no answer, and left out.

    Raises:
        RunError: a file holds something else.
    """
    for file in sorted(Path(folder).glob("part-*.jsonl")):
        with file.open("rb") as lines:
            yield from _whole_rows(file, lines)


def _whole_rows(file: Path, lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n"):
            return
        try:
            row = json.loads(line)
            _ = row["line"], row["mark"]
        except (ValueError, KeyError, TypeError):
            raise RunError(
                f"{file}, line {number}, is no answer that this program wrote. Take that line out, "
                "or move the file away: its lines are then asked again."
            ) from None
        yield row


@dataclass(frozen=True, slots=True)
class Job:
    """What must be the same whenever a run goes on: else its answers would not fit together."""

    part_size: int
    model: str
    options: dict[str, Any]


def open_folder(folder: Path, job: Job) -> tuple[IO[str], str]:
    """Make the folder, or go on with it.

    Returns a file to keep open, which holds others off, and the job's name, drawn when it began.

    Raises:
        RunError: another run is at work there, or was begun otherwise.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "job.lock").open("a")
    except OSError as error:
        raise RunError(f"{folder} cannot be written: {error.strerror}.") from None
    if fcntl is not None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise RunError(
                f"Another run is at work in {folder}. Wait for its end, or stop it first."
            ) from None
    file = folder / JOB
    wanted = asdict(job)
    if not file.exists():
        half = file.with_suffix(".half")
        name = token_hex(8)
        text = json.dumps({"name": name, **wanted}, ensure_ascii=False, indent=1)
        half.write_text(text, "utf-8")
        half.replace(file)
        return lock, name
    begun = json.loads(file.read_text("utf-8"))
    for name, value in wanted.items():
        if begun.get(name) != value:
            lock.close()
            raise RunError(
                f"{folder} was begun with {name.replace('_', ' ')} {json.dumps(begun.get(name))}, "
                f"and this run has {json.dumps(value)}. Go on as it was begun, or name another "
                "folder with --to."
            )
    return lock, begun["name"]


class PartFile:
    """A part's answers: what stands there already, and a line for each that comes."""

    def __init__(self, folder: Path, number: int, *, keeps_errors: bool = False) -> None:
        self._keeps_errors = keeps_errors
        self.path = folder / f"part-{number:06}.jsonl"
        self._errors = folder / f"errors-{number:06}.jsonl"
        self._changed = folder / f"changed-{number:06}.jsonl"
        self._file: IO[bytes] | None = None
        self._failed: IO[bytes] | None = None
        self.done: dict[int, str] = {}
        """The mark of each line that is answered."""

    async def __aenter__(self) -> "PartFile":
        self._file = await _locked(self.path)
        try:
            self._read()
        except BaseException:
            self._file.close()
            raise
        if not self._keeps_errors:  # what failed is asked again, and stands there if it fails again
            self._errors.unlink(missing_ok=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        for file in (self._file, self._failed):
            if file is not None:
                file.close()

    def _read(self) -> None:
        """Note what is done, and cut off what a process that died while it wrote left behind."""
        assert self._file is not None
        saved = self._file.read()
        whole = saved.rfind(b"\n") + 1
        if whole < len(saved):
            self._file.truncate(whole)
        for row in _whole_rows(self.path, saved[:whole].splitlines(keepends=True)):
            self.done[row["line"]] = row["mark"]

    async def set_aside(self, lines: set[int]) -> None:
        """Move the answers to lines that have changed since into a file of their own."""
        assert self._file is not None
        saved = self.path.read_bytes().splitlines(keepends=True)
        old = [line for line in saved if json.loads(line)["line"] in lines]
        with self._changed.open("ab") as changed:
            changed.write(b"".join(old))
        half = self.path.with_suffix(".half")
        half.write_bytes(b"".join(line for line in saved if line not in old))
        self._file.close()  # Windows replaces no open file
        half.replace(self.path)
        self._file = await _locked(self.path)
        for line in lines:
            del self.done[line]

    def write(self, row: dict[str, Any]) -> None:
        """Append an answer: once this returns, it stays, whatever becomes of this process."""
        assert self._file is not None
        _append(self._file, _line(row))
        self.done[row["line"]] = row["mark"]

    def fail(self, line: int, kind: str, reason: str) -> None:
        """Append a line that has no answer to the part's errors."""
        if self._failed is None:
            self._failed = self._errors.open("ab", buffering=0)
        _append(self._failed, _line({"line": line, "kind": kind, "reason": reason}))


def _append(file: IO[bytes], line: bytes) -> None:
    """Write a line, all of it or nothing.

    Raises:
        OSError: there was no room for it.
    """
    end = file.seek(0, os.SEEK_END)
    written = file.write(line)
    if written != len(line):  # the disk is full, and what comes next would be glued to this half
        file.truncate(end)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def _locked(path: Path) -> IO[bytes]:
    """Open a file to append to. Where another process writes it, wait for that one's end.

    Two may be at it where a scheduler has given up a worker that goes on all the same.
    """
    while True:
        file = path.open("a+b", buffering=0)  # each write goes to the operating system at once
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):  # noqa: PTH116
                file.seek(0)
                return file
        except BlockingIOError:
            pass
        except BaseException:
            file.close()
            raise
        file.close()
        await asyncio.sleep(LOOK)


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
