"""Judges the exercises of lesson 01: the usage of a stream, and a free event loop."""

import re

from helpers.checks.at_once import expect_the_answer, texts_at_once
from helpers.checks.exercise import NotYet, Trial, count, describe_call, register
from helpers.checks.likely import Likely, explaining
from helpers.checks.usage import text_and_tokens
from helpers.controls import next_request_meets
from helpers.observe import Request

QUESTION = "Why is the sky blue?"
QUESTIONS = ["What is a semaphore?", "What is the capital of France?", "Why is the sky blue?"]

THINKS_FIRST = "reasoning"
"""The mock server's fault of a model that writes tokens before the text and beside it: only there
does a count of the pieces differ from that of the tokens, as it sends each token in its chunk."""

ASK_FOR_A_STREAM = "Ask for a stream: create(…, stream=True)."

OF_A_STREAM = (
    Likely(
        re.compile("list index out of range"),
        "The chunk that carries the usage has no choices: choices[0] found nothing.",
        "Guard with `if chunk.choices:`, and below it, outside: `if chunk.usage:`.",
    ),
    Likely(
        re.compile(r"'NoneType' object has no attribute '\w*tokens'"),
        "usage is None in every chunk but one, and in that too unless stream_options asks.",
        'Ask with stream_options={"include_usage": True}, and read under `if chunk.usage:`.',
    ),
    Likely(
        re.compile('expected str instance, NoneType found|not "NoneType"\\) to str'),
        "A delta's content may be None: some chunks carry no text.",
        'Where texts are joined, write chunk.choices[0].delta.content or "".',
    ),
    Likely(
        re.compile("'tuple' object has no attribute"),
        "That loop runs over one whole answer, field by field: `stream=True` is missing.",
        ASK_FOR_A_STREAM,
    ),
    Likely(
        re.compile("BadRequestError.*stream_options"),
        "The server takes stream_options only where a stream is asked for.",
        'Ask for both: stream=True and stream_options={"include_usage": True}.',
    ),
    Likely(
        re.compile("'Stream' object has no attribute"),
        "A stream is read chunk by chunk, and its usage comes in the last of them.",
        "Loop over the stream, and in the loop: `if chunk.usage:`.",
    ),
)

OF_CALLS_AT_ONCE = (
    Likely(
        re.compile("'coroutine' object has no attribute"),
        "That was asked of a coroutine, a call that has not started: no `await` had come before.",
        "`await` takes all that stands behind it. First answer = await …create(…), then, on a line "
        "of its own, answer.choices[0].message.content.",
    ),
    Likely(
        re.compile("object ChatCompletion can't be used|'ChatCompletion' object can't be awaited"),
        "The blocking client had given the whole answer already; there was nothing to wait for.",
        "`await` needs the client whose create() can be awaited: async_client(), not client.",
    ),
    Likely(
        re.compile("'ChatCompletion' object is not callable"),
        "to_thread was handed an answer: the call had run before, here, and held the loop.",
        "Hand it the function and its arguments, no call: asyncio.to_thread(function, text).",
    ),
    Likely(
        re.compile("unhashable type: 'list'"),
        "gather takes calls one by one, and was given a list of them.",
        "Put a star in front, which hands on its items: gather(*[ask(text) for text in texts]).",
    ),
    Likely(
        re.compile("cannot be called from a running event loop"),
        "asyncio.run starts an event loop, and this notebook runs one already.",
        "Leave asyncio.run out, and `await` what stood in it.",
    ),
)


@register(
    "01-1",
    hints=(
        "Does each token that is written become a piece of text? Who knows how many there were?",
        "The server tells, if stream_options asks it to, in one chunk more, without choices.",
        'Ask with stream_options={"include_usage": True}; in the loop, `if chunk.choices:` around '
        "the piece, and outside of it `if chunk.usage:`.",
    ),
)
async def usage_of_a_stream(trial: Trial) -> str:
    """`answer_and_tokens(text)` streams, and returns the text and the tokens written."""
    with explaining(trial, *OF_A_STREAM):
        with next_request_meets(THINKS_FIRST):
            text, tokens = await text_and_tokens(trial, QUESTION)
        if not trial.sees_requests:
            if not tokens:
                raise NotYet("It says 0 tokens.")
            return f"A text came back, and a number: {tokens} tokens."
        request = _the_one(trial.requests)
        if not request.stream:
            raise NotYet(
                "The answer came in one piece: the request asked for no stream.", ASK_FOR_A_STREAM
            )
        if tokens != request.tokens_sent:
            raise _another_count(tokens, request.tokens_sent)
        expect_the_answer(describe_call(trial.answer, (QUESTION,)), QUESTION, text)
    return f"1 streamed request; it says {tokens} tokens, and the server wrote {tokens}."


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
    with explaining(trial, *OF_CALLS_AT_ONCE):
        return await texts_at_once(trial, QUESTIONS)


def _the_one(requests: tuple[Request, ...]) -> Request:
    if not requests:
        raise NotYet("A pair came back, and no question was asked.")
    if len(requests) != 1:
        raise NotYet(
            f"One question was asked and paid for {count(len(requests), 'time')}.",
            "The stream that brings the text brings the usage too, in a chunk of its own.",
        )
    return requests[0]


def _another_count(tokens: int, written: int) -> NotYet:
    """Return the verdict on a number that is not that of the tokens written."""
    said = f"It says {tokens} tokens; the server wrote {written}."
    if not tokens:
        return NotYet(
            f"{said}\nThe chunk with the usage was not asked for, or never looked at.",
            'Ask with stream_options={"include_usage": True}. The chunk that carries usage has no '
            "choices: look at it outside of `if chunk.choices:`.",
        )
    return NotYet(f"{said}\nPieces are no tokens: some tokens are no text, and are paid for too.")
