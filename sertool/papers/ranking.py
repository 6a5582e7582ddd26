"""Several systems tested on the same speakers: corrected p-values, effect sizes, mean ranks.

A rank is that of a system's figure among all systems' on one speaker, 1 the best; ties share their
mean rank. Mean ranks, and lines that join systems not told apart, are the picture of Demšar (2006,
JMLR 7, 1-30); as Benavoli, Corani & Mangili (2016, JMLR 17, 1-10) advise, what tells two systems
apart is a test of these two, not of their ranks among others: here the paired bootstrap, its
p-values corrected by Holm (1979, Scandinavian Journal of Statistics 6, 65-70).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sertool.evaluation import measures
from sertool.evaluation.measures import Figure
from sertool.evaluation.pooling import Pooled

ALPHA = 0.05
JOINED = f"a line joins systems not told apart (corrected p ≥ {ALPHA:g})"


@dataclass(frozen=True)
class Effect:
    """How large a difference is beside how far speakers differ in it.

    d: the mean of the speakers' differences over their standard deviation (Cohen's d_z: Lakens,
    2013, Frontiers in Psychology 4:863, equation 6), None where they do not vary. wins, losses: the
    speakers on whom the first system's figure is the higher, and the lower.
    """

    d: float | None
    wins: int
    losses: int
    n: int


@dataclass(frozen=True)
class Ranking:
    """Systems by their mean rank over speakers, the best first.

    order: the systems' positions in the order of ranks; groups: (first, last) in that order,
    systems of which no two are told apart, none inside another one; p: of Friedman's test that all
    systems rank alike, None where it is not defined.
    """

    figure: Figure
    order: list[int]
    ranks: list[float]
    groups: list[tuple[int, int]]
    n_speakers: int
    p: float | None

    def rows(self) -> list[int]:
        """Return the row of each group's line, from 1, the first where it meets no other."""
        rows: list[int] = []
        ends: list[int] = []  # the last system of each row's last line
        for first, last in self.groups:
            row = next((i for i, end in enumerate(ends) if end < first), len(ends))
            ends[row : row + 1] = [last]
            rows.append(row + 1)
        return rows


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number by Holm's step-down method.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p, kind="stable")
    factors = len(p) - np.arange(len(p))
    corrected = np.minimum(1, np.maximum.accumulate(np.asarray(p)[order] * factors))
    found = np.empty(len(p))
    found[order] = corrected
    return [float(value) for value in found]


def primary(figures: Sequence[Figure]) -> Figure:
    """Return the figure that systems are ranked by: UAR of classes, CCC of the first target."""
    return next((f for f in figures if f["measure"] in ("uar", "ccc")), figures[0])


def by_speaker(run: Pooled, figure: Figure, speakers: Sequence[str]) -> np.ndarray | None:
    """Return a figure of each speaker, (speakers,), its mean over seeds; NaN where undefined.

    None where no confusion matrix tells it.
    """
    measure = measures.of_matrix(figure, run.classes, run.numbers)
    if measure is None:
        return None
    rows = measure(run.matrices[[run.clusters.index(name) for name in speakers]])
    known = ~np.isnan(rows)
    total = np.where(known, rows, 0.0).sum(1)
    return np.divide(total, known.sum(1), out=np.full(len(rows), np.nan), where=known.any(1))


def effect(left: Pooled, right: Pooled, figure: Figure) -> Effect | None:
    """Return how large the difference of two systems' figure is; None where it has no speakers."""
    ours = by_speaker(left, figure, left.clusters)
    theirs = by_speaker(right, figure, left.clusters)
    if ours is None or theirs is None:
        return None
    gaps = (ours - theirs)[~np.isnan(ours - theirs)]
    if len(gaps) < measures.FEWEST:
        return None
    spread = float(gaps.std(ddof=1))
    d = float(gaps.mean()) / spread if spread > 1e-12 else None
    return Effect(d, int((gaps > 0).sum()), int((gaps < 0).sum()), len(gaps))


def ranking(runs: Sequence[Pooled], figure: Figure, apart: np.ndarray) -> Ranking | None:
    """Rank three systems or more by a figure; apart: which two of them are told apart.

    None where too few speakers have the figure in every system.
    """
    from scipy.stats import friedmanchisquare, rankdata

    speakers = runs[0].clusters
    columns = [by_speaker(run, figure, speakers) for run in runs]
    table = np.stack([c for c in columns if c is not None], axis=1)
    table = table[~np.isnan(table).any(1)]
    if table.shape[1] < len(runs) or len(table) < measures.FEWEST:
        return None
    means = rankdata(-table, axis=1).mean(0)
    order = [int(i) for i in np.argsort(means, kind="stable")]
    differ = bool((table != table[:, :1]).any())
    p = float(friedmanchisquare(*table.T).pvalue) if differ else 1.0
    ranks = [float(value) for value in means]
    return Ranking(figure, order, ranks, _groups(order, apart), len(table), p)


def _groups(order: Sequence[int], apart: np.ndarray) -> list[tuple[int, int]]:
    """Return the longest runs of neighbours of which no two are apart, of two systems or more."""
    found: list[tuple[int, int]] = []
    for first in range(len(order)):
        last = first
        while last + 1 < len(order) and not any(
            apart[order[i], order[last + 1]] for i in range(first, last + 1)
        ):
            last += 1
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found
