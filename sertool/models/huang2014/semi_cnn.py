"""The network of Huang et al., "Speech emotion recognition using CNN" (2014): semi-CNN, Sec. 2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sertool.models.huang2014.loss import Matrices, Outputs

CLIP = 3.0  # standard deviations of a z-score that are told apart
MIDDLE, REACH = 0.5, 0.4  # where z-scores are squashed to: 0.1 .. 0.9
POOL = 2  # positions of every mean: the paper's 2 × 1 window


@dataclass(frozen=True)
class Sizes:
    """Sizes of semi-CNN; the defaults are the paper's, where it gives them.

    Its "120 kernels with two fixed sizes" are `maps` 60 of each, or 120 of each. Of its 600
    features it does not say how many are salient.
    """

    frames: int = 15  # of a fragment
    dims: int = 60  # values per frame
    kernels: tuple[int, ...] = (6, 10)  # frames of each size of kernel, as wide as a frame
    maps: int = 60  # kernels of each size
    salient: int = 300  # features of φe
    other: int = 300  # features of φo

    @property
    def windows(self) -> tuple[int, ...]:
        """Pooled positions of each size of kernel."""
        return tuple((self.frames - length + 1) // POOL for length in self.kernels)

    @property
    def local(self) -> int:
        """Values of y."""
        return self.maps * sum(self.windows)


class Kernel(nn.Module):
    """The kernels of one size and the means over positions: one of the two halves of y (Eq. 2)."""

    def __init__(self, maps: int, length: int, dims: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(maps, length, dims))
        self.bias = nn.Parameter(torch.empty(maps))
        bound = (length * dims) ** -0.5  # as torch draws a layer's by default
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (..., windows · maps), window by window, for fragments (..., frames, dims).

        The convolution is a sum over the patch as it lies, so that a position's values are the
        auto-encoder's codes of its patch (Eq. 1).
        """
        fragments = x.flatten(0, -3).transpose(1, 2)  # (fragments, dims, frames)
        maps = torch.sigmoid(functional.conv1d(fragments, self.weight.transpose(1, 2), self.bias))
        pooled = functional.avg_pool1d(maps, POOL).transpose(1, 2)  # (fragments, windows, maps)
        return pooled.reshape(*x.shape[:-2], -1)

    def set(self, encoder: nn.Linear) -> None:
        """Take the weights of an auto-encoder's layer, of patches laid out row by row.

        Raises ValueError for another shape than (maps, frames · dims).
        """
        if encoder.weight.shape != (len(self.weight), self.weight[0].numel()):
            raise ValueError(
                f"an encoder of {tuple(encoder.weight.shape)} for kernels of"
                f" {tuple(self.weight.shape)}"
            )
        with torch.no_grad():
            self.weight.copy_(encoder.weight.view_as(self.weight))
            self.bias.copy_(encoder.bias)


class Kernels(nn.Module):
    """All sizes of kernels: y of Eq. 3, the paper's local invariant features (LIF)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = nn.ModuleList(
            Kernel(sizes.maps, length, sizes.dims) for length in sizes.kernels
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return y (..., local) for fragments (..., frames, dims).

        In the paper's order: sizes of kernels, in each its windows, in each its maps.
        """
        return torch.cat([kernel(x) for kernel in self.sizes], -1)

    def set(self, encoders: Sequence[nn.Linear]) -> None:
        """Take the encoders of auto-encoders, one per size, in the sizes' order.

        Raises ValueError where their number or a shape differs.
        """
        for kernel, encoder in zip(self.sizes, encoders, strict=True):
            assert isinstance(kernel, Kernel)
            kernel.set(encoder)


class Squash(nn.Module):
    """Values less their mean, in standard deviations, cut off at 3 and moved into 0.1 .. 0.9.

    So that a logistic unit can rebuild them. Both are fitted before training, and are not trained.
    """

    mean: torch.Tensor
    sd: torch.Tensor

    def __init__(self, values: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(values))
        self.register_buffer("sd", torch.ones(values))

    def set(self, mean: np.ndarray, sd: np.ndarray) -> None:
        """Take the means and standard deviations (values,) of the training part."""
        self.mean.copy_(torch.from_numpy(mean))
        self.sd.copy_(torch.from_numpy(sd))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the squashed values (..., values)."""
        return squash((x - self.mean) / self.sd)


def squash(z: torch.Tensor) -> torch.Tensor:
    """Return z-scores cut off at 3 standard deviations and moved into 0.1 .. 0.9."""
    return z.clamp(-CLIP, CLIP) * (REACH / CLIP) + MIDDLE


class Split(nn.Module):
    """φ = s(V y + b): features of which the first `salient` are affect-salient."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.blocks = [sizes.salient, sizes.other]
        self.linear = nn.Linear(sizes.local, sum(self.blocks))  # V, b
        self.squash = nn.Sigmoid()

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        """Return φ (..., salient + other) of y (..., local)."""
        return self.squash(self.linear(y))

    def split(self, features: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return φe (..., salient) and φo (..., other)."""
        return features.split(self.blocks, -1)


class SemiCnn(nn.Module):
    """Kernels, means over positions, and the two blocks of features that rebuild and classify.

    With the default sizes and seven classes: kernels of 57 720 parameters, and 579 187 after
    them; with 120 maps of each size 115 440 and 1 155 667. Weights are drawn as torch does by
    default, until `kernels.set` puts those of the auto-encoders in. Kernels are frozen unless
    `finetune_kernels`. With `rescale` y is squashed: sparse codes hardly vary, and would be
    rebuilt by their means.
    """

    def __init__(
        self,
        classes: int,
        sizes: Sizes | None = None,
        finetune_kernels: bool = False,
        rescale: bool = False,
    ) -> None:
        super().__init__()
        sizes = sizes or Sizes()
        self.kernels = Kernels(sizes).requires_grad_(finetune_kernels)
        self.rescale = Squash(sizes.local) if rescale else nn.Identity()
        self.features = Split(sizes)
        self.decoder = nn.Linear(sizes.salient + sizes.other, sizes.local)  # Uᵀ, δ
        self.classifier = nn.Linear(sizes.salient, classes)  # A, ρ

    def forward(self, x: torch.Tensor) -> Outputs:
        """Return all that the objective needs, for fragments (..., frames, dims).

        ŷ = s(Uᵀ[φe, φo] + δ): Eq. 4 as its brackets have it, for its sum has blocks of unequal
        size in it. The logits A φe + ρ are Eq. 5's before s.
        """
        y = self.rescale(self.kernels(x))
        features = self.features(y)
        rebuilt = torch.sigmoid(self.decoder(features))
        return Outputs(y, features, rebuilt, self.classifier(self.features.split(features)[0]))

    def matrices(self) -> Matrices:
        """Return the weights that saliency and orthogonality look at."""
        return Matrices(self.features.linear.weight, self.decoder.weight, self.classifier.weight)
