"""Judges the exercises of lesson 00: the text of an answer, and its price."""

from helpers.checks.at_once import expect_no_printed_form, expect_the_answer
from helpers.checks.exercise import NotYet, Trial, count, describe, describe_call, register
from helpers.checks.usage import text_and_tokens

QUESTION = "What is the capital of France?"


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
        raise NotYet(f"It says {tokens} tokens; the model wrote {requests[0].tokens_sent}.")
    expect_the_answer(call, QUESTION, text)
    return f"1 request; it says {tokens} tokens, and the model wrote {tokens}."
