"""What a frame's spectrum looks like: bands, cepstra, tilt, and moments."""

from __future__ import annotations

import functools
import math

import numpy as np

from sertool.features import fourier as fft
from sertool.features import mel, mfcc
from sertool.features.frames import window

RATE = 16_000  # Hz, of everything that this package measures
LENGTH, N_FFT = 400, 512  # samples: frames of 25 ms
QUIET = 1e-8  # power added, or the least there is: -80 dB of full scale
DECIBELS = 10 / np.log(10)  # in a natural logarithm's unit
BANDS, CEPSTRA = 26, 14
LOUDNESS = 0.3  # exponent from a band's power to its loudness (Zwicker; Hermansky 1990: a third)
ROLLOFF = (0.25, 0.5, 0.75, 0.9)  # shares of the power
SLOPES = ((0, 500), (500, 1500), (1500, 5000))  # Hz; the first two as in Eyben et al. 2016
HERTZ = np.fft.rfftfreq(N_FFT, 1 / RATE)
_MEL = mel.Bands(n_fft=N_FFT, n_mels=BANDS, fmin=20.0, fmax=RATE / 2, htk=True, norm=None)

NAMES = (
    "energy", "loudness", "zero crossings", "flux", "centroid", "spread", "skewness", "kurtosis",
    "entropy", *(f"roll-off {100 * share:g}" for share in ROLLOFF), "flatness", "alpha ratio",
    "hammarberg", *(f"slope {low}-{high}" for low, high in SLOPES), "sharpness",
    *(f"mel {i + 1}" for i in range(BANDS)), *(f"mfcc {i + 1}" for i in range(CEPSTRA)),
)  # fmt: skip


@functools.cache
def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the window (LENGTH,), its power 1, the mel filters (bins, BANDS), and the cosines."""
    shape = window("hann", LENGTH, LENGTH)
    shape = shape / np.sqrt(np.square(shape).sum())
    return shape, mel.filters(RATE, _MEL).T, mfcc.cosines(BANDS, 1 + CEPSTRA)[:, 1:]


def _between(low: float, high: float) -> slice:
    """Return the bins from `low` to `high` Hz, both included."""
    return slice(*np.searchsorted(HERTZ, [low, high + 1e-6]).tolist())


def energy(frames: np.ndarray) -> np.ndarray:
    """Return the mean square (n,) of frames (n, LENGTH) in dB, at least -100."""
    level: np.ndarray = 10 * np.log10(np.maximum(np.vecdot(frames, frames) / LENGTH, 1e-10))
    return level


def describe(frames: np.ndarray, before: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the descriptors (n, len(NAMES)) of frames (n, LENGTH), and the last one's shape.

    before: what the call for the frames before returned as its shape, from which the flux of the
    first frame is taken; None: there is none, and it is 0.
    """
    hann, filters, cosines = _tables()
    power = np.square(np.abs(fft.rfft(frames * hann, N_FFT)))
    bands = power @ filters
    levels = np.log(np.maximum(bands, QUIET))
    loud = bands**LOUDNESS
    loudness = loud.sum(1)
    share = power / (power.sum(1, keepdims=True) + QUIET)
    reached, logarithm = np.cumsum(share, 1), np.log(power + QUIET)
    negative = np.signbit(frames)
    shape = np.sqrt(share)
    change = np.diff(shape, axis=0, prepend=shape[:1] if before is None else before)
    columns = [
        energy(frames),
        loudness,
        np.count_nonzero(negative[:, 1:] != negative[:, :-1], axis=1) / (LENGTH - 1),
        np.sqrt(np.vecdot(change, change)),
        *_moments(share),
        -np.vecdot(share, np.log(share + 1e-12)),
        *(np.count_nonzero(reached < part, axis=1) * HERTZ[1] for part in ROLLOFF),
        logarithm.mean(1) - np.log(power.mean(1) + QUIET),
        *_tilt(power, DECIBELS * logarithm),
        loud @ np.arange(1, BANDS + 1) / np.maximum(loudness, 1e-6),
    ]
    return np.concatenate([np.stack(columns, 1), levels, levels @ cosines], 1), shape[-1:]


def _moments(share: np.ndarray) -> list[np.ndarray]:
    """Return centroid and spread in Hz, skewness, and the logarithm of kurtosis (at least 1).

    The last two from sums of powers of the distance from 2 kHz, in kHz, which keeps the digits.
    """
    centroid, square, *sums = (share @ _powers()).T
    spread = np.sqrt(np.maximum(square - np.square(centroid), 1))
    apart, width = (centroid - 2000) / 1000, spread / 1000
    third, fourth = (
        sum(math.comb(n, k) * sums[k] * (-apart) ** (n - k) for k in range(n + 1)) / width**n
        for n in (3, 4)
    )
    return [centroid, spread, third, np.log(np.clip(fourth, 1, 1000))]


@functools.cache
def _powers() -> np.ndarray:
    """Return Hz, their squares, and the powers 0 to 4 of kHz less 2: (bins, 7)."""
    powers = ((HERTZ - 2000) / 1000) ** np.arange(5)[:, None]
    return np.stack([HERTZ, np.square(HERTZ), *powers], 1)


def _tilt(power: np.ndarray, level: np.ndarray) -> list[np.ndarray]:
    """Return alpha ratio, Hammarberg index (dB) and the slopes (dB per kHz); Eyben et al. 2016.

    Of power (n, bins), and of the same in dB.
    """
    low, high = (
        10 * np.log10(power[:, _between(*edges)].sum(1) + QUIET)
        for edges in ((50, 1000), (1000, 5000))
    )
    found = [
        low - high,
        level[:, _between(0, 2000)].max(1) - level[:, _between(2000, 5000)].max(1),
    ]
    for edges in SLOPES:
        part = _between(*edges)
        x = HERTZ[part] - HERTZ[part].mean()
        found.append(level[:, part] @ x / (x @ x) * 1000)
    return found
