"""Prints what this Python says of each line whose text is Python's own: run it with any Python."""

import asyncio
import contextlib
import io
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.guide import lines, rows, stand_ins


async def words() -> dict[str, str]:
    """Return what each line raises, with stand-ins for the SDK's objects."""
    return {
        line: await lines.said(line, stand_ins.names_of())
        for row in rows.rows("a line that says it")
        if row.section in rows.OF_PYTHON
        for line in [row.code("a line that says it")]
    }


if __name__ == "__main__":
    with contextlib.redirect_stdout(io.StringIO()):  # what the lines print
        said = asyncio.run(words())
    print(json.dumps(said))
