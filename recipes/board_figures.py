"""The pictures of recipes/boards.py: the leaderboard as points, the cross-corpus matrix as maps."""

from __future__ import annotations

import boards
import numpy as np
from boards import Board, Matrix
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sertool.ui.figures import GRID, INK, LINEAR, MODEL, one_panel, panels_of, title

ROW = 0.25  # inches
MARKS = {"none": (MODEL, "o", -0.14), "speaker": (LINEAR, "s", 0.14)}  # colour, marker, offset
SHADES = LinearSegmentedColormap.from_list("shades", ["#ffffff", "#a9cbd6", MODEL])
LIGHT = 0.7  # of the shades: above it figures are white


def leaderboard(made: Board) -> Figure:
    """Return UAR with intervals of every system, a group a corpus, best first, chance beside it."""
    groups = []
    for corpus, name in boards.CORPORA.items():
        kept = [
            system
            for system in boards.ranked(made, corpus)
            if any((corpus, *system, how) in made for how in MARKS)
        ]
        if kept:
            groups.append((corpus, name, kept))
    n = sum(len(kept) + 1 for *_, kept in groups)
    figure, axes = one_panel(8.0, ROW * n + 0.9)
    at, ticks, names = 0, [], []
    for corpus, name, kept in groups:
        axes.text(-0.02, at, name, transform=axes.get_yaxis_transform(), ha="right", va="center",
                  color=INK, fontsize=9, fontweight="bold")  # fmt: skip
        first = at
        for system in kept:
            at += 1
            for how in MARKS:
                if cell := made.get((corpus, *system, how)):
                    _point(axes, at, how, cell)
            ticks.append(at)
            names.append(boards.SYSTEMS[system])
        run = next(cell.run for key, cell in made.items() if key[0] == corpus)
        guess = 100 / len(run.classes)
        axes.plot([guess, guess], [first + 0.5, at + 0.5], color=INK, linewidth=1, linestyle=":")
        axes.text(100, first, boards.tested(run), ha="right", va="center", color=INK, fontsize=7)
        at += 1
    axes.set_yticks(ticks, names, fontsize=8, color=INK)
    axes.set_ylim(at - 0.4, -0.7)
    axes.set_xlim(0, 100)
    axes.grid(axis="x", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)
    axes.set_xlabel("UAR, %, speakers apart, with 95 % intervals over speakers; dotted: chance",
                    color=INK, fontsize=8)  # fmt: skip
    for how, (colour, marker, _) in MARKS.items():
        label = boards.NORMALISATIONS[how]
        axes.plot([], [], color=colour, marker=marker, linestyle="none", label=label)
    figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=8)
    return figure


def _point(axes: Axes, at: float, how: str, cell: boards.Cell) -> None:
    colour, marker, off = MARKS[how]
    if cell.uar.ci:
        ends = [100 * end for end in cell.uar.ci]
        axes.plot(ends, [at + off] * 2, color=colour, linewidth=1.2)
    axes.plot([100 * cell.uar.mean], [at + off], color=colour, marker=marker, markersize=4.5,
              linestyle="none")  # fmt: skip


def crosscorpus(made: Matrix) -> Figure:
    """Return a map of UAR a system, side by side: tested on (rows) by trained on (columns)."""
    names = boards.corpora(made)
    columns = [*names, boards.OTHERS]
    kinds = boards.systems(made)
    figure, panels = panels_of(len(kinds), 4.2, 0.55 * len(names) + 1.7)
    for axes, system in zip(panels, kinds, strict=True):
        rates = np.full((len(names), len(columns)), np.nan)
        guess = 0.0
        for i, test in enumerate(names):
            for j, train in enumerate(columns):
                if cell := made.get((*system, train, test)):
                    rates[i, j] = 100 * cell.uar.mean
                    guess = 100 / len(cell.run.classes)
        _map(axes, rates, guess)
        short = [boards.corpus_name(name).partition(",")[0] for name in names]
        axes.set_xticks(range(len(columns)), [*short, "all others"], fontsize=8, color=INK)
        axes.set_yticks(range(len(names)), short, fontsize=8, color=INK)
        axes.set_xlabel("trained on", color=INK, fontsize=8)
        axes.set_ylabel("tested on", color=INK, fontsize=8)
        name = f"{boards.SYSTEMS[system[0], system[1]]}, {boards.NORMALISATIONS[system[2]]}"
        axes.set_title(name, fontsize=9, color=INK)
    classes = next(iter(made.values())).run.classes
    parts = [f"UAR, %, of {', '.join(classes)}", f"chance {guess:.0f}", "framed: speakers apart"]
    title(figure, parts)
    return figure


def _map(axes: Axes, rates: np.ndarray, guess: float) -> None:
    axes.imshow(rates, cmap=SHADES, vmin=guess, vmax=100, aspect="auto")
    for (i, j), rate in np.ndenumerate(rates):
        text = "–" if np.isnan(rate) else f"{rate:.1f}"
        dark = (rate - guess) / (100 - guess) > LIGHT
        axes.text(j, i, text, ha="center", va="center", fontsize=9, color="white" if dark else INK)
        if i == j:
            axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, edgecolor=INK))
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
