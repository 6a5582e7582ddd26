"""Mel-frequency cepstral coefficients (Davis & Mermelstein 1980): cosine transform of log-mel."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sertool.core.settings import setting
from sertool.features import Kind, Shown
from sertool.features.frames import Samples
from sertool.features.levels import to_scale
from sertool.features.mel import Bands, on_scale, remarks, spectrogram
from sertool.features.spectrogram import frame_rate

ROWS = 128  # frames transformed at a time


@dataclass(frozen=True)
class Settings(Bands):
    """Settings of MFCC; names and defaults are librosa's."""

    n_mfcc: int = setting(20, "number of coefficients")
    lifter: float = setting(0.0, "cepstral liftering (0: none)")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.n_mfcc <= self.n_mels:
            raise ValueError(f"n_mfcc must lie between 1 and n_mels={self.n_mels}")
        if self.lifter < 0:
            raise ValueError("lifter must not be negative")


@functools.lru_cache(maxsize=8)
def cosines(n_mels: int, n_mfcc: int, lifter: float = 0.0) -> np.ndarray:
    """Return the orthonormal DCT-II (n_mels, n_mfcc) float64, its columns liftered.

    Coefficient k weighs band m with sqrt(2 / M) cos(pi k (2 m + 1) / (2 M)), k = 0 with
    sqrt(1 / M).
    The lifter L multiplies the k-th of them, from 1, by 1 + L / 2 sin(pi k / L)
    (Juang, Rabiner & Wilpon 1987).
    """
    band, k = np.arange(n_mels)[:, None], np.arange(n_mfcc)
    basis = np.sqrt(2 / n_mels) * np.cos(np.pi * k * (2 * band + 1) / (2 * n_mels))
    basis[:, 0] = np.sqrt(1 / n_mels)
    if lifter:
        basis *= 1 + lifter / 2 * np.sin(np.pi * (k + 1) / lifter)
    basis.setflags(write=False)
    return basis


def log_mel(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    """Return the mel spectrogram (frames, n_mels) in dB that the coefficients are taken of."""

    dtype = np.dtype(settings.precision)
    return to_scale(spectrogram(samples, sample_rate, settings, dtype), "db", settings)


def compute(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    """Return the coefficients (frames, n_mfcc) float32 of samples (n,).

    Equals librosa.feature.mfcc(..., dct_type=2, norm="ortho"), transposed.
    """
    return _cepstra(log_mel(samples, sample_rate, settings), settings)


def _cepstra(levels: np.ndarray, settings: Settings) -> np.ndarray:
    """Return the coefficients of levels: `ROWS` frames at a time, from the first one on.

    The order in which a product of matrices is summed hangs on their number.
    """
    basis = cosines(settings.n_mels, settings.n_mfcc, settings.lifter).astype(levels.dtype)
    result = np.empty((len(levels), settings.n_mfcc), np.float32)
    for first in range(0, len(levels), ROWS):
        result[first : first + ROWS] = np.matmul(levels[first : first + ROWS], basis)
    return result


def blocks(samples: Samples, sample_rate: int, settings: Settings) -> Iterator[np.ndarray]:
    """Yield what `compute` returns, run by run, of samples of any length."""
    dtype = np.dtype(settings.precision)
    rest = np.empty((0, settings.n_mels), dtype)
    for levels in on_scale(samples, sample_rate, settings, dtype, "db"):
        levels = np.concatenate([rest, levels])
        whole = len(levels) // ROWS * ROWS
        yield _cepstra(levels[:whole], settings)
        rest = levels[whole:]
    yield _cepstra(rest, settings)


def shown(sample_rate: int, settings: Settings) -> Shown:
    """Return coefficients, in dB as what they are taken of."""
    return Shown("coefficient", values="cepstrum, dB")


KIND = Kind(
    name="mfcc",
    summary="mel-frequency cepstral coefficients of the mel spectrogram in dB",
    Settings=Settings,
    compute=compute,
    frame_rate=frame_rate,
    dims="(frames, n_mfcc)",
    remarks=remarks,
    shown=shown,
    blocks=blocks,
)
