"""What a channel does to sound: a narrow band, an amplifier, a codec."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sertool.audio import decoding, waveform

ORDER = 4  # of the Butterworth filter, which is run forwards and backwards
SETTLING = 3  # periods of the lower edge that the filter is given to settle at both ends


def amplified(samples: np.ndarray, gain_db: float) -> np.ndarray:
    """Return `samples` (n,) `gain_db` dB louder: float32, values beyond full scale as they come."""
    return samples.astype(np.float32, copy=False) * np.float32(10 ** (gain_db / 20))


def band_passed(samples: np.ndarray, rate: int, low: float, high: float) -> np.ndarray:
    """Return `samples` (n,) at `rate` Hz without what is below `low` or above `high` Hz: float32.

    A Butterworth filter of order 4 forwards and backwards: no phase, nothing moves in time. 6 dB
    down at both edges, at most 1 dB from 1.4 · low to high / 1.4, at least 48 dB an octave
    outside. 0 < low < high < rate / 2.
    """
    from scipy.signal import butter, sosfiltfilt

    sections = butter(ORDER, [low, high], "bandpass", fs=rate, output="sos")
    settling = min(len(samples) - 1, max(6 * ORDER, round(SETTLING * rate / low)))
    made = sosfiltfilt(sections, samples.astype(np.float64), padlen=settling)
    return np.asarray(made, np.float32)


def coded(
    samples: np.ndarray, rate: int, container: str, coding: str, rates: Sequence[int]
) -> tuple[np.ndarray, int]:
    """Return `samples` (n,) as a codec of libsndfile gives them back, and how many it cut off.

    float32 (n,), not moved in time. What is beyond full scale is cut off before, for all codecs
    alike: some hold nothing there, and some only at times. `rates`: those that the codec takes, in
    Hz, none for any. It gets the next higher one, or its highest, and its sound is resampled back.
    """
    inner = rate if not rates else min((r for r in rates if r >= rate), default=rates[-1])
    beyond = int(np.count_nonzero(np.abs(samples) > 1))
    signal = waveform.resample(np.clip(samples, -1, 1) if beyond else samples, rate, inner)
    made = waveform.resample(decoding.coded(signal, inner, container, coding), inner, rate)
    return np.pad(made, (0, max(0, len(samples) - len(made))))[: len(samples)], beyond
