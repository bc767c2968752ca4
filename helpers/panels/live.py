"""The columns while they run: widgets that grow, a clock each, and a Stop button."""

import html
import time
from collections.abc import Callable, Sequence
from typing import Any

from helpers.panels.column import Column
from helpers.panels.still import counts, error_in_words, text_as_html
from helpers.views import shown

PERIOD = 0.1
"""Seconds between two looks of one column. Ten a second read as steady growth; each one sends its
whole text to the browser, so a thousand a second would drown it."""

SHOWN = 6_000
"""Characters of an answer shown while it grows: its latest screenful and some."""


class Live:
    """The live view of some columns. Make it in the event loop's thread, and `close` it."""

    def __init__(self, columns: Sequence[Column], stop: Callable[[], None]) -> None:
        import ipywidgets as widgets  # takes a while to load, and not every run has a browser

        self._panes = [_Pane(column, widgets) for column in columns]
        self._button = widgets.Button(description="Stop", icon="stop", tooltip="Cancel all columns")
        self._button.add_class("awaited-stop")
        self._button.on_click(lambda _: stop())
        layout = widgets.Layout(display="flex", flex_flow="row wrap", width="100%")
        row = widgets.Box([pane.box for pane in self._panes], layout=layout)
        # Above the texts: below them it would leave the screen as they grow.
        self._all = widgets.VBox([self._button, row])
        self._all.add_class("awaited-columns")
        self._view = shown(self._all)

    def tick(self) -> None:
        """Bring clocks and texts up to date."""
        for pane in self._panes:
            pane.paint()

    def close(self) -> None:
        """Take the live view out of the page, and its widgets out of the kernel."""
        for pane in self._panes:
            pane.close()
        for widget in (*self._all.children, self._all):
            _close(widget)
        # Left in the cell's output, the view of a closed widget would be saved, and be shown as
        # "Error displaying widget" whenever the notebook is opened.
        self._view.update({}, raw=True)


class _Pane:
    def __init__(self, column: Column, widgets: Any) -> None:
        self._column = column
        self._painted = float("-inf")
        self._pieces = -1
        self._head = widgets.HTML()
        self._head.add_class("awaited-head")
        self._text = widgets.HTML()
        self._text.add_class("awaited-text")
        # Wide enough to read; on a narrow page the columns stand below each other.
        layout = widgets.Layout(flex="1 1 18em", padding="0 1em 0 0", overflow="hidden")
        self.box = widgets.VBox([self._head, self._text], layout=layout)
        self.box.add_class("awaited-column")
        column.changed = self._changed
        self.paint()

    def _changed(self) -> None:
        if not self._column.running or time.monotonic() - self._painted >= PERIOD:
            self.paint()

    def paint(self) -> None:
        answer = self._column.facts()
        self._painted = time.monotonic()
        clocks = f"{answer.total:.1f} s"
        if answer.first is not None:
            clocks += f" · first text after {answer.first:.2f} s"
        name, facts = text_as_html(answer.name), ", ".join(counts(answer))
        self._head.value = f"<b>{name}</b> &nbsp; {clocks}<br><small>{facts}</small>"
        if answer.pieces == self._pieces and answer.error is None:
            return
        self._pieces = answer.pieces
        # `log`: a screen reader reads what is new.
        text = answer.text if len(answer.text) <= SHOWN else "… " + answer.text[-SHOWN:]
        if answer.error is not None:
            text += f"\n{error_in_words(answer.error)}"
        self._text.value = (
            f'<div role="log" aria-live="polite" aria-label="{html.escape(answer.name)}" '
            f'style="line-height:1.4">{text_as_html(text)}</div>'
        )

    def close(self) -> None:
        self._column.changed = lambda: None
        for widget in (self._head, self._text, self.box):
            _close(widget)


def _close(widget: Any) -> None:
    """Close a widget with its layout and style, which are widgets too and would stay."""
    parts = (widget, widget.layout, getattr(widget, "style", None))
    for part in filter(None, parts):
        part.close()
