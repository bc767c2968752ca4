"""A kernel whose port was taken is started once more, and any other failure is told."""

import pytest
from nbval import kernel

from tests.kernels import with_a_second_try


class Starts:
    """Starts kernels, of which the first so many fail."""

    def __init__(self, failing: int, word: str) -> None:
        self.failing, self.word, self.tries = failing, word, 0

    def __call__(self, **_: object) -> str:
        self.tries += 1
        if self.tries <= self.failing:
            raise RuntimeError(self.word)
        return "a kernel"


DIED = "Kernel died before replying to kernel_info"


def test_a_kernel_that_died_at_once_is_started_once_more() -> None:
    starts = Starts(1, DIED)
    assert with_a_second_try(starts)(cwd=".") == "a kernel"
    assert starts.tries == 2


@pytest.mark.parametrize(("word", "tries"), [(DIED, 2), ("Kernel didn't respond in 60 s", 1)])
def test_a_kernel_that_cannot_start_fails(word: str, tries: int) -> None:
    starts = Starts(9, word)
    with pytest.raises(RuntimeError, match=word):
        with_a_second_try(starts)()
    assert starts.tries == tries


def test_nbval_starts_its_kernels_so() -> None:
    assert kernel.start_new_kernel.__name__ == "start_new_kernel"
    assert hasattr(kernel.start_new_kernel, "__wrapped__")
