"""The stage of semi-CNN after y, by formulas of its own, for tests of its loss."""

from __future__ import annotations

import torch
from hypothesis import strategies as st

from sertool.models.huang2014 import loss as losses
from sertool.targets import IGNORED

CURVATURES: tuple[losses.Curvature, ...] = ("exact", "gauss-newton")
EXACTLY: dict[str, float] = {"rtol": 1e-10, "atol": 1e-12}

sizes = st.builds(
    lambda seed, batch, local, salient, other, classes: dict(
        seed=seed, batch=batch, local=local, salient=salient, other=other, classes=classes
    ),
    seed=st.integers(0, 2**31),
    batch=st.integers(1, 4),
    local=st.integers(1, 5),
    salient=st.integers(1, 4),
    other=st.integers(1, 4),
    classes=st.integers(2, 4),
)


def number(scalar: torch.Tensor) -> float:
    return float(scalar.detach())


class Small:
    """The stage after y, of float64, by formulas of its own; some fragments have no label."""

    def __init__(
        self, seed: int = 0, batch: int = 3, local: int = 5, salient: int = 3, other: int = 2,
        classes: int = 3,
    ) -> None:  # fmt: skip
        random = torch.Generator().manual_seed(seed)

        def draw(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=random, dtype=torch.float64).requires_grad_()

        self.y = torch.rand(batch, local, generator=random, dtype=torch.float64).requires_grad_()
        self.encoder, self.encoder_bias = draw(salient + other, local), draw(salient + other)
        self.decoder, self.decoder_bias = draw(local, salient + other), draw(local)
        self.classifier, self.classifier_bias = draw(classes, salient), draw(classes)
        self.labels = torch.randint(0, classes, (batch,), generator=random)
        self.labels[1::2] = IGNORED
        self.salient = salient

    @property
    def inputs(self) -> tuple[torch.Tensor, ...]:
        weights = (self.encoder, self.encoder_bias, self.decoder, self.decoder_bias)
        return (self.y, *weights, self.classifier, self.classifier_bias)

    def run(self, *inputs: torch.Tensor) -> tuple[losses.Outputs, losses.Matrices]:
        y, v, b, u, delta, a, rho = inputs or self.inputs
        features = 1 / (1 + torch.exp(-(y @ v.T + b)))
        rebuilt = 1 / (1 + torch.exp(-(features @ u.T + delta)))
        logits = features[:, : self.salient] @ a.T + rho
        return losses.Outputs(y, features, rebuilt, logits), losses.Matrices(v, u, a)
