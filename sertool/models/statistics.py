"""Means and standard deviations of the training part, accumulated in float64, item by item."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sertool.core.errors import InputError

FIXED: dict[str, tuple[Any, Any]] = {  # mean and standard deviation that nothing is fitted for
    "none": (0.0, 1.0),
    "unit": (0.0, 255.0),
    # of ImageNet's training pictures, red, green, blue: what torchvision's weights expect
    "imagenet": (
        [255 * mean for mean in (0.485, 0.456, 0.406)],
        [255 * sd for sd in (0.229, 0.224, 0.225)],
    ),
}
PIXELS = ("unit", "imagenet")  # of values from 0 to 255
CELLS = ("cell", "mean-image")  # of each cell or pixel: for items of one length
CENTRED = ("mean", "mean-image")  # and not scaled
FLOAT32_NOISE = 1e-7  # relative: a smaller spread of float32 values is rounding, not variation


class Moments:
    """Mean and variance of a stream of blocks (n, ...), in float64.

    Blocks are merged by the pairwise update of Chan, Golub & LeVeque (1979), which loses nothing
    where the mean is large beside the spread.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean: np.ndarray = np.zeros(0)
        self._spread: np.ndarray = np.zeros(0)  # summed squared distances from the mean

    def add(self, block: np.ndarray) -> None:
        """Count a block of shape (n, ...) in; all blocks share the trailing shape."""
        values = block.astype(np.float64)
        n = len(values)
        if not n:
            return
        mean = values.sum(0) / n
        values -= mean
        self._join(n, mean, self._spread_of(values))

    def merge(self, other: Moments) -> None:
        """Count in all that another counted."""
        if other.count:
            self._join(other.count, other.mean, other._spread.copy())

    def _join(self, n: int, mean: np.ndarray, spread: np.ndarray) -> None:
        """Count in `n` rows of this mean and spread."""
        if not self.count:
            self.count, self.mean, self._spread = n, mean, spread
            return
        total = self.count + n
        delta = mean - self.mean
        self.mean = self.mean + delta * (n / total)
        self._merge(spread, delta, self.count * n / total)
        self.count = total

    def variance(self) -> np.ndarray:
        """Return the population variance (the divisor is the count)."""
        return self._spread / self.count

    def _spread_of(self, centred: np.ndarray) -> np.ndarray:
        """Return the summed squares of a block (n, ...) less its mean."""
        return np.asarray(np.square(centred).sum(0))

    def _merge(self, spread: np.ndarray, delta: np.ndarray, share: float) -> None:
        """Add a block's spread, its mean being `delta` away from that of all before."""
        self._spread = self._spread + spread + np.square(delta) * share


class Covariance(Moments):
    """Mean and covariance of a stream of frames (n, dims); `variance` is (dims, dims)."""

    def _spread_of(self, centred: np.ndarray) -> np.ndarray:
        products: np.ndarray = centred.T @ centred
        return products

    def _merge(self, spread: np.ndarray, delta: np.ndarray, share: float) -> None:
        self._spread += spread + np.outer(delta, delta) * share


def standard_deviation(variance: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return the root of `variance`, 1 where the value is constant up to float32's rounding."""
    sd = np.sqrt(variance)
    constant = sd <= FLOAT32_NOISE * np.abs(mean)
    return np.where(constant, 1.0, sd)


def mean_and_deviation(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation (columns,) of rows (n, columns), by which z-scores are."""
    mean = rows.mean(0)
    return mean, standard_deviation(rows.var(0), mean)


@dataclass
class Statistics:
    """How features (frames, ...) are normalised before a network is given them: (x - mean) / sd.

    mean, sd: float32, what the checkpoint keeps: of shape (frames, ...) per "cell" and for the
    "mean-image", that of the last dimension (dims or channels) per "feature" or "mean", () for
    "global", "unit" and "none".
    """

    normalisation: str
    mean: np.ndarray
    sd: np.ndarray

    def apply(self, features: np.ndarray) -> np.ndarray:
        """Return normalised float32 features; per cell they may be shorter than the statistics."""
        x = features.astype(np.float32)
        if self.normalisation == "none":
            return x
        mean, sd = self.mean, self.sd
        if self.normalisation in CELLS and len(x) < len(mean):
            mean, sd = mean[: len(x)], sd[: len(x)]
        if self.normalisation != "unit":
            x -= mean
        if self.normalisation not in CENTRED:
            x /= sd
        return x


def fit(items: Iterable[np.ndarray], normalisation: str) -> Statistics:
    """Return the statistics of the training items, each (frames, ...), read once if need be.

    Raises InputError for a feature that is not finite.
    """
    if normalisation in FIXED:
        mean, sd = (np.array(value, np.float32) for value in FIXED[normalisation])
        return Statistics(normalisation, mean, sd)
    moments = Moments()
    for features in items:
        moments.add(_rows(features, normalisation))
    if not (np.isfinite(moments.mean).all() and np.isfinite(moments.variance()).all()):
        raise InputError("the training items hold features that are not finite; featurize again")
    mean, sd = moments.mean, standard_deviation(moments.variance(), moments.mean)
    if normalisation == "global":
        mean, sd = mean[0], sd[0]
    if normalisation in CENTRED:
        sd = np.ones_like(sd)
    return Statistics(normalisation, mean.astype(np.float32), sd.astype(np.float32))


def _rows(features: np.ndarray, normalisation: str) -> np.ndarray:
    """Return features (frames, ...) as rows of what has a mean and a deviation of its own."""
    if normalisation in CELLS:
        return features[np.newaxis]
    return features.reshape(-1, 1 if normalisation == "global" else features.shape[-1])
