"""What is fitted to several corpora, so that it holds on others (`train --across-corpora`)."""

from __future__ import annotations

import numpy as np

from sertool.models.inner_folds import rates
from sertool.models.statistics import standard_deviation


def alike(targets: np.ndarray, corpora: np.ndarray) -> np.ndarray:
    """Return weights (n,) of mean 1, by which each class of each corpus counts as much.

    targets, corpora: (n,) int64 indices.

    >>> alike(np.array([0, 0, 1, 0]), np.array([0, 0, 0, 1])).round(2).tolist()
    [0.67, 0.67, 1.33, 1.33]
    """
    counts = np.zeros((corpora.max() + 1, targets.max() + 1))
    np.add.at(counts, (corpora, targets), 1)
    shares: np.ndarray = 1 / counts[corpora, targets]
    return shares / shares.mean()


def moments(rows: np.ndarray, corpora: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (rows less the mean of their corpus (n, columns), mean of these means, deviation).

    An unknown corpus is taken to lie at the mean, around which corpora lie by microphone, room and
    language; the deviation is that within a corpus. Mean and deviation: (columns,).

    >>> rows = np.array([[1.0], [3.0], [12.0], [10.0], [11.0]])
    >>> centred, mean, sd = moments(rows, np.array([0, 0, 1, 1, 1]))
    >>> centred.ravel().tolist(), mean.tolist(), sd.round(3).tolist()
    ([-1.0, 1.0, 1.0, -1.0, 0.0], [6.5], [0.894])
    """
    names, home = np.unique(corpora, return_inverse=True)
    means = np.stack([rows[home == k].mean(0) for k in range(len(names))])
    centred = rows - means[home]
    mean = means.mean(0)
    return centred, mean, standard_deviation(centred.var(0), mean)


def mean_rates(
    decisions: np.ndarray, targets: np.ndarray, corpora: np.ndarray, search: str
) -> np.ndarray:
    """Return the mean over corpora of `rates` of decisions (candidates, n, classes)."""
    each = [
        rates(decisions[:, corpora == k], targets[corpora == k], search) for k in np.unique(corpora)
    ]
    return np.asarray(np.mean(each, 0))
