"""Gives each row of the field guide an anchor, entries in the index, and a name for others' links.

An anchor is made of what the row says, so that it stays when rows come and go around it: see
`anchor`. A row that is worded anew keeps its former anchor by a line in `FORMER`.
"""

import re
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.domains.std import StandardDomain

GUIDE = "docs/field-guide"

FORMER: dict[str, str] = {}
"""Anchors that were published once, and the anchors of their rows today."""

LONGEST = 70
"""Letters of an anchor's words. Longer ones tell no more, and break an address in two in a mail."""

KIND = re.compile(r"^[\w.]*(?:Error|Exception|Warning|Interrupt|Group|Timeout): (?=.)")
"""An error's class before its message."""

VARIES = "…"
"""What stands in the guide where a text has something of its own, such as an address."""


def mark_rows(app: Sphinx, doctree: nodes.document) -> None:
    env = app.env
    if env.docname != GUIDE:
        return
    domain = env.get_domain("std")
    assert isinstance(domain, StandardDomain)
    taken: set[str] = set()
    for table in doctree.findall(nodes.table):
        for row in rows(table):
            name = _free(row, taken)
            taken.add(name)
            row["ids"].append(name)
            for former, today in FORMER.items():
                if today == name:
                    row["ids"].append(former)
            cell = row[1] if _numbered(row) else row[0]
            entries = [("single", text, name, "main", None) for text in said(cell)]
            row[0].insert(0, addnodes.index(entries=entries))
            last = cell[-1]
            assert isinstance(last, nodes.Element)
            last.append(_link(name))
            domain.note_hyperlink_target(name, GUIDE, name, _title(cell))


def rows(table: nodes.Element) -> Iterator[nodes.row]:
    """Yield a table's rows, without its head."""
    for body in table.findall(nodes.tbody):
        yield from body.findall(nodes.row)


def said(cell: nodes.Node) -> list[str]:
    """Return the texts that a row is looked for by, without their class and what varies.

    Those in code; of a cell without code, all that it says.
    """
    found = [node.astext() for node in cell.findall(nodes.literal)] or [_title(cell)]
    bare = (KIND.sub("", text) for text in found)
    # A semicolon would make two levels of the index out of one text.
    told = (text.replace(VARIES, " ").replace(";", ",").strip(" ,") for text in bare)
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
    app.connect("doctree-read", mark_rows)
    return {"version": "1", "parallel_read_safe": True}
