"""Recipes of the house model, compared on inner folds: no test fold is trained on or scored.

    python benchmarks/search.py ravdess-mel.h5 --name wide -- --set widths=[32,64,128]

One fold of the store (`--outer`) is left out of everything. Each `--inner` fold in turn is tested
on by networks that were trained on the rest; `--resplit speakers:3` makes inner folds of several
speakers where the store's are of one. What follows `--` goes to `sertool train`. A line with
the UAR of the inner folds together, of each, and the CPU seconds of a training is printed and
appended to the log, and `--keep` leaves checkpoints and reports for `sertool fuse`. search.md says
what was learned.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

LOG = Path(__file__).with_name("search.jsonl")


def main() -> None:
    """Train and test one recipe; append what came of it to the log."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--name", required=True, help="what the log calls the recipe")
    parser.add_argument("--model", default="sertool")
    parser.add_argument("--outer", type=int, default=0, help="the fold that is never touched")
    parser.add_argument("--inner", type=int, nargs="+", default=[1, 3], help="folds tested on")
    parser.add_argument("--resplit", help="inner folds other than the store's, e.g. speakers:3")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path, default=LOG)
    parser.add_argument("--keep", type=Path, help="a folder for checkpoints and reports")
    parser.epilog = "what follows -- are options of sertool train"
    at = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    given = parser.parse_args(sys.argv[1:at])
    given.options = sys.argv[at + 1 :]
    if given.outer in given.inner and not given.resplit:
        parser.error(f"fold {given.outer} is the outer one")
    with tempfile.TemporaryDirectory() as folder:
        row = measured(given, given.keep or Path(folder))
    line = json.dumps(row)
    print(line)
    with given.log.open("a") as log:
        log.write(line + "\n")


def measured(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return the log's line of one recipe: its options, rates, parameters and CPU seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for fold in given.inner:
        made.append(folder / f"{given.name}.{given.seed}.{fold}.ckpt")
        parts = ["--where", f"fold!={given.outer}", "--test-fold", str(fold)]
        if given.resplit:
            parts += ["--resplit", given.resplit, "--split-seed", "0"]
        how = ["--model", given.model, "--seed", str(given.seed), "--no-baselines", "--force"]
        sertool("train", given.store, made[-1], *parts, *how, *given.options)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    out = folder / f"{given.name}.{given.seed}.json"
    sertool("eval", *made, given.store, "--json", out, "--force")
    report = json.loads(out.read_text())
    return {
        "store": given.store.stem,
        "name": given.name,
        "seed": given.seed,
        **({"resplit": given.resplit} if given.resplit else {}),
        "options": given.options,
        "uar": round(report["uar"], 4),
        "folds": {fold["fold"]: round(fold["uar"], 4) for fold in report["folds"]},
        "cpu_seconds": round(seconds / len(made)),
    }


def sertool(*words: Any) -> None:
    """Run a stage; stop where it fails."""
    command = [sys.executable, "-m", "sertool", *map(str, words)]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


if __name__ == "__main__":
    main()
