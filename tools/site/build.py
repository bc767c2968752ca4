"""Lays the pages' sources side by side and hands them to Sphinx."""

import shutil
from pathlib import Path

from tools.site import ROOT, places

SITE = ROOT / "build" / "site"

LITE = "lite"
"""The folder of the site that another build fills, with the edition that runs in the browser."""


def build(out: Path = SITE) -> None:
    """Build the site into `out`. Warnings are errors; the network is not needed.

    Raises:
        RuntimeError: Sphinx found fault with a page; it has said with which.
    """
    from sphinx.cmd.build import build_main

    source = out.with_name(f"{out.name}-source")
    lay_out(source)
    empty(out)
    options = ["--fail-on-warning", "--keep-going", "--fresh-env", "--quiet", "--builder", "html"]
    settings = ["--conf-dir", str(ROOT / "site"), "--doctree-dir", str(source / ".doctrees")]
    if build_main([*options, *settings, str(source), str(out)]) != 0:
        raise RuntimeError("The site was not built: Sphinx says above what is wrong.")
    for path in lessons():
        shutil.copy(path, out / "notebooks")  # to be downloaded


def lessons() -> list[Path]:
    """Return the course's notebooks, in order."""
    return sorted((ROOT / "notebooks").glob("*.ipynb"))


def lay_out(source: Path) -> None:
    """Copy what becomes pages into a new folder `source`, as it lies in the repository.

    But for what stands in `site/`, which goes to the top: the front page takes its links from
    README, and so must stand where README does.
    """
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    shutil.copy(ROOT / "README.md", source)
    for page in places.OWN:
        shutil.copy(ROOT / "site" / page, source)
    shutil.copytree(ROOT / "docs", source / "docs")
    for file in places.linked(ROOT):
        (source / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, source / file)
    (source / "notebooks").mkdir()
    for path in lessons():
        shutil.copy(path, source / "notebooks")


def empty(out: Path) -> None:
    """Take away what an earlier build left in `out`, except the edition for the browser."""
    for path in out.glob("*"):
        if path.is_dir() and path.name != LITE:
            shutil.rmtree(path)
        elif path.is_file():
            path.unlink()
