"""Networks of Ma et al., "Emotion recognition from variable-length speech segments" (2018).

A reconstruction: the figure that shows the paper's layers is lost. Three convolutions with the
kernels and maps of Satt, Rozenberg & Hoory (Interspeech 2017), on which the paper builds, then a
recurrent layer whose last states are classified; pool sizes and directions are chosen here, and so
are batch normalisation and first weights, by the loss of training parts alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from sertool.core.errors import InputError
from sertool.core.settings import setting
from sertool.models.contract import Network
from sertool.models.hyperparameters import Hyperparameters

if TYPE_CHECKING:
    from torch import nn

    from sertool.models.masking import ConvRecurrent

CONVOLUTIONS = ((16, (12, 16)), (24, (8, 12)), (32, (5, 7)))  # maps, kernel (frames, bins)
TIME_POOL = 2  # frames of every pooling: the paper's example (Sec. 4.2)
SHORTEST = TIME_POOL ** len(CONVOLUTIONS)  # frames: one is left for the recurrent layer
FIXED_FRAMES = 297  # of 3 s in windows of 40 ms, 10 ms apart


@dataclass(frozen=True)
class Sizes:
    """Settings of either network; the paper gives no sizes."""

    pools: tuple[int, ...] = setting(
        (4, 4, 4), "bins of each max pooling, by 2 frames", "bins", least=1
    )
    recurrent: Literal["lstm", "gru"] = setting("lstm", "cells of the recurrent layer")
    hidden: int = setting(128, "width of the recurrent layer, per direction", "units", least=1)
    bidirectional: bool = setting(True, "run the recurrent layer both ways")
    dense: int = setting(64, "width of the hidden dense layer", "units", least=1)
    dropout: float = setting(
        0.5, "share of the hidden dense layer's values zeroed", least=0, below=1
    )
    batch_norm: bool = setting(
        True, "batch normalisation after each convolution, in place of its bias"
    )
    start: Literal["scaled", "torch"] = setting(
        "scaled", "first weights: scaled to keep signals' size through the layers, or torch's"
    )

    def __post_init__(self) -> None:
        if len(self.pools) != len(CONVOLUTIONS):
            raise ValueError(f"pools must be {len(CONVOLUTIONS)} numbers")


@dataclass(frozen=True)
class Ma2018Settings(Sizes):
    """Settings of the network for whole sentences."""

    mask: bool = setting(True, "false: padding counts as if it were sound (an ablation)")


@dataclass(frozen=True)
class Ma2018FixedSettings(Sizes):
    """Settings of the network for pieces of at most one length."""

    frames: int = setting(
        FIXED_FRAMES, "shorter pieces are zero-padded to this", "frames", least=SHORTEST
    )


class Ma2018(Network):
    """The network for whole sentences of any length."""

    name = "ma2018"
    summary = (
        "CNN and BiLSTM over a whole sentence of any length (Ma et al. 2018), a reconstruction"
    )
    Settings: type[Sizes] = Ma2018Settings
    settings: Sizes
    host_lengths = True

    def build(self, frames: int | None, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """Return the network for features of `shape` (bins,).

        With 400 bins and four logits: 413 396 parameters; without batch normalisation, which the
        paper does not mention, 413 324, and then with `recurrent=gru` 330 892, with `pools=[2,2,2]`
        1 855 116, with `pools=[2,4,4]` 609 932. Raises InputError for fewer bins than the poolings
        need.
        """
        from torch import nn

        from sertool.models.masking import ConvBlock, ConvRecurrent, Recurrent

        settings = self.settings
        bins, maps = shape[0], 1
        least = math.prod(settings.pools)
        if bins < least:
            raise InputError(
                f"ma2018 needs at least {least} values per frame with pools of"
                f" {' × '.join(map(str, settings.pools))}, and these have {bins}; set smaller pools"
            )
        blocks = []  # frames × bins of 297 × 400 after each: 148 × 100, 74 × 25, 37 × 6
        for (wanted, kernel), pool in zip(CONVOLUTIONS, settings.pools, strict=True):
            blocks += [ConvBlock(maps, wanted, kernel, (TIME_POOL, pool), settings.batch_norm)]
            maps, bins = wanted, bins // pool
        recurrent = Recurrent(
            settings.recurrent, maps * bins, settings.hidden, settings.bidirectional
        )
        dense = nn.Sequential(
            nn.Linear(settings.hidden * (1 + settings.bidirectional), settings.dense),
            nn.ReLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(settings.dense, outputs),
        )
        network = ConvRecurrent(
            blocks, recurrent, dense, self.shortest, self.longest, mask=self.masks_padding
        )
        if settings.start == "scaled":
            draw_scaled(network)
        return network

    @property
    def shortest(self) -> int:
        """Frames up to which a shorter item is zero-padded."""
        return SHORTEST

    @property
    def masks_padding(self) -> bool:
        """Whether padding is kept out, as the paper does."""
        return getattr(self.settings, "mask", True)

    @property
    def batched(self) -> bool:
        """False: sentences leave the recurrent layer as they end."""
        return False

    def defaults(self) -> Hyperparameters:
        """Return how it is trained.

        Weights by class and length and the order by length are Sec. 4's; the rest is chosen here.
        Batches are of 16 recordings whatever they pad, so that both networks take as many steps,
        and over an epoch each sentence counts by its weight, whatever batch it is in.
        The rate is halved after three epochs without a better loss: `schedule_patience` is the most
        that go by without.
        """
        return Hyperparameters(
            epochs=50,
            batch_size=16,
            lr=1e-3,
            clip_norm=5.0,
            schedule="plateau",
            schedule_factor=0.5,
            schedule_patience=2,
            patience=8,
            monitor="uar",
            batch_by="length",
            batch_of="recordings",
            bucket_padding=1.0,
            loss_norm="epoch",
            class_weights="balanced",
            length_weights="inverse",
            normalisation="feature",
        )


def draw_scaled(network: ConvRecurrent) -> None:
    """Draw a network's weights so that what tells items apart keeps its size through the layers.

    He et al.'s for what ReLU follows, orthogonal recurrent weights, biases of 0 but 1 for an LSTM's
    forget gates. With torch's own, which shrink every layer, the logits of sentences differ by
    0.003 before training, 70 times less than with these. Without batch normalisation they train
    no faster.
    """
    from torch import nn

    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    for layer in layers:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    nn.init.xavier_uniform_(layers[-1].weight)  # no ReLU follows
    cells = network.recurrent.cells
    gates = 4 if isinstance(cells, nn.LSTM) else 3
    for name, values in cells.named_parameters():
        for gate, part in enumerate(values.detach().chunk(gates)):  # input, forget, cell, output
            if values.ndim == 1:
                forgets = gates == 4 and gate == 1 and name.startswith("bias_ih")
                nn.init.constant_(part, float(forgets))
            elif name.startswith("weight_hh"):
                nn.init.orthogonal_(part)
            else:
                nn.init.xavier_uniform_(part)


class Ma2018Fixed(Ma2018):
    """The network for pieces of at most one length, which are all zero-padded to it."""

    name = "ma2018-fixed"
    summary = "the same reconstruction over pieces of at most 3 s, for featurize --segment-max 3"
    Settings = Ma2018FixedSettings
    settings: Ma2018FixedSettings

    @classmethod
    def takes(cls) -> str:
        """Return which items it takes by their length."""
        return "up to one length"

    @property
    def shortest(self) -> int:
        """Frames up to which a shorter piece is zero-padded, and the most that it may have."""
        return self.settings.frames

    @property
    def longest(self) -> int:
        """The same."""
        return self.shortest

    @property
    def batched(self) -> bool:
        """True: all pieces are of one length to the recurrent layer."""
        return True

    def defaults(self) -> Hyperparameters:
        """Return the same, with one vote for each recording: all pieces are equally long."""
        return replace(super().defaults(), length_weights="pieces")
