"""Run a notebook the way *Run All* does: every cell is in the kernel's queue before the first ends.

nbval and nbclient send a cell when the one before it has ended, which hides what happens to
queued cells.
"""

from pathlib import Path
from queue import Empty

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionComplete
from nbformat import NotebookNode

PATIENCE = 60.0
"""Seconds without a word from the kernel; the quietest cell takes a few."""


async def run_all(notebook: NotebookNode, folder: Path, patience: float = PATIENCE) -> NotebookNode:
    """Return a copy with what its cells show when they are queued at once in a fresh kernel.

    A cell that the kernel never ran, or never finished, keeps `execution_count` None.
    """
    copy = nbformat.from_dict(notebook)
    client = NotebookClient(
        copy,
        kernel_name="python3",
        store_widget_state=False,
        record_timing=False,
        shutdown_kernel="immediate",  # one that is stuck would hold up the end
        resources={"metadata": {"path": str(folder)}},
    )
    async with client.async_setup_kernel():
        assert client.kc is not None
        waiting = {}
        for index, cell in enumerate(copy.cells):
            if cell.cell_type != "code":
                continue
            cell.outputs, cell.execution_count = [], None
            if cell.source.strip():
                # JupyterLab's own rule for what an error does to the queue.
                stop = "raises-exception" not in cell.metadata.get("tags", [])
                waiting[client.kc.execute(cell.source, stop_on_error=stop)] = (index, cell)
        client.clear_before_next_output = False
        while waiting:
            try:
                message = await client.kc.get_iopub_msg(timeout=patience)
            except Empty:
                break
            parent = message["parent_header"].get("msg_id")
            if parent not in waiting:
                continue  # said after its cell had ended: no stored notebook has it
            index, cell = waiting[parent]
            try:
                client.process_message(message, cell, index)
            except CellExecutionComplete:
                del waiting[parent]
                client.clear_before_next_output = False
        for _, cell in waiting.values():
            cell.execution_count = None
    return copy
