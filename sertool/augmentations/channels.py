"""What sound goes through on its way: a narrow band, an amplifier, a codec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sertool.audio import decoding as audio
from sertool.augmentations import Failed
from sertool.augmentations.ranges import within
from sertool.core.errors import UsageError

LOUDEST = 100.0  # dB of gain, up or down
ORDER = 4  # of the Butterworth filter, which is run forwards and backwards
SETTLING = 3  # periods of the lower edge that the filter is given to settle at both ends

# name: container and coding of libsndfile, sample rates that it takes (none: any)
CODECS: dict[str, tuple[str, str, tuple[int, ...]]] = {
    "mp3": (
        "MP3",
        "MPEG_LAYER_III",
        (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
    ),
    "ogg": ("OGG", "VORBIS", ()),
    "opus": ("OGG", "OPUS", (8000, 12000, 16000, 24000, 48000)),
    "gsm": ("WAV", "GSM610", (8000,)),
    "mulaw": ("WAV", "ULAW", ()),
    "alaw": ("WAV", "ALAW", ()),
}

Copy = tuple[np.ndarray, dict[str, Any]]


def amplified(samples: np.ndarray, gain_db: float) -> np.ndarray:
    """Return `samples` (n,) `gain_db` dB louder: float32, values beyond full scale as they come."""
    return samples.astype(np.float32, copy=False) * np.float32(10 ** (gain_db / 20))


def band_passed(samples: np.ndarray, rate: int, low: float, high: float) -> np.ndarray:
    """Return `samples` (n,) at `rate` Hz without what is below `low` or above `high` Hz: float32.

    A Butterworth filter of order 4 forwards and backwards: no phase, nothing moves in time. 6 dB
    down at both edges, at most 1 dB from 1.4 · low to high / 1.4, at least 48 dB an octave
    outside. 0 < low < high < rate / 2.
    """
    from scipy.signal import butter, sosfiltfilt

    sections = butter(ORDER, [low, high], "bandpass", fs=rate, output="sos")
    settling = min(len(samples) - 1, max(6 * ORDER, round(SETTLING * rate / low)))
    made = sosfiltfilt(sections, samples.astype(np.float64), padlen=settling)
    return np.asarray(made, np.float32)


def coded(samples: np.ndarray, rate: int, name: str) -> tuple[np.ndarray, int]:
    """Return `samples` (n,) as the codec `name` gives them back, and how many it cut off.

    float32 (n,), not moved in time. What is beyond full scale is cut off before, for all codecs
    alike: some hold nothing there, and some only at times. A codec that does not take `rate` Hz
    gets the next higher rate that it takes, or its highest, and its sound is resampled back.
    """
    container, coding, rates = CODECS[name]
    inner = rate if not rates else min((r for r in rates if r >= rate), default=rates[-1])
    beyond = int(np.count_nonzero(np.abs(samples) > 1))
    signal = audio.resample(np.clip(samples, -1, 1) if beyond else samples, rate, inner)
    made = audio.resample(audio.coded(signal, inner, container, coding), inner, rate)
    return np.pad(made, (0, max(0, len(samples) - len(made))))[: len(samples)], beyond


@dataclass(frozen=True)
class BandPass:
    """A band whose edges are drawn: uniform in `low` to `low_most` and in `high` to `high_most`."""

    low: float
    low_most: float
    high: float
    high_most: float

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.low_most < self.high <= self.high_most:
            raise UsageError(f"{self._asked}: needs 0 < LOW < HIGH in Hz, ranges that do not meet")

    help = "only LOW:HIGH Hz, e.g. 300:3400; edges may be ranges, 200-400:3000-4000, uniform"

    @property
    def _asked(self) -> str:
        edges = ((self.low, self.low_most), (self.high, self.high_most))
        return "--band-pass " + ":".join(
            f"{least:g}" if least == most else f"{least:g}-{most:g}" for least, most in edges
        )

    def prepared(self, rate: int, failed: Failed) -> BandPass:
        """Return this; UsageError where the band is not below half the sample rate."""
        if self.high_most >= rate / 2:
            raise UsageError(
                f"{self._asked}: HIGH must be below {rate / 2:g} Hz, half the store's sample rate"
            )
        return self

    def __call__(self, samples: np.ndarray, rate: int, random: np.random.Generator) -> Copy:
        """Return the filtered samples and the band in Hz."""
        low = float(random.uniform(self.low, self.low_most))
        high = float(random.uniform(self.high, self.high_most))
        return band_passed(samples, rate, low, high), {"hz": [low, high]}


@dataclass(frozen=True)
class Gain:
    """A gain drawn uniformly from `low` to `high` dB.

    A store of int16 holds nothing beyond full scale: such samples are cut off there, and counted.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        within("gain", self.low, self.high, -LOUDEST, LOUDEST, "dB")

    help = "LOW:HIGH dB louder, uniform; an int16 store cuts off what is beyond full scale"

    def __call__(self, samples: np.ndarray, rate: int, random: np.random.Generator) -> Copy:
        """Return the louder or softer samples and the gain."""
        gain = float(random.uniform(self.low, self.high))
        return amplified(samples, gain), {"gain_db": gain}


@dataclass(frozen=True)
class Codec:
    """One of several codecs, each as likely as any other, encoded and decoded again."""

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        strange = sorted(set(self.names) - set(CODECS))
        if strange or not self.names:
            told = ",".join(self.names)
            raise UsageError(f"--codec {told}: needs one or more of {', '.join(CODECS)}")
        # in one order, so that the order in which they are named changes no draw
        object.__setattr__(self, "names", tuple(name for name in CODECS if name in self.names))

    help = f"coded and decoded again by one of a LIST of {', '.join(CODECS)}"

    @property
    def recorded(self) -> list[Any]:
        """What a lineage keeps: the codecs' names."""
        return [list(self.names)]

    def prepared(self, rate: int, failed: Failed) -> Codec:
        """Return this; UsageError where libsndfile has no such codec."""
        for name in self.names:
            if not audio.codes(*CODECS[name][:2]):
                raise UsageError(f"--codec {name}: this machine's libsndfile has none")
        return self

    def __call__(self, samples: np.ndarray, rate: int, random: np.random.Generator) -> Copy:
        """Return the samples after a codec, and its name; `clipped`, how many were cut off."""
        name = self.names[int(random.integers(len(self.names)))]
        made, beyond = coded(samples, rate, name)
        return made, {"codec": name, **({"clipped": beyond} if beyond else {})}
