"""Acoustic descriptors of speech: pitch, energy, zero crossings, formants, and cepstra.

The set of Huang et al. 2014, section 4, which names the descriptors and no more of them; what they
are taken of, and how, is ours and stands here. A frame has 31: F0 (Hz), energy (dB), zero-crossing
rate, four formants (Hz), 12 MFCC, and their slopes (Δ). An utterance has the mean, standard
deviation, minimum, maximum and range of each.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sertool.audio.waveform import to_float
from sertool.core.errors import UsageError
from sertool.core.settings import setting
from sertool.features import Kind, mfcc
from sertool.features import fourier as fft
from sertool.features.frames import window

FORMANTS, CEPSTRA, BANDS = 4, 12, 26
DIMS = 3 + FORMANTS + 2 * CEPSTRA
FOUND = slice(0, 1), slice(3, 3 + FORMANTS)  # columns that are 0 where nothing is found
STATISTICS = 5

QUIET = 1e-10  # added to the mean square: -100 dB
VOICED = 0.45  # Boersma 1993, section 4: voicing threshold, silence threshold, octave cost
SILENT = 0.03
OCTAVE = 0.01
PERIODS = 3  # of the lowest pitch that a window must hold
LAGS = 32_000  # lags of the autocorrelation per second, at least
EMPHASIS = 50.0  # Hz, from where formants' spectra are raised by 6 dB an octave
EDGE = 50.0  # Hz: no formant so near 0 or the top
WIDEST = 700.0  # Hz: a root of more bandwidth shapes the spectrum and is not a formant
WHITE = 1e-9  # of a frame's energy, added to keep the equations regular
REACH = 2  # frames to either side that a slope is taken over
BLOCK = 256  # frames computed at a time


@dataclass(frozen=True)
class Settings:
    """Settings in seconds and Hz, so that they hold at any sample rate."""

    functionals: bool = setting(True, "one row of statistics over time; false: every frame")
    win: float = setting(0.04, "length of a frame", "s")
    hop: float = setting(0.01, "hop between frames", "s")
    fmin: float = setting(75.0, "lowest pitch", "Hz")
    fmax: float = setting(600.0, "highest pitch", "Hz")
    top: float = setting(5500.0, "upper limit of the formants, about 1100 Hz for each", "Hz")

    def __post_init__(self) -> None:
        if not (0 < self.win <= 1 and 0 < self.hop <= 1):
            raise ValueError("win and hop must lie between 0 and 1 s")
        if not PERIODS / self.win <= self.fmin * (1 + 1e-9):
            raise ValueError(f"fmin must be at least {PERIODS} / win, {PERIODS / self.win:g} Hz")
        if not self.fmin < self.fmax:
            raise ValueError("fmax must be above fmin")
        if not self.top >= 2000:
            raise ValueError("top must be at least 2000 Hz")


@dataclass(frozen=True)
class _Plan:
    """The settings in samples and bins at one rate (Hz)."""

    rate: int
    win: int
    hop: int
    n_fft: int
    used: int  # bins below the formants' top
    order: int

    @property
    def top(self) -> float:
        """Half the rate of the signal whose spectrum the used bins are, Hz."""
        return (self.used - 1) * self.rate / self.n_fft


@functools.lru_cache(maxsize=8)
def _plan(rate: int, settings: Settings) -> _Plan:
    win, hop = round(settings.win * rate), round(settings.hop * rate)
    if hop < 1 or rate < 2 * settings.fmax or rate < 4000:
        raise UsageError(
            f"a sample rate of {rate} Hz is too low for pitch up to {settings.fmax:g} Hz and"
            " formants; featurize with a higher --sample-rate"
        )
    n_fft = fft.next_fast_len(2 * win)
    n_fft += n_fft % 2
    used = 1 + int(min(settings.top, rate / 2) * n_fft / rate)
    # a pair of poles for every 1100 Hz: five up to 5500 Hz
    order = 2 * round((used - 1) * rate / n_fft / 1100)
    return _Plan(rate, win, hop, n_fft, used, order)


def pitch(spectra: np.ndarray, loudness: np.ndarray, plan: _Plan, settings: Settings) -> np.ndarray:
    """Return the pitch (frames,) in Hz, 0 where there is no voice.

    `spectra` (frames, 1 + n_fft // 2) are those of frames under a Hann window, their mean taken
    away; `loudness` (frames,) each one's peak beside that of the whole sound. By autocorrelation,
    divided by the window's (Boersma 1993, sections 2 and 4), without a path over the frames. The
    transform back is a longer one where lags would lie so far apart that peaks fall between them.
    """
    finer = math.ceil(LAGS / plan.rate)
    rate, length = finer * plan.rate, finer * plan.n_fft
    r = fft.irfft(np.square(spectra.real) + np.square(spectra.imag), length)
    shape = fft.rfft(window("hann", plan.win, plan.win), plan.n_fft)
    own = fft.irfft(np.square(np.abs(shape)), length)
    low, high = int(rate / settings.fmax), math.ceil(rate / settings.fmin)
    lags = np.arange(max(1, low), min(high + 1, finer * plan.win * 3 // 4))
    around = slice(lags[0] - 1, lags[-1] + 2)
    r0 = r[:, :1]
    r = r[:, around] / np.where(r0 > 0, r0, 1) / (own[around] / own[0])
    before, here, after = r[:, :-2], r[:, 1:-1], r[:, 2:]
    bend = before - 2 * here + after  # a parabola through three points, its peak between them
    tops = (here >= before) & (here > after) & (bend < 0)
    shift = np.where(tops, 0.5 * (before - after) / np.where(tops, bend, 1), 0)
    height = here - 0.25 * (before - after) * shift
    height = np.where(height > 1, 1 / np.maximum(height, 1), height)
    place = lags + shift
    strength = np.where(tops, height - OCTAVE * np.log2(settings.fmin * place / rate), -1)
    best = strength.argmax(axis=1)[:, None]
    silent = VOICED + np.maximum(0, 2 - loudness * (1 + VOICED) / SILENT)
    found = np.take_along_axis(place, best, 1)[:, 0]
    hertz = rate / found
    voiced = (np.take_along_axis(strength, best, 1)[:, 0] > silent) & (r0[:, 0] > 0)
    voiced &= (hertz >= settings.fmin) & (hertz <= settings.fmax)
    return np.where(voiced, hertz, 0)


def predictor(r: np.ndarray, order: int) -> np.ndarray:
    """Return a[1…order] of the linear predictor, (frames, order), from autocorrelations r (frames,
    order + 1), for A(z) = 1 + Σ a[k] z^−k: Levinson's and Durbin's recursion (Makhoul 1975, 38).
    """
    a = np.zeros((len(r), order + 1))
    a[:, 0] = 1
    error = r[:, 0].copy()
    for i in range(1, order + 1):
        k = -np.einsum("fj,fj->f", a[:, :i], r[:, i:0:-1]) / np.where(error > 0, error, 1)
        a[:, 1 : i + 1] += k[:, None] * a[:, i - 1 :: -1][:, :i]
        error *= 1 - k**2
    return a[:, 1:]


def formants(spectra: np.ndarray, plan: _Plan) -> np.ndarray:
    """Return the four lowest formants (frames, 4) in Hz, 0 where fewer are found.

    Roots of the linear predictor of the spectrum below `top`, pre-emphasised: selective linear
    prediction (Makhoul 1975, section IV.E). A root is a formant at its angle's frequency if its
    bandwidth is at most 700 Hz.
    """
    power = np.square(spectra.real) + np.square(spectra.imag)
    hertz, _ = resonances(power, plan.rate, plan.n_fft, plan.top, plan.order)
    lowest = np.sort(hertz, axis=1)[:, :FORMANTS]
    found = np.zeros((len(hertz), FORMANTS))
    found[:, : lowest.shape[1]] = np.where(np.isfinite(lowest), lowest, 0)
    return found


@functools.lru_cache(maxsize=8)
def _lags(rate: int, n_fft: int, used: int, order: int) -> np.ndarray:
    """Return what makes of the power of `used` bins the autocorrelation (used, order + 1) at lags
    0…order, the spectrum raised by 6 dB an octave: of few lags, sums take less than a transform.
    """
    raise_ = math.exp(-2 * math.pi * EMPHASIS / rate)
    bins = np.arange(used)
    weights = (1 + raise_**2 - 2 * raise_ * np.cos(2 * np.pi * bins / n_fft)) / (used - 1)
    weights[[0, -1]] /= 2
    table: np.ndarray = weights[:, None] * np.cos(
        np.pi / (used - 1) * np.outer(bins, np.arange(order + 1))
    )
    return table


def resonances(
    power: np.ndarray, rate: int, n_fft: int, top: float, order: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return (where resonances lie, their bandwidths), both (frames, order) in Hz.

    Of power spectra (frames, 1 + n_fft // 2), from `order` poles up to `top`; infinite where a root
    is no resonance.
    """
    used = 1 + int(top * n_fft / rate)
    top = (used - 1) * rate / n_fft
    r = power[:, :used] @ _lags(rate, n_fft, used, order)
    r[:, 0] *= 1 + WHITE
    companion = np.zeros((len(r), order, order))
    companion[:, 0] = -predictor(r, order)
    companion[:, np.arange(1, order), np.arange(order - 1)] = 1
    roots = np.linalg.eigvals(companion)
    hertz = np.angle(roots) / np.pi * top
    size = np.maximum(np.abs(roots), 1e-12)
    width = -2 * top / np.pi * np.log(size)
    good = (hertz > EDGE) & (hertz < top - EDGE) & (width <= WIDEST) & (r[:, :1] > 0)
    return np.where(good, hertz, np.inf), width


def slopes(values: np.ndarray) -> np.ndarray:
    """Return the slope of each column (frames, dims) over ±2 frames, the ends repeated.

    Σ_k k c[t + k] / Σ_k k² (The HTK Book, section 5.9); as librosa's delta of width 5, "nearest".
    """
    padded = np.concatenate([values[:1]] * REACH + [values] + [values[-1:]] * REACH)
    steps, n = range(1, REACH + 1), len(values)
    rise: np.ndarray = sum((padded[REACH + k :][:n] - padded[REACH - k :][:n]) * k for k in steps)
    return rise / (2 * sum(k * k for k in steps))


def _cepstra(samples: np.ndarray, plan: _Plan, settings: Settings) -> np.ndarray:
    """Return MFCC 1 to 12 and their slopes (frames, 24) of samples that fill a frame."""
    length, hop = plan.win, plan.hop
    given = mfcc.Settings(
        n_fft=length, hop_length=hop, center=False, n_mels=BANDS, n_mfcc=1 + CEPSTRA
    )
    values = mfcc.compute(samples, plan.rate, given)[:, 1:]
    return np.concatenate([values, slopes(values)], axis=1)


def _blocks(samples: np.ndarray, plan: _Plan) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield (rows, frames (rows, win) float64), block by block."""
    every = np.lib.stride_tricks.sliding_window_view(samples, plan.win)[:: plan.hop]
    for first in range(0, len(every), BLOCK):
        rows = slice(first, min(first + BLOCK, len(every)))
        yield rows, every[rows].astype(np.float64)


def describe(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    """Return the 31 descriptors of every frame, (frames, 31) float64, of samples (n,).

    Frames begin every `hop`, none reaches beyond the end; samples that do not fill one are padded
    with zeros. Energy is 10 log10(mean square + 1e-10), of a signal with full scale 1; the
    zero-crossing rate is the share of samples whose sign, 0 being positive, is not that of the one
    before. Raises UsageError for a sample rate that is too low.
    """
    plan = _plan(sample_rate, settings)
    samples = to_float(np.pad(samples, (0, max(0, plan.win - len(samples)))))
    count = 1 + (len(samples) - plan.win) // plan.hop
    result = np.empty((count, DIMS))
    peak = float(np.abs(samples).max()) or 1.0
    hann = window("hann", plan.win, plan.win)
    for rows, frames in _blocks(samples, plan):
        result[rows, 1] = 10 * np.log10(np.square(frames).mean(axis=1) + QUIET)
        below = np.signbit(frames) & (frames != 0)
        result[rows, 2] = (below[:, 1:] != below[:, :-1]).mean(axis=1) * (1 - 1 / plan.win)
        frames -= frames.mean(axis=1, keepdims=True)
        loudness = np.abs(frames).max(axis=1) / peak
        spectra = fft.rfft(frames * hann, plan.n_fft)
        result[rows, 0] = pitch(spectra, loudness, plan, settings)
        result[rows, 3 : 3 + FORMANTS] = formants(spectra, plan)
    result[:, 3 + FORMANTS :] = _cepstra(samples, plan, settings)
    return result


def statistics(frames: np.ndarray) -> np.ndarray:
    """Return mean, sd, minimum, maximum and range (155,) of descriptors (frames, 31) over time.

    All means first, then all sds, and so on. Of F0 over the frames with a voice; of the formants
    over those of them in which each is found; 0 where there are none.
    """
    held = np.ones(frames.shape, bool)
    for columns in FOUND:
        held[:, columns] = (frames[:, columns] > 0) & (frames[:, :1] > 0)
    count = np.maximum(held.sum(axis=0), 1)
    mean = np.where(held, frames, 0).sum(axis=0) / count
    sd = np.sqrt(np.where(held, np.square(frames - mean), 0).sum(axis=0) / count)
    some = held.any(axis=0)
    low = np.where(some, np.where(held, frames, np.inf).min(axis=0), 0)
    high = np.where(some, np.where(held, frames, -np.inf).max(axis=0), 0)
    return np.concatenate([mean, sd, low, high, high - low])


def compute(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    """Return the functionals (1, 155), or every frame's descriptors (frames, 31), float32.

    Of samples (n,), as `describe` and `statistics` say. Raises UsageError for a sample rate that
    is too low.
    """
    frames = describe(samples, sample_rate, settings)
    if settings.functionals:
        frames = statistics(frames)[np.newaxis]
    return frames.astype(np.float32)


def frame_rate(sample_rate: int, settings: Settings) -> float:
    """Return frames per second; 0 for functionals, which do not follow each other in time."""
    if settings.functionals:
        return 0.0
    return sample_rate / _plan(sample_rate, settings).hop


def remarks(sample_rate: int, settings: Settings) -> list[str]:
    """Return one line where the rate leaves no room for four formants; UsageError if too low."""
    if (top := _plan(sample_rate, settings).top) < FORMANTS * 1100:
        return [f"formants are sought up to {top:.0f} Hz only: the fourth will often be missing"]
    return []


KIND = Kind(
    name="acoustic",
    summary="F0, energy, zero crossings, four formants, MFCC and slopes, and their statistics",
    Settings=Settings,
    compute=compute,
    frame_rate=frame_rate,
    dims="(1, 155), or (frames, 31) with functionals=false",
    remarks=remarks,
)
