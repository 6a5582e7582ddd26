"""Which frames a transform in float32 has not resolved well enough, to be done in float64.

A fast Fourier transform in float32 leaves in every bin an error of a few units of rounding times
the root of the frame's energy (Schatzman 1996, "Accuracy of the discrete Fourier transform and the
fast Fourier transform"): nothing beside a loud bin, but too much for a band that lies 70 dB below
the rest of its frame. Such frames are few, one in a hundred of speech, so that to repeat them in
float64 is far cheaper than to do all in float64.
"""

from __future__ import annotations

import math

import numpy as np

RANGE = 80.0  # dB below the file's peak within which values are to be right
ERRORS = 5.0  # units of rounding: leaves 1.6 times the tolerance at worst in RAVDESS and EmoDB
UNIT = 2.0**-24  # of float32
NEAR_PEAK = 0.7  # from here to the peak, an error relative to the value is one to the peak

BLOCK = 1 << 16  # values looked at at a time


def doubtful(
    power: np.ndarray,
    energies: np.ndarray,
    gains: np.ndarray,
    tolerance: float,
    exponent: float = 2.0,
    peak: float | None = None,
) -> np.ndarray:
    """Return the indices of the frames of a whole file, power (frames, bands), to be repeated.

    They have a value that may be wrong by more than `tolerance` dB and is not further than 80 dB
    below the file's largest, or a value near the largest: so that the error is small beside the
    peak everywhere. `power` is a sum over bins of weight * |spectrum| ** exponent, `gains` (bands,)
    each band's largest weight, `energies` (frames,) the sum of squares of each windowed frame.
    peak: the file's largest, where `power` is not all of it.
    """
    peak = float(power.max()) if peak is None else peak
    if peak <= 0:
        return np.zeros(0, np.intp)
    lowest = peak * 10 ** (-RANGE / 10 * exponent / 2)
    allowed = tolerance * math.log(10) / 10  # relative
    noise = (exponent * ERRORS * UNIT / allowed) ** exponent * energies ** (exponent / 2)
    again = np.zeros(len(power), bool)
    # not by the maximum of each frame: NumPy takes five times as long for many short rows
    again[np.flatnonzero(power >= NEAR_PEAK * peak) // power.shape[1]] = True
    # most frames are too soft for an error that can be heard, whatever is in their bands
    some = np.flatnonzero(noise * gains.max() > lowest)
    rows = max(1, BLOCK // power.shape[1])
    for first in range(0, len(some), rows):
        part = some[first : first + rows]
        values = power[part]
        wrong = values < noise[part, None] * gains
        wrong &= values >= lowest
        again[part] |= wrong.any(axis=1)
    return np.flatnonzero(again)
