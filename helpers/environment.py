"""Says whether this Python and its packages are what the course needs, a line for each thing."""

# An old Python must be able to read this module, to hear that it is old.
from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import metadata
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

COURSE = "awaited"
NAMED = ("openai", "ipykernel")
"""The packages that the lessons are about get a line each; the others share one."""

EXTRAS = ("", "web", "tools", "engine")
"""What the lessons need: the course itself, lesson 10's web framework, lesson 12's tools, and the
engine of lesson 13."""

REPAIR = (
    'To repair: run `%pip install -c ../constraints.txt -e "..[web,tools,engine]"` in a cell, '
    "then choose Kernel > Restart."
)
NEWER_PYTHON = "To repair: install a newer Python, then set the course up again with it."


class Finding(NamedTuple):
    """One thing that the course needs, in a sentence, and whether it is there."""

    good: bool
    says: str


class Environment(NamedTuple):
    """What was found. A notebook shows it as text."""

    findings: tuple[Finding, ...]
    repair: str = ""

    @property
    def good(self) -> bool:
        """Whether everything is there."""
        return all(finding.good for finding in self.findings)

    def __repr__(self) -> str:
        lines = [f"{'ok' if good else 'not ok':<8}{says}" for good, says in self.findings]
        return "\n".join([*lines, self.repair] if self.repair else lines)


def check_environment() -> Environment:
    """Compare this Python and the installed packages with what the course declares it needs."""
    python = "{}.{}.{}".format(*sys.version_info)
    try:
        course = metadata.metadata(COURSE)
    except metadata.PackageNotFoundError:
        missing = Finding(False, "The course itself is not installed in this notebook's Python.")
        return Environment((missing,), REPAIR)
    declared = [Requirement(line) for line in metadata.requires(COURSE) or []]
    return examine(python, SpecifierSet(course["Requires-Python"]), declared)


def examine(
    python: str, needed_python: SpecifierSet, declared: Sequence[Requirement]
) -> Environment:
    """Compare a Python version and the installed packages with what is declared."""
    named: dict[str, Finding] = {}
    others: list[Finding] = []
    # In a web page no lesson that runs needs one.
    extras = EXTRAS if sys.platform != "emscripten" else ("",)
    for each in declared:
        if each.marker and not any(each.marker.evaluate({"extra": name}) for name in extras):
            continue
        finding = _finding(each.name, _installed(each.name), each.specifier)
        if each.name in NAMED:
            named[each.name] = finding
        else:
            others.append(finding)
    bad = [finding for finding in others if not finding.good]
    rest = bad or [Finding(True, "the other packages that the course uses")]
    first = _finding("Python", python, needed_python)
    findings = (first, *(named[name] for name in NAMED if name in named), *rest)
    if all(finding.good for finding in findings):
        return Environment(findings)
    return Environment(findings, REPAIR if first.good else NEWER_PYTHON)


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _finding(name: str, version: str, needed: SpecifierSet) -> Finding:
    wanted = _in_words(needed)
    if not version:
        return Finding(False, f"{name} is not installed; the course needs {wanted}.")
    if needed.contains(version, prereleases=True):
        return Finding(True, f"{name} {wanted}")
    lowest = [Version(each.version) for each in needed if each.operator == ">="]
    old = any(Version(version) < bound for bound in lowest)
    problem = "too old" if old else "newer than the course knows"
    return Finding(False, f"{name} {version} is {problem}; the course needs {wanted}.")


def _in_words(needed: SpecifierSet) -> str:
    """Return ">=3.54,<4" as "3.54 or newer, below 4"."""
    words = {">=": "{} or newer", "<": "below {}", "==": "{}"}
    ordered = sorted(needed, key=lambda each: each.operator != ">=")
    said = [words.get(e.operator, e.operator + "{}").format(e.version) for e in ordered]
    return ", ".join(said) or "any version"
