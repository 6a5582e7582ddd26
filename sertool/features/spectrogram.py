"""The power of the short-time Fourier transform, linear or on a logarithmic scale."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sertool.core.settings import setting
from sertool.features import Kind, Shown, kernel
from sertool.features.frames import Framing, Samples, frame_count, powers, runs
from sertool.features.levels import UNITS, Levels, to_scale
from sertool.features.rounding import doubtful

TOLERANCE = 5e-3  # dB that rounding may cost: half of what is promised


@dataclass(frozen=True)
class Settings(Levels, Framing):
    """Settings of a spectrogram; names and defaults are librosa's."""

    scale: Literal["db", "power", "magnitude", "log"] = setting(
        "db", "decibels, the power itself, its square root, or its natural logarithm"
    )

    def __post_init__(self) -> None:
        Framing.__post_init__(self)
        Levels.__post_init__(self)


def compute(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    """Return the spectrogram (frames, 1 + n_fft // 2) float32 of samples (n,).

    `scale` "db" equals librosa's power_to_db(abs(stft(y, pad_mode="constant")) ** 2).
    """
    return to_scale(_powers(samples, settings, 0.0)[0], settings.scale, settings)


def _powers(samples: np.ndarray, settings: Settings, peak: float) -> tuple[np.ndarray, float]:
    """Return (the power (frames, bins), the largest of its first values and of `peak`)."""
    if kernel.serves(settings, 2.0):
        result, energies = kernel.band_powers(samples, settings, kernel.single(settings.n_fft))
    else:
        result, energies = _block_by_block(samples, settings)
    peak = max(peak, float(result.max()))
    if settings.precision == "float32":
        gains = np.ones(result.shape[1], np.float32)
        again = doubtful(result, energies, gains, TOLERANCE, peak=peak)
        for rows, power, _ in powers(samples, settings.finer, only=again):
            result[again[rows]] = power
    return result, peak


def blocks(samples: Samples, sample_rate: int, settings: Settings) -> Iterator[np.ndarray]:
    """Yield what `compute` returns, run by run, of samples of any length; `mel` says how."""
    peak = right = 0.0
    for part, framed in runs(samples, settings):
        found, peak = _powers(part, framed, peak)
        right = max(right, float(found.max()))
    for part, framed in runs(samples, settings):
        yield to_scale(_powers(part, framed, peak)[0], settings.scale, settings, right)


def _block_by_block(samples: np.ndarray, settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """Return (the power, energies (frames,)) of what the kernel does not serve."""
    frames = frame_count(len(samples), settings)
    result = np.empty((frames, 1 + settings.n_fft // 2), np.float32)
    energies = np.empty(frames, settings.precision)
    for rows, power, energies[rows] in powers(samples, settings):
        result[rows] = power
    return result, energies


def frame_rate(sample_rate: int, settings: Framing) -> float:
    """Return frames per second."""
    return sample_rate / settings.hop_length


def shown(sample_rate: int, settings: Settings) -> Shown:
    """Return frequencies up to half the sample rate, and the power on its scale."""
    return Shown("frequency, Hz", (0.0, sample_rate / 2), UNITS[settings.scale])


KIND = Kind(
    name="spectrogram",
    summary="power spectrogram, in dB unless another scale is set",
    Settings=Settings,
    compute=compute,
    frame_rate=frame_rate,
    dims="(frames, 1 + n_fft // 2)",
    shown=shown,
    blocks=blocks,
)
