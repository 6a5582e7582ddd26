"""Statistics over time of a voice's descriptors: one row for a recording.

They are taken from the first to the last frame that is at most `GATE` below the loudest, so that
silence around the speech does not matter: of what all frames have over the loud ones among them, of
what a voice has over those with a voice.
"""

from __future__ import annotations

import functools
from itertools import pairwise

import numpy as np

from sertool.features import fourier as fft
from sertool.features.acoustic import slopes
from sertool.features.voice.descriptors import HOP, SPEECH, VOICE, Frames
from sertool.features.voice.spectrum import BANDS, RATE

GATE = 35.0  # dB
PERCENTILES = (5, 25, 50, 75, 95)
FRAMES = RATE / HOP  # per second
MODULATIONS = (1, 2, 3, 5, 8, 13, 20, 35)  # Hz, edges of the bands of the modulation spectrum
GROUPS = 8  # of mel bands, whose levels are modulated
DEPTH = 9.0  # of natural logarithm: levels lower than this below the loudest are taken for it
SMOOTH = 7  # frames that loudness is averaged over before its peaks are counted
HIGH = 0.3  # of the highest peak of loudness, above which another one counts
_STATISTICS = 18  # of each of SPEECH: see `functionals`
DIMS = _STATISTICS * len(SPEECH) + 16 * len(VOICE) + 12 + (len(MODULATIONS) - 1) * GROUPS
_ENERGY, _LOUDNESS, _MEL = (SPEECH.index(name) for name in ("energy", "loudness", "mel 1"))


def functionals(frames: Frames) -> np.ndarray:
    """Return the statistics of a recording's descriptors, (DIMS,) float64.

    Of SPEECH: mean, sd, five percentiles, slope and curve over time; mean, sd and percentiles of
    the change from frame to frame (Δ); mean and sd over the frames with a voice. Of VOICE: all but
    the last. Then how long voices and the gaps between them are, and the modulation spectrum. 0
    where no frame has a voice.
    """
    energy = frames.speech[:, _ENERGY]
    loud = energy >= energy.max() - GATE
    ends = np.flatnonzero(loud)
    heard = slice(ends[0], ends[-1] + 1)
    speech, voice, voiced, loud = (
        part[heard] for part in (frames.speech, frames.voice, frames.voiced, loud)
    )
    within = voiced.copy()  # and so are two frames to either side, which a slope is taken over
    for step in (1, 2):
        within[step:] &= voiced[:-step]
        within[:-step] &= voiced[step:]
        within[:step] = within[-step:] = False
    change, turn = slopes(speech)[loud], slopes(voice)[_some(within)]
    sounding = speech[_some(voiced)] * voiced.any()
    sung = voice[_some(voiced)] * voiced.any()
    return np.concatenate([
        *_spread(speech[loud]), *_course(speech), *_spread(change),
        sounding.mean(0), sounding.std(0),
        *_spread(sung), *_course(sung), *_spread(turn * within.any()),
        _timing(voiced, loud, speech[:, _LOUDNESS]), _modulation(speech[:, _MEL : _MEL + BANDS]),
    ])  # fmt: skip


@functools.cache
def without_level() -> np.ndarray:
    """Return the columns (1183,) that stay as they are where a recording is made louder.

    Left out are loudness, and mean and percentiles of energy and of the mel bands' levels: how
    these vary over time, and the spectrum's shape (MFCC and others), stay.
    """
    absolute = np.zeros(len(SPEECH), bool)
    absolute[[_ENERGY, *range(_MEL, _MEL + BANDS)]] = True
    width, spread = len(SPEECH), 2 + len(PERCENTILES)
    follows = np.zeros(DIMS, bool)
    follows[_LOUDNESS : _STATISTICS * width : width] = True
    for k in (0, *range(2, spread), 2 * spread + 2):  # of `_spread`, and the mean of `sounding`
        follows[k * width : (k + 1) * width] |= absolute
    return np.flatnonzero(~follows)


def _some(chosen: np.ndarray) -> np.ndarray | slice:
    """Return the chosen frames, or one frame where there are none."""
    return chosen if chosen.any() else slice(1)


def _spread(values: np.ndarray) -> list[np.ndarray]:
    """Return mean, sd and PERCENTILES of each column of values (frames, dims)."""
    ranked = np.sort(np.ascontiguousarray(values.T), axis=1)  # along memory: ten times as fast
    place = np.array(PERCENTILES) / 100 * (len(values) - 1)
    below = place.astype(np.int64)
    low, high = (ranked[:, np.minimum(at, len(values) - 1)] for at in (below, below + 1))
    return [values.mean(0), values.std(0), *(low + (place - below) * (high - low)).T]


def _course(values: np.ndarray) -> list[np.ndarray]:
    """Return slope and curve of each column: its fit to t and t², t from -1 to 1 over all frames.

    Each apart: the share of t, and of t² less its mean.
    """
    t = np.linspace(-1, 1, len(values))
    found = []
    for shape in (t - t.mean(), np.square(t) - np.square(t).mean()):
        found.append(shape @ values / max(shape @ shape, 1e-12))
    return found


def _runs(mask: np.ndarray) -> np.ndarray:
    """Return the lengths of the runs of true frames, in seconds; (1,) of 0 where there are none."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask, [0]])))
    lengths = [last - first for first, last in pairwise(edges.tolist())][::2]
    return np.array(lengths or [0]) / FRAMES


def _timing(voiced: np.ndarray, loud: np.ndarray, loudness: np.ndarray) -> np.ndarray:
    """Return seconds, shares of voiced and of loud frames, of voiced and other runs their number
    per second, mean, sd and longest (s), and peaks of loudness per second: (12,).
    """
    seconds = len(voiced) / FRAMES
    runs = []
    for lengths in (_runs(voiced), _runs(~voiced)):
        number = np.count_nonzero(lengths) / seconds
        runs += [number, lengths.mean(), lengths.std(), lengths.max()]
    smooth = np.convolve(loudness, np.ones(SMOOTH) / SMOOTH, "same")[: len(loudness)]
    before, here, after = smooth[:-2], smooth[1:-1], smooth[2:]
    peaks = (here > before) & (here >= after) & (here > HIGH * smooth.max())
    return np.array([seconds, voiced.mean(), loud.mean(), *runs, peaks.sum() / seconds])


def _modulation(levels: np.ndarray) -> np.ndarray:
    """Return the log power of how the levels (frames, BANDS) of groups of bands swing, (56,)."""
    levels = np.maximum(levels, levels.max() - DEPTH)
    groups = levels @ _groups()
    groups = (groups - groups.mean(0)) * np.hanning(len(groups) + 2)[1:-1, None]
    length = max(256, fft.next_fast_len(len(groups)))  # bins less than 1 Hz apart
    power = np.square(np.abs(fft.rfft(groups, length, axis=0))) / len(groups)
    return np.log((_modulations(length) @ power).ravel() + 1e-4)


@functools.cache
def _groups() -> np.ndarray:
    """Return what takes the mean of each group of bands, (BANDS, GROUPS)."""
    parts = np.array_split(np.eye(BANDS), GROUPS)
    return np.stack([part.mean(0) for part in parts], 1)


@functools.lru_cache(maxsize=64)
def _modulations(length: int) -> np.ndarray:
    """Return what takes the mean of each of MODULATIONS' bands of bins, (bands, bins)."""
    hertz = np.fft.rfftfreq(length, 1 / FRAMES)
    inside = np.array([(hertz >= a) & (hertz < b) for a, b in pairwise(MODULATIONS)])
    return inside / inside.sum(1, keepdims=True)
