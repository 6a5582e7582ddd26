"""The panels of a file's explanation, over one time axis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from sertool.ui.figures import INK, LINEAR, MODEL

if TYPE_CHECKING:
    from sertool.models.inspection import Layer

MOST_LAYERS = 6
MOST_CLASSES = 20
# pixels
COLUMNS = 1060  # of every panel; to which a longer one is thinned
BAR, PICTURE, LOW = 21, 192, 80
USUAL, TALLEST = 110, 256  # a heat map's height, about, and at most
PALE = "#8a97a1"
EMPTY = "#eef0f2"

Tick = tuple[float, str]  # place from 0, bottom, to 1, and what it says
Draw = Callable[[Axes], None]


@dataclass
class Explanation:
    """What a figure shows of one recording.

    features: a picture (height, width, channels), samples (n,), or (frames, dims); `begin`: seconds
    in the recording where they begin; unit: theirs; rate: frames, columns or samples per second;
    frames: how many the network was given, padding included.
    given: (frames, dims) after normalisation. saliency: (frames, rows), the bottom row first.
    contributions: of each dimension's mean and sd, (dims,) both.
    """

    title: str
    model: str
    kind: str
    label: str
    truth: str | None
    posterior: dict[str, float]
    features: np.ndarray
    begin: float
    rate: float
    frames: int
    ticks: list[Tick]
    unit: str = ""
    part: str = ""
    note: str = ""
    normalised: str = ""
    given: np.ndarray | None = None
    saliency: np.ndarray | None = None
    layers: list[Layer] = field(default_factory=list)
    ends_in_logits: bool = True  # the last layer's outputs, which the posterior shows
    contributions: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def end(self) -> float:
        """Seconds in the recording where the network's input ends."""
        return self.begin + self.frames / self.rate


@dataclass
class Panel:
    """A title above, axes of `height` pixels, and an axis in numbers below where `below`."""

    title: str
    height: int
    draw: Draw
    below: str = ""


def thin(values: np.ndarray, columns: int = COLUMNS) -> np.ndarray:
    """Return (n, ...) as at most `columns` rows, each the mean of neighbours."""
    n = len(values)
    if n <= columns:
        return values
    begins = np.arange(columns) * n // columns
    counts = np.diff([*begins, n]).reshape(-1, *[1] * (values.ndim - 1))
    means: np.ndarray = np.add.reduceat(values.astype(np.float64), begins) / counts
    return means


def tall(rows: int, usual: int = USUAL) -> int:
    """Return the pixels that `rows` are drawn in: each equally many, or a few share one."""
    if rows > TALLEST:
        return rows // -(-rows // TALLEST)
    return rows * max(1, round(usual / rows))


def panels(case: Explanation) -> list[Panel]:
    """Return all panels from top to bottom; numbers of seconds stand below the last of a group."""
    seconds = "time in the recording, s"
    found = [_posterior(case)]
    over_time = [_features(case)]
    if case.given is not None:
        over_time.append(_given(case))
    if case.saliency is not None:
        over_time += _saliency(case)
    over_time[-1].below = seconds
    found += over_time
    drawn, _ = chosen(case.layers, case.ends_in_logits)
    rows = [_layer(case, n, one) for n, one in drawn if one.values is not None]
    last = [n for n, (_, one) in enumerate(drawn) if one.values is not None and one.values.ndim > 1]
    if last:
        rows[last[-1]].below = seconds
    found += rows
    if case.contributions is not None:
        found += _contributions(case)
    return found


def chosen(
    layers: list[Layer], ends_in_logits: bool = True
) -> tuple[list[tuple[int, Layer]], list[str]]:
    """Return (number, layer) of those that are drawn, and the rest in words.

    A last layer that gives the logits is not: the posterior shows them. Of more than `MOST_LAYERS`
    others as many are taken, evenly, the first and the last among them.
    """
    numbered = list(enumerate(layers, 1))
    if ends_in_logits:
        numbered = numbered[:-1]
    inner = [(n, one) for n, one in numbered if one.values is not None]
    places = np.linspace(0, len(inner) - 1, min(MOST_LAYERS, len(inner)))
    drawn = [inner[i] for i in np.rint(places).astype(int).tolist()]
    shown = {n for n, _ in drawn}
    rest = [f"{n} {_made_by(one)}" for n, one in numbered if n not in shown]
    if layers and ends_in_logits:
        rest.append(f"{len(layers)} {_made_by(layers[-1])} (gives the logits)")
    return drawn, rest


def _made_by(layer: Layer) -> str:
    return " → ".join(layer.made_by)


def _posterior(case: Explanation) -> Panel:
    ranked = sorted(case.posterior.items(), key=lambda pair: -pair[1])[:MOST_CLASSES]
    names = [name for name, _ in ranked]

    def draw(axes: Axes) -> None:
        shares = [100 * share for _, share in ranked]
        colours = [MODEL if name == case.label else PALE for name in names]
        axes.barh(range(len(names)), shares, 0.74, color=colours)
        for i, share in enumerate(shares):
            axes.annotate(f"{share:.1f} %", (share, i), (4, 0), textcoords="offset points",
                          va="center", fontsize=7, color=INK)  # fmt: skip
        axes.set_yticks(range(len(names)), names, fontsize=7)
        for name, tick in zip(names, axes.get_yticklabels(), strict=True):
            tick.set_fontweight("bold" if name == case.truth else "normal")
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlim(0, 108)
        axes.set_xticks([])
        for side in ("top", "right", "bottom"):
            axes.spines[side].set_visible(False)

    hidden = len(case.posterior) - len(ranked)
    title = "posterior" + (", the true label bold" if case.truth in names else "")
    title += f", {hidden} less likely classes left out" if hidden else ""
    return Panel(title, max(40, BAR * len(ranked)), draw)


def _timed(axes: Axes, case: Explanation) -> None:
    """Give axes the time that all share, and show where the sound ends before the input does."""
    axes.set_xlim(case.begin, case.end)
    axes.set_facecolor(EMPTY)


def _heat(
    axes: Axes, values: np.ndarray, span: tuple[float, float], cmap: str, low: float, high: float
) -> None:
    """Draw (frames, rows) over `span` seconds, the first row at the bottom; nothing is smoothed."""
    rows = values.shape[1]
    shown = thin(thin(values).T, tall(rows))
    high = high if high > low else low + 1
    axes.imshow(shown, origin="lower", aspect="auto", interpolation="nearest", cmap=cmap,
                vmin=low, vmax=high, extent=(*span, 0, rows))  # fmt: skip
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))


def _few_numbers(axes: Axes) -> None:
    axes.yaxis.set_major_locator(MaxNLocator(nbins=3))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")


def _rows(axes: Axes, case: Explanation, rows: int) -> None:
    """Name rows by their frequency where it is known, and rows of the axis are those."""
    if case.ticks:
        axes.set_yticks([place * rows for place, _ in case.ticks], [t for _, t in case.ticks])


def _span(case: Explanation, frames: int) -> tuple[float, float]:
    return case.begin, case.begin + frames / case.rate


def _features(case: Explanation) -> Panel:
    values = case.features

    def draw(axes: Axes) -> None:
        _timed(axes, case)
        span = _span(case, values.shape[1] if values.ndim == 3 else len(values))
        if values.ndim == 3:
            shown = values if values.shape[2] == 3 else values.mean(2)
            rows = values.shape[0]
            axes.imshow(shown, aspect="auto", cmap="gray", vmin=0, vmax=255,
                        interpolation="nearest", extent=(*span, 0, rows))  # fmt: skip
            axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
            _rows(axes, case, rows)
        elif values.ndim == 1:
            _wave(axes, values, span)
        else:
            low, high = np.percentile(values, (1, 99))
            _heat(axes, values, span, "viridis", low, high)
            _rows(axes, case, values.shape[1])

    if values.ndim == 3:
        what = f"picture of {values.shape[0]} × {values.shape[1]} pixels, as the model is given it"
    elif values.ndim == 1:
        what = f"{len(values)} samples"
    else:
        low, high = np.percentile(values, (1, 99))
        what = f"{len(values)} frames × {values.shape[1]}"
        what += f"; dark {low:.3g}, bright {high:.3g}{case.unit}"
    height = tall(values.shape[1], PICTURE) if values.ndim == 2 else PICTURE
    return Panel(f"features, {case.kind}: {what}", height, draw)


def _wave(axes: Axes, values: np.ndarray, span: tuple[float, float]) -> None:
    begins = np.arange(min(len(values), COLUMNS)) * len(values) // min(len(values), COLUMNS)
    at = span[0] + (begins + 0.5) * (span[1] - span[0]) / len(values)
    low, high = (f.reduceat(values, begins) for f in (np.minimum, np.maximum))
    axes.fill_between(at, low, high, color=MODEL, linewidth=0.5)


def _given(case: Explanation) -> Panel:
    values = case.given
    assert values is not None
    reach = float(np.percentile(np.abs(values), 99)) or 1.0

    def draw(axes: Axes) -> None:
        _timed(axes, case)
        _heat(axes, values, _span(case, len(values)), "RdBu_r", -reach, reach)
        _rows(axes, case, values.shape[1])

    title = f"the network's input: features {case.normalised} by the training part"
    title += f"; blue −{reach:.2g}, white 0, red {reach:.2g}"
    if case.frames > len(values):
        title += "; grey: zero-padded"
    return Panel(title, tall(values.shape[1]), draw)


def _saliency(case: Explanation) -> list[Panel]:
    values = case.saliency
    assert values is not None
    span = _span(case, len(values))
    high = float(np.percentile(values, 99.5))
    high = high if high > 0 else float(values.max())

    def draw(axes: Axes) -> None:
        _timed(axes, case)
        _heat(axes, values, span, "magma", 0.0, high)
        _rows(axes, case, values.shape[1])

    def curve(axes: Axes) -> None:
        _timed(axes, case)
        axes.set_facecolor("white")
        sums = thin(values.sum(1))
        edges = np.linspace(*span, len(sums) + 1)
        axes.stairs(sums, edges, fill=True, color=LINEAR)
        axes.set_ylim(0, 1.05 * (float(sums.max()) or 1.0))
        _few_numbers(axes)

    title = f"saliency: how much a small change of the input here moves the logit of {case.label}"
    title += f"; black 0, bright {high:.2g}" if high else "; zero everywhere"
    return [
        Panel(title, tall(values.shape[1]) if values.shape[1] > 1 else LOW // 2, draw),
        Panel("saliency summed over frequency", LOW, curve),
    ]


def _layer(case: Explanation, number: int, layer: Layer) -> Panel:
    values = layer.values
    assert values is not None
    name = f"layer {number} of {len(case.layers)}, {_made_by(layer)}"
    low, high = float(values.min()), float(values.max())
    if values.ndim == 1:

        def bars(axes: Axes) -> None:
            axes.stairs(values, np.arange(len(values) + 1) + 0.5, fill=True, color=MODEL)
            axes.axhline(0, color=INK, linewidth=0.5)
            axes.set_xlim(0.5, len(values) + 0.5)
            _few_numbers(axes)

        return Panel(f"{name}: {len(values)} units, no time axis", LOW, bars, "unit")
    begin = case.begin + (layer.start - layer.step / 2) / case.rate
    span = (begin, begin + len(values) * layer.step / case.rate)

    def draw(axes: Axes) -> None:
        _timed(axes, case)
        _heat(axes, values, span, "Greys", low, high)
        axes.set_xlim(case.begin, case.end)
        if layer.two_ways:
            axes.axhline(values.shape[1] / 2, color=LINEAR, linewidth=1)

    title = f"{name}: {values.shape[1]} units"
    title += f", mean over {layer.averaged} of frequency" if layer.averaged > 1 else ""
    title += ", forwards below the line, backwards above" if layer.two_ways else ""
    about = "" if layer.exact else "about "
    title += f"; {len(values)} frames, {about}{layer.step / case.rate:.3g} s apart"
    places = layer.start + layer.step * np.arange(len(values))
    beyond = int(((places < 0) | (places > case.frames)).sum())
    title += f", {beyond} beyond the ends" if beyond else ""
    title += f"; white {low:.2g}, black {high:.2g}"
    return Panel(title, tall(values.shape[1]), draw)


def _contributions(case: Explanation) -> list[Panel]:
    assert case.contributions is not None
    picture = case.features.ndim == 3
    dims = case.features.shape[0] if picture else len(case.contributions[0])
    # of pictures a row's sum over the channels, the lowest frequency first
    both = [parts.reshape(dims, -1).sum(1) for parts in case.contributions]
    both = [rows[::-1] for rows in both] if picture else both
    reach = 1.05 * max(1e-12, *(float(np.abs(rows).max()) for rows in both))
    found = []
    for name, colour, rows in zip(
        ("mean", "standard deviation"), (MODEL, LINEAR), both, strict=True
    ):

        def draw(axes: Axes, rows: np.ndarray = rows, colour: str = colour) -> None:
            axes.stairs(rows, np.arange(dims + 1), fill=True, color=colour)
            axes.axhline(0, color=INK, linewidth=0.5)
            axes.set_xlim(0, dims)
            axes.set_ylim(-reach, reach)
            _few_numbers(axes)
            if case.ticks:
                axes.set_xticks([place * dims for place, _ in case.ticks],
                                [text for _, text in case.ticks])  # fmt: skip

        what = "row" if picture else "dimension"
        title = f"what the {name} over time of each {what} adds to the logit of {case.label}"
        below = "frequency" if case.ticks else what
        found.append(Panel(f"{title}: {rows.sum():+.3g} in total", LOW, draw, below))
    return found
