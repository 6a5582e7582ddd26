"""The readers under atheris, which sees comparisons and branches: thousands of inputs a second.

`python -m fuzz` starts `python -m fuzz.guided OUT SEED SECONDS READER...`, which is instrumented
once, forks for each reader, and prints a line of JSON for each.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

SECONDS = 20  # of one input
MEMORY = 1500  # MB
RAISED = re.compile(r"=== Uncaught Python exception: ===\n(.*)")


def available() -> bool:
    """Return whether atheris is installed."""
    return find_spec("atheris") is not None


def run(
    names: Sequence[str], out: Path, seed: int, seconds: float
) -> Iterator[tuple[str, int, float, str, str]]:
    """Yield of each reader its name, how many inputs it got, the most memory (MB), and the kind
    and the words of a fault."""
    command = [sys.executable, "-m", "fuzz.guided", str(out), str(seed), str(seconds), *names]
    quiet = {"stdin": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, stdout=subprocess.PIPE, **quiet) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield tuple(json.loads(line))


def _judged(code: int, said: str) -> tuple[int, float, str, str]:
    """Return inputs, MB and a fault by what libFuzzer said."""
    numbers = dict(re.findall(r"stat::(\w+):\s+(\d+)", said))
    inputs = int(numbers.get("number_of_executed_units", 0))
    peak = float(numbers.get("peak_rss_mb", 0))
    if not code:
        return inputs, peak, "", ""
    if raised := RAISED.search(said):
        return inputs, peak, "traceback", raised[1]
    kind = "hang" if "timeout" in said else "memory" if "out-of-memory" in said else "crash"
    return inputs, peak, kind, said.strip().split("\n")[-1][:150]


def main() -> None:
    """Fuzz readers one after another, each in a process of its own."""
    import atheris

    with atheris.instrument_imports(include=["sertool"]):
        from fuzz.readers import READERS, Reader
        from sertool.core.errors import ItemError, SertoolError
    out, seed, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    (out / "found").mkdir(exist_ok=True)

    def fuzz(name: str, reader: Reader, corpus: Path, folder: Path) -> None:
        def one(content: bytes) -> None:
            with contextlib.suppress(SertoolError, ItemError):
                reader.take(content, folder)

        corpus.mkdir(parents=True, exist_ok=True)
        (corpus / "seed").write_bytes(reader.seed())
        log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(folder)
        options = {"max_total_time": max(1, round(seconds)), "seed": seed + 1, "timeout": SECONDS}
        options |= {"rss_limit_mb": MEMORY, "print_final_stats": 1, "max_len": 6000}
        kept = f"-artifact_prefix={out}/found/{corpus.name}-"
        words = [f"-{key}={value}" for key, value in options.items()]
        atheris.Setup([sys.argv[0], *words, kept, str(corpus)], one)
        atheris.Fuzz()

    for name in sys.argv[4:]:
        corpus = out / "guided" / re.sub(r"\W+", "-", name)
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            child = os.fork()
            if child == 0:
                try:
                    fuzz(name, READERS[name], corpus, Path(folder))
                finally:
                    os._exit(1)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            said = (Path(folder) / "log").read_text(errors="backslashreplace")
            print(json.dumps([name, *_judged(code, said)]), flush=True)


if __name__ == "__main__":
    main()
