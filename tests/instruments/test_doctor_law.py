"""The doctor's law: what a card tells a learner to write works, and needs no second card."""

import asyncio

import pytest

from tests.instruments.broken_cells import BROKEN, CORRECT, WITHOUT_A_LINE
from tests.instruments.cells import Cells, followed

EVERY = [(kind, cell) for kind, cells in BROKEN.items() for cell in cells]


@pytest.mark.parametrize(("kind", "cell"), EVERY, ids=[f"{kind}: {cell!r}" for kind, cell in EVERY])
def test_the_line_that_a_card_offers_works_when_it_is_put_in_place(
    cells: Cells, kind: str, cell: str
) -> None:
    cards = cells.run(cell)
    assert len(cards) == 1, f"a card was due: {cells.errors}"
    text = cards[0]["text/plain"]
    repaired = followed(cell, text)
    assert repaired is not None, text
    cells.afresh()
    second = cells.run(repaired)
    assert cells.errors == [], repaired
    assert second == [], f"{repaired}\n{second}"


@pytest.mark.parametrize("cell", WITHOUT_A_LINE)
def test_where_no_line_can_be_relied_on_the_card_explains_and_offers_none(
    cells: Cells, cell: str
) -> None:
    (card,) = cells.run(cell)
    text = card["text/plain"]
    assert text.startswith(f"doctor   {WITHOUT_A_LINE[cell]}")
    assert followed(cell, text) is None


@pytest.mark.parametrize("cell", CORRECT)
def test_a_cell_without_such_a_mistake_gets_no_card(cells: Cells, cell: str) -> None:
    assert cells.run(cell) == []


@pytest.mark.parametrize(
    "cell", ["answer = ask()", "calls = [ask(p) for p in prompts]", "x, y = ask(), ask()"]
)
def test_a_call_that_may_be_awaited_in_a_later_cell_is_told_so(cells: Cells, cell: str) -> None:
    (card,) = cells.run(cell)
    assert "later, all is well." in card["text/plain"]


def test_calls_kept_in_one_cell_and_gathered_in_the_next_are_left_in_peace(cells: Cells) -> None:
    cells.run("calls = [ask(p) for p in prompts]")
    assert cells.run("answers = await asyncio.gather(*calls)\nanswers") == []
    assert cells.errors == []


def test_a_dict_of_calls_keeps_its_keys(cells: Cells) -> None:
    for cell in (
        "answers = {p: ask(p) for p in prompts}",
        "answers = await {p: ask(p) for p in prompts}",
    ):
        cells.afresh()
        (card,) = cells.run(cell)
        repaired = followed(cell, card["text/plain"])
        assert repaired is not None
        cells.run(repaired)
        answers = cells.shell.user_ns["answers"]
        assert list(answers) == ["one", "two"]
        assert not any(asyncio.iscoroutine(one) for one in answers.values())


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("from tqdm.asyncio import tqdm\nawait tqdm.gather([ask()])", "gather takes calls"),
        ("await AsyncOpenAI(api_key=key).chat.completions.create(**M)", "api_key function"),
    ],
)
def test_an_error_in_a_library_s_frames_names_what_was_passed_in(
    cells: Cells, cell: str, names: str
) -> None:
    (card,) = cells.run(cell)
    assert names in card["text/plain"]


def test_an_error_in_a_library_s_frames_that_no_argument_explains_gets_no_card(
    cells: Cells,
) -> None:
    library = "async def lib():\n    await 3\n"
    cells.run(f"import types\nlib = types.ModuleType('lib')\nexec({library!r}, lib.__dict__)")
    cells.run(
        "import sys, sysconfig\n"
        "code = compile(" + repr(library) + ", sysconfig.get_path('stdlib') + '/lib.py', 'exec')\n"
        "exec(code, lib.__dict__)"
    )
    assert cells.run("await lib.lib()") == []
    assert cells.errors
