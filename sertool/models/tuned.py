"""An encoder with a classifier on the mean over time, of which the top layers learn."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sertool.models import encoders


class FineTuned(nn.Module):
    """An encoder of waveforms, the mean of its last layer over time, a linear classifier."""

    def __init__(self, encoder: nn.Module, family: encoders.Family, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.family, self.head = encoder, family, head
        self.trained = 0  # layers from the top

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return logits (batch, outputs) for waveforms (batch, samples)."""
        least = self.family.least
        if x.shape[1] < least:
            x = nn.functional.pad(x, (0, least - x.shape[1]))
        counts = lengths.clamp(min=least).tolist()
        sounds = [row[:n] for row, n in zip(x, counts, strict=True)]
        states = encoders.run(encoders.Encoder(self.encoder, self.family), sounds, layer=-1)
        means = torch.stack([one[:, 0].mean(0) for one in states])
        out: torch.Tensor = self.head(means)
        return out

    def unfreeze(self, layers: int) -> None:
        """Let the last `layers` layers learn, and what follows them; the rest stays as it is."""
        self.trained = layers
        self.encoder.requires_grad_(False)
        for part in self._top():
            part.requires_grad_(True)

    def _top(self) -> list[nn.Module]:
        inner: Any = self.encoder.encoder
        config: Any = self.encoder.config
        # it stands after all layers, or before the first
        after = [inner.layer_norm] if getattr(config, "do_stable_layer_norm", False) else []
        every = list(inner.layers)
        return [*every[len(every) - self.trained :], *after] if self.trained else []

    def train(self, mode: bool = True) -> FineTuned:
        """Set training mode, of what learns alone."""
        super().train(mode)
        self.encoder.eval()
        for part in self._top() if mode else ():
            part.train()
        return self
