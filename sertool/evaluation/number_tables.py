"""A report of numbers as tables in the terminal: results by target, and speakers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sertool import regression
from sertool.core.paths import show
from sertool.evaluation.report import NumberReport, TargetFigures
from sertool.ui.tables import columns

if TYPE_CHECKING:
    from rich.table import Table

WORST = 10  # speakers listed one by one
ORDER = ("ridge", "mean")  # the stronger first


def shown(value: float | None) -> str:
    """Return a number with three decimals, or four digits where it is large; "–" for none."""
    if value is None:
        return "–"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.4g}"


def interval(own: TargetFigures, name: str) -> str:
    """Return a measure with its interval: "0.512 [0.430, 0.601]"."""
    low, high = own.ci.get(name, (None, None))
    value = shown(getattr(own, name))
    return value if low is None else f"{value} [{shown(low)}, {shown(high)}]"


def result_tables(report: NumberReport) -> list[Table]:
    """A table of two measures each, with intervals: every target by model and baselines."""
    measures = list(regression.MEASURES.values())
    name = (report.model and report.model.name) or "model"
    baselines = [n for n in ORDER if n in report.baselines and n != name]
    tables = []
    for pair in (measures[:2], measures[2:]):
        table = columns("", *(measure.label for measure in pair))
        for field, own in report.figures.targets.items():
            table.add_row(show(field), style="bold")
            table.add_row(f"  {name}", *(interval(own, m.name) for m in pair), style="bold")
            for other in baselines:
                found = report.baselines[other].targets[field]
                table.add_row(f"  {other}", *(interval(found, m.name) for m in pair))
        tables.append(table)
    return tables


def speaker_table(report: NumberReport) -> Table | None:
    """Speakers by their mean CCC, the worst first; None where fewer than two are known."""
    speakers = report.figures.by.get("speaker", {})
    if len(speakers) < 2:
        return None
    corpora = {name.split("/", 1)[0] for name in speakers}
    fields = list(report.figures.targets)
    table = columns("speaker", *(f"CCC {show(field)}" for field in fields), "n")

    def mean(name: str) -> float:
        return sum(value or 0.0 for value in speakers[name].ccc.values())

    ranked = sorted(speakers, key=lambda name: (mean(name), name))
    for name in ranked[:WORST]:
        label = name.split("/", 1)[1] if len(corpora) == 1 else name
        row = speakers[name]
        table.add_row(show(label), *(shown(row.ccc[field]) for field in fields), str(row.n))
    if ranked[WORST:]:
        table.add_row(f"… and {len(ranked) - WORST} more")
    return table
