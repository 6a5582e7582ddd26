"""Pitch by autocorrelation, and the cheapest path through its candidates (Boersma 1993).

A frame's autocorrelation is divided by its window's; its peaks are candidates for a period, and the
lack of any is one, too. The path takes the strong ones and avoids leaps and changes of voicing.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from sertool.features import fourier as fft
from sertool.features.frames import window

VOICED = 0.45  # Boersma 1993, sections 4 and 5: thresholds of voicing and of silence,
SILENT = 0.03
OCTAVE = 0.01  # and what an octave lower, a leap of an octave, and a change of voicing cost
LEAP = 0.35
CHANGE = 0.14
CANDIDATES = 6  # periods of a frame
PERIODS = 3  # of the lowest pitch that a window holds
LAGS = 2  # per sample: peaks lie between samples
SURE = 1 - 1e-6  # the largest share of a frame's energy that is called periodic: 60 dB


@functools.lru_cache(maxsize=8)
def _window(length: int, n_fft: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a Hann window (length,) and its own normalised autocorrelation (LAGS · n_fft,)."""
    shape = window("hann", length, length)
    own = fft.irfft(np.square(np.abs(fft.rfft(shape, n_fft))), LAGS * n_fft)
    return shape, own / own[0]


def frame_length(rate: int, lowest: float) -> int:
    """Return the samples of a frame that holds three periods of the lowest pitch (Hz)."""
    return 2 * math.ceil(PERIODS * rate / lowest / 2)


def candidates(
    frames: np.ndarray, rate: int, lowest: float, highest: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the periods (n, CANDIDATES) in samples and their strengths, 0 to 1, strongest first.

    frames: (n, frame_length) without an offset. A strength is the normalised autocorrelation at its
    peak; where there are fewer, both are 0.
    """
    length = frames.shape[1]
    n_fft = fft.next_fast_len(length + math.ceil(rate / lowest) + 2)
    shape, own = _window(length, n_fft)
    power = np.square(np.abs(fft.rfft(frames * shape, n_fft)))
    r = fft.irfft(power, LAGS * n_fft)
    lags = np.arange(int(LAGS * rate / highest), math.ceil(LAGS * rate / lowest) + 1)
    around = slice(lags[0] - 1, lags[-1] + 2)
    r = r[:, around] / np.where(r[:, :1] > 0, r[:, :1], 1) / own[around]
    before, here, after = r[:, :-2], r[:, 1:-1], r[:, 2:]
    bend = before - 2 * here + after  # a parabola through three points, its peak between them
    tops = (here >= before) & (here > after) & (here > 0) & (bend < 0)
    rows, columns = np.nonzero(tops)
    low, mid, high = (part[rows, columns] for part in (before, here, after))
    shift = 0.5 * (low - high) / bend[rows, columns]
    strength = mid - 0.25 * (low - high) * shift
    strength = np.where(strength > 1, 1 / strength, strength)
    period = (lags[columns] + shift) / LAGS
    inside = (period >= rate / highest) & (period <= rate / lowest)
    rows, period, strength = rows[inside], period[inside], strength[inside]
    worth = strength - OCTAVE * np.log2(lowest * period / rate)
    order = np.lexsort([-worth, rows])
    rows, period, strength = rows[order], period[order], strength[order]
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    kept = place < CANDIDATES
    periods, strengths = np.zeros((2, len(frames), CANDIDATES))
    periods[rows[kept], place[kept]] = period[kept]
    strengths[rows[kept], place[kept]] = strength[kept]
    return periods, strengths


def path(
    periods: np.ndarray, strengths: np.ndarray, loudness: np.ndarray, rate: int, lowest: float
) -> np.ndarray:
    """Return the candidate of each frame (n,), -1 for none, of the path with the highest sum.

    A frame counts its candidate's strength, less OCTAVE for each octave below the highest; without
    a voice VOICED, and more where it is silent. loudness: (n,) each frame's peak beside that of the
    whole sound. LEAP is paid per octave from frame to frame, CHANGE where voicing begins or ends
    (of frames every 10 ms).
    """
    n, many = periods.shape
    given = periods > 0
    octaves = np.log2(np.where(given, periods, 1))
    worth = np.empty((n, many + 1))
    worth[:, 0] = VOICED + np.maximum(0, 2 - loudness * (1 + VOICED) / SILENT)
    worth[:, 1:] = strengths - OCTAVE * (octaves + math.log2(lowest / rate))
    worth[:, 1:][~given] = -np.inf
    cost = np.full((n - 1, many + 1, many + 1), CHANGE)
    cost[:, 0, 0] = 0
    cost[:, 1:, 1:] = LEAP * np.abs(octaves[1:, None, :] - octaves[:-1, :, None])
    score, came = worth[0], np.zeros((n, many + 1), np.int64)
    everyone = np.arange(many + 1)
    for i in range(1, n):
        sums = score[:, None] - cost[i - 1]
        came[i] = sums.argmax(0)
        score = sums[came[i], everyone] + worth[i]
    best = np.zeros(n, np.int64)
    best[-1] = score.argmax()
    for i in range(n - 1, 0, -1):
        best[i - 1] = came[i, best[i]]
    return best - 1


def track(
    periods: np.ndarray, strengths: np.ndarray, loudness: np.ndarray, rate: int, lowest: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return each frame's pitch (n,) in Hz, 0 without a voice, and the share (n,) that is periodic.

    Of candidates, and loudness as `path` takes it. The share is the strength of the candidate
    taken, or of the strongest where there is no voice.
    """
    taken = path(periods, strengths, loudness, rate, lowest)
    voiced = taken >= 0
    at = np.maximum(taken, 0)[:, None]
    period = np.take_along_axis(periods, at, 1)[:, 0]
    share = np.where(voiced, np.take_along_axis(strengths, at, 1)[:, 0], strengths.max(1))
    hertz = np.where(voiced, rate / np.where(voiced, period, 1), 0)
    return hertz, np.minimum(share, SURE)
