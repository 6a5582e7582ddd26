"""Measures of predicted numbers: pure functions of sums, which add up as confusion matrices do.

The sums of one target are (..., 7): the number of items n, Σt, Σp, Σt², Σp², Σtp and Σ|t − p| of
truths t and predictions p. Those of speakers or folds add up to those of all, so that a report
without items is pooled, bootstrapped and compared. Values are NaN where they are undefined.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SUMS = 7  # numbers that sum up the items of one target
CONSTANT = 1e-12  # a variance below this part of the mean square is rounding: all are equal

Sums = NDArray[np.float64]
Values = NDArray[np.float64]


def sums(truth: NDArray[np.floating], predicted: NDArray[np.floating]) -> Sums:
    """Return the sums (targets, 7) of truths and predictions (items, targets)."""
    t, p = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    if t.shape != p.shape or t.ndim != 2:
        raise ValueError(f"truth {t.shape} and prediction {p.shape} do not match")
    columns = (np.ones_like(t), t, p, t * t, p * p, t * p, np.abs(t - p))
    return np.stack([column.sum(0) for column in columns], -1)


class _Moments(NamedTuple):
    gap: Values  # mean prediction less mean truth
    truth: Values  # variance (divided by n)
    predicted: Values
    both: Values  # covariance


def _moments(given: Sums) -> _Moments:
    n, t, p, tt, pp, tp, _ = np.moveaxis(np.asarray(given, np.float64), -1, 0)
    n = np.where(n > 0, n, np.nan)

    def variance(squares: Values, total: Values) -> Values:
        found = squares / n - (total / n) ** 2
        return np.where(found <= CONSTANT * squares / n, 0.0, found)

    truth, predicted = variance(tt, t), variance(pp, p)
    both = np.where((truth > 0) & (predicted > 0), tp / n - t * p / n**2, 0.0)
    return _Moments((p - t) / n, truth, predicted, np.where(np.isnan(n), np.nan, both))


def _ratio(above: Values, below: Values) -> Values:
    return np.divide(above, below, out=np.full(np.shape(below), np.nan), where=below > 0)


def ccc(given: Sums) -> Values:
    """Concordance correlation coefficient of Lin (1989, eq. 2), −1 to 1, with variances over n.

    2 s_tp / (s_tt + s_pp + (mean p − mean t)²): 1 only where every prediction is right; 0 for
    predictions that are all equal. NaN where truths and predictions are one and the same number.
    """
    m = _moments(given)
    return np.clip(_ratio(2 * m.both, m.truth + m.predicted + m.gap**2), -1.0, 1.0)


def pearson(given: Sums) -> Values:
    """Pearson's correlation coefficient; NaN where truths or predictions are all equal."""
    m = _moments(given)
    return np.clip(_ratio(m.both, np.sqrt(m.truth * m.predicted)), -1.0, 1.0)


def rmse(given: Sums) -> Values:
    """Root mean square error, in the unit of the target."""
    n, _, _, tt, pp, tp, _ = np.moveaxis(np.asarray(given, np.float64), -1, 0)
    return np.sqrt(np.maximum(_ratio(tt + pp - 2 * tp, n), 0.0))


def mae(given: Sums) -> Values:
    """Mean absolute error, in the unit of the target."""
    return _ratio(np.asarray(given, np.float64)[..., 6], np.asarray(given, np.float64)[..., 0])


@dataclass(frozen=True)
class Measure:
    """One number that sums up the items of a target.

    compute: from sums (..., 7) to values (...), NaN where undefined. label: a table's heading.
    low, high: its range.
    """

    name: str
    compute: Callable[[Sums], Values]
    label: str
    low: float = 0.0
    high: float = float("inf")


MEASURES = {
    measure.name: measure
    for measure in (
        Measure("ccc", ccc, "CCC", -1.0, 1.0),
        Measure("pearson", pearson, "Pearson", -1.0, 1.0),
        Measure("rmse", rmse, "RMSE"),
        Measure("mae", mae, "MAE"),
    )
}


def compute(given: Sums) -> dict[str, float | None]:
    """Return every measure of one target's sums (7,), None where it is undefined."""
    values = {name: float(measure.compute(given)) for name, measure in MEASURES.items()}
    return {name: None if np.isnan(value) else value for name, value in values.items()}
