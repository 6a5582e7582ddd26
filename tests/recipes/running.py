"""What the tests of recipes share: running a script as a user does, and reading its summaries."""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import warm

ROOT = Path(__file__).resolve().parents[2]
DEMO = "data/demo/corpus"


@functools.cache
def few() -> Path:
    """Return a folder with a quarter of the embedded corpus: all voices, two sentences, once."""
    folder = Path(tempfile.mkdtemp(prefix="sertool-few-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for path in (ROOT / DEMO).glob("*/*_s[12]_r1.flac"):
        there = folder / "corpus" / path.parent.name
        there.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, there)
    return folder / "corpus"


def run(name: str, *words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run recipes/NAME.sh with arguments and variables, in the project's folder."""
    path = [warm.folder(), Path(sys.executable).parent, os.environ["PATH"]]
    return subprocess.run(
        ["sh", f"recipes/{name}.sh", *map(str, words)],
        cwd=ROOT,
        env=os.environ | {"PATH": os.pathsep.join(map(str, path))} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def summary(out: Path, name: str) -> dict:
    """Return the summary of a run called `name` that a recipe left in OUTDIR `out`."""
    return json.loads((out / "results" / f"{name}.json").read_text())


def announced(name: str, stderr: str) -> list[str]:
    """Return what a recipe said of its runs: "1 of 4: cnn-…"."""
    start = f"recipes/{name}.sh: run "
    return [line.removeprefix(start) for line in stderr.splitlines() if line.startswith(start)]
