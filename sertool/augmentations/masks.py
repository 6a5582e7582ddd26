"""SpecAugment: stretches of time and bands of features that are hidden from a network.

Park et al. (2019, section 2, "time masking" and "frequency masking"), without their time warping,
which they found to matter least (section 6). Their policies for 80 mel bands of a frame each 10 ms:
LB freq-mask=27:1,time-mask=100:1; LD freq-mask=27:2,time-mask=100:2; SM freq-mask=15:2,
time-mask=70:2:0.2; SS freq-mask=27:2,time-mask=70:2:0.2 (table 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from sertool.augmentations import Augmentation, Drawn, required
from sertool.core.settings import option

if TYPE_CHECKING:
    import numpy as np

Masks = list[list[int]]  # [first, width] of each


def draw(random: np.random.Generator, size: int, most: int, number: int) -> Masks:
    """Return `number` masks of an axis of `size`: widths uniform in 0 to `most`, then a place."""
    made = []
    for _ in range(number):
        width = int(random.integers(most + 1))
        made.append([int(random.integers(size - width + 1)), width])
    return made


@dataclass(frozen=True)
class FreqMask(Augmentation):
    """Bands of neighbouring dimensions, hidden all the time.

    width: the paper's F, the most dimensions of a mask; never all that there are. number: m_F.
    """

    hides: ClassVar[bool] = True
    width: int = required(
        "SpecAugment: mask N bands (default: 1) of 0 to F dimensions.", least=1, metavar="F:N"
    )
    number: int = option(1, "How many bands.", least=1)

    def __call__(
        self, features: np.ndarray, fill: np.ndarray, random: np.random.Generator
    ) -> tuple[np.ndarray, Masks]:
        """Hide parts of `features` (frames, dims), in place, behind `fill` (dims,)."""
        dims = features.shape[1]
        drawn = draw(random, dims, min(self.width, dims - 1), self.number)
        for first, width in drawn:
            features[:, first : first + width] = fill[first : first + width]
        return features, drawn


@dataclass(frozen=True)
class TimeMask(Augmentation):
    """Stretches of time that are hidden.

    width: the paper's T, the most frames of a mask; no mask is of more than the share `most`
    (the paper's p) of the item's own frames, or of all of them. number: m_T.
    """

    hides: ClassVar[bool] = True
    width: int = required(
        "SpecAugment: mask N stretches (default: 1) of 0 to T frames, each at most the share P"
        " of all (default: 1).",
        least=1,
        metavar="T:N:P",
    )
    number: int = option(1, "How many stretches.", least=1)
    most: float = option(1.0, "The largest share of all frames.", above=0, most=1)

    def __call__(
        self, features: np.ndarray, fill: np.ndarray, random: np.random.Generator
    ) -> tuple[np.ndarray, Masks]:
        """Hide parts of `features` (frames, dims), in place, behind `fill` (dims,)."""
        frames = len(features)
        most = max(0, min(self.width, int(self.most * frames), frames - 1))
        drawn = draw(random, frames, most, self.number)
        for first, width in drawn:
            features[first : first + width] = fill
        return features, drawn


def masked(
    features: np.ndarray,
    fill: np.ndarray,
    parts: Mapping[str, Any],
    random: np.random.Generator,
) -> tuple[np.ndarray, Drawn]:
    """Return a copy of `features` (frames, dims) changed by all `parts`, and what they drew.

    fill: (dims,), what a hidden value becomes.
    """
    changed, drawn = features.copy(), {}
    for name, part in parts.items():
        changed, drawn[name] = part(changed, fill, random)
    return changed, drawn


def own_mean(features: np.ndarray) -> np.ndarray:
    """Return the mean of each dimension of `features` (frames, dims), in their type."""
    return features.mean(0, dtype="float64").astype(features.dtype)
