"""The forest plot, printed numbers beside ours, and pictures of kept runs in the same style."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sertool.evaluation import measures, pooling
from sertool.evaluation.measures import Value
from sertool.papers import findings
from sertool.papers.headlines import Line, Measured, lines
from sertool.papers.papers import UNITS, Picture
from sertool.papers.study import Study
from sertool.papers.words import named
from sertool.ui.figures import GRID, INK, LINEAR, MODEL, one_panel

PROTOCOL = "#8a949c"
ROW = 0.34  # inches
MARKS = {  # what: (colour, marker, offset from the row's middle, in rows)
    "printed": (INK, "x", 0.0),
    "by its protocol": (PROTOCOL, "o", -0.25),
    "leak-free": (MODEL, "o", 0.0),
    "linear baseline, leak-free": (LINEAR, "s", 0.25),
}


def forest(studies: Sequence[Study]) -> Figure:
    """Return the picture: one row a headline that was run, with 95 % intervals, n at its right."""
    groups = []
    for study in studies:
        shown = [line for line in lines(study) if line.headline.plot and line.columns]
        if study.paper and shown:
            groups.append((study.paper.name, shown))
    n = sum(len(shown) + 1 for _, shown in groups)
    figure, axes = one_panel(9.0, ROW * n + 0.9)
    at, ticks, names = 0, [], []
    for name, shown in groups:
        axes.text(-0.02, at, name, transform=axes.get_yaxis_transform(), ha="right", va="center",
                  color=INK, fontsize=9, fontweight="bold")  # fmt: skip
        for line in shown:
            at += 1
            _row(axes, at, line)
            ticks.append(at)
            measure = named(line.row.figure["measure"])
            names.append(", ".join(text for text in (line.name, line.headline.on, measure) if text))
        at += 1
    _finish(axes, ticks, names, at)
    axes.set_xlabel("%; n: tested by its protocol / leak-free", color=INK, fontsize=8)
    for what, (colour, marker, _) in MARKS.items():
        axes.plot([], [], color=colour, marker=marker, linestyle="none", label=what)
    figure.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=8)
    return figure


def rows(study: Study, picture: Picture) -> Figure:
    """Return a picture of kept runs: one row each, all on the speakers that every one has."""
    runs = {name: findings.chosen(study, tags) for name, tags in picture.rows.items()}
    first = next(iter(runs.values()))
    for run in runs.values():
        first = pooling.shared(first, run)[0]
    figure, axes = one_panel(6.0, ROW * len(runs) + 0.9)
    for at, run in enumerate(runs.values()):
        own = pooling.shared(run, first)[0]
        found = measures.values(own, [{"measure": picture.figure}])[0]
        _value(axes, at, "leak-free", found, 100.0)
        n = round(own.matrices.sum() / len(own.seeds))
        axes.text(1.01, at, f"n = {n}", transform=axes.get_yaxis_transform(), va="center",
                  color=INK, fontsize=7)  # fmt: skip
    _finish(axes, list(range(len(runs))), list(runs), len(runs))
    axes.set_xlabel(f"{named(picture.figure)}, %", color=INK, fontsize=8)
    return figure


def _finish(axes: Axes, ticks: Sequence[int], names: Sequence[str], end: int) -> None:
    axes.set_yticks(ticks, names, fontsize=8, color=INK)
    axes.set_ylim(end - 0.4, -0.7)
    axes.set_xlim(0, 100)
    axes.grid(axis="x", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)


def _row(axes: Axes, at: int, line: Line) -> None:
    own, free = line.by_protocol, line.leak_free
    factor = UNITS[line.row.unit][0]
    if line.row.published:
        number = float(line.row.published.value) * (factor / 100 if line.row.unit != "%" else 1)
        _mark(axes, at, "printed", number, None)
    _value(axes, at, "by its protocol", own.value if own else None, factor)
    _value(axes, at, "leak-free", free.value if free else None, factor)
    _value(axes, at, "linear baseline, leak-free", free.linear if free else None, factor)
    axes.text(1.01, at, _counts(own, free), transform=axes.get_yaxis_transform(), va="center",
              color=INK, fontsize=7)  # fmt: skip


def _value(axes: Axes, at: int, what: str, found: Value | None, factor: float) -> None:
    if found is not None:
        ci = found.ci and (factor * found.ci[0], factor * found.ci[1])
        _mark(axes, at, what, factor * found.mean, ci)


def _mark(axes: Axes, at: int, what: str, x: float, ci: tuple[float, float] | None) -> None:
    colour, marker, off = MARKS[what]
    if ci:
        axes.plot(ci, [at + off] * 2, color=colour, linewidth=1.2)
    axes.plot([x], [at + off], color=colour, marker=marker, markersize=5, linestyle="none")


def _counts(own: Measured | None, free: Measured | None) -> str:
    return "n = " + " / ".join(str(one.tested) if one else "–" for one in (own, free))
