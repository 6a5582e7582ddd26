"""Power on a scale: decibels, natural logarithm, magnitude, or as it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sertool.core.settings import setting

BLOCK = 1 << 16  # values


@dataclass(frozen=True)
class Levels:
    """How power becomes decibels; names and defaults are those of librosa.power_to_db."""

    ref: float | Literal["max"] = setting(1.0, "power at 0 dB; max: the largest of the file")
    amin: float = setting(1e-10, "lower limit of the power")
    top_db: float | None = setting(80.0, "floor this far below the peak of the file; or none", "dB")

    def __post_init__(self) -> None:
        if isinstance(self.ref, float | int) and self.ref <= 0:
            raise ValueError("ref must be above 0, or max")
        if self.amin <= 0:
            raise ValueError("amin must be above 0")
        if self.top_db is not None and self.top_db < 0:
            raise ValueError("top_db must not be negative")


UNITS = {"db": "power, dB", "log": "power, ln", "power": "power", "magnitude": "magnitude"}


def to_scale(
    power: np.ndarray, scale: str, levels: Levels, peak: float | None = None
) -> np.ndarray:
    """Return the `power` (frames, bands) of a whole file on `scale`, in place.

    peak: the largest of the file, where `power` is not all of it.
    "db" is 10 log10 of power / ref, at most `top_db` below its peak; "log" the natural logarithm;
    both take powers below `amin` for `amin`. "magnitude" is the square root, "power" no change.
    """
    if scale == "power":
        return power
    if scale == "magnitude":
        return np.sqrt(power, out=power)
    lowest, zero = levels.amin, 0.0
    if scale == "db":
        peak = max(levels.amin, float(power.max()) if peak is None else peak)
        zero = 10 * math.log10(peak if levels.ref == "max" else max(levels.amin, levels.ref))
        if levels.top_db is not None:  # as one limit with amin: a pass less
            lowest = max(lowest, peak * 10 ** (-levels.top_db / 10))
    rows = max(1, BLOCK // power.shape[1])
    for first in range(0, len(power), rows):  # block by block: the passes find it in the cache
        block = power[first : first + rows]
        np.maximum(block, lowest, out=block)
        if scale == "log":
            np.log(block, out=block)
            continue
        np.log10(block, out=block)
        np.multiply(block, 10, out=block)
        if zero:
            np.subtract(block, zero, out=block)
    return power
