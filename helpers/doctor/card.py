"""The card: the same few lines as HTML and as plain text."""

import html
from collections.abc import Iterator

from helpers.doctor.finding import Finding
from helpers.doctor.source import Change


def show(finding: Finding, requests: int | None) -> None:
    """Show the card under the cell's output."""
    from IPython.display import display

    display(  # type: ignore[no-untyped-call]
        {"text/html": as_html(finding, requests), "text/plain": as_text(finding, requests)},
        raw=True,
    )


def as_text(finding: Finding, requests: int | None) -> str:
    lines = [f"doctor   {finding.title}.", f"         {finding.explanation}"]
    if requests is not None:
        lines.append(f"         {_seen(requests)}")
    for word, code in _code(finding.change):
        lines.append(f"{word:<9}" + code.replace("\n", f"\n{'':9}"))
    lines.append(f"see      lesson {finding.lesson}")
    return "\n".join(lines)


def as_html(finding: Finding, requests: int | None) -> str:
    parts = [f"<b>{html.escape(finding.title)}.</b>", html.escape(finding.explanation)]
    if requests is not None:
        parts.append(html.escape(_seen(requests)))
    parts += [
        f'{html.escape(word)}: <code style="white-space:pre-wrap">{html.escape(code)}</code>'
        if code
        else f"{html.escape(word)}:"
        for word, code in _code(finding.change)
    ]
    parts.append(f"<small>Awaited, lesson {finding.lesson}</small>")
    # No colours of its own but the bar: it must read well on a light and on a dark page.
    style = "border-left:4px solid #e69f00;padding:2px 0 2px 12px;margin:4px 0;max-width:46em"
    return f'<div style="{style}">{"<br>".join(parts)}</div>'


def _code(change: Change | None) -> Iterator[tuple[str, str]]:
    """Yield the words and the code of what is to be changed."""
    if change is None:
        return
    if change.place:
        yield "in", change.place
    for line in change.lines:
        yield f"line {line.number}", line.before
        yield "better", line.after
    if change.added:
        yield "write", change.added


def _seen(requests: int) -> str:
    if requests == 1:
        return "1 request reached the server in this cell."
    return f"{requests} requests reached the server in this cell."
