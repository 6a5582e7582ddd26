"""The house model: a residual CNN over a mel spectrogram, with attentive statistics pooling.

Found on inner folds of training speakers, as by `sertool sweep`; `benchmarks/search.md` has what
was tried. It is made for what a processor can train from nothing: few weights, many small changes
of what it hears, and the running mean of its weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sertool.core.errors import InputError
from sertool.core.settings import setting
from sertool.models.contract import Network
from sertool.models.hyperparameters import Hyperparameters
from sertool.models.stretching import bands_stretched, sped_up

if TYPE_CHECKING:
    from torch import nn

FLOOR = 80.0  # dB below an item's loudest value: what is weaker tells rooms, not emotions
MARGIN = 2  # frames kept before the first loud one and after the last


@dataclass(frozen=True)
class HouseSettings:
    """Settings of the network."""

    widths: tuple[int, ...] = setting((24, 48, 96), "maps of each residual block", "maps", least=1)
    hidden: int = setting(128, "width of the sequence that is pooled", "units", least=1)
    attention: int = setting(64, "hidden units of the attention", "units", least=1)
    dropout: float = setting(0.3, "share of the pooled values zeroed", least=0, below=1)
    trim: float = setting(
        40.0, "leave out both ends below this far under the loudest frame; 0: never", "dB", least=0
    )
    voices: tuple[float, ...] = setting(
        (0.94, 1.06), "in scoring, also heard with bands stretched by these", above=0
    )
    tempos: tuple[float, ...] = setting(
        (0.88, 1.12), "in scoring, also heard sped up by these", above=0
    )
    level: bool = setting(True, "subtract each item's own mean level")

    def __post_init__(self) -> None:
        if not self.widths:
            raise ValueError("widths must hold at least one block")


class House(Network):
    """The house model, for mel spectrograms in decibels of recordings of any length."""

    name = "sertool"
    summary = "the house model: residual CNN with attentive statistics pooling, on mel in dB"
    Settings = HouseSettings
    settings: HouseSettings
    host_lengths = True
    augment: Mapping[str, Sequence[float]] = {
        "time-stretch": (0.82, 1.22),
        "freq-stretch": (0.89, 1.13),
        "response": (3.0,),
        "crop": (128,),
        "freq-mask": (8, 2),
        "time-mask": (20, 2),
    }

    def build(self, frames: int | None, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """Return the network for features of `shape` (bands,), t frames of them.

        =========== ================================================= =============================
        layer       what                                              gives
        =========== ================================================= =============================
        stem        convolution 3 × 3, every second band, BN, ReLU    24 × t × bands/2
        block 1     residual, stride 2                                24 × t/2 × bands/4
        block 2     residual, stride 2                                48 × t/4 × bands/8
        block 3     residual, stride 2                                96 × t/8 × bands/16
        mix         dense over maps and bands of a frame, BN, ReLU    128 × t/8
        pool        weighted mean and deviation over time, one        256
                    attention for each of the 128
        head        BN, dropout, dense                                outputs
        =========== ================================================= =============================

        Sizes are rounded up. A residual block is two convolutions 3 × 3 with BN, and a shortcut of
        1 × 1 (He et al. 2016); the pooling is Okabe et al.'s (2018). With 64 bands and eight logits
        241 920 parameters. Raises InputError for frames that are no vectors.
        """
        from sertool.models.house_layers import HouseNetwork

        if len(shape) != 1:
            raise InputError(f"sertool needs vectors over time, not frames of shape {shape}")
        settings = self.settings
        return HouseNetwork(
            shape[0],
            settings.widths,
            settings.hidden,
            settings.attention,
            settings.dropout,
            outputs,
        )

    @property
    def masks_padding(self) -> bool:
        """Padding is kept out."""
        return True

    def view(self, features: np.ndarray) -> np.ndarray:
        """Return an item's mel spectrogram (frames, bands) without its quiet ends, floored.

        In dB. The floor is FLOOR below the item's largest value; then its mean is subtracted, so
        that a recording's level does not count.

        >>> House().view(np.array([[-70.0], [4.0], [6.0], *[[-60.0]] * 9])).ravel().tolist()
        [-34.0, 40.0, 42.0, -24.0, -24.0]
        """
        if features.ndim != 2 or not len(features):
            return features
        floored = np.maximum(features, features.max() - FLOOR)
        if self.settings.trim:
            below = floored.astype(np.float64) - floored.max()
            level = 10 * np.log10((10 ** (below / 10)).sum(1))
            loud = np.flatnonzero(level >= level.max() - self.settings.trim)
            floored = floored[max(0, loud[0] - MARGIN) : loud[-1] + MARGIN + 1]
        return floored - floored.mean() if self.settings.level else floored

    def further_views(self, view: np.ndarray) -> Sequence[np.ndarray]:
        """Return the item as other voices and at other tempos, as training heard it."""
        return [
            *(bands_stretched(view, factor) for factor in self.settings.voices),
            *(sped_up(view, factor) for factor in self.settings.tempos),
        ]

    def defaults(self) -> Hyperparameters:
        """Return the training that the search found, in float32.

        In bfloat16 a step takes 0.7 of the time on processors that have it. Gradients that were not
        finite came from a convolution that is gone (see `house_layers.Residual`), in float32, too.
        """
        return Hyperparameters(
            epochs=50,
            batch_size=32,
            lr=2e-3,
            optimizer="adamw",
            weight_decay=0.02,
            schedule="cosine",
            clip_norm=5.0,
            mixup=0.3,
            label_smoothing=0.1,
            average=0.98,
            normalisation="feature",
        )
