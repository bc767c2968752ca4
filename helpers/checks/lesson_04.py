"""Lesson 04's checks: do the waits overlap, and does the loop stay free, also from computing?"""

import hashlib
import time

from helpers.checks.at_once import LOOKS, expect_texts, mock_answers, texts_at_once
from helpers.checks.exercise import NotYet, Trial, count, register
from helpers.heartbeat import INTERVAL, Heartbeat
from helpers.observe import Request, peak_in_flight

PLACES = ("France", "Spain", "Italy")
ONE_STRETCH = 0.3
"""The share of the computing that three threads take at one stretch, a core each: a third."""

QUESTIONS = [f"What is the capital of {place}?" for place in PLACES]


@register(
    "04-1",
    hints=(
        "The threads overlap. Who waits for them, and can anything else run while it waits?",
        "Nothing in this function is awaited, so the loop never gets a turn. "
        "There is a client whose calls can be awaited.",
        "await asyncio.gather(*(ask_async(question) for question in questions))",
    ),
)
async def report(trial: Trial) -> str:
    """`report(questions)` answers all at once, in order, and leaves the loop free."""
    return await texts_at_once(trial, QUESTIONS)


@register(
    "04-2",
    hints=(
        "Two things are in the way: an await in a loop, and a computation that holds the loop.",
        "First all answers, together. Then each fingerprint where it holds nobody up.",
        "gather the calls; then gather asyncio.to_thread(fingerprint, answer) for each answer.",
    ),
)
async def signed(trial: Trial) -> str:
    """`signed(questions)` overlaps the calls and computes the fingerprints off the loop."""
    spent = time.thread_time()
    with Heartbeat(threshold=3 * INTERVAL, where=True) as heartbeat:  # it looks at every beat
        returned = await trial.run_awaited(QUESTIONS)
    spent = time.thread_time() - spent
    signatures = expect_texts(trial, QUESTIONS, returned)
    if not trial.sees_requests:
        return f"{len(signatures)} signatures came back."
    requests = trial.requests
    if len(requests) != len(QUESTIONS):
        raise NotYet(f"{len(QUESTIONS)} questions went out as {count(len(requests), 'request')}.")
    answers = mock_answers(QUESTIONS, requests)
    start = time.thread_time()
    wanted = [fingerprint(answer) for answer in answers]
    computing = time.thread_time() - start
    if signatures != wanted:
        if sorted(signatures) == sorted(wanted):
            raise NotYet("The fingerprints do not stand in the order of the questions.")
        raise NotYet("The fingerprints are not those of the answers.")
    peak = peak_in_flight(requests)
    if peak < len(QUESTIONS):
        raise NotYet(
            f"At most {count(peak, 'request')} in flight at once: the calls stand in a row."
        )
    # Either the loop's own thread did the work, or it stood still, at one stretch, for those that
    # did. Many short waits prove nothing: on a busy machine any loop has them. Nor does a long one
    # in which no other thread had its turns either.
    if spent > computing / 2 or _waited(heartbeat, requests, ONE_STRETCH * computing):
        raise NotYet("The calls overlap, but the loop stood still while fingerprints were made.")
    return f"{peak} requests in flight at once, {len(wanted)} fingerprints, and a loop left free."


def _waited(heartbeat: Heartbeat, requests: tuple[Request, ...], seconds: float) -> bool:
    """Whether the loop was held for so long at one stretch, while there was a text to sign."""
    first = min(request.ended for request in requests if request.ended is not None)
    assert heartbeat.ended is not None
    stretch = first, heartbeat.ended
    return (
        heartbeat.seconds_still(*stretch) > seconds
        and heartbeat.looks_while_still(*stretch) >= LOOKS
    )


def fingerprint(text: str) -> str:
    """Return the lesson's fingerprint of a text: a computation of some tenths of a second."""
    return hashlib.pbkdf2_hmac("sha256", text.encode(), b"salt", 400_000).hex()[:8]
