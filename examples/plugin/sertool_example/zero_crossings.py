"""The kind "zero-crossings": how often the waveform changes sign, and its level, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sertool.audio.waveform import to_float
from sertool.core.errors import ItemError
from sertool.core.settings import option
from sertool.features import Kind


@dataclass(frozen=True)
class Settings:
    """How the waveform is cut into frames."""

    seconds: float = option(0.025, "length of a frame", "s", above=0)
    hop: float = option(0.010, "from one frame to the next", "s", above=0)


def compute(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    """Return (frames, 2) float32 of samples (n,): sign changes per second, and RMS level in dB."""
    length, hop = round(settings.seconds * sample_rate), round(settings.hop * sample_rate)
    if len(samples) < length:
        raise ItemError("shorter than one frame")
    frames = np.lib.stride_tricks.sliding_window_view(to_float(samples), length)[::hop]
    changes = np.diff(np.signbit(frames), axis=1).sum(1) / settings.seconds
    level = 10 * np.log10(np.maximum((frames.astype(np.float64) ** 2).mean(1), 1e-10))
    return np.stack([changes, level], axis=1).astype(np.float32)


def frame_rate(sample_rate: int, settings: Settings) -> float:
    """Return frames per second."""
    return sample_rate / round(settings.hop * sample_rate)


KIND = Kind(
    name="zero-crossings",
    summary="zero-crossing rate and level",
    Settings=Settings,
    compute=compute,
    frame_rate=frame_rate,
    dims="(frames, 2)",
)
