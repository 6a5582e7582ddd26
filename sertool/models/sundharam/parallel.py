"""Networks of two branches of Sundharam & Johari, "Audio emotion classification".

Beside a 2-D CNN over the features stands a BiLSTM with attention (Sec. 3.3.2) or a Transformer
encoder (Sec. 3.3.3). The paper's figures name no sizes; they are those of the code that it cites,
for 128 mel bands. For MFCC, of which that code's poolings leave nothing, they are chosen here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sertool.core.errors import InputError
from sertool.core.settings import setting
from sertool.models import Network
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
class Settings:
    """Settings of either network."""

    layout: Literal["auto", "mel", "mfcc"] = setting(
        "auto", "poolings: mel halves a frame's values, mfcc spares them; auto: mel from 128 values"
    )
    mask: bool = setting(False, "true: items may be shorter, and nothing is heard after their end")
    dropout: float = setting(0.3, "share of values zeroed after each convolution's pooling")

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise ValueError("dropout must be at least 0 and below 1")


@dataclass(frozen=True)
class BilstmSettings(Settings):
    """Settings of the network with a BiLSTM."""

    hidden: int = setting(128, "width of the BiLSTM, in each direction", "units")
    states_dropout: float = setting(0.1, "share of the BiLSTM's states zeroed")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden < 1:
            raise ValueError("hidden must be at least 1")
        if not 0 <= self.states_dropout < 1:
            raise ValueError("states_dropout must be at least 0 and below 1")


@dataclass(frozen=True)
class TransformerSettings(Settings):
    """Settings of the network with a Transformer encoder."""

    layers: int = setting(4, "layers of the encoder")
    heads: int = setting(4, f"heads of its attention, a divisor of {WIDTH}")
    dense: int = setting(512, "width of its dense layers", "units")
    encoder_dropout: float = setting(0.4, "share of values zeroed in the encoder")

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.layers, self.dense) < 1:
            raise ValueError("layers and dense must be at least 1")
        if self.heads < 1 or WIDTH % self.heads:
            raise ValueError(f"heads must divide {WIDTH}")
        if not 0 <= self.encoder_dropout < 1:
            raise ValueError("encoder_dropout must be at least 0 and below 1")


def layout_for(name: str, settings: Any, frames: int, dims: int) -> Layout:
    """Return the poolings for items of at most `frames` frames of `dims` values.

    `auto` is `mel` where its poolings leave something of the values, else `mfcc`. Raises
    InputError where nothing is left.
    """
    chosen = settings.layout
    if chosen == "auto":
        chosen = "mel" if dims >= LAYOUTS["mel"].least[1] else "mfcc"
    layout = LAYOUTS[chosen]
    least_frames, least = layout.least
    if dims < least:
        other = ", or take layout=mfcc" if chosen == "mel" else ""
        raise InputError(
            f"{name} needs at least {least} values a frame in the layout {chosen}, and these have"
            f" {dims}; featurize with --kind mel (128 bands) or mfcc (13 coefficients){other}"
        )
    if frames < least_frames:
        raise InputError(
            f"{name} needs at least {least_frames} frames an item, and these have {frames};"
            " featurize with a longer --duration or a shorter hop"
        )
    return layout


def _parallel(
    layout: Layout,
    course: AttendedStates | EncodedMean,
    width: int,
    settings: Any,
    frames: int,
    dims: int,
    outputs: int,
) -> Parallel:
    """Return a network whose second branch ends in `course`, which gives `width` values."""
    from torch import nn

    from sertool.models.sundharam.branches import Parallel, Picture

    least_frames, least = layout.least
    flat = MAPS[-1] * (frames // least_frames) * (dims // least)
    bins = dims // layout.course[1]
    project = nn.Identity() if bins == WIDTH else nn.Linear(bins, WIDTH)
    return Parallel(
        Picture(MAPS, layout.blocks, settings.dropout),
        layout.course,
        project,
        course,
        nn.Linear(flat + width, outputs),
        frames,
        SHORTEST,
        settings.mask,
    )


def build_bilstm(
    settings: Any, frames: int | None, shape: tuple[int, ...], outputs: int
) -> Parallel:
    """Return the convolutions beside a BiLSTM whose states are attended to.

    For 563 frames and eight logits: 263 593 parameters with 128 mel bands, 264 489 with 13 MFCC.
    """
    from sertool.models.sundharam.branches import AttendedStates

    assert frames is not None  # fixed_length
    layout = layout_for("sundharam-bilstm", settings, frames, shape[0])
    course = AttendedStates(WIDTH, settings.hidden, settings.states_dropout)
    return _parallel(layout, course, 2 * settings.hidden, settings, frames, shape[0], outputs)


def build_transformer(
    settings: Any, frames: int | None, shape: tuple[int, ...], outputs: int
) -> Parallel:
    """Return the convolutions beside a Transformer encoder, whose mean over time is taken.

    For 563 frames and eight logits: 395 176 parameters with 128 mel bands, 396 072 with 13 MFCC.
    """
    from sertool.models.sundharam.branches import EncodedMean

    assert frames is not None  # fixed_length
    layout = layout_for("sundharam-transformer", settings, frames, shape[0])
    course = EncodedMean(
        WIDTH, settings.layers, settings.heads, settings.dense, settings.encoder_dropout
    )
    return _parallel(layout, course, WIDTH, settings, frames, shape[0], outputs)


def shortest(settings: Any) -> int:
    """Return the frames up to which a shorter item is filled up."""
    return SHORTEST if settings.mask else 1


def masked(settings: Any) -> bool:
    """Return whether items shorter than the longest are heard by their own lengths."""
    return bool(settings.mask)


def defaults(settings: Any) -> Hyperparameters:
    """Return the paper's training (Sec. 3.4.1), as far as it is known.

    Each time-frequency cell is z-scored, with `mask` each feature, for items of several lengths.
    The epochs are those of its 1-D CNN; the epoch of best validation accuracy is kept.
    """
    return Hyperparameters(
        epochs=500,
        batch_size=150,
        lr=1e-3,
        weight_decay=1e-4,
        monitor="accuracy",
        normalisation="feature" if settings.mask else "cell",
    )


BILSTM = Network(
    name="sundharam-bilstm",
    summary="2-D CNN beside a BiLSTM with attention, over 3 s of mel or MFCC (Sundharam & Johari)",
    Settings=BilstmSettings,
    build=build_bilstm,
    defaults=defaults,
    fixed_length=True,
    shortest=shortest,
    shorter=masked,
)

TRANSFORMER = Network(
    name="sundharam-transformer",
    summary="2-D CNN beside a Transformer encoder, over 3 s of mel or MFCC (Sundharam & Johari)",
    Settings=TransformerSettings,
    build=build_transformer,
    defaults=defaults,
    fixed_length=True,
    shortest=shortest,
    shorter=masked,
)
