"""Features over time that are stretched, coloured or cut to one length, to be new in every epoch.

For a mel spectrogram in decibels these are cheap stand-ins for what costs a resampling of sound:
another tempo, another voice (vocal tract length perturbation, Jaitly & Hinton 2013, with a factor
on the axis of bands), another microphone.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sertool.augmentations import Augmentation, Range, required

if TYPE_CHECKING:
    import numpy as np

KNOTS = 4  # of a random response, evenly over all dimensions


def drawn_factor(factor: Range, random: np.random.Generator) -> float:
    """Return a factor between the two, its logarithm uniform."""
    import numpy as np

    low, high = _logarithms(factor)
    return float(np.exp(random.uniform(low, high)))


@functools.cache
def _logarithms(factor: Range) -> tuple[float, float]:
    import numpy as np

    low, high = np.log(factor).tolist()
    return low, high


def check_factor(factor: Range, name: str) -> None:
    """Raise UsageError for a factor of 0 or less."""
    from sertool.core.errors import UsageError

    if factor[0] <= 0:
        raise UsageError(f"--{name} {factor[0]:g}:{factor[1]:g}: needs factors above 0")


@dataclass(frozen=True)
class TimeStretch(Augmentation):
    """Another tempo: n frames become n / factor, linear between neighbours."""

    resizes: ClassVar[bool] = True
    factor: Range = required("Speed up by this factor, e.g. 0.8:1.25.")

    def check(self) -> None:
        """Raise UsageError for a factor of 0 or less."""
        check_factor(self.factor, "time-stretch")

    def __call__(
        self, features: np.ndarray, fill: np.ndarray, random: np.random.Generator
    ) -> tuple[np.ndarray, float]:
        """Return `features` (frames, dims) with another number of frames, at least one."""
        from sertool.models.stretching import sped_up

        factor = drawn_factor(self.factor, random)
        return sped_up(features, factor), factor


@dataclass(frozen=True)
class FreqStretch(Augmentation):
    """Another voice: dimension k is taken from k times the factor; beyond the last is the last."""

    factor: Range = required("Stretch the axis of dimensions by this factor, e.g. 0.9:1.1.")

    def check(self) -> None:
        """Raise UsageError for a factor of 0 or less."""
        check_factor(self.factor, "freq-stretch")

    def __call__(
        self, features: np.ndarray, fill: np.ndarray, random: np.random.Generator
    ) -> tuple[np.ndarray, float]:
        """Return `features` (frames, dims), stretched."""
        from sertool.models.stretching import bands_stretched

        factor = drawn_factor(self.factor, random)
        return bands_stretched(features, factor), factor


@dataclass(frozen=True)
class Response(Augmentation):
    """Another microphone: a random curve over the dimensions is added to every frame."""

    deviation: float = required(
        "Add a random frequency response, linear between four normal values of this deviation (dB,"
        " if the features are).",
        least=0,
        metavar="DB",
    )

    def __call__(
        self, features: np.ndarray, fill: np.ndarray, random: np.random.Generator
    ) -> tuple[np.ndarray, list[float]]:
        """Return `features` (frames, dims) plus the curve."""
        import numpy as np

        knots = random.normal(0, self.deviation, KNOTS)
        curve = np.interp(_places(features.shape[1]), np.arange(KNOTS), knots)
        return features + curve.astype(features.dtype), knots.tolist()


@functools.lru_cache(8)
def _places(dims: int) -> np.ndarray:
    """Return where each of so many dimensions lies between the knots (dims,)."""
    import numpy as np

    return np.linspace(0, KNOTS - 1, dims)


@dataclass(frozen=True)
class Crop(Augmentation):
    """One length for all: a random stretch of a longer item, a shorter one again and again."""

    resizes: ClassVar[bool] = True
    frames: int = required(
        "Cut a random stretch of this many frames; a shorter item is repeated from a random frame.",
        least=1,
        metavar="T",
    )

    def __call__(
        self, features: np.ndarray, fill: np.ndarray, random: np.random.Generator
    ) -> tuple[np.ndarray, int]:
        """Return `features` (frames, dims) as that many frames, and the first."""
        import numpy as np

        n = len(features)
        if n >= self.frames:
            first = int(random.integers(n - self.frames + 1))
            return features[first : first + self.frames], first
        first = int(random.integers(n))
        return features[(first + np.arange(self.frames)) % n], first
