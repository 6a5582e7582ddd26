"""Disturbs every stage, thousands of times, and counts what is wrong afterwards.

    python tests/faults/soak.py out/soak.jsonl [--rounds 30] [--hours H] [--only STAGE …]
    python tests/faults/soak.py out/soak.jsonl [MORE.jsonl …] --table

A line for each trial is added to the file, with the seed that repeats it; started again, it goes on
until each stage, signal and state ("fresh", "over" an older output) has been stopped `--rounds`
times. A twentieth of the processes start anew, imports included; the others are forks of one that
has imported what the stage imports. Of these a half is stopped at a share of the time that the
stage takes, a half before one of its calls that open, rename or remove a file. Other trials have a
disk that is full, or standard streams that are closed, full, or without a reader.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import importlib
import itertools
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import trial
from stages import STAGES, Stage, make_desk
from trial import Kill, Known, Outcome

from sertool.formats import journal

SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT", "FULL", "STREAMS")  # a full disk, and broken streams
STATES = ("fresh", "over")
ANEW = 0.05  # share of processes that start anew
TOGETHER = 3  # rounds of a stage that a process tries which has imported what the stage imports
SORTS = ("lost", "tracebacks", "hangs", "wrong")  # of faults
Key = tuple[str, str, str]  # stage, signal, state


def main() -> int:
    """Run trials until there are enough, or print the table of those that were run."""
    given = _arguments()
    if given.table:
        rows = [row for log in given.log for row in read(log)]
        print(table(rows))
        if given.json is not None:
            told = {"command": "make soak", "rows": counted(rows)}
            given.json.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
        return 0
    log = given.log[0]
    log.parent.mkdir(parents=True, exist_ok=True)
    with _alone(log):
        desk = log.with_suffix(".work").resolve() / "desk"
        if not (desk / "ready").exists():
            shutil.rmtree(desk, ignore_errors=True)
            make_desk(desk, trial.must)
            (desk / "ready").mkdir()
        jobs = [_begun(partial(soak, given, log, desk, job)) for job in range(given.jobs)]
        for pid in jobs:
            os.waitpid(pid, 0)
    rows = read(log)
    print(table(rows))
    return 1 if any(row["faults"] for row in rows) else 0


def _begun(act: Callable[[], None]) -> int:
    """Start a process that does something; return its number."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        act()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def _apart(act: Callable[[], None]) -> None:
    """Do something in a process of its own, and wait for it."""
    os.waitpid(_begun(act), 0)


def soak(given: argparse.Namespace, log: Path, desk: Path, job: int) -> None:
    """Run the trials of every `given.jobs`-th stage, a few rounds of each in turn."""
    sys.argv[0] = "sertool"
    journal.EVERY = 0.02  # so that stages of less than five seconds leave parts, too
    until = time.monotonic() + 3600 * given.hours
    named = [one for name, one in STAGES.items() if not given.only or name in given.only]
    for first in range(0, given.rounds, TOGETHER):
        rounds = range(first, min(first + TOGETHER, given.rounds))
        for stage in named[job :: given.jobs]:
            _apart(partial(_some, stage, rounds, given.seed, log, desk, job, until))


def _some(
    stage: Stage, rounds: range, seed: int, log: Path, desk: Path, job: int, until: float
) -> None:
    """Run some rounds of a stage's trials."""
    rows = [row for row in read(log) if row["stage"] == stage.name]
    counts = Counter((r["signal"], r["state"]) for r in rows if not r["late"])
    numbers = Counter((r["signal"], r["state"]) for r in rows)
    wanted = [one for round_ in rounds for one in order(round_) if counts[one] <= round_]
    if not wanted or time.monotonic() > until:
        return
    work = desk.with_name(f"job{job}")
    try:
        known = trial.known(stage, desk, desk / "ready" / stage.name.replace(" ", "-"))
        _import(known, work / "trial")
    except RuntimeError as error:
        print(f"{stage.name}: left out, {error}", flush=True)
        _note(log, _left_out((stage.name, "", ""), error))
        return
    for round_ in rounds:
        for one in order(round_):
            while counts[one] <= round_ and time.monotonic() < until:
                row = one_trial(known, (stage.name, *one), numbers[one], seed, work)
                numbers[one] += 1
                counts[one] += not row["late"]
                _note(log, row)
                if row["faults"]:
                    print(json.dumps(row), flush=True)
    known.keep()


def _note(log: Path, row: dict[str, Any]) -> None:
    with open(log, "a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def _left_out(key: Key, error: RuntimeError) -> dict[str, Any]:
    """Return the row of a stage that cannot be tried: it is not itself when nothing disturbs it."""
    row = dict(zip(("stage", "signal", "state"), key, strict=True))
    return row | {"late": True, "faults": [str(error)], "megabytes": 0, "answered": 0, "call": None}


def order(round_: int) -> list[tuple[str, str]]:
    """Return the signals and states of a round, shuffled."""
    each = [(name, state) for name in SIGNALS for state in STATES]
    random.Random(round_).shuffle(each)
    return each


def one_trial(known: Known, key: Key, number: int, seed: int, work: Path) -> dict[str, Any]:
    """Return the row of a trial, drawn from the seed, its stage and its number."""
    text = json.dumps([seed, *key, number])
    draw = random.Random(int(hashlib.sha256(text.encode()).hexdigest()[:16], 16))
    over = key[2] == "over"
    anew = draw.random() < ANEW
    if key[1] == "STREAMS":
        return _unheard(known, key, number, seed, draw, anew, work)
    by_call = key[1] != "FULL" and not anew and draw.random() < 0.5
    kill = _drawn(known, key, draw, anew, by_call)
    resume = known.stage.continues and draw.random() < 0.6
    outcome = known.trial(kill, over, resume, anew, work / "trial")
    ended = outcome.ended
    if ended.late and kill.after is not None:  # other work has left the machine
        known.seconds[anew] = 0.5 * (known.seconds[anew] + ended.seconds)
    if not over and not resume and not by_call:
        known.seconds[False] = 0.8 * known.seconds[False] + 0.2 * outcome.again.seconds
    _kept(outcome, key, number, work)
    return {
        "stage": key[0], "signal": key[1], "state": key[2], "number": number, "seed": seed,
        "start": "anew" if anew else "fork", "after": kill.after and round(kill.after, 4),
        "call": kill.call, "limit": kill.limit, "everyone": kill.everyone, "late": ended.late,
        "code": ended.code, "again": "resume" if resume else "anew",
        "answered": round(ended.answered, 3),
        "megabytes": max(ended.megabytes, outcome.again.megabytes), "faults": outcome.faults,
    }  # fmt: skip


def _unheard(
    known: Known, key: Key, number: int, seed: int, draw: random.Random, anew: bool, work: Path
) -> dict[str, Any]:
    """Return the row of a trial with broken streams, of a run that is resumed or begins."""
    drawn = {n: draw.choice(["", "closed", *(("full", "gone") if n else ())]) for n in range(3)}
    streams = {n: how for n, how in drawn.items() if how} or {draw.randrange(3): "closed"}
    over = key[2] == "over"
    cut = None
    if known.stage.continues and draw.random() < 0.5:
        cut = Kill(signal.SIGKILL, call=draw.randint(1, known.calls[over]))
    outcome = known.unheard(streams, over, cut, anew, work / "trial")
    _kept(outcome, key, number, work)
    return {
        "stage": key[0], "signal": key[1], "state": key[2], "number": number, "seed": seed,
        "start": "anew" if anew else "fork", "streams": streams, "call": cut and cut.call,
        "late": False, "code": outcome.ended.code, "again": "resume" if cut else "anew",
        "answered": 0, "megabytes": outcome.ended.megabytes, "faults": outcome.faults,
    }  # fmt: skip


def _kept(outcome: Outcome, key: Key, number: int, work: Path) -> None:
    """Keep what a trial left behind that showed a fault."""
    if outcome.faults:
        name = "-".join([*key, str(number)]).replace(" ", "-")
        with contextlib.suppress(OSError):
            shutil.copytree(work / "trial", work / "faults" / name)


def _drawn(known: Known, key: Key, draw: random.Random, anew: bool, by_call: bool) -> Kill:
    if key[1] == "FULL":
        return Kill(limit=draw.randrange(known.largest))
    return Kill(
        signal.Signals[key[1]],
        None if by_call else draw.random() * known.seconds[anew],
        draw.randint(1, known.calls[key[2] == "over"]) if by_call else None,
        key[1] != "SIGKILL" and draw.random() < 0.5,
    )


def _import(known: Known, folder: Path) -> None:
    """Import what the stage imports, so that its forks need not, and time a fork then."""
    for name in known.modules(folder):
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    known.seconds[False] = known.undisturbed(folder).seconds


@contextlib.contextmanager
def _alone(log: Path) -> Iterator[None]:
    """Hold the log, of which one soak at a time is written."""
    with open(log, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(f"{log}: another soak is writing it") from None
        yield


def read(log: Path) -> list[dict[str, Any]]:
    """Return the trials so far; a line that was cut short is none."""
    rows = []
    if log.exists():
        for line in log.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):
                rows.append(json.loads(line))
    return rows


def counted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what was tried and what came of it, as benchmarks/trust.py reads it."""
    kinds = {
        "SIGKILL": "killed at random moments", "SIGTERM": "ended by TERM at random moments",
        "SIGINT": "interrupted by Ctrl-C at random moments",
        "FULL": "whose files could not grow beyond a random size (a full disk)",
        "STREAMS": "with standard streams closed, on a full disk, or without a reader",
    }  # fmt: skip
    states = {"fresh": "where nothing was", "over": "over an older output"}
    found = []
    for (kind, what), (state, where) in itertools.product(kinds.items(), states.items()):
        of = [r for r in rows if (r["signal"], r["state"]) == (kind, state) and not r["late"]]
        faults = [set(map(_sort, row["faults"])) for row in of]
        counts = {name: sum(name in one for one in faults) for name in SORTS}
        stages = len({row["stage"] for row in of})
        peak = max([row["megabytes"] for row in of] or [0])
        text = f"{stages} stages {what}, {where}" + ("" if kind == "STREAMS" else ", and run again")
        found.append({"what": text, "cases": len(of), **counts, "peak_mb": peak})
    return found


def _sort(fault: str) -> str:
    """Return which sort of fault a trial showed."""
    words = {"tracebacks": ("traceback",), "hangs": ("hangs",)}
    words["lost"] = ("lost", "not whole", "not as unbroken")
    return next((name for name in words if any(w in fault for w in words[name])), "wrong")


def table(rows: list[dict[str, Any]]) -> str:
    """Return how often each stage was stopped by each signal, and what was wrong, as Markdown."""
    heads = [f"{name.removeprefix('SIG')} {state}" for name in SIGNALS for state in STATES]
    lines = [
        f"| stage | {' | '.join(heads)} | faults | MB |",
        "| --- |" + " ---: |" * (len(heads) + 2),
    ]
    for name in [*STAGES, None]:
        of = [row for row in rows if name in (None, row["stage"])]
        if not of:
            continue
        hit = [row for row in of if not row["late"]]
        cells = [
            sum(row["signal"] == signal_ and row["state"] == state for row in hit)
            for signal_ in SIGNALS
            for state in STATES
        ]
        cells += [sum(bool(row["faults"]) for row in of), max([r["megabytes"] for r in of] or [0])]
        lines.append(f"| {name or 'all'} | {' | '.join(map(str, cells))} |")
    hit = [row for row in rows if not row["late"] and row["signal"].startswith("SIG")]
    full, unheard = (
        sum(row["signal"] == kind and not row["late"] for row in rows)
        for kind in ("FULL", "STREAMS")
    )
    text = [fault for row in rows for fault in row["faults"]]
    sorts = Counter(map(_sort, text))
    slow = [r["answered"] for r in hit if r["signal"] != "SIGKILL" and not r["call"]]
    return "\n".join(
        [
            *lines,
            "",
            f"{len(hit)} kills ({sum(r['start'] == 'anew' for r in hit)} of processes started anew)"
            f", {full} full disks, {unheard} with broken streams,"
            f" {len(rows) - len(hit) - full - unheard} runs that ended first: "
            f"{', '.join(f'{name} {sorts[name]}' for name in SORTS)};"
            f" slowest answer to TERM or INT {max(slow or [0])} s.",
        ]
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("log", type=Path, nargs="+", help="the first is written")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--hours", type=float, default=100.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", choices=list(STAGES))
    parser.add_argument("--jobs", type=int, default=1, help="processes that share the trials out")
    parser.add_argument("--json", type=Path, help="of --table: also the counts for docs/trust.md")
    parser.add_argument("--table", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
