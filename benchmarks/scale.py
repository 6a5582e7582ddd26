"""What ten thousand hours and a million cost, worked out from the kept figures of growth.py.

    python benchmarks/scale.py    writes the tables of docs/scale.md again, between their marks

Nothing is measured here: a table's cell is a measured cost of a file, times the files of so many
hours, and says so. Cores are those of the machine that measured.
"""

from __future__ import annotations

import json
import sys

from bench import KEPT

PAGE = KEPT.parents[1] / "docs" / "scale.md"
MARKS = ("<!-- from benchmarks/scale.py -->", "<!-- end of it -->")
HOURS = (10_000, 1_000_000)
NODES, CORES = 16, 16
RATE = 16000  # Hz, of the recordings
WRITTEN = {
    "m.jsonl": "a manifest",
    "p.jsonl": "lines of `predict`",
    "r.json": "a report with items",
}
SPREAD = ("featurize mel", "augment", "predict")  # those whose work divides over machines
ONCE = ("info", "info --audit", "report")  # whose cost is not of files alone
FORMATS = {  # bytes of a second of sound: frames a second, values of a frame, bytes of a value
    "`wave`, int16, 16 kHz": (RATE, 1, 2),
    "`mel`, 128 bands, hop 10 ms, float32": (100, 128, 4),
    "`mel`, 64 bands, hop 10 ms, float32": (100, 64, 4),
    "`mel`, 64 bands, hop 10 ms, float16": (100, 64, 2),
    "`mfcc`, 40 values, hop 10 ms, float32": (100, 40, 4),
}


def main() -> None:
    """Write the page's tables."""
    PAGE.write_text(filled(PAGE.read_text("utf-8")), "utf-8")


def filled(page: str) -> str:
    """Return the page with both tables between their marks, in order."""
    rows = {r["what"]: r for r in json.loads((KEPT / "growth.json").read_text("utf-8"))["rows"]}
    first, second, last = page.split(MARKS[0])
    made = [time_table(rows), disk_table(rows)]
    parts = [text.split(MARKS[1])[1] for text in (second, last)]
    pairs = zip(made, parts, strict=True)
    return first + "".join(f"{MARKS[0]}\n{table}\n{MARKS[1]}{rest}" for table, rest in pairs)


def files(rows: dict[str, dict[str, float]], hours: int) -> float:
    """Return how many recordings of the measured mean length so many hours are."""
    return hours * 3600 / rows["mean length of a file"]["value"]


def time_table(rows: dict[str, dict[str, float]]) -> str:
    """Return processor time of the stages, its wall time on some nodes, and memory."""
    heads = " | ".join(f"{hours:,} h: core-hours | on {NODES} × {CORES} cores" for hours in HOURS)
    lines = [f"| stage | CPU of a file | {heads} | memory of a further item |"]
    lines.append("| --- |" + " ---: |" * (2 * len(HOURS) + 2))
    for what, row in rows.items():
        stage = what.split(", ")[0]
        if row["unit"] != "ms CPU a file" or stage in ONCE:
            continue
        cells = []
        for hours in HOURS:
            core = row["value"] * files(rows, hours) / 3.6e6
            wall = core / (NODES * CORES)
            cells += [
                f"{core:,.1f}" if core < 100 else f"{core:,.0f}",
                clock(wall) if stage in SPREAD else "one process",
            ]
        kept = rows.get(f"{stage}, memory of a further item")
        memory = "none beyond 512 MB"
        if kept:
            whole = amount(1e3 * kept["value"] * files(rows, HOURS[0]))
            memory = f"{kept['value']:.1f} kB, {whole} for {HOURS[0]:,} h"
        lines.append(f"| {stage} | {row['value']:.2f} ms | {' | '.join(cells)} | {memory} |")
    return "\n".join(lines)


def clock(hours: float) -> str:
    """Return hours as a person says them.

    >>> clock(0.05), clock(5), clock(100)
    ('3 min', '5.0 h', '4.2 days')
    """
    if hours < 1:
        return f"{60 * hours:.0f} min" if hours > 1 / 60 else "under a minute"
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"


def disk_table(rows: dict[str, dict[str, float]]) -> str:
    """Return the bytes of what the stages write."""
    heads = " | ".join(f"{hours:,} h" for hours in HOURS)
    lines = [f"| what | an hour | {heads} |", "| --- |" + " ---: |" * (1 + len(HOURS))]
    sizes = {name: rate * n * bytes_ * 3600 for name, (rate, n, bytes_) in FORMATS.items()}
    for name, text in WRITTEN.items():
        sizes[text] = rows[f"{name}, of a file"]["value"] * 1e3 * files(rows, 1)
    for text, size in sizes.items():
        cells = " | ".join(amount(size * hours) for hours in HOURS)
        lines.append(f"| {text} | {amount(size)} | {cells} |")
    return "\n".join(lines)


def amount(size: float) -> str:
    """Return bytes as a person says them.

    >>> amount(1.5e6), amount(2e12)
    ('1.5 MB', '2 TB')
    """
    for unit, scale in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if size >= scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size / 1e3:.3g} kB"


if __name__ == "__main__":
    sys.exit(main())
