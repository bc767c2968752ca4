"""What a card says."""

from dataclasses import dataclass

from helpers.doctor.source import Change


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake: what it is, why, and the lines to change where they are known for sure."""

    title: str
    explanation: str
    change: Change | None
    lesson: str


def an(kind: str) -> str:
    return f"{'an' if kind[:1] in 'AEIOUaeiou' else 'a'} {kind}"


def first_words(text: str) -> str:
    return text[:1].upper() + text[1:]
