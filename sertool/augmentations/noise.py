"""Additive noise at an exact signal-to-noise ratio: white, pink, other voices, recordings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LOWEST = 20.0  # Hz


def add_noise(samples: np.ndarray, noise: np.ndarray, snr_db: float) -> tuple[np.ndarray, bool]:
    """Return `samples` plus `noise` (n,) at a ratio of `snr_db`, and whether any could be added.

    The noise is scaled by its own measured power, so that the ratio of the powers is exact
    (Sundharam & Johari, section 3.2.2: x + K·n, K = sqrt(P_x / P_n · 10^(-SNR/10))). float32;
    the memory of `noise` is used. Silence, or silent noise, has no such ratio: nothing is added.
    """
    signal = samples.astype(np.float32, copy=False)
    signal_power = _power(signal)
    noise_power = _power(noise)
    if signal_power == 0 or noise_power == 0:
        return signal, False
    scale = np.sqrt(signal_power / noise_power * 10 ** (-snr_db / 10))
    noise *= np.float32(scale)
    noise += signal
    return noise, True


def add_white_noise(
    samples: np.ndarray, snr_db: float, random: np.random.Generator
) -> tuple[np.ndarray, bool]:
    """Return `samples` (n,) plus white Gaussian noise; see `add_noise`."""
    return add_noise(samples, random.standard_normal(len(samples), dtype=np.float32), snr_db)


def _power(samples: np.ndarray) -> float:
    """Return the mean square of `samples` in float64."""
    wide = samples.astype(np.float64)
    return float(np.dot(wide, wide)) / len(wide)


def pink_noise(count: int, rate: int, random: np.random.Generator) -> np.ndarray:
    """Return `count` samples of Gaussian noise whose power falls by 3 dB an octave: float32.

    White noise shaped in the frequency domain, of no particular level. There is nothing below
    `LOWEST` Hz, where nobody would hear it, or record it.
    """
    spectrum = np.fft.rfft(random.standard_normal(count))
    hertz = np.fft.rfftfreq(count, 1 / rate)
    spectrum *= np.sqrt(np.divide(LOWEST, hertz, out=np.zeros(len(hertz)), where=hertz >= LOWEST))
    return np.fft.irfft(spectrum, count).astype(np.float32)


def babble(voices: Sequence[np.ndarray], count: int, random: np.random.Generator) -> np.ndarray:
    """Return `count` samples of several voices, each (n,) at one rate, at once: float32.

    All are equally loud; each begins at a random place and is repeated to the end. Silent ones
    are left out.
    """
    mixed = np.zeros(count)
    for voice in voices:
        loudness = np.sqrt(_power(voice))
        first = int(random.integers(len(voice)))
        if loudness > 0:
            mixed += np.resize(np.roll(voice, -first), count) / loudness
    return mixed.astype(np.float32)
