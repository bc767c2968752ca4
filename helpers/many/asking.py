"""One process that asks: its client, its bound, its rate, and when a call is worth another try."""

import asyncio
import os
import random
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiolimiter import AsyncLimiter
from openai import (
    APIConnectionError,
    APIError,
    APIStatusError,
    AsyncOpenAI,
    AuthenticationError,
    DefaultAsyncHttpxClient,
)

from helpers.many.answers import PartFile
from helpers.many.prompts import BadLine, Part, Prompt, read_part

PASSES = 408, 409, 429
"""Statuses below 500 that another try may not meet."""

LONGEST_WAIT = 30.0
"""Seconds between two tries at most, where the server names no time."""

NAP = 0.25
"""Seconds after which a call that waits for its turn looks if the run goes on."""

IN_A_ROW = 20
"""Failures of the endpoint in a row, on top of those in flight, after which the run stops: it is
gone, and a million lines would only be tried for nothing."""

SAMPLES = 5
"""Failed lines of a part that are told; all of them stand in its file."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to ask. Goes to the workers of a cluster as it is."""

    base_url: str
    api_key: str = field(repr=False)
    """Empty where each process is to use the `OPENAI_API_KEY` of its own environment."""
    model: str
    bound: int
    """Calls in flight in each process."""
    retries: int
    """Further tries after a failure that may pass."""
    patience: float
    """Seconds for which a line is tried again while the server says 429."""
    deadline: float
    """Seconds for one try, from its start to the answer's end."""
    headers: dict[str, str] = field(default_factory=dict, repr=False)


@dataclass(slots=True)
class Report:
    """How a part ended."""

    part: int
    kept: int = 0
    """Answers that stood there already."""
    answered: int = 0
    failed: int = 0
    samples: list[tuple[int, str]] = field(default_factory=list)
    """Some of the failed lines, with the reason."""
    tokens: int = 0
    stopped: str = ""
    """Why it ended before its last line; empty if it did not."""
    broke: str = ""
    """The error that ended it on a cluster's worker; empty if none did."""

    def fail(self, file: PartFile, line: int, kind: str, reason: str) -> None:
        """Note a line that has no answer."""
        file.fail(line, kind, reason)
        self.failed += 1
        if len(self.samples) < SAMPLES:
            self.samples.append((line, reason))


class Stopped(Exception):
    """The run does not go on; a line that waited was not asked."""


class Desk:
    """Where one process asks: made inside the event loop that will use it, once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._open = AsyncExitStack()
        self._client: AsyncOpenAI | None = None
        self.bound = settings.bound
        self._places = asyncio.Semaphore(settings.bound)
        self._per_minute: float | None = None
        self._limiter: AsyncLimiter | None = None
        self._not_before = 0.0
        self._in_a_row = 0
        self.stopped = ""
        """Why no more is asked; empty as long as it goes on."""

    async def __aenter__(self) -> "Desk":
        settings = self._settings
        # Lesson 05: a pool as wide as the bound, and one party that tries again.
        http = DefaultAsyncHttpxClient()
        self._client = await self._open.enter_async_context(
            AsyncOpenAI(
                base_url=settings.base_url,
                api_key=settings.api_key or os.environ.get("OPENAI_API_KEY"),
                max_retries=0,
                timeout=settings.deadline,
                http_client=http,
                default_headers=settings.headers,
            )
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    def stop(self, why: str) -> None:
        """Begin no further call; those in flight are paid for, and come to their end."""
        self.stopped = self.stopped or why

    def keep_to(self, per_minute: float | None) -> None:
        """Begin no more calls a minute than this, spread evenly; None for any number."""
        if per_minute == self._per_minute:
            return
        self._per_minute = per_minute
        if per_minute is None:
            self._limiter = None
        else:
            # A second's worth may go at once: with a minute's worth, twice the rate would leave in
            # the first minute.
            burst = max(1.0, per_minute / 60)
            self._limiter = AsyncLimiter(burst, burst * 60 / per_minute)

    async def ask(self, prompt: Prompt) -> dict[str, Any]:
        """Return a line's answer as a row of the table.

        Raises:
            Stopped: nothing was asked, or nothing came, and the run does not go on.
            APIError, TimeoutError, ValueError: it has no answer.
        """
        async with self._places:
            return await self._try_until_answered(prompt)

    async def _try_until_answered(self, prompt: Prompt) -> dict[str, Any]:
        settings = self._settings
        began, tried = time.monotonic(), 0
        while True:
            await self._turn()
            try:
                async with asyncio.timeout(settings.deadline):
                    row = await self._call(prompt, tried)
            except (APIError, TimeoutError) as error:
                wait = _wait(error, tried)
                refused = isinstance(error, APIStatusError) and error.status_code == 429
                patient = time.monotonic() - began + (wait or 0) <= settings.patience
                if wait is None or not (patient if refused else tried < settings.retries):
                    self._judge(error)
                    raise
                tried += 1
                wait *= 1 + random.random() / 4  # those that failed together do not come together
                if refused:  # and for all of this process: asking on would be refused as well
                    self._not_before = max(self._not_before, time.monotonic() + wait)
                else:
                    await asyncio.sleep(wait)
            else:
                self._in_a_row = 0
                return row

    async def _turn(self) -> None:
        """Wait until another call may begin.

        Raises:
            Stopped: none may any more.
        """
        while not self.stopped:
            wait = self._not_before - time.monotonic()
            if wait <= 0:
                break
            # In short naps: meanwhile the moment may move, and the run may be stopped.
            await asyncio.sleep(min(wait * (1 + random.random()), NAP))
        if self._limiter is not None and not self.stopped:
            await self._limiter.acquire()
        if self.stopped:
            raise Stopped

    async def _call(self, prompt: Prompt, tried: int) -> dict[str, Any]:
        assert self._client is not None
        body = {"model": self._settings.model, **prompt.body}
        # As extra_body: what a line may hold is for the server to say, not for this SDK's version.
        reply = await self._client.chat.completions.create(
            model=body.pop("model"),
            messages=body.pop("messages"),
            extra_body=body,
            extra_headers={"x-stainless-retry-count": str(tried)},
        )
        return row_of(prompt.line, prompt.mark, prompt.id, reply.model_dump(mode="json"))

    def _judge(self, error: Exception) -> None:
        """Stop the run where no other line can fare better."""
        if isinstance(error, AuthenticationError):
            self.stop(f"The endpoint does not take the key: {in_words(error)}")
        elif isinstance(error, APIError) and error.code == "insufficient_quota":
            self.stop(f"The account has no budget left: {in_words(error)}")
        elif _speaks_of_the_endpoint(error):
            self._in_a_row += 1
            if self._in_a_row >= IN_A_ROW + self._settings.bound:
                self.stop(f"{self._in_a_row} lines in a row failed, the last by: {in_words(error)}")


def _speaks_of_the_endpoint(error: Exception) -> bool:
    if isinstance(error, APIStatusError):
        return error.status_code >= 500 or error.status_code in PASSES
    return isinstance(error, APIConnectionError | TimeoutError)


def _wait(error: Exception, tried: int) -> float | None:
    """Return the seconds to wait before another try, None where none can help."""
    if not _speaks_of_the_endpoint(error):
        return None
    if isinstance(error, APIStatusError):
        if error.code == "insufficient_quota":
            return None
        headers = error.response.headers
        for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
            try:
                return float(headers[name]) / unit
            except (KeyError, ValueError):  # there is none, or it is a date
                continue
    return float(min(LONGEST_WAIT, 0.5 * 2**tried))


def in_words(error: Exception) -> str:
    """Return an error as a line of text, with the cause that the SDK keeps behind it."""
    cause = error.__cause__
    behind = f" ({type(cause).__name__}: {cause})" if isinstance(error, APIConnectionError) else ""
    said = f"{type(error).__name__}: {error}{behind if cause else ''}"
    return " ".join(said.split())[:500]


def row_of(line: int, mark: str, id: Any, completion: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer as a row of the table.

    Raises:
        ValueError: a 200 without an answer in it.
    """
    try:
        choice = completion["choices"][0]
        message = choice["message"]
        answer = message["content"]
    except (KeyError, IndexError, TypeError):
        raise ValueError("The server said 200 and sent no answer (no choices in it).") from None
    row = {"line": line, "mark": mark, "id": id, "answer": answer}
    row |= {"finish_reason": choice.get("finish_reason"), "model": completion.get("model")}
    usage = completion.get("usage") or {}
    row |= {name: usage.get(name) for name in ("prompt_tokens", "completion_tokens")}
    if answer is None:  # calls of tools, or a refusal
        row["message"] = {name: value for name, value in message.items() if value}
    return row


async def answer_part(
    desk: Desk,
    source: Path,
    folder: Path,
    part: Part,
    options: Mapping[str, Any],
    tell: Callable[[int], None],
) -> Report:
    """Ask what is left of a part and append each answer when it comes.

    `tell`: called with the number of this part's answers whenever it has grown.

    Raises:
        OSError: the file of prompts cannot be read, or the part's not be written (a full disk).
        RunError: the part's file holds something else.
    """
    report = Report(part.number)
    async with PartFile(folder, part.number) as file:
        await set_aside_what_changed(file, source, part, options)
        report.kept = len(file.done)
        tell(report.kept)
        left = read_part(source, part, options)  # one iterator: each line goes to one of the tasks

        async def asker() -> None:
            for line in left:
                if desk.stopped:
                    return
                if isinstance(line, BadLine):
                    report.fail(file, line.line, "bad line", f"Line {line.line} {line.reason}")
                elif line.line not in file.done:
                    await answer(line)

        async def answer(prompt: Prompt) -> None:
            try:
                row = await desk.ask(prompt)
            except Stopped:
                return
            except (APIError, TimeoutError, ValueError) as error:
                report.fail(file, prompt.line, type(error).__name__, in_words(error))
                return
            try:
                file.write(row)
            except OSError as error:  # each further answer would be paid for and lost as well
                desk.stop(f"{file.path} cannot be written: {error.strerror}.")
                raise
            report.answered += 1
            report.tokens += row["completion_tokens"] or 0
            tell(report.kept + report.answered)

        ends = await asyncio.gather(
            *(asker() for _ in range(min(desk.bound, part.lines))), return_exceptions=True
        )
    for error in filter(None, ends):
        raise error
    report.stopped = desk.stopped
    return report


async def set_aside_what_changed(
    file: PartFile, source: Path, part: Part, options: Mapping[str, Any]
) -> None:
    """Take the answers out whose lines are no longer what they were; they stand aside."""
    if not file.done:
        return
    now = {
        line.line: line.mark
        for line in read_part(source, part, options)
        if isinstance(line, Prompt)
    }
    changed = {line for line, mark in file.done.items() if now.get(line) != mark}
    if changed:
        await file.set_aside(changed)
