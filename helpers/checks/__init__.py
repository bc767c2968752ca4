"""The exercise checks: they judge an answer by what it does, never by how it is written."""

from importlib import import_module

from helpers.checks.exercise import Exercise, Verdict, find, judge
from helpers.checks.record import note_passed, progress, reset_progress

__all__ = ["Exercise", "Verdict", "check", "hint", "progress", "reset_progress"]

BELOW_A_SOLUTION = "check-again"
"""How the ids of those cells end that try a lesson's own solution."""

_hints_given: dict[str, int] = {}


def _exercise(name: str) -> Exercise:
    """Return the exercise called `name`, like "03-1": the first of lesson 03.

    Raises:
        LookupError: there is no such exercise.
    """
    if not isinstance(name, str) or "-" not in name:
        raise LookupError(
            f'The first argument is the exercise\'s name, a text like "03-1"; this is {name!r}.'
        )
    lesson = name.partition("-")[0]
    try:
        import_module(f"helpers.checks.lesson_{lesson}")
    except ModuleNotFoundError:
        raise LookupError(
            f"There is no exercise {name!r}: no lesson {lesson} has checks."
        ) from None
    return find(name)


async def check(name: str, answer: object) -> Verdict:
    """Try `answer` (a function, mostly) as the solution of exercise `name` and say what was seen.

    It runs the answer under a time limit, looks at its results and at the requests that reached the
    server, and ends any task that the answer leaves behind. A wrong answer is a verdict, no error.

    A pass counts in `progress()`, but not in the cell below a lesson's own solution.

    Raises:
        LookupError: there is no such exercise.
    """
    verdict = await judge(_exercise(name), answer)
    if verdict.passed and not _below_a_solution():
        note_passed(name)
    return verdict


def hint(name: str) -> str:
    """Return the next hint for exercise `name`: each is warmer than the one before.

    Raises:
        LookupError: there is no such exercise.
    """
    hints = _exercise(name).hints
    given = min(_hints_given.get(name, 0) + 1, len(hints))
    _hints_given[name] = given
    return _Text(f"hint {given} of {len(hints)}: {hints[given - 1]}")


def _below_a_solution() -> bool:
    """Whether the running cell is the check that a lesson has below its solution.

    Running a lesson from top to bottom runs that one too; it says nothing of the learner.
    """
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    kernel = getattr(get_ipython(), "kernel", None)
    if kernel is None:
        return False
    cell_id = kernel.get_parent().get("metadata", {}).get("cellId")
    return isinstance(cell_id, str) and cell_id.endswith(BELOW_A_SOLUTION)


class _Text(str):
    """A string that a notebook shows without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)
