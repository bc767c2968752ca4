"""The checks of lesson 01 turn down what is wrong, for the right reason, and take what is right."""

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

from helpers import async_client, blocking_client, check, hint, model
from helpers.checks import Verdict


def judged(name: str, answer: object) -> Verdict:
    return asyncio.run(check(name, answer))


def messages(text: str) -> Any:
    return [{"role": "user", "content": text}]


def create(text: str, **options: Any) -> Any:
    return blocking_client().chat.completions.create(
        model=model(), messages=messages(text), **options
    )


def streamed(text: str, **options: Any) -> Any:
    return create(text, **{"stream": True, **options})


WITH_USAGE: dict[str, Any] = {"stream_options": {"include_usage": True}}


# --- exercise 1: the usage of a stream ---


def test_a_silenced_index_error_is_turned_down_for_the_tokens_it_lost() -> None:
    def answer_and_tokens(text: str) -> tuple[str, int]:
        pieces, tokens = [], 0
        try:
            for chunk in streamed(text, **WITH_USAGE):
                pieces.append(chunk.choices[0].delta.content or "")
                if chunk.usage:
                    tokens = chunk.usage.completion_tokens
        except IndexError:
            pass
        return "".join(pieces), tokens

    verdict = judged("01-1", answer_and_tokens)
    assert not verdict.passed
    assert verdict.saw[0].startswith("It says 0 tokens; the server wrote ")
    assert verdict.saw[1] == "1 request reached the server."


COUNTED: dict[str, Callable[[list[Any]], int]] = {
    "all chunks": len,
    "chunks with text": lambda chunks: sum(bool(c.choices[0].delta.content) for c in chunks),
    "words": lambda chunks: len("".join(c.choices[0].delta.content or "" for c in chunks).split()),
}


@pytest.mark.parametrize("number", COUNTED.values(), ids=COUNTED)
def test_counting_pieces_is_turned_down_as_some_tokens_are_no_text(
    number: Callable[[list[Any]], int],
) -> None:
    def answer_and_tokens(text: str) -> tuple[str, int]:
        chunks = list(streamed(text))
        return "".join(c.choices[0].delta.content or "" for c in chunks), number(chunks)

    verdict = judged("01-1", answer_and_tokens)
    assert not verdict.passed
    says, plain = verdict.saw[0].splitlines()
    assert says.endswith("tokens; the server wrote 68.")
    assert plain == "Pieces are no tokens: some tokens are no text, and are paid for too."


def test_the_next_request_of_the_lesson_thinks_no_more() -> None:
    judged("01-1", lambda text: (text, 5))  # asks nothing, so that the order is left
    chunks = list(streamed("Why is the sky blue?"))
    assert not any("reasoning_content" in (c.choices[0].delta.model_extra or {}) for c in chunks)


def no_usage_asked(text: str) -> tuple[str, int]:
    tokens = 0
    for chunk in streamed(text):
        if chunk.usage:
            tokens = chunk.usage.completion_tokens
    return text, tokens


def usage_under_the_guard(text: str) -> tuple[str, int]:
    tokens = 0
    for chunk in streamed(text, **WITH_USAGE):
        if chunk.choices and chunk.usage:
            tokens = chunk.usage.completion_tokens
    return text, tokens


@pytest.mark.parametrize("answer", [no_usage_asked, usage_under_the_guard])
def test_a_usage_that_was_not_asked_for_or_not_seen_is_said_plainly(
    answer: Callable[[str], Any],
) -> None:
    assert judged("01-1", answer).saw[0].splitlines() == [
        "It says 0 tokens; the server wrote 68.",
        "The chunk with the usage was not asked for, or never looked at.",
    ]
    assert 'stream_options={"include_usage": True}' in hint("01-1")


def joined(chunks: Any, piece: Callable[[Any], Any]) -> str:
    return "".join(piece(chunk) for chunk in chunks)


LIKELY: dict[str, tuple[Callable[[str], Any], str, str]] = {
    "no guard": (
        lambda text: joined(
            streamed(text, **WITH_USAGE), lambda c: c.choices[0].delta.content or ""
        ),
        "The chunk that carries the usage has no choices: choices[0] found nothing.",
        "`if chunk.choices:`",
    ),
    "usage of each chunk": (
        lambda text: [c.usage.completion_tokens for c in streamed(text, **WITH_USAGE)],
        "usage is None in every chunk but one, and in that too unless stream_options asks.",
        "`if chunk.usage:`",
    ),
    "None among the pieces": (
        lambda text: joined(streamed(text), lambda c: c.choices[0].delta.content),
        "A delta's content may be None: some chunks carry no text.",
        'content or ""',
    ),
    "no stream": (
        lambda text: joined(create(text), lambda c: c.choices[0].delta.content),
        "That loop runs over one whole answer, field by field: `stream=True` is missing.",
        "stream=True",
    ),
    "options without a stream": (
        lambda text: create(text, **{**WITH_USAGE, "stream": False}),
        "The server takes stream_options only where a stream is asked for.",
        "stream=True and stream_options=",
    ),
    "usage of the stream": (
        lambda text: streamed(text, **WITH_USAGE).usage,
        "A stream is read chunk by chunk, and its usage comes in the last of them.",
        "Loop over the stream",
    ),
}


@pytest.mark.parametrize(("answer", "means", "helps"), LIKELY.values(), ids=LIKELY)
def test_a_likely_error_over_a_stream_is_said_plainly_and_has_its_hint(
    answer: Callable[[str], Any], means: str, helps: str
) -> None:
    verdict = judged("01-1", answer)
    assert not verdict.passed
    raised, plain = verdict.saw[0].splitlines()
    assert " raised " in raised
    assert plain == means
    assert helps in hint("01-1")


def test_asking_again_for_the_usage_is_turned_down() -> None:
    def answer_and_tokens(text: str) -> tuple[str, int]:
        pieces = [c.choices[0].delta.content or "" for c in streamed(text)]
        again = blocking_client().chat.completions.create(model=model(), messages=messages(text))
        assert again.usage is not None
        return "".join(pieces), again.usage.completion_tokens

    verdict = judged("01-1", answer_and_tokens)
    assert not verdict.passed
    assert verdict.saw[0] == "One question was asked and paid for 2 times."


def test_giving_up_the_stream_is_turned_down() -> None:
    def answer_and_tokens(text: str) -> tuple[str, int]:
        answer = blocking_client().chat.completions.create(model=model(), messages=messages(text))
        assert answer.usage is not None
        return answer.choices[0].message.content or "", answer.usage.completion_tokens

    verdict = judged("01-1", answer_and_tokens)
    assert not verdict.passed
    assert "the request asked for no stream" in verdict.saw[0]


def test_a_pair_out_of_the_air_is_turned_down() -> None:
    assert judged("01-1", lambda text: (text, 5)).saw[0].endswith("no question was asked.")


def test_the_last_piece_in_place_of_all_is_turned_down() -> None:
    def answer_and_tokens(text: str) -> tuple[str, int]:
        piece, tokens = "", 0
        for chunk in streamed(text, **WITH_USAGE):
            if chunk.choices:
                piece = chunk.choices[0].delta.content or piece
            if chunk.usage:
                tokens = chunk.usage.completion_tokens
        return piece, tokens

    verdict = judged("01-1", answer_and_tokens)
    assert not verdict.passed
    assert verdict.saw[0].startswith("The text has 1 characters; the answer has ")
    assert verdict.saw[1] == "1 request reached the server."


def test_a_guarded_loop_that_reads_usage_passes() -> None:
    def answer_and_tokens(text: str) -> tuple[str, int]:
        pieces, tokens = [], 0
        for chunk in streamed(text, **WITH_USAGE):
            if chunk.choices:
                pieces.append(chunk.choices[0].delta.content or "")
            if chunk.usage:
                tokens = chunk.usage.completion_tokens
        return "".join(pieces), tokens

    assert judged("01-1", answer_and_tokens).passed


def test_the_last_of_all_chunks_passes_too() -> None:
    def answer_and_tokens(text: str) -> tuple[str, int]:
        chunks = list(streamed(text, **WITH_USAGE))
        pieces = [c.choices[0].delta.content or "" for c in chunks if c.choices]
        return "".join(pieces), chunks[-1].usage.completion_tokens

    assert judged("01-1", answer_and_tokens).passed


def test_the_sdks_own_stream_helper_passes_too() -> None:
    def answer_and_tokens(text: str) -> tuple[Any, int]:
        with blocking_client().chat.completions.stream(
            model=model(), messages=messages(text), **WITH_USAGE
        ) as stream:
            answer = stream.get_final_completion()
        assert answer.usage is not None
        return answer.choices[0].message.content, answer.usage.completion_tokens

    assert judged("01-1", answer_and_tokens).passed


# --- exercise 2: questions at once ---


def blocking_answer(text: str) -> str | None:
    answer = blocking_client().chat.completions.create(model=model(), messages=messages(text))
    return answer.choices[0].message.content


async def answer(text: str) -> str | None:
    async with async_client(max_retries=2) as client:  # each test has an event loop of its own
        answer = await client.chat.completions.create(model=model(), messages=messages(text))
    return answer.choices[0].message.content


def test_the_blocking_client_inside_async_def_is_turned_down() -> None:
    async def ask_all(texts: list[str]) -> list[str | None]:
        async def ask(text: str) -> str | None:
            return blocking_answer(text)

        return await asyncio.gather(*[ask(text) for text in texts])

    verdict = judged("01-2", ask_all)
    assert not verdict.passed
    assert verdict.saw == (
        "The event loop stood still during 3 of 3 requests.",
        "3 requests reached the server.",
    )


def test_one_after_another_is_turned_down() -> None:
    async def ask_all(texts: list[str]) -> list[str | None]:
        return [await answer(text) for text in texts]

    verdict = judged("01-2", ask_all)
    assert not verdict.passed
    assert "stayed free, and yet each request waited for the one before" in verdict.saw[0]
    assert "await asyncio.gather(*[ask(text) for text in texts])" in hint("01-2")


def test_a_gather_that_nobody_awaits_is_turned_down(caplog: pytest.LogCaptureFixture) -> None:
    async def ask_all(texts: list[str]) -> Any:
        return asyncio.gather(*[answer(text) for text in texts])

    with caplog.at_level("ERROR", "asyncio"):
        verdict = judged("01-2", ask_all)
        gc.collect()
    assert caplog.text == "", "asyncio complains above the verdict"
    assert not verdict.passed
    assert "a task or future, whose result nobody awaited" in verdict.saw[0]


def test_answers_out_of_order_are_turned_down() -> None:
    async def ask_all(texts: list[str]) -> list[str | None]:
        return await asyncio.gather(*[answer(text) for text in reversed(texts)])

    verdict = judged("01-2", ask_all)
    assert not verdict.passed
    assert "do not stand in the order of the questions" in verdict.saw[0]


def test_the_async_client_passes() -> None:
    async def ask_all(texts: list[str]) -> list[str | None]:
        return await asyncio.gather(*[answer(text) for text in texts])

    verdict = judged("01-2", ask_all)
    assert verdict.passed
    assert verdict.saw == ("3 requests, 3 in flight at once; the event loop stayed free.",)


def test_the_blocking_client_in_threads_passes_too() -> None:
    async def ask_all(texts: list[str]) -> list[str | None]:
        return await asyncio.gather(*[asyncio.to_thread(blocking_answer, text) for text in texts])

    assert judged("01-2", ask_all).passed


def test_tasks_awaited_in_turn_pass_too() -> None:
    async def ask_all(texts: list[str]) -> list[str | None]:
        tasks = [asyncio.create_task(answer(text)) for text in texts]
        return [await task for task in tasks]

    assert judged("01-2", ask_all).passed


async def await_the_blocking_client(text: str) -> Any:
    return (await create(text)).choices[0].message.content


async def await_behind_the_call(text: str) -> Any:
    async with async_client(max_retries=2) as client:
        call: Any = client.chat.completions.create(model=model(), messages=messages(text))
        return await call.choices[0].message.content


async def call_before_the_thread(text: str) -> Any:
    return await asyncio.to_thread(create(text))


LIKELY_AT_ONCE: dict[str, tuple[Callable[[str], Any], str, str]] = {
    "await on the blocking client": (
        await_the_blocking_client,
        "The blocking client had given the whole answer already; there was nothing to wait for.",
        "async_client(), not client",
    ),
    "await behind the call": (
        await_behind_the_call,
        "That was asked of a coroutine, a call that has not started: no `await` had come before.",
        "First answer = await …create(…)",
    ),
    "a call handed to a thread": (
        call_before_the_thread,
        "to_thread was handed an answer: the call had run before, here, and held the loop.",
        "asyncio.to_thread(function, text)",
    ),
}


@pytest.mark.parametrize(("ask", "means", "helps"), LIKELY_AT_ONCE.values(), ids=LIKELY_AT_ONCE)
def test_a_likely_error_in_a_call_is_said_plainly_and_has_its_hint(
    ask: Callable[[str], Any], means: str, helps: str
) -> None:
    async def ask_all(texts: list[str]) -> Any:
        return await asyncio.gather(*[ask(text) for text in texts])

    verdict = judged("01-2", ask_all)
    assert not verdict.passed
    raised, plain = verdict.saw[0].splitlines()
    assert " raised " in raised
    assert plain == means
    assert helps in hint("01-2")


def test_a_list_given_to_gather_is_said_plainly() -> None:
    async def ask_all(texts: list[str]) -> Any:
        return await asyncio.gather([answer(text) for text in texts])  # type: ignore[call-overload]

    assert (
        judged("01-2", ask_all)
        .saw[0]
        .endswith("gather takes calls one by one, and was given a list of them.")
    )
    assert "gather(*[" in hint("01-2")


def test_asyncio_run_inside_is_said_plainly() -> None:
    async def ask_all(texts: list[str]) -> Any:
        return [asyncio.run(answer(text)) for text in texts]

    assert "this notebook runs one already" in judged("01-2", ask_all).saw[0]


def test_calls_that_nobody_gathers_have_their_hint() -> None:
    async def ask_all(texts: list[str]) -> Any:
        return [answer(text) for text in texts]

    assert judged("01-2", ask_all).saw[0].startswith("Answer 1 is a coroutine")
    assert "await asyncio.gather(" in hint("01-2")
