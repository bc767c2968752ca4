"""Counts and names the requests that a stretch of code sends, on any endpoint and with any of the
SDK's clients: the SDK logs each try, in the context of the code that caused it."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_LOGGER = logging.getLogger("openai._base_client")
_SENDING = "Sending HTTP Request"
_ANSWERED = "request_id: %s"
_lock = threading.Lock()
_listeners = 0
_level_before = logging.NOTSET


class Counter:
    """How many requests have been sent so far, retries included; and what the server called them.

    A server names a request in its answer's head, so one that never had an answer is not named.
    """

    __slots__ = ("names", "sent")

    def __init__(self) -> None:
        self.sent = 0
        self.names: list[str] = []


_counter: ContextVar[Counter | None] = ContextVar("requests_sent", default=None)


def count_here(counter: Counter) -> None:
    """From now on, in this context (a task, and the threads it calls), count into `counter`."""
    _counter.set(counter)


@contextmanager
def listening() -> Iterator[None]:
    """Have the SDK's messages read; what was not to be shown before is still not shown."""
    global _listeners, _level_before
    with _lock:
        _listeners += 1
        if _listeners == 1:
            _level_before = _LOGGER.level
            _filter.shown_from = _LOGGER.getEffectiveLevel()
            _LOGGER.addFilter(_filter)
            _LOGGER.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        with _lock:
            _listeners -= 1
            if _listeners == 0:
                _LOGGER.setLevel(_level_before)
                _LOGGER.removeFilter(_filter)


class _Reader(logging.Filter):
    shown_from = logging.WARNING

    def filter(self, record: logging.LogRecord) -> bool:
        counter = _counter.get()
        if counter is not None and str(record.msg).startswith(_SENDING):
            counter.sent += 1
        elif counter is not None and record.msg == _ANSWERED and isinstance(record.args, tuple):
            counter.names.extend(str(name) for name in record.args if name)
        return record.levelno >= self.shown_from


_filter = _Reader()
