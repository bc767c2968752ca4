"""The checks of lesson 00 turn down what is wrong, for the right reason, and take what is right."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from helpers import async_client, blocking_client, check, hint, model
from helpers.checks import Verdict
from helpers.checks.exercise import Trial


def judged(name: str, answer: object) -> Verdict:
    return asyncio.run(check(name, answer))


def create(text: str, **options: Any) -> Any:
    return blocking_client().chat.completions.create(
        model=model(), messages=[{"role": "user", "content": text}], **options
    )


# --- exercise 1: the text of an answer ---


def test_the_message_in_place_of_its_text_is_turned_down() -> None:
    verdict = judged("00-1", lambda text: create(text).choices[0].message)
    assert not verdict.passed
    assert "returned a ChatCompletionMessage, where its text was wanted" in verdict.saw[0]
    assert verdict.saw[1] == "1 request reached the server."


def test_printing_the_text_is_turned_down() -> None:
    verdict = judged("00-1", lambda text: print(create(text).choices[0].message.content))
    assert not verdict.passed
    assert "returned None, where its text was wanted" in verdict.saw[0]


def test_a_delta_that_a_whole_answer_has_not_is_turned_down() -> None:
    verdict = judged("00-1", lambda text: create(text).choices[0].delta.content)
    assert not verdict.passed
    assert "'Choice' object has no attribute 'delta'" in verdict.saw[0]


def test_a_text_from_nowhere_is_turned_down() -> None:
    verdict = judged("00-1", lambda text: "Paris")
    assert not verdict.passed
    assert "without asking the server" in verdict.saw[0]


PRINTED_FORMS = {
    "message": (
        lambda answer: str(answer.choices[0].message),
        'the message\'s printed form, "ChatCompletionMessage(…"',
    ),
    "choice": (
        lambda answer: str(answer.choices[0]),
        'the choice\'s printed form, "Choice(…"',
    ),
    "choices": (
        lambda answer: str(answer.choices),
        'the choice\'s printed form, "[Choice(…"',
    ),
    "answer": (
        lambda answer: str(answer),
        'the answer\'s printed form, "ChatCompletion(…"',
    ),
}


@pytest.mark.parametrize(("form", "says"), PRINTED_FORMS.values(), ids=PRINTED_FORMS)
def test_a_printed_form_is_turned_down(form: Callable[[Any], str], says: str) -> None:
    def ask(text: str) -> str:
        return form(create(text))

    verdict = judged("00-1", ask)
    assert not verdict.passed
    assert verdict.saw == (
        f"ask('What is the capital of France?') returned {says}, not its text.",
        "1 request reached the server.",
    )


def test_a_printed_form_is_turned_down_where_there_is_no_journal_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Trial, "sees_requests", False)
    assert not judged("00-1", lambda text: str(create(text).choices[0].message)).passed
    verdict = judged("00-1", lambda text: create("Why is the sky blue?").choices[0].message.content)
    assert verdict.passed  # a real model's words are its own


def test_the_answer_to_another_question_is_turned_down() -> None:
    verdict = judged("00-1", lambda text: create("Why is the sky blue?").choices[0].message.content)
    assert not verdict.passed
    assert "returned the text 'Sunlight meets air" in verdict.saw[0]
    assert verdict.saw[0].endswith(", which is not the answer.")


def test_a_part_of_the_text_is_turned_down() -> None:
    verdict = judged("00-1", lambda text: create(text).choices[0].message.content[:5])
    assert not verdict.passed
    assert verdict.saw[0].startswith("The text has 5 characters; the answer has ")


LIKELY: dict[str, tuple[Callable[[str], Any], str, str]] = {
    "a delta": (
        lambda text: create(text).choices[0].delta.content,
        "A whole answer's choice has a `message`; a `delta` comes in a stream.",
        "choices[0].message.content",
    ),
    "the message of the answer": (
        lambda text: create(text).message.content,
        "That is the whole answer; its text stands further in, behind choices.",
        "answer.choices[0].message.content",
    ),
    "the message of the list": (
        lambda text: create(text).choices.message.content,
        "choices is a list, with one choice in it unless you ask for more.",
        "answer.choices[0]",
    ),
    "a dict": (
        lambda text: create(text)["choices"][0]["message"]["content"],
        "The answer and its parts are objects, no dicts: a dot leads into them.",
        "not answer['choices']",
    ),
    "a choice as a dict": (
        lambda text: create(text).choices[0]["message"]["content"],
        "The answer and its parts are objects, no dicts: a dot leads into them.",
        "not answer['choices']",
    ),
    "another name": (
        lambda text: create(text).choices[0].message.text,
        "That is the message, one step from its text.",
        "A message has its text in content",
    ),
    "a stream": (
        lambda text: create(text, stream=True).choices[0].message.content,
        "That is a stream: with `stream=True` the answer comes in chunks, and not as one object.",
        "Leave stream=True out",
    ),
}


@pytest.mark.parametrize(("answer", "means", "helps"), LIKELY.values(), ids=LIKELY)
def test_a_likely_error_is_said_plainly_and_has_its_hint(
    answer: Callable[[str], Any], means: str, helps: str
) -> None:
    verdict = judged("00-1", answer)
    assert not verdict.passed
    raised, plain = verdict.saw[0].splitlines()
    assert " raised " in raised
    assert plain == means
    assert helps in hint("00-1")


def test_an_awaited_answer_of_the_blocking_client_is_said_plainly() -> None:
    async def ask(text: str) -> Any:
        return (await create(text)).choices[0].message.content

    assert "the blocking client gave it" in judged("00-1", ask).saw[0]


async def async_answer(text: str) -> Any:
    async with async_client(max_retries=2) as client:  # each test has an event loop of its own
        messages: Any = [{"role": "user", "content": text}]
        answer = await client.chat.completions.create(model=model(), messages=messages)
    return answer.choices[0].message.content


OTHER_ROADS: dict[str, Callable[[str], Any]] = {
    "all choices": lambda text: "".join(c.message.content for c in create(text).choices),
    "a dump": lambda text: create(text).model_dump()["choices"][0]["message"]["content"],
    "a stream": lambda text: "".join(
        chunk.choices[0].delta.content or "" for chunk in create(text, stream=True)
    ),
    "the async client": async_answer,
}


@pytest.mark.parametrize("answer", OTHER_ROADS.values(), ids=OTHER_ROADS)
def test_the_text_by_another_road_passes(answer: Callable[[str], Any]) -> None:
    assert judged("00-1", answer).passed


def test_the_text_of_an_answer_passes() -> None:
    def ask(text: str) -> str | None:
        return create(text).choices[0].message.content  # type: ignore[no-any-return]

    verdict = judged("00-1", ask)
    assert verdict.passed
    assert verdict.saw[0].startswith("1 request; ")


# --- exercise 2: text and tokens, paid for once ---


def test_asking_twice_is_turned_down() -> None:
    verdict = judged(
        "00-2",
        lambda text: (
            create(text).choices[0].message.content,
            create(text).usage.completion_tokens,
        ),
    )
    assert not verdict.passed
    assert verdict.saw == (
        "One question was asked and paid for 2 times.",
        "2 requests reached the server.",
    )


COUNTS: dict[str, tuple[Callable[[str, Any], Any], str]] = {
    "the total": (
        lambda text, usage: usage.total_tokens,
        "That is total_tokens: what you sent is counted in.",
    ),
    "the prompt": (
        lambda text, usage: usage.prompt_tokens,
        "That is prompt_tokens: what you sent.",
    ),
    "words": (lambda text, usage: len(text.split()), "That is how many words the text has."),
    "characters": (lambda text, usage: len(text), "That is how many characters the text has."),
}


@pytest.mark.parametrize(("number", "means"), COUNTS.values(), ids=COUNTS)
def test_another_count_is_told_which_it_is(number: Callable[[str, Any], Any], means: str) -> None:
    def ask_and_count(text: str) -> tuple[str, int]:
        answer = create(text)
        said = answer.choices[0].message.content
        return said, number(said, answer.usage)

    verdict = judged("00-2", ask_and_count)
    assert not verdict.passed
    says, plain = verdict.saw[0].splitlines()
    assert says.endswith("tokens; the model wrote 39.")
    assert plain == means
    assert "answer.usage.completion_tokens" in hint("00-2")


def test_a_count_that_is_none_of_these_is_not_explained() -> None:
    def ask_and_count(text: str) -> tuple[str, int]:
        return create(text).choices[0].message.content, 7

    assert judged("00-2", ask_and_count).saw[0] == "It says 7 tokens; the model wrote 39."
    assert hint("00-2").startswith("hint ")
    assert "what the check saw" not in hint("00-2")


WRONG_PARTS: dict[str, tuple[Callable[[Any], Any], str, str]] = {
    "tokens of the answer": (
        lambda answer: (answer.choices[0].message.content, answer.completion_tokens),
        "The answer counts its tokens in usage.",
        "answer.usage.completion_tokens",
    ),
    "a count that usage has not": (
        lambda answer: (answer.choices[0].message.content, answer.usage.tokens),
        "usage has three counts: prompt_tokens, completion_tokens and total_tokens.",
        "completion_tokens",
    ),
    "a list": (
        lambda answer: [answer.choices[0].message.content, answer.usage.completion_tokens],
        "returned a list, where a tuple was wanted: (text, tokens).",
        "return text, tokens",
    ),
    "swapped": (
        lambda answer: (answer.usage.completion_tokens, answer.choices[0].message.content),
        "The pair begins with 39, where the text was wanted.",
        "First the text",
    ),
}


@pytest.mark.parametrize(("pair", "means", "helps"), WRONG_PARTS.values(), ids=WRONG_PARTS)
def test_a_pair_that_is_none_is_said_plainly(
    pair: Callable[[Any], Any], means: str, helps: str
) -> None:
    verdict = judged("00-2", lambda text: pair(create(text)))
    assert not verdict.passed
    assert verdict.saw[0].endswith(means)
    assert helps in hint("00-2")


def test_the_whole_usage_in_place_of_a_number_is_turned_down() -> None:
    def ask_and_count(text: str) -> tuple[str, object]:
        answer = create(text)
        return answer.choices[0].message.content, answer.usage

    verdict = judged("00-2", ask_and_count)
    assert not verdict.passed
    assert "ends with a CompletionUsage, where a number was wanted" in verdict.saw[0]


def test_a_printed_form_beside_the_tokens_is_turned_down() -> None:
    def ask_and_count(text: str) -> tuple[str, int]:
        answer = create(text)
        return str(answer.choices[0].message), answer.usage.completion_tokens

    verdict = judged("00-2", ask_and_count)
    assert not verdict.passed
    assert "returned the message's printed form" in verdict.saw[0]


def test_a_text_of_ones_own_beside_the_tokens_is_turned_down() -> None:
    verdict = judged("00-2", lambda text: ("Rome.", create(text).usage.completion_tokens))
    assert not verdict.passed
    assert verdict.saw[0].endswith("returned the text 'Rome.', which is not the answer.")


def test_text_and_tokens_of_one_answer_pass() -> None:
    def ask_and_count(text: str) -> tuple[str, int]:
        answer = create(text)
        return answer.choices[0].message.content, answer.usage.completion_tokens

    verdict = judged("00-2", ask_and_count)
    assert verdict.passed
    assert verdict.saw[0].startswith("1 request; it says ")


def test_the_difference_of_total_and_prompt_passes_too() -> None:
    def ask_and_count(text: str) -> tuple[str, int]:
        answer = create(text)
        usage = answer.usage
        return answer.choices[0].message.content, usage.total_tokens - usage.prompt_tokens

    assert judged("00-2", ask_and_count).passed
