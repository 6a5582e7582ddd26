"""Predictions, and their lines: JSON Lines, CSV, TSV, or a table for people."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sertool.core.paths import show
from sertool.core.texts import json_text, visible

FORMATS = ("jsonl", "csv", "tsv", "table")
HEARD = ("heard", "speech", "windows", "vad", "model")  # what a row says of how it was heard
OF_CLASSES = ("label", "confidence", "posterior")  # what a row of numbers lacks
TABLE_DIGITS = 4
HEARD_WIDTH = 18  # "1234.5 of 1234.5 s"
BAR = 20  # characters of a full bar
SILENT = "no speech"  # in place of a bar
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # begin what may run
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

    @property
    def silent(self) -> bool:
        """Whether there was nothing to predict from: nobody speaks."""
        return self.posterior is None


@dataclass(frozen=True)
class NumberPrediction(Prediction):
    """The prediction of a model of numbers: label, confidence and posterior are None.

    numbers: by field, the mean over the windows; None where nobody speaks.
    """

    numbers: dict[str, float] | None = None

    @property
    def silent(self) -> bool:
        """Whether there was nothing to predict from: nobody speaks."""
        return self.numbers is None


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
    head = {"path": row.path} | ({} if set(span.values()) == {None} else span)
    if isinstance(row, NumberPrediction):
        head["numbers"] = found.pop("numbers")
        found = {name: value for name, value in found.items() if name not in OF_CLASSES}
    return head | found


def formatter(
    name: str,
    classes: Sequence[str],
    further: Sequence[str] = (),
    digits: int | None = None,
    numbers: Sequence[str] = (),
    raw: bool = False,
) -> tuple[str, Formatter]:
    """Return (header, function from a row to its text): both end with a newline, if not empty.

    classes and further: the names that `posterior` and `further` have in every row. numbers: the
    fields that a model of numbers says, of which no row has a label. digits: after
    the point, at most; None for all, and for `TABLE_DIGITS` in a table. raw: texts of CSV and TSV
    as they are; else those that a spreadsheet would run begin with a quote (see `_cell`).
    """
    if name == "table":
        places = TABLE_DIGITS if digits is None else digits
        head, line = (
            _number_table(numbers, further, places) if numbers else _table(classes, further, places)
        )
        return visible(head), lambda row: visible(line(row))
    if name == "jsonl":
        return "", lambda row: _json(_rounded(_values(row), digits))
    return _separated("," if name == "csv" else "\t", classes, further, digits, numbers, raw)


def _json(values: dict[str, Any]) -> str:
    return json_text(values) + "\n"


def _rounded(value: Any, digits: int | None) -> Any:
    """Return a value with its numbers rounded, those of a table within it, too."""
    if digits is None:
        return value
    if isinstance(value, dict):
        return {name: _rounded(inner, digits) for name, inner in value.items()}
    return round(value, digits) if isinstance(value, float) else value


def _separated(
    delimiter: str,
    classes: Sequence[str],
    further: Sequence[str],
    digits: int | None,
    numbers: Sequence[str],
    raw: bool,
) -> tuple[str, Formatter]:
    said = numbers or ["label", "confidence"]
    names = ["path", "start", "end", *said, "duration", *HEARD, *further]
    names += [*(f"p_{name}" for name in classes), "error"]

    def line(values: Sequence[Any]) -> str:
        buffer = io.StringIO()
        csv.writer(buffer, delimiter=delimiter, lineterminator="\n").writerow(
            values if raw else [_cell(value) for value in values]
        )
        return buffer.getvalue()

    def text(row: Row) -> str:
        found = _rounded(_values(row), digits)
        shares = found.get("posterior") or {}
        found |= found.get("numbers") or {}
        found |= {f"p_{name}": share for name, share in shares.items()}
        return line([found.get(name) for name in names])

    return line(names), text


def _cell(value: Any) -> Any:
    """Return what a spreadsheet shows and neither it nor a terminal runs: a text that begins as a
    formula does gets a quote before it (OWASP, "CSV injection"), what steers becomes an escape.
    """
    if not isinstance(value, str):
        return value
    return visible(f"'{value}" if value.startswith(FORMULA) else value)


def _table(classes: Sequence[str], further: Sequence[str], digits: int) -> tuple[str, Formatter]:
    width = max(5, *(len(name) for name in classes))
    widths = {name: max(len(name), WORD) for name in further}
    sure_width = max(len("confidence"), digits + 2)

    def text(row: Row) -> str:
        path = show(row.path)
        span = f"{row.start:.2f}–{row.end:.2f} s  " if row.end is not None else ""
        if isinstance(row, Unread):
            return f"{'–':<{width}}  {span}{path}: {row.error}\n"
        sure = row.confidence
        bar = SILENT if sure is None else "█" * round(BAR * sure)
        share = "" if sure is None else f"{sure:.{digits}f}"
        more = "".join(f"{show(row.further[name] or ''):<{n}}  " for name, n in widths.items())
        heard = f"{row.heard:.1f} of {row.duration:.1f} s"
        label = row.label or "–"
        line = (
            f"{label:<{width}}  {share:>{sure_width}}  {bar:<{BAR}}  {more}{heard:>{HEARD_WIDTH}}"
        )
        return f"{line}  {span}{path}\n"

    more = "".join(f"{name:<{n}}  " for name, n in widths.items())
    head = f"{'label':<{width}}  {'confidence':>{sure_width}}  {'':<{BAR}}  {more}"
    return f"{head}{'heard':>{HEARD_WIDTH}}  path\n", text


def _number_table(
    fields: Sequence[str], further: Sequence[str], digits: int
) -> tuple[str, Formatter]:
    widths = {name: max(len(name), digits + 4) for name in fields}
    more_widths = {name: max(len(name), WORD) for name in further}

    def text(row: Row) -> str:
        path = show(row.path)
        span = f"{row.start:.2f}–{row.end:.2f} s  " if row.end is not None else ""
        numbers = row.numbers if isinstance(row, NumberPrediction) else None
        known = numbers or {}
        cells = [f"{known[name]:.{digits}f}" if name in known else "–" for name in fields]
        line = "".join(f"{cell:>{n}}  " for cell, n in zip(cells, widths.values(), strict=True))
        if isinstance(row, Unread):
            return f"{line}{span}{path}: {row.error}\n"
        line += "".join(
            f"{show(row.further[name] or ''):<{n}}  " for name, n in more_widths.items()
        )
        heard = f"{row.heard:.1f} of {row.duration:.1f} s"
        return f"{line}{heard:>{HEARD_WIDTH}}  {span}{path}\n"

    head = "".join(f"{name:>{n}}  " for name, n in widths.items())
    head += "".join(f"{name:<{n}}  " for name, n in more_widths.items())
    return f"{head}{'heard':>{HEARD_WIDTH}}  path\n", text
