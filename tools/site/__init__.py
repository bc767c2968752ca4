"""Builds the site from the stored lessons, `docs/`, README and `site/`: `python -m tools.site`."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
