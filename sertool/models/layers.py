"""Layers that several networks share."""

from __future__ import annotations

import torch
from torch import nn


class OverTime(nn.Module):
    """Layers over (batch, dims, 1, frames), given features (batch, frames, dims).

    Convolutions over time are written as 2-D ones of height 1: in the channels-last layout, which
    features as they are stored already have, they take less than half the time of `nn.Conv1d`
    on a CPU and give the same sums.
    """

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return the last layer's output for features (batch, frames, dims)."""
        out: torch.Tensor = self.layers(x.transpose(1, 2).unsqueeze(2))
        return out


def conv(inputs: int, outputs: int, width: int, pad: int) -> nn.Conv2d:
    """Return a convolution over time: `width` frames, `pad` zero frames on both sides."""
    return nn.Conv2d(inputs, outputs, (1, width), padding=(0, pad))


def pool(width: int) -> nn.MaxPool2d:
    """Return the maximum over `width` frames, without overlap."""
    return nn.MaxPool2d((1, width))
