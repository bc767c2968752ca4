"""Asking for a hint or a check by a name: the right one, or what to write."""

import asyncio
import re

import pytest

from helpers import check, hint
from helpers.checks import NoSuchExercise


@pytest.mark.parametrize("name", ["3-1", "003-1", " 03-1", "03.1", "lesson 03, exercise 1"])
def test_a_name_that_is_nearly_right_is_told_how_it_is_written(name: str) -> None:
    with pytest.raises(NoSuchExercise, match='is written "03-1"'):
        hint(name)
    with pytest.raises(NoSuchExercise, match='is written "03-1"'):
        asyncio.run(check(name, len))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("03-9", "There is no exercise '03-9'. There are: "),
        ("3-9", "There is no exercise '03-9'. There are: "),
        ("99-1", "no lesson 99 has checks"),
        ("0301", "a text like \"03-1\"; this is '0301'"),
        (3, 'a text like "03-1"; this is 3'),
    ],
)
def test_a_name_that_is_none_is_told_what_there_is(name: str, says: str) -> None:
    with pytest.raises(NoSuchExercise, match=re.escape(says)):
        hint(name)


def test_a_notebook_shows_the_sentence_and_no_traceback() -> None:
    with pytest.raises(NoSuchExercise) as raised:
        hint("3-1")
    (shown,) = raised.value._render_traceback_()
    assert shown.endswith("There is no exercise '3-1'. It is written \"03-1\".")


def test_a_new_verdict_takes_the_hint_for_the_old_one_away() -> None:
    async def forgets(country: str) -> str:
        raise AttributeError("'coroutine' object has no attribute 'choices'")

    async def invents(country: str) -> str:
        return "Paris"

    asyncio.run(check("03-1", forgets))
    asyncio.run(check("03-1", invents))
    assert not hint("03-1").startswith("hint, for what")


@pytest.mark.parametrize(
    "error",
    [
        "object ChatCompletion can't be used in 'await' expression",
        "'ChatCompletion' object can't be awaited",
    ],
)
def test_what_was_awaited_in_vain_is_known_in_the_words_of_each_python(error: str) -> None:
    async def awaits_in_vain(country: str) -> str:
        raise TypeError(error)

    said = asyncio.run(check("03-1", awaits_in_vain)).saw[0]
    assert "What was awaited is an answer already, and paid for" in said
