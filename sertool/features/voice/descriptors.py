"""Descriptors of a voice, one row for every 10 ms: loudness, spectrum, pitch, quality, formants."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sertool.features import acoustic
from sertool.features.voice import periods, pitch, spectrum
from sertool.features.voice.spectrum import QUIET, RATE

HOP = 160  # samples: 10 ms
BLOCK = 256  # frames computed at a time
SEMITONES_FROM = 27.5  # Hz
FORMANTS = 3
TOP = 5500.0  # Hz, below which there are five formants
ORDER = 10
NOTHING = 1e-12  # of the loudest sample: below lie errors of rounding
KEPT = 3000  # frames of a recording whose spectra are kept; of a longer one they are taken twice

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


def describe(samples: np.ndarray, lowest: float, highest: float, gate: float = math.inf) -> Frames:
    """Return the descriptors of samples (n,) float64 at RATE, n at least 1.

    lowest, highest: the range of pitch in Hz. gate: only the frames from the first to the last that
    is at most so many dB below the loudest are returned. The samples' mean is taken away. Pitch is
    in semitones above 27.5 Hz, harmonicity (as energies), amplitudes of formants and that of the
    second harmonic (of the first harmonic) are in dB, formants and bandwidths in Hz.
    """
    samples = samples - samples.mean()
    short = _framed(samples, spectrum.LENGTH)
    energy = spectrum.energy(short)
    heard = _hull(energy >= energy.max() - gate)
    begin = max(0, heard.start - 1)  # flux needs the frame before
    tables, shape = [], None
    for some in _blocks(slice(begin, heard.stop)):
        table, shape = spectrum.describe(short[some], shape)
        tables.append(table)
    spectra = np.concatenate(tables)[heard.start - begin :]
    hertz, share, voice = _sung(samples, heard, pitch.plan(RATE, lowest, highest))
    speech = np.concatenate([share[heard, None], spectra], 1)
    return Frames(speech, voice[heard], hertz[heard] > 0)


def _hull(chosen: np.ndarray) -> slice:
    """Return the frames from the first to the last that is chosen."""
    places = np.flatnonzero(chosen)
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0)


def _blocks(rows: slice) -> Iterator[slice]:
    """Yield rows, at most BLOCK at a time."""
    for first in range(rows.start, rows.stop, BLOCK):
        yield slice(first, min(first + BLOCK, rows.stop))


def _sung(
    samples: np.ndarray, heard: slice, plan: pitch.Plan
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pitch in Hz, 0 without a voice, the share that is periodic, and VOICE, of all frames.

    The share is 0 of frames that are not heard and too soft to have a voice.
    """
    long = _framed(samples, plan.length)
    peak = max(float(np.abs(samples).max()), 1e-9)
    means = long.mean(1)
    loudness = np.maximum(long.max(1) - means, means - long.min(1)) / peak
    wanted = ~pitch.silent(loudness, plan)
    wanted[heard] = True
    near = _hull(wanted)
    near = slice(max(0, near.start - 1), min(len(long), near.stop + 1))
    found, spectra = [], []
    for rows in _blocks(near):
        power = plan.power(long[rows], means[rows])
        power[loudness[rows] < NOTHING] = 0
        found.append(pitch.candidates(power, plan))
        if near.stop - near.start <= KEPT:
            spectra.append(power)
    lags, strengths = (np.concatenate(parts) for parts in zip(*found, strict=True))
    hertz, share = np.zeros((2, len(long)))
    hertz[near], share[near] = pitch.track(lags, strengths, loudness[near], plan)
    voice = _voice(samples, hertz, share)
    places = np.flatnonzero(hertz > 0)
    every = np.concatenate(spectra) if spectra else None
    for some in _blocks(slice(0, len(places))):
        at = places[some]
        power = plan.power(long[at], means[at]) if every is None else every[at - near.start]
        voice[at, 4:] = _resonances(power, hertz[at], plan.n_fft)
    return hertz, share, voice


def _voice(samples: np.ndarray, hertz: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return what frames with a voice have (frames, VOICE), but for their resonances."""
    sound, voiced = periods.Sound(samples), hertz > 0
    runs = periods.marks(sound, hertz, RATE, HOP)
    whole = np.zeros((len(hertz), len(VOICE)))
    whole[:, 0] = 12 * np.log2(np.where(voiced, hertz, SEMITONES_FROM) / SEMITONES_FROM)
    whole[:, 1] = 10 * np.log10(np.maximum(share, 1e-3) / (1 - share))
    whole[:, 2] = periods.over_frames(*periods.jitter(runs), len(hertz), HOP)
    whole[:, 3] = periods.over_frames(*periods.shimmer(sound, runs), len(hertz), HOP)
    whole[~voiced] = 0
    return whole


def _resonances(power: np.ndarray, hertz: np.ndarray, n_fft: int) -> np.ndarray:
    """Return formants, bandwidths, amplitudes of both, and the second harmonic's, (n, 10)."""
    places, widths = acoustic.resonances(power, RATE, n_fft, TOP, ORDER)
    order = np.argsort(places, axis=1)[:, :FORMANTS]
    at = np.take_along_axis(places, order, 1)
    known = np.isfinite(at)
    at = np.where(known, at, 0)
    width = np.where(known, np.take_along_axis(widths, order, 1), 0)
    rows = np.arange(len(power))[:, None, None]

    def peak(where: np.ndarray, reach: int) -> np.ndarray:
        bins = np.rint(where * n_fft / RATE).astype(np.int64)
        bins = np.minimum(np.maximum(bins, reach), power.shape[1] - 1 - reach)
        around = bins[:, :, None] + np.arange(-reach, reach + 1)
        return 10 * np.log10(power[rows, around].max(2) + QUIET)

    first, second = peak(hertz[:, None] * [1, 2], 2).T
    amplitudes = np.where(known, peak(at, 6) - first[:, None], 0)
    return np.concatenate([at, width, amplitudes, (second - first)[:, None]], 1)
