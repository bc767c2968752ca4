"""What every way to draw a timeline shares: a lane's spans, its words, and its colours."""

from helpers.observe import Request
from helpers.timelines.run import Run

# Okabe and Ito's colours, which colour-blind readers tell apart. Every kind of mark differs in
# shape or filling as well, so that the figure holds in grey.
PAPER = "#fdfdfb"
INK = "#24292f"
FAINT = "#8a9099"
WAITING = "#d3d8de"
QUEUED = "#fdfdfb"
THIN_WAITING = "#868c95"
"""A thin lane has no room for an outline, so its filling alone must differ from the paper: by 3:1,
which WCAG asks of what is no text. Its receiving part is in the colour of tokens."""
SENDER = 18
"""Letters of a column's name on a lane: some more than "event loop", and the lanes stay wide."""

FELT = 0.01
"""Share of a run's time that a wait in the queue must have to be drawn, some 6 points of the page:
less is the server's own bookkeeping."""

RECEIVING = "#9ad0f0"
TOKEN = "#0072b2"
FROZEN = "#d55e00"
ALIVE = "#009e73"

ENDS: dict[str, tuple[str, str]] = {
    "finished": ("o", "#009e73"),
    "refused": ("D", "#cc79a7"),
    "failed": ("X", "#d55e00"),
    "abandoned": ("s", "#000000"),
    "running": (">", "#0072b2"),
}
"""How a request ended: marker and colour."""

LANES_WITH_TOKENS = 24


def lane_spans(request: Request, run: Run) -> tuple[float, float, float]:
    """Return arrival, end of waiting, and end, in seconds since the run's start."""
    end = run.end if request.ended is None else request.ended
    if request.tokens:
        first = request.tokens[0]
    elif (whole := whole_answer_at(request, run)) is not None:
        first = whole + run.start
    else:
        first = end
    return request.arrived - run.start, first - run.start, end - run.start


def whole_answer_at(request: Request, run: Run) -> float | None:
    """Return when an answer came that was sent in one piece."""
    if request.tokens or request.stream or request.outcome != "finished":
        return None
    return None if request.first_byte is None else request.first_byte - run.start


def seconds_queued(request: Request, run: Run) -> float:
    """Seconds that the request stood in the server's queue; 0.0 where its turn came at once."""
    if request.started is None:
        return 0.0
    seconds = request.started - request.arrived
    return seconds if seconds >= FELT * (run.end - run.start) else 0.0


def how_it_ended(request: Request) -> str:
    if request.outcome == "refused" or (request.outcome == "failed" and not request.tokens_sent):
        return f"{request.outcome} {request.status or ''}".strip()
    of = f" of {request.tokens_planned}" if request.tokens_planned else ""
    words = {"running": "still running"}.get(request.outcome, request.outcome)
    return f"{words}, {request.tokens_sent}{of} tokens" if request.tokens_sent else words


def lane_names(run: Run) -> list[str]:
    """Name each lane for the column that sent it, else number it; say where it went when they
    differ, and whether it is a retry."""
    paths = {_short(request.path) for request in run.requests}
    senders = [_sender(request, run) for request in run.requests]
    labels = []
    for number, (request, sender) in enumerate(zip(run.requests, senders, strict=True), 1):
        parts = [_short(request.path)] if len(paths) > 1 else []
        parts += [f"retry {request.retry}"] if request.retry else []
        parts += [sender] if sender else []
        parts += [] if sender and senders.count(sender) == 1 else [str(number)]
        labels.append("  ".join(parts))
    return labels


def _sender(request: Request, run: Run) -> str:
    name = run.senders.get(request.request_id, "")
    return name if len(name) <= SENDER else f"{name[: SENDER - 1]}…"


def _short(path: str) -> str:
    parts = [part for part in path.split("/") if part and part != "v1"]
    return parts[0] if parts else path


def in_seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds < 9.95 else f"{seconds:.1f} s"


def token_moments(request: Request, run: Run) -> list[float]:
    return [moment - run.start for moment in request.tokens]
