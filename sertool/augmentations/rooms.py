"""The sound of rooms, from their impulse responses: recorded ones, or noise that dies away."""

from __future__ import annotations

import numpy as np

VOLUME = 60.0  # m³: an office or a living room
DISTANCE = 1.0  # m from the speaker to the microphone
CRITICAL = 0.057  # m: the critical distance is this times the root of m³ over seconds
FIRST = 0.0025  # s from the direct sound to the first reflection


def impulse_response(rt60: float, rate: int, random: np.random.Generator) -> np.ndarray:
    """Return the response of a room in which sound dies away by 60 dB in `rt60` seconds: float32.

    A direct impulse, then Gaussian noise that falls exponentially (Polack's model; Kuttruff, Room
    Acoustics, 5th ed., section 4.1). Their energies are as the squares of the critical distance,
    0.057 m · sqrt(V / RT60), and of `DISTANCE`, in a room of `VOLUME`.
    """
    time = np.arange(1, max(2, round(rt60 * rate))) / rate
    tail = random.standard_normal(len(time)) * 10.0 ** (-3.0 * time / rt60)
    tail[time < FIRST] = 0.0
    direct_to_tail = CRITICAL**2 * VOLUME / rt60 / DISTANCE**2
    tail /= np.sqrt(np.dot(tail, tail) * direct_to_tail)
    return np.concatenate([[1.0], tail]).astype(np.float32)


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
