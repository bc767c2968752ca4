"""Builds the site from the stored lessons, `docs/`, README and `site/`: `python -m tools.site`."""

from tools.notebooks import ROOT as ROOT
