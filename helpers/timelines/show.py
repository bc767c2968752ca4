"""The instrument itself: gathers the runs to draw and shows them in a notebook."""

import base64
import html
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from helpers import observe
from helpers.heartbeat import Heartbeat
from helpers.observe import Request
from helpers.timelines import words
from helpers.timelines.recording import Recording, since_cell_started
from helpers.timelines.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Recorded(Protocol):
    """What can be drawn besides plain requests: a `recorded()` block, or columns that ran."""

    @property
    def requests(self) -> tuple[Request, ...]: ...


class Timeline:
    """A picture of requests over time. As a cell's last line, or a `with` block, it shows itself.

    `text` says the same in words that hold at any pace; `figure()` gives matplotlib's figure, to
    save or to look into; `runs` are the facts drawn.
    """

    def __init__(
        self,
        runs: Callable[[], tuple[Run, ...]],
        recording: Recording | None,
        sharex: "Timeline | None" = None,
    ) -> None:
        self._gather = runs
        self._recording = recording
        self._sharex = sharex
        self._runs: tuple[Run, ...] | None = None
        self._cell = recording is not None and in_ipython()
        """Whether this is a cell's last line: neither a block, nor given its requests."""

    @property
    def runs(self) -> tuple[Run, ...]:
        if self._runs is None:
            self._runs = self._gather()
        return self._runs

    @property
    def requests(self) -> tuple[Request, ...]:
        """The requests of all runs, in the order drawn."""
        return tuple(request for run in self.runs for request in run.requests)

    @property
    def heartbeat(self) -> Heartbeat | None:
        """The first run's heartbeat: None where nobody listened to the loop."""
        return self.runs[0].heartbeat

    @property
    def text(self) -> str:
        """The figure in a sentence or two: counts, order and outcomes, never times."""
        if any(isinstance(run.requests, observe.NoJournal) for run in self.runs):
            return "No timeline: this endpoint keeps no journal. The course's mock server does."
        if self._cell and not self.requests:
            return words.NOTHING_IN_CELL
        return words.describe(self.runs)

    def figure(self) -> "Figure":
        """Draw it.

        Raises:
            ValueError: there is nothing to draw.
        """
        from helpers.timelines import picture  # matplotlib takes a while to load

        if not self._anything_to_draw():
            raise ValueError(f"There is nothing to draw. {self.text}")
        return picture.draw(*self._drawn())

    def show(self) -> None:
        """Show the picture, and under it the words, in a notebook; the words alone elsewhere."""
        if not in_ipython():
            print(self.text)
            return
        from IPython.display import display

        if self._anything_to_draw():
            drawn = self._as_svg() if sys.platform == "emscripten" else self._as_png()
            display(  # type: ignore[no-untyped-call]
                {"text/html": drawn, "text/plain": "the figure in words:"}, raw=True
            )
        display({"text/plain": self.text}, raw=True)  # type: ignore[no-untyped-call]

    def _as_png(self) -> str:
        from helpers.timelines import picture

        image = picture.png(self.figure())
        # As HTML, since JupyterLab gives a picture of type image/png no alternative text.
        return (
            f'<img alt="{html.escape(self._alternative)}" width="{image.width}" '
            f'style="max-width:100%" '
            f'src="data:image/png;base64,{base64.b64encode(image.data).decode()}">'
        )

    def _as_svg(self) -> str:
        """Draw it where there is no matplotlib."""
        from helpers.timelines import vector

        return vector.svg(*self._drawn(), self._alternative)

    def _drawn(self) -> tuple[tuple[Run, ...], tuple[Run, ...]]:
        """Return the runs to draw, and those whose time axis they share."""
        beside = self._sharex.runs if self._sharex is not None else ()
        return tuple(filter(_drawable, self.runs)), tuple(filter(_drawable, beside))

    @property
    def _alternative(self) -> str:
        """What the picture is, for those who do not see it: the words below say what it shows."""
        count = len(self.requests)
        of = " and ".join(run.name for run in self.runs if run.name)
        return (
            f"Timeline of {count} request{'' if count == 1 else 's'}{of and f': {of}'}. "
            "The words below say what it shows."
        )

    def _anything_to_draw(self) -> bool:
        return any(_drawable(run) for run in self.runs)

    def _ipython_display_(self) -> None:
        self.show()

    def __str__(self) -> str:
        return self.text

    def __enter__(self) -> "Timeline":
        if self._recording is None:
            raise TypeError(
                "This timeline has its requests already, so it cannot record a block. "
                "Write `with timeline():` without requests, or show it as a last line."
            )
        self._cell = False
        self._recording.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._recording is not None
        self._recording.__exit__()
        self._runs = None
        self.show()


def timeline(
    requests: "Iterable[Request] | Recorded | None" = None,
    /,
    *,
    heartbeat: Heartbeat | None = None,
    sharex: Timeline | None = None,
    one_clock: bool = False,
    **runs: "Iterable[Request] | Recorded",
) -> Timeline:
    """Show who waited when: a lane for each request, from its arrival at the server to its end.

    Four forms:

    - `timeline()` as a cell's last line shows the requests that this cell has made.
    - `with timeline():` around code shows the requests made in the block and, in a lane of its own,
      where the event loop stood still while they were under way.
    - `timeline(requests)` shows any stretch: `journal()`, some of its `.requests`, a `recorded()`
      block, or columns that ran (`side_by_side`). Add `heartbeat=` if you listened to the loop.
    - `timeline(one_by_one=…, together=…)` shows two runs or more below each other, on one time axis
      that starts for each with its first request. Underscores become spaces; a trailing one, as in
      `async_=…`, goes away. With `one_clock=True` they are parts of one run, such as its workers:
      time begins for all with the first request of any.

    `sharex=` another timeline draws this one on its time axis and its scale, as far as they reach:
    two figures that are to be compared, in two cells.

    A lane shows the wait for the first token, each token, and how it ended. It bears the name of
    the column that asked; in a `with` or `recorded()` block, of the task that asked, where it was
    given one: `create_task(…, name="haiku")`. Above 24 requests lanes get thin, above 150 they
    become one picture of how many waited and how many received. On an endpoint without a journal
    it says so in one line and draws nothing.

    Raises:
        TypeError: both a stretch and named runs, or something that holds no requests.
    """
    if runs:
        if requests is not None or heartbeat is not None:
            raise TypeError("Give one stretch of requests, or named runs; not both.")
        named = {name.rstrip("_").replace("_", " "): run for name, run in runs.items()}

        def gathered() -> tuple[Run, ...]:
            found = tuple(_run(n, run) for n, run in named.items())
            starts = [run.start for run in found if run.requests]
            if not one_clock or not starts:
                return found
            return tuple(replace(run, since=min(starts)) for run in found)

        return Timeline(gathered, None, sharex)
    if requests is not None:
        known = _run("", requests, heartbeat)
        return Timeline(lambda: (known,), None, sharex)
    recording = since_cell_started()
    return Timeline(lambda: (_run("", recording, heartbeat),), recording, sharex)


def in_ipython() -> bool:
    """Whether there is a notebook, or a terminal's IPython, to show things in."""
    if "IPython" not in sys.modules:  # not loaded, so nobody runs us in it
        return False
    from IPython import get_ipython

    return get_ipython() is not None


def _run(name: str, source: Any, heartbeat: Heartbeat | None = None) -> Run:
    found = getattr(source, "requests", source)
    if isinstance(found, observe.NoJournal):
        return Run(name, found)  # type: ignore[arg-type]
    heartbeat = heartbeat or getattr(source, "heartbeat", None)
    if not isinstance(found, Iterable):
        raise TypeError(
            f"A timeline shows requests: journal(), its .requests, or a recorded() block; "
            f"this is {type(source).__name__}."
        )
    requests = tuple(found)
    if not all(isinstance(request, Request) for request in requests):
        odd = next(r for r in requests if not isinstance(r, Request))
        raise TypeError(f"A timeline shows requests from journal(); this is {type(odd).__name__}.")
    in_order = tuple(sorted(requests, key=lambda r: (r.arrived, r.id)))
    return Run(name, in_order, heartbeat, getattr(source, "senders", {}))


def _drawable(run: Run) -> bool:
    if isinstance(run.requests, observe.NoJournal):
        return False
    return bool(run.requests) or (run.heartbeat is not None and bool(run.heartbeat.freezes))
