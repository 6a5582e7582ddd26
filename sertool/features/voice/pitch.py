"""Pitch by autocorrelation, and the cheapest path through its candidates (Boersma 1993).

A frame's autocorrelation is divided by its window's; its peaks are candidates for a period, and the
lack of any is one, too. The path takes the strong ones and avoids leaps and changes of voicing.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

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
N_FFT = 1024  # samples of a transform, at least
LAGS = 2  # per sample: peaks lie between samples
STEPS = 4096  # of a path that are put together at a time
SURE = 1 - 1e-6  # the largest share of a frame's energy that is called periodic: 60 dB


@dataclass(frozen=True)
class Plan:
    """Where pitch is looked for, lowest to highest (Hz), in a sound of `rate`."""

    rate: int
    lowest: float
    highest: float

    @functools.cached_property
    def length(self) -> int:
        """Samples of a frame, which holds three periods of the lowest pitch."""
        return 2 * math.ceil(PERIODS * self.rate / self.lowest / 2)

    @functools.cached_property
    def n_fft(self) -> int:
        """Samples of a frame's transform, a power of two, so that no lag meets another end."""
        needed = self.length + math.ceil(self.rate / self.lowest) + 2
        return max(N_FFT, 1 << (needed - 1).bit_length())

    @functools.cached_property
    def window(self) -> np.ndarray:
        """A Hann window (length,)."""
        return window("hann", self.length, self.length)

    @functools.cached_property
    def lags(self) -> np.ndarray:
        """The lags (n,) of which one may be a period, and one more on either side."""
        first = int(LAGS * self.rate / self.highest)
        return np.arange(first - 1, math.ceil(LAGS * self.rate / self.lowest) + 2)

    @functools.cached_property
    def own(self) -> np.ndarray:
        """The window's own normalised autocorrelation at these lags (n,)."""
        power = np.square(np.abs(np.fft.rfft(self.window, self.n_fft)))
        r: np.ndarray = np.fft.irfft(power, LAGS * self.n_fft)
        return r[self.lags] / r[0]

    def power(self, frames: np.ndarray, means: np.ndarray) -> np.ndarray:
        """Return the power spectra (n, 1 + n_fft // 2) of frames (n, length) less their means."""
        padded = np.zeros((len(frames), self.n_fft))
        windowed = padded[:, : self.length]
        np.subtract(frames, means[:, None], out=windowed)
        windowed *= self.window
        return np.square(np.abs(np.fft.rfft(padded)))


plan = functools.lru_cache(maxsize=8)(Plan)


def candidates(power: np.ndarray, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """Return the periods (n, CANDIDATES) in samples and their strengths, 0 to 1, strongest first.

    Of `plan.power`. A strength is the normalised autocorrelation at its peak; where there are
    fewer, both are 0.
    """
    r = fft.irfft_even(power, plan.n_fft, plan.lags[-1] + 1)  # LAGS a sample
    whole = r[:, :1]
    r = r[:, plan.lags[0] :] / np.where(whole > 0, whole, 1) / plan.own
    rising = r[:, 1:] >= r[:, :-1]
    tops = rising[:, :-1] & ~rising[:, 1:] & (r[:, 1:-1] > 0)
    rows, columns = np.divmod(np.flatnonzero(tops), tops.shape[1])
    low, mid, high = (r[rows, columns + k] for k in range(3))
    # a parabola through three points, its peak between them
    shift = 0.5 * (low - high) / (low - 2 * mid + high)
    strength = mid - 0.25 * (low - high) * shift
    strength = np.where(strength > 1, 1 / strength, strength)
    period = (plan.lags[1 + columns] + shift) / LAGS
    inside = (period >= plan.rate / plan.highest) & (period <= plan.rate / plan.lowest)
    rows, period, strength = rows[inside], period[inside], strength[inside]
    worth = strength - OCTAVE * np.log2(plan.lowest * period / plan.rate)
    order = np.argsort(4 * rows - worth)  # row by row, the worthiest first
    period, strength = period[order], strength[order]
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    kept = place < CANDIDATES
    periods, strengths = np.zeros((2, len(power), CANDIDATES))
    periods[rows[kept], place[kept]] = period[kept]
    strengths[rows[kept], place[kept]] = strength[kept]
    return periods, strengths


def silent(loudness: np.ndarray, plan: Plan) -> np.ndarray:
    """Return which frames are so soft that `path` finds no voice in them, whatever they are like.

    No strength is above 1, and no more than two changes of voicing are saved by a voice.
    """
    most = 1 + OCTAVE * math.log2(plan.highest / plan.lowest) + 2 * CHANGE
    return loudness * (1 + VOICED) / SILENT < 2 + VOICED - most


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
    gain = np.full((many + 1, many + 1, n), -CHANGE)  # of a state, after another one
    gain[0, 0] = 0
    gain[1:, 1:, 1:] = -LEAP * np.abs(octaves.T[:, None, 1:] - octaves.T[None, :, :-1])
    gain += worth.T[:, None]
    scores = _sums(worth[0], gain[:, :, 1:])
    came = (scores[:, :-1] + gain[:, :, 1:]).argmax(1).T.tolist()
    best = [int(scores[:, -1].argmax())]
    for before in came[::-1]:
        best.append(before[best[-1]])
    return np.array(best[::-1]) - 1


def _sums(first: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Return the highest sums (states, n + 1) of paths that begin with `first` (states,).

    gain: (to, from, n) of each step. Steps are taken two at a time, and these two at a time, …: a
    few calls on all frames instead of one a frame.
    """
    n = gain.shape[2]
    found = np.empty((len(first), n + 1))
    found[:, 0] = first
    if n > 1:
        before, after = gain[:, :, : n // 2 * 2 : 2], gain[:, :, 1::2]
        both = np.empty(after.shape)
        for begin in range(0, n // 2, STEPS):
            some = slice(begin, begin + STEPS)
            (after[:, :, None, some] + before[None, :, :, some]).max(1, out=both[:, :, some])
        found[:, : n // 2 * 2 + 1 : 2] = _sums(first, both)
    if n:
        found[:, 1::2] = (found[:, :n:2] + gain[:, :, ::2]).max(1)
    return found


def track(
    periods: np.ndarray, strengths: np.ndarray, loudness: np.ndarray, plan: Plan
) -> tuple[np.ndarray, np.ndarray]:
    """Return each frame's pitch (n,) in Hz, 0 without a voice, and the share (n,) that is periodic.

    Of candidates, and loudness as `path` takes it. The share is the strength of the candidate
    taken, or of the strongest where there is no voice.
    """
    taken = path(periods, strengths, loudness, plan.rate, plan.lowest)
    voiced = taken >= 0
    at = np.maximum(taken, 0)[:, None]
    period = np.take_along_axis(periods, at, 1)[:, 0]
    share = np.where(voiced, np.take_along_axis(strengths, at, 1)[:, 0], strengths.max(1))
    hertz = np.where(voiced, plan.rate / np.where(voiced, period, 1), 0)
    return hertz, np.minimum(share, SURE)
