"""The names that the guide's lines use, with the SDK's own objects behind them."""

import asyncio
import contextlib
import functools
import json
import pickle
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import openai
from openai import AsyncOpenAI, OpenAI

QUESTION: dict[str, Any] = {
    "model": "mock-chat",
    "messages": [{"role": "user", "content": "Say hello"}],
}


def lines() -> Iterator[str]:
    """A plain generator."""
    yield from ("one", "two")


async def stubborn() -> AsyncIterator[str]:
    """An async generator that yields when it should end."""
    try:
        yield "one"
    finally:
        yield "the end"


async def fails() -> None:
    """A task of this fails."""
    raise LookupError("no")


@contextlib.asynccontextmanager
async def session() -> AsyncIterator[str]:
    """What a library gives that has to be entered."""
    yield "open"


async def key() -> str:
    """What an async client takes in place of a key."""
    return "EMPTY"


def names_of(client: AsyncOpenAI, blocking: OpenAI) -> dict[str, Any]:
    """Return what stands in a cell before a line of the guide runs."""

    async def ask(prompt: str = "Say hello") -> str:
        reply = await client.chat.completions.create(
            model="mock-chat", messages=[{"role": "user", "content": prompt}]
        )
        return reply.choices[0].message.content or ""

    async def words() -> AsyncIterator[str]:
        async with await client.chat.completions.create(**QUESTION, stream=True) as stream:
            async for chunk in stream:
                if chunk.choices:
                    yield chunk.choices[0].delta.content or ""

    async def main() -> None:
        async with AsyncOpenAI() as own:
            await own.chat.completions.create(**QUESTION)

    for function in (ask, words, main):  # as in a cell, where they stand in no other function
        function.__qualname__ = function.__name__

    return {
        "AsyncOpenAI": AsyncOpenAI,
        "M": QUESTION,
        "OpenAI": OpenAI,
        "ask": ask,
        "asyncio": asyncio,
        "blocking": blocking,
        "client": client,
        "contextlib": contextlib,
        "fails": fails,
        "functools": functools,
        "httpx2": httpx2,
        "json": json,
        "key": key,
        "lines": lines,
        "main": main,
        "openai": openai,
        "pickle": pickle,
        "prompts": ["one", "two"],
        "session": session,
        "stubborn": stubborn,
        "time": time,
        "words": words,
    }
