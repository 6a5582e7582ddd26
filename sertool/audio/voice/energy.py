"""Voice activity by loudness above the background and by pitch: the detector of the core.

A frame is loud where it stands out of the quietest moments around it; loud frames are speech where
enough of them near by are voiced, that is periodic as the vocal folds are. What is periodic and
loud, such as music, passes for speech.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RATE = 8000  # Hz: the telephone's band is enough to tell loudness and pitch
HOP = 128  # samples, 16 ms
WINDOW = 256  # samples, 32 ms: two periods of the lowest voice
LOW_BAND = 180.0  # Hz: hum and rumble lie below
PITCH = (70.0, 400.0)  # Hz: the range of voices
ABOVE = 9.0  # dB over the background that a frame of speech has
LOWEST = -65.0  # dB of full scale: nothing below it is speech
NOTHING = -85.0  # dB: below it a frame is a gap in the recording, not its background
AROUND = 6.0  # seconds to either side in which the background is looked for
SMOOTH = 5  # frames over which the background's loudness is averaged
VOICED = 0.55  # periodicity (0 to 1) of a voiced frame
NEAR = 20  # frames to either side among which voiced ones are counted
ENOUGH = 4  # voiced frames near a frame of speech
STEADY = 6.0  # dB: a recording with less contrast is one sound from beginning to end

_FIRST_BIN = int(np.ceil(LOW_BAND * WINDOW / RATE))
_LAGS = slice(int(RATE / PITCH[1]), int(np.ceil(RATE / PITCH[0])) + 1)
_TAPER = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
_TAPER_LAGS = np.fft.irfft(np.abs(np.fft.rfft(_TAPER, 2 * WINDOW)) ** 2)[_LAGS]
_TAPER_LAGS = (_TAPER_LAGS / np.sum(_TAPER**2)).astype(np.float32)
_FLOOR = 1e-12  # of power: silence has a logarithm, too
_BATCH = 1024  # frames transformed at a time


class Energy:
    """Listens to one recording at `RATE`; scores are (frames, 2): dB and periodicity."""

    rate = RATE
    hop = HOP / RATE

    def __init__(self) -> None:
        self._rest = np.zeros(0, np.float32)

    def scores(self, samples: np.ndarray) -> np.ndarray:
        """Return loudness in dB of full scale and periodicity of each new frame (frames, 2)."""
        samples = np.concatenate([self._rest, samples])
        count = max(0, (len(samples) - WINDOW) // HOP + 1)
        self._rest = samples[count * HOP :]
        if not count:
            return np.zeros((0, 2), np.float32)
        frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP][:count]
        parts = [_measure(frames[i : i + _BATCH]) for i in range(0, count, _BATCH)]
        return np.concatenate(parts)

    def decide(self, scores: np.ndarray) -> np.ndarray:
        """Return for each frame whether it is loud, and in the company of voiced ones."""
        level, periodicity = scores[:, 0], scores[:, 1]
        if not len(level):
            return np.zeros(0, bool)
        voiced = periodicity > VOICED
        loud = (level > _background(level) + ABOVE) & (level > LOWEST)
        sounding = level[level >= NOTHING]
        low, high = _percentiles(sounding, [5, 95]) if len(sounding) else (0.0, 0.0)
        if high - low < STEADY:
            loud |= voiced & (level > LOWEST)
        enough = _nearby(voiced & loud, NEAR) >= min(ENOUGH, max(1, len(level) // 4))
        return loud & enough


def _measure(frames: np.ndarray) -> np.ndarray:
    """Return (dB, periodicity) of frames (n, WINDOW)."""
    spectrum = np.fft.rfft(frames * _TAPER, 2 * WINDOW, axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    power[:, : 2 * _FIRST_BIN] *= 0.0
    band = 2 * power.sum(1) / (2 * WINDOW) / np.sum(_TAPER**2)
    lags = np.fft.irfft(power, axis=1)
    along = lags[:, _LAGS] / _TAPER_LAGS
    periodicity = along.max(1) / np.maximum(lags[:, 0], _FLOOR)
    level = 10 * np.log10(np.maximum(band, _FLOOR))
    return np.stack([level, np.clip(periodicity, 0, 1)], 1).astype(np.float32)


def _background(level: np.ndarray) -> np.ndarray:
    """Return the loudness of the background at each frame: the least within `AROUND` seconds."""
    reach = SMOOTH // 2
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(level, reach, "edge"), SMOOTH)
    smooth = np.where(windows.min(1) < NOTHING, np.inf, windows.mean(1))
    least = _running_least(smooth, round(AROUND * RATE / HOP))
    return np.where(np.isfinite(least), least, LOWEST)


def _running_least(values: np.ndarray, reach: int) -> np.ndarray:
    """Return the least of the values within `reach` of each (van Herk's two passes)."""
    size = 2 * reach + 1
    padded = np.pad(values, reach, mode="constant", constant_values=np.inf)
    padded = np.pad(padded, (0, -len(padded) % size), constant_values=np.inf)
    blocks = padded.reshape(-1, size)
    ahead = np.minimum.accumulate(blocks, 1).ravel()
    back = np.minimum.accumulate(blocks[:, ::-1], 1)[:, ::-1].ravel()
    return np.minimum(back[: len(values)], ahead[size - 1 : size - 1 + len(values)])


def _nearby(flags: np.ndarray, reach: int) -> np.ndarray:
    """Return how many flags are set within `reach` of each."""
    total = np.concatenate([[0], np.cumsum(flags)])
    at = np.arange(len(flags))
    return total[np.minimum(at + reach + 1, len(flags))] - total[np.maximum(at - reach, 0)]


def _percentiles(values: np.ndarray, wanted: Sequence[float]) -> list[float]:
    """Return what `np.percentile` does, which imports masked arrays for it."""
    ordered = np.sort(values)
    found = []
    for place in (len(ordered) - 1) * (np.array(wanted) / 100):
        low = int(place)
        a, b = ordered[low], ordered[min(low + 1, len(ordered) - 1)]
        share = place - low
        found.append(float(b - (b - a) * (1 - share) if share >= 0.5 else a + (b - a) * share))
    return found
