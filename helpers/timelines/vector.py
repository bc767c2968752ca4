"""Draws a timeline as SVG, without matplotlib, which no web page has: its lanes, loop and axis."""

import html
import math
from collections.abc import Iterator, Sequence

from helpers.observe import Request
from helpers.timelines.lanes import (
    ALIVE,
    ENDS,
    FAINT,
    FROZEN,
    LANES_WITH_TOKENS,
    PAPER,
    RECEIVING,
    THIN_WAITING,
    TOKEN,
    WAITING,
    how_it_ended,
    in_seconds,
    lane_names,
    lane_spans,
    token_moments,
    whole_answer_at,
)
from helpers.timelines.run import Run

# Pixels, a hundred to matplotlib's inch, so that both pictures are laid out alike.
WIDTH, LEFT, RIGHT = 690, 95, 20
TITLE, LOOP, GAP, AXIS, LEGEND = 28, 26, 14, 42, 20
LANE = 24
THIN_LANES_ROOM = 300
"""For more lanes than have room for tokens, all together."""
LETTER = 7
"""The width that a letter of a label takes."""
MOST_TICKS = 8


def svg(runs: Sequence[Run], sharex: Sequence[Run], alternative: str) -> str:
    """Return the runs below each other on one time axis, as an `<svg>` element.

    `sharex`: runs of another figure, whose time axis this one is to have. The texts take the
    page's own colour, and nothing is painted behind them, so it suits a dark page too.
    """
    scale = (*runs, *sharex)
    names = [name for run in scale if _has_tokens(run) for name in lane_names(run)]
    left = max(LEFT, LETTER * max(map(len, names), default=0) + 20)
    notes = [
        LETTER * len(how_it_ended(request)) + 14
        for run in scale
        if _has_tokens(run)
        for request in run.requests
        if request.outcome != "finished"
    ]
    room = WIDTH - left - RIGHT - max(notes, default=0)
    span = max(max(run.end - run.start for run in scale), 1e-3)
    paint = _Paint(left, room / span)
    top = 0.0
    for run in runs:
        top = paint.run(run, top)
    top = paint.axis(span, top)
    top = paint.legend(runs, top)
    return (
        f'<svg role="img" aria-label="{html.escape(alternative)}" viewBox="0 0 {WIDTH} {top:.0f}" '
        f'width="{WIDTH}" style="max-width:100%" font-family="system-ui, sans-serif" '
        f'font-size="12" fill="currentColor" xmlns="http://www.w3.org/2000/svg">'
        + "".join(paint.parts)
        + "</svg>"
    )


def _has_tokens(run: Run) -> bool:
    return len(run.requests) <= LANES_WITH_TOKENS


class _Paint:
    """The parts of one picture, from the top down; `x` of a moment is `left + scale * seconds`."""

    def __init__(self, left: float, scale: float) -> None:
        self.parts: list[str] = []
        self._left = left
        self._scale = scale

    def run(self, run: Run, top: float) -> float:
        """Draw one run; return where the next begins."""
        self._title(run, top + TITLE - 10)
        top += TITLE
        if _has_tokens(run):
            for request, name in zip(run.requests, lane_names(run), strict=True):
                self._text(self._left - 8, top + LANE / 2 + 4, name, "end")
                self._lane(request, run, top, LANE, tokens=True)
                top += LANE
        else:
            each = THIN_LANES_ROOM / len(run.requests)
            for request in run.requests:
                self._lane(request, run, top, each, tokens=False)
                top += each
        if run.heartbeat is not None:
            self._loop(run, top)
            top += LOOP
        return top + GAP

    def _title(self, run: Run, y: float) -> None:
        number = len(run.requests)
        facts = [f"{number} request" + ("" if number == 1 else "s")]
        if number > 1:
            facts.append(f"peak in flight {run.peak_in_flight}")
        if number:
            first = min(request.arrived for request in run.requests)
            facts.append(f"{in_seconds(run.end - first)} from first arrival to last end")
        name = f'<tspan font-weight="bold">{html.escape(run.name)}</tspan>  ' if run.name else ""
        self.parts.append(f'<text x="4" y="{y:.1f}">{name}{html.escape(" · ".join(facts))}</text>')

    def _lane(self, request: Request, run: Run, top: float, height: float, *, tokens: bool) -> None:
        came, first, end = lane_spans(request, run)
        inner = (top + 0.22 * height, 0.56 * height) if tokens else (top, height)
        edges = (FAINT, TOKEN) if tokens else ("none", "none")
        self._bar(came, first, *inner, WAITING if tokens else THIN_WAITING, edges[0], "waiting")
        if end > first:
            self._bar(first, end, *inner, RECEIVING if tokens else TOKEN, edges[1], "receiving")
        middle = top + height / 2
        if not tokens:
            if request.outcome != "finished":
                self._end(request, end, middle, 2.5)
            return
        for moment in token_moments(request, run):
            self._stroke(moment, *inner, 1, "token")
        if (whole := whole_answer_at(request, run)) is not None:
            self._stroke(whole, top + 0.1 * height, 0.8 * height, 4, "whole answer")
        self._end(request, end, middle, 4.5)
        if request.outcome != "finished":
            self._text(self._x(end) + 10, middle + 4, how_it_ended(request), "start")

    def _loop(self, run: Run, top: float) -> None:
        middle = top + LOOP / 2
        self._text(self._left - 8, middle + 4, "event loop", "end")
        self.parts.append(
            f'<line class="loop runs" x1="{self._x(0):.1f}" '
            f'x2="{self._x(run.end - run.start):.1f}" '
            f'y1="{middle:.1f}" y2="{middle:.1f}" stroke="{ALIVE}" stroke-width="2"/>'
        )
        for freeze in run.freezes:
            start, end = freeze.start - run.start, freeze.end - run.start
            self._bar(start, end, middle - 9, 18, FROZEN, "currentColor", "frozen")
            said = f"blocked {in_seconds(freeze.seconds)}"
            if self._scale * freeze.seconds > LETTER * len(said) + 12:
                x = self._x((start + end) / 2)
                wide = LETTER * len(said) + 8
                self.parts.append(
                    f'<rect x="{x - wide / 2:.1f}" y="{middle - 8:.1f}" width="{wide}" height="16" '
                    f'fill="{PAPER}"/><text x="{x:.1f}" y="{middle + 4:.1f}" fill="#24292f" '
                    f'text-anchor="middle">{said}</text>'
                )

    def axis(self, span: float, top: float) -> float:
        """Draw the seconds below all runs."""
        self.parts.append(
            f'<path d="M{self._x(0):.1f},{top:.1f}H{self._x(span):.1f}" stroke="{FAINT}"/>'
        )
        for moment in _round_moments(span):
            x = self._x(moment)
            self.parts.append(
                f'<path d="M{x:.1f},{top:.1f}v4" stroke="{FAINT}"/>'
                f'<text x="{x:.1f}" y="{top + 17:.1f}" text-anchor="middle">{moment:g}</text>'
            )
        said = "seconds since the first request arrived"
        self._text(self._x(span / 2), top + 33, said, "middle")
        return top + AXIS

    def legend(self, runs: Sequence[Run], top: float) -> float:
        """Explain the marks that are there, and no others."""
        x, y = 4.0, top + LEGEND - 5
        for colour, word in _marks(runs):
            wide = LETTER * len(word) + 34
            if x + wide > WIDTH:
                x, y = 4.0, y + LEGEND
            self.parts.append(
                f'<rect x="{x:.1f}" y="{y - 10:.1f}" width="14" height="11" fill="{colour}" '
                f'stroke="{FAINT}"/><text x="{x + 19:.1f}" y="{y:.1f}">{word}</text>'
            )
            x += wide
        return y + 8

    def _x(self, seconds: float) -> float:
        return self._left + self._scale * seconds

    def _text(self, x: float, y: float, text: str, anchor: str) -> None:
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'
        )

    def _bar(
        self, start: float, end: float, y: float, height: float, fill: str, edge: str, kind: str
    ) -> None:
        self.parts.append(
            f'<rect class="{kind}" x="{self._x(start):.1f}" y="{y:.1f}" '
            f'width="{self._scale * (end - start):.1f}" height="{height:.1f}" '
            f'fill="{fill}" stroke="{edge}" stroke-width="0.6"/>'
        )

    def _stroke(self, moment: float, y: float, height: float, width: float, kind: str) -> None:
        self.parts.append(
            f'<path class="{kind}" d="M{self._x(moment):.1f},{y:.1f}v{height:.1f}" '
            f'stroke="{TOKEN}" stroke-width="{width:g}"/>'
        )

    def _end(self, request: Request, end: float, y: float, size: float) -> None:
        """Each outcome has a shape of its own, so that it holds in grey."""
        marker, colour = ENDS[request.outcome]
        x, s = self._x(end), size
        shape = {
            "o": f"M{x - s:.1f},{y:.1f}a{s},{s} 0 1 0 {2 * s},0a{s},{s} 0 1 0 {-2 * s},0",
            "D": f"M{x:.1f},{y - s:.1f}l{s},{s}l{-s},{s}l{-s},{-s}z",
            "s": f"M{x - s:.1f},{y - s:.1f}h{2 * s}v{2 * s}h{-2 * s}z",
            ">": f"M{x - s:.1f},{y - s:.1f}l{2 * s},{s}l{-2 * s},{s}z",
            "X": f"M{x - s:.1f},{y - s:.1f}l{2 * s},{2 * s}m0,{-2 * s}l{-2 * s},{2 * s}",
        }[marker]
        edge = colour if marker == "X" else PAPER
        self.parts.append(
            f'<path class="ended {request.outcome}" d="{shape}" fill="{colour}" stroke="{edge}" '
            f'stroke-width="{2 if marker == "X" else 0.7}"/>'
        )


def _round_moments(span: float) -> Iterator[float]:
    """Yield what an axis of so many seconds is marked with: some multiples of 1, 2 or 5."""
    least = span / MOST_TICKS
    power = 10 ** math.floor(math.log10(least))
    step = next(power * times for times in (1, 2, 5, 10) if power * times >= least)
    for number in range(int(span / step) + 1):
        yield round(number * step, 6)


def _marks(runs: Sequence[Run]) -> Iterator[tuple[str, str]]:
    requests = [request for run in runs for request in run.requests]
    lanes = any(_has_tokens(run) for run in runs)
    streamed = any(request.tokens for request in requests)
    whole = any(not r.stream and r.outcome == "finished" for r in requests)
    if requests:
        what = "the first token" if streamed and not whole else "the answer"
        yield WAITING if lanes else THIN_WAITING, f"waits for {what}"
    if streamed:
        yield (RECEIVING, "receives, a stroke for each token") if lanes else (TOKEN, "receives")
    if whole and lanes:
        yield TOKEN, "the whole answer"
    for outcome, (_, colour) in ENDS.items():
        if any(request.outcome == outcome for request in requests) and (
            lanes or outcome != "finished"
        ):
            yield colour, outcome
    if any(run.freezes for run in runs):
        yield FROZEN, "loop blocked"
    if any(run.heartbeat is not None for run in runs):
        yield ALIVE, "loop runs"
