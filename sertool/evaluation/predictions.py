"""Predictions as lines: JSON Lines, CSV, TSV, or a table for people."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from typing import Any

from sertool.core.paths import show

FORMATS = ("jsonl", "csv", "tsv", "table")
BAR = 20  # characters of a full bar
WORD = 7  # characters of what a further column of a table has room for at least
Row = dict[str, Any]
Formatter = Callable[[Row], str]


def formatter(
    name: str, classes: Sequence[str], further: Sequence[str] = ()
) -> tuple[str, Formatter]:
    """Return (header, function from a row to its text): both end with a newline, if not empty.

    A row has `path`, `label`, `confidence`, `posterior`, `duration`, or `path` and `error`;
    `start` and `end` where it is a window or a cut; and what `further` names.
    """
    if name == "jsonl":
        return "", lambda row: json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"
    if name == "table":
        return _table(classes, further)
    return _separated("," if name == "csv" else "\t", classes, further)


def _separated(
    delimiter: str, classes: Sequence[str], further: Sequence[str]
) -> tuple[str, Formatter]:
    fields = ["path", "start", "end", "label", "confidence", "duration", *further]

    def line(values: Sequence[Any]) -> str:
        buffer = io.StringIO()
        csv.writer(buffer, delimiter=delimiter, lineterminator="\n").writerow(values)
        return buffer.getvalue()

    def text(row: Row) -> str:
        posterior = row.get("posterior", {})
        values = [row.get(field) for field in fields]
        values += [posterior.get(name) for name in classes]
        return line([*values, row.get("error")])

    return line([*fields, *(f"p_{name}" for name in classes), "error"]), text


def _table(classes: Sequence[str], further: Sequence[str]) -> tuple[str, Formatter]:
    width = max(5, *(len(name) for name in classes))
    widths = {name: max(len(name), WORD) for name in further}

    def text(row: Row) -> str:
        path = show(row["path"])
        span = f"{row['start']:.2f}–{row['end']:.2f} s  " if row.get("end") is not None else ""
        if "error" in row:
            return f"{'–':<{width}}  {span}{path}: {row['error']}\n"
        bar = "█" * round(BAR * row["confidence"])
        share = f"{100 * row['confidence']:5.1f}"
        more = "".join(f"{show(row[name]):<{n}}  " for name, n in widths.items())
        return f"{row['label']:<{width}}  {share}  {bar:<{BAR}}  {more}{span}{path}\n"

    more = "".join(f"{name:<{n}}  " for name, n in widths.items())
    return f"{'label':<{width}}  {'%':>5}  {'':<{BAR}}  {more}path\n", text
