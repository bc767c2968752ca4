"""The site, built once with all that it can have: a public source, an edition in the browser."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from tests.needs import missing
from tools.site import ROOT
from tools.site.build import LITE
from tools.site.show import served

REPOSITORY = "https://example.org/somebody/awaited"


@dataclass(frozen=True)
class Site:
    """A built site: its folder, and where it is served."""

    folder: Path
    address: str

    def page(self, name: str) -> BeautifulSoup:
        """Return a page as an HTML parser reads it; `name` is as in its address."""
        return BeautifulSoup((self.folder / name).read_text("utf-8"), "html.parser")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if importlib.util.find_spec("furo") is None:
        missing("the site's builder", "install the extra `site`, as `make browser` does")
    folder = tmp_path_factory.mktemp("built") / "site"
    edition = folder / LITE
    (edition / "lab").mkdir(parents=True)
    for page in ("index.html", "lab/index.html"):
        (edition / page).write_text("<!doctype html><title>A stand-in</title>", "utf-8")
    (folder / "left-over.html").write_text("of an earlier build", "utf-8")
    ended = subprocess.run(
        [sys.executable, "-m", "tools.site", "--out", str(folder)],
        cwd=ROOT,
        env=os.environ | {"SITE_REPOSITORY": REPOSITORY},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    with served(folder) as address:
        yield Site(folder, address)
