"""Metrics of a classification: pure functions of class indices, posteriors, confusion matrices.

A confusion matrix is (classes, classes), rows the truth, columns the prediction. Functions of a
matrix take a stack of them too, shape (..., classes, classes), so that a bootstrap is one call.
Values are NaN where they are undefined (no item at all, a class that never occurs).

`METRICS` is the table of single numbers that sum up a confusion matrix. One entry there, or one
from the entry point `sertool.metrics`, is computed, printed, stored, bootstrapped, pooled and
compared by `eval` and `report`.
"""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sertool.core import plugins
from sertool.core.errors import InputError
from sertool.core.seeds import rng

RESAMPLES = 2000  # percentile limits of 95 % then rest on 50 resamples per side
FEWEST = 5  # clusters: of four, a resample has at most 35 different outcomes
_BLOCK = 2_000_000  # numbers held at once by a bootstrap: 16 MB
_DENSE = 100  # classes of a matrix that a bootstrap makes whole for every draw

Matrix = NDArray[np.int64]
Rates = NDArray[np.float64]


@dataclass(frozen=True)
class Margins:
    """What most metrics need of confusion matrices: for each class, (..., classes) each.

    right: how often it was recognised; true: how often it occurs; said: how often it was said.
    """

    right: NDArray
    true: NDArray
    said: NDArray


Counts = NDArray | Margins


def margins(matrix: Counts) -> Margins:
    """Return the margins of matrices (..., classes, classes), or those that are given.

    >>> margins(np.array([[3, 1], [0, 2]])).said.tolist()
    [3, 3]
    """
    if isinstance(matrix, Margins):
        return matrix
    return Margins(np.diagonal(matrix, axis1=-2, axis2=-1), matrix.sum(-1), matrix.sum(-2))


def confusion(truth: NDArray[np.integer], predicted: NDArray[np.integer], n_classes: int) -> Matrix:
    """Count (n,) true against (n,) predicted class indices: (n_classes, n_classes), rows the truth.

    Raises ValueError when the two differ in length or an index is not a class.
    """
    truth, predicted = np.asarray(truth, np.int64), np.asarray(predicted, np.int64)
    if truth.shape != predicted.shape or truth.ndim != 1:
        raise ValueError(f"truth {truth.shape} and prediction {predicted.shape} do not match")
    both = np.concatenate([truth, predicted])
    if both.size and not (both.min() >= 0 and both.max() < n_classes):
        raise ValueError(f"class indices must lie in 0..{n_classes - 1}")
    cells = np.bincount(truth * n_classes + predicted, minlength=n_classes**2)
    return cells.reshape(n_classes, n_classes).astype(np.int64, copy=False)


def ratio(above: NDArray, below: NDArray) -> Rates:
    """Return above / below, NaN where below is 0."""
    below = np.asarray(below, np.float64)
    return np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 0)


def _mean_where(values: Rates, present: NDArray[np.bool_]) -> Rates:
    """Mean over the last axis of the values marked present; NaN where none is."""
    return ratio(np.where(present, values, 0.0).sum(-1), present.sum(-1))


def accuracy(matrix: Counts) -> Rates:
    """Weighted accuracy (WA), the share of items classified correctly."""
    own = margins(matrix)
    return ratio(own.right.sum(-1), own.true.sum(-1))


def recalls(matrix: Counts) -> Rates:
    """Recall of each class, shape (..., classes); NaN for a class that the truth does not hold."""
    own = margins(matrix)
    return ratio(own.right, own.true)


def shares(matrix: NDArray) -> Rates:
    """Each row over its sum, shape (..., classes, classes); NaN for a class not in the truth."""
    return ratio(matrix, np.broadcast_to(matrix.sum(-1, keepdims=True), matrix.shape))


def precisions(matrix: Counts) -> Rates:
    """Precision of each class, shape (..., classes); NaN for a class that was never predicted."""
    own = margins(matrix)
    return ratio(own.right, own.said)


def f1_scores(matrix: Counts) -> Rates:
    """F1 of each class, 2 TP / (support + predicted); NaN for one neither true nor predicted."""
    own = margins(matrix)
    return ratio(2 * own.right, own.true + own.said)


def uar(matrix: Counts) -> Rates:
    """Unweighted average recall: the mean recall over the classes present in the truth.

    scikit-learn's `balanced_accuracy_score`; the measure of the INTERSPEECH 2009 Emotion Challenge
    (Schuller, Steidl & Batliner, section 4).
    """
    own = margins(matrix)
    return _mean_where(recalls(own), own.true > 0)


def macro_f1(matrix: Counts) -> Rates:
    """Mean F1 over the classes that are present in the truth or predicted.

    scikit-learn's `f1_score(average="macro")` with its own labels. A class that occurs in neither
    says nothing about the model and is left out, so that a model of eight classes can be tested
    on a corpus of four.
    """
    own = margins(matrix)
    return _mean_where(f1_scores(own), (own.true + own.said) > 0)


def kappa(matrix: Counts) -> Rates:
    """Cohen's kappa (1960), the agreement beyond chance: (p_o − p_e) / (1 − p_e), −1 to 1.

    scikit-learn's `cohen_kappa_score`. NaN where truth and prediction are one and the same class.
    """
    own = margins(matrix)
    n = own.true.sum(-1)
    chance = ratio((own.true * own.said).sum(-1), n.astype(np.float64) ** 2)
    return ratio(accuracy(own) - chance, 1 - chance)


def mcc(matrix: Counts) -> Rates:
    """Matthews' correlation coefficient for several classes (Gorodkin, 2004, eq. 8), −1 to 1.

    scikit-learn's `matthews_corrcoef`: 0 where every truth or every prediction is one class.
    """
    own = margins(matrix)
    true, predicted = (counts.astype(np.float64) for counts in (own.true, own.said))
    n = true.sum(-1)
    covariance = own.right.sum(-1) * n - (true * predicted).sum(-1)
    scale = np.sqrt((n**2 - (predicted**2).sum(-1)) * (n**2 - (true**2).sum(-1)))
    return np.where(n > 0, np.nan_to_num(ratio(covariance, scale)), np.nan)


_OF_MARGINS = {accuracy, recalls, precisions, f1_scores, uar, macro_f1, kappa, mcc}
Measure = Callable[[Any], Rates]
GROUP = "sertool.metrics"  # entry points


@dataclass(frozen=True)
class Metric:
    """One number that sums up a confusion matrix.

    compute: from matrices (..., classes, classes) to values (...), NaN where undefined. label: a
    table's heading. percent: whether people read it as a percentage. low, high: its range.
    overview: whether `report` gives it a column in its overview of systems.
    """

    name: str
    compute: Measure
    label: str
    percent: bool = True
    low: float = 0.0
    high: float = 1.0
    overview: bool = True


ACCURACY = Metric("accuracy", accuracy, "WA")
UAR = Metric("uar", uar, "UAR")
MACRO_F1 = Metric("macro_f1", macro_f1, "macro-F1")
KAPPA = Metric("kappa", kappa, "kappa", percent=False, low=-1.0, overview=False)
MCC = Metric("mcc", mcc, "MCC", percent=False, low=-1.0, overview=False)
METRICS = {metric.name: f"sertool.metrics:{metric.name.upper()}"
           for metric in (ACCURACY, UAR, MACRO_F1, KAPPA, MCC)}  # fmt: skip


@functools.cache
def known() -> dict[str, Metric]:
    """Return every metric by its name: those of `METRICS`, then those of entry points."""
    names = plugins.names(METRICS, GROUP)
    found = {name: plugins.lookup(METRICS, GROUP, name) for name in names}
    for name, metric in found.items():
        if not isinstance(metric, Metric):
            raise InputError(f"plug-in metric {name}: is not a Metric of sertool.metrics")
    return found


def compute(matrix: NDArray) -> dict[str, float | None]:
    """Return every metric of one confusion matrix, None where it is undefined."""
    values = {name: float(metric.compute(matrix)) for name, metric in known().items()}
    return {name: None if np.isnan(value) else value for name, value in values.items()}


def auc(positive: NDArray[np.bool_], scores: NDArray[np.floating]) -> float:
    """Area under the ROC curve of (n,) scores: the chance that a positive ranks above a negative.

    Ties count half (Mann-Whitney U by mid-ranks; scikit-learn's `roc_auc_score`).
    NaN when either kind is missing.
    """
    positive = np.asarray(positive, bool)
    n_positive = int(positive.sum())
    n_negative = positive.size - n_positive
    if n_positive == 0 or n_negative == 0:
        return float("nan")
    _, group, count = np.unique(np.asarray(scores), return_inverse=True, return_counts=True)
    mid_ranks = np.cumsum(count) - (count - 1) / 2.0
    rank_sum = float(mid_ranks[group.reshape(-1)][positive].sum())
    return (rank_sum - n_positive * (n_positive + 1) / 2.0) / (n_positive * n_negative)


def aucs(truth: NDArray[np.integer], posterior: NDArray[np.floating]) -> Rates:
    """One-vs-rest AUC of each class (classes,) from (n,) indices, (n, classes) posteriors."""
    return np.array([auc(truth == k, posterior[:, k]) for k in range(posterior.shape[1])])


def true_probabilities(truth: NDArray[np.integer], posterior: NDArray[np.floating]) -> Rates:
    """Mean posterior of the true class over each class's items: (classes,), NaN without items.

    truth: (n,) indices; posterior: (n, classes).
    """
    truth, given = np.asarray(truth, np.int64), np.asarray(posterior, np.float64)
    n_classes = given.shape[1]
    own = np.bincount(truth, weights=given[np.arange(len(truth)), truth], minlength=n_classes)
    return ratio(own, np.bincount(truth, minlength=n_classes))


def log_loss(truth: NDArray[np.integer], posterior: NDArray[np.floating]) -> float:
    """Mean cross-entropy −ln p(true class) in nats, of (n,) indices and (n, classes) posteriors.

    A posterior of 0 counts as float64's epsilon (scikit-learn's `log_loss`). NaN without items.
    """
    if not len(truth):
        return float("nan")
    given = np.asarray(posterior, np.float64)[np.arange(len(truth)), truth]
    return float(-np.log(np.maximum(given, np.finfo(np.float64).eps)).mean())


def tempered(posterior: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
    """Return posteriors (n, classes) to the power 1 / temperature, each row of sum 1 again.

    That is a softmax whose logits are divided by the temperature: above 1 it is less sure.
    """
    floor = np.finfo(np.float64).tiny
    logits = np.log(np.maximum(np.asarray(posterior, np.float64), floor)) / temperature
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    shares: NDArray[np.float64] = odds / odds.sum(-1, keepdims=True)
    return shares


def cluster_matrices(
    truth: NDArray[np.integer],
    predicted: NDArray[np.integer],
    clusters: Sequence[Hashable],
    n_classes: int,
) -> tuple[list[Hashable], Matrix]:
    """Return (cluster names by first sight, matrices (clusters, classes, classes))."""
    if len(clusters) != len(truth):
        raise ValueError(f"{len(clusters)} clusters for {len(truth)} items")
    number: dict[Hashable, int] = {}
    index = np.array([number.setdefault(name, len(number)) for name in clusters], np.int64)
    cells = (index * n_classes + truth) * n_classes + predicted
    counts = np.bincount(cells, minlength=len(number) * n_classes**2)
    return list(number), counts.reshape(len(number), n_classes, n_classes).astype(
        np.int64, copy=False
    )


def resample(
    matrices: NDArray,
    measures: Mapping[str, Measure],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Rates]:
    """Draw whole clusters again, with replacement: {measure: its values (resamples, runs)}.

    matrices: (clusters, runs, classes, classes), the confusion matrix of each cluster in each run
    (seed, or system), or other counts and sums that add up (see `regression`); a cluster is drawn
    for all runs alike, so that their values are paired. What one speaker says is not independent,
    so clusters are speakers, and not their utterances (the cluster bootstrap of Davison & Hinkley,
    1997, section 3.8). Equal clusters are drawn as one multinomial cell: a hundred thousand single
    files cost no more than classes² cells. Of many classes only the margins of a draw are made
    where the measures need no more, which costs what the tests do.
    """
    n_clusters, *shape = matrices.shape
    if len(shape) == 3 and shape[-1] > _DENSE:
        flat = matrices.reshape(n_clusters, -1)
        cluster, cell = np.nonzero(flat)
        filled = _kinds(cluster, cell, flat[cluster, cell], n_clusters)
        return _resample_many(filled, shape[0], shape[-1], measures, resamples, seed)
    kinds, times = np.unique(matrices.reshape(n_clusters, -1), axis=0, return_counts=True)
    random = rng(seed, "bootstrap")
    block = max(1, _BLOCK // (len(kinds) + kinds.shape[1]))
    drawn: dict[str, list[Rates]] = {name: [] for name in measures}
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        weights = random.multinomial(n_clusters, times / n_clusters, size=size)
        pooled = (weights @ kinds).reshape(size, *shape)
        for name, measure in measures.items():
            drawn[name].append(measure(pooled))
    return {name: np.concatenate(values) for name, values in drawn.items()}


def _resample_many(
    kinds: _Kinds, runs: int, k: int, measures: Mapping[str, Measure], resamples: int, seed: int
) -> dict[str, Rates]:
    """Return what `resample` does of matrices of many classes, most of whose cells are empty.

    Whole matrices are made only for measures that need more than margins, a draw at a time.
    """
    true, said = kinds.cell // k, kinds.cell // (k * k) * k + kinds.cell % k
    hits = true == said
    whole = not _OF_MARGINS.issuperset(measures.values())
    random = rng(seed, "bootstrap")
    held = len(kinds.times) + len(kinds.cell) + (runs * k**2 if whole else 3 * runs * k)
    block = max(1, _BLOCK // held)
    drawn: dict[str, list[Rates]] = {name: [] for name in measures}
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        share = kinds.times / kinds.times.sum()
        weights = random.multinomial(kinds.times.sum(), share, size=size)
        counts = weights[:, kinds.kind] * kinds.count
        sums = [_summed(counts[:, hits], true[hits], runs * k)]
        sums += [_summed(counts, place, runs * k) for place in (true, said)]
        own = Margins(*(one.reshape(size, runs, k) for one in sums))
        full = None
        if whole:
            full = _summed(counts, kinds.cell, runs * k**2).reshape(size, runs, k, k)
        for name, measure in measures.items():
            drawn[name].append(measure(own if measure in _OF_MARGINS else full))
    return {name: np.concatenate(values) for name, values in drawn.items()}


@dataclass(frozen=True)
class _Kinds:
    """Clusters that are not the same: how many are of each kind, and the cells that it fills.

    times: (kinds,). kind, cell, count: an entry a filled cell, which is numbered through runs,
    truths and predictions.
    """

    times: NDArray
    kind: NDArray
    cell: NDArray
    count: NDArray


def _kinds(cluster: NDArray, cell: NDArray, count: NDArray, n: int) -> _Kinds:
    """Return the kinds of `n` clusters by the cells (entries,) that each fills.

    In the order of their matrices, as `np.unique` has it, so that draws are the same.
    """
    order = np.lexsort((cell, cluster))
    entries = np.stack([-cell[order], count[order]], 1).tolist()
    begins = np.searchsorted(cluster[order], np.arange(n + 1)).tolist()
    rows = [tuple(map(tuple, entries[a:b])) for a, b in itertools.pairwise(begins)]
    found = sorted(Counter(rows).items())
    filled = np.array([pair for row, _ in found for pair in row], np.int64).reshape(-1, 2)
    return _Kinds(
        np.array([times for _, times in found], np.int64),
        np.repeat(np.arange(len(found)), [len(row) for row, _ in found]),
        -filled[:, 0],
        filled[:, 1],
    )


def _summed(counts: NDArray, places: NDArray, n: int) -> NDArray:
    """Return counts (draws, entries) added up where places (entries,) are equal, (draws, n)."""
    made = np.zeros((len(counts), n), counts.dtype)
    if len(places):
        order = np.argsort(places, kind="stable")
        firsts, begins = np.unique(places[order], return_index=True)
        made[:, firsts] = np.add.reduceat(counts[:, order], begins, axis=1)
    return made


def limits(values: Rates, level: float) -> tuple[float, float]:
    """Return the percentile interval of `level` of (resamples,) values; NaN where all are."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie between 0 and 1, not {level}")
    if np.isnan(values).all():
        return float("nan"), float("nan")
    low, high = np.nanpercentile(values, [50.0 * (1.0 - level), 50.0 * (1.0 + level)])
    return float(low), float(high)


def bootstrap(
    matrices: Matrix,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of every metric when whole clusters are drawn again.

    matrices: (clusters, classes, classes), one confusion matrix a speaker; see `resample`. Fewer
    than `FEWEST` clusters say too little about another speaker: the limits are NaN.
    """
    measures = {name: metric.compute for name, metric in known().items()}
    if len(matrices) < FEWEST:
        nothing = np.full(1, np.nan)
        return {name: limits(nothing, level) for name in measures}
    drawn = resample(matrices[:, None], measures, resamples, seed)
    return {name: limits(values, level) for name, values in drawn.items()}


def bootstrap_tests(
    truth: NDArray[np.integer],
    predicted: NDArray[np.integer],
    clusters: Sequence[Hashable],
    n_classes: int,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """Return what `bootstrap` does, of tests; a matrix a cluster is made only where that is little.

    truth, predicted: (n,) indices; clusters: (n,), what each test is drawn with.
    """
    number = {name: i for i, name in enumerate(dict.fromkeys(clusters))}
    if len(number) < FEWEST or (n_classes <= _DENSE and len(number) * n_classes**2 <= _BLOCK):
        matrices = cluster_matrices(truth, predicted, clusters, n_classes)[1]
        return bootstrap(matrices, level, resamples, seed)
    cells = np.array([number[name] for name in clusters], np.int64) * n_classes**2
    cells += np.asarray(truth, np.int64) * n_classes + predicted
    filled, count = np.unique(cells, return_counts=True)
    kinds = _kinds(*np.divmod(filled, n_classes**2), count, len(number))
    measures = {name: metric.compute for name, metric in known().items()}
    drawn = _resample_many(kinds, 1, n_classes, measures, resamples, seed)
    return {name: limits(values, level) for name, values in drawn.items()}


def pool_posteriors(rows: np.ndarray, pool: str) -> tuple[np.ndarray, int]:
    """Return (posterior (classes,), predicted index) of one file from its segments' (n, classes).

    mean: the arithmetic mean. max: each class's highest, renormalised. vote: the share of
    segments that each class wins; a tie goes to the higher mean.
    """
    mean = rows.mean(0)
    if pool == "max":
        highest = rows.max(0)
        posterior = highest / highest.sum()
    elif pool == "vote":
        votes = np.bincount(rows.argmax(1), minlength=rows.shape[1])
        leading = np.where(votes == votes.max(), mean, -1.0)
        return votes / len(rows), int(leading.argmax())
    else:
        posterior = mean
    return posterior, int(posterior.argmax())
