"""Additive noise at an exact signal-to-noise ratio: white, or from recordings."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sertool.augmentations import Failed
from sertool.augmentations.ranges import within
from sertool.augmentations.recordings import Recordings, scan, stretch

LIMIT = 200  # dB; noise much louder would no longer fit float32


def add_noise(samples: np.ndarray, noise: np.ndarray, snr_db: float) -> tuple[np.ndarray, bool]:
    """Return `samples` plus `noise` (n,) at a ratio of `snr_db`, and whether any could be added.

    The noise is scaled by its own measured power, so that the ratio of the powers is exact
    (Sundharam & Johari, section 3.2.2: x + K·n, K = sqrt(P_x / P_n · 10^(-SNR/10))). float32;
    the memory of `noise` is used. Silence, or silent noise, has no such ratio: nothing is added.
    """
    signal = samples.astype(np.float32, copy=False)
    signal_power = _power(signal)
    noise_power = _power(noise)
    if signal_power == 0 or noise_power == 0:
        return signal, False
    scale = np.sqrt(signal_power / noise_power * 10 ** (-snr_db / 10))
    noise *= np.float32(scale)
    noise += signal
    return noise, True


def add_white_noise(
    samples: np.ndarray, snr_db: float, random: np.random.Generator
) -> tuple[np.ndarray, bool]:
    """Return `samples` (n,) plus white Gaussian noise; see `add_noise`."""
    return add_noise(samples, random.standard_normal(len(samples), dtype=np.float32), snr_db)


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
        within("awgn", self.low, self.high, -LIMIT, LIMIT, "dB")

    help = "additive white Gaussian noise, LOW:HIGH dB of signal-to-noise ratio, uniform"

    def __call__(
        self, samples: np.ndarray, rate: int, random: np.random.Generator
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Return the noisy samples and the ratio that was drawn (null for silence)."""
        snr = float(random.uniform(self.low, self.high))
        noisy, added = add_white_noise(samples, snr, random)
        return noisy, {"snr_db": snr if added else None}


@dataclass(frozen=True)
class Noise:
    """A stretch of a recording of noise, at a ratio drawn uniformly from `low` to `high` dB.

    One of the folder's files is drawn, and where in it to begin; a file shorter than the item is
    repeated, one of another sample rate resampled.
    """

    folder: Path
    low: float
    high: float
    found: Recordings = dataclasses.field(default=Recordings(()), init=False)

    def __post_init__(self) -> None:
        within("noise-snr", self.low, self.high, -LIMIT, LIMIT, "dB")

    help = "recordings of noise from FOLDER, --noise-snr LOW:HIGH dB, uniform"

    def prepared(self, rate: int, failed: Failed) -> Noise:
        """Return this with its recordings found; InputError where the folder has none."""
        made = dataclasses.replace(self)
        object.__setattr__(made, "found", scan("noise", self.folder, failed))
        return made

    @property
    def recorded(self) -> list[Any]:
        """What a lineage keeps: the recordings' content, not their names."""
        return [self.found.recorded, self.low, self.high]

    def __call__(
        self, samples: np.ndarray, rate: int, random: np.random.Generator
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Return the noisy samples; the file's content, the second it begins at, the ratio.

        The ratio is null where the item or the stretch is silent.
        """
        snr = float(random.uniform(self.low, self.high))
        chosen = self.found.draw(random)
        noise, first = stretch(chosen, len(samples), rate, random)
        noisy, added = add_noise(samples, noise, snr)
        drawn = {"audio": chosen.content, "start": first / chosen.sample_rate}
        return noisy, drawn | {"snr_db": snr if added else None}
