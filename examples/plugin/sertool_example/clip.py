"""The augmentation "clip": a microphone that is overdriven.

Imported for `sertool augment --help`, so numpy and heavier packages only inside functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sertool.augmentations import Augmentation, Range, required

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Clip(Augmentation):
    """Samples cut off at a level below the item's peak, uniform."""

    db: Range = required(
        "Clip this far below the peak, e.g. 3:12.", "dB", least=0, most=60
    )  # `sertool augment --clip LOW:HIGH`

    def __call__(
        self, samples: np.ndarray, rate: int, random: np.random.Generator
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Return the clipped samples (n,) and how far below the peak, drawn from `random` alone."""
        db = float(random.uniform(*self.db))
        most = abs(samples).max() * 10 ** (-db / 20)
        return samples.clip(-most, most).astype("float32"), {"clip_db": db}
