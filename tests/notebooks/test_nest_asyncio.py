"""`nest_asyncio` is shown in lesson 06, in kernels of its own, and used nowhere."""

import re
from pathlib import Path

import pytest

from tools import notebooks

IMPORT = re.compile(r"^\s*(?:import|from)\b.*\bnest_asyncio", re.MULTILINE)


def test_no_module_imports_it() -> None:
    modules = [
        *(notebooks.ROOT / "helpers").rglob("*.py"),
        *(notebooks.ROOT / "tools").glob("*.py"),
    ]
    assert modules
    assert [path.name for path in modules if IMPORT.search(path.read_text("utf-8"))] == []


@pytest.mark.parametrize("path", notebooks.paths(), ids=lambda path: path.stem)
def test_no_kernel_of_a_lesson_imports_it(path: Path) -> None:
    source = "\n".join(c.source for c in notebooks.read(path).cells if c.cell_type == "code")
    outside_strings = re.sub(r'""".*?"""', "", source, flags=re.DOTALL)
    assert not IMPORT.search(outside_strings)
    assert "nest_asyncio" not in source or path.stem.startswith("06")
