"""`python -m helpers.many`: the command line."""

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from openai import APIError

from helpers.endpoint import EndpointError, endpoint
from helpers.many import batch, cluster, here
from helpers.many.answers import Job, RunError, open_folder, rows
from helpers.many.asking import Settings, in_words
from helpers.many.plan import Plan
from helpers.many.progress import Progress
from helpers.many.prompts import EXAMPLE, Part, parts_of

PART = 1000
"""Lines of a part: a million are a thousand tasks, and a scheduler takes about a thousandth of a
second for each."""

BOUND = 32
"""Calls in flight in a process: what a hosted API's first tiers bear, and lesson 05's ways too."""

ABOUT = f"""\
Answers each line of a JSONL file by an OpenAI-compatible endpoint, and writes
the answers into a folder, a file for each part. Started again after whatever
broke it off, it asks only what has no answer yet.

A line is {EXAMPLE}, or has "messages";
"id" is written beside the answer, all else goes into the request.
The endpoint is OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_MODEL, from the
environment or a file .env; without an address, the course's mock server.
"""

EPILOG = """\
It ends with 0 when every line has its answer, with 1 when some failed, with 2
when it cannot begin, with 130 after Ctrl-C. docs/many.md tells more.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m helpers.many",
        description=ABOUT,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("prompts", type=Path, nargs="?", help="the file with the prompts, JSONL")
    add("--to", type=Path, default=Path("answers"), metavar="FOLDER", help="(default: answers)")
    add(
        "--bound",
        type=int,
        default=BOUND,
        metavar="N",
        help=f"calls in flight in each process (default: {BOUND})",
    )
    add(
        "--per-minute",
        type=float,
        metavar="N",
        help="calls that all processes together begin in a minute (default: any number)",
    )
    add(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="for each request: max_tokens=100, temperature=0 (may be repeated)",
    )
    add("--part", type=int, default=PART, metavar="LINES", help=f"of a part (default: {PART})")
    add(
        "--table", action="store_true", help="print the answers of --to as one JSONL table, and end"
    )
    add("--quiet", action="store_true", help="draw no bar")

    group = parser.add_argument_group("failures")
    add = group.add_argument
    add("--retries", type=int, default=5, metavar="N", help="further tries of a call (default: 5)")
    add(
        "--patience",
        type=float,
        default=600.0,
        metavar="SECONDS",
        help="for which a line is tried while the server says 429 (default: 600)",
    )
    add(
        "--deadline",
        type=float,
        default=600.0,
        metavar="SECONDS",
        help="for one try, to the answer's end (default: 600)",
    )

    group = parser.add_argument_group("more than one machine")
    add = group.add_argument
    add("--cluster", metavar="ADDRESS", help="of a dask scheduler, such as tcp://127.0.0.1:8786")
    add("--worker-keys", action="store_true", help="each worker uses its own OPENAI_API_KEY")

    group = parser.add_argument_group("the Batch API")
    add = group.add_argument
    add("--batch", action="store_true", help="hand the lines over as batches, and wait for them")
    add(
        "--poll",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="between two looks at the batches (default: 30)",
    )
    add(
        "--batch-lines",
        type=int,
        default=batch.MOST_LINES,
        metavar="N",
        help=f"of one batch (default: {batch.MOST_LINES})",
    )
    parser.add_argument(
        "--header",
        action="append",
        default=[],
        metavar="NAME:VALUE",
        help="for each request, such as OpenAI-Project:… (may be repeated)",
    )
    return parser


def read_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the options, checked; exits with a word on standard error where one cannot be used."""
    parser = _parser()
    options = parser.parse_args(arguments)
    for name, least in (("bound", 1), ("part", 1), ("batch_lines", 1), ("retries", 0)):
        if getattr(options, name) < least:
            parser.error(f"--{name.replace('_', '-')} takes a number from {least}")
    for name in ("per_minute", "patience", "deadline", "poll"):
        given = getattr(options, name)
        if given is not None and not 0 < given < 1e9:
            parser.error(f"--{name.replace('_', '-')} takes a number above 0")
    if options.batch and options.cluster:
        parser.error("--batch and --cluster are two ways; take one")
    if options.worker_keys and not options.cluster:
        parser.error("--worker-keys goes with --cluster")
    if options.prompts is None and not options.table:
        parser.error("name the file with the prompts")
    try:
        options.set = dict(_read_setting(text) for text in options.set)
        options.header = dict(_read_header(text) for text in options.header)
    except ValueError as problem:
        parser.error(str(problem))
    return options


def _read_setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name or name in ("messages", "prompt", "stream", "n", "model"):
        raise ValueError(f"--set takes NAME=VALUE such as max_tokens=100, not '{text}'; the model "
                         "is OPENAI_MODEL, and each line is answered whole, and once")  # fmt: skip
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _read_header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or name.strip().lower() in ("authorization", "api-key"):
        raise ValueError("--header takes NAME:VALUE; a key belongs into OPENAI_API_KEY, as other "
                         "people of this machine can read command lines")  # fmt: skip
    return name.strip(), value.strip()


def main(arguments: list[str] | None = None) -> int:
    """Run, and return the exit code."""
    options = read_options(arguments)
    try:
        if options.table:
            return _print_table(options.to)
        return _run(options)
    except (RunError, EndpointError) as problem:
        print(problem, file=sys.stderr)
        return 2
    except APIError as error:
        print(f"The endpoint does not do it: {in_words(error)}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{error.filename or 'A file'}: {error.strerror or error}", file=sys.stderr)
        return 2


def _print_table(folder: Path) -> int:
    if not folder.is_dir():
        raise RunError(f"There is no folder {folder}. Name the one with the answers: --to FOLDER.")
    for row in rows(folder):
        print(json.dumps(row, ensure_ascii=False))
    return 0


def _run(options: argparse.Namespace) -> int:
    source, folder = options.prompts.resolve(), options.to.resolve()
    parts = parts_of(source, options.part)
    if not any(part.asked for part in parts):
        raise RunError(f"{source} holds no line to ask. A line is an object such as {EXAMPLE}.")
    place = endpoint()
    lock, name = open_folder(folder, Job(options.part, place.model, options.set))
    settings = Settings(
        base_url=place.base_url,
        api_key="" if options.worker_keys else place.api_key,
        model=place.model,
        bound=options.bound,
        retries=options.retries,
        patience=options.patience,
        deadline=options.deadline,
        headers=options.header,
    )
    plan = Plan(source, folder, options.set, settings, options.per_minute)
    progress = Progress(parts, options.quiet)
    with lock:
        try:
            stopped = asyncio.run(_by(options, plan, name, parts, progress))
        except (KeyboardInterrupt, asyncio.CancelledError):
            stopped = "interrupted twice: calls in flight were left"
        finally:
            progress.close()
    print(progress.last_words(options.to))
    if stopped:
        print(f"It ended early: {stopped}")
    if not progress.is_complete:
        print("Run the same command again to ask what has no answer yet.")
    if stopped.startswith("interrupted"):
        return 130
    return 0 if progress.is_complete else 1


async def _by(
    options: argparse.Namespace, plan: Plan, name: str, parts: list[Part], progress: Progress
) -> str:
    if options.batch:
        return await batch.run(plan, name, parts, progress, options.poll, options.batch_lines)
    if options.cluster:
        return await cluster.run(options.cluster, plan, parts, progress)
    return await here.run(plan, parts, progress)


if __name__ == "__main__":
    sys.exit(main())
