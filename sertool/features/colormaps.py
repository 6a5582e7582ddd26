"""Colour maps as tables of data/colormaps: 256 colours from the lowest value to the highest."""

from __future__ import annotations

import functools

import numpy as np

from sertool.core.data import data_path

COLOURS = 256


@functools.cache
def names() -> tuple[str, ...]:
    """Return the names of the colour maps that there are."""
    return tuple(sorted(path.stem for path in data_path("colormaps").glob("*.csv")))


@functools.cache
def table(name: str) -> np.ndarray:
    """Return the colours (256, 3) float32, red, green and blue from 0 to 255, of a map by name.

    Raises ValueError that lists the known names.
    """
    if name not in names():
        raise ValueError(f"colormap {name}: one of {', '.join(names())}")
    path = data_path("colormaps", f"{name}.csv")
    colours = np.loadtxt(path, np.float32, delimiter=",", encoding="utf-8")
    colours.setflags(write=False)
    return colours


def paint(level: np.ndarray, name: str, out: np.ndarray | None = None) -> np.ndarray:
    """Return the colours (..., 3) float32 of `level` (...), 0 to 1, by the table of a map.

    Value v takes row min(int(256 v), 255), as matplotlib and MATLAB's image scaling do. They are
    put into `out` where it is given.
    """
    index = np.minimum(level * COLOURS, COLOURS - 1).astype(np.uint8)
    return np.take(table(name), index, axis=0, mode="clip", out=out)
