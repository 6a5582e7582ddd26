"""Intervals that a report does not hold, from its counts: of each recall, speaker and bin."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from sertool import metrics
from sertool.evaluation import pooling, reliability
from sertool.evaluation.report import Report

MODEL_NAME = ""  # in `recalls_of`, whatever a baseline is called


def recalls_of(report: Report) -> dict[str, list[tuple[float, float]]]:
    """Return the interval of each class's recall by system, {} where there are too few speakers."""
    pooled = pooling.pool([pooling.result("", report)])
    if len(pooled.clusters) < metrics.FEWEST:
        return {}
    ci = report.figures.ci
    found = {}
    for name, matrices in {MODEL_NAME: pooled.matrices, **pooled.baselines}.items():
        drawn = metrics.resample(matrices, {"recall": metrics.recalls}, seed=ci.seed or 0)["recall"]
        found[name] = [metrics.limits(values, ci.level) for values in drawn[:, 0].T]
    return found


def of_files(confusion: Sequence[Sequence[int]], level: float) -> tuple[float, float]:
    """Return an interval of the UAR of one confusion matrix, as if its tests were independent.

    Wilson's score interval of each recall, brought together for their mean by MOVER (Zou & Donner
    2008, Statistics in Medicine 27: 1693): it has width even where all or none was right.
    """
    matrix = np.array(confusion, np.float64)
    there = matrix.sum(1) > 0
    n, right = matrix.sum(1)[there], matrix.diagonal()[there]
    z = NormalDist().inv_cdf(0.5 + level / 2)
    rate, middle = right / n, (right + z**2 / 2) / (n + z**2)
    half = z / (n + z**2) * np.sqrt(right * (n - right) / n + z**2 / 4)
    ends = rate - middle + half, middle + half - rate
    below, above = (float(np.sqrt((end**2).sum())) / len(n) for end in ends)
    return float(rate.mean()) - below, float(rate.mean()) + above


def right_by_bin(report: Report) -> np.ndarray | None:
    """Return the interval of each bin's share of right ones, (bins, 2); None for few speakers.

    Whole speakers are drawn again; a bin with tests of one of them alone has its own share.
    """
    pooled = pooling.pool([pooling.result("", report)]).calibration
    if pooled is None or not all(pooled.clusters) or len(pooled.clusters) < metrics.FEWEST:
        return None

    def right(sums: np.ndarray) -> np.ndarray:
        bins = reliability.by_bin(sums)
        return metrics.ratio(bins[..., 1], bins[..., 0])

    ci = report.figures.ci
    drawn = metrics.resample(pooled.sums, {"right": right}, seed=ci.seed or 0)["right"][:, 0]
    return np.array([metrics.limits(column, ci.level) for column in drawn.T])
