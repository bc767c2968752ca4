"""What every test file is held to."""

import gc
from collections.abc import Iterator

import pytest

from tests.pace import expect_the_tests_pace

collect_ignore = ["clients"]
"""Their environments are others: `make clients`."""


@pytest.fixture(autouse=True, scope="module")
def _nothing_left_open() -> Iterator[None]:
    """A socket or pipe that a file's tests leave open is that file's error.

    Collected here, at the file's end: elsewhere the warning, an error in these tests, strikes
    whichever test the collector happens to run in.

    What stood before the file is no garbage of its tests, and is not looked through again: a
    collection of all that pytest and the libraries have loaded takes longer than the answers whose
    overlap some tests judge, holds up event loop and threads, and a check ends with one.
    """
    gc.freeze()
    yield
    gc.collect()


@pytest.fixture(autouse=True, scope="module")
def _pace_as_found() -> Iterator[None]:
    yield
    expect_the_tests_pace()
