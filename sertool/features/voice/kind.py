"""Kind `voice`: descriptors of a voice every 10 ms, or one row of statistics of them.

The set is ours, after those of Eyben et al. (2016) and Schuller et al. (2016). Sound is brought to
16 kHz first, so that recordings of any rate have the same columns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sertool.audio.waveform import resample
from sertool.core.errors import UsageError
from sertool.core.settings import setting
from sertool.features import Kind
from sertool.features.voice.spectrum import RATE


@dataclass(frozen=True)
class Settings:
    """Whether a recording becomes one row, and where pitch is looked for."""

    functionals: bool = setting(True, "one row of statistics over time; false: every frame")
    level: bool = setting(True, "false: leave out statistics that a louder recording has otherwise")
    fmin: float = setting(65.0, "lowest pitch", "Hz", least=20)
    fmax: float = setting(700.0, "highest pitch", "Hz", most=2000)

    def __post_init__(self) -> None:
        if not 2 * self.fmin <= self.fmax:
            raise ValueError("fmax must be at least an octave above fmin")
        if not (self.functionals or self.level):
            raise ValueError("level=false is of functionals")


def compute(samples: np.ndarray, sample_rate: int, settings: Settings) -> np.ndarray:
    """Return the functionals (1, 1390), or every frame's descriptors (frames, 75), float32.

    Without level there are 1183 functionals. Of samples (n,): see `descriptors.describe` and
    `functionals.functionals`. Raises UsageError for a sample rate that is too low for the highest
    pitch.
    """
    from sertool.features.voice.descriptors import describe
    from sertool.features.voice.functionals import GATE, functionals, without_level

    remarks(sample_rate, settings)
    sound = resample(samples, sample_rate, RATE).astype(np.float64)
    gate = GATE if settings.functionals else math.inf
    frames = describe(sound, settings.fmin, settings.fmax, gate)
    if settings.functionals:
        row = functionals(frames).astype(np.float32)[np.newaxis]
        return row if settings.level else row[:, without_level()]
    return np.concatenate([frames.speech, frames.voice], 1).astype(np.float32)


def frame_rate(sample_rate: int, settings: Settings) -> float:
    """Return frames per second; 0 for functionals, which do not follow each other in time."""
    return 0.0 if settings.functionals else 100.0


def remarks(sample_rate: int, settings: Settings) -> list[str]:
    """Return one line where the rate leaves bands empty; UsageError where it is too low."""
    if sample_rate < max(4000, 3 * settings.fmax):
        raise UsageError(
            f"a sample rate of {sample_rate} Hz is too low for pitch up to {settings.fmax:g} Hz;"
            " featurize with a higher --sample-rate"
        )
    if sample_rate < RATE:
        return [f"bands above {sample_rate / 2:g} Hz are empty: kind voice measures up to 8000 Hz"]
    return []


KIND = Kind(
    name="voice",
    summary="loudness, pitch, jitter, formants, spectrum, modulation, and their statistics",
    Settings=Settings,
    compute=compute,
    frame_rate=frame_rate,
    dims="(1, 1390), without level (1, 1183), or (frames, 75) with functionals=false",
    remarks=remarks,
)
