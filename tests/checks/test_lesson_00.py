"""The checks of lesson 00 turn down what is wrong, for the right reason, and take what is right."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from helpers import blocking_client, check, model
from helpers.checks import Verdict
from helpers.checks.exercise import Trial


def judged(name: str, answer: object) -> Verdict:
    return asyncio.run(check(name, answer))


def create(text: str):  # type: ignore[no-untyped-def]
    return blocking_client().chat.completions.create(
        model=model(), messages=[{"role": "user", "content": text}]
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


def test_the_total_in_place_of_what_was_written_is_turned_down() -> None:
    def ask_and_count(text: str) -> tuple[str, int]:
        answer = create(text)
        return answer.choices[0].message.content, answer.usage.total_tokens

    verdict = judged("00-2", ask_and_count)
    assert not verdict.passed
    assert "tokens; the model wrote" in verdict.saw[0]


def test_words_in_place_of_tokens_are_turned_down() -> None:
    def ask_and_count(text: str) -> tuple[str, int]:
        text = create(text).choices[0].message.content
        return text, len(text.split())

    verdict = judged("00-2", ask_and_count)
    assert not verdict.passed
    assert "tokens; the model wrote" in verdict.saw[0]


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
