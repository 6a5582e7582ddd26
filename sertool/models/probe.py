"""A small network on pooled features, of one layer or a learned mixture of several.

The weights of a sum over an encoder's layers, learned as a softmax, are SUPERB's (Yang et al. 2021,
"SUPERB: Speech processing Universal PERformance Benchmark", section 3.3). The mean over time and
the weighted sum commute, so that layers pooled beforehand give what frames would.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sertool.core.errors import InputError
from sertool.core.settings import setting
from sertool.models.contract import Network
from sertool.models.hyperparameters import Hyperparameters

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class ProbeSettings:
    """Settings of the probe."""

    layer: int | Literal["weighted"] = setting(
        "weighted", "of several layers (kind ssl): one by its number, or a learned mixture", least=0
    )
    hidden: int = setting(256, "hidden units; 0: a linear classifier", "units", least=0)
    dropout: float = setting(0.2, "dropout before each dense layer", least=0, below=1)


class Probe(Network):
    """What a network can tell by pooled features: a hidden layer on their mean over time."""

    name = "probe"
    summary = "one hidden layer on means over time, layers of an encoder mixed by learned weights"
    Settings = ProbeSettings
    settings: ProbeSettings
    layered = True

    def build(self, frames: int | None, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """Return the network for frames of shape (layers, dims), or (dims,)."""
        from torch import nn

        from sertool.models.layers import LayerMix, Mixed, OneLayer

        mix: nn.Module = nn.Identity()
        if len(shape) == 2:
            layer = self.settings.layer
            if layer != "weighted" and layer >= shape[0]:
                raise InputError(f"layer={layer}: these features have layers 0 to {shape[0] - 1}")
            mix = LayerMix(shape[0]) if layer == "weighted" else OneLayer(layer)
        dims, hidden, dropout = shape[-1], self.settings.hidden, self.settings.dropout
        layers: list[nn.Module] = [nn.Dropout(dropout), nn.Linear(dims, hidden or outputs)]
        if hidden:
            layers += [nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, outputs)]
        return Mixed(mix, nn.Sequential(*layers))

    @property
    def masks_padding(self) -> bool:
        """True: the mean is over an item's own frames."""
        return True

    def defaults(self) -> Hyperparameters:
        """Return ours: Adam, a cosine schedule, z-scores of each dimension."""
        return Hyperparameters(epochs=60, lr=1e-3, schedule="cosine", weight_decay=1e-4)
