"""The picture that stays when the columns have ended: a table, and the same as plain text."""

import html
from collections.abc import Sequence

from helpers.panels.column import Answer

ABREAST = 4
"""Columns beside each other; further ones stand in a row below, as a word must fit into each."""

LONGEST = 20_000
"""Characters of one answer that are kept: a long page. A notebook is to stay under half a
megabyte."""


STYLE = "text-align:left;vertical-align:top;overflow-wrap:anywhere"


def as_html(answers: Sequence[Answer]) -> str:
    """Return a table that needs no style sheet; each clock stands in a <time> element."""
    # The class keeps JupyterLab from reading "$5 or $6" as mathematics.
    rows = "".join(
        _row_as_html(answers[place : place + ABREAST]) for place in range(0, len(answers), ABREAST)
    )
    return f'<table class="tex2jax_ignore mathjax_ignore" width="100%">{rows}</table>'


def _row_as_html(answers: Sequence[Answer]) -> str:
    width = 100 // len(answers)
    # Attributes, since some sites drop styles; styles, since JupyterLab aligns tables to the right.
    heads = "".join(
        f'<th align="left" width="{width}%" style="text-align:left">{html.escape(a.name)}</th>'
        for a in answers
    )
    cells = "".join(
        f'<td align="left" valign="top" style="{STYLE}">'
        f"{_facts(a)}<br><br>{text_as_html(_cut(a.text))}{_error(a)}</td>"
        for a in answers
    )
    return f"<tr>{heads}</tr><tr>{cells}</tr>"


def as_text(answers: Sequence[Answer]) -> str:
    """Return the same in words, without the clocks."""
    blocks = []
    for answer in answers:
        body = [_cut(answer.text)] if answer.text else []
        if answer.error is not None:
            body.append(error_in_words(answer.error))
        lines = [line for part in body for line in part.splitlines()]
        head = f"{answer.name}: {', '.join(counts(answer))}"
        blocks.append("\n".join([head, *(f"    {line}".rstrip() for line in lines)]))
    return "\n".join(blocks)


def counts(answer: Answer) -> list[str]:
    """Return what happened in a column, without times."""
    facts: list[str] = [answer.outcome]
    facts.append(f"{answer.requests} request{'' if answer.requests == 1 else 's'}")
    if answer.pieces:
        facts.append(f"{answer.pieces} piece{'' if answer.pieces == 1 else 's'} of text")
    if answer.held_the_loop and answer.outcome != "running":
        facts.append("held the event loop")
    return facts


def error_in_words(error: Exception | SystemExit) -> str:
    return f"{type(error).__name__}: {error}"


def text_as_html(text: str) -> str:
    """Return a model's text as HTML that shows it as it is, tags and indents included."""
    lines = []
    for line in html.escape(text).split("\n"):
        words = line.lstrip(" ")
        lines.append("&nbsp;" * (len(line) - len(words)) + words)
    return "<br>".join(lines)


def _facts(answer: Answer) -> str:
    clocks = []
    if answer.first is not None and answer.pieces > 1:
        clocks.append(f"first text after {_time(answer.first)}")
    clocks.append(f"{answer.outcome} after {_time(answer.total)}")
    return "<br>".join([", ".join(clocks), ", ".join(counts(answer)[1:])])


def _error(answer: Answer) -> str:
    if answer.error is None:
        return ""
    return f"<br><b>{text_as_html(error_in_words(answer.error))}</b>"


def _time(seconds: float) -> str:
    return f"<time>{seconds:.2f} s</time>"


def _cut(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]} … ({len(text) - LONGEST:,} more characters)"
