"""Systems on an axis of mean ranks, the best at the left.

A line joins those not told apart: the picture of Demšar (2006, JMLR 7, 1-30).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sertool.evaluation import measures
from sertool.formats import figures as folders
from sertool.papers.ranking import JOINED, Ranking
from sertool.papers.words import named, unit, value
from sertool.ui.figures import INK, MODEL, one_panel, short, title

if TYPE_CHECKING:
    from sertool.evaluation.measures import Value

STEP = 0.28  # inches between two names, and between two lines that join systems
WIDTH = 7.2  # inches


def ranks_figure(systems: Mapping[str, Value | None], ranks: Ranking) -> Figure:
    """Return the picture; rows are in steps below the axis: first the lines, then the names."""
    n, lines = len(ranks.order), ranks.rows()
    deepest = 0.7 + max(lines, default=0) * 0.5 + math.ceil(n / 2)
    figure, axes = one_panel(WIDTH, STEP * (deepest + 1) + 0.5)
    low, high = 1, n
    axes.set(xlim=(low - 0.04 * (n - 1), high + 0.04 * (n - 1)), ylim=(deepest, -0.3))
    axes.set_yticks([])
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.spines["top"].set_visible(True)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xticks(range(low, high + 1))
    axes.tick_params(labelsize=8, length=3)
    name = measures.name_of(ranks.figure)
    axes.set_xlabel(f"mean rank by {named(name)}, 1 the best", color=INK, fontsize=8)
    for (first, last), row in zip(ranks.groups, lines, strict=True):
        ends = [ranks.ranks[ranks.order[i]] for i in (first, last)]
        reach = 0.012 * (n - 1)
        span = [ends[0] - reach, ends[1] + reach]
        axes.plot(span, [0.2 + 0.5 * row] * 2, color=MODEL, linewidth=3, solid_capstyle="butt")
    start = 0.7 + 0.5 * max(lines, default=0)
    names = list(systems)
    for place, i in enumerate(ranks.order):
        left = place < math.ceil(n / 2)
        depth = start + (place if left else n - 1 - place) + 0.5
        _name(axes, ranks.ranks[i], depth, left, _label(names[i], systems[names[i]], name))
    title(figure, [f"{n} systems, {ranks.n_speakers} speakers", JOINED])
    return figure


def _label(name: str, found: Value | None, figure: str) -> str:
    return f"{short(name)}  {value(found, unit(figure)).splitlines()[0]}"


def _name(axes: Axes, rank: float, depth: float, left: bool, text: str) -> None:
    """Write a system's name at one side, with a line from its rank."""
    edge = axes.get_xlim()[0 if left else 1]
    axes.plot([rank, rank, edge], [-0.3, depth, depth], color=INK, linewidth=0.8)
    axes.annotate(text, (edge, depth), xytext=(-4 if left else 4, 0), textcoords="offset points",
                  ha="right" if left else "left", va="center", fontsize=8, color=INK,
                  annotation_clip=False)  # fmt: skip


def draw(systems: Mapping[str, Value | None], ranks: Ranking, path: Path) -> None:
    """Write the picture as PNG."""
    folders.draw(path.parent, {path.name: lambda: ranks_figure(systems, ranks)})
