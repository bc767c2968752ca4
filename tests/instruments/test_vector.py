"""What a timeline draws as SVG, where there is no matplotlib, read from its elements."""

import re
from collections.abc import Iterable
from xml.etree import ElementTree

import pytest

from helpers.timelines import vector
from helpers.timelines.run import Run
from tests.instruments.made import heartbeat, one_after_another, request, together

SVG = "{http://www.w3.org/2000/svg}"


def drawn(*runs: Run, sharex: Iterable[Run] = (), alternative: str = "") -> ElementTree.Element:
    return ElementTree.fromstring(vector.svg(runs, tuple(sharex), alternative))


def bars(figure: ElementTree.Element, kind: str) -> list[tuple[float, float]]:
    """Return where the bars of a kind begin and end, in pixels, from the top down."""
    found = [each for each in figure.iter(f"{SVG}rect") if each.get("class") == kind]
    return [(float(b.attrib["x"]), float(b.attrib["x"]) + float(b.attrib["width"])) for b in found]


def strokes(figure: ElementTree.Element, kind: str) -> list[float]:
    found = [each for each in figure.iter(f"{SVG}path") if each.get("class") == kind]
    return [float(re.match(r"M([\d.]+)", each.attrib["d"])[1]) for each in found]  # type: ignore[index]


def words(figure: ElementTree.Element) -> list[str]:
    return ["".join(each.itertext()) for each in figure.iter(f"{SVG}text")]


def test_a_lane_waits_then_receives_token_by_token() -> None:
    figure = drawn(Run("", (request(1, 100.0, wait=0.4, tokens=3, gap=0.1),)))
    ((came, first),) = bars(figure, "waiting")
    ((begins, ends),) = bars(figure, "receiving")
    assert begins == pytest.approx(first, abs=0.2)
    # 0.4 s of waiting beside 0.3 s of receiving.
    assert (first - came) / (ends - begins) == pytest.approx(4 / 3, rel=0.02)
    tokens = strokes(figure, "token")
    assert tokens == sorted(tokens)
    assert tokens[0] == pytest.approx(begins, abs=0.2)
    assert len(tokens) == 3
    assert strokes(figure, "ended finished") != []


def test_requests_in_a_row_begin_where_the_one_before_ended_and_at_once_side_by_side() -> None:
    row = bars(drawn(Run("", one_after_another())), "waiting")
    beside = bars(drawn(Run("", together())), "waiting")
    assert row[0][1] < row[1][0] < row[1][1] < row[2][0]
    assert beside[2][0] < beside[0][1]


def test_a_freeze_is_a_block_as_long_as_it_lasted_and_says_so() -> None:
    run = Run("", one_after_another(2), heartbeat((100.0, 100.9)))
    figure = drawn(run)
    ((start, end),) = bars(figure, "frozen")
    ((axis_start, axis_end),) = [
        (float(each.attrib["x1"]), float(each.attrib["x2"])) for each in figure.iter(f"{SVG}line")
    ]
    assert start == pytest.approx(axis_start, abs=0.2)
    assert (end - start) / (axis_end - axis_start) == pytest.approx(
        0.9 / (run.end - run.start), 0.02
    )
    assert "blocked 0.90 s" in words(figure)
    assert "event loop" in words(figure)


def test_without_a_heartbeat_nothing_is_said_of_the_loop() -> None:
    assert "event loop" not in words(drawn(Run("", together())))


@pytest.mark.parametrize("outcome", ["refused", "failed", "abandoned", "running"])
def test_each_bad_end_has_its_word_and_its_shape(outcome: str) -> None:
    ended = request(1, 100.0, outcome=outcome, status=429, tokens=2, planned=40)  # type: ignore[arg-type]
    figure = drawn(Run("", (request(2, 100.0, tokens=50), ended)))
    assert len(strokes(figure, f"ended {outcome}")) == 1
    assert any(outcome in said for said in words(figure))
    right = [float(each.get("x", 0)) for each in figure.iter(f"{SVG}text")]
    assert max(right) < vector.WIDTH


def test_above_twenty_four_lanes_there_are_no_single_tokens_and_no_more_height() -> None:
    few, many, more = (drawn(Run("", together(number))) for number in (24, 25, 150))
    assert len(bars(few, "waiting")) == 24
    assert len(strokes(few, "token")) == 24 * 5
    assert len(bars(many, "waiting")) == 25
    assert strokes(many, "token") == []
    heights = [float(one.attrib["viewBox"].split()[3]) for one in (many, more)]
    assert heights[0] == heights[1]


def test_two_figures_that_share_an_axis_have_one_scale() -> None:
    short, long = Run("", together(1)), Run("", one_after_another(5))
    alone = bars(drawn(short), "waiting")[0]
    shared = bars(drawn(short, sharex=[long]), "waiting")[0]
    there = bars(drawn(long), "waiting")[0]
    assert shared == pytest.approx(there, abs=0.2)
    assert shared[1] < alone[1]


def test_runs_stand_below_each_other_under_their_names() -> None:
    said = words(drawn(Run("one by one", one_after_another()), Run("together", together())))
    names = [each.split("  ")[0] for each in said if "from first arrival" in each]
    assert [name.split(" 3 req")[0] for name in names] == ["one by one", "together"]
    assert sum(each.startswith("seconds since") for each in said) == 1


def test_it_has_its_words_for_who_does_not_see_it_and_takes_the_pages_colours() -> None:
    figure = drawn(Run("<b>", together()), alternative='Timeline of "three" <requests>')
    assert figure.get("role") == "img"
    assert figure.get("aria-label") == 'Timeline of "three" <requests>'
    assert figure.get("fill") == "currentColor"
    assert any("<b>" in said for said in words(figure))


def test_a_moment_without_a_length_can_be_drawn() -> None:
    drawn(Run("", (request(1, 100.0, wait=0.0, tokens=1, gap=0.0),)))


def test_the_axis_is_marked_at_round_moments() -> None:
    assert list(vector._round_moments(1.22)) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2]
    assert list(vector._round_moments(40)) == [0, 5, 10, 15, 20, 25, 30, 35, 40]
    assert len(list(vector._round_moments(0.001))) <= vector.MOST_TICKS + 1
