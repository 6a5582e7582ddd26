"""The Teager energy operator in critical bands (Zhou, Hansen & Kaiser 2001, TEO-CB-Auto-Env).

Where a band holds one steady tone its Teager energy is constant, and so is the envelope of that
energy's autocorrelation, but for the frame's end; modulation within a pitch period lets it fall.

Bands: Gabor filters, that is of Gaussian frequency response, 1 at the middle of a critical band
and half the power at its edges. The bands are Zwicker's (1961) numbers 2 to 17, from 100 to 3700
Hz. All is computed at 10 kHz, whatever the sample rate, so that one sound has one value at any
rate; what lies above 5 kHz is 98 dB down in the highest band, and is left out.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import fft

from sertool.audio.waveform import to_float
from sertool.core.errors import UsageError
from sertool.core.settings import setting
from sertool.features import Kind, Shown
from sertool.features.frames import Samples

_LOW = (100, 200, 300, 400, 510, 630, 770, 920, 1080)
EDGES = (*_LOW, 1270, 1480, 1720, 2000, 2320, 2700, 3150, 3700)  # Hz
RATE = 10_000  # Hz, of the analysis
REACH = 0.02  # s to either side that a filter reaches: 7.5 standard deviations of the narrowest
BLOCK = 256  # frames computed at a time


@dataclass(frozen=True)
class Settings:
    """Settings in seconds, so that they hold at any sample rate."""

    win: float = setting(0.02, "length of a frame", "s")
    hop: float = setting(0.01, "hop between frames", "s")
    statistic: Literal["area", "mean", "sd", "all"] = setting(
        "area",
        "of each band: area under the autocorrelation envelope, mean, sd, or all",
    )

    def __post_init__(self) -> None:
        if not (1 / RATE <= self.win <= 10 and 1 / RATE <= self.hop <= 10):
            raise ValueError(f"win and hop must lie between {1 / RATE:g} and 10 s")

    @property
    def samples(self) -> tuple[int, int]:
        """Frame and hop in samples of the analysis."""
        return round(self.win * RATE), round(self.hop * RATE)


def teager(x: np.ndarray) -> np.ndarray:
    """Return ψ[n] = x[n]² − x[n−1] x[n+1] along the last axis (..., n) -> (..., n − 2).

    Of A cos(Ω n + φ) it is A² sin² Ω, for every n (Kaiser 1990).
    """
    energy = np.square(x[..., 1:-1])
    energy -= x[..., :-2] * x[..., 2:]
    return energy


def envelope_area(energy: np.ndarray) -> np.ndarray:
    """Return the area under the envelope of the normalised autocorrelation, (..., n) -> (...).

    r[k] = Σ_n ψ[n] ψ[n+k] / Σ_n ψ[n]² within the frame. The paper leaves its envelope open; here
    it is the lowest curve that never rises and is never below r nor 0: e[k] = max(0, r[k], r[k+1],
    …). The area is 2 / (n + 1) Σ_k e[k], 1 for a constant; 0 where there is no energy.
    """
    n = energy.shape[-1]
    peak = np.abs(energy).max(axis=-1, keepdims=True)
    scaled = (energy / np.where(peak > 0, peak, 1)).astype(np.float32)
    length = fft.next_fast_len(2 * n - 1, real=True)
    spectrum = fft.rfft(scaled, length)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    lags = fft.irfft(power, length)[..., :n]
    # lags first, the longest first: the running maximum then goes over many frames at a time
    falling = np.maximum(lags.reshape(-1, n).T[::-1], 0, order="C")
    for longer, lag in itertools.pairwise(falling):
        np.maximum(longer, lag, out=lag)
    total = falling.sum(axis=0, dtype=np.float64).reshape(lags.shape[:-1])
    none = peak[..., 0] == 0
    return np.where(none, 0, total) / np.where(none, 1, lags[..., 0]) * (2 / (n + 1))


@functools.lru_cache(maxsize=8)
def responses(bins: int, spacing: float) -> np.ndarray:
    """Return the filters' frequency responses (16, bins) float64 at 0, spacing, … Hz.

    That of the Gabor filter g exp(−2 (π s t)²) cos(2 π f t) around f: two Gaussians of standard
    deviation s, one about f and one about −f.
    """
    edges = np.array(EDGES, np.float64)[:, None]
    middle, half = (edges[1:] + edges[:-1]) / 2, (edges[1:] - edges[:-1]) / 2
    hertz, fall = np.arange(bins) * spacing, -0.5 * math.log(2)  # half the power at 1 half width
    response: np.ndarray = np.exp(fall * ((hertz - middle) / half) ** 2)
    response += np.exp(fall * ((hertz + middle) / half) ** 2)
    response.setflags(write=False)
    return response


def bands(samples: Samples, sample_rate: int, begin: int, end: int) -> np.ndarray:
    """Return samples `begin` to `end` of the 16 band signals at 10 kHz, (16, end − begin) float64.

    `samples` (n,) at `sample_rate`, zero beyond both ends; sample m of a band is at m / 10000 s.
    A stretch with the filters' reach around it is transformed; its spectrum up to 5 kHz, weighed
    with each response, is transformed back at the rate of the analysis.
    """
    common = math.gcd(sample_rate, RATE)
    fine, coarse = sample_rate // common, RATE // common  # samples of the shortest common stretch
    reach = math.ceil(REACH * RATE)
    first = (begin - reach) // coarse
    stretches = fft.next_fast_len(-(-(end + reach) // coarse) - first, real=True)
    low, high = first * fine, (first + stretches) * fine
    signal = np.zeros(high - low)
    inside = to_float(samples[max(low, 0) : max(high, 0)])
    signal[max(-low, 0) : max(-low, 0) + len(inside)] = inside
    length = stretches * coarse
    spectrum = fft.rfft(signal)[: length // 2 + 1] * (coarse / fine)
    weighed = spectrum * responses(len(spectrum), common / stretches)
    return fft.irfft(weighed, length)[:, begin - first * coarse : end - first * coarse]


def _energies(samples: Samples, sample_rate: int, settings: Settings) -> Iterator[np.ndarray]:
    """Yield Teager energies of neighbouring frames (16, frames, win), block by block."""
    win, hop = settings.samples
    count = max(win, -(-len(samples) * RATE // sample_rate))
    total = 1 + (count - win) // hop
    for first in range(0, total, BLOCK):
        frames = min(BLOCK, total - first)
        begin = first * hop
        end = begin + (frames - 1) * hop + win
        energy = teager(bands(samples, sample_rate, begin - 1, end + 1))
        yield np.lib.stride_tricks.sliding_window_view(energy, win, axis=1)[:, ::hop]


def compute(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    """Return a statistic of the Teager energy in each band, (frames, 16) float32, of samples (n,).

    With statistic "all" (frames, 48): areas, means, standard deviations. Frames begin every `hop`,
    none reaches beyond the end; samples that do not fill one are zero-padded. Energies are
    of a signal with full scale 1, sampled at 10 kHz. Raises UsageError for a rate below 7400 Hz.
    """
    return np.concatenate(list(blocks(samples, sample_rate, settings)))


def blocks(samples: Samples, sample_rate: int, settings: Settings) -> Iterator[np.ndarray]:
    """Yield what `compute` returns, `BLOCK` frames at a time, of samples of any length."""
    remarks(sample_rate, settings)
    for energy in _energies(samples, sample_rate, settings):
        parts = []
        if settings.statistic in ("area", "all"):
            parts.append(envelope_area(energy))
        if settings.statistic in ("mean", "all"):
            parts.append(energy.mean(axis=-1))
        if settings.statistic in ("sd", "all"):
            parts.append(energy.std(axis=-1))
        yield np.ascontiguousarray(np.concatenate(parts).T, dtype=np.float32)


def frame_rate(sample_rate: int, settings: Settings) -> float:
    """Return frames per second."""
    return RATE / settings.samples[1]


def remarks(sample_rate: int, settings: Settings) -> list[str]:
    """Return nothing; UsageError where a band lies above half the sample rate (Hz)."""
    if sample_rate < 2 * EDGES[-1]:
        raise UsageError(
            f"critical bands reach up to {EDGES[-1]} Hz, above half the sample rate of"
            f" {sample_rate} Hz; featurize with a higher --sample-rate"
        )
    return []


def shown(sample_rate: int, settings: Settings) -> Shown:
    """Return the critical bands, whose areas have no unit."""
    return Shown("critical band", values="area of the envelope")


KIND = Kind(
    name="teo",
    summary="Teager energy in 16 critical bands: TEO-CB-Auto-Env (Zhou, Hansen & Kaiser 2001)",
    Settings=Settings,
    compute=compute,
    frame_rate=frame_rate,
    dims="(frames, 16, or 48)",
    remarks=remarks,
    shown=shown,
    blocks=blocks,
)
