"""What a timeline draws, read from the figure's own data."""

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from PIL import Image

from helpers.timelines import Timeline, picture, timeline
from helpers.timelines.run import Run
from tests.instruments.made import heartbeat, one_after_another, request, together


def axes(figure: Figure, name: str) -> Axes:
    return next(part for part in figure.axes if part.get_label() == name)


def artist(part: Axes, gid: str) -> Any:
    return next(a for a in part.get_children() if a.get_gid() == gid)


def boxes(part: Axes, gid: str) -> list[tuple[float, float, float]]:
    """Return the bars as (lane, from, to)."""
    found = []
    for path in artist(part, gid).get_paths():
        (left, low), (right, high) = path.get_extents().get_points()
        found.append((round((low + high) / 2), pytest.approx(left), pytest.approx(right)))
    return found


def compared(**runs: Run) -> Timeline:
    return Timeline(lambda: tuple(runs.values()), None)


def test_a_lane_shows_the_wait_then_each_token_then_the_end() -> None:
    lanes = axes(timeline([request(7, 50.0, wait=0.4, tokens=3, gap=0.1)]).figure(), "lanes")
    assert boxes(lanes, "waiting") == [(0, 0.0, 0.4)]
    assert boxes(lanes, "receiving") == [(0, 0.4, 0.7)]
    strokes = artist(lanes, "tokens 7").get_segments()
    assert [stroke[0][0] for stroke in strokes] == pytest.approx([0.4, 0.5, 0.6])
    assert artist(lanes, "ended finished 7").get_xdata() == pytest.approx([0.7])


def test_lanes_stand_in_the_order_of_arrival() -> None:
    late, early = request(1, 11.0), request(2, 10.0)
    lanes = axes(timeline([late, early]).figure(), "lanes")
    assert [left for _, left, _ in boxes(lanes, "waiting")] == [0.0, 1.0]
    assert artist(lanes, "ended finished 2").get_ydata() == [0]


def test_an_answer_in_one_piece_is_waited_for_to_its_first_byte() -> None:
    lanes = axes(timeline([request(1, 10.0, wait=0.8, stream=False)]).figure(), "lanes")
    assert boxes(lanes, "waiting") == [(0, 0.0, 0.8)]
    (stroke,) = artist(lanes, "whole answer 1").get_segments()
    assert stroke[0][0] == pytest.approx(0.8)
    assert artist(lanes, "tokens 1").get_segments() == []


def test_an_answer_in_one_piece_and_a_token_have_strokes_that_differ_in_breadth_and_height() -> (
    None
):
    figure = timeline([request(1, 10.0), request(2, 10.0, stream=False)]).figure()
    lanes = axes(figure, "lanes")
    token, whole = artist(lanes, "tokens 1"), artist(lanes, "whole answer 2")
    assert whole.get_linewidth()[0] >= 3 * token.get_linewidth()[0]
    heights = [
        part.get_segments()[0][1][1] - part.get_segments()[0][0][1] for part in (token, whole)
    ]
    assert heights[1] > 1.4 * heights[0]
    strokes = {
        text.get_text(): line
        for text, line in zip(
            figure.legends[0].get_texts(), figure.legends[0].legend_handles, strict=True
        )
    }
    assert (
        strokes["the whole answer"].get_markeredgewidth()
        >= 3 * strokes["a token"].get_markeredgewidth()
    )


@pytest.mark.parametrize(
    ("one", "note"),
    [
        (request(1, 10.0, outcome="abandoned", tokens=2, planned=40), "abandoned, 2 of 40 tokens"),
        (request(1, 10.0, outcome="refused", tokens=0, stream=False, status=429), "refused 429"),
        (request(1, 10.0, outcome="failed", tokens=0, stream=False, status=503), "failed 503"),
        (request(1, 10.0, outcome="failed", tokens=3, planned=9), "failed, 3 of 9 tokens"),
        (request(1, 10.0, outcome="running", tokens=3, planned=9), "still running, 3 of 9 tokens"),
    ],
)
def test_whatever_did_not_finish_says_how_it_ended(one: Any, note: str) -> None:
    figure = timeline([one]).figure()
    lanes = axes(figure, "lanes")
    assert [text.get_text() for text in lanes.texts] == [note]
    artist(lanes, f"ended {one.outcome} 1")
    assert one.outcome in [text.get_text() for text in figure.legends[0].texts]
    inside = lanes.texts[0].get_window_extent(), figure.bbox
    assert inside[0].x1 <= inside[1].x1, "the note is cut off at the figure's edge"


def test_outcomes_differ_in_shape_and_not_in_colour_alone() -> None:
    shapes, colours = zip(*picture.ENDS.values(), strict=True)
    assert len(set(shapes)) == len(shapes)
    assert len(set(colours)) == len(colours)


def test_a_retry_and_differing_paths_are_named_at_the_lane() -> None:
    mixed = [request(1, 10.0), request(2, 11.0, retry=1), request(3, 12.0, path="/v1/embeddings")]
    figure = timeline(mixed).figure()
    labels = axes(figure, "lanes").get_yticklabels()
    assert [label.get_text() for label in labels] == [
        "chat  1",
        "chat  retry 1  2",
        "embeddings  3",
    ]
    figure.draw_without_rendering()
    assert min(label.get_window_extent().x0 for label in labels) >= 0


def test_two_runs_share_one_time_axis_and_each_starts_at_its_first_request() -> None:
    figure = timeline(one_by_one=one_after_another(), together=together()).figure()
    upper, lower = axes(figure, "one by one: lanes"), axes(figure, "together: lanes")
    assert upper.get_xlim() == lower.get_xlim()
    assert upper.get_position().y0 > lower.get_position().y1
    assert [left for _, left, _ in boxes(upper, "waiting")] == [0.0, 1.0, 2.0]
    assert [left for _, left, _ in boxes(lower, "waiting")] == [0.0, 0.01, 0.02]


@pytest.mark.parametrize(("requests", "peak"), [(one_after_another(), 1), (together(), 3)])
def test_the_number_in_flight_steps_up_and_down_and_names_its_peak(
    requests: Any, peak: int
) -> None:
    figure = timeline(requests).figure()
    part = axes(figure, "in flight")
    counts = artist(part, "in flight").get_ydata()
    assert max(counts) == peak
    assert counts[0] == counts[-1] == 0
    assert [label.get_text() for label in part.get_yticklabels()] == [f"in flight {peak}"]
    title = axes(figure, "title").texts[0].get_text()
    assert f"peak in flight {peak}" in title


def test_a_freeze_is_marked_where_and_as_long_as_it_was() -> None:
    beat = heartbeat((100.5, 102.0))
    part = axes(timeline(one_after_another(), heartbeat=beat).figure(), "event loop")
    (block,) = part.patches
    assert block.get_gid() == "frozen"
    assert (block.get_x(), block.get_width()) == pytest.approx((0.5, 1.5))
    assert "blocked 1.50 s" in [text.get_text() for text in part.texts]


def test_a_freeze_is_cut_to_the_time_that_is_drawn() -> None:
    run = Run("", (request(1, 10.0),), heartbeat((5.0, 10.2), (10.8, 99.0), (200.0, 201.0)))
    assert [(f.start, f.end) for f in run.freezes] == [(10.0, 10.2), (10.8, pytest.approx(10.9))]


def test_a_loop_that_kept_running_shows_a_lane_without_a_mark() -> None:
    part = axes(timeline(together(), heartbeat=heartbeat()).figure(), "event loop")
    assert not part.patches
    artist(part, "loop runs")


def test_without_a_heartbeat_there_is_no_lane_that_claims_to_know() -> None:
    figure = timeline(together()).figure()
    assert "event loop" not in [part.get_label() for part in figure.axes]


def test_above_24_requests_lanes_get_thin_and_none_is_missing() -> None:
    many = [
        request(i, 10 + i * 0.05, outcome="failed" if i == 7 else "finished") for i in range(90)
    ]
    lanes = axes(timeline(many).figure(), "lanes")
    assert len(boxes(lanes, "waiting")) == len(boxes(lanes, "receiving")) == 90
    ended = [a.get_gid() for a in lanes.lines if str(a.get_gid()).startswith("ended")]
    assert ended == ["ended failed 7"]


def test_a_thousand_requests_are_counted_and_the_counts_are_right() -> None:
    many = [
        request(i, 10 + i * 0.0041, outcome="failed" if i % 100 == 7 else "finished")
        for i in range(1000)
    ]
    shown = timeline(many)
    counted = axes(shown.figure(), "counted")
    line = artist(counted, "in flight")
    times, counts = line.get_data()
    for moment in (0.41, 1.53, 3.97):
        at = int(np.searchsorted(times, moment))
        truth = sum(r.arrived <= 10 + times[at] < (r.ended or 0) for r in many)
        assert counts[at] == truth
    assert len(artist(counted, "ended failed").get_xdata()) == 10
    assert "peak in flight 220" in axes(shown.figure(), "title").texts[0].get_text()


def test_the_stored_picture_is_sharp_opaque_and_small() -> None:
    busiest = [request(i, 10 + i * 0.1, tokens=60, gap=0.02) for i in range(24)]
    for requests in (busiest, [request(i, i / 99) for i in range(1000)]):
        image = picture.png(timeline(requests, heartbeat=heartbeat((0.0, 12.0))).figure())
        assert len(image.data) < 80_000
        pixels = Image.open(io.BytesIO(image.data))
        assert pixels.size == (2 * image.width, 2 * image.height)
        assert image.width <= 760, "wider than a notebook's column on a laptop"
        assert pixels.convert("RGBA").getextrema()[3] == (255, 255)


def test_every_colour_of_the_legend_survives_the_palette() -> None:
    image = picture.png(timeline(one_after_another(), heartbeat=heartbeat((100.0, 101.0))).figure())
    there = {colour for _, colour in Image.open(io.BytesIO(image.data)).convert("RGB").getcolors()}
    for name in (picture.WAITING, picture.RECEIVING, picture.TOKEN, picture.FROZEN, picture.ALIVE):
        wanted = tuple(int(name[i : i + 2], 16) for i in (1, 3, 5))
        nearest = min(sum(abs(a - b) for a, b in zip(wanted, c, strict=True)) for c in there)
        assert nearest <= 12, f"{name} turned into another colour"


def test_a_request_that_queued_at_the_server_shows_how_long() -> None:
    served = request(1, 10.0)
    queued = replace(request(2, 10.0, wait=0.9), started=10.5)
    figure = timeline([served, queued]).figure()
    assert boxes(axes(figure, "lanes"), "queued") == [(1, 0.0, 0.5)]
    assert "queues at the server" in legend(figure)
    assert "queues at the server" not in legend(timeline([served]).figure())


@pytest.mark.parametrize(("start", "side"), [(100.2, "left"), (102.6, "right")])
def test_the_longest_of_the_short_freezes_is_named_beside_its_block(
    start: float, side: str
) -> None:
    beat = heartbeat((101.0, 101.02), (start, start + 0.15))
    part = axes(timeline(one_after_another(), heartbeat=beat).figure(), "event loop")
    (label,) = part.texts
    assert (label.get_text(), label.get_ha()) == ("blocked 0.15 s", side)


def test_two_crowds_share_the_scale_too() -> None:
    few = [request(i, 10 + i * 0.1) for i in range(200)]
    many = [request(i, 10 + i * 0.001, outcome="abandoned") for i in range(400)]
    figure = timeline(few=few, many=many).figure()
    assert axes(figure, "few: counted").get_ylim() == axes(figure, "many: counted").get_ylim()


def test_two_runs_share_the_scale_of_requests_in_flight() -> None:
    figure = timeline(one_by_one=one_after_another(), together=together()).figure()
    upper, lower = axes(figure, "one by one: in flight"), axes(figure, "together: in flight")
    assert upper.get_ylim() == lower.get_ylim()


def test_a_request_in_flight_is_as_high_in_one_figure_as_in_another() -> None:
    def inches(requests: Any) -> float:
        figure = timeline(requests).figure()
        part = axes(figure, "in flight")
        return part.get_position().height * figure.get_figheight() / part.get_ylim()[1]

    assert inches(one_after_another()) == pytest.approx(inches(together()))


def test_up_to_eight_in_flight_each_has_a_storey() -> None:
    def storeys(requests: Any) -> list[float]:
        part = axes(timeline(requests).figure(), "in flight")
        return [line[0][1] for line in artist(part, "storeys").get_segments()]

    assert storeys(together()) == [1, 2]
    assert storeys(one_after_another()) == []


def test_two_figures_can_share_one_time_axis_and_one_scale() -> None:
    long = timeline(one_after_another())
    short = timeline(together(), sharex=long).figure()
    for name in ("lanes", "in flight"):
        assert axes(short, name).get_xlim() == axes(long.figure(), name).get_xlim()
        assert axes(short, name).get_position().x0 == axes(long.figure(), name).get_position().x0
    assert (
        axes(timeline(together()).figure(), "lanes").get_xlim() != axes(short, "lanes").get_xlim()
    )


def test_what_a_shared_axis_is_too_short_for_is_not_cut_off() -> None:
    short = timeline(together())
    long = timeline(one_after_another(), sharex=short).figure()
    assert (
        axes(long, "lanes").get_xlim()
        == axes(timeline(one_after_another()).figure(), "lanes").get_xlim()
    )


def test_whatever_carries_meaning_differs_from_the_paper_by_three_to_one() -> None:
    drawn = [picture.THIN_WAITING, picture.TOKEN, picture.FROZEN, picture.ALIVE, picture.FAINT]
    drawn += [colour for _, colour in picture.ENDS.values()]
    assert min(contrast(colour, picture.PAPER) for colour in drawn) >= 3
    assert contrast(picture.TOKEN, picture.RECEIVING) >= 3, "strokes upon their lane"


@pytest.mark.parametrize("number", [90, 1000])
def test_lanes_without_an_outline_have_the_colours_that_do_without(number: int) -> None:
    figure = timeline([request(i, i / 99) for i in range(number)]).figure()
    (part,) = [a for a in figure.axes if a.get_label() in ("lanes", "counted")]
    for gid, colour in (("waiting", picture.THIN_WAITING), ("receiving", picture.TOKEN)):
        assert to_hex(artist(part, gid).get_facecolor()[0]) == colour
    handles = dict(zip(legend(figure), figure.legends[0].legend_handles, strict=True))
    assert to_hex(handles["waits for the first token"].get_facecolor()) == picture.THIN_WAITING  # type: ignore[union-attr]
    assert to_hex(handles["receives"].get_facecolor()) == picture.TOKEN  # type: ignore[union-attr]


def contrast(one: str, other: str) -> float:
    """WCAG 2's ratio of two colours."""
    darker, lighter = sorted(map(_luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return sum(share * c for share, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_the_legend_explains_a_loop_that_ran_and_one_that_was_blocked() -> None:
    beat = heartbeat((100.5, 102.0))
    said = legend(timeline(one_after_another(), heartbeat=beat).figure())
    assert {"loop runs", "loop blocked"} <= set(said)


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]
