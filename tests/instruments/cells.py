"""Runs cells in an IPython shell without a kernel, the doctor at its side; follows its advice."""

import asyncio
import gc
import re
import sys
import warnings
from collections.abc import Iterator

from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell

from tests.pace import embedded_server_at

NEXT_CELL = "\n# %%\n"


class Cells:
    """A shell whose cells run in one loop, as in a notebook, each from the same names."""

    def __init__(self, set_up: str) -> None:
        self.shell = InteractiveShell.instance()
        self.errors: list[BaseException] = []
        self._publisher = CapturingDisplayPublisher()
        self._runner = asyncio.Runner()
        self.shell.display_pub = self._publisher
        # To colour a traceback takes longer than all else together, and nobody reads these.
        self.shell.showtraceback = self.shell.showsyntaxerror = lambda *_, **__: None
        self.run(set_up)
        assert self.errors == []
        self._names = dict(self.shell.user_ns)
        self.shell.extension_manager.load_extension("helpers.doctor")
        self.run("1 + 1")

    def run(self, source: str) -> list[dict[str, str]]:
        """Run cells; return the cards under the last one. `errors`: what that one raised."""
        for cell in source.split(NEXT_CELL):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # forgotten coroutines are what this is about
                self._runner.run(self._ran(cell))
        shown = [output["data"] for output in self._publisher.outputs]
        return [data for data in shown if data.get("text/plain", "").startswith("doctor ")]

    async def _ran(self, cell: str) -> None:
        self._publisher.outputs.clear()
        result = await self.shell.run_cell_async(
            cell, store_history=False, transformed_cell=self.shell.transform_cell(cell)
        )
        self.shell.events.trigger("post_run_cell", result)
        self.errors = [e for e in (result.error_before_exec, result.error_in_exec) if e]

    def afresh(self) -> None:
        """Go back to the first names, and end what is under way."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._runner.run(self._end())
            shell = self.shell
            shell.autoawait = True
            for name in shell.user_ns.keys() - self._names.keys():
                del shell.user_ns[name]
            shell.user_ns.update(self._names)
            for name in ("last_type", "last_value", "last_traceback", "last_exc"):
                vars(sys).pop(name, None)  # they keep a failed cell's objects
            for name in filter(re.compile(r"_+\d*").fullmatch, shell.user_ns):
                shell.user_ns[name] = None
            for name in ("_", "__", "___", "exec_result"):
                setattr(shell.displayhook, name, None)
            self.errors = []

    async def _end(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def close(self) -> None:
        self.shell.extension_manager.unload_extension("helpers.doctor")
        self.afresh()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what was forgotten or left open goes now
            self._runner.run(self.shell.user_ns["client"].close())
            self.shell.reset(new_session=False)
            for _ in range(3):
                gc.collect()
                self._runner.run(asyncio.sleep(0))
            self._runner.close()
        for name in ("showtraceback", "showsyntaxerror"):
            delattr(self.shell, name)
        InteractiveShell.clear_instance()


def cells_of(set_up: str) -> Iterator[Cells]:
    """Make the shell for a module's tests, and leave nothing of it behind."""
    with embedded_server_at(pace=0):
        cells = Cells(set_up)
        yield cells
        cells.close()


def followed(source: str, card: str) -> str | None:
    """Return the source with the lines that the card offers in it; None if it offers none.

    They are read from the card's text alone, as a learner reads them.
    """
    *before, cell = source.split(NEXT_CELL)
    lines = cell.split("\n")
    changes = re.findall(
        r"^line (\d+) +(.*(?:\n {9}.*)*)\nbetter   (.*(?:\n {9}.*)*)$", card, re.MULTILINE
    )
    for number, old, new in reversed(changes):
        begin, old, new = int(number) - 1, old.split("\n"), new.split("\n")
        assert lines[begin].strip() == old[0].strip(), "the card shows the line as it stands"
        margin = lines[begin][: len(lines[begin]) - len(lines[begin].lstrip())]
        lines[begin : begin + len(old)] = [margin + new[0], *(margin + one[9:] for one in new[1:])]
    added = re.findall(r"^write    (.*)$", card, re.MULTILINE)
    if not changes and not added:
        return None
    return NEXT_CELL.join([*before, "\n".join([*lines, *added])])
