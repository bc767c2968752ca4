"""A mock server for tests of what it keeps: time, order, a journal."""

from helpers.pytest_plugin import mock_openai as mock_openai
from helpers.pytest_plugin import mock_openai_options as mock_openai_options
from helpers.pytest_plugin import mock_openai_server as mock_openai_server
