"""What every test file is held to."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def _nothing_left_open() -> Iterator[None]:
    """A socket or pipe that a file's tests leave open is that file's error.

    Collected here, at the file's end: elsewhere the warning, an error in these tests, strikes
    whichever test the collector happens to run in.
    """
    yield
    gc.collect()
