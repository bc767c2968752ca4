"""The kernels in which nbval runs the notebooks."""

from collections.abc import Callable
from functools import wraps
from typing import Any


def with_a_second_try(start: Callable[..., Any]) -> Callable[..., Any]:
    """Return `start`, which tries once more where a kernel died before it said a word.

    Jupyter looks for free ports and lets go of them; the kernel takes them when it is up. A test
    that runs beside may have taken one meanwhile (jupyter_client#154).
    """

    @wraps(start)
    def start_with_a_second_try(*args: Any, **options: Any) -> Any:
        try:
            return start(*args, **options)
        except RuntimeError as error:
            if "Kernel died" not in str(error):
                raise
            return start(*args, **options)

    return start_with_a_second_try
