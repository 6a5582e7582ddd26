"""Layers over sequences of many lengths: what an item gives is what it would have given alone.

A batch is padded, and what lies after an item's `lengths` frames means nothing. A layer that sees
one frame at a time lets it pass; every layer that looks across frames keeps it out of its sums
by itself, and trusts no layer before it. Ma et al. (2018, Sec. 4.2) mask what a layer returns,
the border of a pooling included; with poolings that drop an incomplete window the two give the
same numbers.

Maps are (batch, maps, frames, bins), in the channels-last layout; over time alone, bins is 1.
Sequences are (batch, frames, dims). Lengths are int64 (batch,), each at least 1, on the device of
the rest or in host memory; where a layer takes None instead, every frame counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from sertool.core.errors import InputError
from sertool.models.device import there

CHUNK = 4096  # frames of a batch together that `ConvBlock` takes at once, its maps being large


def outside(lengths: torch.Tensor, frames: int, device: torch.device) -> torch.Tensor:
    """Return bool (batch, frames) on `device`: True after each item's end."""
    return torch.arange(frames, device=device) >= there(lengths, device).unsqueeze(1)


def zero_after(x: torch.Tensor, lengths: torch.Tensor | None, axis: int) -> torch.Tensor:
    """Return `x`, whose frames run along `axis`, with zeros after each item's end."""
    if lengths is None:
        return x
    beyond = outside(lengths, x.shape[axis], x.device)
    for other in range(1, x.ndim):
        beyond = beyond if other == axis else beyond.unsqueeze(other)
    return x.masked_fill(beyond, 0)


def at_least(
    x: torch.Tensor, lengths: torch.Tensor, shortest: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return sequences (batch, frames, dims) with every item filled up to `shortest` frames.

    Filled up with zeros, which in normalised features is the training mean.
    """
    x = zero_after(x, lengths, 1)
    missing = max(0, shortest - x.shape[1])
    return functional.pad(x, (0, 0, 0, missing)), lengths.clamp(min=shortest)


class Conv(nn.Conv2d):
    """A convolution that keeps frames and bins: zeros around, (k - 1) // 2 before and k // 2 after.

    Kernels are (frames, bins); over time alone (frames, 1).
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: tuple[int, int], bias: bool = True
    ) -> None:
        super().__init__(inputs, outputs, kernel, bias=bias)

    def surround(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return maps with the zeros around that the kernel needs, and zeros after the ends."""
        frames, bins = self.kernel_size
        around = ((bins - 1) // 2, bins // 2, (frames - 1) // 2, frames // 2)
        return functional.pad(zero_after(x, lengths, 2), around)

    def inside(self, surrounded: torch.Tensor) -> torch.Tensor:
        """Return the convolution of maps, or a run of their frames, that `surround` gave."""
        return super().forward(surrounded)

    def forward(  # type: ignore[override]
        self, x: torch.Tensor, lengths: torch.Tensor
    ) -> torch.Tensor:
        """Return maps (batch, outputs, frames, bins)."""
        return self.inside(self.surround(x, lengths))


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation over an item's own frames: in training of all items end to end.

    Running statistics are kept as torch keeps them; eval needs no lengths.
    """

    def forward(  # type: ignore[override]
        self, x: torch.Tensor, lengths: torch.Tensor | None
    ) -> torch.Tensor:
        """Return normalised maps (batch, maps, frames, bins)."""
        if lengths is None or not self.training or int(lengths.min()) >= x.shape[2]:
            return super().forward(x)
        counts = lengths.tolist()
        items = x.permute(0, 2, 3, 1).unbind()  # (frames, bins, maps) each
        packed = torch.cat([item[:n] for item, n in zip(items, counts, strict=True)])
        # batch axis first: put in after the permutation, torch's gradients are silently wrong
        together = packed.unsqueeze(0).permute(0, 3, 1, 2)
        normal = super().forward(together).permute(0, 2, 3, 1)[0]
        pieces: list[torch.Tensor] = []
        for item in normal.split(counts):
            pieces += [item, item.new_zeros(x.shape[2] - len(item), *item.shape[1:])]
        return torch.cat(pieces).unflatten(0, (len(x), -1)).permute(0, 3, 1, 2)


class ConvBlock(nn.Module):
    """Convolution, batch normalisation (then no bias), maximum over (frames, bins), ReLU.

    A window that an item's end cuts is dropped, so that padding is in no maximum, and of `lengths`
    frames `lengths // pool[0]` are left. ReLU after the maximum gives what it gives before it,
    on fewer values.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: tuple[int, int],
        pool: tuple[int, int],
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        self.pool = pool
        self.conv = Conv(inputs, outputs, kernel, bias=not batch_norm)
        self.norm = BatchNorm(outputs) if batch_norm else None

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return maps (batch, outputs, frames // pool[0], bins // pool[1]) and their lengths.

        Where no gradient is wanted, a batch of more than CHUNK frames is computed in pieces of
        time, each from all the frames that its kernels reach: the numbers are those of the whole.
        """
        frames, step = x.shape[2], self.pool[0]
        surrounded = self.conv.surround(x, lengths)
        if self.training or torch.is_grad_enabled() or x.shape[0] * frames <= CHUNK:
            return self._local(surrounded, lengths), lengths // step
        piece = max(1, CHUNK // (x.shape[0] * step)) * step
        reach = self.conv.kernel_size[0] - 1
        pieces = [
            self._local(surrounded[:, :, first : first + piece + reach], lengths)
            for first in range(0, frames - step + 1, piece)
        ]
        return torch.cat(pieces, 2), lengths // step

    def _local(self, surrounded: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        maps = self.conv.inside(surrounded)
        if self.norm is not None:
            maps = self.norm(maps, lengths)
        return functional.max_pool2d(maps, self.pool).relu_()


def sequence(x: torch.Tensor) -> torch.Tensor:
    """Return maps (batch, maps, frames, bins) as a sequence (batch, frames, bins · maps)."""
    return x.permute(0, 2, 3, 1).flatten(2)  # no copy from the channels-last layout


def mean_over_time(x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """Return the mean (batch, dims) over the frames of sequences (batch, frames, dims)."""
    if lengths is None:
        return x.mean(1)
    return zero_after(x, lengths, 1).sum(1) / there(lengths, x.device).unsqueeze(1)


class Recurrent(nn.Module):
    """An LSTM or GRU that begins and ends where each item does, in both directions if wanted."""

    def __init__(
        self, cell: Literal["lstm", "gru"], dims: int, hidden: int, bidirectional: bool = True
    ) -> None:
        super().__init__()
        kind = nn.LSTM if cell == "lstm" else nn.GRU
        self.cells = kind(dims, hidden, batch_first=True, bidirectional=bidirectional)

    def forward(
        self, x: torch.Tensor, lengths: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return all states (batch, frames, directions · hidden) and the last (batch, …).

        Last is an item's last frame forwards, its first backwards. States after its end are 0.
        """
        if torch.onnx.is_in_onnx_export():
            from sertool.models.traced_cells import recurrent

            return recurrent(self.cells, x, lengths)
        if lengths is None:
            states, last = self.cells(x)
            last = last[0] if isinstance(last, tuple) else last
            return states, last.transpose(0, 1).flatten(1)
        # Sorted here: torch does it, too, and waits for a GPU to do so.
        ordered, order = torch.sort(lengths.cpu(), descending=True)
        back = there(order.argsort(), x.device)
        with torch.autocast(x.device.type, enabled=False):  # packed sequences know no bfloat16
            packed = pack_padded_sequence(
                x.to(next(self.cells.parameters()).dtype).index_select(0, there(order, x.device)),
                ordered,
                batch_first=True,
            )
            states, last = self.cells(packed)
            last = last[0] if isinstance(last, tuple) else last
            padded, _ = pad_packed_sequence(states, batch_first=True, total_length=x.shape[1])
        last = last.index_select(1, back)
        return padded.index_select(0, back), last.transpose(0, 1).flatten(1)


class ConvRecurrent(nn.Module):
    """Blocks of convolution over frames and bins, a recurrent layer, dense layers on its last.

    Items shorter than `shortest` frames are filled up to it; longer than `longest`, InputError.
    Without `mask` a batch's padding counts as if it were sound.
    """

    def __init__(
        self,
        blocks: Iterable[ConvBlock],
        recurrent: Recurrent,
        dense: nn.Module,
        shortest: int,
        longest: int | None = None,
        mask: bool = True,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.recurrent = recurrent
        self.dense = dense
        self.shortest, self.longest, self.mask = shortest, longest, mask

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return logits (batch, outputs) for features (batch, frames, bins)."""
        if self.longest is not None and int(lengths.max()) > self.longest:
            raise InputError(
                f"an item of {int(lengths.max())} frames, and the network takes {self.longest};"
                " featurize with --segment-max"
            )
        if not self.mask:
            lengths = torch.full_like(lengths, x.shape[1])
        x, lengths = at_least(x, lengths, self.shortest)
        x = x.unsqueeze(1)
        for block in self.blocks:
            x, lengths = block(x, lengths)
        _, last = self.recurrent(sequence(x), lengths)
        out: torch.Tensor = self.dense(last)
        return out
