"""Layers of networks that take features twice: as a picture, and as a sequence of steps in time.

With lengths, what an item gives depends on nothing but its own frames: the layers are masked as
in `sertool.models.masking`. With None every frame counts, and nothing is spent on masks.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn

from sertool.models.layers import Dropout
from sertool.models.masking import (
    BatchNorm,
    Recurrent,
    at_least,
    mean_over_time,
    outside,
    zero_after,
)


class Block(nn.Module):
    """Convolution 3 × 3, batch normalisation, ReLU, maximum over (frames, bins), dropout.

    ReLU stands after the maximum, where it gives what it gives before it, on fewer values.
    """

    def __init__(self, inputs: int, outputs: int, pool: tuple[int, int], dropout: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm = BatchNorm(outputs)
        self.pool = nn.MaxPool2d(pool)
        self.relu = nn.ReLU(inplace=True)
        self.drop = Dropout(dropout)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """Return maps (batch, outputs, frames // pool[0], bins // pool[1])."""
        maps = self.norm(self.conv(zero_after(x, lengths, 2)), lengths)
        out: torch.Tensor = self.drop(self.relu(self.pool(maps)))
        return out


class Picture(nn.Module):
    """Blocks one after another, and all that the last one leaves as one row of numbers.

    Places after an item's end are 0 in that row.
    """

    def __init__(
        self, maps: Sequence[int], pools: Sequence[tuple[int, int]], dropout: float
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            Block(inputs, outputs, pool, dropout)
            for inputs, outputs, pool in zip((1, *maps), maps, pools, strict=False)
        )
        self.pools = tuple(pools)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """Return (batch, frames left · bins left · maps) of maps (batch, 1, frames, bins)."""
        for block, (step, _) in zip(self.blocks, self.pools, strict=True):
            x = block(x, lengths)
            lengths = None if lengths is None else lengths // step
        return zero_after(x, lengths, 2).permute(0, 2, 3, 1).flatten(1)


class AttendedStates(nn.Module):
    """A BiLSTM, and the mean of its states weighed by a softmax over time of w · h + b."""

    def __init__(self, dims: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.recurrent = Recurrent("lstm", dims, hidden)
        self.drop = Dropout(dropout)
        self.score = nn.Linear(2 * hidden, 1)

    def weights(self, states: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """Return the weights (batch, frames), which sum to 1 over an item's own frames."""
        scores = self.score(states).squeeze(2)
        if lengths is not None:
            scores = scores.masked_fill(
                outside(lengths, states.shape[1], states.device), -torch.inf
            )
        return scores.softmax(1)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """Return (batch, 2 · hidden) of sequences (batch, frames, dims)."""
        states = self.drop(self.recurrent(x, lengths)[0])
        weights = self.weights(states, lengths).to(states.dtype)
        return (weights.unsqueeze(1) @ states).squeeze(1)


class EncoderLayer(nn.Module):
    """Self-attention, then two dense layers; after each the input is added, and normalised.

    The function of `nn.TransformerEncoderLayer` (ReLU, norm last) and its first weights, without
    its dropout, which takes a CPU longer than all else.
    """

    def __init__(self, dims: int, heads: int, dense: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(dims, 3 * dims)  # queries, keys, values
        self.join = nn.Linear(dims, dims)
        self.middle = nn.LayerNorm(dims)
        self.widen = nn.Linear(dims, dense)
        self.relu = nn.ReLU(inplace=True)
        self.narrow = nn.Linear(dense, dims)
        self.norm = nn.LayerNorm(dims)
        self.drop = Dropout(dropout)
        nn.init.xavier_uniform_(self.project.weight)
        nn.init.zeros_(self.project.bias)
        nn.init.zeros_(self.join.bias)

    def forward(self, x: torch.Tensor, away: torch.Tensor | None) -> torch.Tensor:
        """Return (batch, frames, dims) of the same; nobody attends to frames that are `away`."""
        x = self.middle(x + self.drop(self.attend(x, away)))
        hidden = self.drop(self.relu(self.widen(x)))
        out: torch.Tensor = self.norm(x + self.drop(self.narrow(hidden)))
        return out

    def attend(self, x: torch.Tensor, away: torch.Tensor | None) -> torch.Tensor:
        """Return what the heads, each over dims / heads values, gather for each frame."""
        parts = self.project(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = parts  # (batch, heads, frames, dims / heads)
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(2, 3)
        if away is not None:
            scores = scores.masked_fill(away[:, None, None], -torch.inf)
        gathered = self.drop(scores.softmax(3)) @ value
        out: torch.Tensor = self.join(gathered.transpose(1, 2).flatten(2))
        return out


class EncodedMean(nn.Module):
    """A Transformer encoder without positions, and its mean over time.

    As `nn.TransformerEncoder` makes them, all layers begin with the same weights.
    """

    def __init__(self, dims: int, layers: int, heads: int, dense: int, dropout: float) -> None:
        super().__init__()
        layer = EncoderLayer(dims, heads, dense, dropout)
        self.layers = nn.ModuleList(copy.deepcopy(layer) for _ in range(layers))

    def forward(self, x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """Return (batch, dims) of sequences (batch, frames, dims)."""
        away = None if lengths is None else outside(lengths, x.shape[1], x.device)
        for layer in self.layers:
            x = layer(x, away)
        return mean_over_time(x, lengths)


class Largest(nn.Module):
    """Maximum over windows of (frames, bins) of maps with one channel, without overlap.

    The numbers of `nn.MaxPool2d`, which takes a CPU some twenty times as long for one channel.
    """

    def __init__(self, window: tuple[int, int]) -> None:
        super().__init__()
        self.kernel_size = self.stride = window
        self.padding = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return maps (batch, 1, frames // window[0], bins // window[1])."""
        high, wide = self.kernel_size
        frames, bins = x.shape[2] // high, x.shape[3] // wide
        x = x[:, :, : frames * high, : bins * wide]
        return x.unflatten(2, (frames, high)).amax(3).unflatten(3, (bins, wide)).amax(4)


class Parallel(nn.Module):
    """A `Picture` beside the course of the same features, and a linear layer on both.

    `project` makes of the bins that `pool` leaves the width that `course` takes. With `mask`,
    items may be shorter than `frames`; those shorter than `shortest` are filled up to it.
    """

    def __init__(
        self,
        picture: Picture,
        pool: tuple[int, int],
        project: nn.Module,
        course: AttendedStates | EncodedMean,
        last: nn.Linear,
        frames: int,
        shortest: int,
        mask: bool,
    ) -> None:
        super().__init__()
        self.picture = picture
        self.pool = Largest(pool)
        self.project = project
        self.course = course
        self.last = last
        self.frames, self.shortest, self.mask, self.step = frames, shortest, mask, pool[0]

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return logits (batch, outputs) for features (batch, frames, bins)."""
        own = left = None
        if self.mask:
            x, _ = at_least(x, lengths, self.frames)
            own = lengths.clamp(min=self.shortest)
            left = own // self.step
        maps = x.unsqueeze(3).permute(0, 3, 1, 2)  # so that torch sees the channels-last layout
        steps = self.project(self.pool(maps).squeeze(1))
        both = torch.cat([self.picture(maps, own), self.course(steps, left)], 1)
        out: torch.Tensor = self.last(both)
        return out
