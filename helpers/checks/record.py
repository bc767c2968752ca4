"""Which exercises you have passed: kept in a file of your own, outside the course's folder.

In the browser edition it lies among the notebooks, as the browser keeps those alone.
"""

import json
import os
import pkgutil
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from platformdirs import user_data_path

from helpers.checks.exercise import registered
from helpers.page import DRIVE

SETTING = "AWAITED_PROGRESS"
"""The environment variable that names another file; set to nothing, no file is kept."""

_passed: set[str] = set()


@dataclass(frozen=True, slots=True)
class Progress:
    """The exercises of each lesson, and those passed. A notebook shows it as text."""

    passed: frozenset[str]
    exercises: tuple[str, ...]

    def __repr__(self) -> str:
        lessons: dict[str, list[str]] = {}
        for name in self.exercises:
            lessons.setdefault(name.partition("-")[0], []).append(name)
        lines = []
        for lesson, names in lessons.items():
            done = sum(name in self.passed for name in names)
            marks = "".join("■" if name in self.passed else "□" for name in names)
            lines.append(f"lesson {lesson}  {marks:<4} {done} of {len(names)}")
        return "\n".join(lines)


def progress() -> Progress:
    """Return which exercises have been passed on this machine, in this and earlier sessions."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if module.name.startswith("lesson_"):
            import_module(f"helpers.checks.{module.name}")
    return Progress(frozenset(_read() | _passed), tuple(sorted(registered())))


def reset_progress() -> None:
    """Forget every exercise passed."""
    _passed.clear()
    file = _file()
    if file is not None:
        file.unlink(missing_ok=True)


def note_passed(name: str) -> None:
    """Remember that exercise `name` was passed. That it cannot be kept is a word, not an error."""
    _passed.add(name)
    file = _file()
    if file is None:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        passed = sorted(_read() | {name})
        draft = file.with_suffix(f".{os.getpid()}")  # two notebooks may write at once
        draft.write_text(json.dumps({"passed": passed}), "utf-8")
        draft.replace(file)
    except OSError as error:
        print(f"Your progress could not be kept ({error.strerror}).", file=sys.stderr)


def _read() -> set[str]:
    file = _file()
    if file is None or not file.exists():
        return set()
    try:
        return set(map(str, json.loads(file.read_text("utf-8"))["passed"]))
    except OSError:  # a folder, or a file that others may not read: note_passed says a word of it
        return set()
    except (ValueError, KeyError, TypeError):
        aside = file.with_suffix(".unreadable")
        file.replace(aside)
        print(f"Your progress could not be read; it is kept as {aside.name}.", file=sys.stderr)
        return set()


def _file() -> Path | None:
    if SETTING in os.environ:
        chosen = os.environ[SETTING]
        return Path(chosen) if chosen else None
    if sys.platform == "emscripten":
        return DRIVE / "progress.json" if DRIVE.is_dir() else None
    return user_data_path("awaited", appauthor=False) / "progress.json"
