"""An IPython without a notebook around it: to show things in, and to break cells in."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.instruments.broken_cells import SET_UP
from tests.instruments.cells import Cells, cells_of


@pytest.fixture
def in_ipython(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Run the test inside IPython; return a function that tells what was displayed so far."""
    from IPython.core.displaypub import CapturingDisplayPublisher
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    publisher = CapturingDisplayPublisher()
    monkeypatch.setattr(shell, "display_pub", publisher)
    monkeypatch.setattr("builtins.get_ipython", lambda: shell, raising=False)
    yield lambda: [output["data"] for output in publisher.outputs]
    InteractiveShell.clear_instance()


@pytest.fixture(scope="module")
def the_cells() -> Iterator[Cells]:
    yield from cells_of(SET_UP)


@pytest.fixture
def cells(the_cells: Cells) -> Cells:
    """The same, and nothing that another test has left."""
    the_cells.afresh()
    return the_cells
