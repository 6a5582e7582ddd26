"""The periods of a voice, one by one: their jitter and shimmer.

From the loudest place in the middle of a voiced stretch, marks are set to the left and right, each
a period from the one before: the lag around the known pitch at which the sound is most like itself
(cross-correlation, as Praat's "To PointProcess (cc)"; Boersma 2009).
"""

from __future__ import annotations

import math
from itertools import accumulate, pairwise

import numpy as np

SHORTEST, LONGEST = 0.75, 1.3  # of the pitch's period, between which the next period is looked for
ALIKE = 0.3  # correlation below which no period follows
JUMP = 1.3, 1.6  # Boersma 2009: periods, and amplitudes, of a larger ratio are no neighbours
LEAST = 1e-15  # of the whole sound's energy, added to each sample: below lie errors of rounding
FEWEST = 3  # frames of a voiced stretch


class Sound:
    """Samples (n,) float64 with sums of squares at hand."""

    def __init__(self, samples: np.ndarray) -> None:
        self.samples = samples
        squares = np.square(samples)
        squares += LEAST * squares.sum()
        self.sums = np.zeros(len(samples) + 1)  # before each sample
        np.cumsum(squares, out=self.sums[1:])

    def energy(self, first: np.ndarray, last: np.ndarray) -> np.ndarray:
        """Return the sum of squares from each `first` to before each `last`."""
        energies: np.ndarray = self.sums[last] - self.sums[first]
        return energies


def marks(sound: Sound, pitch: np.ndarray, rate: int, hop: int) -> list[np.ndarray]:
    """Return the marks of each voiced stretch, in samples, ascending.

    pitch: (frames,) in Hz, 0 without a voice, frame t centred on sample t · hop.
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[0], pitch > 0, [0]])))
    found = []
    for first, last in pairwise(edges.tolist()):
        if pitch[first] > 0 and last - first >= FEWEST:
            periods = rate / pitch[first:last]
            found.append(_stretch(sound, periods, first * hop, hop))
    return found


def _stretch(sound: Sound, periods: np.ndarray, begin: int, hop: int) -> np.ndarray:
    """Return the marks of one voiced stretch, whose frames (n,) have these periods."""
    first = max(0, begin - hop // 2)
    last = min(len(sound.samples), begin + (len(periods) - 1) * hop + hop // 2)
    middle, half = (first + last) // 2, periods[len(periods) // 2] / 2
    low = max(0, int(middle - half))
    start = low + int(np.abs(sound.samples[low : int(middle + half) + 1]).argmax())
    sides: list[list[float]] = []
    for step in (-1, 1):
        side, at = [], float(start)
        while True:
            frame = min(max(int((at - begin) / hop + 0.5), 0), len(periods) - 1)
            lag = _next(sound, round(at), periods[frame], step)
            at += step * lag
            if not lag or not first - periods[0] <= at <= last + periods[-1]:
                break
            side.append(at)
        sides.append(side)
    return np.array([*sides[0][::-1], start, *sides[1]])


def _next(sound: Sound, centre: int, period: float, step: int) -> float:
    """Return how far the next period lies from the one around a sample, 0 where none is like it."""
    half = int(period / 2) + 1
    begin, end = centre - half, centre + half
    near, far = int(SHORTEST * period) - 1, int(LONGEST * period) + 2
    first, last = (begin + near, end + far) if step > 0 else (begin - far, end - near)
    if min(first, begin) < 0 or max(last, end) > len(sound.samples):
        return 0.0
    samples, sums = sound.samples, sound.sums
    r = np.correlate(samples[first:last], samples[begin:end])
    energies = sums[first + 2 * half : last + 1] - sums[first : last + 1 - 2 * half]
    r /= np.sqrt(energies, out=energies)
    best = int(r.argmax())
    if not 0 < best < len(r) - 1:
        best = int(r[1:-1].argmax()) + 1
    before, here, after = r[best - 1 : best + 2].tolist()
    own = math.sqrt(sums[end] - sums[begin])
    bend = before - 2 * here + after
    if here < ALIKE * own or not bend < 0:
        return 0.0
    shift = 0.5 * (before - after) / bend  # a parabola through three points
    return abs(first + best + min(max(shift, -1), 1) - begin)


def jitter(runs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return (samples where two periods meet, their difference as a share of their mean)."""
    marks, begins = _joined(runs)
    within = ~(begins[1:-1] | begins[2:])
    kept, share = _changes(np.diff(marks), JUMP[0], within)
    return marks[1:-1][kept], share


def shimmer(sound: Sound, runs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return (samples between two marks, their amplitudes' difference as a share of their mean).

    A mark's amplitude is the root mean square of the period around it.
    """
    marks, begins = _joined(runs)
    halves = np.maximum(1, np.rint((marks[2:] - marks[:-2]) / 4)).astype(np.int64)
    centres = np.rint(marks[1:-1]).astype(np.int64)
    first, last = np.maximum(centres - halves, 0), np.minimum(centres + halves, len(sound.samples))
    amplitudes = np.sqrt(sound.energy(first, last) / (2 * halves))
    within = ~(begins[1:-2] | begins[2:-1] | begins[3:])
    kept, share = _changes(amplitudes, JUMP[1], within)
    return ((marks[1:-2] + marks[2:-1]) / 2)[kept], share


def _joined(runs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the marks (n,) of all runs, and which of them (n,) are the first of a run."""
    marks = np.concatenate([np.empty(0), *runs])
    begins = np.zeros(len(marks), bool)
    begins[list(accumulate(map(len, runs[:-1]), initial=0))[: len(runs)]] = True
    return marks, begins


def _changes(values: np.ndarray, most: float, within: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which neighbours `within` a run differ by at most a factor, and those differences over
    their mean.
    """
    before, after = values[:-1], values[1:]
    kept = within & (np.maximum(before, after) <= most * np.minimum(before, after))
    kept &= np.minimum(before, after) > 0
    before, after = before[kept], after[kept]
    return kept, np.abs(after - before) / ((before + after) / 2)


def over_frames(places: np.ndarray, values: np.ndarray, frames: int, hop: int) -> np.ndarray:
    """Return values at places (samples, ascending) as one for each frame (frames,), between them.

    0 where there are none at all.
    """
    if not len(places):
        return np.zeros(frames)
    return np.interp(np.arange(frames) * hop, places, values)
