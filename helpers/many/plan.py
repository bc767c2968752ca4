"""What a run is to do: which file, which folder, how."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helpers.many.asking import Settings


@dataclass(frozen=True, slots=True)
class Plan:
    """A run, as the command line has it."""

    source: Path
    folder: Path
    options: dict[str, Any]
    """What goes into each request that does not say it itself."""
    settings: Settings
    per_minute: float | None
    """Calls that all processes together may begin in a minute."""
