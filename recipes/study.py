#!/usr/bin/env python3
"""The study queue: runs of the recipes, the cheapest decisive ones first, resumable at any time.

    python recipes/study.py run CORPORA OUT [--batches NAME…] [--jobs N] [--hours H] [--device cuda]
    python recipes/study.py status CORPORA OUT [--batches NAME…]
    python recipes/study.py keep OUT       add finished runs to recipes/results, to be committed
    python recipes/study.py pause OUT      hold every run while something is timed
    python recipes/study.py resume OUT
    python recipes/study.py stop OUT       end the queue; its runs continue at their last state

`recipes/study.toml` lists the batches: a recipe, its corpora (folders below CORPORA), and its
environment. Each run is a process of its own, from the code of one commit, installed in
OUT/code/COMMIT: work in the checkout disturbs no run. Every recipe gets about the same time, its
batches in the order of the list. A run that fails is counted, and tried again at the next start.

A run is finished when OUT or a file of recipes/results has a run of its name, recipe and corpora
made under the same settings: the environment of its batch, without what only selects runs. A kept
summary says so in its `run`, with the commits of the code that made it; one that does not is no
finished run. Delete its lines, and a run is made again.

Runs of a recipe under the same settings share the folder OUT/RECIPE-KEY, their stores included. The
state of an interrupted run lies there as well, and is continued by newer code too; it is not
kept: in a fresh checkout without OUT an unfinished run starts again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import tomllib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
NICE = 19
QUEUE = "queue.json"  # in OUT while the queue runs: the processes that pause and stop reach
# Variables that select runs, or say where they run: a run is the same whatever they are.
SELECTION = {
    "DEVICE", "DIRECTIONS", "FOLDS", "GENDERS", "PROTOCOLS", "ROWS", "SEEDS", "SPEAKERS", "SPLITS",
    "SYSTEMS", "VARIANTS", "VOICES",
}  # fmt: skip


@dataclass(frozen=True)
class Batch:
    """Runs of one recipe on some corpora; `minutes` is what one of them took, on one core.

    device: "cuda" for what a processor would take too long for: on a GPU those go first.
    """

    name: str
    recipe: str
    corpora: list[str]
    decides: str
    minutes: float
    environment: dict[str, str] = field(default_factory=dict)
    device: str = "cpu"

    @property
    def settings(self) -> dict[str, str]:
        """The variables on which the result of a run depends."""
        return {k: v for k, v in sorted(self.environment.items()) if k not in SELECTION}

    @property
    def key(self) -> str:
        """What runs under the same settings have in common."""
        return key(self.recipe, self.corpora, self.settings)

    def command(self, code: Path, corpora: Path, out: Path) -> list[str]:
        """Return the recipe's command line."""
        folders = [str(corpora / name) for name in self.corpora]
        return ["sh", str(code / f"recipes/{self.recipe}.sh"), *folders, str(out / self.key)]


def key(recipe: str, corpora: Sequence[str], settings: Mapping[str, str]) -> str:
    """Return a name for the settings of a recipe: RECIPE-HASH."""
    text = json.dumps([recipe, list(corpora), dict(sorted(settings.items()))])
    return f"{recipe}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def batches(options: argparse.Namespace) -> list[Batch]:
    """Return the batches of a queue, in its order: those that are named, else all."""
    rows = tomllib.loads(options.queue.read_text(encoding="utf-8"))["batch"]
    found = [Batch(**row) for row in rows]
    unknown = set(options.batches or ()) - {batch.name for batch in found}
    if unknown:
        sys.exit(f"study: no batch is called {', '.join(sorted(unknown))}")
    return [batch for batch in found if not options.batches or batch.name in options.batches]


# --- the code that runs ---


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


def names(batch: Batch, code: Path, corpora: Path, out: Path) -> list[str]:
    """Return the names of all runs of a batch, in the recipe's order; none if it cannot tell."""
    nothing = out / batch.key / "none"
    listed = subprocess.run(
        batch.command(code, corpora, out),
        env=environment(batch, code) | {"LIST": "1", "RESULTS": str(nothing)},
        cwd=code,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        print(f"study: {batch.name}: cannot list its runs: {listed.stderr.strip()}", flush=True)
        return []
    return list(dict.fromkeys(listed.stdout.split()))


# --- what has been done ---


@dataclass
class Record:
    """A run in OUT: its state, the commits that worked on it, and the seconds that it has taken."""

    state: str = ""  # "running", "interrupted", "failed" or "finished"
    commits: list[str] = field(default_factory=list)
    cpu: float = 0.0
    wall: float = 0.0

    @classmethod
    def read(cls, path: Path) -> Record:
        """Return the record in a file; an empty one where there is none."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return cls()

    def write(self, path: Path) -> None:
        """Write the record, whole or not at all."""
        replace(path, json.dumps(vars(self)))


def replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def record_of(out: Path, folder: str, name: str) -> Path:
    """Return where the record of a run lies; its summaries lie in OUT/KEY/results/NAME."""
    return out / folder / "runs" / f"{name}.json"


def kept(results: Path) -> dict[tuple[str, str], float]:
    """Return (key, name) of every run in the kept files, with the seconds that it took."""
    found: dict[tuple[str, str], float] = {}
    for path in sorted(results.glob("*/*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            made = json.loads(line).get("run") if '"run":{' in line else None
            for one in [made, *made.get("replaces", [])] if made else []:
                folder = key(one["recipe"], one["corpora"], one["settings"])
                found[folder, one["name"]] = one["seconds"]
    return found


@dataclass(frozen=True)
class Left:
    """What remains of a batch, and the minutes that one of its runs takes."""

    batch: Batch
    names: list[str]
    failed: list[str]
    minutes: float
    measured: bool


def left(options: argparse.Namespace, code: Path) -> list[Left]:
    """Return what remains of each batch; minutes as measured where one of its runs is finished."""
    done = kept(options.results)
    rows: list[Left] = []
    taken: set[tuple[str, str]] = set()  # runs of an earlier batch under the same settings
    for batch in batches(options):
        missing, failed, seconds = [], [], []
        for name in names(batch, code, options.corpora, options.out):
            record = Record.read(record_of(options.out, batch.key, name))
            if record.state == "finished":
                seconds.append(record.cpu)
            elif (batch.key, name) in done:
                seconds.append(done[batch.key, name])
            elif (batch.key, name) not in taken:
                missing.append(name)
                failed += [name] * (record.state == "failed")
        taken |= {(batch.key, name) for name in missing}
        seconds = [each for each in seconds if each]  # 0: nobody has measured it
        minutes = sum(seconds) / len(seconds) / 60 if seconds else batch.minutes
        rows.append(Left(batch, missing, failed, minutes, bool(seconds)))
    return rows


# --- running ---


@dataclass
class Running:
    """A run in a process group of its own."""

    batch: Batch
    name: str
    path: Path
    record: Record
    process: subprocess.Popen[bytes]
    begun: float


class Queue:
    """The runs that are under way; OUT/queue.json names their processes."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.running: list[Running] = []
        self._write()

    def start(self, batch: Batch, name: str, command: list[str], code: Path, device: str) -> None:
        """Start a run; what it prints is appended to OUT/KEY/runs/NAME.log."""
        folder = self.out / batch.key
        path = record_of(self.out, batch.key, name)
        record = Record.read(path)
        if record.state == "failed" and record.commits != [code.name]:
            record = Record()  # what other code left may be why it failed: afresh
            for left_over in (f"{name}.ckpt", f"{name}.last.ckpt"):
                (folder / left_over).unlink(missing_ok=True)
                shutil.rmtree(folder / f".{left_over}.parts", ignore_errors=True)
            shutil.rmtree(folder / "results" / name, ignore_errors=True)
        record.state = "running"
        record.commits = list(dict.fromkeys([*record.commits, code.name]))
        record.write(path)
        what = {"recipe": batch.recipe, "corpora": batch.corpora, "settings": batch.settings}
        replace(folder / "settings.json", json.dumps(what))
        variables = {"ONLY": name, "RESULTS": str(folder / "results" / name)}
        variables |= {"DEVICE": device} if device != "cpu" else {}
        with open(path.with_suffix(".log"), "ab") as log:
            process = subprocess.Popen(
                command,
                env=environment(batch, code) | variables,
                cwd=code,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.running.append(Running(batch, name, path, record, process, time.monotonic()))
        self._write()

    def ended(self, wait: bool = False) -> list[Running]:
        """Return the runs that have ended since the last call, their records written."""
        found = []
        for each in list(self.running):
            pid, status, usage = os.wait4(each.process.pid, 0 if wait else os.WNOHANG)
            if not pid:
                continue
            each.process.returncode = code = os.waitstatus_to_exitcode(status)
            each.record.cpu += usage.ru_utime + usage.ru_stime
            each.record.wall += time.monotonic() - each.begun
            each.record.state = "finished" if not code else "interrupted" if wait else "failed"
            each.record.write(each.path)
            self.running.remove(each)
            found.append(each)
        if found:
            self._write()
        return found

    def stop(self) -> None:
        """End every run; it continues at its last state when the queue is started again."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for each in self.running:
            with suppress(ProcessLookupError):
                os.killpg(each.process.pid, signal.SIGTERM)
                os.killpg(each.process.pid, signal.SIGCONT)  # one that is held ends, too
        self.ended(wait=True)
        (self.out / QUEUE).unlink(missing_ok=True)

    def _write(self) -> None:
        groups = {str(each.process.pid): begin(each.process.pid) for each in self.running}
        told = {"queue": {str(os.getpid()): begin(os.getpid())}, "groups": groups}
        replace(self.out / QUEUE, json.dumps(told))


def begin(process: int) -> str:
    """Return when a process began, which tells it from a later one of its number; "" if none."""
    words = ["ps", "-o", "lstart=", "-p", str(process)]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()


def alive(out: Path) -> tuple[list[int], list[int]]:
    """Return the queue's process and the groups of its runs, as far as they still run."""
    try:
        told = json.loads((out / QUEUE).read_text(encoding="utf-8"))
        queue, groups = (
            [int(pid) for pid, since in told[part].items() if since and begin(int(pid)) == since]
            for part in ("queue", "groups")
        )
    except (OSError, ValueError, KeyError, AttributeError):
        return [], []
    return queue, groups


def choose(
    rows: Sequence[Left], queue: Queue, spent: Mapping[str, float], device: str
) -> Left | None:
    """Return the batch to take a run of: of the recipe that then has had the least time.

    Runs under the same settings share their stores, so one of them at a time.
    """
    busy = {each.batch.key for each in queue.running}
    first: dict[str, Left] = {}
    for row in rows:
        if row.names and row.batch.key not in busy:
            place = f"{row.batch.device != device}{row.batch.recipe}"
            first.setdefault(place, row)
    return min(
        first.values(),
        key=lambda row: (
            row.batch.device != device,
            spent.get(row.batch.recipe, 0.0) + row.minutes,
        ),
        default=None,
    )


def run(options: argparse.Namespace) -> int:
    """Work through the queue with up to `jobs` runs at a time; return the exit code."""
    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    if any(alive(out)):
        print(f"study: a queue is running in {out}, or runs that it left: stop it", file=sys.stderr)
        return 3
    os.nice(max(0, NICE - os.nice(0)))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    code = install(options.commit, out)
    end = time.monotonic() + 3600 * options.hours if options.hours else math.inf
    rows = left(options, code)
    rows = [row for row in rows if row.batch.device in ("cpu", options.device)]
    total = sum(len(row.names) for row in rows)
    spent: defaultdict[str, float] = defaultdict(float)  # minutes since this start, by recipe
    failed: list[Path] = []
    queue, count = Queue(out), 0
    try:
        while True:
            while len(queue.running) < options.jobs:
                row = choose(rows, queue, spent, options.device)
                if row is None:
                    break
                name, batch = row.names.pop(0), row.batch
                spent[batch.recipe] += row.minutes
                count += 1
                print(f"study: {count} of {total}: {batch.name}: {name}", flush=True)
                command = batch.command(code, options.corpora, out)
                queue.start(batch, name, command, code, options.device)
            if not queue.running:
                break
            time.sleep(options.poll)
            for each in queue.ended():
                minutes = each.record.cpu / 60
                print(f"study: {each.name}: {each.record.state}, {minutes:.1f} min", flush=True)
                failed += [each.path] * (each.record.state == "failed")
            if time.monotonic() > end:
                print("study: out of time; started again it continues", flush=True)
                break
    finally:
        queue.stop()
    for path in failed:
        print(f"study: failed: {path.stem}: see {path.with_suffix('.log')}", flush=True)
    return 1 if failed else 0


def status(options: argparse.Namespace) -> int:
    """Print what remains of each batch, and about how long it takes on one core."""
    total = 0.0
    for row in left(options, install(options.commit, options.out)):
        hours, batch = len(row.names) * row.minutes / 60, row.batch
        total += hours if batch.device in ("cpu", options.device) else 0.0
        notes = [f"{len(row.failed)} failed: {', '.join(row.failed)}"] if row.failed else []
        notes += ["for a GPU"] if batch.device != "cpu" else []
        print(
            f"{batch.name:32} {len(row.names):4} runs left  {hours:6.1f} h "
            f"{'' if row.measured else '(estimated) '}  {'; '.join([batch.decides, *notes])}"
        )
    print(f"{'all':32} {'':9}      {total:6.1f} h on one core")
    return 0


# --- keeping ---


def keep(options: argparse.Namespace) -> int:
    """Add the finished runs of OUT to the kept files; say which files have changed.

    A summary takes the place of a kept one that says the same of itself (tags, fold, seed, epochs
    and model); nothing else is lost. New lines follow in the order of their runs' names.
    """
    changed: dict[Path, list[int]] = {}
    for path in sorted(options.out.glob("*/settings.json")):
        what = json.loads(path.read_text(encoding="utf-8"))
        new = _finished(path.parent, what)
        if new:
            target = options.results / what["recipe"] / f"{'+'.join(what['corpora'])}.jsonl"
            _merge(new, target, changed)
    for target, (added, replaced) in sorted(changed.items()):
        print(f"study: {target}: {added} added, {replaced} replaced")
    if changed:
        print(f"make results && git add {options.results} recipes/README.md && git commit")
    return 0


def _finished(folder: Path, what: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the summaries of the finished runs in a folder, each with its `run`."""
    from sertool.evaluation.report import parse

    found = []
    for path in sorted((folder / "runs").glob("*.json")):
        record = Record.read(path)
        if record.state != "finished":
            continue
        made = {"name": path.stem, **what, "commits": record.commits, "seconds": round(record.cpu)}
        for summary in sorted((folder / "results" / path.stem).glob("*.json")):
            raw = json.loads(summary.read_text(encoding="utf-8"))
            parse(raw, str(summary))  # whole, or an error
            found.append(raw | {"run": made})
    return found


def _merge(new: Sequence[dict[str, Any]], target: Path, changed: dict[Path, list[int]]) -> None:
    """Put summaries into the kept files of their paper: in the place of their equals, or last."""
    from sertool.evaluation.pooling import result
    from sertool.evaluation.report import digest, parse

    def identity(raw: dict[str, Any]) -> tuple[Any, ...]:
        made = result("", parse(raw, str(target)))
        return (made.key, made.fold, made.seed)

    files: dict[Path, list[dict[str, Any]]] = {target: []}
    for path in sorted(target.parent.glob("*.jsonl")):
        lines = path.read_text(encoding="utf-8").splitlines()
        files[path] = [json.loads(line) for line in lines]
    places = {
        identity(raw): (path, i) for path, rows in files.items() for i, raw in enumerate(rows)
    }
    for unsigned in new:
        raw = unsigned | {"sha256": digest(unsigned)}
        place = places.get(identity(raw))
        if place is None:
            files[target].append(raw)
            changed.setdefault(target, [0, 0])[0] += 1
            continue
        path, i = place
        old = files[path][i].get("run")
        if old is not None:
            settled = [old, *old.pop("replaces", [])]
            others = [one for one in settled if _key(one) != _key(raw["run"])]
            raw = raw | {"run": raw["run"] | ({"replaces": others} if others else {})}
            raw = raw | {"sha256": digest(raw)}
        if files[path][i] != raw:
            files[path][i] = raw
            changed.setdefault(path, [0, 0])[1] += 1
    for path in changed.keys() & files.keys():
        rows = [json.dumps(r, ensure_ascii=False, separators=(",", ":")) for r in files[path]]
        replace(path, "".join(row + "\n" for row in rows))


def _key(made: dict[str, Any]) -> tuple[str, str]:
    return key(made["recipe"], made["corpora"], made["settings"]), made["name"]


def send(number: signal.Signals, options: argparse.Namespace) -> int:
    """Send a signal to the queue and, where it holds them or is gone, to all that it started."""
    queue, groups = alive(options.out)
    if not queue and not groups:
        print(f"study: no queue is running in {options.out}", file=sys.stderr)
        return 3
    with suppress(ProcessLookupError):
        for process in queue:
            os.kill(process, number)
    groups = alive(options.out)[1]  # the queue may have started one meanwhile
    if number != signal.SIGTERM or not queue:
        for group in groups:
            with suppress(ProcessLookupError):
                os.killpg(group, number)
    if number == signal.SIGTERM:  # one that is held has to go on in order to end
        for process in queue or groups:
            with suppress(ProcessLookupError):
                (os.kill if queue else os.killpg)(process, signal.SIGCONT)
    return 0


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="The study queue; see the head of this file.")
    parser.add_argument("--queue", type=Path, default=ROOT / "recipes/study.toml")
    parser.add_argument("--results", type=Path, default=ROOT / "recipes/results")
    actions = parser.add_subparsers(dest="action", required=True)
    for name in ("run", "status"):
        action = actions.add_parser(name)
        action.add_argument("corpora", type=Path)
        action.add_argument("out", type=Path)
        action.add_argument("--commit", default="HEAD")
        action.add_argument("--batches", nargs="+", metavar="NAME")
        action.add_argument("--device", default="cpu")
    actions.choices["run"].add_argument("--jobs", type=int, default=1)
    actions.choices["run"].add_argument("--hours", type=float, default=0.0)
    actions.choices["run"].add_argument("--poll", type=float, default=5.0)
    signals = {"pause": signal.SIGSTOP, "resume": signal.SIGCONT, "stop": signal.SIGTERM}
    for name in ("keep", *signals):
        actions.add_parser(name).add_argument("out", type=Path)
    options = parser.parse_args()
    options.out = options.out.absolute()
    if options.action in signals:
        return send(signals[options.action], options)
    if options.action == "keep":
        return keep(options)
    options.corpora = options.corpora.absolute()
    return run(options) if options.action == "run" else status(options)


if __name__ == "__main__":
    sys.exit(main())
