"""Layers that several networks share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import handle_torch_function, has_torch_function_unary

from sertool.core.errors import InputError
from sertool.models.masking import mean_over_time

LARGEST_NEEDED = 4096  # points: no network of pictures needs a larger one
DRAWS = 2**16  # that 16 bits tell apart


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


class OverPictures(nn.Module):
    """Convolutions over pictures, then dense layers, with torchvision's names of the three parts.

    The dense layers see values in the order (channels, height, width), as torchvision's do.
    """

    def __init__(
        self,
        features: nn.Sequential,
        classifier: nn.Sequential,
        avgpool: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.features = features
        self.avgpool = avgpool or nn.Identity()
        self.classifier = classifier

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return logits (batch, outputs) for pictures (batch, 1, height, width, channels)."""
        pictures = x[:, 0].permute(0, 3, 1, 2)  # the channels-last layout, without a copy
        out: torch.Tensor = self.classifier(self.avgpool(self.features(pictures)).flatten(1))
        return out


def check_size(name: str, shape: Sequence[int], left: Callable[[int], int]) -> None:
    """Raise InputError where of a picture (height, width, channels) nothing is left.

    `left` maps the points of one side to those that the layers leave.
    """
    height, width, _ = shape
    if min(left(height), left(width)) >= 1:
        return
    least = next(points for points in range(1, LARGEST_NEEDED) if left(points) >= 1)
    raise InputError(
        f"{name} needs pictures of at least {least} × {least}, and these are {height} × {width};"
        " featurize larger ones"
    )


class Dropout(nn.Dropout):
    """Dropout that draws 16 bits a value: on a CPU about a tenth of the time of torch's own.

    The share kept is the nearest multiple of 2⁻¹⁶, and what is kept is divided by just that.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `x` with a share `p` of zeros in training, the rest grown to make up for it."""
        if not self.training or self.p == 0 or x.device.type != "cpu":
            return super().forward(x)
        return dropout(x, self.p)


def dropout(x: torch.Tensor, p: float) -> torch.Tensor:
    """Return `x`, in host memory, with a share `p` of zeros (see `Dropout`)."""
    if has_torch_function_unary(x):
        found: torch.Tensor = handle_torch_function(dropout, (x,), x, p)
        return found
    wanted = max(1, round((1 - p) * DRAWS))
    drawn = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    layout = torch.empty_like(x, device="meta")  # in that of `x` it is multiplied fastest
    kept = drawn.view(torch.int16)[: x.numel()] < wanted - DRAWS // 2
    return (x * kept.as_strided(x.shape, layout.stride())).mul_(DRAWS / wanted)


class AveragedTo(nn.AdaptiveAvgPool2d):
    """Means over so many windows of maps, of any size, along both sides."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return maps (batch, maps, output_size, output_size)."""
        if not torch.onnx.is_in_onnx_export():
            return super().forward(x)
        # Windows of unequal size are no pooling of ONNX's, but as any mean they are a product.
        high, wide = (self._weights(size).to(x) for size in x.shape[2:])
        return high @ x @ wide.T

    def _weights(self, size: int) -> torch.Tensor:
        count = int(self.output_size)  # type: ignore[arg-type]
        return functional.adaptive_avg_pool1d(torch.eye(int(size)), count).T


class LayerMix(nn.Module):
    """The sum of layers, weighted by a softmax that starts equal."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(layers))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (..., dims) of (..., layers, dims)."""
        return torch.einsum("...ld,l->...d", x, self.weight.softmax(0))


class Mixed(nn.Module):
    """Mixture of layers, mean over time, dense layers."""

    def __init__(self, mix: nn.Module, dense: nn.Sequential) -> None:
        super().__init__()
        self.mix, self.dense = mix, dense

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return logits (batch, outputs) for features (batch, frames, [layers,] dims)."""
        out: torch.Tensor = self.dense(mean_over_time(self.mix(x), lengths))
        return out


class OneLayer(nn.Module):
    """One layer of several."""

    def __init__(self, layer: int) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (..., dims) of (..., layers, dims)."""
        return x[..., self.layer, :]
