"""Figures, runs and names as people read them: "50.8 ± 1.2", "3 seeds × 6 folds"."""

from __future__ import annotations

from collections.abc import Sequence

from sertool import metrics, regression
from sertool.evaluation import pooling, reliability, voted
from sertool.evaluation.measures import Difference, Value
from sertool.evaluation.stuck import Stuck
from sertool.papers.papers import UNITS
from sertool.papers.study import EVERY, Row, System

COUNTED = ("files", "items")  # units
NAMES = {
    "fold_accuracy": "WA, mean of folds",
    "fold_uar": "UAR, mean of folds",
    "auc": "AUC",
    "f1": "F1",
    "weighted_f1": "weighted F1",
    "macro_auc": "macro AUC",
    "weighted_auc": "weighted AUC",
    "train_log_loss": "cross-entropy in training",
}


def named(measure: str) -> str:
    """Return what a table calls a measure: "WA" for accuracy."""
    if metric := metrics.known().get(measure):
        return metric.label
    of, _, target = measure.partition(" ")
    if number := regression.MEASURES.get(of):
        return f"{number.label} {target}".strip()
    return (NAMES | reliability.LABELS | voted.LABELS).get(measure, measure.replace("_", " "))


def unit(measure: str) -> str:
    """Return the unit in which a table has a metric, or a measure of numbers."""
    metric = metrics.known().get(measure)
    return "%" if metric and metric.percent else "1"


def mark(i: int) -> str:
    """Return the sign of a table's i-th note: a, b, …, z, aa."""
    return f"({chr(97 + i) if i < 26 else chr(96 + i // 26) + chr(97 + i % 26)})"


def label(row: Row) -> str:
    """Return what a row's figures are, with their unit: "recall of anger, %"."""
    figure = row.figure
    name = named(figure["measure"])
    if "class" in figure:
        name += f" of {figure['class']}"
    if "truth" in figure:
        name = f"{figure['truth']} → {figure.get('prediction', '')}"
    unit = "" if row.unit == "1" else f", {row.unit}"
    return f"{name}{unit}" + (f": {row.baseline}" if row.baseline else part(row))


def part(row: Row) -> str:
    """Return which part of a system's test a row is of; "" for all of it, where no cell asked."""
    if row.part == EVERY:
        return ""
    return f" (the {row.part[1]} part of its test)" if row.sliced else f" ({row.part[1]} alone)"


def noted(text: str, note: str, notes: list[str]) -> str:
    """Return a text with the mark of its note, which is added to a table's `notes`."""
    if note and note not in notes:
        notes.append(note)
    return f"{text} {mark(notes.index(note))}".strip() if note else text


def published(row: Row, notes: list[str]) -> str:
    """Return the paper's number as printed, with its spread and the mark of its note."""
    cell = row.published
    if cell is None:
        return ""
    return noted(f"{cell.value}" + ("" if cell.sd is None else f" ± {cell.sd}"), cell.note, notes)


def mean(found: Value | None, unit: str) -> str:
    """Return "50.8", "–" for no value; a whole count has no decimals."""
    if found is None:
        return "–"
    factor, decimals = UNITS[unit]
    text = f"{factor * found.mean:.{decimals}f}"
    return text.removesuffix(".0") if unit in COUNTED else text


def value(found: Value | None, unit: str) -> str:
    """Return "50.8 ± 1.2", its interval on a second line; "–" for no value."""
    if found is None:
        return "–"
    factor, decimals = UNITS[unit]
    text = mean(found, unit)
    if found.sd is not None:
        text += f" ± {factor * found.sd:.{decimals}f}"
    if found.ci and found.ci[0] < found.ci[1]:
        text += f"\n[{factor * found.ci[0]:.{decimals}f}, {factor * found.ci[1]:.{decimals}f}]"
    return text


def runs_of(run: pooling.Pooled) -> str:
    """Return "5 seeds", "6 folds", "3 seeds × 6 folds" or "1 run"; a checkpoint is a fold."""
    folds = {sum(max(1, len(report.figures.folds)) for report in each) for each in run.reports}
    most = max(folds)
    parts = [f"{len(run.seeds)} seeds"] if len(run.seeds) > 1 else []
    parts += [f"{most} folds" if len(folds) == 1 else f"up to {most} folds"] if most > 1 else []
    return " × ".join(parts) or "1 run"


def stuck_runs(failed: Stuck) -> str:
    """Return "3 of 30 runs"."""
    return f"{failed.runs} of {failed.of} run" + "s" * (failed.of != 1)


def difference(found: Difference | None, unit: str) -> str:
    """Return "+13.2", its interval on a second line; "" for none."""
    if found is None:
        return ""
    factor, decimals = UNITS[unit]
    text = f"{factor * found.value:+.{decimals}f}"
    if found.ci:
        text += f"\n[{factor * found.ci[0]:+.{decimals}f}, {factor * found.ci[1]:+.{decimals}f}]"
    return text


def telling(systems: Sequence[System]) -> list[str]:
    """Return the keys that distinguish systems: tags, epochs, and what tags leave open."""
    tagged: dict[str, None] = {}
    for system in systems:
        for run in system.runs.values():
            tagged |= dict.fromkeys(key for key in run.tags if key != "protocol")
    made = dict.fromkeys(key for s in systems for key in s.tags if key not in tagged)
    differing: set[str] = set()
    for key in made:
        seen: dict[tuple[str, ...], str] = {}
        for system in systems:
            told = tuple(system.tags.get(name, "") for name in tagged)
            value = system.tags.get(key, "")
            if seen.setdefault(told, value) != value:
                differing.add(key)
    shown = {"epochs", *differing, *([] if tagged else ["model"])}
    return [*tagged, *(key for key in made if key in shown)]
