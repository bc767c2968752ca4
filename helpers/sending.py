"""Hears which requests a stretch of code sends, on any endpoint and with any of the SDK's clients.

The SDK and the HTTP library under it log each try, in the context of the code that caused it.
"""

import asyncio
import logging
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar

_BEGINS = "Sending HTTP Request"
"""The SDK's, before there is a connection: the server may never hear of it."""
_LEFT = "send_request_body.complete"
"""The HTTP library's, with the last byte. aiohttp says nothing of the kind."""
_ANSWERED = "request_id: %s"
"""The SDK's, with the answer's head."""

_NOT_GIVEN = re.compile(r"Task-\d+")
"""asyncio's own name for a task that was given none."""


class Counter:
    """How many requests have left for the server so far, retries included; and their names there.

    A server names a request in its answer's head, so one that never had an answer is not named.
    """

    __slots__ = ("names", "sent")

    def __init__(self) -> None:
        self.sent = 0
        self.names: list[str] = []


_counter: ContextVar[Counter | None] = ContextVar("requests_sent", default=None)
_counted: ContextVar[bool] = ContextVar("this_try_was_counted", default=False)
_books: list[dict[str, str]] = []


def count_here(counter: Counter) -> None:
    """From now on, in this context (a task, and the threads it calls), count into `counter`."""
    _counter.set(counter)


@contextmanager
def counting() -> Iterator[None]:
    """Have the requests counted of all who asked for it by `count_here`."""
    with ExitStack() as ears:
        for ear in (_SDK, *_WIRES):
            ears.enter_context(ear.open())
        yield


@contextmanager
def naming() -> Iterator[dict[str, str]]:
    """Give a book that fills with the names of the tasks that sent a request, by `request_id`.

    A task has a name when it was given one: `create_task(…, name="haiku")`.
    """
    book: dict[str, str] = {}
    with _SDK.open():
        _books.append(book)
        try:
            yield book
        finally:
            _books[:] = [other for other in _books if other is not book]


def _sdk_said(record: logging.LogRecord) -> None:
    if str(record.msg).startswith(_BEGINS):
        _counted.set(False)
    elif record.msg == _ANSWERED and isinstance(record.args, tuple):
        _count()
        names = [str(name) for name in record.args if name]
        if (counter := _counter.get()) is not None:
            counter.names.extend(names)
        if (task := _task_name()) is not None:
            for book in _books:
                book.update(dict.fromkeys(names, task))


def _wire_said(record: logging.LogRecord) -> None:
    if record.msg == _LEFT:
        _count()


def _count() -> None:
    counter = _counter.get()
    if counter is not None and not _counted.get():
        _counted.set(True)
        counter.sent += 1


def _task_name() -> str | None:
    try:
        task = asyncio.current_task()
    except RuntimeError:  # a thread without an event loop
        return None
    if task is None or _NOT_GIVEN.fullmatch(task.get_name()):
        return None
    return task.get_name()


class _Ear(logging.Filter):
    """Reads a logger's messages while anybody listens; what was not to be shown still is not."""

    def __init__(self, logger: str, heard: Callable[[logging.LogRecord], None]) -> None:
        super().__init__()
        self._logger = logging.getLogger(logger)
        self._heard = heard
        self._lock = threading.Lock()
        self._listeners = 0
        self._level_before = logging.NOTSET
        self._shown_from = logging.WARNING

    @contextmanager
    def open(self) -> Iterator[None]:
        with self._lock:
            self._listeners += 1
            if self._listeners == 1:
                self._level_before = self._logger.level
                self._shown_from = self._logger.getEffectiveLevel()
                self._logger.addFilter(self)
                self._logger.setLevel(logging.DEBUG)
        try:
            yield
        finally:
            with self._lock:
                self._listeners -= 1
                if self._listeners == 0:
                    self._logger.setLevel(self._level_before)
                    self._logger.removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        self._heard(record)
        return record.levelno >= self._shown_from


_SDK = _Ear("openai._base_client", _sdk_said)
_WIRES = [
    _Ear("httpcore2.http11", _wire_said),
    _Ear("httpcore2.http2", _wire_said),
    _Ear("helpers.mock_server.inside", _wire_said),  # the server in this process
]
