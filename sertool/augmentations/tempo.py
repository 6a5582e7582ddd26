"""Sound moved in time, made faster or slower, and made higher or deeper."""

from __future__ import annotations

import math
import warnings

import numpy as np

WINDOW = 2048 / 22050  # seconds: librosa's window at the sample rate that it is made for


def shifted(samples: np.ndarray, by: int) -> np.ndarray:
    """Return `samples` (n,) `by` samples later (earlier below 0): (n,); silence fills the gap."""
    result = np.zeros_like(samples)
    if by >= 0:
        result[by:] = samples[: max(0, len(samples) - by)]
    else:
        result[:by] = samples[-by:]
    return result


def window(samples: int, rate: int) -> int:
    """Return the FFT size for this many samples at `rate` Hz: about the same time at any rate."""
    size = 1 << max(4, round(math.log2(WINDOW * rate)))
    return min(size, 1 << max(4, samples.bit_length() - 1))


def _as_loud(made: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Return `made` (m,) with the mean square of `samples` (n,): float32; silence stays.

    A phase vocoder lets the phases of neighbouring bins drift apart, and speech loses 2 to 4 dB.
    """
    before, after = (float(np.mean(np.square(x, dtype=np.float64))) for x in (samples, made))
    scale = math.sqrt(before / after) if before > 0 and after > 0 else 1.0
    return (made * np.float32(scale)).astype(np.float32, copy=False)


def compile_once() -> None:
    """Have numba compile what librosa uses, which it does once and keeps in librosa's own folder.

    Processes that do so at once leave code there that ends a later one.
    """
    import librosa

    librosa.effects.pitch_shift(np.zeros(4096, np.float32), sr=16000, n_steps=1.0, n_fft=512)


def stretched(samples: np.ndarray, rate: int, speed: float) -> np.ndarray:
    """Return `samples` (n,) `speed` times as fast, the pitch kept: float32 (round(n / speed),).

    The phase vocoder of librosa, and the mean square of `samples`; `rate` in Hz. A speed of 1
    changes nothing.
    """
    import librosa

    if speed == 1:
        return samples.astype(np.float32, copy=False)
    size = window(len(samples), rate)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a sound shorter than the window
        made = librosa.effects.time_stretch(
            samples.astype(np.float32, copy=False), rate=speed, n_fft=size, hop_length=size // 4
        )
    wanted = max(1, round(len(samples) / speed))
    return _as_loud(np.pad(made, (0, max(0, wanted - len(made))))[:wanted], samples)


def pitched(samples: np.ndarray, rate: int, semitones: float) -> np.ndarray:
    """Return `samples` (n,) at `rate` Hz with all frequencies 2^(semitones / 12) times as high.

    librosa's: stretched in time, and resampled back. Length and mean square stay; float32.
    """
    import librosa

    if semitones == 0:
        return samples.astype(np.float32, copy=False)
    size = window(len(samples), rate)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        made = librosa.effects.pitch_shift(
            samples.astype(np.float32, copy=False),
            sr=rate,
            n_steps=semitones,
            n_fft=size,
            hop_length=size // 4,
        )
    return _as_loud(made, samples)
