"""Lesson 06's checks: does plain code work where a loop runs, and was each answer paid for once?"""

from helpers.checks.exercise import NotYet, Trial, count, describe, describe_call, register

QUESTIONS = ("Count to three.", "Count to four.", "Count to five.", "Count to six.")
"""Short answers. Four, as a client carried through several loops fails in every other one."""

HELD_UP = 10.0
"""Seconds for 06-1. A usual wrong answer waits for a loop that it holds up itself, for ever; two
short answers of a slow real model take less."""


@register(
    "06-1",
    hints=(
        "A loop already runs in this thread. In which other place could one begin?",
        "A new thread has no loop, so asyncio.run works there. So does a loop that runs in a "
        "thread all the time. Which client may be used there?",
        "In an async def once(): open `async with async_client(max_retries=2) as own`, return "
        "await ask(own, text). Then ThreadPoolExecutor().submit(asyncio.run, once()).",
    ),
    time_limit=HELD_UP,
)
async def caption(trial: Trial) -> str:
    for question in QUESTIONS[:2]:  # a client that is carried to a second loop fails there
        result = trial.call_here(question)
        if not isinstance(result, str) or not result.strip():
            call = describe_call(trial.answer, (question,))
            raise NotYet(f"{call} returned {describe(result)} instead of a text.")
    _expect_requests(trial, 2)
    return "Two plain calls inside the running loop returned two texts."


@register(
    "06-2",
    hints=(
        "Which event loop does the client's open connection belong to, and does it still run?",
        "Each asyncio.run makes a loop and closes it. How many does this program need?",
        "Write one async def main() with `async with async_client(max_retries=2) as client` and "
        "the for loop inside, and call asyncio.run(main()) once.",
    ),
)
async def nightly(trial: Trial) -> str:
    answers = await trial.run(list(QUESTIONS))
    if not isinstance(answers, list):
        raise NotYet(f"It returned {describe(answers)} instead of a list of answers.")
    texts = [answer for answer in answers if isinstance(answer, str) and answer.strip()]
    asked = count(len(QUESTIONS), "question")
    if len(texts) != len(QUESTIONS) or len(answers) != len(QUESTIONS):
        raise NotYet(f"{asked} were asked for, and {count(len(texts), 'answer')} came back.")
    _expect_requests(trial, len(QUESTIONS))
    if not trial.sees_requests:
        return f"{asked}, {len(texts)} answers."
    return f"{asked}, {len(texts)} answers, {len(trial.requests)} requests: each paid for once."


def _expect_requests(trial: Trial, expected: int) -> None:
    seen = len(trial.requests) if trial.sees_requests else expected
    if seen > expected:
        raise NotYet(
            f"{expected} answers came back for {seen} requests: "
            f"nobody read what {seen - expected} of them brought."
        )
    if seen < expected:
        raise NotYet(f"{expected} texts came back, and only {seen} were asked of the server.")
