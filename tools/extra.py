"""Print the requirements of one of the project's extras, a line each, for pip."""

import sys
from importlib.metadata import requires

from packaging.requirements import Requirement


def requirements(extra: str) -> list[str]:
    """Return what `pyproject.toml` declares under `extra`, without its marker."""
    declared = [Requirement(line) for line in requires("awaited") or []]
    return [
        f"{each.name}{each.specifier}"
        for each in declared
        if each.marker
        and each.marker.evaluate({"extra": extra})
        and not each.marker.evaluate({"extra": ""})
    ]


if __name__ == "__main__":
    print("\n".join(requirements(sys.argv[1])))
