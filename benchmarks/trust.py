"""The tables of docs/trust.md, from the counts that the scripts behind it kept.

    python benchmarks/trust.py

`results/trust/*.json` are what was tried to break it, a file a script:

    {"command": "make soak",
     "rows": [{"what": "…", "cases": 1200, "lost": 0, "tracebacks": 0, "hangs": 0, "peak_mb": 300}]}

`wrong` counts other failures, where there are any. `results/load.json` is what `make load` took.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "trust.md"
KEPT = HERE / "results" / "trust"
LOAD = HERE / "results" / "load.json"
BEGIN, END = "<!-- {} from benchmarks/trust.py -->", "<!-- end of {} -->"
COUNTS = ("cases", "lost", "tracebacks", "hangs", "wrong")


def tried() -> str:
    """Return the table of what was tried, with the sums of all at its end."""
    head = ["what was tried", "how often", "data lost", "tracebacks", "hangs", "otherwise wrong",
            "peak MB", "repeated by"]  # fmt: skip
    lines = [_line(head), "| --- |" + " ---: |" * 6 + " --- |"]
    total = dict.fromkeys(COUNTS, 0)
    peaks = []
    for path in sorted(KEPT.glob("*.json")):
        made = json.loads(path.read_text("utf-8"))
        for row in made["rows"]:
            counts = {name: int(row.get(name) or 0) for name in COUNTS}
            total = {name: total[name] + counts[name] for name in COUNTS}
            peak = row.get("peak_mb")
            peaks += [] if peak is None else [peak]
            cells = [row["what"], *(f"{n:,}" for n in counts.values())]
            cells += ["" if peak is None else f"{peak:,.0f}", f"`{made['command']}`"]
            lines.append(_line(cells))
    if len(lines) == 2:
        return "Nothing was counted yet."
    most = f"{max(peaks):,.0f}" if peaks else ""
    lines.append(_line(["all", *(f"{n:,}" for n in total.values()), most, ""]))
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def load() -> str:
    """Return the table of every stage under load: a row a stage, a column a size."""
    rows = {row["what"]: row for row in json.loads(LOAD.read_text("utf-8"))["rows"]}
    parts: dict[str, dict[str, dict[str, str]]] = {}
    for what, row in rows.items():
        if f"{what}, memory" not in rows:
            continue
        head, stage = what.split(": ", 1)
        part, size = head.split(", ", 1)
        peak = rows[f"{what}, memory"]["value"]
        cell = f"{row['value']:,.1f} s, {peak:,.0f} MB"
        parts.setdefault(part, {}).setdefault(stage, {})[size] = cell
    made = []
    for stages in parts.values():
        sizes = sorted({s for cells in stages.values() for s in cells}, key=_number)
        lines = [_line(["stage", *sizes]), f"| --- |{' ---: |' * len(sizes)}"]
        for stage, cells in stages.items():
            lines.append(_line([stage, *(cells.get(size, "") for size in sizes)]))
        made.append("\n".join(lines))
    return "\n\n".join(made)


def _number(size: str) -> int:
    return int(size.split()[0].replace(",", ""))


TABLES = {"what was tried": tried, "the load": load}


def filled(page: str) -> str:
    """Return the page with its tables made anew between their marks."""
    for name, make in TABLES.items():
        before, rest = page.split(BEGIN.format(name))
        after = rest.split(END.format(name))[1]
        page = f"{before}{BEGIN.format(name)}\n{make()}\n{END.format(name)}{after}"
    return page


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text("utf-8")), encoding="utf-8")
    print(tried(), load(), sep="\n\n")
