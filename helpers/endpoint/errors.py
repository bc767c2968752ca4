"""What is raised where an endpoint cannot be used: a sentence, and in a notebook nothing else."""

import contextlib
import os
from collections.abc import Iterator

import httpx2

MACHINE_SETTINGS = ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")


class EndpointError(RuntimeError):
    """The endpoint cannot be used as it is set; the message says why and what to do."""

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows: the message alone, which is about settings and not code."""
        return [f"\x1b[31m{type(self).__name__}\x1b[39m: {self}"]


@contextlib.contextmanager
def machine_settings() -> Iterator[None]:
    """Say which settings to look at where no client can be made: its proxy's or certificates'.

    Raises:
        EndpointError: they cannot be used.
    """
    try:
        yield
    except (ImportError, ValueError, OSError, httpx2.InvalidURL) as error:
        names = [name for name in (*MACHINE_SETTINGS, "NO_PROXY") if _is_set(name)]
        raise EndpointError(
            f"This machine's proxy or certificate settings cannot be used ({reason(error)}). "
            f"Look at {', '.join(names or MACHINE_SETTINGS)}."
        ) from None


@contextlib.contextmanager
def a_mock_server_that_answers(advice: str) -> Iterator[None]:
    """Say that the mock server is silent or gone, and `advice`, where a question fails.

    Raises:
        EndpointError: no answer came, or none of a mock server's.
    """
    try:
        yield
    except httpx2.TimeoutException:
        problem = "did not answer in time: it is stopped, frozen or overloaded"
    except httpx2.TransportError as error:
        problem = f"does not answer any more ({reason(error)})"
    else:
        return
    raise EndpointError(f"The mock server {problem}. {advice}")


def reason(error: Exception) -> str:
    """Return what an error says, or its name where it says nothing."""
    return str(error) or type(error).__name__


def _is_set(name: str) -> bool:
    return any(name.upper() == there.upper() for there in os.environ)
