"""Recognises what a cell has left behind: an error, a value, a name; the most telling first."""

from typing import Any

from helpers.doctor import leftovers
from helpers.doctor.errors import of_error
from helpers.doctor.finding import Finding
from helpers.doctor.leftovers import Waiting
from helpers.doctor.protocols import Names
from helpers.doctor.source import Source
from helpers.doctor.syntax import of_syntax, of_timed, timed


def look(result: Any, new: Waiting, shell: Any) -> Finding | None:
    """Return what is wrong with the cell that ended, the most telling symptom first; or None.

    `new`: the coroutines without a start that this cell has given names to.
    """
    raw = result.info.raw_cell or ""
    cell = shell.transform_cell(raw)
    error = result.error_before_exec or result.error_in_exec
    if error is not None:
        found = of_syntax(error, raw, cell) or of_error(error, cell)
        return found or leftovers.of_refusal(error, cell, Names(shell.user_ns))
    names = Names(shell.user_ns)
    if timed(raw) is not None:
        return of_timed(raw, names)
    source = Source(cell)
    if result.result is not None:
        finding = leftovers.of_value(result.result, source, names)
        if finding is not None:
            return finding
    finding = leftovers.lost(source, names)
    if finding is not None:
        return finding
    for path, one in new:
        finding = leftovers.of_name(path, one, source, names)
        if finding is not None:
            return finding
    return None
