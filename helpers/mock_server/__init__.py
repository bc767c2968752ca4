"""An OpenAI-compatible server for practice and for tests: `python -m helpers.mock_server`."""

VERSION = "0.1.0"
