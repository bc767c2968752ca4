"""Makes cards of a wide table's rows, for screens too narrow for its columns (`table.cards` in the
site's style): each cell then says which column it is of."""

from collections.abc import Iterator
from html import escape
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

MOST = 3
"""Columns that a phone has room for."""


class Cards(SphinxTransform):
    default_priority = 810

    def apply(self, **_: Any) -> None:
        for table in self.document.findall(nodes.table):
            named = columns(table)
            if len(named) > MOST and all(named[1:]):  # one without a name names its row
                table["classes"].append("cards")
                for row in rows(table):
                    for column, cell in zip(named, row, strict=True):
                        if column:
                            cell.insert(0, _label(column))


def columns(table: nodes.table) -> list[str]:
    """Return what a table's head says."""
    return [" ".join(head.astext().split()) for head in next(iter(table.findall(nodes.row)))]


def rows(table: nodes.table) -> Iterator[nodes.row]:
    """Yield a table's rows, without its head."""
    for body in table.findall(nodes.tbody):
        yield from body.findall(nodes.row)


def _label(column: str) -> nodes.raw:
    return nodes.raw("", f'<span class="label">{escape(column)}: </span>', format="html")


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_transform(Cards)
    return {"version": "1", "parallel_read_safe": True}
