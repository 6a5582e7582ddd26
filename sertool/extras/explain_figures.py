"""One file's answer as a picture: posterior, features, saliency, and layers above one time axis."""

from __future__ import annotations

import textwrap
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from sertool.extras.explain_panels import COLUMNS, PALE, TALLEST, Explanation, chosen, panels
from sertool.ui.figures import DPI, INK

# pixels
LEFT, RIGHT, EDGE = 110, 30, 24
WIDTH = LEFT + COLUMNS + RIGHT
HEAD, LINE, GAP, NUMBERS = 26, 19, 12, 44  # a panel's title, a line of text, between, below an axis
LETTERS = 142  # that a line of small text holds


def figure(told: Explanation) -> Figure:
    """Return the figure, 1200 pixels wide, as high as its panels need."""
    text = _head(told)
    rows = panels(told)
    foot = [line for part in _foot(told) for line in textwrap.wrap(part, LETTERS)]
    high = 2 * EDGE + 34 + LINE * (len(text) + len(foot) - 1) + 2 * GAP
    high += sum(HEAD + p.height + GAP + (NUMBERS if p.below else 0) for p in rows)
    made = Figure(figsize=(WIDTH / DPI, high / DPI), dpi=DPI)
    FigureCanvasAgg(made)
    y = float(high - EDGE)
    for i, line in enumerate(text):
        made.text(EDGE / WIDTH, y / high, line, fontsize=11 if i == 0 else 8, color=INK, va="top",
                  weight="bold" if i == 0 else "normal")  # fmt: skip
        y -= 34 if i == 0 else LINE
    for one in rows:
        y -= GAP + HEAD + one.height
        box = (LEFT / WIDTH, y / high, (WIDTH - LEFT - RIGHT) / WIDTH, one.height / high)
        axes = made.add_axes(box)
        axes.tick_params(colors=INK, length=2, labelsize=7)
        axes.set_title(one.title, fontsize=8, color=INK, loc="left", pad=4)
        for spine in axes.spines.values():
            spine.set_color(PALE)
        one.draw(axes)
        if one.below:
            axes.set_xlabel(one.below, fontsize=7, color=INK, labelpad=2)
            y -= NUMBERS
        else:
            axes.tick_params(labelbottom=False)
    y -= 2 * GAP
    for line in foot:
        made.text(EDGE / WIDTH, y / high, line, fontsize=7, color=INK, va="top")
        y -= LINE
    return made


def _head(told: Explanation) -> list[str]:
    title = told.title if len(told.title) <= 84 else "…" + told.title[-83:]
    said = f"{told.model} says {told.label} ({100 * told.posterior[told.label]:.1f} %)"
    if told.truth is not None:
        right = "right" if told.truth == told.label else "wrong"
        right = right if told.truth in told.posterior else "none of the classes asked for"
        said += f"; the manifest says {told.truth}: {right}"
    return [title, *textwrap.wrap(said, LETTERS), *textwrap.wrap(told.part, LETTERS)]


def _foot(told: Explanation) -> list[str]:
    """Return what a reader must know who has nothing but the picture."""
    lines = [told.note] if told.note else []
    if told.saliency is not None:
        lines.append(
            f"Saliency: |d logit of {told.label} / d input|, the input after normalisation, by"
            " backpropagation through this very input, not smoothed"
            + (", summed over the colours." if told.features.ndim == 3 else ".")
        )
    if told.layers:
        lines.append(
            "Layers: what each gave in the pass behind the posterior, time to the right, one unit"
            f" (map, cell) a row (past {TALLEST} a few share one); darker is higher, each panel by"
            " its own scale."
        )
        _, rest = chosen(told.layers, told.ends_in_logits)
        lines.append("Not drawn: " + ", ".join(rest) + ".")
    elif told.contributions is not None:
        lines.append(
            "A linear model: its logit is a sum. Bars are z-scored values times weights, as far as"
            " they differ from the mean of all classes; the biases stand apart."
        )
    elif told.model == "majority":
        lines.append("majority: each class's share of the training items, whatever is heard.")
    else:
        lines.append(f"{told.model} has no layers to look into.")
    return lines


def draw(told: Explanation, path: Path) -> None:
    """Write the figure as PNG; equal explanations give equal bytes."""
    from sertool.formats.figures import draw as draw_into

    draw_into(path.parent, {path.name: lambda: figure(told)})
