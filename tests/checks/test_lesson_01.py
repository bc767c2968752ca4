"""The checks of lesson 01 turn down what is wrong, for the right reason, and take what is right."""

import asyncio
import gc
from typing import Any

import pytest

from helpers import async_client, blocking_client, check, model
from helpers.checks import Verdict


def judged(name: str, answer: object) -> Verdict:
    return asyncio.run(check(name, answer))


def messages(text: str) -> Any:
    return [{"role": "user", "content": text}]


def streamed(text: str, **options: Any) -> Any:
    return blocking_client().chat.completions.create(
        model=model(), messages=messages(text), stream=True, **options
    )


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
    assert verdict.saw[0].startswith("It says 0 tokens; the server sent ")
    assert verdict.saw[1] == "1 request reached the server."


def test_counting_chunks_is_turned_down_as_not_each_is_a_token() -> None:
    def answer_and_tokens(text: str) -> tuple[str, int]:
        pieces = [c.choices[0].delta.content or "" for c in streamed(text)]
        return "".join(pieces), len(pieces)

    verdict = judged("01-1", answer_and_tokens)
    assert not verdict.passed
    assert "tokens; the server sent" in verdict.saw[0]


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
