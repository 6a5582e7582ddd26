"""Tests against raters' votes: how far a posterior is from the shares of the votes, in nats.

The cross-entropy −Σ s ln p of shares s and posteriors p, and the Kullback-Leibler divergence, which
is that less the entropy of the shares: 0 where the posterior is the shares. A posterior of 0 counts
as float64's epsilon. What is tested adds up as sums (n, Σ divergence, Σ cross-entropy).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sertool import metrics
from sertool.evaluation.report import VOTE_SUMS, Limits, VoteFigures
from sertool.evaluation.results import clusters, group_of, number
from sertool.items import Item

LABELS = {"votes_kl": "KL from votes", "votes_cross_entropy": "cross-entropy to votes"}


def _mean(place: int) -> Callable[[NDArray], NDArray]:
    def measure(sums: NDArray) -> NDArray:
        n = sums[..., 0]
        return np.divide(sums[..., place], n, out=np.full(n.shape, np.nan), where=n > 0)

    return measure


MEASURES = {"votes_kl": _mean(1), "votes_cross_entropy": _mean(2)}  # of sums (..., 3)


@dataclass(frozen=True)
class Voted:
    """What was tested by votes, one entry per unit (a file or an item).

    shares: (n, classes) of the votes for classes that the model knows, each row of sum 1. labelled:
    (n,) bool, whether a majority is tested, too.
    """

    shares: np.ndarray
    units: list[Item]
    labelled: np.ndarray


def figures(tested: Voted, posterior: np.ndarray, *, level: float, seed: int) -> VoteFigures:
    """Return the figures of one system, model or baseline, of its posteriors (n, classes).

    Intervals are percentiles of a bootstrap over speakers (see `metrics.resample`).
    """
    rows = _rows(tested.shares, posterior)
    names, _ = clusters(tested.units)
    sums = _by(rows, names)
    total = rows.sum(0)
    kl, cross = (number(float(measure(total))) for measure in MEASURES.values())
    speakers = [group_of(unit, "speaker") for unit in tested.units]
    known = [i for i, name in enumerate(speakers) if name is not None]
    by = _by(rows[known], [speakers[i] for i in known])
    return VoteFigures(
        n=len(rows),
        undecided=int((~tested.labelled).sum()),
        kl=kl,
        cross_entropy=cross,
        ci=_limits(np.stack(list(sums.values())), level, seed),
        sums=total.tolist(),
        speakers={str(name): by[name].tolist() for name in sorted(by, key=str)},
    )


def _rows(shares: np.ndarray, posterior: np.ndarray) -> np.ndarray:
    """Return (n, 3): 1, the divergence and the cross-entropy of each unit."""
    given = np.log(np.maximum(posterior, np.finfo(np.float64).eps))
    own = np.log(np.where(shares > 0, shares, 1.0))
    cross = -(shares * given).sum(1)
    return np.stack([np.ones(len(shares)), cross + (shares * own).sum(1), cross], 1)


def _by(rows: np.ndarray, names: Sequence[Hashable]) -> dict[Hashable, np.ndarray]:
    """Return the sums (3,) by name, in order of first sight."""
    found: dict[Hashable, np.ndarray] = {}
    for name, row in zip(names, rows, strict=True):
        found[name] = found.get(name, np.zeros(VOTE_SUMS)) + row
    return found


def _limits(sums: np.ndarray, level: float, seed: int) -> Limits:
    """Return the interval of each measure from sums (clusters, 3)."""
    if len(sums) < metrics.FEWEST:
        return {name.removeprefix("votes_"): (None, None) for name in MEASURES}
    drawn = metrics.resample(sums[:, None], MEASURES, seed=seed)
    pairs = {name: metrics.limits(rows[:, 0], level) for name, rows in drawn.items()}
    return {
        name.removeprefix("votes_"): (number(low), number(high))
        for name, (low, high) in pairs.items()
    }
