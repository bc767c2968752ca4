"""An IPython to show things in, without a notebook around it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest


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
