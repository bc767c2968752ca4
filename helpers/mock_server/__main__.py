"""`python -m helpers.mock_server`: the command line."""

import argparse
import contextlib
import os
import sys
from pathlib import Path
from typing import Any

from helpers.mock_server import VERSION
from helpers.mock_server.content import scripts
from helpers.mock_server.content.scripts import Script
from helpers.mock_server.control.limits import MOST, PERIOD, Rate
from helpers.mock_server.control.replies import Replies
from helpers.mock_server.control.state import MAX_BODY, State
from helpers.mock_server.delivery.origins import is_loopback
from helpers.mock_server.protocol import pacing
from helpers.mock_server.protocol.pacing import FIRST, GAP, Pace
from helpers.mock_server.server import HOST, bind, end_with_parent, serve

PORT = 7862

ABOUT = """\
An OpenAI-compatible server for practice and for tests. It listens on loopback
unless told otherwise, needs no network, and keeps a journal of what it saw.
"""

EPILOG = """\
For one request, in its headers (the SDK's extra_headers):
  x-mock-pace: first=0.1,gap=0.02,tokens=200    or a number: the dial
  x-mock-fault: 429; retry-after=0.5; tries=2   GET /mock/faults lists them all
  x-mock-client: TAG                            to find it in the journal

While it runs:
  GET  /mock/journal?after=ID&client=TAG&settle=SECONDS   what it saw
  GET  /mock/journal/events                               the same, live
  PUT  /mock/pace    {"pace": 0.1}                        turn the dial
  POST /mock/faults  {"fault": "503", "times": 2}         let the next two fail
  PUT  /mock/limits  {"requests": 10, "period": 1}        limit the rate
  PUT  /mock/batches {"side_by_side": 10, "pace": 0}      how batches work
  POST /mock/replies {"text": "Paris", "when": "capital"} script the next answer
  POST /mock/reset                                        as it was started

docs/mock-server.md tells more.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m helpers.mock_server",
        usage="%(prog)s [options]",
        description=ABOUT,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--port", type=int, default=PORT, help=f"0 takes a free one (default: {PORT})")
    add(
        "--models",
        default="",
        metavar="A,B",
        help="the models it has; others get a 404 (default: takes any name)",
    )
    add(
        "--api-key",
        metavar="KEY",
        help="the one right key, asked for under /mock too; - reads it from a line on standard "
        "input (default: any that is not empty, and none under /mock)",
    )
    add(
        "--host",
        default=HOST,
        metavar="ADDRESS",
        help=f"where it listens; beyond loopback only with --api-key (default: {HOST})",
    )
    add(
        "--allow-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="an origin whose web pages may read the answers, beside this machine's; "
        "* for all (may be repeated)",
    )
    add("--replies", metavar="FILE", help="scripted replies, or a record, to answer with")
    add("--record", metavar="FILE", help="add the answers of --upstream to a file")
    add("--upstream", metavar="URL", help="pass requests on to this endpoint, such as …/v1")
    add("--strict", action="store_true", help="refuse what no scripted reply fits")
    add("--exit-with-parent", action="store_true", help="end when its parent process ends")
    add(
        "--max-body",
        type=int,
        default=MAX_BODY,
        metavar="BYTES",
        help=f"a larger request gets a 413 (default: {MAX_BODY})",
    )
    add("--version", action="version", version=VERSION)

    pace = parser.add_argument_group("pace")
    add = pace.add_argument
    add(
        "--pace",
        type=float,
        default=os.environ.get("MOCK_PACE") or "1.0",
        metavar="DIAL",
        help="multiplies all delays; 0 for none (default: MOCK_PACE, else 1.0)",
    )
    seconds: dict[str, Any] = {"type": float, "metavar": "SECONDS"}
    add("--first", **seconds, default=FIRST, help=f"until the first token (default: {FIRST})")
    add("--gap", **seconds, default=GAP, help=f"between tokens (default: {GAP})")
    add(
        "--jitter",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="how far a token may stray from its moment, as a share of the gap (default: 0)",
    )
    add("--seed", type=int, default=0, help="for the jitter (default: 0)")
    add(
        "--model-pace",
        action="append",
        default=[],
        metavar="NAME:PACE",
        help="what differs for a model, such as slow:first=2,gap=0.2 (may be repeated)",
    )

    limits = parser.add_argument_group("limits (none by default)")
    add = limits.add_argument
    add("--requests", type=int, metavar="N", help="requests that a key may make in a period")
    add("--tokens", type=int, metavar="N", help="tokens that a key may use in a period")
    add("--period", **seconds, default=PERIOD, help=f"the period (default: {PERIOD:g})")
    add("--max-concurrent", type=int, metavar="N", help="answers at one time; others queue")
    add("--max-queue", type=int, metavar="N", help="queue places; who finds none gets a 503")
    return parser


def read_options(arguments: list[str] | None = None) -> tuple[State, str, int, bool]:
    """Return the server's state, its address and port, and whether it ends with its parent.

    Exits with a word on standard error where an option cannot be used.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if not 0 <= options.port <= 65535:
        parser.error("--port takes a number from 0 to 65535")
    if options.api_key == "-":
        # Unlike an option, which every user of the machine finds in its list of processes.
        options.api_key = sys.stdin.readline().strip()
        if not options.api_key:
            parser.error("--api-key - reads the key from standard input, where there was none")
    if not is_loopback(options.host) and not options.api_key:
        parser.error(
            f"--host {options.host} lets other machines in: say with --api-key which key they need"
        )
    for name in ("requests", "tokens", "max_concurrent", "max_queue", "max_body"):
        least = 0 if name == "max_queue" else 1
        given = getattr(options, name)
        if given is not None and not least <= given <= MOST:
            parser.error(f"--{name.replace('_', '-')} takes a number from {least} to {MOST}")
    if not 0.01 <= options.period <= 86_400:
        parser.error("--period takes seconds from 0.01 to 86400")
    if (options.record is None) != (options.upstream is None):
        parser.error("--record FILE and --upstream URL go together")
    if options.record is not None and options.api_key is not None:
        parser.error("--record passes the clients' own keys on: it takes no --api-key")
    if options.upstream and not options.upstream.startswith(("http://", "https://")):
        parser.error("--upstream takes a URL that begins with http:// or https://")
    try:
        if options.record is not None:
            Path(options.record).open("a").close()
        pace = pacing.changed(
            Pace(),
            {
                "dial": options.pace,
                "first": options.first,
                "gap": options.gap,
                "jitter": options.jitter,
                "seed": options.seed,
            },
        )
        replies = _read_replies(options.replies)
        model_paces = dict(_read_model_pace(text, pace) for text in options.model_pace)
    except ValueError as problem:
        parser.error(str(problem))
    except OSError as problem:
        parser.error(f"--record {options.record}: {problem.strerror}")
    state = State(
        models=tuple(name.strip() for name in options.models.split(",") if name.strip()),
        api_key=options.api_key,
        origins=tuple(origin.rstrip("/") for origin in options.allow_origin),
        pace=pace,
        model_paces=model_paces,
        rate=Rate(options.requests, options.tokens, options.period),
        max_concurrent=options.max_concurrent,
        max_queue=options.max_queue,
        max_body=options.max_body,
        upstream=options.upstream,
        record=None if options.record is None else Path(options.record),
        replies=Replies(replies, strict=options.strict),
    )
    return state, options.host, options.port, options.exit_with_parent


def _read_replies(name: str | None) -> list[Script]:
    if name is None:
        return []
    try:
        with Path(name).open(encoding="utf-8") as lines:
            return scripts.read_lines(lines)
    except (OSError, ValueError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else problem
        raise ValueError(f"--replies {name}: {why}") from None


def _read_model_pace(text: str, pace: Pace) -> tuple[str, dict[str, Any]]:
    name, colon, changes = text.rpartition(":")
    if not colon or not name:
        raise ValueError(f"--model-pace takes NAME:PACE, such as slow:first=2, not '{text}'")
    found = pacing.parse(changes)
    pacing.changed(pace, found)
    return name, dict(found)


def main() -> None:
    """Serve until stopped."""
    state, host, port, ends_with_parent = read_options()
    try:
        listener = bind(port, host)
    except OSError as error:
        where = "" if host == HOST else f" of {host}"
        sys.exit(
            f"Port {port}{where} cannot be used ({error.strerror}). "
            "Name another with --port, or --port 0 for a free one."
        )
    if ends_with_parent:
        end_with_parent()
    with contextlib.suppress(KeyboardInterrupt):
        serve(state, listener)


if __name__ == "__main__":
    main()
