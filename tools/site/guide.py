"""Gives each row of the field guide an anchor, entries in the index, and a name for others' links.

An anchor is made of what the row says, so that it stays when rows come and go around it: see
`anchor`. A row that is worded anew keeps its former anchor by a line in `FORMER`.
"""

import re
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

from tools.site import tables

GUIDE = "docs/field-guide"

CONTENTS = "you look for"
"""How the first column is called of the table that leads to the others: no row of the guide."""

FORMER: dict[str, str] = {}
"""Anchors that were published once, and the anchors of their rows today."""

LONGEST = 90
"""Letters of an anchor's words. Longer ones tell no more, and break an address in two in a mail."""

KIND = re.compile(r"^(?:(?:\w+\.)+\w+|\w*(?:Error|Exception|Warning|Interrupt|Group)): (?=.)")
"""An error's class before its message."""

VARIES = re.compile("(?:0x)?…>?")
"""What stands in the guide where a text has something of its own, such as an address. The search
(`site/static/search.js`) takes addresses out of what is looked for, and classes."""


class MarkRows(SphinxTransform):
    """Marks the guide's rows, before Sphinx collects what stands in the index (at 850)."""

    default_priority = 800

    def apply(self, **_: Any) -> None:
        if self.env.docname == GUIDE:
            self.env.metadata[GUIDE]["hide-toc"] = ""  # its tables want the room
            taken: set[str] = set()
            for table in self.document.findall(nodes.table):
                table["classes"].append("guide")
                if tables.columns(table)[0] != CONTENTS:
                    for row in tables.rows(table):
                        taken.add(self._mark(row, taken))

    def _mark(self, row: nodes.row, taken: set[str]) -> str:
        name = _free(row, taken)
        row["ids"] += [name, *(former for former, today in FORMER.items() if today == name)]
        cell = row[1] if _numbered(row) else row[0]
        texts = [("single", text, name, "main", None) for text in said(cell)]
        self.env.get_domain("std").note_hyperlink_target(name, GUIDE, name, _title(cell))
        cell[-1].append(_link(name))
        row[0].insert(0, addnodes.index(entries=texts))
        return name


def said(cell: nodes.Node) -> list[str]:
    """Return the texts that a row is looked for by, without their class and what varies.

    Those in code; of a cell without code, all that it says.
    """
    found = [node.astext() for node in cell.findall(nodes.literal)] or [_title(cell)]
    bare = (KIND.sub("", text) for text in found)
    # A semicolon would make two levels of the index out of one text.
    told = (VARIES.sub(" ", text).replace(";", ",").strip(" ,") for text in bare)
    return list(dict.fromkeys(" ".join(text.split()) for text in told if text))


def anchor(row: nodes.row) -> str:
    """Return a row's anchor: `symptom-3` where the row has a number, else its text's words."""
    if _numbered(row):
        return f"symptom-{row[0].astext().strip()}"
    return _words(said(row[0])[0])


def _free(row: nodes.row, taken: set[str]) -> str:
    """Return the row's anchor; where an earlier row says the same, with its second cell's words."""
    name = anchor(row)
    if name in taken:
        name = f"{name}--{_words(row[1].astext())}"
    if name in taken:
        raise ValueError(f"Two rows of the field guide have the anchor {name!r}: word one anew.")
    return name


def _numbered(row: nodes.row) -> bool:
    return row[0].astext().strip().isdigit()


def _words(text: str) -> str:
    text = text.lower().replace("'", "")
    words = re.sub(r"[^a-z0-9]+", "-", text).strip("-")
    return words if len(words) <= LONGEST else words[:LONGEST].rpartition("-")[0]


def _title(cell: nodes.Node) -> str:
    return " ".join(cell.astext().split())


def _link(name: str) -> nodes.raw:
    link = f'<a class="row-link" href="#{name}" aria-label="Link to this row">#</a>'
    return nodes.raw("", f" {link}", format="html")


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_transform(MarkRows)
    return {"version": "1", "parallel_read_safe": True}
