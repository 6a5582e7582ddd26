"""How a network is trained: what its model declares and the command line may override."""

from __future__ import annotations

from dataclasses import dataclass

from sertool.core.errors import UsageError

OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("constant", "step", "cosine", "plateau")
NORMALISATIONS = ("cell", "feature", "global", "mean", "unit", "imagenet", "none")
MONITORS = ("uar", "accuracy", "loss")
DEVICES = ("auto", "cpu", "cuda", "mps")
PRECISIONS = ("float32", "bfloat16")
CLASS_WEIGHTS = ("none", "balanced")
LENGTH_WEIGHTS = ("none", "inverse", "pieces")
LOSS_NORMS = ("sum_w", "n")
BATCH_BY = ("count", "length", "frames")
LARGEST = 1e6  # of a rate or a factor: far beyond use, and far below what float32 holds
CHOICES = {
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "normalisation": NORMALISATIONS,
    "monitor": MONITORS,
    "precision": PRECISIONS,
    "class_weights": CLASS_WEIGHTS,
    "length_weights": LENGTH_WEIGHTS,
    "loss_norm": LOSS_NORMS,
    "batch_by": BATCH_BY,
}


@dataclass(frozen=True)
class Hyperparameters:
    """Hyper-parameters of the training loop; a model's defaults are one of these.

    schedule: "step" multiplies the rate by `schedule_factor` every `schedule_step` epochs;
        "plateau" after `schedule_patience` epochs without a better loss (validation's, or
        training's without validation); "cosine" falls to 0 over all epochs.
    patience: stop after so many epochs without a better `monitor`; 0 never stops. With a
        validation part the best epoch's weights are kept in either case.
    normalisation: fitted on the training part: z-scores per time-frequency "cell" or pixel (items
        of one length), per "feature" dimension or channel, or of all values ("global"), or less
        the "mean" of each dimension or channel; fixed: "unit" (pixels / 255), "imagenet" (and then
        torchvision's constants), or "none".
    batch_by: "count" cuts an epoch's items, in random order, into batches of `batch_size`.
        "length" first sorts them by their frames, so that a batch pads little, and draws the order
        of the batches; "frames" does so with batches of at most `batch_frames` frames, padding
        counted in, whatever their number of items (0: `batch_size` times the median length of the
        training part). See `batches.plan_by_length`.
    bucket_noise: with either, lengths are sorted as if they were off by up to this share, so that
        batches differ from epoch to epoch.
    bucket_padding: with either, a batch of two items or more ends where more than this share of
        it would be padding; 1 cuts by `batch_size` or `batch_frames` alone.
    class_weights: "balanced" weighs each class by n / (classes · its items) in the loss.
    length_weights: "inverse" weighs each item by 1 / its frames in the loss, "pieces" by 1 / the
        number of training items of its recording, so that each recording has one vote.
    loss_norm: a batch's loss is the sum of its items' weighted losses, divided by the sum of
        their weights ("sum_w") or by their number ("n"; weights have a mean of 1 over the training
        part).
    clip_norm: gradients of a larger norm, all parameters together, are scaled down to it; 0: none.
    mixup: alpha of the Beta distribution by which items of a batch are mixed, two by two, with
        their targets (`training.mixup`); 0: none.
    precision: "bfloat16" computes forward passes of training in mixed precision.
    """

    epochs: int = 50
    batch_size: int = 32
    lr: float = 1e-3
    optimizer: str = "adam"
    betas: tuple[float, float] = (0.9, 0.999)
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: str = "constant"
    schedule_step: int = 30
    schedule_factor: float = 0.1
    schedule_patience: int = 10
    patience: int = 0
    monitor: str = "uar"
    batch_by: str = "count"
    batch_frames: int = 0
    bucket_noise: float = 0.02
    bucket_padding: float = 0.05
    class_weights: str = "none"
    length_weights: str = "none"
    loss_norm: str = "sum_w"
    clip_norm: float = 0.0
    mixup: float = 0.0
    normalisation: str = "feature"
    precision: str = "float32"
    lr_scale: float = 1.0

    def check(self) -> None:
        """Raise UsageError for a value out of its range, naming the option."""
        for name, allowed in CHOICES.items():
            value = getattr(self, name)
            if value not in allowed:
                raise UsageError(f"{_option(name)} {value}: needs {_any_of(allowed)}")
        for name in ("epochs", "batch_size", "schedule_step"):
            if getattr(self, name) < 1:
                raise UsageError(f"{_option(name)} {getattr(self, name)}: needs at least 1")
        at_least_0 = ("weight_decay", "patience", "schedule_patience", "lr_scale", "momentum")
        for name in (*at_least_0, "clip_norm", "mixup"):
            value = getattr(self, name)
            if not 0 <= value <= LARGEST:
                raise UsageError(f"{_option(name)} {value}: needs 0 or more, at most {LARGEST:g}")
        for name in ("lr", "schedule_factor"):
            value = getattr(self, name)
            if not 0 < value <= LARGEST:
                raise UsageError(
                    f"{_option(name)} {value}: needs a number above 0, at most {LARGEST:g}"
                )
        if self.batch_frames < 0:
            raise UsageError(f"--batch-frames {self.batch_frames}: needs 0 or more")
        for name in ("bucket_noise", "bucket_padding"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{_option(name)} {getattr(self, name)}: needs a share, 0 to 1")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise UsageError(f"--betas {self.betas[0]}:{self.betas[1]}: need 0 <= beta < 1")


def check_device(name: str) -> None:
    """Raise UsageError for a `--device` that is none, whether the model uses one or not."""
    if name not in DEVICES:
        raise UsageError(f"--device {name}: needs {_any_of(DEVICES)}")


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _any_of(allowed: tuple[str, ...]) -> str:
    return f"{', '.join(allowed[:-1])} or {allowed[-1]}"
