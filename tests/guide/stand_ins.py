"""The names that the guide's lines use, with nothing of the SDK behind them but its classes' names.

For a Python in which the SDK is not installed: where a text is Python's own, an object of that name
brings it about. Needs the standard library alone.
"""

import asyncio
import contextlib
import functools
import json
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from types import SimpleNamespace
from typing import Any


class Plain:
    """Of the blocking client: `with`, and `for`."""

    def __init__(self, **kept: Any) -> None:
        self.__dict__.update(kept)

    def __enter__(self) -> "Plain":
        return self

    def __exit__(self, *_: object) -> None: ...

    def __iter__(self) -> Iterator[Any]:
        return iter(())


class Async:
    """Of the async client: `async with`, and `async for`."""

    async def __aenter__(self) -> "Async":
        return self

    async def __aexit__(self, *_: object) -> None: ...


class AsyncStream(Async):
    def __aiter__(self) -> "AsyncStream":
        return self

    async def __anext__(self) -> Any:
        raise StopAsyncIteration


class AsyncPaginator(Async):
    def __aiter__(self) -> Any:
        return AsyncStream()

    def __await__(self) -> Generator[Any, None, Any]:
        yield from ()


class Stream(Plain):
    def __next__(self) -> Any:
        raise StopIteration


CHAT = "openai.lib.streaming.chat._completions"


def _named(name: str, base: type, module: str = "openai") -> Any:
    return type(name, (base,), {"__module__": module})


class ChatCompletion:
    choices: Any
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "ChatCompletion(id='…')"

    def __iter__(self) -> Iterator[Any]:
        return iter(())


def _answer() -> Any:
    answer = ChatCompletion()
    message = _named("ChatCompletionMessage", object)()
    message.content = "Hello"
    choice = _named("Choice", object)()
    choice.message = message
    answer.choices = [choice]
    return answer


class AsyncCompletions:
    async def create(self, *, stream: bool = False, **_: Any) -> Any:
        return AsyncStream() if stream else _answer()

    def stream(self, **_: Any) -> Any:
        return _named("AsyncChatCompletionStreamManager", Async, CHAT)()

    async def _raw(self, **_: Any) -> Any:
        raw = _named("LegacyAPIResponse", object)()
        raw.parse = _answer
        return raw

    @property
    def with_raw_response(self) -> Any:
        return SimpleNamespace(create=self._raw)

    @property
    def with_streaming_response(self) -> Any:
        kind = _named("AsyncResponseContextManager", Async, "openai._response")
        return SimpleNamespace(create=lambda **_: kind())


class Completions:
    def create(self, *, stream: bool = False, **_: Any) -> Any:
        return Stream() if stream else _answer()

    def stream(self, **_: Any) -> Any:
        return _named("ChatCompletionStreamManager", Plain, CHAT)()

    @property
    def with_raw_response(self) -> Any:
        return SimpleNamespace(create=lambda **_: _named("LegacyAPIResponse", object)())

    @property
    def with_streaming_response(self) -> Any:
        kind = _named("ResponseContextManager", Plain, "openai._response")
        return SimpleNamespace(create=lambda **_: kind())


def _always(name: str, base: type = Plain) -> Callable[..., Any]:
    return lambda **_: _named(name, base)()


class AsyncOpenAI(Async):
    def __init__(self) -> None:
        self.chat = SimpleNamespace(completions=AsyncCompletions())
        self.models = SimpleNamespace(list=AsyncPaginator)
        self.responses = SimpleNamespace(stream=_always("AsyncResponseStreamManager", Async))


class OpenAI(Plain):
    def __init__(self) -> None:
        self.chat = SimpleNamespace(completions=Completions())
        self.models = SimpleNamespace(list=_always("SyncPage[Model]"))
        self.responses = SimpleNamespace(create=_always("Response"))
        self.embeddings = SimpleNamespace(create=_always("CreateEmbeddingResponse"))


async def ask(prompt: str = "Say hello") -> str:
    await asyncio.sleep(0)
    return prompt


async def words() -> AsyncIterator[str]:
    await asyncio.sleep(0)
    yield "a"


def lines() -> Iterator[str]:
    yield "a"


@contextlib.asynccontextmanager
async def session() -> AsyncIterator[str]:
    yield "open"


async def stubborn() -> AsyncIterator[str]:
    try:
        yield "one"
    finally:
        yield "the end"


for _kind in (AsyncOpenAI, OpenAI, AsyncStream, Stream):
    _kind.__module__ = "openai"
ChatCompletion.__module__ = "openai.types.chat.chat_completion"


def names_of() -> dict[str, Any]:
    """Return what stands in a cell before a line of the guide runs."""
    return {
        "AsyncOpenAI": AsyncOpenAI,
        "M": {"model": "m"},
        "OpenAI": OpenAI,
        "ask": ask,
        "asyncio": asyncio,
        "blocking": OpenAI(),
        "client": AsyncOpenAI(),
        "functools": functools,
        "json": json,
        "lines": lines,
        "prompts": ["one", "two"],
        "session": session,
        "stubborn": stubborn,
        "words": words,
    }
