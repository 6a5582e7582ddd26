"""Figures of a pooled system by name: mean over seeds, spread, interval over speakers and seeds.

Speakers and seeds are crossed: every seed's runs are tested on the same speakers. An interval is
of the mean figure of a new speaker under a new seed, by the pigeonhole bootstrap (Owen, 2007,
Annals of Applied Statistics 1(2), 386-411): speakers are drawn again with replacement, and so, on
their own, are seeds; a draw's figure is the mean, over the seeds drawn, of the figure of the
speakers drawn. Of R seeds a draw takes R - 1: with R its variance over seeds would be too small
by (R - 1) / R on average, a half with two seeds (Rao & Wu, 1988, JASA 83, 231-241, section 2).

- One seed: the interval is over speakers alone, and says nothing about another training.
- Fewer than `FEWEST` speakers: no interval, however many seeds; the standard deviation over seeds
  still tells how far trainings differ.
- Few seeds: no draw lies outside the range of the seeds there are. Where speakers vary at least as
  much as trainings, 95 % limits hold about 90 to 95 % of the time with three seeds; where
  trainings vary much more, about 80 %, and 65 % with two (tests/test_intervals.py). What speaker
  and seed do together is counted up to three times, which makes limits too wide, not too narrow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sertool import metrics, regression
from sertool.core.seeds import rng
from sertool.evaluation import curves, reliability, voted
from sertool.evaluation.pooling import Pooled, PooledSums
from sertool.evaluation.report import Report
from sertool.metrics import FEWEST, Measure, Rates

FIGURE_KEYS = ("measure", "class", "truth", "prediction", "target")
LEVEL = 0.95
Figure = Mapping[str, str]  # {"measure": "recall", "class": "anger"}, {"measure": "uar"}, …


@dataclass(frozen=True)
class Value:
    """A figure: mean over seeds, standard deviation (two seeds or more), interval (low, high).

    The interval is that of the mean over seeds; None where there are fewer than `FEWEST` speakers,
    or none is known and there are several seeds. over: what was drawn for it, "speakers", "speakers
    and seeds" or, where speakers are unknown, "files"; "" without an interval.
    """

    mean: float
    sd: float | None
    ci: tuple[float, float] | None
    n_seeds: int
    over: str = ""


def _weighted(rates: Measure) -> Measure:
    """Return the mean of a per-class rate, weighted by the classes' shares of the truth."""

    def measure(matrix: NDArray) -> Rates:
        share = matrix.sum(-1)
        values = np.where(share > 0, np.nan_to_num(rates(matrix)), 0.0)
        total = share.sum(-1)
        return np.where(total > 0, (values * share).sum(-1) / np.maximum(total, 1), np.nan)

    return measure


def _macro(rates: Measure) -> Measure:
    """Return the mean of a rate over the classes of the truth, 0 where it is undefined."""

    def measure(matrix: NDArray) -> Rates:
        present = matrix.sum(-1) > 0
        values = np.where(present, np.nan_to_num(rates(matrix)), 0.0)
        return np.where(present.any(-1), values.sum(-1) / np.maximum(present.sum(-1), 1), np.nan)

    return measure


WHOLE: dict[str, Measure] = {  # beside `metrics.METRICS`
    "macro_precision": _macro(metrics.precisions),
    "macro_recall": metrics.uar,
    "weighted_precision": _weighted(metrics.precisions),
    "weighted_recall": _weighted(metrics.recalls),
    "weighted_f1": _weighted(metrics.f1_scores),
    "support": lambda matrix: matrix.sum((-2, -1)).astype(np.float64),
    "correct": lambda matrix: np.trace(matrix, axis1=-2, axis2=-1).astype(np.float64),
    "incorrect": lambda matrix: (
        matrix.sum((-2, -1)) - np.trace(matrix, axis1=-2, axis2=-1)
    ).astype(np.float64),
}
OF_CLASS: dict[str, Measure] = {
    "recall": metrics.recalls,
    "precision": metrics.precisions,
    "f1": metrics.f1_scores,
    "support": lambda matrix: matrix.sum(-1).astype(np.float64),
}

# what no confusion matrix tells: of reports, and of a corpus or two systems, which none tells
OF_REPORT = ("log_loss", "train_log_loss", "macro_auc", "weighted_auc")
OF_FOLDS = {"fold_accuracy": "accuracy", "fold_uar": "uar"}  # mean over folds, not pooled
OF_REPORT_CLASS = ("auc", "mean_probability")
OF_CORPUS = ("count", "class_share")
OF_VOTES = tuple(voted.MEASURES)
OF_CALIBRATION = tuple(reliability.MEASURES)
OF_SUMS = {**voted.MEASURES, **reliability.MEASURES}
GAINS = ("accuracy_gain", "accuracy_gain_relative", "uar_gain", "uar_gain_relative")
# measure -> the further keys that it may come with
KNOWN: dict[str, list[tuple[str, ...]]] = {}
for _names, _keys in (
    ((*WHOLE, *OF_REPORT, *OF_VOTES, "ece", "brier", *OF_FOLDS, *GAINS, *OF_CORPUS), ()),
    ((*OF_CLASS, *OF_REPORT_CLASS, *OF_CORPUS), ("class",)),
    (("share", "count"), ("truth", "prediction")),
    (tuple(regression.MEASURES), ("target",)),
):
    for _name in _names:
        KNOWN.setdefault(_name, []).append(_keys)


def overall(pooled: Pooled) -> list[dict[str, str]]:
    """Return every figure that sums up a system: each metric, or each measure of each target."""
    if not pooled.numbers:
        names = [*metrics.known(), *(OF_CALIBRATION if pooled.calibration else ())]
        names += OF_VOTES if pooled.votes else ()
        return [{"measure": name} for name in names]
    return [{"measure": m, "target": name} for name in pooled.classes for m in regression.MEASURES]


def name_of(figure: Figure) -> str:
    """Return a figure of `overall` in one word: "uar", "ccc valence"."""
    return " ".join([figure["measure"], *([figure["target"]] if "target" in figure else [])])


def of_corpus(figure: Figure) -> bool:
    """Return whether a figure is of a corpus, and of no test: how many recordings a class has."""
    return figure["measure"] in OF_CORPUS and "truth" not in figure


def check_figure(figure: Figure) -> None:
    """Raise ValueError for a measure that is none, or that comes with other keys than its own."""
    name = figure["measure"]
    known = {key: [()] for key in metrics.known()} | KNOWN
    if name not in known:
        raise ValueError(f"measure {name!r} is none of {', '.join(sorted(known))}")
    keys = tuple(key for key in FIGURE_KEYS[1:] if key in figure)
    if keys not in known[name]:
        wanted = " or ".join(" and ".join(each) or "nothing" for each in known[name])
        given = " and ".join(keys) or "nothing"
        raise ValueError(f"measure {name!r} takes {wanted} beside it, not {given}")


def of_matrix(figure: Figure, classes: Sequence[str], numbers: bool = False) -> Measure | None:
    """Return the function of a confusion matrix that a figure is; None if it is none of one.

    numbers: of the sums of numbers, whose targets are `classes`.
    """
    name = figure["measure"]
    places = [figure[key] for key in FIGURE_KEYS[1:] if key in figure]
    if numbers != ("target" in figure) or any(place not in classes for place in places):
        return None
    at = [classes.index(place) for place in places]
    if "target" in figure:
        own = regression.MEASURES[name].compute
        return lambda sums: own(sums[..., at[0], :])
    if not at:
        metric = metrics.known().get(name)
        return metric.compute if metric else WHOLE.get(name)
    if len(at) == 1 and name in OF_CLASS and "class" in figure:
        return lambda matrix: OF_CLASS[name](matrix)[..., at[0]]
    if len(at) == 2 and name == "count":
        return lambda matrix: matrix[..., at[0], at[1]].astype(np.float64)
    if len(at) == 2 and name == "share":
        return lambda matrix: metrics.shares(matrix)[..., at[0], at[1]]
    return None


def _reported(pooled: Pooled, figure: Figure) -> list[float] | None:
    """Return, a seed, the mean over its folds of what only reports say, weighted by their tests.

    What is of a class is of the folds that test it; its mean probability is weighted by them.
    Of `OF_FOLDS` every fold weighs the same.
    """
    if not pooled.reports or pooled.numbers:
        return None
    found = []
    name, label = figure["measure"], figure.get("class")
    for each in pooled.reports:
        run = [report for report in each if isinstance(report, Report)]
        if label is not None:
            run = [r for r in run if (own := r.figures.per_class.get(label)) and own.support]
        if name in OF_FOLDS:
            rates = [fold.metrics.get(OF_FOLDS[name]) for r in run for fold in r.figures.folds]
            if None in rates:
                return None
            found.append(float(np.mean(np.array(rates, float))))
            continue
        values = [_field(report, figure) for report in run]
        weights = [report.figures.n for report in run]
        if name == "mean_probability":
            weights = [report.figures.per_class[label or ""].support for report in run]
        if any(value is None for value in values) or not sum(weights):
            return None
        found.append(float(np.average(np.array(values, float), weights=weights)))
    return found


def _field(report: Report, figure: Figure) -> float | None:
    name, classes = figure["measure"], report.figures.per_class
    if name in OF_REPORT_CLASS and set(figure) == {"measure", "class"}:
        own = classes.get(figure["class"])
        return None if own is None else own.auc if name == "auc" else own.mean_probability
    if len(figure) > 1:
        return None
    if name == "log_loss":
        return report.figures.log_loss
    if name == "train_log_loss":
        return curves.train_log_loss(report)
    if name in ("macro_auc", "weighted_auc"):
        rows = [(auc, row.support) for row in classes.values() if (auc := row.auc) is not None]
        aucs, supports = ([row[i] for row in rows] for i in (0, 1))
        weights = supports if name == "weighted_auc" else None
        return float(np.average(aucs, weights=weights)) if rows else None
    return None


def _value(runs: Rates, ci: tuple[float, float] | None, over: str = "") -> Value | None:
    if np.isnan(runs).all():
        return None
    defined = runs[~np.isnan(runs)]
    sd = float(np.std(defined, ddof=1)) if len(defined) > 1 else None
    whole = ci is not None and not np.isnan(ci).any()
    mean = float(np.mean(defined))
    return Value(mean, sd, ci, len(runs), over) if whole else Value(mean, sd, None, len(runs))


def values(
    pooled: Pooled, figures: Sequence[Figure], matrices: NDArray | None = None, seed: int = 0
) -> list[Value | None]:
    """Return each figure of a system, None where its reports do not have it.

    matrices: those of a baseline, instead of the system's own.
    """
    own = matrices is None
    given = pooled.matrices if matrices is None else matrices
    wanted = {str(i): of_matrix(f, pooled.classes, pooled.numbers) for i, f in enumerate(figures)}
    known = {name: measure for name, measure in wanted.items() if measure is not None}
    drawn: dict[str, Rates] = {}
    if paired(pooled):
        # how many were tested is not an estimate of anything, and has no interval
        uncertain = {i: m for i, m in known.items() if figures[int(i)]["measure"] != "support"}
        drawn = metrics.resample(given, uncertain, seed=seed)
    weights = _seeds(pooled, seed)
    total = given.sum(0)
    found: list[Value | None] = []
    for i, figure in enumerate(figures):
        sums = sums_of(pooled, figure) if own else None
        if sums is not None:
            found.append(_of_sums(pooled, sums, figure["measure"], weights, seed))
            continue
        measure = known.get(str(i))
        if measure is not None:
            rows = drawn.get(str(i))
            ci = None if rows is None else metrics.limits(_mean(rows, weights), LEVEL)
            found.append(_value(np.asarray(measure(total), np.float64), ci, over(pooled)))
            continue
        runs = _reported(pooled, figure) if own else None
        found.append(None if runs is None else _value(np.array(runs), None))
    return found


def sums_of(pooled: Pooled, figure: Figure) -> PooledSums | None:
    """Return the sums that a figure follows from; None if it is none of sums, or has none here."""
    if len(figure) > 1:
        return None
    name = figure["measure"]
    known = {OF_VOTES: pooled.votes, OF_CALIBRATION: pooled.calibration}
    return next((sums for names, sums in known.items() if name in names), None)


def _of_sums(
    pooled: Pooled, sums: PooledSums, name: str, weights: Rates, seed: int
) -> Value | None:
    """Return a figure of the votes or of the calibration."""
    ci, measure = None, OF_SUMS[name]
    runs = measure(sums.sums.sum(0))
    if all(sums.clusters) and len(sums.clusters) >= FEWEST:
        drawn = _mean(metrics.resample(sums.sums, {name: measure}, seed=seed)[name], weights)
        ci = reliability.limits(name, float(np.mean(runs)), drawn, LEVEL)
    return _value(runs, ci, over(pooled))


def paired(pooled: Pooled) -> bool:
    """Return whether its clusters can be drawn: enough of them, each known in every seed."""
    known = all(pooled.clusters) or (len(pooled.seeds) == 1 and not pooled.numbers)
    return len(pooled.clusters) >= FEWEST and known


def over(pooled: Pooled) -> str:
    """Return over what its intervals are: "speakers", "speakers and seeds", or "files"."""
    return f"{pooled.unit}s" + (" and seeds" if len(pooled.seeds) > 1 else "")


def _seeds(pooled: Pooled, seed: int) -> Rates:
    """Return how often each draw takes each of a system's seeds, (resamples, seeds).

    Systems of the same seeds have the same draws, so that they are paired; of others, draws of
    their own.
    """
    n = len(pooled.seeds)
    random = rng(seed, "bootstrap", "seeds", *pooled.seeds)
    drawn = random.multinomial(max(1, n - 1), [1 / n] * n, size=metrics.RESAMPLES)
    return drawn.astype(np.float64)


def _mean(rows: Rates, weights: Rates) -> Rates:
    """Return the weighted mean over runs (resamples, runs), NaN where it is undefined."""
    weights = np.where(np.isnan(rows), 0.0, weights)
    total, n = (np.nan_to_num(rows) * weights).sum(-1), weights.sum(-1)
    return np.divide(total, n, out=np.full(len(rows), np.nan), where=n > 0)


@dataclass(frozen=True)
class Difference:
    """One system's figure less another's, its interval, and a two-sided bootstrap p-value.

    p is twice the smaller share of draws on either side of zero (Efron & Tibshirani, 1993,
    section 15.4), at least 1 / resamples; None, like the interval, where no draw is defined.
    """

    value: float
    ci: tuple[float, float] | None
    p: float | None


def alike(left: Pooled, right: Pooled) -> str | None:
    """Return why two systems cannot be compared speaker by speaker; None where they can."""
    reason = same_test(left, right)
    if reason is None and len(left.clusters) < FEWEST:
        reason = f"at least {FEWEST} speakers are needed, and there are {len(left.clusters)}"
    return reason


def same_test(left: Pooled, right: Pooled) -> str | None:
    """Return why two systems were not tested on the same classes and speakers, or None."""
    if left.numbers != right.numbers or left.classes != right.classes:
        return f"their {'targets' if left.numbers and right.numbers else 'classes'} differ"
    if not (all(left.clusters) and all(right.clusters)):
        return "the speakers of some recordings are unknown"
    if set(left.clusters) != set(right.clusters):
        only = sorted(set(left.clusters) ^ set(right.clusters))
        return f"only one of them was tested on {only[0]}"
    return None


def differences(left: Pooled, right: Pooled, figures: Sequence[Figure], seed: int = 0) -> list[Any]:
    """Return left − right of each figure as a `Difference`, None where one is undefined.

    A paired bootstrap: the same speakers are drawn for both, and the same seeds where both have the
    same (`pooling.shared` makes it so); else each its own. Raises ValueError unless `alike`.
    """
    reason = alike(left, right)
    if reason:
        raise ValueError(reason)
    order = [right.clusters.index(name) for name in left.clusters]
    both = np.concatenate([left.matrices, right.matrices[order]], axis=1)
    wanted = {str(i): of_matrix(f, left.classes, left.numbers) for i, f in enumerate(figures)}
    known = {name: measure for name, measure in wanted.items() if measure is not None}
    drawn = metrics.resample(both, known, seed=seed)
    n = len(left.seeds)
    weights = [_seeds(system, seed) for system in (left, right)]
    found: list[Difference | None] = []
    for name, measure in wanted.items():
        if measure is None:
            found.append(_gap_of_sums(left, right, figures[int(name)], weights, seed))
            continue
        found.append(_difference(measure(both.sum(0)), drawn[name], n, weights))
    return found


def _difference(whole: Rates, drawn: Rates, n: int, weights: Sequence[Rates]) -> Difference | None:
    """Return the difference of the first `n` runs and the others; None where it is undefined.

    whole: (runs,) values of everything; drawn: (resamples, runs); weights: of each side's seeds.
    """

    def gap(rows: Rates, ours: Rates, theirs: Rates) -> Rates:
        return _mean(rows[:, :n], ours) - _mean(rows[:, n:], theirs)

    own = np.asarray(whole, np.float64)[None]
    value = float(gap(own, *(np.ones((1, w.shape[1])) for w in weights))[0])
    rows = gap(drawn, *weights)
    rows = rows[~np.isnan(rows)]
    if np.isnan(value) or not len(rows):
        return None
    side = min((rows <= 0).mean(), (rows >= 0).mean())
    p = min(1.0, max(2 * float(side), 1 / len(rows)))
    return Difference(value, metrics.limits(rows, LEVEL), p)


def _gap_of_sums(
    left: Pooled, right: Pooled, figure: Figure, weights: Sequence[Rates], seed: int
) -> Difference | None:
    """Return the difference of a figure of sums, None where their tests are not the same."""
    ours, theirs = sums_of(left, figure), sums_of(right, figure)
    name = figure["measure"]
    if ours is None or theirs is None or ours.clusters != theirs.clusters:
        return None
    if name in OF_VOTES and not same_votes(left, right):
        return None
    if not all(ours.clusters) or len(ours.clusters) < FEWEST:
        return None
    both = np.concatenate([ours.sums, theirs.sums], axis=1)
    measure = OF_SUMS[name]
    drawn = metrics.resample(both, {name: measure}, seed=seed)[name]
    return _difference(measure(both.sum(0)), drawn, len(left.seeds), weights)


def same_votes(left: Pooled, right: Pooled) -> bool:
    """Return whether two systems were tested by votes on as many of the same speakers."""
    ours, theirs = left.votes, right.votes
    if ours is None or theirs is None or ours.clusters != theirs.clusters:
        return False
    entropy = [(v.sums[..., 2] - v.sums[..., 1]).sum(0).mean() for v in (ours, theirs)]
    same = np.array_equal(ours.sums[:, 0, 0], theirs.sums[:, 0, 0])
    return same and bool(np.isclose(*entropy))
