"""What all figures have in common: colours, fonts, names that fit, and the PNG file."""

from __future__ import annotations

import io
import logging
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from matplotlib import rc_context, rcdefaults, rcParams
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager, get_font

from sertool.core.paths import show

_LOG = logging.getLogger("matplotlib.font_manager")
DPI = 150
INK = "#22303c"
MODEL = "#1f6f8b"
LINEAR = "#d08c3f"
GRID = "#e3e6e8"
WARNING = "#a3322a"
WHISKER = {"ecolor": INK, "elinewidth": 1.0, "capsize": 2.5}  # of error bars
TITLE = 9  # points
LETTERS = 12  # of a title in an inch
LINE = 0.16  # inches, of a title's line
MOST_SPEAKERS = 60  # past that names are illegible and bars are drawn without them
LONGEST_NAME = 28  # characters
FONT = "DejaVu Sans"  # which comes with matplotlib
# used for what it lacks, where they are installed
FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "Microsoft YaHei",
    "Hiragino Sans", "PingFang SC", "WenQuanYi Micro Hei", "Droid Sans Fallback",
    "Noto Sans Devanagari", "Noto Sans Bengali", "Noto Sans Thai", "Arial Unicode MS",
)  # fmt: skip


def one_panel(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure of this size in inches, and its only axes."""
    figure, (axes,) = panels_of(1, width, height)
    return figure, axes


def panels_of(n: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """Return a figure of `n` axes side by side, each of this size in inches, and the axes."""
    figure = Figure(figsize=(n * width, height), dpi=DPI)
    figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1)
    FigureCanvasAgg(figure)
    panels = [figure.add_subplot(1, n, i + 1) for i in range(n)]
    for axes in panels:
        axes.tick_params(colors=INK, length=0)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    return figure, panels


def title(figure: Figure, parts: Sequence[str], warnings: Sequence[str] = ()) -> None:
    """Put a title of several parts above a figure, what warns of it below in lines of their own.

    Lines are broken between parts, and within one where it is wider than the figure, which grows.
    """
    room = int(LETTERS * figure.get_figwidth())
    lines = [*broken(parts, room), *broken(warnings, room)]
    figure.set_figheight(figure.get_figheight() + LINE * (len(lines) - 1))
    figure.suptitle("\n".join(lines), fontsize=TITLE, color=WARNING if warnings else INK)


def broken(parts: Sequence[str], room: int) -> list[str]:
    """Return parts joined by " · " as lines of at most `room` letters."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + 3 + len(part) <= room:
            lines[-1] += f" · {part}"
        else:
            lines += textwrap.wrap(part, room)
    return lines


def short(value: str | None, unknown: str = "unknown") -> str:
    """Return a name from a corpus as one printable line of at most `LONGEST_NAME` characters."""
    text = show(value) if value else unknown
    return text if len(text) <= LONGEST_NAME else text[: LONGEST_NAME - 1] + "…"


@contextmanager
def style() -> Iterator[None]:
    """Draw names in any script that an installed font has; one that none has shows as boxes.

    Settings that matplotlib took from a file, as of the working folder, count for nothing. A font
    that has no bold letters, of which matplotlib would speak on standard error, will do.
    """
    installed = {font.name for font in fontManager.ttflist}
    family = [FONT, *(name for name in FONTS if name in installed), "sans-serif"]
    settings: Any = {"text.parse_math": False, "font.family": family, "hatch.linewidth": 1.0}
    settings |= {"svg.fonttype": "none", "svg.hashsalt": "sertool"}  # text, and ids without chance
    with rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rcdefaults()
        rcParams.update(settings)
        _LOG.addFilter(_is_error)  # a font of `FONTS` may have no bold letters
        try:
            yield
        finally:
            _LOG.removeFilter(_is_error)


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


def save(figure: Figure, path: Path | IO[bytes], kind: str = "png") -> None:
    """Write a figure as PNG or SVG, without time or version: equal figures give equal bytes."""
    unsaid = {"png": ("Software",), "svg": ("Date", "Creator")}
    file = io.BytesIO()
    figure.savefig(file, format=kind, metadata=dict.fromkeys(unsaid[kind]))
    content = file.getvalue() if kind == "png" else _plain(file.getvalue().decode()).encode()
    if isinstance(path, Path):
        path.write_bytes(content)
    else:
        path.write(content)


def _plain(svg: str) -> str:
    """Return a picture without the names of `FONTS` where it has no letter that needs them.

    Those would be the ones that are installed here, and the picture may be opened anywhere.
    """
    known = get_font(fontManager.findfont(FONT)).get_charmap()
    if all(letter.isspace() or ord(letter) in known for letter in set(svg)):
        for name in FONTS:
            svg = svg.replace(f"'{name}', ", "")
    return svg
