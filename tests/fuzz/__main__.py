"""`make fuzz`: minutes of inputs that no one made by hand, at every door, and a table of them.

Of each door some inputs wait in OUT/DOOR: the seeds, and what reached lines of the package that
nothing before it had. One is drawn, changed, and read by one of the door's command lines in a
process of its own (`judge`). Run again, it goes on from there; --seed draws others. Faults lie in
OUT/found, each with its command line: `--again FOLDER` repeats one.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import hashlib
import io
import json
import os
import random
import resource
import sys
import time
import traceback
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # before NumPy is imported
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = "1"  # a thread would be missing in a forked process

from fuzz import belief, guided, judge, web
from fuzz import desk as desks
from fuzz.changer import Changer
from fuzz.doors import DOORS, LINE, Door, words
from fuzz.readers import READERS

SEEDS = 32  # unchanged inputs that a run begins with
TOGETHER = 16  # inputs in one process, one after another
COLUMNS = {"crashes": "crash", "tracebacks": "traceback", "hangs": "hang"}
TRUSTED = {"lost": "outside", "tracebacks": "traceback", "hangs": "hang"}
ALONE = "read alone"
Files = dict[str, bytes]


@dataclass
class Row:
    """What is known of a door: how many inputs, what went wrong, most memory (MB)."""

    inputs: int = 0
    peak: float = 0.0
    faults: dict[str, int] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        """Count another row, too."""
        self.inputs += row.inputs
        self.peak = max(self.peak, row.peak)
        for kind, count in row.faults.items():
            self.faults[kind] = self.faults.get(kind, 0) + count


def main() -> int:
    """Fuzz for a while; 1 where something was found."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/fuzz"))
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--inputs", type=int, default=0, help="end after so many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--door", action="append", default=[], help="one whose name has this")
    parser.add_argument("--fresh", action="store_true", help="count from 0")
    parser.add_argument("--again", type=Path, help="repeat a fault: a folder of OUT/found")
    parser.add_argument("--json", type=Path, help="keep the counts here, too, by kind of door")
    given = parser.parse_args()
    out = given.out.resolve()
    desk = out / "desk"
    if not (desk / "whole").exists():
        desk.mkdir(parents=True, exist_ok=True)
        desks.build(desk)
    if given.again:
        return _again(given.again, desk)
    counts = Counts(out / "counts.json", given.fresh)
    before = counts.total().inputs
    _all_doors(given, out, counts)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent, total = used.ru_utime + used.ru_stime, counts.total()
    print(table(counts.rows | {"all": total}))
    print(f"{total.inputs} inputs, {total.inputs - before} of them in {spent:.0f} s of CPU now")
    if given.json:
        given.json.write_text(json.dumps(_trust(counts.rows), indent=1) + "\n")
    return 1 if total.faults else 0


class Counts:
    """The rows of all doors, kept in a file."""

    def __init__(self, path: Path, fresh: bool) -> None:
        self._path = path
        kept = {} if fresh or not path.exists() else json.loads(path.read_text())
        self.rows = {name: Row(**row) for name, row in kept.items()}

    def add(self, name: str, row: Row) -> None:
        """Count what a door found, too."""
        self.rows.setdefault(name, Row()).add(row)
        kept = {name: asdict(row) for name, row in self.rows.items()}
        self._path.write_text(json.dumps(kept, indent=1))

    def total(self) -> Row:
        """Return the sum of all rows."""
        found = Row()
        for row in self.rows.values():
            found.add(row)
        return found


def _all_doors(given: argparse.Namespace, out: Path, counts: Counts) -> None:
    """Fuzz each door in turn, then each reader alone where atheris is installed."""
    doors = [one for one in DOORS if not given.door or any(x in one.name for x in given.door)]
    alone = list(READERS) if guided.available() and not given.door else []
    last = min(20 * len(alone), 15 * given.minutes)
    print(f"fuzz: seed {given.seed}, {given.minutes:g} min, {len(doors)} doors, {out}", flush=True)
    end = time.monotonic() + 60 * given.minutes - last
    for i, one in enumerate(doors):
        left = (end - time.monotonic()) / (len(doors) - i)
        most = given.inputs and -(-given.inputs // len(doors))
        work = functools.partial(_door, one, out, given.seed, left, most)
        counts.add(one.name, _in_process(work))
    every = guided.run(alone, out, given.seed, last / len(alone)) if alone else ()
    for name, inputs, peak, fault, said in every:
        counts.add(f"{name}, {ALONE}", Row(inputs, peak, {fault: 1} if fault else {}))
        told = f"{fault}: {said}" if fault else "no fault"
        print(f"{name}, {ALONE}: {inputs} inputs, {told}", flush=True)


def table(rows: dict[str, Row]) -> str:
    """Return the table of what was tried."""
    lines = [f"{'door':30}{'inputs':>8}{''.join(f'{n:>12}' for n in COLUMNS)}{'other':>7}{'MB':>7}"]
    for name, row in rows.items():
        known = [row.faults.get(kind, 0) for kind in COLUMNS.values()]
        other = sum(row.faults.values()) - sum(known)
        numbers = "".join(f"{n:>12}" for n in known)
        lines.append(f"{name:30}{row.inputs:>8}{numbers}{other:>7}{row.peak:>7.0f}")
    return "\n".join(lines)


def _trust(rows: dict[str, Row]) -> dict[str, Any]:
    """Return the counts by kind of door, as docs/trust.md takes them."""
    kinds = {one.name: one.kind for one in DOORS}
    sums: dict[str, Row] = {}
    for name, row in rows.items():
        sums.setdefault(kinds.get(name, f"readers, {ALONE}"), Row()).add(row)
    found: list[dict[str, Any]] = []
    for kind, row in sums.items():
        known = {key: row.faults.get(fault, 0) for key, fault in TRUSTED.items()}
        about = {"what": f"fuzzed: {kind}", "cases": row.inputs}
        found.append(about | known | {"peak_mb": round(row.peak, 1)})
        if wrong := sum(row.faults.values()) - sum(known.values()):
            found[-1]["wrong"] = wrong
    return {"command": "make fuzz", "rows": found}


def _in_process(work: Callable[[], Row]) -> Row:
    """Return what a door's own process found: what one needs in memory is not another's."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        code = 1
        try:
            with open(writing, "w", encoding="utf-8") as file:
                json.dump(asdict(work()), file)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    os.close(writing)
    with open(reading, encoding="utf-8") as file:
        text = file.read()
    os.waitpid(child, 0)
    return Row(**json.loads(text)) if text else Row(faults={"fuzzer": 1})


def _door(door: Door, out: Path, seed: int, seconds: float, most: int) -> Row:
    """Return what inputs at a door gave within some seconds."""
    desk, kept = out / "desk", out / door.name.replace("/", "-").replace(" ", "-")
    kept.mkdir(exist_ok=True)
    draw = random.Random(f"{seed} {door.name} {len(list(kept.iterdir()))}")
    inputs = door.seeds(desk) + [load(path) for path in sorted(kept.iterdir())]
    if not inputs:
        print(f"fuzz: {door.name}: no seeds", flush=True)
        return Row()
    row, reached, grown = Row(), bytearray(judge.PLACES), 0
    changer = Changer(door, inputs)  # before all is loaded: to fork a large process takes long
    call = caller(door, inputs, desk)
    end = time.monotonic() + seconds
    lines = [(line, files) for files in inputs for line in door.lines]
    if len(lines) > SEEDS:
        lines = draw.sample(lines, SEEDS)
    while time.monotonic() < end and not (most and row.inputs >= most):
        batch = [lines.pop() for _ in range(min(len(lines), TOGETHER))]
        seeded = bool(batch)
        for _ in range(TOGETHER - len(batch)):
            batch.append((draw.choice(door.lines), changer(draw.getrandbits(64))))
        cases = [case(door, desk, line, files) for line, files in batch]
        traced = seeded or draw.random() < door.traced
        for (line, files), found in zip(
            batch, judge.examine(cases, desk, call, traced), strict=True
        ):
            row.add(Row(1, found.peak, {found.fault: 1} if found.fault else {}))
            if found.fault:
                _report(door, line, files, found, out)
            new = [place for place in found.reached if not reached[place]]
            for place in new:
                reached[place] = 1
            if new and not seeded:
                grown += 1
                changer.keep(files)
                save(files, kept)
    changer.end()
    told = f"{row.inputs} inputs, {sum(reached)} lines, {grown} kept, {row.faults or 'no fault'}"
    print(f"{door.name}: {told}", flush=True)
    return row


def case(door: Door, desk: Path, line: str, files: Files) -> judge.Case:
    """Return an input as it is judged: its words, its files, and what it may not be believed in."""
    text = files.get(LINE, line.encode()).decode("utf-8", "replace")
    return judge.Case(words(line, files), files, belief.of(door.name, desk, files, text))


def caller(door: Door, inputs: list[Files], desk: Path) -> Callable[[list[str]], int]:
    """Return the command line, with all loaded that a door's lines need."""
    import tempfile

    sertool = _plain()
    here, out, err, stdin = os.getcwd(), sys.stdout, sys.stderr, sys.stdin
    for line in door.lines:
        files = inputs[0]
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder, contextlib.suppress(Exception):
            judge.put(files, Path(folder))
            os.chdir(folder)
            sys.stdin = io.TextIOWrapper(io.BytesIO(files.get(judge.STDIN, b"")))
            sys.stdout, sys.stderr = io.StringIO(), io.StringIO()
            try:
                sertool([judge._argument(word, files, desk) for word in words(line, files)])
            finally:
                sys.stdin, sys.stdout, sys.stderr = stdin, out, err
                os.chdir(here)
    gc.collect()
    gc.freeze()  # a collection in a forked process would copy all that is loaded
    threads = len(os.listdir("/proc/self/task"))
    if threads > 1:
        print(f"fuzz: {door.name}: {threads} threads before the first input", flush=True)
    return sertool


# --- inputs on disk ---


def save(files: Files, folder: Path) -> Path:
    """Keep an input as one file, named by its content."""
    text = json.dumps({name: value.decode("latin-1") for name, value in files.items()})
    content = zlib.compress(text.encode(), 6)
    path = folder / hashlib.sha256(text.encode()).hexdigest()[:16]
    path.write_bytes(content)
    return path


def load(path: Path) -> Files:
    """Return an input that `save` kept."""
    found = json.loads(zlib.decompress(path.read_bytes()))
    return {name: value.encode("latin-1") for name, value in found.items()}


_told: set[str] = set()


def _report(door: Door, line: str, files: Files, found: judge.Verdict, out: Path) -> None:
    """Print a fault, and keep the first input of its kind."""
    key = f"{found.fault}: {found.detail}"
    mark = hashlib.sha256(key.encode()).hexdigest()[:10]
    folder = out / "found" / f"{found.fault}-{mark}"
    if key in _told or folder.exists():
        return
    _told.add(key)
    folder.mkdir(parents=True)
    save(files, folder).rename(folder / "input")
    about = {"door": door.name, "line": line, "fault": key, "code": found.code, "peak": found.peak}
    (folder / "about.json").write_text(json.dumps(about, indent=1))
    (folder / "err").write_text(found.err[-20000:], errors="backslashreplace")
    print(f"  {door.name}: {key}\n    {line}   {folder}", flush=True)


def _again(folder: Path, desk: Path) -> int:
    """Repeat a fault."""
    about, files = json.loads((folder / "about.json").read_text()), load(folder / "input")
    door = next(one for one in DOORS if one.name == about["door"])
    call = caller(door, [files], desk) if about["fault"].startswith("memory") else _plain()
    again = case(door, desk, about["line"], files)
    (found,) = judge.examine([again], desk, call, trace=False)
    print(about["line"], f"code {found.code}", f"peak {found.peak:.0f} MB", sep="\n")
    print(found.out[-1000:], found.err[-4000:], sep="\n")
    print(f"{found.fault}: {found.detail}" if found.fault else "nothing is wrong")
    return 1 if found.fault else 0


def _plain() -> Callable[[list[str]], int]:
    """Return what runs the words of a line: a command line, or a request to `serve`."""
    from sertool.cli import main as sertool

    return lambda words: web.answered(words[1]) if words[0] == "serve:" else sertool(words)


if __name__ == "__main__":
    sys.exit(main())
