"""The waveform itself, kept for augmentation and for models that listen to samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sertool.audio.waveform import to_float
from sertool.features import Kind, Shown


@dataclass(frozen=True)
class Settings:
    """A waveform has no settings of its own."""


def compute(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    """Return the samples (n,) as float32 with full scale 1."""
    return to_float(samples)


def frame_rate(sample_rate: int, settings: Settings) -> float:
    """Return samples per second."""
    return float(sample_rate)


def shown(sample_rate: int, settings: Settings) -> Shown:
    """Return the amplitude, of which 1 is full scale."""
    return Shown(values="amplitude (full scale: 1)")


KIND = Kind(
    name="wave",
    summary="the waveform itself",
    Settings=Settings,
    compute=compute,
    frame_rate=frame_rate,
    dims="(samples,)",
    shown=shown,
    dtypes=("float32", "int16"),
)
