"""Predictions, and their lines: JSON Lines, CSV, TSV, or a table for people."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sertool.core.paths import show

FORMATS = ("jsonl", "csv", "tsv", "table")
HEARD = ("heard", "speech", "windows", "vad", "model")  # what a row says of how it was heard
BAR = 20  # characters of a full bar
SILENT = "no speech"  # in place of a bar
WORD = 7  # characters of what a further column of a table has room for at least


@dataclass(frozen=True)
class Prediction:
    """A model's prediction for a recording, or for a part of it.

    posterior: the probability of each class; label: the likeliest; confidence: its probability.
    All three are None where nobody speaks; the label alone, where its confidence is too low
    (`--reject`). duration: of the recording in seconds; start and end: of a part or a cut, in
    seconds. heard: how many seconds the model was given, in how many `windows`; speech: the share
    of them in which somebody speaks, None with `--vad off`; vad: what found it. model: its name
    and the beginning of its file's hash. path: the file, or "samples 0", by their place in a list.
    further: the channel (`--channel`); by which of several models (`train --per`), and who chose.

    >>> made = load("model.ckpt").predict("corpus/spk01/spk01_sadness_s1_r2.flac")
    >>> made.label, made.confidence == max(made.posterior.values()), round(made.duration, 2)
    ('sadness', True, 0.9)
    >>> round(made.heard, 2), made.windows, made.vad, made.model.partition("@")[0]
    (0.9, 1, 'energy', 'linear')
    """

    path: str
    label: str | None
    confidence: float | None
    posterior: dict[str, float] | None
    duration: float
    heard: float
    speech: float | None
    windows: int
    vad: str
    model: str
    start: float | None = None
    end: float | None = None
    further: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Unread:
    """A recording, or a window of a stream, that has no prediction, and why."""

    path: str
    error: str
    start: float | None = None
    end: float | None = None


Row = Prediction | Unread
Formatter = Callable[[Row], str]


def _values(row: Row) -> dict[str, Any]:
    """Return a row as JSON values: `start` and `end` only where it is a window or a cut."""
    further = dict(getattr(row, "further", {}))
    found = vars(row) | further
    found.pop("further", None)
    span = {name: found.pop(name) for name in ("start", "end")}
    return {"path": row.path} | ({} if set(span.values()) == {None} else span) | found


def formatter(
    name: str, classes: Sequence[str], further: Sequence[str] = ()
) -> tuple[str, Formatter]:
    """Return (header, function from a row to its text): both end with a newline, if not empty.

    classes and further: the names that `posterior` and `further` have in every row.
    """
    if name == "jsonl":
        return "", lambda row: json.dumps(_values(row), ensure_ascii=False, allow_nan=False) + "\n"
    if name == "table":
        return _table(classes, further)
    return _separated("," if name == "csv" else "\t", classes, further)


def _separated(
    delimiter: str, classes: Sequence[str], further: Sequence[str]
) -> tuple[str, Formatter]:
    names = ["path", "start", "end", "label", "confidence", "duration", *HEARD, *further]
    names += [*(f"p_{name}" for name in classes), "error"]

    def line(values: Sequence[Any]) -> str:
        buffer = io.StringIO()
        csv.writer(buffer, delimiter=delimiter, lineterminator="\n").writerow(values)
        return buffer.getvalue()

    def text(row: Row) -> str:
        found = _values(row)
        shares = found.get("posterior") or {}
        found |= {f"p_{name}": share for name, share in shares.items()}
        return line([found.get(name) for name in names])

    return line(names), text


def _table(classes: Sequence[str], further: Sequence[str]) -> tuple[str, Formatter]:
    width = max(5, *(len(name) for name in classes))
    widths = {name: max(len(name), WORD) for name in further}

    def text(row: Row) -> str:
        path = show(row.path)
        span = f"{row.start:.2f}–{row.end:.2f} s  " if row.end is not None else ""
        if isinstance(row, Unread):
            return f"{'–':<{width}}  {span}{path}: {row.error}\n"
        sure = row.confidence
        bar = SILENT if sure is None else "█" * round(BAR * sure)
        share = f"{'':5}" if sure is None else f"{100 * sure:5.1f}"
        more = "".join(f"{show(row.further[name] or ''):<{n}}  " for name, n in widths.items())
        label = row.label or "–"
        return f"{label:<{width}}  {share}  {bar:<{BAR}}  {more}{span}{path}\n"

    more = "".join(f"{name:<{n}}  " for name, n in widths.items())
    return f"{'label':<{width}}  {'%':>5}  {'':<{BAR}}  {more}path\n", text
