"""The metric "min_recall": the recall of the class that is recognised worst."""

from __future__ import annotations

import numpy as np

from sertool.metrics import Metric, recalls


def compute(matrix: np.ndarray) -> np.ndarray:
    """Return the lowest recall of matrices (..., classes, classes), rows the truth: (...)."""
    found = recalls(matrix)
    least = np.where(np.isnan(found), np.inf, found).min(-1)
    return np.where(np.isinf(least), np.nan, least)  # NaN where there is no item


METRIC = Metric("min_recall", compute, "worst class")
