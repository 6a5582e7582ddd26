"""Descriptors of a voice, one row for every 10 ms: loudness, spectrum, pitch, quality, formants."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sertool.features import acoustic
from sertool.features import fourier as fft
from sertool.features.frames import window
from sertool.features.voice import periods, pitch, spectrum
from sertool.features.voice.spectrum import QUIET, RATE

HOP = 160  # samples: 10 ms
BLOCK = 256  # frames computed at a time
SEMITONES_FROM = 27.5  # Hz
FORMANTS = 3
TOP = 5500.0  # Hz, below which there are five formants
ORDER = 10
N_FFT = 1024  # of a frame whose harmonics are looked at; more where the lowest pitch needs it

SPEECH = ("periodicity", *spectrum.NAMES)  # what all frames have
VOICE = (
    "pitch", "harmonicity", "jitter", "shimmer",
    *(f"{word} {i + 1}" for word in ("formant", "bandwidth", "amplitude") for i in range(FORMANTS)),
    "second harmonic",
)  # fmt: skip  # what frames with a voice have, 0 in others
DIMS = len(SPEECH) + len(VOICE)


@dataclass
class Frames:
    """speech (frames, SPEECH), voice (frames, VOICE), and voiced (frames,), which have a voice."""

    speech: np.ndarray
    voice: np.ndarray
    voiced: np.ndarray


def _framed(samples: np.ndarray, length: int) -> np.ndarray:
    """Return a view (1 + n // HOP, length): frame t is centred on sample t · HOP, zeros outside."""
    padded = np.pad(samples, length // 2)
    return np.lib.stride_tricks.sliding_window_view(padded, length)[::HOP]


def describe(samples: np.ndarray, lowest: float, highest: float) -> Frames:
    """Return the descriptors of samples (n,) float64 at RATE, n at least 1.

    lowest, highest: the range of pitch in Hz. The samples' mean is taken away. Pitch is in
    semitones above 27.5 Hz, harmonicity (as energies), amplitudes of formants and that of the
    second harmonic (of the first harmonic) are in dB, formants and bandwidths in Hz.
    """
    samples = samples - samples.mean()
    count = 1 + len(samples) // HOP
    long = _framed(samples, pitch.frame_length(RATE, lowest))
    short = _framed(samples, spectrum.LENGTH)
    peak = max(float(np.abs(samples).max()), 1e-9)
    found, shape = [], None
    for first in range(0, count, BLOCK):
        block = long[first : first + BLOCK]
        block = block - block.mean(1, keepdims=True)
        loudness = np.abs(block).max(1) / peak
        found.append((*pitch.candidates(block, RATE, lowest, highest), loudness))
    lags, strengths, loud = (np.concatenate(parts) for parts in zip(*found, strict=True))
    hertz, share = pitch.track(lags, strengths, loud, RATE, lowest)
    rows = []
    for first in range(0, count, BLOCK):
        table, shape = spectrum.describe(short[first : first + BLOCK], shape)
        rows.append(table)
    speech = np.concatenate([share[:, None], np.concatenate(rows)], 1)
    return Frames(speech, _voice(samples, long, hertz, share), hertz > 0)


def _voice(
    samples: np.ndarray, frames: np.ndarray, hertz: np.ndarray, share: np.ndarray
) -> np.ndarray:
    """Return what frames with a voice have (frames, VOICE)."""
    sound, voiced = periods.Sound(samples), hertz > 0
    runs = periods.marks(sound, hertz, RATE, HOP)
    whole = np.empty((len(hertz), len(VOICE)))
    whole[:, 0] = 12 * np.log2(np.where(voiced, hertz, SEMITONES_FROM) / SEMITONES_FROM)
    whole[:, 1] = 10 * np.log10(np.maximum(share, 1e-3) / (1 - share))
    whole[:, 2] = periods.over_frames(*periods.jitter(runs), len(hertz), HOP)
    whole[:, 3] = periods.over_frames(*periods.shimmer(sound, runs), len(hertz), HOP)
    places = np.flatnonzero(voiced)
    for first in range(0, len(places), BLOCK):
        some = places[first : first + BLOCK]
        whole[some, 4:] = _resonances(frames[some], hertz[some])
    whole[~voiced] = 0
    return whole


def _resonances(frames: np.ndarray, hertz: np.ndarray) -> np.ndarray:
    """Return formants, bandwidths, amplitudes of both, and the second harmonic's, (n, 10)."""
    length = frames.shape[1]
    n_fft = max(N_FFT, fft.next_fast_len(length))
    frames = frames - frames.mean(1, keepdims=True)
    power = np.square(np.abs(fft.rfft(frames * window("hann", length, length), n_fft)))
    places, widths = acoustic.resonances(power, RATE, n_fft, TOP, ORDER)
    order = np.argsort(places, axis=1)[:, :FORMANTS]
    at = np.take_along_axis(places, order, 1)
    known = np.isfinite(at)
    at = np.where(known, at, 0)
    level = 10 * np.log10(power + QUIET)

    def peak(where: np.ndarray, reach: int) -> np.ndarray:
        bins = np.round(where * n_fft / RATE).astype(np.int64)
        bins = np.clip(bins, reach, power.shape[1] - 1 - reach)
        around = bins[:, None] + np.arange(-reach, reach + 1)
        return np.take_along_axis(level, around, 1).max(1)

    fundamental = peak(hertz, 2)
    amplitudes = np.stack([peak(column, 6) for column in at.T], 1) - fundamental[:, None]
    width = np.where(known, np.take_along_axis(widths, order, 1), 0)
    second = peak(2 * hertz, 2) - fundamental
    return np.concatenate([at, width, np.where(known, amplitudes, 0), second[:, None]], 1)
