"""The exercise checks: they judge an answer by what it does, never by how it is written."""

import re
from importlib import import_module

from helpers.checks.exercise import Exercise, Verdict, find, judge
from helpers.checks.record import note_passed, progress, reset_progress
from helpers.checks.shipped import is_shipped

__all__ = ["Exercise", "NoSuchExercise", "Verdict", "check", "hint", "progress", "reset_progress"]

_hints_given: dict[str, int] = {}
_fitting: dict[str, str] = {}
"""The hint that fits what the last check of an exercise saw, until it is given."""


class NoSuchExercise(LookupError):
    """An exercise was asked for by a name that none has; the message says what to write."""

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows: the message alone, as no code of the learner's is wrong."""
        return [f"\x1b[31m{type(self).__name__}\x1b[39m: {self}"]


def _exercise(name: str) -> Exercise:
    """Return the exercise called `name`, like "03-1": the first of lesson 03.

    Raises:
        NoSuchExercise: there is none of that name.
    """
    numbers = re.findall(r"\d+", name) if isinstance(name, str) else []
    if len(numbers) != 2:
        raise NoSuchExercise(
            f'The first argument is the exercise\'s name, a text like "03-1"; this is {name!r}.'
        )
    lesson, number = map(int, numbers)
    right = f"{lesson:02}-{number}"
    try:
        import_module(f"helpers.checks.lesson_{lesson:02}")
    except ModuleNotFoundError:
        raise NoSuchExercise(
            f"There is no exercise {name!r}: no lesson {lesson:02} has checks."
        ) from None
    try:
        exercise = find(right)
    except LookupError as error:
        raise NoSuchExercise(str(error)) from None
    if name != right:
        raise NoSuchExercise(f'There is no exercise {name!r}. It is written "{right}".')
    return exercise


async def check(name: str, answer: object) -> Verdict:
    """Try `answer` (a function, mostly) as the solution of exercise `name` and say what was seen.

    It runs the answer under a time limit, looks at its results and at the requests that reached the
    server, and ends any task that the answer leaves behind. A wrong answer is a verdict, no error.

    A pass counts in `progress()`, but not that of a lesson's own solution.

    Raises:
        NoSuchExercise: there is none of that name.
    """
    exercise = _exercise(name)
    _fitting.pop(name, None)  # it was about another answer
    verdict = await judge(exercise, answer)
    if verdict.hint:
        _fitting[name] = verdict.hint
    if verdict.passed and not is_shipped(name, answer):
        note_passed(name)
    return verdict


def hint(name: str) -> str:
    """Return the next hint for exercise `name`: each is warmer than the one before.

    Where the last check saw a mistake that is known, the hint that fits it comes first.

    Raises:
        NoSuchExercise: there is none of that name.
    """
    hints = _exercise(name).hints
    if fitting := _fitting.pop(name, ""):
        return _Text(f"hint, for what the check saw: {fitting}")
    given = min(_hints_given.get(name, 0) + 1, len(hints))
    _hints_given[name] = given
    return _Text(f"hint {given} of {len(hints)}: {hints[given - 1]}")


class _Text(str):
    """A string that a notebook shows without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)
