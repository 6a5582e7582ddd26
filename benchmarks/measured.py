"""The common form of what a benchmark measures, as JSON, for `make bench` and the page's table.

A script adds `--json FILE` and `--quick` with `options(parser)` and ends with
`write(given.json, rows)`; without FILE that does nothing. The file:

    {"name": "startup",                    the script's, without .py
     "command": "python benchmarks/startup.py --quick",   without --json, folders by their last name
     "versions": {"python": …, "sertool": …, "numpy": …, "torch": …, "onnxruntime": …, …},
     "processor": "AMD EPYC", "cores": 2,
     "rows": [{"what": "sertool --help",   the job
               "value": 157.1, "unit": "ms CPU",          what it took
               "beside": "a bare Typer's --help", "ratio": 1.05,   value over (or under) that peer's
               "target": "≤ 1.3", "met": true,            of the ratio, of the value without one
               "why": ""}]}                where it falls short: the profile that says why

`beside`, `ratio`, `target` and `met` are null where a row is only a figure. A row's `what` is one
of its script's alone, and stays the same from run to run: pages quote figures by it.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from sertool.core.environment import environment

PEERS = ("onnxruntime", "opensmile", "dask", "fsspec")  # beside what sertool itself computes with


@dataclass(frozen=True)
class Row:
    """A figure, what it is compared with, and the bound that the ratio (else the value) keeps."""

    what: str
    value: float
    unit: str
    beside: str | None = None
    ratio: float | None = None
    at_most: float | None = None
    at_least: float | None = None
    why: str = ""  # what the profile says where it falls short

    @property
    def target(self) -> str | None:
        """The bound as a page prints it."""
        if self.at_most is not None:
            return f"≤ {self.at_most:g}"
        return None if self.at_least is None else f"≥ {self.at_least:g}"

    @property
    def met(self) -> bool | None:
        """Whether the bound is kept; None without one."""
        figure = self.value if self.ratio is None else self.ratio
        if self.at_most is not None:
            return figure <= self.at_most
        return None if self.at_least is None else figure >= self.at_least

    def facts(self) -> dict[str, object]:
        """Return the row as it stands in the file."""
        kept = {k: v for k, v in asdict(self).items() if k not in ("at_most", "at_least")}
        return kept | {"target": self.target, "met": self.met}


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options that every script has."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures in this file")
    parser.add_argument("--quick", action="store_true", help="less of all: for `make bench`")


def write(path: Path | None, rows: list[Row], *, add: bool = False) -> None:
    """Write the rows of the running script to a file; without one, do nothing.

    add: keep those of an earlier run in the file that are of something else.
    """
    if path is None:
        return
    found = [row.facts() for row in rows]
    if add and path.exists():
        own = {row.what for row in rows}
        before = json.loads(path.read_text("utf-8"))["rows"]
        found = [row for row in before if row["what"] not in own] + found
    versions = environment()
    processor = versions.pop("processor")
    for name in PEERS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    document = {
        "name": Path(sys.argv[0]).stem,
        "command": command(sys.argv[1:]),
        "versions": versions,
        "processor": processor,
        "cores": os.cpu_count(),
        "rows": found,
    }
    path.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def command(arguments: list[str]) -> str:
    """Return the running script's command line, without --json and without what leads to a folder.

    >>> command(["--json", "out.json", "--files", "200"]).endswith(".py --files 200")
    True
    """
    words = iter(arguments)
    kept = []
    for word in words:
        if word == "--json":
            next(words, None)
        elif not word.startswith("--json="):
            folder = os.sep in word and os.path.isdir(word)
            kept.append(f"{Path(word).name.upper()}/" if folder else word)
    return shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *kept])


@dataclass(frozen=True)
class Cost:
    """What a command took: seconds of CPU with its workers', of wall time, and its peak MB."""

    cpu: float
    wall: float
    peak: float  # of its largest process


# A process begins with the peak of the one it was forked from: so a small one starts the command.
SMALL = """
import json, os, resource, subprocess, sys, time
data = int(sys.argv[1])
if data:
    resource.setrlimit(resource.RLIMIT_DATA, (data, data))
begin = time.monotonic()
process = subprocess.Popen(sys.argv[2:], stdout=subprocess.DEVNULL)
_, status, used = os.wait4(process.pid, 0)
wall, cpu = time.monotonic() - begin, used.ru_utime + used.ru_stime
print(json.dumps([os.waitstatus_to_exitcode(status), cpu, wall, used.ru_maxrss]))
"""
THREADS = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}


def cost(*words: object, data: float = 0) -> Cost:
    """Run `sertool` with these arguments, one thread a process; return what that took.

    data: MB of memory of its own that the system lets each process ask for; 0 for any.
    """
    start = [sys.executable, "-S", "-c", SMALL, str(int(data * 1e6)), sys.executable]
    line = [*start, "-m", "sertool", *map(str, words)]
    done = subprocess.run(line, capture_output=True, text=True, env=os.environ | THREADS)
    code, cpu, wall, most = json.loads(done.stdout)
    if code:
        sys.exit(f"sertool {shlex.join(map(str, words))}: exit {code}\n{done.stderr}")
    return Cost(cpu, wall, most / (1 << 20 if sys.platform == "darwin" else 1 << 10))
