"""Trainings that failed: how many runs of a system never left one class.

A run is one training: one fold under one seed. It is stuck if both hold:

- its test: every prediction is one and the same class, though the truth has several;
- its training, where the report keeps the validation UAR of its epochs: all of them are what
  predicting one class gives, 1 / k for the k classes of the validation part, or 0. Without
  validation, or with one model for each value of a field, the test decides alone.

The second is why a network that had learned, and says one class to speech through a telephone, is
not stuck. The training loss is not asked: a network that knows nothing but how frequent classes
are is stuck, and its loss lies below ln(classes); with weighted or further losses no bound holds.
A model fitted whole (`linear`, `svm`) has no training to be stuck in, and is not counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from msgspec import UNSET

from sertool.evaluation.curves import Training
from sertool.evaluation.pooling import Pooled
from sertool.evaluation.report import Fold, Report

CLOSE = 1e-3  # of rates that a report keeps with four digits
EQUAL = 1e-6  # of rates that it keeps in full


@dataclass(frozen=True)
class Stuck:
    """How many runs never left one class, of how many."""

    runs: int
    of: int


def count(pooled: Pooled) -> Stuck | None:
    """Return how many runs of a system are stuck; None where nothing was trained, or is known."""
    found = [
        _is_stuck(report, fold)
        for run in pooled.reports
        for report in run
        if isinstance(report, Report)
        for fold in report.figures.folds
        if _trained(fold)
    ]
    return Stuck(sum(found), len(found)) if found else None


def _trained(fold: Fold) -> bool:
    """Return whether its model, or any of its models, was not fitted whole."""
    several = [] if fold.per is UNSET else fold.per.training.values()
    return fold.training is not None or any(each is not None for each in several)


def _is_stuck(report: Report, fold: Fold) -> bool:
    alone = len(report.figures.folds) == 1
    tested = _one_class(np.array(report.figures.confusion)) if alone else _as_one_class(fold)
    return tested and (fold.training is UNSET or not fold.training or _never_left(fold.training))


def _one_class(matrix: np.ndarray) -> bool:
    """Return whether a confusion matrix has one class predicted, and several in the truth."""
    said, there = matrix.sum(0) > 0, matrix.sum(1) > 0
    return bool(said.sum() == 1 and there.sum() > 1)


def _as_one_class(fold: Fold) -> bool:
    """Return the same of one of several folds in a report, which keeps their metrics alone.

    Predicting one class of k in the truth, a share a of the items, has WA a, UAR 1 / k, macro-F1
    2a / (1 + a) / k and a kappa of 0, which older reports lack. Of a handful of items, or of one
    class in the truth, others may, too. A class that is not in the truth is not recognised.
    """
    wa, uar, f1 = (fold.metrics.get(name) for name in ("accuracy", "uar", "macro_f1"))
    if not wa or not uar or f1 is None:
        return False
    k = round(1 / uar)
    expected = {"accuracy": wa, "uar": 1 / k, "macro_f1": 2 * wa / (1 + wa) / k, "kappa": 0.0}
    known = {name: fold.metrics.get(name) for name in expected}
    return k > 1 and all(v is None or abs(v - expected[n]) < EQUAL for n, v in known.items())


def _never_left(training: Training) -> bool:
    """Return whether no epoch that is kept did better on the validation part than one class."""
    rates = training.val_uar
    if not rates:
        return True
    one = max(rates)
    whole = one == 0 or abs(1 / one - round(1 / one)) < CLOSE / one
    return whole and all(rate == 0 or abs(rate - one) < CLOSE for rate in rates)
