"""The options of `train`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sertool.augmentations import read_steps, suiting
from sertool.core.errors import UsageError
from sertool.core.options import Options, destination, nested, seed
from sertool.core.settings import assignments, option
from sertool.models import MODELS
from sertool.models.hyperparameters import TRAINING, Hyperparameters, device
from sertool.splits.division import PartOptions
from sertool.training import tracking


def _steps(texts: Sequence[str]) -> dict[str, list[float]]:
    return read_steps("--augment", texts if isinstance(texts, str) else ",".join(texts))


@dataclass(frozen=True)
class TrainOptions(Options):
    """What `train` trains, and how.

    `target` is the field of an item that the model learns to predict, or several of numbers. `per`
    is the field for each of whose values a model of its own is trained. `overrides` are
    hyper-parameters by name, over the model's own. `augment` and `copies` change training items as
    they are read (see `training.augmenting`). `init` is a file, or a word for published weights.
    """

    model: str = option(
        "linear", "Model (see: sertool list models).", metavar="NAME", choices=tuple(MODELS),
        open=True,
    )  # fmt: skip
    settings: dict[str, Any] = option(
        {},
        "Setting of the model (see: sertool list models --model NAME); repeatable.",
        metavar="NAME=VALUE",
        flag="set",
        read=assignments,
    )
    target: str = option(
        "label",
        "Target field, which the model learns to predict. Several fields, or one whose values are"
        " not all whole or more than 20 different ones, are numbers: regression.",
        metavar="FIELD[,FIELD...]",
    )
    as_classes: bool = option(
        False, "Make a class of every value of a field of numbers (--target, --per)."
    )
    as_numbers: bool = option(False, "A --target of few whole numbers is of numbers, too.")
    loss: str = option(
        "ccc",
        "Loss of numbers: 1 less the concordance (CCC) of a batch, or the mean square error.",
        choices=("ccc", "mse"),
        panel=TRAINING,
    )
    soft: bool = option(
        False,
        "Learn each class's share of the raters' votes (field votes; see prepare --raters), by the"
        " cross-entropy between the two, instead of the label. Items without a majority train,"
        " too.",
    )
    across_corpora: bool = option(
        False,
        "Fit to several corpora for recordings of others (logistic): each class of each corpus"
        " weighs alike, features count from their corpus' mean, and inner folds keep corpora"
        " whole.",
        panel=TRAINING,
    )
    per: str | None = option(
        None,
        "One model per value of this field, such as gender, in a single checkpoint.",
        metavar="FIELD",
    )
    parts: PartOptions = nested(PartOptions)
    overrides: dict[str, Any] = nested(Hyperparameters, partial=True)
    augment: dict[str, list[float]] = option(
        {},
        "Augment training items as they are read, anew in every epoch unless --copies is given"
        " (none: not at all, where a model does by default)."
        " Pictures: shift, zoom and flip, e.g. shift=0.1,flip (flip plays speech backwards)."
        " Features over time (SpecAugment): time-mask=T:N:P masks N stretches of at most T frames,"
        " each at most the share P of the item; freq-mask=F:N masks N bands of at most F"
        " dimensions; time-stretch=LOW:HIGH and freq-stretch=LOW:HIGH change tempo and voice by"
        " such a factor, response=DB the microphone, crop=T brings all items to T frames.",
        metavar="LIST",
        panel=TRAINING,
        read=_steps,
        choices=(*suiting("image"), *suiting("frames")),
        open=True,
    )
    copies: int | None = option(
        None,
        "With --augment: an epoch is every original and this many copies, as augment draws them.",
        least=1,
        panel=TRAINING,
    )
    init: str | None = option(
        None,
        "Start from these weights: a checkpoint, .pth or .safetensors file, imagenet, or the"
        " encoder in a folder (ssl:FOLDER, for finetune).",
        metavar="FILE|NAME",
        panel=TRAINING,
    )
    init_unlabelled: tuple[Path, ...] = option(
        (),
        "Recordings for a first stage that needs no labels (huang2014), in addition to the training"
        " part; repeatable.",
        metavar="STORE",
        panel=TRAINING,
    )
    speaker_normalisation: bool = option(
        False,
        "First normalise features by the mean and deviation of each speaker's own recordings in the"
        " store, unlabelled: training, validation and test speakers alike.",
        panel="Normalisation by speaker",
    )
    device: str = device()
    keep_last: bool = option(
        False, "Also write NAME.last.ckpt, the weights of the last epoch beside the best one's."
    )
    baselines: bool = option(
        True, "Leave out the baselines, which are fitted to the same items.", flag="no-baselines"
    )
    seed: int = seed()
    parallel: int = option(
        1,
        "With --test-fold all: train this many folds at once, each in a process of its own. The"
        " checkpoints are the same.",
        metavar="N",
        least=1,
        recorded=False,
    )
    track: tuple[str, ...] = destination(
        (),
        "Also send each epoch's losses and rates there: tensorboard=FOLDER, or to a plug-in's"
        " tracker; repeatable.",
        metavar="NAME=PLACE",
    )

    def check(self) -> None:
        """Raise UsageError for values that contradict each other; fill in --split-seed."""
        Hyperparameters().overridden(self.overrides)
        tracking.check(self.track)
        if self.as_classes and self.as_numbers:
            raise UsageError("--as-classes and --as-numbers exclude each other")
        if self.parts.split_seed is None:
            parts = dataclasses.replace(self.parts, split_seed=self.seed)
            object.__setattr__(self, "parts", parts)
