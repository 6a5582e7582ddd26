"""Mixup: items of a batch mixed two by two, and their losses with them (Zhang et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from sertool.core.seeds import rng
from sertool.models import device as devices


@dataclass(frozen=True)
class Mix:
    """Which item of a batch is mixed into which: item i keeps `share`, `partners[i]` adds the rest.

    share: 0.5 to 1. partners: (batch,) int64, a permutation.
    """

    share: float
    partners: np.ndarray

    def items(self, x: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mixtures of x (batch, frames, ...), and their lengths: the longer's of two.

        The shorter one ends in padding, zeros, which after normalisation are the mean.
        """
        mixed = self.two(x, x[devices.there(self.partners, x.device)])
        partners = devices.there(self.partners, lengths.device)
        return mixed, torch.maximum(lengths, lengths[partners])

    def two(self, own: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Return the mixtures of items and their partners."""
        return self.share * own + (1 - self.share) * other

    def loss(self, own: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """Return the loss of mixtures: of their losses as the items, and as their partners."""
        return self.two(own, other)


def draw(alpha: float, size: int, seed: int, epoch: int, step: int) -> Mix | None:
    """Return how a batch of `size` items is mixed; None where `alpha` is 0.

    Drawn from (seed, epoch, step). Zhang et al. (2018, section 2): the share is of
    Beta(alpha, alpha), one per batch, and partners are of the same batch, shuffled. A share below a
    half is turned over: that names the same pairs the other way round, and an item's own label is
    then that of its larger part.
    """
    if not alpha:
        return None
    random = rng(seed, "mixup", epoch, step)
    share = float(random.beta(alpha, alpha))
    return Mix(max(share, 1 - share), random.permutation(size))
