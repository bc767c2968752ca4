"""What importing costs: `helpers` against `openai`, in fresh processes, taken in turns."""

import statistics
import subprocess
import sys

ROUNDS = 15
"""Odd, for a median; 15 keep the whole under half a minute."""

STATEMENTS = {
    "import openai": "import openai",
    "import helpers": "import helpers",
    "helpers' clients": "from helpers import async_client, blocking_client, model",
}
TIMED = "import time; t = time.perf_counter(); {}; print(time.perf_counter() - t)"


def seconds(statement: str) -> float:
    command = [sys.executable, "-c", TIMED.format(statement)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    taken: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for _ in range(ROUNDS):
        for name, statement in STATEMENTS.items():
            taken[name].append(seconds(statement))
    base = statistics.median(taken["import openai"])
    print(f"{'':<20}{'median s':>9}{'of openai':>11}")
    for name, values in taken.items():
        median = statistics.median(values)
        print(f"{name:<20}{median:>9.3f}{median / base:>11.2f}")


if __name__ == "__main__":
    main()
