"""Training curves: one panel per system and protocol, one thin line per fold and seed."""

from __future__ import annotations

import math
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sertool.formats import figures as folders
from sertool.papers.convergence import Told, shown, told
from sertool.papers.study import Study
from sertool.ui.figures import DPI, GRID, INK, LINEAR, MODEL, WARNING, broken

ACROSS = 3  # panels in a row
SIDE = (3.3, 2.4)  # inches
ROOM = 52  # letters of a line of a panel's title


def curves_figure(study: Study) -> Figure | None:
    """Training and validation loss by epoch, the best epoch marked; None where none is known."""
    rows = told(study)
    if not rows:
        return None
    keys = shown(study, rows)
    heads = {protocol.tag: protocol.column for protocol in study.columns}
    across = min(ACROSS, len(rows))
    down = math.ceil(len(rows) / across)
    figure = Figure(figsize=(SIDE[0] * across, SIDE[1] * down + 0.4), dpi=DPI)
    figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.08)
    FigureCanvasAgg(figure)
    for i, row in enumerate(rows):
        axes = figure.add_subplot(down, across, i + 1)
        _panel(axes, row)
        name = " ".join(v for key in keys if (v := row.tags.get(key)))
        lines = broken([name], ROOM) + broken([f"{heads[row.protocol]}: {row.verdict}"], ROOM)
        lines += broken(row.warnings, ROOM)
        axes.set_title("\n".join(lines), fontsize=7, color=WARNING if row.warnings else INK)
        if i % across == 0:
            axes.set_ylabel("loss, nats", color=INK, fontsize=8)
        if i >= len(rows) - across:
            axes.set_xlabel("epoch", color=INK, fontsize=8)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False, fontsize=8)
    return figure


def _panel(axes: Axes, row: Told) -> None:
    for i, curve in enumerate(row.curves):
        first = i == 0
        axes.plot(curve.epochs, curve.loss, color=MODEL, linewidth=0.8,
                  label="training" if first else None)  # fmt: skip
        losses = curve.loss
        if curve.val_loss is not None:
            losses = curve.val_loss
            axes.plot(curve.epochs, losses, color=LINEAR, linewidth=0.8,
                      label="validation" if first else None)  # fmt: skip
        axes.plot([curve.best], [curve.at(curve.best, losses)], linestyle="none", marker="o",
                  markersize=2.5, color=INK, label="best epoch" if first else None)  # fmt: skip
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.tick_params(colors=INK, length=0, labelsize=7)
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def draw(study: Study, path: Path) -> bool:
    """Write the figure as PNG; return whether there was anything to draw."""
    return bool(folders.draw(path.parent, {path.name: lambda: curves_figure(study)}))
