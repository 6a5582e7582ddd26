"""`predict --figure`: the posteriors of a recording over time, a panel for each channel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator

from sertool.core.errors import InputError
from sertool.core.paths import show
from sertool.evaluation.predictions import Prediction
from sertool.formats.outputs import atomic
from sertool.ui.figures import DPI, GRID, INK, save, style

WIDTH, HEIGHT = 11.0, 1.9  # inches; of a panel
COLOURS = "tab10"
MINUTE = 60
TICKS = (0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 600, 1200)  # seconds between two marks
SILENCE = "#eef0f1"


def steps(rows: Sequence[Prediction]) -> tuple[np.ndarray, np.ndarray]:
    """Return (times (n,), posteriors (n, classes)) of rows in order: each holds till the next.

    A row lasts until it ends or the next begins. Where nobody speaks all posteriors are 0.
    """
    classes = next((list(row.posterior) for row in rows if row.posterior), [])
    times: list[float] = []
    values: list[list[float]] = []
    nothing = [0.0] * len(classes)
    for row in rows:
        start, end = row.start or 0.0, row.end if row.end is not None else row.duration
        if times and times[-1] >= start:  # the row before lasts until this one begins
            times.pop()
            values.pop()
        times += [start, end]
        values += [list((row.posterior or {}).values()) or nothing, nothing]
    return np.array(times), np.array(values).reshape(len(times), len(classes))


def draw(rows: Sequence[Prediction], path: Path) -> None:
    """Draw the rows of one recording, in order of time in each channel, into a PNG or SVG file.

    Raises InputError where there is nothing to draw, or more than one recording.
    """
    if len({row.path for row in rows}) != 1:
        raise InputError(f"{show(path)}: --figure draws one recording; there are rows of several")
    spoken = [row for row in rows if row.posterior]
    if not spoken:
        raise InputError(f"{show(path)}: nothing to draw, no speech")
    channels = list(dict.fromkeys(row.further.get("channel") for row in rows))
    with style():
        figure = Figure(figsize=(WIDTH, 1.0 + HEIGHT * len(channels)), dpi=DPI)
        figure.set_layout_engine("constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(len(channels), 1, sharex=True, squeeze=False)[:, 0]
        classes = list(spoken[0].posterior or ())
        for axes, channel in zip(panels, channels, strict=True):
            own = [row for row in rows if row.further.get("channel") == channel]
            _panel(axes, own, classes, channel)
        panels[-1].set_xlabel("time, minutes:seconds", color=INK)
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside right center", frameon=False, fontsize=8)
        one = spoken[0]
        title = f"{show(one.path)} · {one.model} · --vad {one.vad}; grey: no speech"
        figure.suptitle(title, fontsize=9, color=INK)
        with atomic(path) as temporary:
            save(figure, temporary, path.suffix[1:].lower())


def _panel(
    axes: Axes, rows: Sequence[Prediction], classes: Sequence[str], channel: str | None
) -> None:
    times, values = steps(rows)
    colours = matplotlib.colormaps[COLOURS].colors  # type: ignore[attr-defined]
    below = np.zeros(len(times))
    for i, name in enumerate(classes):
        above = below + (values[:, i] if values.shape[1] else 0.0)
        colour = colours[i % len(colours)]
        axes.fill_between(times, below, above, step="post", color=colour, linewidth=0, label=name)
        below = above
    axes.set_facecolor(SILENCE)
    axes.set_ylim(0, 1)
    axes.set_xlim(times[0], times[-1])
    axes.set_ylabel(f"posterior, {channel}" if channel else "posterior", color=INK)
    length = times[-1] - times[0]
    axes.xaxis.set_major_locator(
        MultipleLocator(next((s for s in TICKS if length <= 12 * s), 3600))
    )
    axes.xaxis.set_major_formatter(FuncFormatter(_clock))
    axes.tick_params(colors=INK, length=0)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _clock(seconds: float, _: int | None = None) -> str:
    """Return seconds as 3:05."""
    sign = "-" if seconds < 0 else ""
    minutes, rest = divmod(abs(seconds), MINUTE)
    return f"{sign}{minutes:.0f}:{rest:02.0f}" if rest == round(rest) else f"{seconds:g} s"
