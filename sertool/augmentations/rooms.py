"""The sound of rooms, from recordings of their impulse responses."""

from __future__ import annotations

import numpy as np


def reverberant(samples: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Return `samples` (n,) as a room with the impulse `response` (m,) gives them back: float32.

    The direct sound, the response's largest peak, keeps its place, so that labels in time stay
    true; what comes before and after the item is cut off. The energy is that of `samples`.
    Silence stays.
    """
    from scipy.signal import fftconvolve

    dry = samples.astype(np.float64)
    direct = int(np.argmax(np.abs(response)))
    wet = fftconvolve(dry, response.astype(np.float64))[direct : direct + len(dry)]
    before, after = float(np.dot(dry, dry)), float(np.dot(wet, wet))
    if before == 0 or after == 0:
        return samples.astype(np.float32, copy=False)
    return (wet * np.sqrt(before / after)).astype(np.float32)
