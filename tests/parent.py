"""For programs that tests start: to end with the tests, also when those are killed."""

import os
import sys
import threading


def wait_for_the_parents_end() -> None:
    """Return when the parent has closed our standard input, or is gone."""
    parent = os.getppid()
    closed = threading.Event()

    def read_to_the_end() -> None:
        sys.stdin.buffer.read()
        closed.set()

    threading.Thread(target=read_to_the_end, daemon=True).start()
    # The pipe alone won't do where another child of the parent holds a copy of its other end.
    while not closed.wait(0.5) and os.getppid() == parent:
        pass
