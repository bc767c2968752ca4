"""From starting the mock server's process to its word that it listens, and its idle memory."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 11


def once() -> tuple[float, float]:
    """Return seconds until it listens, and its resident memory in MB (0 where /proc is missing)."""
    start = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "helpers.mock_server", "--port", "0", "--exit-with-parent"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        taken = time.perf_counter() - start
        status = Path(f"/proc/{process.pid}/status")
        memory = 0.0
        if status.exists():
            line = next(x for x in status.read_text().splitlines() if x.startswith("VmRSS"))
            memory = int(line.split()[1]) / 1024
        process.kill()
    return taken, memory


def main() -> None:
    runs = [once() for _ in range(ROUNDS)]
    times = sorted(taken for taken, _ in runs)
    print(f"listening after {statistics.median(times):.2f} s (median), {times[-1]:.2f} s (worst)")
    print(f"idle memory {statistics.median(memory for _, memory in runs):.0f} MB")


if __name__ == "__main__":
    main()
