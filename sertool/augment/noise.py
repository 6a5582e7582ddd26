"""Additive noise at an exact signal-to-noise ratio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sertool.errors import UsageError

LIMIT = 200  # dB; noise much louder would no longer fit float32


def add_white_noise(
    samples: np.ndarray, snr_db: float, random: np.random.Generator
) -> tuple[np.ndarray, bool]:
    """Return `samples` plus white Gaussian noise, and whether any noise could be added.

    The noise is scaled by its own measured power, so that the ratio of the powers is `snr_db`
    exactly (Sundharam & Johari, section 3.2.2: x + K·n, K = sqrt(P_x / P_n · 10^(-SNR/10))).
    `samples` (n,) float; the result is float32. Silence has no such ratio and stays as it is.
    """
    signal = samples.astype(np.float32, copy=False)
    noise = random.standard_normal(len(signal), dtype=np.float32)
    signal_power = _power(signal)
    noise_power = _power(noise)
    if signal_power == 0 or noise_power == 0:
        return signal, False
    scale = np.sqrt(signal_power / noise_power * 10 ** (-snr_db / 10))
    noise *= np.float32(scale)
    noise += signal
    return noise, True


def _power(samples: np.ndarray) -> float:
    """Return the mean square of `samples` in float64."""
    wide = samples.astype(np.float64)
    return float(np.dot(wide, wide)) / len(wide)


@dataclass(frozen=True)
class AWGN:
    """White Gaussian noise at a ratio drawn uniformly from `low` to `high` dB."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not -LIMIT <= self.low <= self.high <= LIMIT:
            raise UsageError(f"--awgn {self.low:g}:{self.high:g}: needs -{LIMIT} to {LIMIT} dB")

    help = "additive white Gaussian noise, LOW:HIGH dB of signal-to-noise ratio, uniform"

    def __call__(
        self, samples: np.ndarray, random: np.random.Generator
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Return the noisy samples and the ratio that was drawn (null for silence)."""
        snr = float(random.uniform(self.low, self.high))
        noisy, added = add_white_noise(samples, snr, random)
        return noisy, {"snr_db": snr if added else None}
