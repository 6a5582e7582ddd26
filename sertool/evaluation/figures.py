"""The figures of a report: the confusion matrix, and recall by class and speaker."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sertool.core.paths import show
from sertool.evaluation import crowds, reliability
from sertool.evaluation.intervals import MODEL_NAME, of_files, recalls_of, right_by_bin
from sertool.evaluation.number_tables import interval
from sertool.evaluation.report import AnyReport, Figures, NumberReport, Report
from sertool.evaluation.terminal import percent, systems, three_digits, warnings
from sertool.formats import figures as folders
from sertool.ui.figures import (
    GRID,
    INK,
    LETTERS,
    LINEAR,
    MODEL,
    MOST_SPEAKERS,
    WHISKER,
    one_panel,
    panels_of,
    short,
    title,
)
from sertool.ui.words import plural

ROOM = 14  # letters of a class that fit below its bars


def _title(figure: Figure, report: Report) -> None:
    """Name, UAR with interval, what was tested, and all that weakens the test, in every figure."""
    name, figures = systems(report)[0]
    low, high = figures.ci.limits.get("uar", (None, None))
    interval = "" if low is None else f" [{percent(low)}, {percent(high)}]"
    _protocol(figure, report, f"{show(name)}: UAR {percent(figures.uar)} %{interval}")


def _protocol(figure: Figure, report: AnyReport, first: str) -> None:
    apart = report.protocol.facts.get("speaker_disjoint")
    words = {True: ["speakers apart"], False: [], None: ["speakers unknown"]}[apart]
    tested = f"{report.figures.n} {report.level}s"
    title(figure, [first, tested, *words], warnings(report.protocol))


def _whiskers(
    values: Sequence[float], limits: Sequence[tuple[float, float]] | np.ndarray
) -> np.ndarray:
    """Return how far intervals (fractions) reach below and above values (percent), (2, n)."""
    ends = 100 * np.array(limits)
    return np.maximum(0, [np.array(values) - ends[:, 0], ends[:, 1] - np.array(values)])


def confusion_figure(report: Report) -> Figure:
    """The confusion matrix in percent of each row, counts below; rows the truth.

    Of a crowd of classes without names and counts, the classes in the report's order.
    """
    classes, matrix = report.classes, report.figures.confusion
    k = len(classes)
    side = min(14.0, 2.6 + 0.72 * k)
    figure, axes = one_panel(side, side * 0.92)
    counts = np.array(matrix, np.float32)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    if crowds.crowded(classes):
        axes.set_xlabel(f"predicted, {k} classes (percent of the row)", color=INK)
        axes.set_ylabel("truth", color=INK)
        _title(figure, report)
        return figure
    size = 9 if k <= 12 else 6
    for i, row in enumerate(matrix):
        for j, n in enumerate(row):
            colour = "white" if shares[i, j] > 0.55 else INK
            if not n:
                continue
            weight = "bold" if i == j else "normal"
            axes.text(j, i - 0.12, percent(float(shares[i, j]), 0), ha="center", va="center",
                      color=colour, fontsize=size + 1, fontweight=weight)  # fmt: skip
            axes.text(j, i + 0.24, str(n), ha="center", va="center", color=colour,
                      fontsize=size - 2.5, alpha=0.8)  # fmt: skip
    axes.set_xticks(range(k), classes, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(k), classes)
    axes.set_xticks([i - 0.5 for i in range(1, k)], minor=True)
    axes.set_yticks([i - 0.5 for i in range(1, k)], minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="minor", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlabel("predicted (percent of the row, count below)", color=INK)
    axes.set_ylabel("truth", color=INK)
    _title(figure, report)
    return figure


def classes_figure(report: Report) -> Figure:
    """Recall of each class: the model next to the linear baseline, and chance."""
    every = systems(report)  # of which the first is the model, be it what it may
    rows = [every[0], *(row for row in every[1:] if row[0] != "majority")][:2]
    if crowds.crowded(report.classes):
        return _recalls_figure(report, rows)
    classes = [c for c in report.classes if report.figures.per_class[c].support]
    crowded = max(map(len, classes)) > ROOM
    figure, axes = one_panel(max(5.0, 1.6 + 0.85 * len(classes)), 5.0 if crowded else 3.8)
    width = 0.8 / len(rows)
    intervals = recalls_of(report)
    for number, (name, figures) in enumerate(rows):
        recalls = [100 * (figures.per_class[c].recall or 0.0) for c in classes]
        at = [i + (number - (len(rows) - 1) / 2) * width for i in range(len(classes))]
        limits = intervals.get(name if number else MODEL_NAME)
        own = limits and [limits[report.classes.index(c)] for c in classes]
        axes.bar(at, recalls, width * 0.92, color=(MODEL, LINEAR)[number], label=short(name),
                 yerr=_whiskers(recalls, own) if own else None, error_kw=WHISKER)  # fmt: skip
    chance = 100 / len(report.classes)
    axes.axhline(chance, color=INK, linewidth=1, linestyle=":", label="chance")
    labels = [f"{short(c)}\nn {report.figures.per_class[c].support}" for c in classes]
    axes.set_xticks(range(len(classes)), labels, rotation=40 if crowded else 0,
                    ha="right" if crowded else "center")  # fmt: skip
    ci = report.figures.ci
    over = f"intervals over {plural(ci.n_units, ci.unit)}"
    words = f"whiskers: {100 * ci.level:g} % {over}" if intervals else f"too few for {over}"
    axes.set_xlabel(words, color=INK, fontsize=8)
    _percent_axis(axes, "recall, %")
    _legend(axes, figure)
    _title(figure, report)
    return figure


def _recalls_figure(report: Report, rows: Sequence[tuple[str, Figures]]) -> Figure:
    """Recall of each of a crowd of classes, the model's worst first, without names."""
    classes = crowds.worst(report)
    figure, axes = one_panel(16.0, 3.8)
    at = range(len(classes))
    for (name, figures), colour in zip(rows, (MODEL, LINEAR), strict=False):
        recalls = [100 * (figures.per_class[c].recall or 0.0) for c in classes]
        marker = "none" if colour == MODEL else "."
        axes.plot(at, recalls, label=short(name), color=colour, marker=marker, markersize=3,
                  linestyle="-" if colour == MODEL else "none", drawstyle="steps-mid")  # fmt: skip
    axes.axhline(100 / len(report.classes), color=INK, linewidth=1, linestyle=":", label="chance")
    axes.set_xticks([])
    axes.set_xlim(-0.7, len(classes) - 0.3)
    axes.set_xlabel(f"{plural(len(classes), 'class')}, worst first", color=INK, fontsize=8)
    _percent_axis(axes, "recall, %")
    _legend(axes, figure)
    _title(figure, report)
    return figure


def speakers_figure(report: Report) -> Figure | None:
    """UAR of each speaker, worst first, the linear baseline as marks; None with fewer than two."""
    speakers = report.figures.by.get("speaker", {})
    if len(speakers) < 2:
        return None
    names = sorted(speakers, key=lambda name: (speakers[name].uar, name))
    n = len(names)
    figure, axes = one_panel(min(16.0, max(5.0, 1.6 + 0.3 * n)), 3.8)
    at = range(n)
    values = [100 * speakers[name].uar for name in names]
    level = report.figures.ci.level
    limits = [of_files(speakers[name].confusion, level) for name in names]
    axes.bar(at, values, 0.78, color=MODEL, label=short(systems(report)[0][0]),
             yerr=_whiskers(values, limits), error_kw=WHISKER)  # fmt: skip
    baseline = dict(systems(report)[1:]).get("linear")
    linear = baseline.by.get("speaker") if baseline else None
    if linear:
        axes.plot(at, [100 * linear[name].uar for name in names], linestyle="none", marker="_",
                  markersize=9, markeredgewidth=2, color=LINEAR, label="linear")  # fmt: skip
    axes.axhline(
        100 * (report.figures.uar or 0.0),
        color=INK,
        linewidth=1,
        linestyle=":",
        label="UAR, pooled",
    )
    if n <= MOST_SPEAKERS:
        one_corpus = len({name.split("/", 1)[0] for name in names}) == 1
        shown = [show(name.split("/", 1)[1] if one_corpus else name) for name in names]
        crowded = max(map(len, shown)) > 3
        axes.set_xticks(at, shown, rotation=90 if crowded else 0, fontsize=8)
    else:
        axes.set_xticks([])
    axes.set_xlim(-0.7, n - 0.3)
    over = f"whiskers: {100 * level:g} % intervals over a speaker's own files"
    axes.set_xlabel(f"{plural(n, 'speaker')}, worst first; {over}", color=INK, fontsize=8)
    _percent_axis(axes, "UAR, %")
    _legend(axes, figure)
    _title(figure, report)
    return figure


def reliability_figure(report: Report) -> Figure | None:
    """How often the model is right by how sure it is, a bar for each bin that has items.

    None for a report that does not say how the model is calibrated.
    """
    own = report.figures.calibration
    if not own:
        return None
    figure, axes = one_panel(5.4, 4.6)
    bins = reliability.by_bin(np.array(own.sums, np.float64))
    there = np.flatnonzero(bins[:, 0])
    width = 100 / own.bins
    at = (there + 0.5) * width
    right = 100 * bins[there, 1] / bins[there, 0]
    limits = right_by_bin(report)
    axes.bar(at, right, 0.9 * width, color=MODEL, label="right",
             yerr=None if limits is None else _whiskers(right.tolist(), limits[there]),
             error_kw=WHISKER)  # fmt: skip
    axes.plot([0, 100], [0, 100], color=LINEAR, linewidth=1.5, label="as sure as right")
    for x, n in zip(at, bins[there, 0], strict=True):
        axes.text(x, 1.5, f"{n:.0f}", ha="center", va="bottom", rotation=90, fontsize=7,
                  color=INK, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8,
                                   "alpha": 0.85})  # fmt: skip
    axes.set_xlim(0, 100)
    ci = report.figures.ci
    whiskers = f"whiskers: {100 * ci.level:g} % intervals over {plural(ci.n_units, ci.unit)}"
    words = "too few known speakers for intervals" if limits is None else whiskers
    error = f"ECE {three_digits(own, 'ece')}, {own.bins} bins"
    axes.set_xlabel(f"confidence, %\n{error}; in the bars their {report.level}s\n{words}",
                    color=INK, fontsize=8)  # fmt: skip
    _percent_axis(axes, "right, %")
    _legend(axes, figure)
    _title(figure, report)
    return figure


def _legend(axes: Axes, figure: Figure) -> None:
    """Put a legend above the axes, side by side or, where there is no room, in a column."""
    handles, names = axes.get_legend_handles_labels()
    fit = sum(len(name) + 6 for name in names) <= LETTERS * figure.get_figwidth()
    axes.legend(handles, names, frameon=False, fontsize=8, ncols=3 if fit else 1, loc="lower left",
                bbox_to_anchor=(0, 1.0), borderaxespad=0.1)  # fmt: skip


def _percent_axis(axes: Axes, label: str) -> None:
    axes.set_ylim(0, 100)
    axes.set_ylabel(label, color=INK)
    axes.set_axisbelow(True)
    axes.grid(axis="y", color=GRID, linewidth=0.8)


def stress_figure(report: AnyReport) -> Figure | None:
    """What is left under each condition, beside the recordings as they are; None without."""
    stress = report.stress
    if not stress or not stress.conditions:
        return None
    scale = 100 if stress.measure == "uar" else 1
    figure, axes = one_panel(7.2, 1.5 + 0.25 * len(stress.conditions))
    names = list(stress.conditions)
    families: list[str] = []
    at: list[float] = []
    for name in names:  # a gap between families
        family = stress.conditions[name].family
        step = 1.6 if families and families[-1] != family else 1.0
        at.append(at[-1] + step if at else 0.0)
        families.append(family)
    if stress.clean is not None:
        low, high = stress.clean_ci
        if low is not None and high is not None:
            axes.axvspan(scale * low, scale * high, color=GRID, linewidth=0)
        axes.axvline(scale * stress.clean, color=INK, linewidth=1, label="clean recordings")
    if isinstance(report, Report):
        axes.axvline(100 / len(report.classes), color=INK, linewidth=1, linestyle=":",
                     label="chance")  # fmt: skip
    for y, name in zip(at, names, strict=True):
        one = stress.conditions[name]
        if one.value is None:
            continue
        low, high = one.ci
        if low is not None and high is not None:
            axes.plot([scale * low, scale * high], [y, y], color=MODEL, linewidth=2, alpha=0.5)
        axes.plot([scale * one.value], [y], marker="o", markersize=6, color=MODEL)
    texts = [stress.conditions[name].description for name in names]
    axes.set_yticks(at, texts, fontsize=8)
    axes.set_ylim(max(at) + 0.8, -0.8)
    if stress.measure == "uar":  # a CCC may be below 0
        axes.set_xlim(left=0)
    axes.set_xlabel("UAR, %" if stress.measure == "uar" else "mean CCC", color=INK)
    axes.set_axisbelow(True)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.legend(frameon=False, fontsize=8, ncols=2, loc="lower left", bbox_to_anchor=(0, 1.0),
                borderaxespad=0.1)  # fmt: skip
    name = (report.model and report.model.name) or "model"
    _protocol(figure, report, f"{show(name)}, degraded")
    return figure


FIGURES = {
    "confusion.png": confusion_figure,
    "classes.png": classes_figure,
    "speakers.png": speakers_figure,
    "reliability.png": reliability_figure,
}


def scatter_figure(report: NumberReport) -> Figure | None:
    """Prediction against truth, a panel for each field; None for a report without items."""
    if not report.items:
        return None
    fields = report.figures.targets
    figure, panels = panels_of(len(fields), 3.6, 3.9)
    for axes, (field, own) in zip(panels, fields.items(), strict=True):
        truth = [item.truth[field] for item in report.items]
        said = [item.prediction[field] for item in report.items]
        ends = [min(*truth, *said), max(*truth, *said)]
        axes.plot(ends, ends, color=INK, linewidth=1, linestyle=":")
        axes.scatter(truth, said, s=9, color=MODEL, alpha=0.5, linewidths=0)
        axes.set_aspect("equal", adjustable="datalim")
        axes.set_axisbelow(True)
        axes.grid(color=GRID, linewidth=0.8)
        axes.set_xlabel(f"{show(field)}, truth", color=INK)
        axes.set_ylabel("predicted", color=INK)
        axes.set_title(f"CCC {interval(own, 'ccc')}", fontsize=9, color=INK)
    name = (report.model and report.model.name) or "model"
    _protocol(figure, report, show(name))
    return figure


def draw(report: AnyReport, folder: Path, keep: bool = False) -> list[Path]:
    """Write every figure that the report allows into `folder`; return their paths.

    keep: those that are there stay; InputError where one is another.
    """
    if isinstance(report, NumberReport):
        made = {"scatter.png": partial(scatter_figure, report)}
    else:
        made = {name: partial(make, report) for name, make in FIGURES.items()}
    return folders.draw(folder, made | {"stress.png": partial(stress_figure, report)}, keep=keep)
