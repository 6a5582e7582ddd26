"""Folds within a training part, and what is chosen by the items that they hold out."""

from __future__ import annotations

from typing import Any

import numpy as np

from sertool import metrics

TEMPERATURES = (1e-2, 1e2)  # the range in which the softmax's is looked for


def inner_folds(
    targets: np.ndarray, groups: np.ndarray, folds: int
) -> tuple[np.ndarray | None, bool]:
    """Return (the fold of each item (n,) int64 or None, whether groups are whole in them).

    At most `folds` of them, one per group where groups are fewer; balanced by class. Where a single
    class would be left to train on, as with one group, items are divided one by one; None where
    they are too few even so. Items of a class that is one group alone are tested by a model that
    does not know it.
    """
    for units in (groups, np.arange(len(targets))):
        placed = _spread(targets, units, folds)
        sides = [np.unique(targets[placed != fold]) for fold in range(placed.max() + 1)]
        if len(sides) > 1 and min(map(len, sides)) > 1:
            return placed, units is groups
    return None, False


def _spread(targets: np.ndarray, units: np.ndarray, folds: int) -> np.ndarray:
    """Return the fold of each item, units whole: large ones first, each where its classes lack."""
    names, unit = np.unique(units, return_inverse=True)
    classes, target = np.unique(targets, return_inverse=True)
    counts = np.zeros((len(names), len(classes)))
    np.add.at(counts, (unit, target), 1)
    shares = counts / counts.sum(0)  # of each class, so that a rare one counts as much
    held = np.zeros((min(folds, len(names)), len(classes)))
    sizes = np.zeros(len(held))
    fold = np.zeros(len(names), np.int64)
    for i in np.argsort(-counts.sum(1), kind="stable"):
        fold[i] = np.lexsort([sizes, held @ shares[i]])[0]
        held[fold[i]] += shares[i]
        sizes[fold[i]] += counts[i].sum()
    return fold[unit]


def candidates(value: Any) -> list[float]:
    """Return one number or several as a list, ascending."""
    return sorted({float(v) for v in ([value] if isinstance(value, int | float) else value)})


def rates(decisions: np.ndarray, targets: np.ndarray, search: str) -> np.ndarray:
    """Return the UAR or accuracy (...) of decisions (..., n, classes) on items held out."""
    *shape, _, classes = decisions.shape
    rate = metrics.uar if search == "uar" else metrics.accuracy
    found = [
        float(rate(metrics.confusion(targets, one.argmax(1), classes)))
        for one in decisions.reshape(-1, *decisions.shape[-2:])
    ]
    return np.array(found).reshape(shape)


def said(rate: float, folds: float, whole: float) -> str:
    """Return how a choice was made, in words: the rate of how many inner folds of what."""
    if not folds:
        return "too few items for inner folds"
    kept = "speakers or recordings whole" if whole else "items one by one"
    return f"{100 * rate:.1f} % in {folds:.0f} inner folds, {kept}"


def fit_temperature(decisions: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> float:
    """Return the t of least log loss of softmax(t · decisions), classes weighted, in TEMPERATURES.

    decisions: (n, classes); items whose own class was unknown (-inf) are left out.
    """
    from scipy.optimize import minimize_scalar

    own = decisions[np.arange(len(targets)), targets]
    known = np.isfinite(own)
    margins = decisions[known] - own[known][:, None]
    share = weights[targets[known]] / weights[targets[known]].sum()

    def loss(log_t: float) -> float:
        return float(share @ np.logaddexp.reduce(np.exp(log_t) * margins, axis=1))

    found = minimize_scalar(
        loss, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-6}
    )
    return float(np.exp(found.x))
