"""What the tests of recipes share: running a script as a user does, and reading its summaries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEMO = "data/demo/corpus"
_PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def run(name: str, *words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run recipes/NAME.sh with arguments and variables, in the project's folder."""
    return subprocess.run(
        ["sh", f"recipes/{name}.sh", *map(str, words)],
        cwd=ROOT,
        env=os.environ | {"PATH": _PATH} | environment,
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
