"""One file's prediction as a picture: posterior, features, saliency, layers over time."""

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


def figure(case: Explanation) -> Figure:
    """Return the figure, 1200 pixels wide, as high as its panels need."""
    text = _head(case)
    rows = panels(case)
    foot = [line for part in _foot(case) for line in textwrap.wrap(part, LETTERS)]
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


def _head(case: Explanation) -> list[str]:
    title = case.title if len(case.title) <= 84 else "…" + case.title[-83:]
    answer = f"{case.model} predicts {case.label} ({100 * case.posterior[case.label]:.1f} %)"
    if case.truth is not None:
        right = "right" if case.truth == case.label else "wrong"
        right = right if case.truth in case.posterior else "not among the classes asked for"
        answer += f"; the manifest has {case.truth}: {right}"
    return [title, *textwrap.wrap(answer, LETTERS), *textwrap.wrap(case.part, LETTERS)]


def _foot(case: Explanation) -> list[str]:
    """Return what a reader needs to know who has only the picture."""
    lines = [case.note] if case.note else []
    if case.saliency is not None:
        lines.append(
            f"Saliency: |d logit of {case.label} / d input|, the input after normalisation, by"
            " backpropagation through this very input, not smoothed"
            + (", summed over the colours." if case.features.ndim == 3 else ".")
        )
    if case.layers:
        lines.append(
            "Layers: their outputs in the pass behind the posterior, time to the right, one unit"
            f" (map, cell) per row (beyond {TALLEST} a few share one); darker is higher, each panel"
            " on its own scale."
        )
        _, rest = chosen(case.layers, case.ends_in_logits)
        lines.append("Not drawn: " + ", ".join(rest) + ".")
    elif case.contributions is not None:
        lines.append(
            "A linear model: its logit is a sum. Bars are z-scored values times the weights'"
            " difference from the mean of all classes; the biases come on top."
        )
    elif case.model == "majority":
        lines.append("majority: each class's share of the training items, whatever the features.")
    else:
        lines.append(f"{case.model} has no layers to look into.")
    return lines


def draw(case: Explanation, path: Path) -> None:
    """Write the figure as PNG; equal explanations give equal bytes."""
    from sertool.formats.figures import draw as draw_into

    draw_into(path.parent, {path.name: lambda: figure(case)})
