"""The same lines through the Batch API: files up, a wait, files down, into the same folder."""

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import IO, Any, Final

from openai import AsyncOpenAI
from openai.types import Batch

from helpers.many.answers import PartFile, RunError
from helpers.many.asking import Report, row_of, set_aside_what_changed
from helpers.many.interrupt import on_interrupt
from helpers.many.plan import Plan
from helpers.many.progress import Progress
from helpers.many.prompts import BadLine, Part, Prompt, read_part

ENDPOINT: Final = "/v1/chat/completions"
NOTES = "batches.jsonl"

MOST_LINES = 50_000
"""Requests in a batch, as OpenAI has it."""

MOST_BYTES = 25_000_000
"""Bytes of a batch's file, in memory while it goes up. OpenAI takes 200 MB, others less."""

LOOKED_AT = 100
"""The newest batches among which one is looked for that was begun and could not be noted."""

OVER = ("completed", "failed", "expired", "cancelled")


@dataclass(slots=True)
class _Begun:
    """A batch of this job, at the provider."""

    id: str
    first: int
    last: int
    """Its lines: all of these that had no answer when it began."""


async def run(
    plan: Plan, job: str, parts: Sequence[Part], progress: Progress, poll: float, most_lines: int
) -> str:
    """Answer all parts by batches; returns why the run ended early, an empty text if it did not.

    A run that was broken off finds its batches again, and begins none for their lines.

    Raises:
        RunError: a batch cannot be begun.
        APIError: the endpoint does not do what it is asked.
    """
    settings = plan.settings
    async with AsyncOpenAI(
        base_url=settings.base_url, api_key=settings.api_key, default_headers=settings.headers
    ) as client:
        stopped = asyncio.Event()
        with on_interrupt(stopped.set):
            work = _Batches(client, plan, job, parts, progress)
            await work.find()
            await work.begin(most_lines)
            await work.wait(stopped, poll)
        work.count_up()
        if stopped.is_set() and work.open:
            return (
                f"interrupted; {len(work.open)} batches go on at the provider. Run the same "
                "command again to fetch their answers."
            )
        return ""


class _Batches:
    """The batches of a job: those that are under way, and what came of them."""

    def __init__(
        self, client: AsyncOpenAI, plan: Plan, job: str, parts: Sequence[Part], progress: Progress
    ) -> None:
        self._client = client
        self._plan = plan
        self._job = job
        self._parts = parts
        self._progress = progress
        self._notes = plan.folder / NOTES
        self._reports = {part.number: Report(part.number) for part in parts}
        self.open: dict[str, _Begun] = {}

    # --- those of earlier runs ---

    async def find(self) -> None:
        """Find the batches of this job that were begun and not fetched yet."""
        fetched: set[str] = set()
        if self._notes.exists():
            for line in self._notes.read_text("utf-8").splitlines():
                note = json.loads(line)
                if note["what"] == "begun":
                    self.open[note["id"]] = _Begun(note["id"], note["first"], note["last"])
                else:
                    fetched.add(note["id"])
        # A run that died between a batch's beginning and its note has paid for it all the same.
        looked = 0
        async for batch in self._client.batches.list(limit=LOOKED_AT):
            looked += 1
            told = batch.metadata or {}
            if told.get("job") == self._job and batch.id not in self.open:
                self._note("begun", batch.id, int(told["first"]), int(told["last"]))
            if looked == LOOKED_AT:
                break
        for known in fetched:
            self.open.pop(known, None)
        if self.open:
            print(f"{len(self.open)} batches of an earlier run are not fetched yet: no new ones "
                  "for their lines.")  # fmt: skip

    def _note(self, what: str, id: str, first: int = 0, last: int = 0) -> None:
        with self._notes.open("a", encoding="utf-8") as notes:
            notes.write(json.dumps({"what": what, "id": id, "first": first, "last": last}) + "\n")
        if what == "begun":
            self.open[id] = _Begun(id, first, last)

    # --- new ones ---

    async def begin(self, most_lines: int) -> None:
        """Begin batches for all lines that have no answer and are in no batch."""
        with tempfile.TemporaryFile() as file:
            count = first = last = 0
            async for prompt in self._left():
                line = json.dumps(self._request(prompt), ensure_ascii=False).encode() + b"\n"
                if count and (count == most_lines or file.tell() + len(line) > MOST_BYTES):
                    await self._begin_one(file, first, last)
                    count = 0
                if not count:
                    first = prompt.line
                file.write(line)
                count, last = count + 1, prompt.line
            if count:
                await self._begin_one(file, first, last)

    async def _left(self) -> AsyncIterator[Prompt]:
        ranges = [(begun.first, begun.last) for begun in self.open.values()]
        for part in self._parts:
            async with PartFile(self._plan.folder, part.number) as file:
                await set_aside_what_changed(file, self._plan.source, part, self._plan.options)
                report = self._reports[part.number]
                report.kept = len(file.done)
                self._progress.tell(part.number, report.kept)
                for line in read_part(self._plan.source, part, self._plan.options):
                    if isinstance(line, BadLine):
                        said = f"Line {line.line} {line.reason}"
                        report.fail(file, line.line, "bad line", said)
                    elif line.line not in file.done and not any(
                        first <= line.line <= last for first, last in ranges
                    ):
                        yield line

    def _request(self, prompt: Prompt) -> dict[str, Any]:
        return {
            "custom_id": f"line-{prompt.line}-{prompt.mark}",
            "method": "POST",
            "url": ENDPOINT,
            "body": {"model": self._plan.settings.model, **prompt.body},
        }

    async def _begin_one(self, file: IO[bytes], first: int, last: int) -> None:
        file.seek(0)
        name = f"lines-{first}-{last}.jsonl"
        uploaded = await self._client.files.create(file=(name, file.read()), purpose="batch")
        batch = await self._client.batches.create(
            input_file_id=uploaded.id,
            endpoint=ENDPOINT,
            completion_window="24h",
            metadata={"job": self._job, "first": str(first), "last": str(last)},
        )
        self._note("begun", batch.id, first, last)
        _say(f"{batch.id}: lines {first} to {last}")
        file.seek(0)
        file.truncate()

    # --- their end ---

    async def wait(self, stopped: asyncio.Event, poll: float) -> None:
        """Wait for the batches to end and fetch what came, until all are or nobody waits."""
        shown: dict[str, str] = {}
        while self.open and not stopped.is_set():
            for id in list(self.open):
                batch = await self._client.batches.retrieve(id)
                if shown.get(id) != batch.status:
                    shown[id] = batch.status
                    _say(f"{id}: {batch.status}")
                if batch.status in OVER:
                    await self._fetch(batch)
            if self.open:
                try:
                    await asyncio.wait_for(stopped.wait(), poll)
                except TimeoutError:
                    continue

    async def _fetch(self, batch: Batch) -> None:
        if batch.errors and batch.errors.data:
            first = batch.errors.data[0]
            where = f" (line {first.line} of its file)" if first.line else ""
            self._progress.broke(
                self._part_of(self.open[batch.id].first).number,
                f"{batch.id} failed: {first.message}{where} Its lines were not asked.",
            )
        async with AsyncExitStack() as files:
            at_hand: dict[int, PartFile] = {}
            for id in (batch.output_file_id, batch.error_file_id):
                if id is not None:
                    async for line in self._lines(id):
                        await self._take(line, at_hand, files)
        self._note("fetched", batch.id)
        del self.open[batch.id]

    async def _lines(self, file: str) -> AsyncIterator[dict[str, Any]]:
        """Yield a file's lines as they come: an output file may be larger than memory."""
        content = self._client.files.with_streaming_response.content(file)
        async with content as response:
            async for line in response.iter_lines():
                if line.strip():
                    yield json.loads(line)

    async def _take(
        self, told: dict[str, Any], at_hand: dict[int, PartFile], files: AsyncExitStack
    ) -> None:
        _, number, mark = told["custom_id"].split("-")
        line = int(number)
        part = self._part_of(line)
        if part.number not in at_hand:
            opened = PartFile(self._plan.folder, part.number, keeps_errors=True)
            at_hand[part.number] = await files.enter_async_context(opened)
        file, report = at_hand[part.number], self._reports[part.number]
        if line in file.done:
            return  # fetched by a run that died before it could note so
        response, error = told.get("response"), told.get("error")
        if response is None or response["status_code"] != 200:
            kind, reason = _failure(response, error)
            report.fail(file, line, kind, reason)
            return
        id = self._ids(part).get(line)
        try:
            row = row_of(line, mark, id, response["body"])
        except ValueError as problem:
            report.fail(file, line, "ValueError", str(problem))
            return
        file.write(row)
        report.answered += 1
        report.tokens += row["completion_tokens"] or 0
        self._progress.tell(part.number, report.kept + report.answered)

    def _ids(self, part: Part) -> dict[int, Any]:
        """Return the `id` of each of a part's lines, which the provider has not been told."""
        if self._ids_of != part.number:
            lines = read_part(self._plan.source, part, self._plan.options)
            self._known = {line.line: line.id for line in lines if isinstance(line, Prompt)}
            self._ids_of = part.number
        return self._known

    _ids_of = 0
    _known: dict[int, Any]

    def _part_of(self, line: int) -> Part:
        size = self._parts[0].lines
        if not 1 <= line <= self._parts[-1].last:
            raise RunError(f"A batch of this job answers line {line}, which is not in the file.")
        return self._parts[(line - 1) // size]

    def count_up(self) -> None:
        """Tell how each part stands."""
        for report in self._reports.values():
            self._progress.ended(report)


def _say(text: str) -> None:
    """Tell how it goes: beside the bar, and not among the last words."""
    print(text, file=sys.stderr)


def _failure(response: dict[str, Any] | None, error: dict[str, Any] | None) -> tuple[str, str]:
    if response is None:
        told = error or {}
        return told.get("code") or "no response", told.get("message") or "It has no response."
    said = (response.get("body") or {}).get("error") or {}
    return f"status {response['status_code']}", str(said.get("message") or response["body"])
