"""The network of Dossou & Gbenou, "FSER: deep CNNs for speech emotion recognition" (2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sertool.core.settings import setting
from sertool.models.contract import Network
from sertool.models.hyperparameters import Hyperparameters

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Fser2021Settings:
    """Settings of FSER; the paper gives no sizes (its Fig. 5 names the layers alone)."""

    widths: tuple[int, ...] = setting(
        (32, 64, 128, 256), "maps of each convolution", "maps", least=1
    )
    dense: tuple[int, ...] = setting(
        (512, 256), "width of each hidden dense layer", "units", least=1
    )
    dropout: float = setting(0.25, "share of values zeroed after each pooling", least=0, below=1)
    dense_dropout: float = setting(
        0.5, "share of values zeroed after each hidden dense layer", least=0, below=1
    )

    def __post_init__(self) -> None:
        if not self.widths:
            raise ValueError("widths must hold at least one convolution")


class Fser2021(Network):
    """FSER: four blocks of convolution and pooling, three dense layers."""

    name = "fser2021"
    summary = "CNN over mel-spectrogram pictures (Dossou & Gbenou 2021): four blocks, three dense"
    pictures = True
    Settings = Fser2021Settings
    settings: Fser2021Settings

    def build(self, frames: int | None, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """Return FSER for pictures of `shape` (height, width, channels).

        Blocks of convolution 3 × 3, ReLU, maximum over 2 × 2 and dropout, then dense layers. With
        the default settings, 64 × 64 × 3 and eight logits: 2 619 464 parameters. Raises InputError
        for pictures that the poolings leave nothing of (below 16 × 16 with four). Weights are drawn
        as Keras does by default: Glorot's uniform, zero biases.
        """
        from torch import nn

        from sertool.models.layers import Dropout, OverPictures, check_size

        settings = self.settings
        height, width, channels = shape
        blocks = len(settings.widths)
        check_size("fser2021", shape, lambda points: points >> blocks)
        convolutions: list[nn.Module] = []
        for maps in settings.widths:
            convolutions += [nn.Conv2d(channels, maps, 3, padding=1), nn.ReLU(inplace=True)]
            convolutions += [nn.MaxPool2d(2), Dropout(settings.dropout)]
            channels = maps
        dense: list[nn.Module] = []
        values = channels * (height >> blocks) * (width >> blocks)
        for units in settings.dense:
            dense += [nn.Linear(values, units), nn.ReLU(inplace=True)]
            dense += [Dropout(settings.dense_dropout)]
            values = units
        dense += [nn.Linear(values, outputs)]
        network = OverPictures(nn.Sequential(*convolutions), nn.Sequential(*dense))
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)
        return network

    def defaults(self) -> Hyperparameters:
        """Return the paper's training (Sec. 4.1): plain SGD, as Keras has it, for 400 epochs."""
        return Hyperparameters(
            epochs=400,
            batch_size=64,
            lr=1e-3,
            optimizer="sgd",
            momentum=0.0,
            schedule="constant",
            monitor="accuracy",
            normalisation="unit",
        )
