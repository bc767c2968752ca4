"""`python -m tools.site` builds the site; with `--show` it serves the built one and opens it."""

import argparse
import sys
from pathlib import Path

from tools.site.build import SITE, build
from tools.site.show import show


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.site", description=__doc__)
    parser.add_argument("--show", action="store_true", help="serve the built site instead")
    parser.add_argument("--out", type=Path, default=SITE, help="its folder; build/site by default")
    options = parser.parse_args()
    if options.show:
        show(options.out)
        return
    try:
        build(options.out)
    except RuntimeError as error:
        sys.exit(str(error))
    print(f"The site stands in {options.out}; make site-open shows build/site.")


if __name__ == "__main__":
    main()
