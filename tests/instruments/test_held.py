"""When a column is said to have held the event loop."""

from helpers.panels import Answer


def answer(held: float, total: float) -> Answer:
    return Answer("a", "text", "finished", None, 0, 1, None, total, held)


def test_a_column_that_blocks_for_nearly_all_its_time_held_the_loop() -> None:
    assert answer(held=0.5, total=0.52).held_the_loop


def test_a_column_that_mostly_waits_did_not_hold_the_loop() -> None:
    assert not answer(held=0.02, total=0.5).held_the_loop


def test_a_function_that_returns_at_once_held_nothing_up() -> None:
    assert not answer(held=0.001, total=0.001).held_the_loop
