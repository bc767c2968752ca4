"""Columns side by side: ways of doing the same thing, run at once and watched as they answer."""

from helpers.panels.column import Answer, Outcome
from helpers.panels.run import Answers, side_by_side

__all__ = ["Answer", "Answers", "Outcome", "side_by_side"]
