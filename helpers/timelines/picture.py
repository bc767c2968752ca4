"""Draws the runs of a timeline below each other, on one time axis."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator
from PIL import Image

from helpers.observe import Request
from helpers.timelines.lanes import (
    ALIVE,
    ENDS,
    FAINT,
    FROZEN,
    INK,
    LANES_WITH_TOKENS,
    PAPER,
    QUEUED,
    RECEIVING,
    THIN_WAITING,
    TOKEN,
    WAITING,
    how_it_ended,
    in_seconds,
    lane_names,
    lane_spans,
    seconds_queued,
    token_moments,
    whole_answer_at,
)
from helpers.timelines.run import Run

WIDTH = 6.9
"""Inches: fills a notebook's column on a laptop, and is still legible at half the size."""
SCREEN, SHARP = 100, 200
"""Dots per inch: as laid out, and as drawn, for screens with two pixels to a point."""

WHOLE = 3.6
"""Points: the stroke of an answer in one piece, three times as broad as a token's broadest."""

LANES = 150
"""Above so many requests a lane would be under two pixels: they are counted instead."""
BINS = 240
"""Steps of the counted picture: about two pixels each."""

# Inches. The letter widths are those of the 9 and 8.5 point text that they make room for.
LEFT, RIGHT, TOP, AXIS, LEGEND = 0.95, 0.2, 0.06, 0.46, 0.2
TITLE, GAP, LOOP = 0.3, 0.16, 0.24
FLIGHT, FLIGHT_MOST, FLIGHT_ROOM = 0.14, 0.56, 0.06
"""A request in flight is as high in every figure, so that one shows as a third of three; up to four
of them. The room is for the line's own width."""
STOREYS = 8
"""Up to so many in flight are told apart by lines; above, they would be closer than the letters."""
PLOT_POINTS = 72 * (WIDTH - LEFT - RIGHT)
LABEL_LETTER, NOTE_LETTER = 0.078, 0.066


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG, twice as fine as its `width` and `height` on the page."""

    data: bytes
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class _Row:
    """One strip of the figure: its height in inches and what draws it."""

    height: float
    draw: Callable[[Axes], None]
    name: str


def png(figure: Figure) -> Picture:
    """Return the figure as a small, sharp PNG."""
    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(SHARP)
    canvas.draw()  # type: ignore[no-untyped-call]
    size = canvas.get_width_height(physical=True)
    pixels = bytes(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    image = Image.frombytes("RGBA", size, pixels).convert("RGB")
    # A figure has few colours: a palette keeps the file at a third, with no change one can see.
    small = image.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    file = io.BytesIO()
    small.save(file, "PNG", optimize=True)
    return Picture(file.getvalue(), image.width * SCREEN // SHARP, image.height * SCREEN // SHARP)


def draw(runs: Sequence[Run], sharex: Sequence[Run] = ()) -> Figure:
    """Draw the runs, each with lanes, the number in flight and the event loop, as far as known.

    `sharex`: runs of another figure, whose time axis and scale this one is to have as well.
    """
    scale = (*runs, *sharex)
    span = max(max(run.end - run.start for run in scale), 1e-3)
    peak = max(1, *(run.peak_in_flight for run in scale))
    rows = [row for run in runs for row in _rows(run, span, peak)]
    left = LEFT + LABEL_LETTER * max(0, max(map(_longest_label, scale)) - len("event loop"))
    plot = WIDTH - left - RIGHT
    marks = _marks(runs)
    columns = len(marks) if len(marks) <= 5 else 4
    bottom = AXIS + LEGEND * -(-len(marks) // columns) + 0.06
    height = TOP + bottom + sum(row.height for row in rows)
    figure = Figure(figsize=(WIDTH, height), facecolor=PAPER, dpi=SCREEN)
    top = height - TOP
    timed: list[Axes] = []
    for row in rows:
        top -= row.height
        if row.name == "gap":
            continue
        box = (left / WIDTH, top / height, plot / WIDTH, row.height / height)
        axes = figure.add_axes(box, facecolor=PAPER)
        axes.set_label(row.name)
        if row.name == "title":
            axes.set_position((0.12 / WIDTH, top / height, 1 - 0.12 / WIDTH, row.height / height))
            axes.axis("off")
        else:
            _clean(axes)
            timed.append(axes)
        row.draw(axes)
    right = max(_room(run, span, plot) for run in scale)
    for axes in timed:
        axes.set_xlim(-0.012 * right, right)
    _time_axis(timed[-1])
    figure.legend(
        handles=marks,
        loc="lower left",
        bbox_to_anchor=(0.06 / WIDTH, 0.02 / height),
        ncols=columns,
        frameon=False,
        fontsize=8.5,
        labelcolor=INK,
        handlelength=1.3,
        columnspacing=1.2,
        handletextpad=0.5,
        borderpad=0.2,
    )
    return figure


def _longest_label(run: Run) -> int:
    if len(run.requests) > LANES_WITH_TOKENS:
        return 0
    return max((len(label) for label in lane_names(run)), default=0)


def _room(run: Run, span: float, plot: float) -> float:
    """Return where the time axis must end so that what is written behind a lane's end fits."""
    room = span * 1.02
    if len(run.requests) > LANES_WITH_TOKENS:
        return room
    for request in run.requests:
        if request.outcome != "finished":
            share = min(0.5, (NOTE_LETTER * len(how_it_ended(request)) + 0.15) / plot)
            room = max(room, lane_spans(request, run)[2] / (1 - share))
    return room


# --- one run ----------------------------------------------------------------------------------


def _rows(run: Run, span: float, peak: int) -> list[_Row]:
    """The rows of one run, on the axes that all runs share: seconds, and how many at once."""
    name = f"{run.name}: " if run.name else ""
    rows = [_Row(TITLE, lambda axes: _title(axes, run), "title")]
    number = len(run.requests)
    if 0 < number <= LANES_WITH_TOKENS:
        each = 0.25 if number <= 8 else 0.2
        rows.append(
            _Row(each * number + 0.06, lambda axes: _lanes(axes, run, span), f"{name}lanes")
        )
    elif 0 < number <= LANES:
        tall = min(4.2, max(2.4, 0.035 * number))
        rows.append(_Row(tall, lambda axes: _thin_lanes(axes, run), f"{name}lanes"))
    elif number:
        rows.append(_Row(2.6, lambda axes: _counted(axes, run, peak), f"{name}counted"))
    if 1 < number <= LANES:
        rows.append(_Row(0.06, _nothing, "gap"))
        tall = min(FLIGHT * peak, FLIGHT_MOST) + FLIGHT_ROOM
        top = peak * tall / (tall - FLIGHT_ROOM)
        rows.append(_Row(tall, lambda axes: _in_flight(axes, run, top), f"{name}in flight"))
    if run.heartbeat is not None:
        rows.append(_Row(0.06, _nothing, "gap"))
        rows.append(_Row(LOOP, lambda axes: _loop(axes, run, span), f"{name}event loop"))
    rows.append(_Row(GAP, _nothing, "gap"))
    return rows


def _nothing(axes: Axes) -> None:
    pass


def _title(axes: Axes, run: Run) -> None:
    number = len(run.requests)
    facts = [f"{number} request" + ("" if number == 1 else "s")]
    if number > 1:
        facts.append(f"peak in flight {run.peak_in_flight}")
    if run.requests:
        first = min(request.arrived for request in run.requests)
        facts.append(f"{in_seconds(run.end - first)} from first arrival to last end")
    said = " · ".join(facts)
    if not run.name:
        axes.text(0, 0.35, said, size=9, color=INK)
        return
    name = axes.text(0, 0.35, run.name, size=10.5, weight="bold", color=INK)
    axes.annotate(f"   {said}", (1, 0), xycoords=name, size=9, color=INK, va="bottom")


def _lanes(axes: Axes, run: Run, span: float) -> None:
    """A lane each: grey while it waits, blue while it receives, a stroke for every token, and a
    broad one, higher than its lane, for an answer in one piece."""
    queued, waiting, receiving = [], [], []
    for lane, request in enumerate(run.requests):
        came, first, end = lane_spans(request, run)
        waiting.append(Rectangle((came, lane - 0.27), first - came, 0.54))
        if seconds_queued(request, run):
            queued.append(Rectangle((came, lane - 0.27), seconds_queued(request, run), 0.54))
        if end > first:
            receiving.append(Rectangle((first, lane - 0.27), end - first, 0.54))
        ticks = token_moments(request, run)
        apart = (end - first) / span * PLOT_POINTS / max(1, len(ticks))
        stroke = min(1.1, max(0.25, 0.35 * apart))  # so that close tokens do not become one block
        marks = axes.vlines(ticks, lane - 0.27, lane + 0.27, colors=TOKEN, linewidths=stroke)
        marks.set_gid(f"tokens {request.id}")
        if (whole := whole_answer_at(request, run)) is not None:
            mark = axes.vlines(whole, lane - 0.4, lane + 0.4, colors=TOKEN, linewidths=WHOLE)
            mark.set_gid(f"whole answer {request.id}")
        _end(axes, request, end, lane, size=6.5)
    _bars(axes, waiting, "waiting", WAITING, edge=FAINT)
    _bars(axes, queued, "queued", QUEUED, edge=FAINT)
    _bars(axes, receiving, "receiving", RECEIVING, edge=TOKEN)
    axes.set_ylim(len(run.requests) - 0.45, -0.55)
    axes.set_yticks(range(len(run.requests)), lane_names(run), size=9, color=INK)


def _thin_lanes(axes: Axes, run: Run) -> None:
    """A line each, in the order of arrival: no single tokens, marks for what went wrong alone."""
    waiting, receiving = [], []
    for lane, request in enumerate(run.requests):
        came, first, end = lane_spans(request, run)
        waiting.append(Rectangle((came, lane - 0.4), first - came, 0.8))
        receiving.append(Rectangle((first, lane - 0.4), end - first, 0.8))
        if request.outcome != "finished":
            _end(axes, request, end, lane, size=4, label=False)
    _bars(axes, waiting, "waiting", THIN_WAITING, edge="none")
    _bars(axes, receiving, "receiving", TOKEN, edge="none")
    axes.set_ylim(len(run.requests), -1)
    _count_axis(axes, len(run.requests))
    axes.set_ylabel("requests", size=9, color=INK)


def _counted(axes: Axes, run: Run, top: int) -> None:
    """How many waited for a first token, and how many received, over time."""
    width = (run.end - run.start) / BINS or 1e-6
    times = [i * width for i in range(BINS + 1)]
    spans = [lane_spans(request, run) for request in run.requests]
    waiting = _at_once([(came, first) for came, first, _ in spans], times)
    receiving = _at_once([(first, end) for _, first, end in spans], times)
    both = [w + r for w, r in zip(waiting, receiving, strict=True)]
    area = axes.fill_between(times, 0, receiving, step="post", color=TOKEN, linewidth=0)
    area.set_gid("receiving")
    area = axes.fill_between(times, receiving, both, step="post", color=THIN_WAITING, linewidth=0)
    area.set_gid("waiting")
    (line,) = axes.plot(times, both, drawstyle="steps-post", color=INK, linewidth=0.9)
    line.set_gid("in flight")
    below = 0
    for outcome in ENDS:
        ended = [
            end
            for request, (_, _, end) in zip(run.requests, spans, strict=True)
            if request.outcome == outcome
        ]
        if outcome != "finished" and ended:
            marker, colour = ENDS[outcome]
            below += 1  # a row for each kind: none hides under another
            (dots,) = axes.plot(
                ended,
                [-0.05 * below * top] * len(ended),
                marker,
                ms=3.5,
                color=colour,
                mew=0,
            )
            dots.set_gid(f"ended {outcome}")
    axes.set_ylim(-0.05 * len(ENDS) * top, 1.08 * top)
    _count_axis(axes, top)
    axes.set_ylabel("requests in flight", size=9, color=INK)


def _in_flight(axes: Axes, run: Run, top: float) -> None:
    """How many were under way, step by step, a storey each; the run's peak as a number."""
    steps = [(request.arrived - run.start, 1) for request in run.requests]
    steps += [
        (request.ended - run.start, -1) for request in run.requests if request.ended is not None
    ]
    steps.sort()
    times = [0.0, *(time for time, _ in steps), run.end - run.start]
    counts = [0, *accumulate(step for _, step in steps)]
    counts.append(counts[-1])
    peak = max(counts)
    area = axes.fill_between(times, 0, counts, step="post", color="#e6dcc3", linewidth=0)
    area.set_gid("in flight area")
    (line,) = axes.plot(
        times, counts, drawstyle="steps-post", color="#7a6522", linewidth=1.1, zorder=3
    )
    line.set_gid("in flight")
    if peak <= STOREYS:
        storeys = axes.hlines(range(1, peak), 0, times[-1], colors=PAPER, linewidths=1.0)
        storeys.set_gid("storeys")
    axes.set_ylim(0, top)
    axes.set_yticks([peak], [f"in flight {peak}"], size=9, color=INK)


def _loop(axes: Axes, run: Run, span: float) -> None:
    """The event loop's lane: a thin line while it runs, a hatched block while it stands still."""
    axes.hlines(0, 0, run.end - run.start, colors=ALIVE, linewidth=2, zorder=1).set_gid("loop runs")
    freezes = run.freezes
    longest = max(freezes, key=lambda f: f.seconds, default=None)
    for freeze in freezes:
        start = freeze.start - run.start
        block = Rectangle(
            (start, -0.42),
            freeze.seconds,
            0.84,
            facecolor=FROZEN,
            edgecolor=INK,
            hatch="////",
            linewidth=0.6,
            zorder=3,
            gid="frozen",
        )
        axes.add_patch(block)
        if freeze.seconds > span * 0.2:
            place, side = start + freeze.seconds / 2, "center"
        elif freeze is longest and start > span * 0.7:
            place, side = start - span * 0.015, "right"
        elif freeze is longest:
            place, side = start + freeze.seconds + span * 0.015, "left"
        else:
            continue
        axes.text(
            place,
            0,
            f"blocked {in_seconds(freeze.seconds)}",
            ha=side,
            va="center",
            size=8.5,
            color=INK,
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1.2},
        )
    axes.set_ylim(-0.55, 0.55)
    axes.set_yticks([0], ["event loop"], size=9, color=INK)


# --- parts ------------------------------------------------------------------------------------


def _bars(axes: Axes, boxes: Sequence[Rectangle], gid: str, colour: str, edge: str) -> None:
    bars = PatchCollection(boxes, facecolor=colour, edgecolor=edge, linewidth=0.6, zorder=1)
    bars.set_gid(gid)
    axes.add_collection(bars)


def _end(
    axes: Axes, request: Request, end: float, lane: int, *, size: float, label: bool = True
) -> None:
    marker, colour = ENDS[request.outcome]
    (dot,) = axes.plot(
        [end], [lane], marker, ms=size, color=colour, mec=PAPER, mew=0.7, zorder=4, clip_on=False
    )
    dot.set_gid(f"ended {request.outcome} {request.id}")
    if label and request.outcome != "finished":
        axes.annotate(
            how_it_ended(request),
            (end, lane),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            size=8.5,
            color=INK,
            zorder=5,
        )


def _at_once(spans: Sequence[tuple[float, float]], times: Sequence[float]) -> list[int]:
    """Return how many spans hold each moment. Both sorts make it fast for thousands."""
    starts = sorted(start for start, end in spans if end > start)
    ends = sorted(end for start, end in spans if end > start)
    counts, started, ended = [], 0, 0
    for time in times:
        while started < len(starts) and starts[started] <= time:
            started += 1
        while ended < len(ends) and ends[ended] <= time:
            ended += 1
        counts.append(started - ended)
    return counts


def _clean(axes: Axes) -> None:
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(left=False, bottom=False, labelbottom=False)
    axes.grid(axis="x", color="#e9ebee", linewidth=0.8)
    axes.set_axisbelow(True)


def _count_axis(axes: Axes, top: int) -> None:
    axes.tick_params(left=True, labelsize=8.5, labelcolor=INK, color=FAINT)
    ticks = MaxNLocator(nbins="auto", integer=True).tick_values(0, top)
    axes.set_yticks([tick for tick in ticks if 0 <= tick <= top])
    axes.spines["left"].set_visible(True)
    axes.spines["left"].set_color(FAINT)


def _time_axis(axes: Axes) -> None:
    axes.spines["bottom"].set_visible(True)
    axes.spines["bottom"].set_color(FAINT)
    axes.tick_params(bottom=True, labelbottom=True, labelsize=9, labelcolor=INK, color=FAINT)
    axes.set_xlabel("seconds since the first request arrived", size=9, color=INK)


def _marks(runs: Sequence[Run]) -> list[Patch | Line2D]:
    """Explain the marks that are there, and no others."""
    requests = [request for run in runs for request in run.requests]
    lanes = any(0 < len(run.requests) <= LANES_WITH_TOKENS for run in runs)
    streamed = any(request.tokens for request in requests)
    whole = any(not r.stream and r.outcome == "finished" for r in requests)
    marks: list[Patch | Line2D] = []
    if requests:
        what = "the first token" if streamed and not whole else "the answer"
        fill = WAITING if lanes else THIN_WAITING
        marks.append(Patch(facecolor=fill, edgecolor=FAINT, label=f"waits for {what}"))
    if lanes and any(seconds_queued(request, run) for run in runs for request in run.requests):
        marks.append(Patch(facecolor=QUEUED, edgecolor=FAINT, label="queues at the server"))
    if streamed:
        fill = RECEIVING if lanes else TOKEN
        marks.append(Patch(facecolor=fill, edgecolor=TOKEN, label="receives"))
        if lanes:
            marks.append(_stroke(9, 1.1, "a token"))
    if lanes and whole:
        marks.append(_stroke(12, WHOLE, "the whole answer"))
    for outcome, (marker, colour) in ENDS.items():
        if outcome == "finished" and not lanes:
            continue
        if any(request.outcome == outcome for request in requests):
            marks.append(_mark(marker, colour, outcome))
    if any(run.freezes for run in runs):
        marks.append(Patch(facecolor=FROZEN, edgecolor=INK, hatch="////", label="loop blocked"))
    if any(run.heartbeat is not None for run in runs):
        marks.append(Line2D([], [], color=ALIVE, linewidth=2, label="loop runs"))
    return marks


def _mark(marker: str, colour: str, label: str) -> Line2D:
    return Line2D([], [], marker=marker, ms=6.5, color=colour, ls="none", mew=1.1, label=label)


def _stroke(length: float, width: float, label: str) -> Line2D:
    return Line2D([], [], marker="|", ms=length, mew=width, color=TOKEN, ls="none", label=label)
