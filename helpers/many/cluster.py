"""The parts on the workers of a dask cluster, whose scheduler has an address.

dask.distributed is the extra `engine` of this project; only this module imports it.
"""

import asyncio
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from secrets import token_hex
from typing import Any

from helpers.many.answers import RunError
from helpers.many.asking import Desk, Report, Settings, answer_part
from helpers.many.interrupt import on_interrupt
from helpers.many.plan import Plan
from helpers.many.progress import Progress
from helpers.many.prompts import Part

NOT_THERE = (
    "A cluster needs dask.distributed, which is not installed here. Get it by: "
    "python -m pip install 'distributed>=2026.1'"
)

PATIENCE = 10.0
"""Seconds for a scheduler to answer. On a local network it takes thousandths."""

EACH = 0.5
"""Seconds between two words of a worker on its progress: a word for each answer would be more work
for the scheduler than the answers are."""

LOOK = 1.0
"""Seconds after which the driver looks if workers have come or gone."""


class Here:
    """What a worker keeps for a run: its desk, made on the worker's event loop, once.

    A plugin of dask's in shape; not by its class, so that this module loads without dask.
    """

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self._settings = settings

    async def setup(self, worker: Any) -> None:
        """Make the desk. Called on each worker, those that join later or come back included."""
        desk = await Desk(self._settings).__aenter__()
        worker.awaited_desks = {**getattr(worker, "awaited_desks", {}), self.name: desk}

    async def teardown(self, worker: Any) -> None:
        """Close the desk."""
        desk = getattr(worker, "awaited_desks", {}).pop(self.name, None)
        if desk is not None:
            await desk.__aexit__(None, None, None)


async def run(address: str, plan: Plan, parts: Sequence[Part], progress: Progress) -> str:
    """Answer all parts on a cluster; returns why the run ended early, an empty text if it did not.

    Raises:
        RunError: there is no cluster, or its workers cannot do it.
    """
    if find_spec("distributed") is None:
        raise RunError(NOT_THERE)
    from distributed import Client

    try:
        client = await Client(address, asynchronous=True, timeout=PATIENCE, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, TimeoutError, ValueError) as error:
        raise RunError(
            f"No scheduler answers at {address} ({type(error).__name__}). Start one with "
            "`dask scheduler --host 127.0.0.1` and workers with `dask worker ADDRESS`."
        ) from None
    try:
        return await _Driver(client, address, plan, parts, progress).run()
    finally:
        with suppress(Exception, asyncio.CancelledError):
            await client.close()


class _Driver:
    """Hands the parts out, as many as the workers can take, and hears how they end."""

    def __init__(
        self, client: Any, address: str, plan: Plan, parts: Sequence[Part], progress: Progress
    ) -> None:
        self._client = client
        self._address = address
        self._plan = plan
        self._left = iter(parts)
        self._progress = progress
        self._name = f"many-{token_hex(4)}"
        self._stopped = ""
        self._is_over = False

    async def run(self) -> str:
        client, name, plan = self._client, self._name, self._plan
        with suppress(TimeoutError):  # they may be on their way
            await client.wait_for_workers(1, timeout=PATIENCE)
        workers = await self._workers()
        if not workers:
            raise RunError(
                f"The scheduler at {self._address} has no workers. Start some, with "
                f"`dask worker {self._address}`, and run the same command again."
            )
        await self._look_at_workers()
        bound = plan.settings.bound
        print(
            f"{len(workers)} workers, {bound} calls in flight in each: "
            f"at most {len(workers) * bound} at the server.",
            file=sys.stderr,
        )
        plugin = _as_plugin(Here(name, plan.settings))
        await client.register_plugin(plugin, name=name)
        client.subscribe_topic(name, self._heard)
        try:
            with on_interrupt(lambda: self._stop("interrupted")):
                await self._all_parts()
        finally:
            with suppress(Exception, asyncio.CancelledError):
                await asyncio.wait_for(client.unregister_worker_plugin(name), PATIENCE)
        return self._stopped

    async def _workers(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self._client.scheduler.identity())["workers"]
        return found

    async def _look_at_workers(self) -> None:
        """Make sure that the workers see the files and have what they need.

        Raises:
            RunError: one does not.
        """
        plan, mark = self._plan, token_hex(8)
        seal = plan.folder / f"seen-by-all-{mark}"
        seal.write_text(mark)
        try:
            size = plan.source.stat().st_size
            found = await self._client.run(
                look,
                str(seal),
                str(plan.source),
                size,
                not plan.settings.api_key,
                on_error="return",
            )
        finally:
            seal.unlink()
        for worker, said in found.items():
            if isinstance(said, ModuleNotFoundError):
                said = f"has no package {said.name!r}: install the same project there"
            elif isinstance(said, BaseException):
                said = f"cannot run this program ({type(said).__name__}: {said})"
            if said:
                raise RunError(f"The worker at {worker} {said}.")

    async def _all_parts(self) -> None:
        lanes: set[asyncio.Task[None]] = set()
        try:
            while True:
                try:
                    workers = await asyncio.wait_for(self._workers(), PATIENCE)
                except Exception as error:  # of many kinds, by how the scheduler went
                    self._stop(self._gone(error))
                    return
                threads = sum(worker["nthreads"] for worker in workers.values())
                share = self._plan.per_minute and self._plan.per_minute / max(1, len(workers))
                # One for each thread, none waiting behind it: when a part kills its worker, dask
                # blames all that the worker had.
                while len(lanes) < threads and not self._is_over:
                    lanes.add(asyncio.create_task(self._lane(share)))
                if not lanes and self._is_over:
                    return
                done, lanes = await asyncio.wait(
                    lanes or {asyncio.create_task(asyncio.sleep(LOOK))},
                    timeout=LOOK,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for lane in done:
                    lane.result()
        finally:
            for lane in lanes:
                lane.cancel()
            await asyncio.gather(*lanes, return_exceptions=True)

    async def _lane(self, share: float | None) -> None:
        """Hand out one part and wait for its end."""
        part = None if self._stopped else next(self._left, None)
        if part is None:
            self._is_over = True
            return
        plan = self._plan
        future = self._client.submit(
            answer_on_worker, self._name, str(plan.source), str(plan.folder), part, plan.options,
            share, key=f"{self._name}-{part.number}", pure=False,
        )  # fmt: skip
        try:
            report = await future
        except asyncio.CancelledError:
            if asyncio.current_task().cancelling():  # type: ignore[union-attr]
                raise
            self._stop(self._gone(None))
        except Exception as error:
            if self._client.status != "running":
                self._stop(self._gone(error))
            else:
                self._progress.broke(part.number, _why(error))
        else:
            if report.broke:
                self._progress.broke(part.number, report.broke)
                return
            self._progress.ended(report)
            if report.stopped:
                self._stop(report.stopped)

    def _gone(self, error: BaseException | None) -> str:
        kind = f" ({type(error).__name__})" if error is not None else ""
        return (
            f"The scheduler at {self._address} is gone{kind}. What was answered is written; start "
            "a cluster and run the same command again."
        )

    def _stop(self, why: str) -> None:
        """Hand out no further part, and tell the workers to begin no further call."""
        self._is_over = True
        if not self._stopped:
            self._stopped = why
            self._telling = asyncio.create_task(self._tell_workers(why))

    async def _tell_workers(self, why: str) -> None:
        with suppress(Exception):
            await self._client.run(stop, self._name, why, on_error="ignore")

    def _heard(self, event: tuple[float, dict[str, int]]) -> None:
        _, said = event
        self._progress.tell(said["part"], said["answered"])


def _why(error: Exception) -> str:
    from distributed.scheduler import KilledWorker

    if isinstance(error, KilledWorker):
        return (
            "each worker that had it died (memory? see the workers' logs). The other parts go on. "
            "Look at its lines, then run the same command again."
        )
    return f"{type(error).__name__}: {error}"


def _as_plugin(here: Here) -> Any:
    from distributed import WorkerPlugin

    class Plugin(WorkerPlugin):
        name = here.name

        async def setup(self, worker: Any) -> None:
            await here.setup(worker)

        async def teardown(self, worker: Any) -> None:
            await here.teardown(worker)

    return Plugin()


# --- on the workers ---------------------------------------------------------------------------


def look(seal: str, source: str, size: int, needs_key: bool) -> str:
    """Return what is wrong with this worker, as the rest of "The worker at … "; else nothing."""
    here = socket.gethostname()
    if not Path(seal).exists():
        return f"(on {here}) does not see the folder {Path(seal).parent}: it must be a shared one"
    if not Path(source).exists() or Path(source).stat().st_size != size:
        return f"(on {here}) does not see the file {source} as it is here: it must be a shared one"
    if needs_key and not os.environ.get("OPENAI_API_KEY"):
        return f"(on {here}) has no OPENAI_API_KEY in its environment, which --worker-keys wants"
    return ""


def stop(name: str, why: str, dask_worker: Any) -> None:
    """Let this worker begin no further call of a run."""
    desk = getattr(dask_worker, "awaited_desks", {}).get(name)
    if desk is not None:
        desk.stop(why)


async def answer_on_worker(
    name: str, source: str, folder: str, part: Part, options: dict[str, Any], share: float | None
) -> Report:
    """Answer a part at this worker's desk."""
    from distributed import get_worker

    worker: Any = get_worker()
    desk: Desk = worker.awaited_desks[name]
    desk.keep_to(share)
    tell = _every(
        EACH, lambda count: worker.log_event(name, {"part": part.number, "answered": count})
    )
    # An error is returned as words: one that cannot be pickled, or its traceback, would leave the
    # driver waiting for this part for ever.
    try:
        return await answer_part(desk, Path(source), Path(folder), part, options, tell)
    except Exception as error:
        return Report(part.number, broke=f"{type(error).__name__}: {error}"[:500])


def _every(seconds: float, tell: Callable[[int], Any]) -> Callable[[int], None]:
    due = 0.0

    def perhaps(count: int) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + seconds
            tell(count)

    return perhaps
