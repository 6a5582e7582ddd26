"""Networks of two branches of Sundharam & Johari, "Audio emotion classification".

Beside a 2-D CNN over the features stands a BiLSTM with attention (Sec. 3.3.2) or a Transformer
encoder (Sec. 3.3.3). The paper's figures name no sizes; they are those of the code that it cites,
for 128 mel bands. For MFCC, of which that code's poolings leave nothing, they are chosen here.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sertool.core.errors import InputError
from sertool.core.settings import setting
from sertool.models.contract import Network
from sertool.models.hyperparameters import Hyperparameters

if TYPE_CHECKING:
    from sertool.models.sundharam.branches import AttendedStates, EncodedMean, Parallel

MAPS = (16, 32, 64, 64)
WIDTH = 64  # values of a step of the second branch


@dataclass(frozen=True)
class Layout:
    """Poolings, each (frames, values of a frame): of the four blocks, and of the second branch."""

    blocks: tuple[tuple[int, int], ...]
    course: tuple[int, int]

    @property
    def least(self) -> tuple[int, int]:
        """Frames and values of a frame of which the blocks leave one."""
        frames, values = zip(*self.blocks, strict=True)
        return math.prod(frames), math.prod(values)


LAYOUTS = {
    "mel": Layout(((2, 2), (4, 4), (4, 4), (4, 4)), (4, 2)),
    "mfcc": Layout(((2, 2), (4, 2), (4, 3), (4, 1)), (4, 1)),
}
SHORTEST = LAYOUTS["mel"].least[0]  # frames; of the other layout too


@dataclass(frozen=True)
class ParallelSettings:
    """Settings of either network."""

    layout: Literal["auto", "mel", "mfcc"] = setting(
        "auto", "poolings: mel halves a frame's values, mfcc spares them; auto: mel from 128 values"
    )
    mask: bool = setting(
        False, "true: items may be shorter, and padding after their end is ignored"
    )
    dropout: float = setting(
        0.3, "share of values zeroed after each convolution's pooling", least=0, below=1
    )


@dataclass(frozen=True)
class BilstmSettings(ParallelSettings):
    """Settings of the network with a BiLSTM."""

    hidden: int = setting(128, "width of the BiLSTM, per direction", "units", least=1)
    states_dropout: float = setting(0.1, "share of the BiLSTM's states zeroed", least=0, below=1)


@dataclass(frozen=True)
class TransformerSettings(ParallelSettings):
    """Settings of the network with a Transformer encoder."""

    layers: int = setting(4, "layers of the encoder", least=1)
    heads: int = setting(4, f"attention heads, a divisor of {WIDTH}", least=1)
    dense: int = setting(512, "width of the encoder's dense layers", "units", least=1)
    encoder_dropout: float = setting(0.4, "share of values zeroed in the encoder", least=0, below=1)

    def __post_init__(self) -> None:
        if WIDTH % self.heads:
            raise ValueError(f"heads must divide {WIDTH}")


class _TwoBranches(Network):
    """What the two networks have in common: all but what the second branch ends in."""

    fixed_length = True
    shorter_by = "mask=true"
    time_axis = 2
    settings: ParallelSettings
    host_lengths = True

    @abstractmethod
    def course(self) -> tuple[AttendedStates | EncodedMean, int]:
        """Return what the second branch ends in, and how many values that gives."""

    def build(self, frames: int | None, shape: tuple[int, ...], outputs: int) -> Parallel:
        """Return both branches, and a linear layer on what they give."""
        from torch import nn

        from sertool.models.sundharam.branches import Parallel, Picture

        assert frames is not None  # fixed_length
        dims = shape[0]
        layout = self.layout(frames, dims)
        course, width = self.course()
        least_frames, least = layout.least
        flat = MAPS[-1] * (frames // least_frames) * (dims // least)
        bins = dims // layout.course[1]
        project = nn.Identity() if bins == WIDTH else nn.Linear(bins, WIDTH)
        return Parallel(
            Picture(MAPS, layout.blocks, self.settings.dropout),
            layout.course,
            project,
            course,
            nn.Linear(flat + width, outputs),
            frames,
            SHORTEST,
            self.settings.mask,
        )

    def layout(self, frames: int, dims: int) -> Layout:
        """Return the poolings for items of at most `frames` frames of `dims` values.

        `auto` is `mel` where its poolings leave something of the values, else `mfcc`. Raises
        InputError where nothing is left.
        """
        chosen = self.settings.layout
        if chosen == "auto":
            chosen = "mel" if dims >= LAYOUTS["mel"].least[1] else "mfcc"
        layout = LAYOUTS[chosen]
        least_frames, least = layout.least
        if dims < least:
            other = ", or take layout=mfcc" if chosen == "mel" else ""
            raise InputError(
                f"{self.name} needs at least {least} values per frame in the layout {chosen},"
                f" and these have {dims}; featurize with --kind mel (128 bands) or mfcc"
                f" (13 coefficients){other}"
            )
        if frames < least_frames:
            raise InputError(
                f"{self.name} needs at least {least_frames} frames per item, and these have"
                f" {frames}; featurize with a longer --duration or a shorter hop"
            )
        return layout

    @property
    def shortest(self) -> int:
        """Frames up to which a shorter item is zero-padded."""
        return SHORTEST if self.settings.mask else 1

    @property
    def takes_shorter(self) -> bool:
        """Whether items shorter than the longest are judged by their own lengths."""
        return self.settings.mask

    def defaults(self) -> Hyperparameters:
        """Return the paper's training (Sec. 3.4.1), as far as it is known.

        Each time-frequency cell is z-scored; with `mask`, for items of several lengths, each
        feature.
        The epochs are those of its 1-D CNN; the epoch of best validation accuracy is kept.
        """
        return Hyperparameters(
            epochs=500,
            batch_size=150,
            lr=1e-3,
            weight_decay=1e-4,
            monitor="accuracy",
            normalisation="feature" if self.settings.mask else "cell",
        )


class SundharamBilstm(_TwoBranches):
    """The convolutions beside a BiLSTM whose states are attended to.

    For 563 frames and eight logits: 263 593 parameters with 128 mel bands, 264 489 with 13 MFCC.
    """

    name = "sundharam-bilstm"
    summary = "2-D CNN and BiLSTM with attention in parallel, on mel or MFCC (Sundharam & Johari)"
    Settings = BilstmSettings
    settings: BilstmSettings

    @property
    def batched(self) -> bool:
        """Whether all items are of one length to the recurrent layer."""
        return not self.settings.mask

    def course(self) -> tuple[AttendedStates, int]:
        """Return the BiLSTM, and the width of both its directions."""
        from sertool.models.sundharam.branches import AttendedStates

        hidden = self.settings.hidden
        return AttendedStates(WIDTH, hidden, self.settings.states_dropout), 2 * hidden


class SundharamTransformer(_TwoBranches):
    """The convolutions beside a Transformer encoder, whose mean over time is taken.

    For 563 frames and eight logits: 395 176 parameters with 128 mel bands, 396 072 with 13 MFCC.
    """

    name = "sundharam-transformer"
    summary = "2-D CNN and Transformer encoder in parallel, on mel or MFCC (Sundharam & Johari)"
    Settings = TransformerSettings
    settings: TransformerSettings

    def course(self) -> tuple[EncodedMean, int]:
        """Return the encoder, and its width."""
        from sertool.models.sundharam.branches import EncodedMean

        given = self.settings
        encoder = EncodedMean(WIDTH, given.layers, given.heads, given.dense, given.encoder_dropout)
        return encoder, WIDTH
