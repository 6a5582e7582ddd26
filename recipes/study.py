#!/usr/bin/env python3
"""The study queue: runs of the recipes, the cheapest decisive ones first, resumable at any time.

    python recipes/study.py run CORPORA OUT [--jobs N] [--commit REV] [--hours H]
    python recipes/study.py status CORPORA OUT
    python recipes/study.py pause OUT      hold every run while something is timed
    python recipes/study.py resume OUT
    python recipes/study.py stop OUT       end the queue; its runs continue at their last state

`recipes/study.toml` lists the batches: a recipe, its corpora (folders below CORPORA), and its
environment. A run whose summary exists is skipped, and one that was interrupted continues at its
last state, so the queue can be stopped and started at any time. Code and recipes are those of one
commit, installed in OUT/code/COMMIT: work in the checkout disturbs no run.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import subprocess
import sys
import tarfile
import time
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NICE = 19
QUEUE = "queue.json"  # in OUT while the queue runs: the processes that pause and stop reach


@dataclass(frozen=True)
class Batch:
    """Runs of one recipe on some corpora; `minutes` is what one of them took, on one core."""

    name: str
    recipe: str
    corpora: list[str]
    decides: str
    minutes: float
    environment: dict[str, str] = field(default_factory=dict)

    def command(self, code: Path, corpora: Path, out: Path) -> list[str]:
        """Return the recipe's command line; its stores and summaries lie in OUT/RECIPE."""
        folders = [str(corpora / name) for name in self.corpora]
        return ["sh", str(code / f"recipes/{self.recipe}.sh"), *folders, str(out / self.recipe)]


def batches(path: Path) -> list[Batch]:
    """Return the batches of a queue, in its order."""
    return [Batch(**row) for row in tomllib.loads(path.read_text(encoding="utf-8"))["batch"]]


def install(commit: str, out: Path) -> Path:
    """Return OUT/code/COMMIT with that commit's recipes and package, made where it is missing."""
    full = subprocess.run(
        ["git", "rev-parse", "--short=12", commit],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    code = out / "code" / full
    if (code / "ready").exists():
        return code
    code.mkdir(parents=True, exist_ok=True)
    archive = subprocess.Popen(["git", "archive", full], cwd=ROOT, stdout=subprocess.PIPE)
    with tarfile.open(fileobj=archive.stdout, mode="r|") as tar:
        tar.extractall(code, filter="data")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--upgrade", "--target", str(code / "site"), str(code)], check=True)
    program = code / "bin" / "sertool"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m sertool "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    (code / "ready").touch()
    return code


def environment(batch: Batch, code: Path) -> dict[str, str]:
    """Return the environment of a batch: the installed code alone, and one thread."""
    return os.environ | {
        "PATH": f"{code / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(code / "site"),
        "OMP_NUM_THREADS": "1",
        **batch.environment,
    }


def missing(batch: Batch, code: Path, corpora: Path, out: Path) -> list[str]:
    """Return the names of the runs of a batch that have no summary yet."""
    listed = subprocess.run(
        batch.command(code, corpora, out),
        env=environment(batch, code) | {"LIST": "1"},
        cwd=code,
        capture_output=True,
        text=True,
        check=True,
    )
    return listed.stdout.split()


class Queue:
    """The batches that run now, each in a process group of its own; OUT/queue.json names them."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self._write()

    def start(self, batch: Batch, command: list[str], code: Path) -> None:
        """Start a batch; what it prints is appended to OUT/BATCH.log."""
        with open(self.out / f"{batch.name}.log", "ab") as log:
            self.running[batch.name] = subprocess.Popen(
                command,
                env=environment(batch, code),
                cwd=code,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._write()

    def ended(self) -> list[tuple[str, int]]:
        """Return (batch, exit code) of those that have ended since the last call."""
        codes = {name: process.poll() for name, process in self.running.items()}
        found = [(name, code) for name, code in codes.items() if code is not None]
        for name, _ in found:
            del self.running[name]
        if found:
            self._write()
        return found

    def stop(self) -> None:
        """End every batch; its interrupted run continues at its last state when started again."""
        for process in self.running.values():
            os.killpg(process.pid, signal.SIGTERM)
        for process in self.running.values():
            process.wait()
        self.running.clear()
        (self.out / QUEUE).unlink(missing_ok=True)

    def _write(self) -> None:
        groups = [process.pid for process in self.running.values()]
        text = json.dumps({"queue": os.getpid(), "groups": groups})
        temporary = self.out / f".{QUEUE}.tmp"
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(self.out / QUEUE)


def run(options: argparse.Namespace) -> int:
    """Work through the queue with up to `jobs` batches at a time; return the exit code."""
    out = options.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    code = install(options.commit, out)
    os.nice(max(0, NICE - os.nice(0)))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    end = time.monotonic() + 3600 * options.hours if options.hours else math.inf
    waiting = batches(options.queue)
    queue, failed = Queue(out), False
    try:
        while waiting or queue.running:
            while waiting and len(queue.running) < options.jobs:
                batch = waiting.pop(0)
                left = missing(batch, code, options.corpora, out)
                if left:
                    print(f"study: {batch.name}: {len(left)} runs; {batch.decides}", flush=True)
                    queue.start(batch, batch.command(code, options.corpora, out), code)
            time.sleep(options.poll)
            for name, status in queue.ended():
                failed |= status != 0
                print(f"study: {name} ended with {status}", flush=True)
            if time.monotonic() > end:
                print("study: out of time; started again it continues", flush=True)
                break
    finally:
        queue.stop()
    return 1 if failed else 0


def status(options: argparse.Namespace) -> int:
    """Print what remains of each batch, and about how long it takes on one core."""
    code = install(options.commit, options.out.absolute())
    total = 0.0
    for batch in batches(options.queue):
        left = missing(batch, code, options.corpora, options.out.absolute())
        hours = len(left) * batch.minutes / 60
        total += hours
        print(f"{batch.name:32} {len(left):4} runs left  {hours:6.1f} h   {batch.decides}")
    print(f"{'all':32} {'':9}      {total:6.1f} h on one core")
    return 0


def send(number: signal.Signals, options: argparse.Namespace) -> int:
    """Send a signal to the queue and, where it holds them, to all that it has started."""
    try:
        told = json.loads((options.out / QUEUE).read_text(encoding="utf-8"))
        if number != signal.SIGTERM:
            for group in told["groups"]:
                os.killpg(group, number)
        os.kill(told["queue"], number)
    except (OSError, ValueError, KeyError):
        print(f"study: no queue is running in {options.out}", file=sys.stderr)
        return 3
    return 0


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="The study queue; see the head of this file.")
    parser.add_argument("--queue", type=Path, default=ROOT / "recipes/study.toml")
    actions = parser.add_subparsers(dest="action", required=True)
    for name in ("run", "status"):
        action = actions.add_parser(name)
        action.add_argument("corpora", type=Path)
        action.add_argument("out", type=Path)
        action.add_argument("--commit", default="HEAD")
    actions.choices["run"].add_argument("--jobs", type=int, default=1)
    actions.choices["run"].add_argument("--hours", type=float, default=0.0)
    actions.choices["run"].add_argument("--poll", type=float, default=5.0)
    signals = {"pause": signal.SIGSTOP, "resume": signal.SIGCONT, "stop": signal.SIGTERM}
    for name in signals:
        actions.add_parser(name).add_argument("out", type=Path)
    options = parser.parse_args()
    if options.action in signals:
        return send(signals[options.action], options)
    options.corpora = options.corpora.absolute()
    return run(options) if options.action == "run" else status(options)


if __name__ == "__main__":
    sys.exit(main())
