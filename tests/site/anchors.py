"""The field guide's published anchors; `python -m tests.site.anchors` adds the built site's."""

import re
from pathlib import Path

from tools.site.build import SITE

LIST = Path(__file__).with_name("anchors.txt")


def published() -> list[str]:
    return LIST.read_text("utf-8").split()


def main() -> None:
    page = (SITE / "docs" / "field-guide.html").read_text("utf-8")
    today = re.findall(r'class="row-link" href="#([^"]+)"', page)
    assert today, "Build the site first: make site"
    LIST.write_text("\n".join(sorted({*published(), *today})) + "\n", "utf-8")


if __name__ == "__main__":
    main()
