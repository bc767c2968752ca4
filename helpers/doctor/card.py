"""The card: the same few lines as HTML and as plain text."""

import html

from helpers.doctor.symptoms import Finding


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
    if finding.change is not None:
        change = finding.change
        if change.before:
            lines.append(f"line {change.line:<4}{change.before}")
            lines.append(f"better   {change.after}")
        else:
            lines.append(f"write    {change.after}")
    lines.append(f"see      lesson {finding.lesson}")
    return "\n".join(lines)


def as_html(finding: Finding, requests: int | None) -> str:
    parts = [f"<b>{html.escape(finding.title)}.</b>", html.escape(finding.explanation)]
    if requests is not None:
        parts.append(html.escape(_seen(requests)))
    if finding.change is not None:
        change = finding.change
        if change.before:
            parts.append(f"line {change.line}: <code>{html.escape(change.before)}</code>")
            parts.append(f"better: <code>{html.escape(change.after)}</code>")
        else:
            parts.append(f"write: <code>{html.escape(change.after)}</code>")
    parts.append(f"<small>Awaited, lesson {finding.lesson}</small>")
    # No colours of its own but the bar: it must read well on a light and on a dark page.
    style = "border-left:4px solid #e69f00;padding:2px 0 2px 12px;margin:4px 0;max-width:46em"
    return f'<div style="{style}">{"<br>".join(parts)}</div>'


def _seen(requests: int) -> str:
    if requests == 1:
        return "1 request reached the server in this cell."
    return f"{requests} requests reached the server in this cell."
