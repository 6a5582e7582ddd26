"""The forest plot: every headline's printed number beside ours, by protocol and leak-free."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sertool.evaluation.measures import Value
from sertool.papers.headlines import Line, Measured, lines
from sertool.papers.papers import UNITS
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
    axes.set_yticks(ticks, names, fontsize=8, color=INK)
    axes.set_ylim(at - 0.4, -0.7)
    axes.set_xlim(0, 100)
    axes.set_xlabel("%", color=INK, fontsize=8)
    axes.grid(axis="x", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)
    for what, (colour, marker, _) in MARKS.items():
        axes.plot([], [], color=colour, marker=marker, linestyle="none", label=what)
    figure.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=8)
    return figure


def _row(axes: Axes, at: int, line: Line) -> None:
    own, free = line.by_protocol, line.leak_free
    factor = UNITS[line.row.unit][0]
    if line.row.published:
        number = float(line.row.published.value) * (factor / 100 if line.row.unit != "%" else 1)
        _mark(axes, at, "printed", number, None)
    for what, found in (
        ("by its protocol", own and own.value),
        ("leak-free", free and free.value),
        ("linear baseline, leak-free", free and free.linear),
    ):
        if isinstance(found, Value):
            ci = found.ci and (factor * found.ci[0], factor * found.ci[1])
            _mark(axes, at, what, factor * found.mean, ci)
    axes.text(1.01, at, _counts(own, free), transform=axes.get_yaxis_transform(), va="center",
              color=INK, fontsize=7)  # fmt: skip


def _mark(axes: Axes, at: int, what: str, x: float, ci: tuple[float, float] | None) -> None:
    colour, marker, off = MARKS[what]
    if ci:
        axes.plot(ci, [at + off] * 2, color=colour, linewidth=1.2)
    axes.plot([x], [at + off], color=colour, marker=marker, markersize=5, linestyle="none")


def _counts(own: Measured | None, free: Measured | None) -> str:
    return "n = " + " / ".join(str(one.tested) if one else "–" for one in (own, free))
