"""What a frame's spectrum looks like: bands, cepstra, tilt, and moments."""

from __future__ import annotations

import functools

import numpy as np

from sertool.features import fourier as fft
from sertool.features import mel, mfcc
from sertool.features.frames import window

RATE = 16_000  # Hz, of everything that this package measures
LENGTH, N_FFT = 400, 512  # samples: frames of 25 ms
QUIET = 1e-8  # power added, or the least there is: -80 dB of full scale
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
    shape = np.sqrt(share)
    previous = np.concatenate([shape[:1] if before is None else before, shape[:-1]])
    columns = [
        10 * np.log10(np.maximum(np.square(frames).mean(1), 1e-10)),
        loudness,
        np.not_equal(*(np.signbit(part) for part in (frames[:, 1:], frames[:, :-1]))).mean(1),
        np.sqrt(np.square(shape - previous).sum(1)),
        *_moments(share),
        -(share * np.log(share + 1e-12)).sum(1),
        *((np.cumsum(share, 1) < part).sum(1) * HERTZ[1] for part in ROLLOFF),
        np.log(power + QUIET).mean(1) - np.log(power.mean(1) + QUIET),
        *_tilt(power),
        loud @ np.arange(1, BANDS + 1) / np.maximum(loudness, 1e-6),
    ]
    return np.concatenate([np.stack(columns, 1), levels, levels @ cosines], 1), shape[-1:]


def _moments(share: np.ndarray) -> list[np.ndarray]:
    """Return centroid and spread in Hz, skewness, and the logarithm of kurtosis (at least 1)."""
    centroid = share @ HERTZ
    spread = np.sqrt(np.maximum(share @ np.square(HERTZ) - np.square(centroid), 1))
    apart = (HERTZ - centroid[:, None]) / spread[:, None]
    third = share * apart**3
    kurtosis = np.clip((third * apart).sum(1), 1, 1000)
    return [centroid, spread, third.sum(1), np.log(kurtosis)]


def _tilt(power: np.ndarray) -> list[np.ndarray]:
    """Return alpha ratio, Hammarberg index (dB) and the slopes (dB per kHz); Eyben et al. 2016."""
    low, high = (
        10 * np.log10(power[:, _between(*edges)].sum(1) + QUIET)
        for edges in ((50, 1000), (1000, 5000))
    )
    level = 10 * np.log10(power + QUIET)
    found = [
        low - high,
        level[:, _between(0, 2000)].max(1) - level[:, _between(2000, 5000)].max(1),
    ]
    for edges in SLOPES:
        part = _between(*edges)
        x = HERTZ[part] - HERTZ[part].mean()
        found.append(level[:, part] @ x / (x @ x) * 1000)
    return found
