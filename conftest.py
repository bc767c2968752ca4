"""Settings for every test run: the mock server, fast, whatever the machine's environment says."""

import os
from pathlib import Path

import pytest

PACE = "0.1"
"""A tenth of the pace for people: a streamed answer takes some 0.15 s, so a notebook costs a few
seconds, while waits stay long enough to tell what waited for what."""


def pytest_configure(config: pytest.Config) -> None:
    os.environ.setdefault("MOCK_PACE", PACE)
    # Set, though empty: that wins over a `.env` file that a maintainer may have.
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_MODEL"):
        os.environ[name] = ""
    os.environ["AWAITED_PROGRESS"] = ""  # a test must not pass a learner's exercises
    # The kernels that nbval starts stand in notebooks/, not here.
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    if config.pluginmanager.hasplugin("nbval"):  # the tests of other people's clients lack it,
        from nbval import kernel

        from tests.kernels import with_a_second_try  # and have `tests` of their own

        kernel.start_new_kernel = with_a_second_try(kernel.start_new_kernel)
