"""A corpus's survey as pictures: how many of each class, how long, and by whom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sertool.corpora.survey import SHORTEST_BIN, Survey
from sertool.corpora.survey_text import span
from sertool.formats import figures as folders
from sertool.ui.figures import GRID, INK, LINEAR, MODEL, MOST_SPEAKERS, one_panel, short, title
from sertool.ui.words import plural

Belongs = Callable[[str | None, str | None], bool]  # of a corpus and a gender
Layer = tuple[str, Any, list[int]]  # name, colour and hatch, heights

# Okabe & Ito (2008), "Color universal design": told apart by every kind of colour vision
CORPORA = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442")
# past seven corpora the same colours again, striped
STYLES = [{"facecolor": colour, "hatch": hatch} for hatch in ("", "////") for colour in CORPORA]
ONE = {"facecolor": MODEL}
GENDERS = {"female": {"facecolor": LINEAR}, "male": ONE}
OTHER, UNKNOWN = {"facecolor": "#7d6b91"}, {"facecolor": "#b4bcc2"}


MOST_CLASSES = 40
DODGE = 4  # speaker names longer than this are drawn vertically
BARS = 300  # with more speakers the bars are one outline


def _title(figure: Figure, found: Survey, file: str) -> None:
    """What it is a picture of: file, utterances, speakers, hours; and folds that share speakers."""
    parts = [f"{short(file)}: {found.items} items"]
    if found.speakers:
        parts.append(f"{len(found.speakers)} speakers")
    if found.lengths:
        parts.append(span(found.lengths.total))
    shared = [
        f"speakers of {what} apart: NO"
        for what, rows in (("folds", found.folds), ("parts", found.parts))
        if any(row.shared_speakers for row in rows)
    ]
    title(figure, parts, shared)


def _top_corpora(found: Survey) -> list[str | None]:
    """Return the corpora that have a colour of their own: the largest, in their order."""
    ranked = sorted(found.corpora, key=lambda row: (-row.items, row.corpus or ""))
    own = ranked if len(ranked) <= len(STYLES) else ranked[: len(STYLES) - 1]
    return [row.corpus for row in found.corpora if row in own]


def _layers(found: Survey, count: Callable[[Belongs], list[int]]) -> list[Layer]:
    """Return a layer a corpus, or a gender where there is one corpus; `count` gives heights."""
    if len(found.corpora) > 1:
        top = _top_corpora(found)
        layers = [
            (short(c), style, count(lambda corpus, _, c=c: corpus == c))  # type: ignore[misc]
            for c, style in zip(top, STYLES, strict=False)
        ]
        rest = len(found.corpora) - len(top)
        if rest:
            name = plural(rest, "more corpus")
            layers.append((name, UNKNOWN, count(lambda corpus, _: corpus not in top)))
        return layers
    genders: set[Any] = {cell.gender for cell in found.cells}
    if genders <= {None}:
        return [("", ONE, count(lambda *_: True))]
    layers = [
        (short(g), GENDERS[g], count(lambda _, gender, g=g: gender == g))  # type: ignore[misc]
        for g in sorted(genders & set(GENDERS))
    ]
    others = sorted(genders - set(GENDERS) - {None})
    if others:
        name = others[0] if len(others) == 1 else "other"
        layers.append((short(name), OTHER, count(lambda _, gender: gender in others)))
    if None in genders:
        layers.append(("unknown", UNKNOWN, count(lambda _, gender: gender is None)))
    return layers


def _legend(axes: Axes, handles: Sequence[Any], names: Sequence[str]) -> None:
    if len(names) < 2:
        return
    columns = max(1, min(4, 66 // (max(map(len, names)) + 6)))
    # matplotlib leaves out what begins with an underscore: the names are put in afterwards
    legend = axes.legend(handles, [str(i) for i in range(len(names))], frameon=False, fontsize=8,
                         ncols=columns, loc="lower left", bbox_to_anchor=(0, 1.0),
                         borderaxespad=0.1)  # fmt: skip
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(name)
        text.set_color(INK)


def classes_figure(found: Survey, file: str) -> Figure:
    """How many items each class has, stacked by corpus, or by gender where there is one."""
    classes = found.classes
    if len(classes) > MOST_CLASSES:
        common = sorted(classes, key=lambda row: (-row.items, row.label or ""))
        classes = [row for row in classes if row in common[:MOST_CLASSES]]
    labels = [row.label for row in classes]

    def count(belongs: Belongs) -> list[int]:
        cells = [cell for cell in found.cells if belongs(cell.corpus, cell.gender)]
        return [sum(c.items for c in cells if c.label == label) for label in labels]

    figure, axes = one_panel(6.4, max(2.2, 1.3 + 0.34 * len(labels)))
    at = range(len(labels))
    begun = [0] * len(labels)
    handles, names = [], []
    for name, style, heights in _layers(found, count):
        handles.append(axes.barh(at, heights, 0.76, left=begun, **style,
                                 edgecolor="white", linewidth=0.8))  # fmt: skip
        begun = [a + b for a, b in zip(begun, heights, strict=True)]
        names.append(name)
    for i, n in enumerate(begun):
        axes.annotate(str(n), (n, i), (4, 0), textcoords="offset points", va="center",
                      color=INK, fontsize=8)  # fmt: skip
    axes.set_yticks(at, [short(label, "(no label)") for label in labels])
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_xlim(0, 1.1 * max([*begun, 1]))
    hidden = len(found.classes) - len(labels)
    _counted(axes.xaxis, axes, "items" + (f" ({hidden} rarer classes left out)" if hidden else ""))
    _legend(axes, handles, names)
    _title(figure, found, file)
    return figure


def lengths_figure(found: Survey, file: str) -> Figure | None:
    """A histogram of the lengths, stacked by corpus; None where no length is known."""
    lengths = found.lengths
    if not lengths:
        return None
    figure, axes = one_panel(6.4, 3.6)
    cuts, one = lengths.edges, lengths.edges[-1] - lengths.edges[0] < SHORTEST_BIN
    if one:
        cuts = [cuts[0] - 0.5, cuts[0] + 0.5]
    steps = [high - low for low, high in pairwise(cuts)]
    far = len(steps) > 1 and steps[-1] > 1.01 * steps[0]
    drawn = [*cuts[:-1], cuts[-2] + steps[0]] if far else cuts
    by_corpus = {row.corpus: row.counts for row in lengths.by_corpus}

    def count(belongs: Belongs) -> list[int]:
        rows = [by_corpus[corpus] for corpus in by_corpus if belongs(corpus, None)]
        return [sum(column) for column in zip(*rows, strict=True)] or [0] * len(steps)

    layers: list[Layer] = [("", ONE, lengths.counts)]
    if len(found.corpora) > 1:
        layers = _layers(found, count)
    begun = [0] * len(steps)
    handles = []
    widths = [high - low for low, high in pairwise(drawn)]
    for _, style, heights in layers:
        handles.append(axes.bar(drawn[:-1], heights, widths, bottom=begun, align="edge",
                                edgecolor="white", linewidth=0.8, **style))  # fmt: skip
        begun = [a + b for a, b in zip(begun, heights, strict=True)]
    if one:
        axes.set_xticks([lengths.median], [f"{lengths.median:.3f}"])
        axes.set_xlim(cuts[0] - 1, cuts[1] + 1)
    if far:
        axes.set_xticks([tick for tick in axes.get_xticks() if drawn[0] <= tick <= drawn[-2]])
        middle = (drawn[-2] + drawn[-1]) / 2
        axes.annotate(f"up to\n{span(lengths.max)}", (middle, begun[-1]), (0, 3),
                      textcoords="offset points", ha="center", fontsize=8, color=INK)  # fmt: skip
    axes.axvline(lengths.median, color=INK, linewidth=1, linestyle=":")
    late = lengths.median > (drawn[0] + drawn[-1]) / 2
    axes.annotate(f"median {lengths.median:.2f} s", (lengths.median, 1),
                  (-4 if late else 4, -2), xycoords=("data", "axes fraction"),
                  textcoords="offset points", ha="right" if late else "left", va="top",
                  fontsize=8, color=INK)  # fmt: skip
    axes.set_xlabel("length, s", color=INK)
    axes.set_ylim(0, 1.14 * max([*begun, 1]))
    _counted(axes.yaxis, axes, "items")
    _legend(axes, handles, [name for name, _, _ in layers])
    _title(figure, found, file)
    return figure


def speakers_figure(found: Survey, file: str) -> Figure | None:
    """How many items each speaker has, coloured as the classes are; None with fewer than two."""
    people = sorted(found.speakers, key=lambda s: (s.corpus or "", -s.items, s.speaker))
    n = len(people)
    if n < 2:
        return None

    def count(belongs: Belongs) -> list[int]:
        return [s.items if belongs(s.corpus, s.gender) else 0 for s in people]

    figure, axes = one_panel(min(16.0, max(6.4, 1.6 + 0.3 * n)), 3.6)
    handles, names = [], []
    for name, style, heights in _layers(found, count):
        if not any(heights):
            continue
        if n <= BARS:
            own = [i for i in range(n) if heights[i]]
            handle: Any = axes.bar(own, [heights[i] for i in own], 0.78, edgecolor="white",
                                   linewidth=0, **style)  # fmt: skip
        else:
            borders = [i - 0.5 for i in range(n + 1)]
            handle = axes.stairs(heights, borders, fill=True, edgecolor="white", linewidth=0,
                                 **style)  # fmt: skip
        handles.append(handle)
        names.append(name)
    if n <= MOST_SPEAKERS:
        shown = [short(s.speaker) for s in people]
        upright = max(map(len, shown)) >= DODGE
        axes.set_xticks(range(n), shown, rotation=90 if upright else 0, fontsize=8)
    else:
        axes.set_xticks([])
    axes.set_xlim(-0.7, n - 0.3)
    order = "by corpus, then " if len(found.corpora) > 1 else ""
    axes.set_xlabel(f"{n} speakers, {order}most items first", color=INK)
    _counted(axes.yaxis, axes, "items")
    _legend(axes, handles, names)
    _title(figure, found, file)
    return figure


def _counted(axis: Any, axes: Axes, label: str) -> None:
    """Make one axis that of counts: whole numbers, a faint grid behind the bars."""
    axis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axis.set_label_text(label, color=INK)
    axes.set_axisbelow(True)
    axis.grid(True, color=GRID, linewidth=0.8)


FIGURES: dict[str, Callable[[Survey, str], Figure | None]] = {
    "class_counts.png": classes_figure,
    "lengths.png": lengths_figure,
    "speaker_counts.png": speakers_figure,
}


def check(folder: Path, replace: bool) -> None:
    """Raise InputError where figures cannot be drawn into `folder`, before any work is done."""
    folders.check_folder(folder, FIGURES, replace)


def draw(found: Survey, file: str, folder: Path) -> list[Path]:
    """Write every figure that the survey allows into `folder`; return their paths."""
    return folders.draw(folder, {n: partial(make, found, file) for n, make in FIGURES.items()})
