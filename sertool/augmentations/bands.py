"""Features over time that are stretched, coloured or cut to one length, to be new in every epoch.

For a mel spectrogram in decibels these are cheap stand-ins for what costs a resampling of sound:
another tempo, another voice (vocal tract length perturbation, Jaitly & Hinton 2013, with a factor
on the axis of bands), another microphone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from sertool.augmentations import Augmentation, Range, required

if TYPE_CHECKING:
    import numpy as np

KNOTS = 4  # of a random response, evenly over all dimensions


def between(features: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return rows of `features` (rows, ...) at fractional `places` (n,), in their type.

    Linear between neighbours; places before the first row or after the last are these.

    >>> import numpy as np
    >>> between(np.array([[0.0], [2.0]]), np.array([-1, 0.5, 3])).ravel().tolist()
    [0.0, 1.0, 2.0]
    """
    import numpy as np

    places = places.clip(0, len(features) - 1)
    low = places.astype(np.int64)
    high = np.minimum(low + 1, len(features) - 1)
    share = (places - low).astype(features.dtype).reshape(-1, *[1] * (features.ndim - 1))
    rows: np.ndarray = features[low] * (1 - share) + features[high] * share
    return rows


def drawn_factor(factor: Range, random: np.random.Generator) -> float:
    """Return a factor between the two, its logarithm uniform."""
    import numpy as np

    return float(np.exp(random.uniform(*np.log(factor))))


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
        import numpy as np

        factor = drawn_factor(self.factor, random)
        frames = max(1, round(len(features) / factor))
        return between(features, np.arange(frames) * factor), factor


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
        import numpy as np

        factor = drawn_factor(self.factor, random)
        return between(features.T, np.arange(features.shape[1]) * factor).T, factor


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
        dims = features.shape[1]
        curve = np.interp(np.linspace(0, KNOTS - 1, dims), np.arange(KNOTS), knots)
        return features + curve.astype(features.dtype), knots.tolist()


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
