"""The mel spectrogram: power in overlapping triangular bands that widen as the ear's do.

Two mel scales: Slaney's (Auditory Toolbox, 1998), linear below 1 kHz and logarithmic above, and
HTK's 2595 log10(1 + f / 700) (The HTK Book, section 5.4, after O'Shaughnessy 1987).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sertool.core.errors import UsageError
from sertool.core.memory import afford
from sertool.core.settings import setting
from sertool.features import Kind, Shown, kernel
from sertool.features.frames import Framing, Samples, frame_count, powers, runs
from sertool.features.levels import UNITS, Levels, to_scale
from sertool.features.rounding import doubtful
from sertool.features.spectrogram import frame_rate

BANDS = 16  # filters multiplied at a time: few enough to skip most bins they do not touch
TOLERANCE = 5e-4  # dB that rounding may cost: half of what is promised
MOST_POWER = 8  # exponent of the magnitude: float32 holds that of full scale

_HZ_PER_MEL = 200 / 3  # Slaney: below 1 kHz
_KNEE_HZ = 1000.0
_KNEE_MEL = _KNEE_HZ / _HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27  # Slaney: above, 27 steps from 1 to 6.4 kHz


@dataclass(frozen=True)
class Bands(Levels, Framing):
    """Settings of the filters, between those of the frames and of the scale."""

    n_mels: int = setting(128, "number of bands")
    fmin: float = setting(0.0, "lower edge of the first band", "Hz")
    fmax: float | None = setting(None, "upper edge of the last band; none: Nyquist", "Hz")
    htk: bool = setting(False, "use HTK's mel scale instead of Slaney's")
    norm: Literal["slaney"] | None = setting("slaney", "slaney: equal areas; none: peaks of 1")
    power: float = setting(2.0, "exponent of the magnitude (2: power, 1: magnitude)")

    def __post_init__(self) -> None:
        Framing.__post_init__(self)
        Levels.__post_init__(self)
        if self.n_mels < 1:
            raise ValueError("n_mels must be at least 1")
        size = 3 * 8 * self.n_mels * (1 + self.n_fft // 2)  # as `filters` makes them
        afford(size, f"n_mels={self.n_mels} with n_fft={self.n_fft}")
        if self.fmin < 0 or (self.fmax is not None and self.fmax <= self.fmin):
            raise ValueError("fmin must not be negative, and fmax above fmin")
        if not 0 < self.power <= MOST_POWER:
            raise ValueError(f"power must be above 0, at most {MOST_POWER}")


@dataclass(frozen=True)
class Settings(Bands):
    """Settings of a mel spectrogram; names and defaults are librosa's."""

    scale: Literal["db", "power", "magnitude", "log"] = setting(
        "db", "decibels, the power itself, its square root, or its natural logarithm"
    )


def hz_to_mel(hz: np.ndarray, htk: bool = False) -> np.ndarray:
    """Return frequencies in Hz as mel, on Slaney's scale or HTK's."""
    hz = np.asarray(hz, np.float64)
    if htk:
        return 2595 * np.log10(1 + hz / 700)
    above = _KNEE_MEL + np.log(np.maximum(hz, _KNEE_HZ) / _KNEE_HZ) / _LOG_STEP
    return np.where(hz < _KNEE_HZ, hz / _HZ_PER_MEL, above)


def mel_to_hz(mel: np.ndarray, htk: bool = False) -> np.ndarray:
    """Return mel as frequencies in Hz: the inverse of `hz_to_mel`."""
    mel = np.asarray(mel, np.float64)
    if htk:
        return 700 * (10 ** (mel / 2595) - 1)
    above = _KNEE_HZ * np.exp(_LOG_STEP * (np.maximum(mel, _KNEE_MEL) - _KNEE_MEL))
    return np.where(mel < _KNEE_MEL, mel * _HZ_PER_MEL, above)


@functools.lru_cache(maxsize=16)
def filters(sample_rate: int, bands: Bands) -> np.ndarray:
    """Return the weights (n_mels, 1 + n_fft // 2) float64 of the triangular filters.

    Neighbours share their edges: each rises from its lower neighbour's centre to its own and
    falls to its upper neighbour's. "slaney" divides each by half its width in Hz. Raises
    UsageError where `fmin` is not below the upper edge.
    """
    top = sample_rate / 2 if bands.fmax is None else bands.fmax
    if bands.fmin >= top:
        raise UsageError(f"fmin={bands.fmin:g} Hz is not below {top:g} Hz")
    low, high = hz_to_mel(np.array([bands.fmin, top]), bands.htk)
    edges = mel_to_hz(np.linspace(low, high, bands.n_mels + 2), bands.htk)
    bins = np.fft.rfftfreq(bands.n_fft, 1 / sample_rate)
    rise = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    weights = np.maximum(0, np.minimum(rise, fall))
    if bands.norm == "slaney":
        weights *= (2 / (edges[2:] - edges[:-2]))[:, None]
    weights.setflags(write=False)
    return weights


@dataclass(frozen=True)
class _Group:
    """Neighbouring filters `rows`, which weigh `bins` only: weights (bins, rows)."""

    rows: slice
    bins: slice
    weights: np.ndarray


@dataclass(frozen=True)
class _Bank:
    """Filters ready for use: the bins to compute, groups that count from the first of those."""

    used: slice
    groups: list[_Group]
    gains: np.ndarray  # (n_mels,) the largest weight of each filter

    def apply(self, power: np.ndarray, out: np.ndarray) -> None:
        """Weigh `power` (frames, used bins) into `out` (frames, n_mels)."""
        for group in self.groups:
            np.matmul(power[:, group.bins], group.weights, out=out[:, group.rows])


@functools.lru_cache(maxsize=16)
def _bank(sample_rate: int, bands: Bands) -> _Bank:
    """Return the filters in the arithmetic of `bands`.

    Bins that no filter weighs are left out where they are many; for a few, the rows that then
    lie apart in memory cost more than they save.
    """
    weights = filters(sample_rate, bands).astype(bands.precision)
    used = _extent(weights)
    if used.stop - used.start > 0.7 * weights.shape[1]:
        used = slice(0, weights.shape[1])
    groups = []
    for first in range(0, bands.n_mels, BANDS):
        rows = slice(first, min(first + BANDS, bands.n_mels))
        bins = _extent(weights[rows], used.start)
        inside = slice(bins.start - used.start, bins.stop - used.start)
        groups.append(_Group(rows, inside, np.ascontiguousarray(weights[rows, bins].T)))
    return _Bank(used, groups, weights.max(axis=1))


@functools.lru_cache(maxsize=16)
def _sums(sample_rate: int, bands: Bands) -> kernel.Bands:
    """Return the filters as the kernel takes them."""
    return kernel.weighted(filters(sample_rate, bands))


def _extent(weights: np.ndarray, otherwise: int = 0) -> slice:
    """Return the bins from the first to the last that is weighed; bin `otherwise` where none is."""
    touched = np.flatnonzero(weights.any(axis=0))
    first, last = (touched[0], touched[-1]) if len(touched) else (otherwise, otherwise)
    return slice(int(first), int(last) + 1)


def spectrogram(
    samples: np.ndarray, sample_rate: int, bands: Bands, dtype: np.dtype | type = np.float32
) -> np.ndarray:
    """Return the mel spectrogram (frames, n_mels), before any scale, of samples (n,).

    Equals librosa.feature.melspectrogram(..., pad_mode="constant"), transposed.
    """
    return _spectrogram(samples, sample_rate, bands, np.dtype(dtype), 0.0)[0]


def _spectrogram(
    samples: np.ndarray, sample_rate: int, bands: Bands, dtype: np.dtype, peak: float
) -> tuple[np.ndarray, float]:
    """Return (the mel spectrogram, the largest of its first values and of `peak`)."""
    bank = _bank(sample_rate, bands)
    if kernel.serves(bands, bands.power) and dtype == np.float32:
        result, energies = kernel.band_powers(samples, bands, _sums(sample_rate, bands))
    else:
        result, energies = _block_by_block(samples, bands, bank, dtype)
    peak = max(peak, float(result.max()))
    if bands.precision == "float32":
        again = doubtful(result, energies, bank.gains, TOLERANCE, bands.power, peak)
        _repeat(again, result, samples, sample_rate, bands)
    return result, peak


def on_scale(
    samples: Samples, sample_rate: int, bands: Bands, dtype: np.dtype, scale: str
) -> Iterator[np.ndarray]:
    """Yield the mel spectrogram on `scale`, run by run, of samples that are read twice.

    It hangs on the largest of all, which the first time finds: what is near it is right by then.
    """
    peak = right = 0.0
    for part, framed in runs(samples, bands):
        found, peak = _spectrogram(part, sample_rate, framed, dtype, peak)
        right = max(right, float(found.max()))
    for part, framed in runs(samples, bands):
        found, _ = _spectrogram(part, sample_rate, framed, dtype, peak)
        yield to_scale(found, scale, framed, right)


def _block_by_block(
    samples: np.ndarray, bands: Bands, bank: _Bank, dtype: np.dtype
) -> tuple[np.ndarray, np.ndarray]:
    """Return (the mel spectrogram, energies (frames,)) of what the kernel does not serve."""
    frames = frame_count(len(samples), bands)
    result, energies = np.empty((frames, bands.n_mels), dtype), np.empty(frames, bands.precision)
    direct = result.dtype == bands.precision
    for rows, power, energies[rows] in powers(samples, bands, bands.power, bank.used):
        block = result[rows] if direct else np.empty(result[rows].shape, bands.precision)
        bank.apply(power, block)
        if not direct:
            result[rows] = block
    return result, energies


def _repeat(
    again: np.ndarray, result: np.ndarray, samples: np.ndarray, sample_rate: int, bands: Bands
) -> None:
    """Compute the frames `again` (m,) of `result` once more, in float64, in place."""
    bank = _bank(sample_rate, bands.finer)
    for rows, power, _ in powers(samples, bands.finer, bands.power, bank.used, again):
        block = np.empty((len(power), bands.n_mels))
        bank.apply(power, block)
        result[again[rows]] = block


def compute(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    """Return the mel spectrogram (frames, n_mels) float32 of samples (n,) on `scale`.

    "db" equals librosa.power_to_db of librosa's mel spectrogram with the same settings.
    """
    return to_scale(spectrogram(samples, sample_rate, settings), settings.scale, settings)


def blocks(samples: Samples, sample_rate: int, settings: Settings) -> Iterator[np.ndarray]:
    """Yield what `compute` returns, run by run, of samples of any length."""
    yield from on_scale(samples, sample_rate, settings, np.dtype(np.float32), settings.scale)


def remarks(sample_rate: int, settings: Bands) -> list[str]:
    """Return one line where bands are narrower than the spacing of the bins and stay empty."""
    empty = int(np.count_nonzero(~filters(sample_rate, settings).any(axis=1)))
    if not empty:
        return []
    return [
        f"{empty} of {settings.n_mels} mel bands hold no frequency bin at {sample_rate} Hz and stay"
        f" empty: raise n_fft ({settings.n_fft}) or lower n_mels"
    ]


def bands(sample_rate: int, settings: Bands) -> str:
    """Return from where to where the bands reach: "mel, 0 to 8 kHz"."""
    top = sample_rate / 2 if settings.fmax is None else settings.fmax
    return f"mel, {settings.fmin / 1000:g} to {top / 1000:g} kHz"


def shown(sample_rate: int, settings: Settings) -> Shown:
    """Return the bands, and the power on its scale."""
    return Shown(f"band ({bands(sample_rate, settings)})", values=UNITS[settings.scale])


KIND = Kind(
    name="mel",
    summary="mel spectrogram, in dB unless another scale is set",
    Settings=Settings,
    compute=compute,
    frame_rate=frame_rate,
    dims="(frames, n_mels)",
    remarks=remarks,
    shown=shown,
    blocks=blocks,
)
