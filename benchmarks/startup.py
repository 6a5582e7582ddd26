"""What it costs to import the library, to reach its functions, and to ask for help.

`python benchmarks/startup.py` prints the median of each over several runs, less the interpreter's.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 9
JOBS = {
    "interpreter alone": ["-c", "pass"],
    "import sertool": ["-c", "import sertool"],
    "sertool.prepare": ["-c", "import sertool; sertool.prepare"],
    "sertool --help": ["-m", "sertool", "--help"],
    "sertool train --help": ["-m", "sertool", "train", "--help"],
}


def seconds(arguments: list[str]) -> float:
    """Return how long Python takes to run with these arguments."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Time the jobs in turn and print their medians in milliseconds."""
    times: dict[str, list[float]] = {name: [] for name in JOBS}
    for _ in range(RUNS):
        for name, arguments in JOBS.items():
            times[name].append(seconds(arguments))
    floor = 0.0
    for name, found in times.items():
        middle = 1000 * statistics.median(found)
        print(f"{name:<22} {middle - floor:7.0f} ms")
        floor = floor or middle


if __name__ == "__main__":
    main()
