"""Judges the exercises of lesson 01: the usage of a stream, and a free event loop."""

from helpers.checks.at_once import expect_the_answer, texts_at_once
from helpers.checks.exercise import NotYet, Trial, count, describe_call, register
from helpers.checks.usage import text_and_tokens
from helpers.observe import Request

QUESTION = "Why is the sky blue?"
QUESTIONS = ["What is a semaphore?", "What is the capital of France?", "Why is the sky blue?"]


@register(
    "01-1",
    hints=(
        "What does the function do when it meets a chunk without choices?",
        "The chunk that carries usage is the one without choices: look at it, don't leave.",
        "Guard with `if chunk.choices:`, and below it, outside: `if chunk.usage:`.",
    ),
)
async def usage_of_a_stream(trial: Trial) -> str:
    """`answer_and_tokens(text)` streams, and returns the text and the tokens written."""
    text, tokens = await text_and_tokens(trial, QUESTION)
    if not trial.sees_requests:
        if not tokens:
            raise NotYet("It says 0 tokens.")
        return f"A text came back, and a number: {tokens} tokens."
    request = _the_one(trial.requests)
    if not request.stream:
        raise NotYet("The answer came in one piece: the request asked for no stream.")
    if tokens != request.tokens_sent:
        raise NotYet(f"It says {tokens} tokens; the server sent {request.tokens_sent}.")
    expect_the_answer(describe_call(trial.answer, (QUESTION,)), QUESTION, text)
    return f"1 streamed request; it says {tokens} tokens, and the server sent {tokens}."


@register(
    "01-2",
    hints=(
        "gather can overlap waits only where a function gives the event loop a chance: at `await`.",
        "Inside `async def`, use the client whose create() can be awaited.",
        "async_client() in place of client, and `await` before its create(…).",
    ),
)
async def questions_at_once(trial: Trial) -> str:
    """`ask_all(texts)` answers several questions with overlapping waits and a free event loop."""
    return await texts_at_once(trial, QUESTIONS)


def _the_one(requests: tuple[Request, ...]) -> Request:
    if not requests:
        raise NotYet("A pair came back, and no question was asked.")
    if len(requests) != 1:
        raise NotYet(f"One question was asked and paid for {count(len(requests), 'time')}.")
    return requests[0]
