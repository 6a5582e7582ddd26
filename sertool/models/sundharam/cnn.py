"""Networks of Sundharam & Johari, "Audio emotion classification using deep learning"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from sertool.core.errors import InputError
from sertool.core.settings import setting
from sertool.models.contract import Network, Output
from sertool.models.hyperparameters import Hyperparameters

if TYPE_CHECKING:
    from torch import nn

INTENSITY_WEIGHT = 1e-3  # of the second loss in the authors' baseline notebook
SHORTEST = 7 * 5  # frames: the two poolings leave one of them


@dataclass(frozen=True)
class CnnSettings:
    """Settings of the 1-D CNN."""

    input: Literal["features", "curve"] = setting(
        "features",
        "features: a channel per dimension (paper); curve: their mean, trained as in the notebook",
    )
    intensity_head: bool = setting(
        False, "also predict the item field intensity, with loss weight 1e-3 (notebook: true)"
    )
    dropout: float = setting(
        0.25, "share of values zeroed after three of the blocks", least=0, below=1
    )


class SundharamCnn(Network):
    """The paper's 1-D CNN, and that of its authors' notebook."""

    name = "sundharam-cnn"
    summary = "1-D CNN over time (Sundharam & Johari): the paper's, or its notebook's on a curve"
    fixed_length = True
    Settings = CnnSettings
    settings: CnnSettings

    def build(self, frames: int | None, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """Return the paper's baseline: eight convolutions over time and one linear layer.

        On one 216-frame curve: 906 922 parameters with ten logits, 906 280 with eight.
        """
        from torch import nn

        from sertool.models.layers import OverTime, conv, pool

        assert frames is not None  # fixed_length
        if frames < SHORTEST:
            raise InputError(
                f"sundharam-cnn needs at least {SHORTEST} frames per item, and these have {frames};"
                " featurize with a longer --duration or a shorter hop"
            )

        def norm(channels: int) -> list[nn.Module]:
            return [nn.BatchNorm2d(channels), nn.ReLU()]

        def drop() -> nn.Module:
            return nn.Dropout(self.settings.dropout)

        left = frames // 7 // 5 + 4  # frames at the end: both last convolutions pad by 2, not 1
        return OverTime(  # frames of 216 after each line
            *[conv(shape[0], 256, 7, pad=3), nn.ReLU()],  # 216; no batch normalisation
            *[conv(256, 256, 7, pad=3), *norm(256), pool(7), drop()],  # 30
            *[conv(256, 128, 5, pad=2), *norm(128)],  # 30
            *[conv(128, 128, 5, pad=2), *norm(128), drop()],  # 30
            *[conv(128, 128, 5, pad=2), *norm(128)],  # 30
            *[conv(128, 128, 5, pad=2), *norm(128), pool(5), drop()],  # 6
            *[conv(128, 64, 3, pad=2), *norm(64)],  # 8
            *[conv(64, 32, 3, pad=2), *norm(32)],  # 10
            *[nn.Flatten(), nn.Linear(32 * left, outputs)],
        )

    def view(self, features: np.ndarray) -> np.ndarray:
        """Return all dimensions of an item's features (frames, dims), or their mean as one."""
        if self.settings.input == "curve":
            return features.mean(1, keepdims=True, dtype=np.float32)
        return features

    def outputs(self) -> tuple[Output, ...]:
        """Return the label's logits, and the notebook's for intensity if they are wanted."""
        label = Output("label")
        if not self.settings.intensity_head:
            return (label,)
        return (label, Output("intensity", INTENSITY_WEIGHT))

    def defaults(self) -> Hyperparameters:
        """Return the paper's training, or for its curve that of the authors' notebook.

        Both z-score each time-frequency cell and keep the epoch of best validation accuracy.
        """
        if self.settings.input == "curve":
            return Hyperparameters(
                epochs=300,
                batch_size=512,
                lr=1e-3,
                weight_decay=1e-3,
                betas=(0.5, 0.999),
                schedule="plateau",
                schedule_factor=0.1,
                schedule_patience=10,
                monitor="accuracy",
                normalisation="cell",
            )
        return Hyperparameters(
            epochs=500,
            batch_size=150,
            lr=1e-3,
            weight_decay=1e-4,
            monitor="accuracy",
            normalisation="cell",
        )
