"""Pictures resampled by their maps: bilinear, each axis by itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sertool.augmentations.image import Map


def warp(pictures: np.ndarray, maps: Sequence[Map]) -> np.ndarray:
    """Return `pictures` (n, height, width, channels), each resampled by its own map.

    Bilinear in float32; what lies outside is the nearest pixel of the edge. The type stays:
    whole numbers are rounded half to even.
    """
    n, height, width, channels = pictures.shape
    scale = np.array([m.scale for m in maps], np.float64).reshape(n, 2)
    shift = np.array([m.shift for m in maps], np.float64).reshape(n, 2)
    top, bottom, down = _between(height, scale[:, 0], shift[:, 0])
    left, right, along = _between(width, scale[:, 1], shift[:, 1])
    channel = np.arange(channels)
    # columns as places in a flat row (width · channels): one gather of numbers, no tiny copies
    left, right = ((x[:, :, None] * channels + channel).reshape(n, -1) for x in (left, right))
    along = np.repeat(along, channels, axis=1)
    out = np.empty((n, height, width * channels), pictures.dtype)
    whole = np.issubdtype(pictures.dtype, np.integer)
    for i in range(n):
        rows = pictures[i].reshape(height, -1).astype(np.float32)
        rows = _mix(rows.take(top[i], 0), rows.take(bottom[i], 0), down[i][:, None])
        rows = _mix(
            rows.take(left[i], 1, mode="clip"), rows.take(right[i], 1, mode="clip"), along[i]
        )
        out[i] = np.rint(rows, out=rows) if whole else rows
    return out.reshape(pictures.shape)


def _between(
    size: int, scale: np.ndarray, shift: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, (n, size) each, the two pixels that each output pixel lies between, and how far."""
    centre = (size - 1) / 2
    at = scale[:, None] * (np.arange(size) - centre) + (shift * size)[:, None] + centre
    np.clip(at, 0, size - 1, out=at)
    low = at.astype(np.intp)
    return low, np.minimum(low + 1, size - 1), (at - low).astype(np.float32)


def _mix(low: np.ndarray, high: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return low + weight · (high − low), in the memory of `high`."""
    high -= low
    high *= weight
    high += low
    return high
