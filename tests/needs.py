"""What a test does when the machine lacks something it needs."""

import os
from typing import NoReturn

import pytest


def missing(what: str, remedy: str) -> NoReturn:
    """Skip the test; on a CI machine fail it, since nobody reads what was skipped there."""
    sentence = f"{what} is missing; {remedy}"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)
