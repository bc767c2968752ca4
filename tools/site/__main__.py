"""`python -m tools.site` builds the site; with `--show` it serves what is built, and opens it."""

import argparse
import sys

from tools.site.build import SITE, build
from tools.site.show import show


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.site", description=__doc__)
    parser.add_argument("--show", action="store_true", help="serve build/site on this machine")
    if parser.parse_args().show:
        show(SITE)
        return
    try:
        build()
    except RuntimeError as error:
        sys.exit(str(error))
    print(f"The site stands in {SITE.relative_to(SITE.parents[1])}: make site-open shows it.")


if __name__ == "__main__":
    main()
