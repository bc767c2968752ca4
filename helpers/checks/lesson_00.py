"""Judges the exercises of lesson 00: the text of an answer, and its price."""

import re

from helpers.checks.at_once import expect_no_printed_form, expect_the_answer, prompt_tokens
from helpers.checks.exercise import NotYet, Trial, count, describe, describe_call, register
from helpers.checks.likely import Likely, explaining
from helpers.checks.usage import text_and_tokens

QUESTION = "What is the capital of France?"

LIKELY = (
    Likely(
        re.compile(r"'ChatCompletion' object has no attribute '(message|content|text|delta)'"),
        "That is the whole answer; its text stands further in, behind choices.",
        "From the answer to its text: answer.choices[0].message.content",
    ),
    Likely(
        re.compile(r"'list' object has no attribute"),
        "choices is a list, with one choice in it unless you ask for more.",
        "Take the first of the list: answer.choices[0]",
    ),
    Likely(
        re.compile(r"'(Chat\w+|Choice|CompletionUsage)' object is not subscriptable"),
        "The answer and its parts are objects, no dicts: a dot leads into them.",
        "Write answer.choices, not answer['choices']; only choices is a list, and takes [0].",
    ),
    Likely(
        re.compile(r"'ChatCompletionMessage' object has no attribute"),
        "That is the message, one step from its text.",
        "A message has its text in content: answer.choices[0].message.content",
    ),
    Likely(
        re.compile(r"'ChatCompletion' object has no attribute '\w*tokens'"),
        "The answer counts its tokens in usage.",
        "The tokens that the model wrote: answer.usage.completion_tokens",
    ),
    Likely(
        re.compile(r"'CompletionUsage' object has no attribute"),
        "usage has three counts: prompt_tokens, completion_tokens and total_tokens.",
        "The one for what the model wrote is completion_tokens.",
    ),
    Likely(
        re.compile(r"'Stream' object has no attribute"),
        "That is a stream: with `stream=True` the answer comes in chunks, and not as one object.",
        "Leave stream=True out: this function wants the answer in one piece.",
    ),
)
"""What an error means in this lesson above all."""


@register(
    "00-1",
    hints=(
        "Put print(type(…)) around what the function returns, and look.",
        "An answer holds choices, a choice holds a message, a message holds the text.",
        "The text stands in answer.choices[0].message.content.",
    ),
)
async def the_text_of_an_answer(trial: Trial) -> str:
    """`ask(text)` returns the answer's text."""
    with explaining(trial, *LIKELY):
        text = await trial.run(QUESTION)
    call = describe_call(trial.answer, (QUESTION,))
    if not isinstance(text, str):
        raise NotYet(f"{call} returned {describe(text)}, where its text was wanted.")
    expect_no_printed_form(call, text)
    if trial.sees_requests:
        if not trial.requests:
            raise NotYet(f"{call} returned a text without asking the server.")
        expect_the_answer(call, QUESTION, text)
        sent = trial.requests[-1].tokens_sent
        return f"{count(len(trial.requests), 'request')}; {sent} tokens came back as text."
    return "The answer came back as text."


@register(
    "00-2",
    hints=(
        "How often does the function call create()?",
        "One answer carries both: its text in choices, its tokens in usage.",
        "Keep the first answer, drop the second call, and read usage from the first.",
    ),
)
async def text_and_tokens_of_one_answer(trial: Trial) -> str:
    """`ask_and_count(text)` returns the text and the tokens written, and pays for them once."""
    with explaining(trial, *LIKELY):
        text, tokens = await text_and_tokens(trial, QUESTION)
        call = describe_call(trial.answer, (QUESTION,))
        expect_no_printed_form(call, text)
        if not trial.sees_requests:
            return "A text and a number came back."
        requests = trial.requests
        if not requests:
            raise NotYet(f"{call} returned a pair without asking the server.")
        if len(requests) > 1:
            raise NotYet(f"One question was asked and paid for {len(requests)} times.")
        if tokens != requests[0].tokens_sent:
            raise _another_count(text, tokens, requests[0].tokens_sent)
        expect_the_answer(call, QUESTION, text)
    return f"1 request; it says {tokens} tokens, and the model wrote {tokens}."


def _another_count(text: str, tokens: int, written: int) -> NotYet:
    """Return the verdict on a number that is not that of the tokens written."""
    said = f"It says {tokens} tokens; the model wrote {written}."
    sent = prompt_tokens(QUESTION)
    wanted = "The tokens that the model wrote: answer.usage.completion_tokens"
    if tokens == sent + written:
        return NotYet(f"{said}\nThat is total_tokens: what you sent is counted in.", wanted)
    if tokens == sent:
        return NotYet(f"{said}\nThat is prompt_tokens: what you sent.", wanted)
    if tokens in (len(text), len(text.split())):
        what = "characters" if tokens == len(text) else "words"
        return NotYet(f"{said}\nThat is how many {what} the text has.", wanted)
    return NotYet(said)
