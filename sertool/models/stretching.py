"""Features over time, stretched along either axis by linear interpolation."""

from __future__ import annotations

import numpy as np


def between(features: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return rows of `features` (rows, ...) at fractional `places` (n,), in their type.

    Linear between neighbours; places before the first row or after the last are these.

    >>> between(np.array([[0.0], [2.0]]), np.array([-1, 0.5, 3])).ravel().tolist()
    [0.0, 1.0, 2.0]
    """
    places = places.clip(0, len(features) - 1)
    low = places.astype(np.int64)
    high = np.minimum(low + 1, len(features) - 1)
    share = (places - low).astype(features.dtype).reshape(-1, *[1] * (features.ndim - 1))
    features = np.ascontiguousarray(features)  # else each take copies all of it
    rows: np.ndarray = features.take(low, 0)
    rows *= 1 - share
    above = features.take(high, 0)
    above *= share
    rows += above
    return rows


def sped_up(features: np.ndarray, factor: float) -> np.ndarray:
    """Return `features` (frames, dims) as frames / factor frames, one at least."""
    frames = max(1, round(len(features) / factor))
    return between(features, np.arange(frames) * factor)


def bands_stretched(features: np.ndarray, factor: float) -> np.ndarray:
    """Return `features` (frames, dims) whose dimension k is k times the factor of what was given.

    Beyond the last dimension is the last.
    """
    return between(features.T, np.arange(features.shape[1]) * factor).T
