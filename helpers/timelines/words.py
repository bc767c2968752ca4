"""Says in a sentence or two what a timeline shows, true at any pace: counts and order, no times."""

import textwrap
from collections import Counter
from collections.abc import Sequence

from helpers.heartbeat import Heartbeat
from helpers.observe import Outcome, Request
from helpers.timelines.run import Run

COUNTED = 12
"""Up to so many requests the peak is told as a number. Among more, the first may end before the
last has arrived, and the peak is the machine's affair."""

CLEARLY = 1.4
"""One run "took longer" when it took this many times as long: what waits one after another takes
twice as long at the least, and what should take the same differs by far less."""

ONE_STRETCH = 0.8
"""The share of a request that one freeze must cover: all of it for a blocking call, though the
server may note its end a little late."""

WIDTH = 96

NOTHING_IN_CELL = (
    "No request reached the server in this cell. timeline() shows those of the cell it stands in:\n"
    "make it the last line of the cell that asks, or write `with timeline():` around the calls."
)


def describe(runs: Sequence[Run]) -> str:
    """Return the runs in words, wrapped for a notebook's width."""
    if len(runs) == 1:
        return _wrap(_run(runs[0]))
    lines = [_wrap(f"{run.name}: {_uncapitalised(_run(run))}") for run in runs]
    comparison = _comparison(runs)
    return "\n".join([*lines, comparison] if comparison else lines)


def _run(run: Run) -> str:
    requests = run.requests
    if not requests:
        said = "No request reached the server."
    elif len(requests) == 1:
        said = f"One request reached the server; it {_one_outcome(requests[0])}."
    else:
        order = _order(run)
        said = f"{len(requests)} requests reached the server, {order}; {_outcomes(requests)}."
    loop = _loop(run)
    return f"{said} {loop}" if loop else said


def _order(run: Run) -> str:
    number, peak = len(run.requests), run.peak_in_flight
    if peak == 1:
        return "one after another"
    if number > COUNTED:
        return "many at a time"
    if peak == number:
        return "both in flight at once" if number == 2 else f"all {number} in flight at once"
    return f"at most {peak} in flight at a time"


def _one_outcome(request: Request) -> str:
    if request.outcome == "finished":
        if not request.tokens_sent:
            return "finished"
        how = "one by one" if request.stream else "in one piece"
        return f"sent {_count(request.tokens_sent, 'token')} {how} and finished"
    return {
        "running": "is still under way",
        "refused": f"was refused with status {request.status}",
        "failed": "failed" + (" midway" if request.tokens_sent else ""),
        "abandoned": "was abandoned by the client before its end",
    }[request.outcome]


def _outcomes(requests: Sequence[Request]) -> str:
    counts = Counter(request.outcome for request in requests)
    words: dict[Outcome, str] = {
        "finished": "finished",
        "refused": "refused",
        "failed": "failed",
        "abandoned": "abandoned by the client",
        "running": "still under way",
    }
    if len(counts) == 1:
        said = f"all {words[requests[0].outcome]}"
    else:
        said = _list([f"{counts[kind]} {word}" for kind, word in words.items() if counts[kind]])
    retries = sum(request.retry > 0 for request in requests)
    if retries:
        said += f"; {retries} of them {'was a retry' if retries == 1 else 'were retries'}"
    return said


def _loop(run: Run) -> str:
    """What the event loop did while the requests were under way."""
    heartbeat = run.heartbeat
    if heartbeat is None or len(run.requests) > COUNTED:
        return ""  # of many at once, the client's work on the others is a good part of each
    if not run.requests:
        if not heartbeat.freezes:
            return "The event loop kept running."
        return "The event loop stood still for a while."
    frozen = sum(_froze(heartbeat, request) for request in run.requests)
    if not frozen:
        return (
            "The event loop had its turns meanwhile."  # at least one; it may have stood still too
        )
    if frozen == len(run.requests):
        return "The event loop stood still meanwhile."
    return "The event loop stood still during some of them."


def _froze(heartbeat: Heartbeat, request: Request) -> bool:
    """Whether the call held the loop: one stretch of standing still then covers the whole request,
    at any pace. A loop on a busy machine stands still often, but in pieces."""
    last = request.tokens[-1] if request.tokens else request.first_byte
    end = last or request.ended or heartbeat.ended or request.arrived
    still = heartbeat.seconds_still(request.arrived, end)
    return still > ONE_STRETCH * (end - request.arrived)


def _comparison(runs: Sequence[Run]) -> str:
    timed = [run for run in runs if run.requests]
    if len(timed) != 2 or all(len(run.requests) == 1 for run in timed):
        return ""  # of two single calls, which took longer is the machine's affair
    fast, slow = sorted(timed, key=lambda run: run.end - run.start)
    if slow.end - slow.start > CLEARLY * (fast.end - fast.start):
        return f"{slow.name} took longer than {fast.name}."
    return ""


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _list(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _uncapitalised(text: str) -> str:
    return text[0].lower() + text[1:]


def _wrap(text: str) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent="  ")
