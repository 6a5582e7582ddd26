"""What the network sees: one sheet with the features of some items of a store."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sertool.audio.waveform import FULL_SCALE
from sertool.core.paths import show
from sertool.formats import figures as folders
from sertool.items import Item
from sertool.ui.figures import DPI, INK, MODEL, short

NAME = "items.png"
MOST = 400  # items of a sheet: with more, few programs open the file
ACROSS = 4
# pixels
SIDE = 256  # a smaller picture is enlarged by a whole number, up to this
PANEL = (330, 170)  # an item over time, width and height
COLUMNS = 600  # to which a longer item is reduced
NUMBERS = (30, 40)  # beside and below a panel over time, for its axes
GAP, EDGE = 26, 30  # between panels, and around the sheet
TEXT = 44  # above a panel: its two lines
NARROWEST = 560  # a sheet, for its caption
LETTER = 7.5  # width of a letter of the titles
COMMON = (2, 98)  # percentiles of all values, between which the colours of heat maps run

Sample = tuple[Item, np.ndarray]  # an item and its features


@dataclass(frozen=True)
class Panel:
    """One item, as far as it is drawn.

    values: a picture (height, width, channels), extremes (columns, 2) or means (columns, dims);
    length: the item's frames.
    """

    id: str
    label: str
    what: Literal["picture", "wave", "frames"]
    values: np.ndarray
    length: int


def panel(item: Item, array: np.ndarray) -> Panel:
    """Return what is drawn of an item: a picture whole, else at most `COLUMNS` columns of it.

    Samples (n,) become the least and the greatest of each column, frames (n, ...) their means.
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
    means = np.add.reduceat(flat, begins) / np.diff([*begins, len(array)])[:, None]
    return Panel(item.id, label, "frames", means, n)


def names(ids: Sequence[str], letters: int) -> list[str]:
    """Return ids without the folders that all share, what is too long shortened at its start.

    The end tells a segment or copy from the next, so it stays.
    """
    shared = os.path.commonpath([os.path.dirname(name) for name in ids]) if len(ids) > 1 else ""
    cut = [show(name[len(shared) + 1 :] if shared else name) for name in ids]
    return [text if len(text) <= letters else "…" + text[-(letters - 1) :] for text in cut]


def sheet(panels: Sequence[Panel], caption: str, frame_rate: float) -> Figure:
    """Return the sheet of panels in reading order.

    Pictures as they are stored, enlarged by a whole number without smoothing; features over time
    as heat maps with one scale for all, the first feature at the bottom; samples as a waveform.
    The axis is in seconds where frames have a rate (1/s), else in frames.
    """
    first = panels[0]
    pictures = first.what == "picture"
    width, height = _enlarged(first.values) if pictures else PANEL
    beside, below = (0, 0) if pictures else NUMBERS
    across = min(ACROSS, len(panels))
    down = -(-len(panels) // across)
    w = max(NARROWEST, 2 * EDGE + across * (width + beside) + (across - 1) * GAP)
    h = 2 * EDGE + down * (TEXT + height + below)
    figure = Figure(figsize=(w / DPI, h / DPI), dpi=DPI)
    FigureCanvasAgg(figure)
    limits = _limits(panels) if first.what == "frames" else None
    if limits:
        caption += f" · dark {limits[0]:.3g}, bright {limits[1]:.3g}"
    titles = names([one.id for one in panels], max(12, int(width / LETTER)))
    for i, (one, title) in enumerate(zip(panels, titles, strict=True)):
        left = EDGE + beside + (i % across) * (width + beside + GAP)
        bottom = h - 1.5 * EDGE - (i // across) * (TEXT + height + below) - TEXT - height
        axes = figure.add_axes((left / w, bottom / h, width / w, height / h))
        axes.tick_params(colors=INK, length=2, labelsize=6)
        axes.set_title(f"{title}\n{one.label}", fontsize=6.5, color=INK, loc="left", pad=3)
        if pictures:
            _picture(axes, one.values)
            continue
        end = one.length / frame_rate if frame_rate else float(one.length)
        if one.what == "wave":
            _wave(axes, one.values, end)
        else:
            _heat(axes, one.values, end, limits)
        if i + across >= len(panels):
            unit = "time, s" if frame_rate else "frames"
            axes.set_xlabel(unit, fontsize=6.5, color=INK, labelpad=1)
    figure.text(EDGE / w, 1 - EDGE / h, caption, fontsize=7.5, color=INK, va="center")
    return figure


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
    axes.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")
    axes.set_axis_off()


def _wave(axes: Axes, values: np.ndarray, end: float) -> None:
    """Draw extremes (columns, 2) from 0 to `end`; the height of the panel is the loudest."""
    at = (np.arange(len(values)) + 0.5) * end / len(values)
    axes.fill_between(at, values[:, 0], values[:, 1], color=MODEL, linewidth=0.5)
    loudest = 1.05 * max(1e-3, float(np.abs(values).max()))
    axes.set_ylim(-loudest, loudest)
    axes.set_xlim(0, end or 1)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _heat(axes: Axes, values: np.ndarray, end: float, limits: tuple[float, float] | None) -> None:
    """Draw means (columns, dims) from 0 to `end`, the first dimension at the bottom."""
    low, high = limits or (None, None)
    axes.imshow(values.T, origin="lower", aspect="auto", extent=(0, end or 1, 0, values.shape[1]),
                vmin=low, vmax=high, cmap="viridis")  # fmt: skip
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))


def draw(samples: Iterable[Sample], caption: str, frame_rate: float, folder: Path) -> Path:
    """Write the sheet of items into `folder` and return its path."""
    panels = [panel(row, array) for row, array in samples]
    return folders.draw(folder, {NAME: lambda: sheet(panels, caption, frame_rate)})[0]
