"""What is told while the lines are asked, and at the end."""

import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from helpers.many.asking import Report
from helpers.many.prompts import Part

TOLD = 10
"""Failed lines that are named at the end."""


class Progress:
    """A bar over all lines, moved by what each part tells; drawn in a terminal alone."""

    def __init__(self, parts: Sequence[Part], quiet: bool) -> None:
        self.total = sum(part.asked for part in parts)
        self._parts = {part.number: part for part in parts}
        self._now: dict[int, int] = {}
        self._bar = tqdm(total=self.total, unit=" lines", disable=quiet or None, file=sys.stderr)
        self.reports: list[Report] = []
        self.broken: list[tuple[Part, str]] = []
        """Parts that ended by an error, and which."""

    def tell(self, part: int, answered: int) -> None:
        """Note how many answers a part has, those of earlier runs included."""
        self._now[part] = answered
        self._show()

    def ended(self, report: Report) -> None:
        """Note how a part ended."""
        self._now[report.part] = report.kept + report.answered + report.failed
        self.reports.append(report)
        self._show()

    def broke(self, part: int, why: str) -> None:
        """Note that a part ended by an error."""
        self.broken.append((self._parts[part], why))

    def _show(self) -> None:
        step = sum(self._now.values()) - self._bar.n
        if step > 0:
            self._bar.update(step)

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._bar.close()

    def last_words(self, folder: Path) -> str:
        """Return what was achieved, what was not, and what to do about it."""
        kept = sum(report.kept for report in self.reports)
        answered = sum(report.answered for report in self.reports)
        failed = sum(report.failed for report in self.reports)
        tokens = sum(report.tokens for report in self.reports)
        said = [
            f"{kept + answered:,} of {self.total:,} lines are answered in {folder}: "
            f"{kept:,} were there, {answered:,} came now ({tokens:,} tokens)."
        ]
        samples = sorted(sample for report in self.reports for sample in report.samples)
        if failed:
            said.append(f"{failed:,} failed; all of them stand in {folder}/errors-*.jsonl:")
            said += [
                f"  {why}" if why.startswith(f"Line {line} ") else f"  Line {line}: {why}"
                for line, why in samples[:TOLD]
            ]
            if failed > TOLD:
                said.append("  …")
        for part, why in self.broken:
            said.append(f"Part {part.number} (lines {part.first} to {part.last}) broke off: {why}")
        return "\n".join(said)

    @property
    def is_complete(self) -> bool:
        """Whether every line has its answer."""
        return sum(r.kept + r.answered for r in self.reports) == self.total and not self.broken
