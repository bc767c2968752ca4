"""The `.env` file: the nearest one is read, and a notebook can write it where Lab hides it."""

import codecs
import io
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values, find_dotenv, set_key, unset_key

from helpers.endpoint.errors import EndpointError
from helpers.page import DRIVE

COURSE = DRIVE if sys.platform == "emscripten" else Path(__file__).resolve().parents[2]
"""The course's folder, with its README; elsewhere where `helpers` alone is installed."""

NO_DOTENV_LINE = r"\s*(?:set\s+|setx\s+|\$env:)OPENAI_|\s*OPENAI_(?:BASE_URL|API_KEY|MODEL)\s*:"
"""What a shell of Windows or a YAML file would read, and a `.env` file passes over in silence."""

MEANT_TO_BE = (".env.txt", "env.txt", "env")
"""Names that an editor or a file browser makes of `.env`, as Windows hides endings."""


def read() -> Mapping[str, str | None]:
    """Return what the nearest `.env` file sets, here or in a folder above; nothing without one.

    Raises:
        EndpointError: the file cannot be read.
    """
    path = find_dotenv(usecwd=True)
    if not path:
        return {}
    try:
        text = Path(path).read_text("utf-8-sig")  # Windows tools put a mark in front
    except UnicodeDecodeError:
        raise EndpointError(f"The file {path} is not UTF-8 text. Save it as UTF-8.") from None
    except OSError as error:
        raise EndpointError(f"The file {path} cannot be read ({error.strerror}).") from None
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(NO_DOTENV_LINE, line):
            raise EndpointError(
                f"Line {number} of {path} sets no variable. Write NAME=value, a line each."
            )
    return dotenv_values(stream=io.StringIO(text))


def misnamed() -> str:
    """Return the name of a file near that was meant to be `.env`; empty if there is none."""
    if find_dotenv(usecwd=True):
        return ""
    near = (folder / name for folder in (Path.cwd(), Path.cwd().parent) for name in MEANT_TO_BE)
    return next((path.name for path in near if path.is_file()), "")


def write(values: Mapping[str, str]) -> None:
    """Set these in the course's `.env` file, and take out those that are empty."""
    path = _file_to_write()
    if not path.exists():
        path.touch(mode=0o600)  # a key is for its owner alone
    marked = path.read_bytes().startswith(codecs.BOM_UTF8)
    encoding = "utf-8-sig" if marked else "utf-8"
    there = dotenv_values(path, encoding=encoding)
    for name, value in values.items():
        if value:
            set_key(path, name, value, quote_mode="auto", encoding=encoding)
        elif name in there:
            unset_key(path, name, quote_mode="auto", encoding=encoding)


def _file_to_write() -> Path:
    """Return the nearest file if it is the course's; one further up belongs to somebody else."""
    here = Path.cwd().resolve()
    home = COURSE if here.is_relative_to(COURSE) else here
    nearest = find_dotenv(usecwd=True)
    if nearest and Path(nearest).resolve().is_relative_to(home):
        return Path(nearest)
    return home / ".env"
