"""`make bench`: every script here in turn, its figures kept, and the page's table of them.

    python benchmarks/bench.py RAVDESS/ [NAME …]    runs all scripts, or those named
    python benchmarks/bench.py --page               only writes the table again from what is kept

A script's figures go to benchmarks/results/NAME.json (measured.py says in what form); the table in
benchmarks/README.md stands between two marks. Sentences of quotes.toml, filled with these figures,
must stand in README.md word by word: a test says so, and what is printed here is what to paste.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
KEPT = HERE / "results"
PAGE = HERE / "README.md"
QUOTES = HERE / "quotes.toml"
MARKS = ("<!-- what `make bench` printed -->", "<!-- end of it -->")
FOLDER = "FOLDER"
SCRIPTS = {  # in the page's order; what each is given beside --quick and --json
    "featurize": [FOLDER],
    "predict": [FOLDER],
    "train": [],
    "startup": [],
    "latency": [],
    "serve": [],
    "stores": [],
    "growth": [FOLDER],
    "precision": [],
    "batches": [FOLDER, "--kind", "logpower", "--model", "ma2018"],
    "augment": [],
    "semi_cnn": [],
}
APART = ("load",)  # takes hours, by `make load`; docs/trust.md has its table


def main() -> int:
    """Run what is asked for; write the table; 1 where a script failed, whose old figures stay."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="RAVDESS, unpacked")
    parser.add_argument("names", nargs="*", metavar="NAME", help="scripts (default: all)")
    parser.add_argument("--page", action="store_true", help="run nothing, write the table")
    given = parser.parse_args()
    if unknown := set(given.names) - set(SCRIPTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))} (there are {', '.join(SCRIPTS)})")
    if not given.page and not (given.folder and given.folder.is_dir()):
        parser.error("give a folder of recordings: python benchmarks/bench.py RAVDESS/")
    chosen = [] if given.page else [n for n in SCRIPTS if n in (given.names or SCRIPTS)]
    failed = [name for name in chosen if not run(name, given.folder)]
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(table(kept()), *sentences(), sep="\n")
    for name in failed:
        print(f"{name}: failed, its figures are of another run", file=sys.stderr)
    return bool(failed)


def run(name: str, folder: Path) -> bool:
    """Run a script and keep its figures; return whether it succeeded."""
    words = [str(folder) if word == FOLDER else word for word in SCRIPTS[name]]
    line = [sys.executable, str(HERE / f"{name}.py"), *words, "--quick"]
    begin = time.monotonic()
    code = subprocess.run([*line, "--json", str(KEPT / f"{name}.json")], stdout=sys.stderr)
    print(f"{name}: {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    return not code.returncode


def kept() -> dict[str, dict[str, Any]]:
    """Return what is kept of each script, in the page's order."""
    paths = {name: KEPT / f"{name}.json" for name in SCRIPTS}
    return {n: json.loads(path.read_text("utf-8")) for n, path in paths.items() if path.exists()}


def table(found: dict[str, dict[str, Any]]) -> str:
    """Return the table of ratios and bounds, what falls short, and versions.

    >>> row = {"what": "a", "value": 2.0, "unit": "ms", "ratio": 2.0, "beside": "b"}
    >>> made = {"command": "python a.py", "versions": {}, "processor": "p", "cores": 2}
    >>> one = made | {"rows": [row | {"target": "≤ 1", "met": False, "why": "slow"}]}
    >>> "| `a` | a | 2 ms | 2.00 × b | ≤ 1, missed |" in table({"a": one})
    True
    """
    lines = ["| script | what | takes | beside | target |", "| --- | --- | ---: | ---: | --- |"]
    short = []
    for name, document in found.items():
        for row in document["rows"]:
            if row["ratio"] is None and row["target"] is None:  # a figure that others stand beside
                continue
            beside = "" if row["ratio"] is None else f"{row['ratio']:.2f} × {row['beside']}"
            target = row["target"] or ""
            if row["met"] is not None:
                target += ", met" if row["met"] else ", missed"
            taken = f"{row['value']:.3g} {row['unit']}".strip()
            lines.append(f"| `{name}` | {row['what']} | {taken} | {beside} | {target} |")
            if row["met"] is False:
                short.append(f"- `{name}`, {row['what']}: {row['why'] or 'open'}")
    lines += ["", "What falls short, and why:", "", *short] if short else []
    return "\n".join([*lines, "", *made_with(found)])


def made_with(found: dict[str, dict[str, Any]]) -> list[str]:
    """Return a line for each set of versions and processor, with the commands run under it."""
    groups: dict[str, list[str]] = {}
    for document in found.values():
        versions = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
        machine = f"{document['cores']} cores ({document['processor']}), {versions}"
        groups.setdefault(machine, []).append(f"`{document['command']}`")
    return [f"On {machine}: {'; '.join(commands)}." for machine, commands in groups.items()]


def filled(page: str) -> str:
    """Return the page with the table of what is kept between its marks."""
    before, rest = page.split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    return f"{before}{MARKS[0]}\n{table(kept())}\n{MARKS[1]}{after}"


def sentences() -> list[str]:
    """Return the sentences of quotes.toml with their figures, as README.md has them."""
    found = kept()
    quotes = tomllib.loads(QUOTES.read_text("utf-8"))["sentence"]
    return [
        one["text"].format(**{name: figure(found, **at) for name, at in one["figures"].items()})
        for one in quotes
    ]


def figure(
    found: dict[str, dict[str, Any]],
    script: str,
    what: str,
    of: str = "ratio",
    decimals: int = 1,
    over: str | None = None,
) -> str:
    """Return a row's ratio, or its value, as a page quotes it; `over`: the values of two rows."""
    rows = {row["what"]: row for row in found[script]["rows"]}
    value = float(rows[what]["value" if over else of])
    return f"{value / rows[over]['value'] if over else value:.{decimals}f}"


if __name__ == "__main__":
    sys.exit(main())
