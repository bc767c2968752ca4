"""Lesson 05's checks: is what arrived kept when one call fails, and is nothing paid for twice?"""

import json
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from openai import APIConnectionError

from helpers.checks.exercise import NotYet, Trial, count, describe, register
from helpers.clients import async_client, model
from helpers.endpoint import endpoint

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
    "Count to twenty again.",
)
"""Four short ones, and four that begin when those have ended, of which the first fails."""

UNLUCKY_PROMPT = PROMPTS[4]

AT_ONCE = 4
"""How many places the exercise allows."""

MAX_TOKENS = 60
"""More than the mock server's answers have, and few enough for a small real model's patience."""


@dataclass(slots=True, repr=False)
class _Ask:
    """The `ask` that an answer is given: it asks the endpoint, and loses one question's answer."""

    unlucky: str | None
    calls: Counter[str] = field(default_factory=Counter)
    answers: dict[str, str] = field(default_factory=dict)
    under_way: int = 0
    most_under_way: int = 0
    lost: int = 0

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
                raise APIConnectionError(request=httpx2.Request("POST", endpoint().base_url))
        except APIConnectionError:
            self.lost += 1
            raise
        finally:
            self.under_way -= 1
        self.answers[question] = answer.choices[0].message.content or ""
        return self.answers[question]


@register(
    "05-1",
    hints=(
        "gather raises the first error that it meets. What of the three other answers?",
        "gather can hand you the errors in the list, in place of raising one. Or catch the error "
        "inside each call.",
        "`results = await asyncio.gather(…, return_exceptions=True)`, and then None for each "
        "result that is no str.",
    ),
)
async def keeps_what_arrived(trial: Trial) -> str:
    ask = _Ask(UNLUCKY_QUESTION)
    try:
        answers = await trial.run(ask, list(QUESTIONS))
    except NotYet:
        if not ask.lost:  # what failed is the answer's own affair
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
    lost = QUESTIONS.index(UNLUCKY_QUESTION)
    if answers[lost] is not None:
        raise NotYet(
            f"Question {lost + 1} got no answer. In its place stands {describe(answers[lost])}; "
            f"the page wants None there."
        )
    if answers != [ask.answers.get(question) for question in QUESTIONS]:
        raise NotYet("The answers do not stand in the order of the questions.")
    return f"{len(QUESTIONS)} calls at once, 1 failed; {len(ask.answers)} answers kept, in order."


@register(
    "05-2",
    hints=(
        "When is an answer safe? And how does the second run learn what the first has paid for?",
        "Read the file first, if it exists, and leave out the prompts in it. Then append a line as "
        "soon as an answer is there. What ends the other calls when one fails?",
        "`with file.open('a') as out:`, in it a TaskGroup, and in each task, inside "
        "`async with places:`, ask, `out.write(json.dumps(…) + '\\n')`, `out.flush()`.",
    ),
)
async def pays_for_nothing_twice(trial: Trial) -> str:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "answers.jsonl"
        first = _Ask(UNLUCKY_PROMPT)
        left = await _interrupted(trial, first, file)
        kept = _rows(file)
        if len(kept) < len(first.answers):
            raise NotYet(
                f"{count(len(first.answers), 'answer')} had come when a call failed, and the file "
                f"holds {len(kept)} of them."
            )
        if left:
            raise NotYet(
                f"The run had failed, and {left} of its calls went on. Start it again "
                f"now, and they are paid for twice."
            )
        second = _Ask(None)
        await trial.run(second, list(PROMPTS), file)
        again = [prompt for prompt in second.calls if prompt in first.answers]
        if again:
            raise NotYet(
                f"The second run asked for {count(len(again), 'answer')} that the first had "
                f"paid for."
            )
        rows = _rows(file)
    answers = {**first.answers, **second.answers}
    _expect_rows(rows, answers)
    most = max(first.most_under_way, second.most_under_way)
    if most > AT_ONCE:
        raise NotYet(f"{most} calls were under way at once; the server takes {AT_ONCE}.")
    if most == 1:
        raise NotYet(f"Each call waited for the one before; {AT_ONCE} may be under way at once.")
    paid = len(first.answers) + sum(second.calls.values())
    return (
        f"Run 1 failed with {len(first.answers)} answers kept; run 2 asked for the rest. "
        f"{len(PROMPTS)} prompts, {paid} answers paid for, {len(rows)} in the file."
    )


async def _interrupted(trial: Trial, ask: _Ask, file: Path) -> int:
    """Run the answer while a call fails; return how many calls were under way when it ended."""
    try:
        await trial.run(ask, list(PROMPTS), file)
    except NotYet:
        left = ask.under_way
        if not ask.lost:  # what failed is the answer's own affair
            raise
        return left
    if not ask.calls:
        raise NotYet("It ended without a single call.")
    return ask.under_way


def _rows(file: Path) -> list[dict[str, Any]]:
    if not file.exists():
        return []
    rows = []
    for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
        except ValueError:
            raise NotYet(f"Line {number} of the file is no JSON.") from None
        if not isinstance(row, dict) or not {"prompt", "answer"} <= row.keys():
            raise NotYet(f'Line {number} of the file is no object with "prompt" and "answer".')
        rows.append(row)
    return rows


def _expect_rows(rows: list[dict[str, Any]], answers: dict[str, str]) -> None:
    lines = Counter(str(row["prompt"]) for row in rows)
    missing = [prompt for prompt in PROMPTS if not lines[prompt]]
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
