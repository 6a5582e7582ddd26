"""Layers of the house model; maps are (batch, maps, frames, bands), as in `masking`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from sertool.models.masking import BatchNorm, outside, sequence, zero_after

SMALLEST = 1e-4  # variance over time below which the deviation does not fall


def halved(n: torch.Tensor) -> torch.Tensor:
    """Return what a stride of 2 leaves of n frames: half, rounded up."""
    return (n + 1) // 2


class ConvNorm(nn.Module):
    """A convolution without bias and batch normalisation, zeros around and after each end.

    stride: (frames, bands).
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.norm = BatchNorm(outputs)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """Return maps; lengths: of what comes out, None where nothing is padded."""
        made = self.norm(self.conv(x), lengths)
        if lengths is None or not torch.is_inference_mode_enabled() or made.device.type != "cpu":
            return zero_after(made, lengths, 2)
        for item, end in zip(made, lengths.tolist(), strict=True):
            item[:, end:] = 0  # in place, and nothing else is touched
        return made


class Residual(nn.Module):
    """Two convolutions 3 × 3 beside a shortcut, at half as many frames and bands."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = ConvNorm(inputs, outputs, 3, (2, 2))
        self.second = ConvNorm(outputs, outputs, 3, (1, 1))
        self.shortcut = ConvNorm(inputs, outputs, 1, (1, 1))

    def forward(self, x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """Return maps (batch, outputs, ⌈frames / 2⌉, ⌈bands / 2⌉); lengths: of what comes out."""
        inner = self.second(self.first(x, lengths).relu_(), lengths)
        # Every second value first: a 1 × 1 convolution with strides crashes in oneDNN where maps
        # or bands are few and channels come last.
        return (inner + self.shortcut(x[:, :, ::2, ::2], lengths)).relu_()


class AttentiveStatistics(nn.Module):
    """The weighted mean and deviation over time of each dimension (Okabe et al. 2018).

    Every dimension has weights of its own, a softmax over the frames of an item.
    """

    def __init__(self, dims: int, hidden: int) -> None:
        super().__init__()
        self.scores = nn.Sequential(
            nn.Linear(dims, hidden), nn.Tanh(), nn.Linear(hidden, dims, bias=False)
        )

    def forward(self, x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """Return (batch, 2 · dims), float32 at least, of sequences (batch, frames, dims)."""
        exact = torch.promote_types(x.dtype, torch.float32)
        scores = self.scores(x).to(exact)
        if lengths is not None:
            hidden = outside(lengths, x.shape[1], x.device).unsqueeze(2)
            scores = scores.masked_fill(hidden, float("-inf"))
        weights, x = scores.softmax(1), x.to(exact)
        mean = (weights * x).sum(1)
        variance = (weights * (x - mean.unsqueeze(1)).square()).sum(1)
        return torch.cat([mean, variance.clamp(min=SMALLEST).sqrt()], 1)


class HouseNetwork(nn.Module):
    """Stem, residual blocks, a dense layer of each frame, pooling, head (see `house.House`)."""

    def __init__(
        self,
        bands: int,
        widths: Sequence[int],
        hidden: int,
        attention: int,
        dropout: float,
        outputs: int,
    ) -> None:
        super().__init__()
        self.stem = ConvNorm(1, widths[0], 3, (1, 2))
        pairs = zip([widths[0], *widths], widths, strict=False)
        self.blocks = nn.ModuleList(Residual(before, after) for before, after in pairs)
        for _ in range(1 + len(widths)):
            bands = (bands + 1) // 2
        self.mix = nn.Linear(widths[-1] * bands, hidden, bias=False)
        self.mix_norm = BatchNorm(hidden)
        self.pool = AttentiveStatistics(hidden, attention)
        self.head = nn.Sequential(
            nn.BatchNorm1d(2 * hidden), nn.Dropout(dropout), nn.Linear(2 * hidden, outputs)
        )

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return logits (batch, outputs) of features (batch, frames, bands)."""
        known = None if int(lengths.min()) == x.shape[1] else lengths
        maps = self.stem(zero_after(x, known, 1).unsqueeze(1), known).relu_()
        for block in self.blocks:
            known = None if known is None else halved(known)
            maps = block(maps, known)
        mixed = self.mix(sequence(maps)).transpose(1, 2).unsqueeze(3)  # (batch, hidden, frames, 1)
        mixed = sequence(self.mix_norm(mixed, known).relu_())
        out: torch.Tensor = self.head(self.pool(mixed, known))
        return out
