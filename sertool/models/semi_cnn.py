"""The network of Huang et al., "Speech emotion recognition using CNN" (2014): semi-CNN, Sec. 2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from sertool.models.semi_cnn_loss import Matrices, Outputs

POOL = 2  # positions of every mean: the paper's 2 × 1 window


@dataclass(frozen=True)
class Sizes:
    """Sizes of semi-CNN; the defaults are the paper's, where it gives them.

    Its "120 kernels with two fixed sizes" are `maps` 60 of each, or 120 of each. Of its 600
    features it does not say how many are salient.
    """

    frames: int = 15  # of a fragment
    dims: int = 60  # values a frame
    kernels: tuple[int, ...] = (6, 10)  # frames of each size of kernel, as wide as a frame
    maps: int = 60  # kernels of each size
    salient: int = 300  # features of φe
    other: int = 300  # features of φo

    def __post_init__(self) -> None:
        if not self.kernels or min(self.dims, self.maps, self.salient, self.other) < 1:
            raise ValueError("kernels, dims, maps, salient and other must be at least 1 each")
        if min(self.kernels) < 1 or self.frames - max(self.kernels) + 1 < POOL:
            raise ValueError(
                f"kernels must leave at least {POOL} positions of {self.frames} frames"
            )

    @property
    def windows(self) -> tuple[int, ...]:
        """Pooled positions of each size of kernel."""
        return tuple((self.frames - length + 1) // POOL for length in self.kernels)

    @property
    def local(self) -> int:
        """Values of y."""
        return self.maps * sum(self.windows)


class SemiCnn(nn.Module):
    """Kernels, means over positions, and the two blocks of features that rebuild and classify.

    With the default sizes and seven classes: kernels of 57 720 parameters, and 579 187 after
    them; with 120 maps of each size 115 440 and 1 155 667. Weights are drawn as torch does by
    default, until `set_kernels` puts those of the auto-encoders in. Kernels are frozen unless
    `finetune_kernels`.
    """

    def __init__(
        self, classes: int, sizes: Sizes | None = None, finetune_kernels: bool = False
    ) -> None:
        super().__init__()
        self.sizes = sizes = sizes or Sizes()
        features = sizes.salient + sizes.other
        self.kernels = nn.ModuleList(
            nn.Conv2d(1, sizes.maps, (length, sizes.dims)) for length in sizes.kernels
        )
        self.kernels.requires_grad_(finetune_kernels)
        self.encoder = nn.Linear(sizes.local, features)  # V, b
        self.decoder = nn.Linear(features, sizes.local)  # Uᵀ, δ
        self.classifier = nn.Linear(sizes.salient, classes)  # A, ρ

    def set_kernels(self, encoders: Sequence[nn.Linear]) -> None:
        """Take the kernels from the encoders of auto-encoders, one a size, in the sizes' order.

        Each is (maps, frames · dims), of patches (frames, dims) laid out row by row. Raises
        ValueError where their number or a shape differs.
        """
        with torch.no_grad():
            for kernel, encoder in zip(self.kernels, encoders, strict=True):
                assert isinstance(kernel, nn.Conv2d)
                assert kernel.bias is not None
                if encoder.weight.shape != (len(kernel.weight), kernel.weight[0].numel()):
                    raise ValueError(
                        f"an encoder of {tuple(encoder.weight.shape)} for kernels of"
                        f" {tuple(kernel.weight.shape)}"
                    )
                kernel.weight.copy_(encoder.weight.view_as(kernel.weight))
                kernel.bias.copy_(encoder.bias)

    def local(self, x: torch.Tensor) -> torch.Tensor:
        """Return y (batch, local) of Eqs. 2 and 3 for fragments (batch, frames, dims).

        In the paper's order: sizes of kernels, in each its windows, in each its maps. The
        convolution is a sum over the patch as it lies, so that a position's values are the
        auto-encoder's codes of its patch (Eq. 1).
        """
        pooled = []
        for kernel in self.kernels:
            maps = torch.sigmoid(kernel(x.unsqueeze(1))).squeeze(3)  # (batch, maps, positions)
            pooled.append(functional.avg_pool1d(maps, POOL).transpose(1, 2).flatten(1))
        return torch.cat(pooled, 1)

    def features(self, y: torch.Tensor) -> torch.Tensor:
        """Return φ = s(V y + b) (batch, salient + other), the salient ones first."""
        return torch.sigmoid(self.encoder(y))

    def split(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return φe (batch, salient) and φo (batch, other)."""
        return features[:, : self.sizes.salient], features[:, self.sizes.salient :]

    def forward(self, x: torch.Tensor) -> Outputs:
        """Return all that the objective needs, for fragments (batch, frames, dims).

        ŷ = s(Uᵀ[φe, φo] + δ): Eq. 4 as its brackets have it, for its sum has blocks of unequal
        size in it. The logits A φe + ρ are Eq. 5's before s.
        """
        y = self.local(x)
        features = self.features(y)
        rebuilt = torch.sigmoid(self.decoder(features))
        return Outputs(y, features, rebuilt, self.classifier(self.split(features)[0]))

    def matrices(self) -> Matrices:
        """Return the weights that saliency and orthogonality look at."""
        return Matrices(self.encoder.weight, self.decoder.weight, self.classifier.weight)
