"""How sure a model is, and how often it is right then: calibration error, Brier score, log loss.

The expected calibration error (ECE) is the mean distance of confidence from accuracy over `BINS`
bins of confidence of equal width, weighted by their items (Guo et al. 2017, ICML, section 2,
equation 3, with their 15 bins). The Brier score is the mean squared distance of the posterior from
the truth, summed over classes, 0 to 2 (Brier 1950, Monthly Weather Review 78, 1-3). Both follow,
like the log loss, from sums that add up over items, so that folds are pooled and speakers drawn
again; bins of equal mass would not.

The draws of a bootstrap over speakers have an ECE that is too high: each adds noise to every bin,
and noise counts by its absolute value, all the more the better a model is calibrated. Its interval
has the percentile as its upper limit, and a lower one as far below the value, which is that of the
basic bootstrap (Davison & Hinkley 1997, section 5.2); tests/test_reliability.py has how often it
holds. The others' intervals are percentiles, like those of all metrics.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from sertool import metrics
from sertool.evaluation.report import BINS, CalibrationFigures, Limits
from sertool.metrics import Measure, Rates

_FIRST = 3  # sums before those of the bins: items, squared distances, losses
EDGES = np.linspace(0, 1, BINS + 1)
LABELS = {"ece": "ECE", "brier": "Brier", "log_loss": "cross-entropy"}


def _mean(place: int) -> Measure:
    def measure(sums: NDArray) -> Rates:
        return metrics.ratio(sums[..., place], sums[..., 0])

    return measure


def _ece(sums: NDArray) -> Rates:
    bins = by_bin(sums)
    return metrics.ratio(np.abs(bins[..., 2] - bins[..., 1]).sum(-1), sums[..., 0])


MEASURES: dict[str, Measure] = {"ece": _ece, "brier": _mean(1), "log_loss": _mean(2)}


def by_bin(sums: NDArray) -> NDArray:
    """Return, of sums (..., 3 + 3 BINS), each bin's items, right ones and confidence.

    Shape (..., BINS, 3); the confidence is a sum over the bin's items.
    """
    return sums[..., _FIRST:].reshape(*sums.shape[:-1], BINS, 3)


def rows(
    truth: NDArray[np.integer],
    posterior: NDArray[np.floating],
    predicted: NDArray[np.integer] | None = None,
) -> Rates:
    """Return the sums of each item alone, (n, 3 + 3 BINS).

    truth, predicted: (n,) indices, the likeliest class if not given; posterior: (n, classes). The
    confidence is the posterior of what is predicted. Bins contain their upper edge.
    """
    given = np.asarray(posterior, np.float64)
    said = given.argmax(1) if predicted is None else np.asarray(predicted)
    every = np.arange(len(given))
    own = given[every, truth]
    made = np.zeros((len(given), _FIRST + 3 * BINS))
    made[:, 0] = 1
    made[:, 1] = (given**2).sum(1) - own**2 + (1 - own) ** 2
    made[:, 2] = -np.log(np.maximum(own, np.finfo(np.float64).eps))
    sure = given[every, said]
    at = np.searchsorted(EDGES[1:-1], sure)
    by_bin(made)[every, at] = np.stack([np.ones(len(given)), said == truth, sure], 1)
    return made


def calibration_error(truth: NDArray[np.integer], posterior: NDArray[np.floating]) -> float:
    """Return the ECE of posteriors (n, classes) and true indices (n,), NaN without items.

    >>> sure = np.array([[0.9, 0.1]] * 10)
    >>> round(calibration_error(np.array([0] * 6 + [1] * 4), sure), 3)  # right six times of ten
    0.3
    """
    return float(_ece(rows(truth, posterior).sum(0)))


def figures(
    truth: NDArray[np.integer],
    posterior: NDArray[np.floating],
    predicted: NDArray[np.integer],
    clusters: Sequence[Hashable],
    speakers: Sequence[str | None],
    *,
    level: float,
    seed: int,
) -> CalibrationFigures:
    """Return how well one system, model or baseline, is calibrated (see `rows`).

    clusters: what each item is drawn with; speakers: whose it is, None where that is unknown.
    """
    each = rows(truth, posterior, predicted)
    total = each.sum(0)
    known = [i for i, name in enumerate(speakers) if name is not None]
    own = _by(each[known], [speakers[i] for i in known])
    values = {name: _number(float(measure(total))) for name, measure in MEASURES.items()}
    return CalibrationFigures(
        **values,
        bins=BINS,
        ci=_limits(np.stack([*_by(each, clusters).values()]) if len(each) else each, level, seed),
        sums=total.tolist(),
        speakers={str(name): own[name].tolist() for name in sorted(own, key=str)},
    )


def limits(name: str, value: float, drawn: Rates, level: float) -> tuple[float, float]:
    """Return the interval of a measure from its draws (resamples,); see the module."""
    low, high = metrics.limits(drawn, level)
    return (max(0.0, min(value, 2 * value - high)), high) if name == "ece" else (low, high)


def _by(each: Rates, names: Sequence[Hashable]) -> dict[Hashable, Rates]:
    """Return the sums by name, in order of first sight."""
    number: dict[Hashable, int] = {}
    index = [number.setdefault(name, len(number)) for name in names]
    made = np.zeros((len(number), each.shape[1]))
    np.add.at(made, index, each)
    return dict(zip(number, made, strict=True))


def _limits(sums: Rates, level: float, seed: int) -> Limits:
    """Return the interval of each measure from sums (clusters, 3 + 3 BINS)."""
    if len(sums) < metrics.FEWEST:
        return dict.fromkeys(MEASURES, (None, None))
    drawn = metrics.resample(sums[:, None], MEASURES, seed=seed)
    total, made = sums.sum(0), {}
    for name, measure in MEASURES.items():
        low, high = limits(name, float(measure(total)), drawn[name][:, 0], level)
        made[name] = (_number(low), _number(high))
    return made


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value
