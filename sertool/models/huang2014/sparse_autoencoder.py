"""Sparse auto-encoders, which learn convolution kernels from patches without labels.

Huang et al., "Speech emotion recognition using CNN" (2014), Sec. 2.1, names them and gives the
encoder (Eq. 1); the penalty for active units, its constants and the linear decoder are those of
Ng's lecture notes on sparse auto-encoders. The abstract calls the first stage contractive: that
penalty (Rifai et al. 2011) is an option.

Shapes: B patches of D values, H units; matrices are laid out as torch has them, (outputs, inputs).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from sertool.core.errors import InputError
from sertool.core.seeds import derive, rng

EXTREME = 1e-6  # no mean activation counts as nearer to 0 or 1 than this: KL stays finite


@dataclass(frozen=True)
class Fit:
    """How an auto-encoder is fitted; the paper gives no details."""

    units: int = 60
    sparsity: float = 0.05  # ρ: the mean activation that every unit is drawn to
    sparsity_weight: float = 3.0  # β
    weight_decay: float = 3e-3  # λ, of the two matrices
    contraction: float = 0.0  # κ
    lr: float = 1e-3  # of Adam


class SparseAutoencoder(nn.Module):
    """h = s(W x + α), x̂ = W' h + α'.

    6 × 60 values and 60 units: 43 620 parameters; 10 × 60 values: 72 660. Both matrices are drawn
    uniformly within ±√(6 / (D + H + 1)), biases are 0.
    """

    def __init__(self, values: int, units: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        skip = nn.utils.skip_init  # torch's own draw would come from its global generator
        self.encoder: nn.Linear = skip(nn.Linear, values, units)  # W, α
        self.decoder: nn.Linear = skip(nn.Linear, units, values)  # W', α'
        bound = math.sqrt(6 / (values + units + 1))
        for layer in (self.encoder, self.decoder):
            nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
            nn.init.zeros_(layer.bias)

    def codes(self, x: torch.Tensor) -> torch.Tensor:
        """Return h (B, H), in (0, 1), of patches (B, D)."""
        return torch.sigmoid(self.encoder(x))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return h (B, H) and x̂ (B, D) of patches (B, D)."""
        codes = self.codes(x)
        return codes, self.decoder(codes)


def divergence(codes: torch.Tensor, sparsity: float) -> torch.Tensor:
    """Return Σ_j KL(ρ ‖ ρ̂_j) in nats, of mean activations ρ̂_j over codes (B, H).

    KL = ρ log(ρ / ρ̂) + (1 - ρ) log((1 - ρ) / (1 - ρ̂)).
    """
    mean = codes.mean(0).clamp(EXTREME, 1 - EXTREME)
    active = sparsity * (math.log(sparsity) - mean.log())
    idle = (1 - sparsity) * (math.log1p(-sparsity) - torch.log1p(-mean))
    return (active + idle).sum()


def contraction(codes: torch.Tensor, encoder: torch.Tensor) -> torch.Tensor:
    """Return the mean over patches of ‖∂h/∂x‖²_F = Σ_j (h_j (1 - h_j))² ‖W_j‖².

    `codes` (B, H) of the matrix `encoder` (H, D).
    """
    return ((codes * (1 - codes)).square() @ encoder.square().sum(1)).mean()


def loss(network: SparseAutoencoder, x: torch.Tensor, settings: Fit) -> torch.Tensor:
    """Return the scalar that is minimised, for patches (B, D).

    mean ½‖x - x̂‖² + λ/2 (‖W‖² + ‖W'‖²) + β Σ KL(ρ ‖ ρ̂) + κ mean ‖∂h/∂x‖²_F.
    """
    codes, rebuilt = network(x)
    weights = (network.encoder.weight, network.decoder.weight)
    total = 0.5 * (x - rebuilt).square().sum(1).mean()
    total = total + settings.weight_decay / 2 * sum(w.square().sum() for w in weights)
    total = total + settings.sparsity_weight * divergence(codes, settings.sparsity)
    if settings.contraction:
        total = total + settings.contraction * contraction(codes, network.encoder.weight)
    return total


def fit(
    batches: Iterable[np.ndarray],
    settings: Fit,
    seed: int,
) -> SparseAutoencoder:
    """Return an auto-encoder after one step of Adam for each of `batches` (n, D), read once.

    Mean activations are those of a batch. The first weights are drawn from `seed` alone, so that
    one seed and the same batches give the same bits on the CPU; the global generators are left as
    they are. Memory: one batch. Raises InputError where there
    is not a batch, and where the loss is not finite.
    """
    source = iter(batches)
    first = next(source, None)
    if first is None:
        raise InputError("no patches to learn kernels from: no recordings, or too short ones")
    generator = torch.Generator().manual_seed(derive(seed, "auto-encoder") % 2**63)
    network = SparseAutoencoder(first.shape[1], settings.units, generator)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.lr)
    for step, batch in enumerate(itertools.chain([first], source)):
        x = torch.from_numpy(np.ascontiguousarray(batch, np.float32))
        value = loss(network, x, settings)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
        reached = float(value.detach())
        if not math.isfinite(reached):
            raise InputError(
                f"the loss of the auto-encoder is {reached} in step {step + 1}; try a lower rate"
            )
    return network


def shuffled(patches: np.ndarray, batch: int, epochs: int, seed: int) -> Iterator[np.ndarray]:
    """Yield `epochs` times all patches (n, D), in batches of at most `batch`, each time reordered.

    The order of an epoch depends on `seed` and the epoch alone.
    """
    for epoch in range(epochs):
        order = rng(seed, "patches", epoch).permutation(len(patches))
        for start in range(0, len(order), batch):
            yield patches[order[start : start + batch]]
