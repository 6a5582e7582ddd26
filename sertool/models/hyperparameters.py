"""How a network is trained: what its model declares and the command line may override."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sertool.core.errors import UsageError
from sertool.core.options import Options
from sertool.core.settings import option

DEVICES = ("auto", "cpu", "cuda", "mps")
LARGEST = 1e6  # of a rate or a factor: far beyond use, and far below what float32 holds
TRAINING = "Training (each model has its own defaults)"
BATCHES = "Batches and loss (each model has its own defaults)"


def device() -> Any:
    """Return the field of `--device`."""
    return option("auto", "Where to compute.", choices=DEVICES)


SCORED = 8  # windows a pass: more gain little on a processor, and grow out of its cache


def scoring_batch(what: str) -> Any:
    """Return the field of `--batch-size` where a model scores `what` ("items", "recordings")."""
    return option(
        SCORED,
        f"How many {what} a network scores in one pass, grouped by length; one by one (1)"
        " posteriors differ by less than 1e-6.",
        least=1,
    )


def _factor(default: float, help: str, **more: Any) -> Any:
    """Return the field of a rate or factor, 0 or more."""
    return option(default, help, least=0, most=LARGEST, panel=TRAINING, **more)


def _share(default: float, help: str) -> Any:
    """Return the field of a share of a batch or of lengths."""
    return option(default, help, metavar="SHARE", least=0, most=1, panel=BATCHES)


def _count(default: int, help: str, least: int, panel: str = TRAINING, **more: Any) -> Any:
    return option(default, help, least=least, panel=panel, **more)


def _choice(default: str, help: str, choices: tuple[str, ...], panel: str = TRAINING) -> Any:
    return option(default, help, choices=choices, panel=panel)


@dataclass(frozen=True)
class Hyperparameters(Options):
    """Hyper-parameters of the training loop; every model has its own defaults.

    schedule: "step" multiplies the rate by `schedule_factor` every `schedule_step` epochs;
        "plateau" after `schedule_patience` epochs without a better loss (validation's, or
        training's without validation); "cosine" falls to 0 over all epochs.
    patience: stop after this many epochs without a better `monitor`; 0 never stops. With a
        validation part the best epoch's weights are kept in either case.
    normalisation: fitted on the training part: z-scores per time-frequency "cell" or pixel (items
        of one length), per "feature" dimension or channel, or of all values ("global"), or less
        the "mean" of each dimension or channel, or less the "mean-image", that of each cell or
        pixel; fixed: "unit" (pixels / 255), "imagenet" (and then torchvision's constants), or
        "none".
    batch_by: "count" cuts an epoch's items, in random order, into batches of `batch_size`.
        "length" first sorts them by their frames, so that a batch pads little, and draws the order
        of the batches; "frames" does so with batches of at most `batch_frames` frames, padding
        counted in, whatever their number of items (0: `batch_size` times the median length of the
        training part). See `batches.plan_by_length`.
    batch_of: what a batch is counted and sorted in: "items", or "recordings", each with all of its
        pieces, so that an epoch over pieces has the steps of one over the recordings.
    bucket_noise: with either, lengths are sorted as if they were off by up to this share, so that
        batches differ from epoch to epoch.
    bucket_padding: with either, a batch of two items or more ends where more than this share of
        it would be padding; 1 cuts by `batch_size` or `batch_frames` alone.
    class_weights: "balanced" weights each class by n / (classes · its items) in the loss.
    length_weights: "inverse" weights each item by 1 / its frames in the loss, "pieces" by 1 / the
        number of training items of its recording, so that each recording has one vote.
    loss_norm: a batch's loss is the sum of its items' weighted losses, divided by the sum of
        their weights ("sum_w"), by their number ("n"; weights have a mean of 1 over the training
        part), or by the mean weight of the epoch's batches ("epoch"). Only with the last do the
        gradients of an epoch add up to that of the weighted loss of the whole training part
        where batches differ: weights that are alike inside a batch cancel in "sum_w", and a small
        batch counts as much as a large one in either of the others.
    clip_norm: gradients of a larger norm, all parameters together, are scaled down to it; 0: none.
    mixup: alpha of the Beta distribution by which items of a batch are mixed, two by two, with
        their targets (`training.mixup`); 0: none.
    precision: "bfloat16" computes forward passes of training in mixed precision; "auto" is either,
        by the table in `models.precision`, and never what a checkpoint keeps.
    label_smoothing: this share of every item's truth is spread evenly over all classes.
    average: the network is the running mean of its weights over the steps, of which each keeps this
        share (see `training.averaging`); 0: the last step's weights.
    biases: "alike" trains them as weights; "caffe" at twice the rate and without decay, as the
        networks that come with Caffe (lr_mult 2, decay_mult 0).
    """

    epochs: int = _count(50, "Passes over the training part.", 1)
    batch_size: int = _count(32, "Items per batch.", 1, BATCHES)
    lr: float = option(1e-3, "Learning rate.", above=0, most=LARGEST, panel=TRAINING)
    optimizer: str = _choice("adam", "Optimizer.", ("adam", "adamw", "sgd"))
    betas: tuple[float, float] = option(
        (0.9, 0.999),
        "Decay rates of Adam and AdamW, e.g. 0.9:0.999.",
        metavar="B1:B2",
        least=0,
        below=1,
        panel=TRAINING,
    )
    momentum: float = _factor(0.9, "Momentum for SGD.")
    weight_decay: float = _factor(0.0, "Weight decay.")
    schedule: str = _choice(
        "constant", "Learning-rate schedule.", ("constant", "step", "cosine", "plateau")
    )
    schedule_step: int = _count(30, "Epochs per step of the schedule step.", 1, metavar="EPOCHS")
    schedule_factor: float = option(
        0.1,
        "Factor by which step and plateau change the learning rate.",
        above=0,
        most=LARGEST,
        panel=TRAINING,
    )
    schedule_patience: int = _count(
        10, "Epochs without a lower loss before plateau acts.", 0, metavar="EPOCHS"
    )
    patience: int = _count(
        0, "Stop after this many epochs without improvement (0: never).", 0, metavar="EPOCHS"
    )
    monitor: str = _choice(
        "uar",
        "What counts as improvement; of numbers ccc, unless it is loss.",
        ("uar", "accuracy", "ccc", "loss"),
    )
    batch_by: str = _choice(
        "count",
        "count: items in random order; length: items of similar length together; frames: the same,"
        " with as many items as fit into --batch-frames.",
        ("count", "length", "frames"),
        BATCHES,
    )
    batch_frames: int = _count(
        0,
        "Frames per batch, padding included, which bounds memory (0: --batch-size times the median"
        " length). Implies --batch-by frames.",
        0,
        BATCHES,
    )
    batch_of: str = _choice(
        "items",
        "What --batch-size counts and --batch-by sorts: items, or recordings, with all their pieces"
        " in one batch.",
        ("items", "recordings"),
        BATCHES,
    )
    bucket_noise: float = _share(
        0.02,
        "With --batch-by length or frames: perturb lengths by up to this share before sorting, so"
        " that batches differ between epochs (0: exact order).",
    )
    bucket_padding: float = _share(
        0.05,
        "With --batch-by length or frames: end a batch early where more than this share of it would"
        " be padding (1: never).",
    )
    class_weights: str = _choice(
        "none", "Class weights in the loss.", ("none", "balanced"), BATCHES
    )
    length_weights: str = _choice(
        "none",
        "Item weights in the loss: none, inverse (1 / frames of the item) or pieces (1 / items of"
        " its recording).",
        ("none", "inverse", "pieces"),
        BATCHES,
    )
    loss_norm: str = _choice(
        "sum_w",
        "Divide the loss of a batch by sum_w (the sum of its weights), n (its items) or epoch (the"
        " mean sum of weights of the epoch's batches, so that each item counts by its weight"
        " whatever batch it is in).",
        ("sum_w", "n", "epoch"),
        BATCHES,
    )
    clip_norm: float = _factor(0.0, "Scale larger gradients down to this norm (0: never).")
    mixup: float = _factor(
        0.0,
        "Mix the items of a batch in pairs, and their losses, in proportions drawn from"
        " Beta(ALPHA, ALPHA), e.g. 0.2 (0: never).",
        metavar="ALPHA",
    )
    label_smoothing: float = option(
        0.0,
        "Spread this share of every item's truth evenly over all classes.",
        metavar="SHARE",
        least=0,
        below=1,
        panel=BATCHES,
    )
    average: float = option(
        0.0,
        "Use the running mean of the weights, of which a step keeps this share, e.g. 0.99 (0: the"
        " weights themselves).",
        metavar="SHARE",
        least=0,
        below=1,
        panel=TRAINING,
    )
    normalisation: str = _choice(
        "feature",
        "Normalisation of the features, fitted to the training part.",
        ("cell", "feature", "global", "mean", "mean-image", "unit", "imagenet", "none"),
    )
    precision: str = _choice(
        "float32",
        "Precision of training's forward passes: float32, bfloat16, or auto, the one that was"
        " measured to be faster for this model on this kind of device.",
        ("float32", "bfloat16", "auto"),
    )
    lr_scale: float = _factor(1.0, "Factor on the learning rate of weights from --init.")
    biases: str = _choice(
        "alike",
        "Train biases like weights, or, as networks in Caffe, at twice the rate without decay.",
        ("alike", "caffe"),
    )

    def overridden(self, values: Mapping[str, Any]) -> Hyperparameters:
        """Return these with some values replaced; UsageError for ones that contradict each other.

        >>> Hyperparameters().overridden({"batch_frames": 4000}).batch_by
        'frames'
        """
        by = values.get("batch_by", "frames")
        if "batch_frames" in values and by != "frames":
            raise UsageError(f"--batch-frames contradicts --batch-by {by}; leave one out")
        implied = {"batch_by": by} if "batch_frames" in values else {}
        return dataclasses.replace(self, **{**values, **implied})
