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
_ROWS = 4096


def doubtful(
    power: np.ndarray,
    energies: np.ndarray,
    gains: np.ndarray,
    tolerance: float,
    exponent: float = 2.0,
) -> np.ndarray:
    """Return the indices of frames with a value that may be wrong by more than `tolerance` dB.

    `power` (frames, bands) is a sum over bins of weight * |spectrum| ** exponent, `gains` (bands,)
    each band's largest weight, `energies` (frames,) the sum of squares of each windowed frame.
    Values further than 80 dB below the largest do not count. Frames with a value near the largest
    are among them, so that the error is small beside the peak everywhere.
    """
    peak = float(power.max())
    lowest = peak * 10 ** (-RANGE / 10 * exponent / 2)
    allowed = tolerance * math.log(10) / 10  # relative
    scale = (exponent * ERRORS * UNIT / allowed) ** exponent
    bands = power.shape[1]
    found = []
    for first in range(0, len(power), _ROWS):
        part = power[first : first + _ROWS]
        limit = (scale * energies[first : first + _ROWS] ** (exponent / 2))[:, None] * gains
        wrong = part < limit
        wrong &= part >= lowest
        wrong |= part >= NEAR_PEAK * peak
        rows = np.flatnonzero(wrong) // bands
        found.append(first + rows[np.diff(rows, prepend=-1) > 0])
    return np.concatenate(found) if peak > 0 else np.zeros(0, np.intp)
