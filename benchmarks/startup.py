"""What it costs to start: the library, help, completion, and the first answer of `predict`.

`python benchmarks/startup.py` prints the median processor time (user and system, of a process and
its workers) of each over several runs in turn, and the ratios that matter: the first answer beside
a process that imports what it could not do without, and `--help` beside that of a bare Typer
application. Bytecode is compiled before, as an installation does. ONNX Runtime is left out where it
is not installed.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import measured
from measured import Row

RUNS = 15
ROOT = Path(__file__).resolve().parent.parent
ONE = ROOT / "data" / "demo" / "corpus" / "spk01" / "spk01_sadness_s1_r2.flac"
BARE = """import typer
app = typer.Typer()
@app.command()
def one(name: str, count: int = 1): "Do one thing."
@app.command()
def two(name: str): "Do another."
app()
"""
PEERS = [name for name in ("numpy", "onnxruntime", "typer", "soundfile") if find_spec(name)]
SLOW = "ONNX Runtime is loaded besides, which the checkpoint does not need"
COMPLETED = ("sertool pre", "sertool train --ba")


def seconds(arguments: list[str], environment: dict[str, str]) -> float:
    """Return the processor time that Python takes to run with these arguments."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *arguments],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def jobs(folder: Path) -> dict[str, list[str]]:
    """Return what is run, by name; makes a folder of one short recording, and a bare program."""
    import soundfile

    recordings = folder / "recordings"
    recordings.mkdir()
    soundfile.write(recordings / "one.wav", *soundfile.read(ONE))
    (folder / "bare.py").write_text(BARE)
    model = str(ROOT / "data" / "models" / "box.onnx")
    found = {
        "interpreter alone": ["-c", "pass"],
        "import sertool": ["-c", "import sertool"],
        f"import {', '.join(PEERS)}": ["-c", f"import {', '.join(PEERS)}"],
        "sertool predict FOLDER": ["-m", "sertool", "predict", str(recordings)],
        "sertool predict box.onnx FOLDER": ["-m", "sertool", "predict", model, str(recordings)],
        "bare Typer: --help": [str(folder / "bare.py"), "--help"],
        "sertool --help": ["-m", "sertool", "--help"],
        "sertool train --help": ["-m", "sertool", "train", "--help"],
        **{f"completion of {words!r}": ["-m", "sertool"] for words in COMPLETED},
    }
    if "onnxruntime" not in PEERS:
        del found["sertool predict box.onnx FOLDER"]
    return found


def asked(job: str) -> dict[str, str]:
    """Return how a shell asks for the completion of a line; nothing for another job."""
    words = next((words for words in COMPLETED if repr(words) in job), None)
    if words is None:
        return {}
    number = str(words.count(" "))
    return {"_SERTOOL_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": number}


def main() -> None:
    """Time the jobs in turn; print their medians, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    measured.options(parser)
    given = parser.parse_args()
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        environment = os.environ | {"PYTHONPYCACHEPREFIX": f"{name}/bytecode"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        todo = jobs(Path(name))
        for run in range((7 if given.quick else RUNS) + 1):
            for job, arguments in todo.items():
                taken = seconds(arguments, environment | asked(job))
                times.setdefault(job, []).extend([taken] if run else [])
    middle = {job: statistics.median(taken) for job, taken in times.items()}
    for job, taken in middle.items():
        print(f"{job:<48} {1000 * taken:5.0f} ms")
    peers = next(job for job in middle if job.startswith("import numpy"))
    rows = [
        Row(job, 1e3 * middle[job], "ms CPU", other, middle[job] / middle[other], most, why=why)
        for job, other, most, why in (
            ("sertool predict FOLDER", peers, 1.5, ""),
            ("sertool predict box.onnx FOLDER", peers, 1.5, SLOW),
            ("sertool --help", "bare Typer: --help", 1.3, ""),
        )
        if job in middle
    ]
    slowest = max(taken for job, taken in middle.items() if asked(job))
    rows.append(Row("completion", 1e3 * slowest, "ms CPU", at_most=150))
    for row in rows:
        ratio = f" / {row.beside}: {row.ratio:.2f}" if row.ratio else f": {row.value:.0f} ms"
        print(f"{row.what}{ratio} ({row.target})")
    measured.write(given.json, rows)


if __name__ == "__main__":
    main()
