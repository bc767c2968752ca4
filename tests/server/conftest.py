"""A mock server for tests of what it keeps: time, order, a journal."""

from collections.abc import Iterator

import httpx2
import pytest

from helpers.pytest_plugin import MockOpenAI
from helpers.pytest_plugin import mock_openai as mock_openai
from helpers.pytest_plugin import mock_openai_options as mock_openai_options
from helpers.pytest_plugin import mock_openai_server as mock_openai_server


@pytest.fixture
def http(mock_openai: MockOpenAI) -> Iterator[httpx2.Client]:
    """A plain client of the API."""
    with httpx2.Client(
        base_url=mock_openai.base_url,
        headers={"authorization": "Bearer mock"},
        trust_env=False,
        timeout=30.0,
    ) as client:
        yield client
