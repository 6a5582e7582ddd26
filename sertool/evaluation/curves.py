"""How a training went, epoch by epoch: kept small in a report, and read as "had it converged?"."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from sertool.formats.schema import Number

if TYPE_CHECKING:
    from sertool.evaluation.report import AnyReport, Report

MOST = 50  # epochs that a report keeps of a long training
DIGITS = 4
COLUMNS = ("loss", "val_loss", "val_accuracy", "val_uar", "val_ccc")
OTHERS = ("epoch", "lr", "train_uar", "train_ccc")  # of a history, which a report does not keep
TENTH = 0.1  # the end of a training, as a part of its epochs
FELL = 0.02  # a loss that falls by more over that end has not levelled off
PAST = 0.2  # a lowest validation loss further from the end than this part of the epochs …
ROSE = 0.05  # … and passed by more than this since, has been left behind
RULE = (
    f"Still falling: the training loss fell by more than {100 * FELL:g} % over the last tenth of"
    f" the epochs; level: it did not. Validation rising: its lowest loss lies more than"
    f" {100 * PAST:g} % of the epochs before the end, and the last is more than"
    f" {100 * ROSE:g} % higher."
)


@dataclass(frozen=True)
class Curve:
    """One training: the epochs that were kept of it (from 1), and their losses in nats.

    val_loss: None without a validation part. best: the epoch whose weights were kept.
    """

    epochs: list[int]
    loss: list[float]
    val_loss: list[float] | None
    best: int

    @property
    def n(self) -> int:
        """How many epochs were trained."""
        return self.epochs[-1]

    def at(self, epoch: float, losses: Sequence[float]) -> float:
        """Return the loss at an epoch, or at the last one before it that was kept."""
        known = [i for i, kept in enumerate(self.epochs) if kept <= epoch]
        return losses[known[-1] if known else 0]

    @property
    def best_loss(self) -> float:
        """The training loss of the epoch whose weights were kept."""
        return self.at(self.best, self.loss)

    @property
    def falling(self) -> bool:
        """Whether the training loss still fell by more than `FELL` over the last tenth."""
        before = self.at(self.n - max(1, round(TENTH * self.n)), self.loss)
        return self.n > 1 and self.loss[-1] < (1 - FELL) * before

    @property
    def rising(self) -> bool:
        """Whether the lowest validation loss lies well back, and the last one well above it."""
        if self.val_loss is None:
            return False
        lowest = min(range(len(self.val_loss)), key=self.val_loss.__getitem__)
        back = self.n - self.epochs[lowest] > PAST * self.n
        return back and self.val_loss[-1] > (1 + ROSE) * self.val_loss[lowest]


class Training(Struct, kw_only=True, omit_defaults=True):
    """What a report keeps of a training: some of its epochs (from 1), one value of each column.

    epochs: how many were trained. best_epoch: whose weights were kept. terms: the parts of a loss
    that a model has of its own, and what weighs them.
    """

    epochs: int = 0
    best_epoch: int
    epoch: list[int]
    loss: list[Number]
    val_loss: list[Number] | None = None
    val_accuracy: list[Number] | None = None
    val_uar: list[Number] | None = None
    val_ccc: list[Number] | None = None
    terms: dict[str, list[Number]] = {}

    def check(self) -> None:
        """Raise ValueError where it is not as `thinned` made it."""
        if not self.epoch or sorted(set(self.epoch)) != self.epoch or self.epoch[0] < 1:
            raise ValueError("the epochs of training are not in order")
        columns = {name: getattr(self, name) for name in COLUMNS} | self.terms
        for name, values in columns.items():
            if values is not None and len(values) != len(self.epoch):
                raise ValueError(f"training/{name} is not one value per epoch")

    @property
    def curve(self) -> Curve:
        """The losses by epoch."""
        return Curve(self.epoch, self.loss, self.val_loss, self.best_epoch)


def thinned(history: Sequence[dict[str, Any]], best: int) -> Training | None:
    """Return what a report keeps of a checkpoint's `history`; None for a model fitted whole.

    best: the best epoch, from 1. At most `MOST` epochs, evenly apart, with the first, the best,
    the last and the one of the lowest validation loss among them, in columns of `DIGITS` digits.
    """
    if not history or "loss" not in history[0]:
        return None
    n = len(history)
    kept = {0, n - 1, min(max(best, 1), n) - 1}
    if "val_loss" in history[0]:
        kept.add(min(range(n), key=lambda i: history[i]["val_loss"]))
    apart = max(1.0, (n - 1) / (MOST - 3))  # the best and the lowest epoch come on top
    kept |= {round(i * apart) for i in range(n) if round(i * apart) < n}
    rows = [history[i] for i in sorted(kept)]
    columns = {
        name: [float(f"{row[name]:.{DIGITS}g}") for row in rows]
        for name in history[0]
        if name not in OTHERS and all(math.isfinite(row.get(name, math.nan)) for row in rows)
    }
    if "loss" not in columns:
        return None
    terms = {name: columns.pop(name) for name in sorted(set(columns) - set(COLUMNS))}
    epochs = [i + 1 for i in sorted(kept)]
    return Training(epochs=n, best_epoch=best, epoch=epochs, terms=terms, **columns)


def curves(report: AnyReport) -> list[Curve]:
    """Return the trainings of a report's checkpoints; those it does not know are left out."""
    return [fold.training.curve for fold in report.figures.folds if fold.training]


def train_log_loss(report: Report) -> float | None:
    """Return the training loss at the best epoch, each checkpoint weighted by what it tested.

    It was counted while the weights moved, with dropout, and with any further head's loss. None
    where a checkpoint's training is not known.
    """
    found = curves(report)
    weights = [fold.n for fold in report.figures.folds]
    if not found or len(found) < len(weights) or not sum(weights):
        return None
    total = sum(w * c.best_loss for w, c in zip(weights, found, strict=True))
    return float(total / sum(weights))
