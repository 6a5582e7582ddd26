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

from sertool.features.frames import scratch

RANGE = 80.0  # dB below the file's peak within which values are to be right
ERRORS = 5.0  # units of rounding: leaves 1.6 times the tolerance at worst in RAVDESS and EmoDB
UNIT = 2.0**-24  # of float32
NEAR_PEAK = 0.7  # from here to the peak, an error relative to the value is one to the peak


def weak(
    power: np.ndarray,
    energies: np.ndarray,
    gains: np.ndarray,
    tolerance: float,
    exponent: float = 2.0,
) -> np.ndarray:
    """Return the flat indices of values that may be wrong by more than `tolerance` dB.

    `power` (frames, bands) is a sum over bins of weight * |spectrum| ** exponent, `gains` (bands,)
    each band's largest weight, `energies` (frames,) the sum of squares of each windowed frame.
    """
    allowed = tolerance * math.log(10) / 10  # relative
    noise = (exponent * ERRORS * UNIT / allowed) ** exponent * energies ** (exponent / 2)
    limit = scratch("limit", power.shape, power.dtype)
    np.multiply(noise[:, None], gains, out=limit)
    return np.flatnonzero(power < limit)


def doubtful(power: np.ndarray, candidates: np.ndarray, exponent: float = 2.0) -> np.ndarray:
    """Return the indices of the frames of a whole file, power (frames, bands), to be repeated.

    They have one of the `candidates` (flat indices, from `weak`) that is not further than 80 dB
    below the file's largest value, or a value near the largest: so that the error is small beside
    the peak everywhere.
    """
    values = power.reshape(-1)
    peak = float(values.max())
    if peak <= 0:
        return np.zeros(0, np.intp)
    lowest = peak * 10 ** (-RANGE / 10 * exponent / 2)
    audible = candidates[values[candidates] >= lowest]
    loud = np.flatnonzero(values >= NEAR_PEAK * peak)
    return np.unique(np.concatenate([audible, loud]) // power.shape[1])
