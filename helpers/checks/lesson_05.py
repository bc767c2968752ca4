"""Lesson 05's checks: is what arrived kept when one call fails, and is nothing paid for twice?"""

import asyncio
import json
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openai import APIConnectionError

from helpers.checks.exercise import NotYet, Trial, count, describe, register, shorten
from helpers.checks.failures import error_in_a_stream, lost_connection, refused
from helpers.clients import async_client, model

QUESTIONS = ("Tell me a joke.", "Count to two.", "Write a haiku.", "Why is the sky blue?")
"""Of different lengths, so that they end in an order that is not their own."""

UNLUCKY_QUESTION = QUESTIONS[1]
"""It ends first, so that the failure comes while the others are under way."""

PROMPTS = (
    "Count to three.",
    "Count to three, please.",
    "Count to three again.",
    "Count to three once more.",
    "Count to two.",
    "Count to twenty.",
    "Count to twenty, please.",
    "Count to twenty.",
)
"""Four short ones, and four that begin when those have ended: the first fails, one is there twice.

Its two calls must be under way together, or the file would hide that it is asked twice.
"""

DIFFERENT = len(set(PROMPTS))

UNLUCKY_PROMPT = PROMPTS[4]

AT_ONCE = 4
"""How many places the exercise allows."""

LOOKS = 50
"""How often, each fiftieth of a second, a file is looked at for lines that a thread may write."""

MAX_TOKENS = 60
"""More than the mock server's answers have, and few enough for a small real model's patience."""


@dataclass(slots=True, repr=False)
class _Ask:
    """The `ask` that an answer is given: it asks the endpoint, and loses one question's answer."""

    unlucky: str | None
    file: Path | None = None
    """Where the answers should stand, a line each, when the unlucky call fails."""

    calls: Counter[str] = field(default_factory=Counter)
    paid: Counter[str] = field(default_factory=Counter)
    answers: dict[str, str] = field(default_factory=dict)
    under_way: int = 0
    most_under_way: int = 0
    lost: int = 0
    had: int = 0
    safe: int = 0
    """How many answers it had given when the call failed, and how many of them the file held."""

    def __repr__(self) -> str:
        return "ask"

    async def __call__(self, question: str) -> str:
        """Return the answer to a question.

        Raises:
            APIConnectionError: it is the unlucky one.
        """
        self.calls[question] += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        fault = {"x-mock-fault": "disconnect"} if question == self.unlucky else {}
        try:
            client = async_client().with_options(max_retries=0)
            answer = await client.chat.completions.create(
                model=model(),
                messages=[{"role": "user", "content": question}],
                max_tokens=MAX_TOKENS,
                extra_headers=fault,
            )
            if fault:  # an endpoint that knows no faults has answered
                raise lost_connection()
        except APIConnectionError:
            self.lost += 1
            if self.file:
                await self._look(self.file)
            raise
        finally:
            self.under_way -= 1
        self.paid[question] += 1
        self.answers[question] = answer.choices[0].message.content or ""
        return self.answers[question]

    async def _look(self, file: Path) -> None:
        self.had = len(self.answers)
        for _ in range(LOOKS):
            self.safe = _lines(file)
            if self.safe >= self.had:
                return
            await asyncio.sleep(0.02)


@register(
    "05-1",
    hints=(
        "gather raises the first error that it meets. What of the three other answers?",
        "gather can hand you the errors in the list, in place of raising one. Or catch the error "
        "inside each call. Which class do a lost connection, a 429 and a 503 have in common?",
        "`results = await asyncio.gather(…, return_exceptions=True)`. Raise a result that is an "
        "exception and no `APIError`, and put None for each that is one.",
    ),
)
async def keeps_what_arrived(trial: Trial) -> str:
    ask = _Ask(UNLUCKY_QUESTION)
    try:
        answers = await trial.run_awaited(ask, list(QUESTIONS))
    except NotYet as verdict:
        if not ask.lost or verdict.__context__ is None:  # what failed is the answer's own affair
            raise
        others = len(QUESTIONS) - ask.lost
        raise NotYet(
            f"One call of {len(QUESTIONS)} failed, and page raised its error: of the other "
            f"{others} answers none came back."
        ) from None
    left = ask.under_way
    if not isinstance(answers, list):
        raise NotYet(f"page returned {describe(answers)}, where a list was wanted.")
    _expect_each_once(ask.calls, QUESTIONS)
    if left:
        raise NotYet(f"It returned while {count(left, 'call')} were still under way.")
    if ask.most_under_way == 1:
        raise NotYet("Each call waited for the one before; they can all be under way at once.")
    if len(answers) != len(QUESTIONS):
        raise NotYet(
            f"{len(QUESTIONS)} questions were asked; the list has {count(len(answers), 'item')}."
        )
    cut_off = len(QUESTIONS) - ask.lost - len(ask.answers)
    if cut_off:
        raise NotYet(f"One call failed, and {cut_off} of the others were cancelled.")
    lost = QUESTIONS.index(UNLUCKY_QUESTION)
    if answers[lost] is not None:
        raise NotYet(
            f"Question {lost + 1} got no answer. In its place stands {describe(answers[lost])}; "
            f"the page wants None there."
        )
    if answers != [ask.answers.get(question) for question in QUESTIONS]:
        raise NotYet("The answers do not stand in the order of the questions.")
    await _expect_every_kind_to_be_kept_out(trial)
    await _expect_a_mistake_to_come_out(trial)
    return f"{len(QUESTIONS)} calls at once, 1 failed; {len(ask.answers)} answers kept, in order."


async def _expect_every_kind_to_be_kept_out(trial: Trial) -> None:
    """A lost connection is one kind of `APIError` among several."""
    failures = (refused(429), refused(503), error_in_a_stream())
    fails = dict(zip(QUESTIONS, failures, strict=False))
    others = "Where a 429, a 503 or an error in a stream ended a call, the page wants None as well"

    async def ask(question: str) -> str:
        if question in fails:
            raise fails[question]
        return "An answer."

    try:
        answers = await trial.run_awaited(ask, list(QUESTIONS))
    except NotYet as reason:
        raise NotYet(f"{others}. But {reason}") from None
    for answer, failure in zip(answers, failures, strict=False):
        if answer is not None:
            raise NotYet(
                f"{others}. But in place of {type(failure).__name__} stands {describe(answer)}."
            )


async def _expect_a_mistake_to_come_out(trial: Trial) -> None:
    async def ask(question: str) -> str:
        if question == UNLUCKY_QUESTION:
            raise NameError("name 'clinet' is not defined")
        return "An answer."

    try:
        await trial.run_awaited(ask, list(QUESTIONS))
    except NotYet:
        return
    raise NotYet(
        "The failed call's place holds None, as it should. But then ask itself had a mistake, a "
        "NameError, and page hid that one too."
    )


@register(
    "05-2",
    hints=(
        "When is an answer safe? And how does the second run learn what the first has paid for?",
        "Read the file first, if it exists. Each whole line is an answer that you have; half a "
        "line at its end has to go. Then append a line as soon as an answer is there, and flush "
        "it. What becomes of the other calls when one fails: should they go on, and who waits?",
        "`*whole, torn = file.read_bytes().split(b'\\n')`; `left` is an iterator over those of "
        "`dict.fromkeys(prompts)` that `whole` lacks. In `with file.open('a') as out:` "
        "`out.truncate(…)` to the whole lines, then gather four workers with "
        "`return_exceptions=True`. Each: `for prompt in left:` ask, "
        "`out.write(json.dumps(…) + '\\n')`, `out.flush()`. At the end raise what one raised.",
    ),
)
async def pays_for_nothing_twice(trial: Trial) -> str:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "answers.jsonl"
        first = _Ask(UNLUCKY_PROMPT, file)
        await _break_off(trial, first, file)
        kept = _rows(file)
        torn = _tear(file) if kept else None
        second = _Ask(None)
        try:
            await trial.run_awaited(second, list(PROMPTS), file)
        except NotYet as reason:
            cut = "I cut the file's last line in half. Then " if torn else ""
            raise NotYet(f"{cut}{reason}") from None
        again = [prompt for prompt in second.calls if prompt in first.answers and prompt != torn]
        if again:
            raise NotYet(
                f"The second run asked for {count(len(again), 'answer')} that the first had "
                f"paid for."
            )
        rows = _rows(file)
    most = max(first.most_under_way, second.most_under_way)
    if most > AT_ONCE:
        raise NotYet(f"{most} calls were under way at once; the server takes {AT_ONCE}.")
    if most == 1:
        raise NotYet(f"Each call waited for the one before; {AT_ONCE} may be under way at once.")
    if any(number > 1 for ask in (first, second) for number in ask.paid.values()):
        raise NotYet("One prompt stands twice in the list, and its answer was paid for twice.")
    _expect_rows(rows, {**first.answers, **second.answers})
    cut = ", the last of which I cut in half" if torn else ""
    return (
        f"Run 1 failed with {count(len(kept), 'answer')} kept{cut}. "
        f"Run 2 paid for {second.paid.total()} more: {DIFFERENT} prompts, {len(rows)} lines."
    )


async def _break_off(trial: Trial, ask: _Ask, file: Path) -> None:
    """Run the answer while a call fails; expect the failure to be told, and nothing to be lost."""
    told = False
    try:
        await trial.run_awaited(ask, list(PROMPTS), file)
    except NotYet as verdict:
        if not ask.lost or verdict.__context__ is None:  # what failed is the answer's own affair
            raise
        told = True
    left = ask.under_way
    cut_off = ask.calls.total() - ask.lost - ask.paid.total() - left
    if not ask.lost:
        raise NotYet(f"It ended and had asked for {len(ask.calls)} of {DIFFERENT} prompts.")
    if ask.safe < ask.had:
        raise NotYet(
            f"{count(ask.had, 'answer')} had come when a call failed, and the file held "
            f"{ask.safe} of them. A run that is killed then loses the rest."
        )
    if not told:
        raise NotYet("A call failed, and run returned as if all were done; let its error out.")
    kept = len(_rows(file))
    if kept < len(ask.answers):
        raise NotYet(
            f"{count(len(ask.answers), 'answer')} had come when the run failed, and the file "
            f"holds {kept} of them."
        )
    if left:
        raise NotYet(
            f"The run had failed, and {left} of its calls went on. Start it again "
            f"now, and they are paid for twice."
        )
    if cut_off:
        raise NotYet(
            f"When one call failed, {count(cut_off, 'call')} under way "
            f"ended with it: the server had begun to write, and nobody gets those answers."
        )


def _tear(file: Path) -> str:
    """Cut the last line in half, as a run killed while it writes does; return its prompt."""
    text = file.read_text("utf-8").rstrip()
    line = text.splitlines()[-1]
    file.write_text(text[: len(text) - len(line) // 2], "utf-8")
    return str(json.loads(line)["prompt"])


def _lines(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0


def _rows(file: Path) -> list[dict[str, Any]]:
    if not file.exists():
        return []
    rows = []
    for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
        except ValueError:
            raise NotYet(f"Line {number} of the file is no JSON: {shorten(line)}") from None
        if not isinstance(row, dict) or not {"prompt", "answer"} <= row.keys():
            raise NotYet(f'Line {number} of the file is no object with "prompt" and "answer".')
        rows.append(row)
    return rows


def _expect_rows(rows: list[dict[str, Any]], answers: dict[str, str]) -> None:
    lines = Counter(str(row["prompt"]) for row in rows)
    missing = [prompt for prompt in dict.fromkeys(PROMPTS) if not lines[prompt]]
    if missing:
        raise NotYet(f"After both runs the file lacks {count(len(missing), 'prompt')}.")
    twice = [prompt for prompt, number in lines.items() if number > 1]
    if twice:
        raise NotYet(f"After both runs the file holds {count(len(twice), 'prompt')} twice.")
    wrong = [row for row in rows if row["answer"] != answers.get(row["prompt"])]
    if wrong:
        raise NotYet(f"{count(len(wrong), 'answer')} in the file belongs to another prompt.")


def _expect_each_once(calls: Counter[str], questions: tuple[str, ...]) -> None:
    for number, question in enumerate(questions, 1):
        if calls[question] != 1:
            raise NotYet(f"Question {number} was asked {count(calls[question], 'time')}.")
