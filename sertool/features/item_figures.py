"""What the network sees: one sheet with the features of some items of a store."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, SymmetricalLogLocator

from sertool.audio.waveform import FULL_SCALE
from sertool.core.errors import UsageError
from sertool.core.paths import show
from sertool.features import Shown
from sertool.features.colormaps import table
from sertool.features.stage import Stage
from sertool.formats import figures as folders
from sertool.formats.store import Store
from sertool.items import Item
from sertool.ui.figures import DPI, INK, MODEL, short

NAME = "items.png"
MOST = 400  # items of a sheet: with more, few programs open the file
ACROSS = 4
# pixels
SIDE = 256  # a smaller picture is enlarged by a whole number, up to this
PANEL = (330, 170)  # an item over time, width and height
COLUMNS = 600  # to which a longer item is reduced
NUMBERS = (40, 40)  # beside and below a panel, for its axes
NAMED = 26  # left of the first panels, for the name of their axes
GAP, EDGE = 26, 30  # between panels, and around the sheet
BAR, BESIDE = 14, 120  # the width of the colour bar, and of all that is right of the panels for it
SHORTEST = 130  # a row of panels, and the colour bar
SMALL = 6.5  # points
LINEAR_TO = 100.0  # values of vectors beyond this are on a logarithmic scale
TEXT = 44  # above a panel: its two lines
NARROWEST = 560  # a sheet, for its caption
LETTER = 7.5  # width of a letter of the titles
COMMON = (2, 98)  # percentiles of all values, between which the colours of heat maps run

Sample = tuple[Item, np.ndarray]  # an item and its features


@dataclass(frozen=True)
class Panel:
    """One item, as far as it is drawn.

    values: a picture (height, width, channels), extremes (columns, 2), means (columns, dims) or a
    vector (dims,); length: the item's frames.
    """

    id: str
    label: str
    what: Literal["picture", "wave", "frames", "vector"]
    values: np.ndarray
    length: int


def panel(item: Item, array: np.ndarray) -> Panel:
    """Return what is drawn of an item: a picture whole, else at most `COLUMNS` columns of it.

    Samples (n,) become the least and the greatest of each column, frames (n, ...) their means; one
    frame is a vector.
    """
    n = len(array)
    label = short(item.label, "(no label)")
    if array.ndim == 4 and array.dtype == np.uint8 and n:
        return Panel(item.id, label, "picture", array[0], n)
    if not n:
        array = np.zeros((1, *array.shape[1:]), array.dtype)
    columns = min(len(array), COLUMNS)
    begins = np.arange(columns) * len(array) // columns
    if array.ndim == 1:
        scale = FULL_SCALE if array.dtype == np.int16 else 1
        extremes = [f.reduceat(array, begins) / scale for f in (np.minimum, np.maximum)]
        return Panel(item.id, label, "wave", np.stack(extremes, axis=1), n)
    flat = array.reshape(len(array), -1).astype(np.float64)
    if n == 1:
        return Panel(item.id, label, "vector", flat[0], n)
    means = np.add.reduceat(flat, begins) / np.diff([*begins, len(array)])[:, None]
    return Panel(item.id, label, "frames", means, n)


def names(ids: Sequence[str], letters: int) -> list[str]:
    """Return ids without the folders that all share, what is too long shortened at its start.

    The end tells a segment or copy from the next, so it stays.
    """
    shared = os.path.commonpath([os.path.dirname(name) for name in ids]) if len(ids) > 1 else ""
    cut = [show(name[len(shared) + 1 :] if shared else name) for name in ids]
    return [text if len(text) <= letters else "…" + text[-(letters - 1) :] for text in cut]


def shown_of(store: Store) -> Shown:
    """Return what a store's kind says of its axes; numbers and values where it is unknown."""
    try:
        found, settings = Stage(store.kind, store.settings).prepared
        return found.shown(store.sample_rate, settings)
    except UsageError:
        return Shown()


def sheet(panels: Sequence[Panel], caption: str, frame_rate: float, shown: Shown) -> Figure:
    """Return the sheet of panels in reading order, what has colours with a bar of them.

    Pictures as they are stored, enlarged by a whole number without smoothing; features over time
    as heat maps with one scale for all, the first feature at the bottom; samples as a waveform;
    vectors as a line. Time is in seconds where frames have a rate (1/s), else in frames.
    """
    first = panels[0]
    width, height = _enlarged(first.values) if first.what == "picture" else PANEL
    room = max(height, SHORTEST)
    beside, below = NUMBERS
    across = min(ACROSS, len(panels))
    down = -(-len(panels) // across)
    begin = EDGE + NAMED + beside
    bar = first.what in ("picture", "frames")
    end = begin + across * (width + beside + GAP) - beside - GAP
    w = max(NARROWEST, end + (BESIDE if bar else EDGE))
    h = 2 * EDGE + down * (TEXT + room + below)
    figure = Figure(figsize=(w / DPI, h / DPI), dpi=DPI)
    FigureCanvasAgg(figure)
    limits = _limits(panels) if first.what == "frames" else None
    titles = names([one.id for one in panels], max(12, int(width / LETTER)))
    across_name, up_name = _names(first, frame_rate, shown)
    for i, (one, title) in enumerate(zip(panels, titles, strict=True)):
        left = begin + (i % across) * (width + beside + GAP)
        bottom = h - 1.5 * EDGE - (i // across) * (TEXT + room + below) - TEXT - height
        axes = figure.add_axes((left / w, bottom / h, width / w, height / h))
        axes.tick_params(colors=INK, length=2, labelsize=6)
        axes.set_title(f"{title}\n{one.label}", fontsize=SMALL, color=INK, loc="left", pad=3)
        _drawn(axes, one, one.length / frame_rate if frame_rate else one.length, limits, shown)
        if i + across >= len(panels):
            axes.set_xlabel(across_name, fontsize=SMALL, color=INK, labelpad=1)
        if i % across == 0:
            axes.set_ylabel(up_name, fontsize=SMALL, color=INK, labelpad=2)
    if bar:
        top = h - 1.5 * EDGE - TEXT
        place = ((end + GAP) / w, (top - room) / h, BAR / w, room / h)
        _colour_bar(figure, place, limits or shown.limits or (0.0, 255.0), first, shown)
    figure.text(EDGE / w, 1 - EDGE / h, caption, fontsize=7.5, color=INK, va="center")
    return figure


def _names(first: Panel, frame_rate: float, shown: Shown) -> tuple[str, str]:
    """Return the names of the axes, across and up."""
    if first.what == "picture":
        known = shown.limits and _enlarged(first.values)[1] >= SHORTEST
        return "pixels (time)", shown.rows if known else "pixels"
    if first.what == "vector":
        return shown.rows, shown.values
    time = "time, s" if frame_rate else "frames"
    return time, shown.values if first.what == "wave" else shown.rows


def _drawn(
    axes: Axes, one: Panel, end: float, limits: tuple[float, float] | None, shown: Shown
) -> None:
    if one.what == "picture":
        _picture(axes, one.values)
    elif one.what == "wave":
        _wave(axes, one.values, end)
    elif one.what == "vector":
        _vector(axes, one.values)
    else:
        _heat(axes, one.values, end, limits, shown.span)


def _colour_bar(
    figure: Figure,
    place: tuple[float, float, float, float],
    limits: tuple[float, float],
    first: Panel,
    shown: Shown,
) -> None:
    """Draw the colours from the lowest value to the highest, with their unit."""
    colours: str | ListedColormap = "viridis"
    if first.what == "picture":
        colours = ListedColormap(table(shown.colours) / 255) if shown.colours else "gray"
    bar = figure.colorbar(
        ScalarMappable(Normalize(*limits), colours),
        cax=figure.add_axes(place),
        extend="both" if first.what == "frames" else "neither",
    )
    bar.ax.tick_params(colors=INK, length=2, labelsize=6)
    bar.outline.set_visible(False)
    known = first.what == "frames" or shown.limits
    bar.set_label(shown.values if known else "level", fontsize=SMALL, color=INK)


def _enlarged(picture: np.ndarray) -> tuple[int, int]:
    """Return the width and height at which a picture (height, width, channels) is drawn."""
    height, width = picture.shape[:2]
    times = max(1, SIDE // max(height, width))
    return width * times, height * times


def _limits(panels: Sequence[Panel]) -> tuple[float, float]:
    """Return the range of values that all heat maps share, one without width widened."""
    low, high = np.percentile(np.concatenate([one.values.ravel() for one in panels]), COMMON)
    return (float(low), float(high)) if high > low else (float(low) - 0.5, float(low) + 0.5)


def _picture(axes: Axes, values: np.ndarray) -> None:
    """Draw a picture (height, width, channels) pixel by pixel."""
    shown = values if values.shape[2] == 3 else values.mean(axis=2)
    axes.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto",
                extent=(0, values.shape[1], 0, values.shape[0]))  # fmt: skip
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True, nbins=4))
    for spine in axes.spines.values():  # no line over the picture's edge
        spine.set_visible(False)


def _wave(axes: Axes, values: np.ndarray, end: float) -> None:
    """Draw extremes (columns, 2) from 0 to `end`; the height of the panel is the loudest."""
    at = (np.arange(len(values)) + 0.5) * end / len(values)
    axes.fill_between(at, values[:, 0], values[:, 1], color=MODEL, linewidth=0.5)
    loudest = 1.05 * max(1e-3, float(np.abs(values).max()))
    axes.set_ylim(-loudest, loudest)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4))
    axes.set_xlim(0, end or 1)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _vector(axes: Axes, values: np.ndarray) -> None:
    """Draw a vector (dims,) as a line; large values on a logarithmic scale."""
    axes.stairs(values, color=MODEL, linewidth=0.8, baseline=None)
    if np.abs(values).max(initial=0) > LINEAR_TO:
        axes.set_yscale("symlog", linthresh=1.0)
        axes.yaxis.set_major_locator(SymmetricalLogLocator(base=1000, linthresh=1.0))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlim(0, len(values))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _heat(
    axes: Axes,
    values: np.ndarray,
    end: float,
    limits: tuple[float, float] | None,
    span: tuple[float, float] | None,
) -> None:
    """Draw means (columns, dims) from 0 to `end`, the first dimension at the bottom."""
    low, high = limits or (None, None)
    axes.imshow(values.T, origin="lower", aspect="auto",
                extent=(0, end or 1, *(span or (0, values.shape[1]))),
                vmin=low, vmax=high, cmap="viridis")  # fmt: skip
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))


def draw(samples: Iterable[Sample], caption: str, store: Store, folder: Path) -> Path:
    """Write the sheet of items of a store into `folder` and return its path."""
    panels = [panel(row, array) for row, array in samples]
    made = partial(sheet, panels, caption, store.frame_rate, shown_of(store))
    return folders.draw(folder, {NAME: made})[0]
