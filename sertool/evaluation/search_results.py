"""What a search found: its runs in order, as a table, as JSON and as a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sertool.evaluation.report import Report
from sertool.evaluation.search import Range, Search, Values, told
from sertool.evaluation.terminal import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PICTURE = "sweep.png"
WIDEST = 100.0  # from the least to the largest number: beyond, their axis is logarithmic
NAMED = 30  # runs or values past which their names would be illegible


@dataclass(frozen=True)
class Run:
    """A run and its inner score: the mean UAR over the inner folds, and their sample deviation.

    folds: the UAR of each. pooled, interval: the UAR of all inner folds' recordings together, and
    its percentile interval by speakers. seconds: CPU time of training.
    """

    number: int
    values: Values
    uar: float
    sd: float | None
    folds: list[float | None]
    pooled: float | None
    interval: tuple[float | None, float | None]
    seconds: float | None
    parameters: int | None


def run_of(number: int, values: Values, report: Report) -> Run:
    """Return what a report says of a run."""
    figures = report.figures
    mean = figures.mean_of_folds
    uar = mean.metrics.get("uar") if mean else None
    return Run(
        number,
        values,
        0.0 if uar is None else uar,
        mean.sd.get("uar") if mean else None,
        [fold.metrics.get("uar") for fold in figures.folds],
        figures.uar,
        figures.ci.limits.get("uar", (None, None)),
        report.cost.stages.get("train") if report.cost else None,
        (report.model.parameters or None) if report.model else None,
    )


def ordered(runs: Sequence[Run]) -> list[Run]:
    """Return runs by their inner score, the best first; of equal ones the first made."""
    return sorted(runs, key=lambda run: (-run.uar, run.number))


def table(found: Search, runs: Sequence[Run]) -> Any:
    """Return the table of the runs, in order."""
    from sertool.ui.tables import table as made

    header = ["run", *(name.replace("_", "-") for name in found.parameters)]
    header += ["inner UAR", "of all [95 %]", "CPU s", "parameters"]
    rows = []
    for run in runs:
        low, high = run.interval
        limits = "" if low is None else f" [{percent(low)}, {percent(high)}]"
        spread = "" if run.sd is None else f" ± {percent(run.sd)}"
        rows.append(
            [
                f"{run.number:03d}",
                *(told(run.values[name]) for name in found.parameters),
                f"{percent(run.uar)}{spread}",
                f"{percent(run.pooled)}{limits}",
                "" if run.seconds is None else f"{run.seconds:.1f}",
                run.parameters,
            ]
        )
    return made(header, rows, words=1)


def draw(found: Search, runs: Sequence[Run], folder: Path) -> list[Path]:
    """Draw the inner UAR of every run, and by the values of each option; return the file."""
    from sertool.formats import figures

    return figures.draw(folder, {PICTURE: lambda: _picture(found, runs)})


def _picture(found: Search, runs: Sequence[Run]) -> Figure:
    from sertool.ui.figures import INK, MODEL, WHISKER, panels_of, title

    figure, panels = panels_of(1 + len(found.parameters), 3.4, 3.2)
    best = ordered(runs)
    places = range(1, len(best) + 1)
    rates = [100 * run.uar for run in best]
    spread = [100 * (run.sd or 0.0) for run in best]
    whisker: Any = WHISKER
    panels[0].errorbar(places, rates, spread, fmt="o", color=MODEL, markersize=4, **whisker)
    panels[0].set_xlabel("runs, the best first")
    panels[0].set_ylabel("inner UAR (%), mean ± sd of folds")
    if len(best) <= NAMED:
        panels[0].set_xticks(places, [f"{run.number:03d}" for run in best], rotation=90)
    for axes, name in zip(panels[1:], found.parameters, strict=True):
        at = _placed(axes, found.parameters[name], [run.values[name] for run in runs])
        axes.plot(at, [100 * run.uar for run in runs], "o", color=MODEL, markersize=4, alpha=0.7)
        axes.set_xlabel(name.replace("_", "-"))
        axes.sharey(panels[0])
        axes.tick_params(labelleft=False)
    for axes in panels:
        axes.xaxis.label.set_color(INK)
        axes.yaxis.label.set_color(INK)
    title(figure, [f"the best of {len(runs)} runs is chosen by this score: optimistic"])
    return figure


def _placed(axes: Axes, among: tuple[Any, ...] | Range, values: Sequence[Any]) -> list[float]:
    """Return where values stand on an axis: numbers by size, others by their place in the list."""
    from matplotlib.ticker import FuncFormatter, NullLocator

    every = list(among) if isinstance(among, tuple) else [among.low, among.high]
    if all(isinstance(one, int | float) and not isinstance(one, bool) for one in every):
        least, most = min(every), max(every)
        if least > 0 and math.isfinite(most) and most / least >= WIDEST:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_locator(NullLocator())
        return [float(value) for value in values]
    axes.set_xticks(range(len(every)), [told(one) for one in every], rotation=40, ha="right")
    axes.set_xlim(-0.5, len(every) - 0.5)
    return [float(every.index(value)) for value in values]
