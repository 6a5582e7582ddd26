"""Support vector machines: C and sigma chosen by folds within the training part.

The last stage of Huang, Dong, Mao & Zhan (2014), "Speech emotion recognition using CNN", who
choose C and sigma by a grid search and give no details. Classes are separated pairwise; the class
of most won pairs wins, and between as many the sum of the decisions (as `SVC` of scikit-learn with
`break_ties`).
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from sertool.core import workers
from sertool.core.errors import InputError
from sertool.core.memory import TooMuch, afford
from sertool.core.settings import setting
from sertool.models import graphs
from sertool.models.contract import Tabular
from sertool.models.inner_folds import (
    candidates,
    fit_temperature,
    inner_folds,
    rates,
    said,
)
from sertool.models.layer_choice import LayerSettings
from sertool.models.linear import over_time, softmax
from sertool.models.statistics import mean_and_deviation

if TYPE_CHECKING:
    from sertool.formats.onnx_graph import Graph

STATISTICS = {
    "mean": lambda values: values.mean(0),
    "sd": lambda values: values.std(0),
    "min": lambda values: values.min(0),
    "max": lambda values: values.max(0),
    "range": lambda values: np.ptp(values, 0),
}
MOST_ROWS = 20_000  # their kernel is 3 GB
TOLERANCE = 1e-3  # of the solver's gradient, as scikit-learn's
PAIRS = 5000  # of rows, whose distances the median is taken of


@dataclass(frozen=True)
class SvmSettings(LayerSettings):
    """Settings of the support vector machine."""

    kernel: Literal["rbf", "linear"] = setting("rbf", "how two rows are compared")
    statistics: tuple[str, ...] = setting(
        ("mean", "sd"), "what describes each dimension over time: some of mean, sd, min, max, range"
    )
    C: float | tuple[float, ...] = setting(
        tuple(2.0**e for e in range(-3, 10, 2)),
        "cost of training errors; the inner folds choose among several; by default every second"
        " power of 2 from 2^-3 to 2^9",
        above=0,
    )
    sigma: float | tuple[float, ...] = setting(
        tuple(2.0**e for e in range(-5, 6, 2)),
        "width of the rbf kernel, chosen likewise; by default every second power of 2 from 2^-5 to"
        " 2^5",
        "median distances of two rows",
        above=0,
    )
    folds: int = setting(
        3, "inner folds of the training part, which keep speakers together", "folds", least=2
    )
    search: Literal["uar", "accuracy"] = setting(
        "uar", "what the inner folds choose C and sigma by"
    )
    max_iter: int = setting(1_000_000, "the solver's limit for two classes", "steps", least=1)

    def __post_init__(self) -> None:
        unknown = [word for word in self.statistics if word not in STATISTICS]
        if unknown or not self.statistics or len(set(self.statistics)) < len(self.statistics):
            raise ValueError(f"statistics needs some of {', '.join(STATISTICS)}, each once")
        for name in ("C", "sigma"):
            if not candidates(getattr(self, name)):
                raise ValueError(f"{name} needs a number above 0, or several")


class SupportVectors(Tabular):
    """Support vector machines, one for each pair of classes."""

    name = "svm"
    summary = "support vector machine (rbf or linear) on statistics over time of each dimension"
    needs = "sklearn"
    chooses = True
    Settings = SvmSettings
    settings: SvmSettings

    def row(self, features: np.ndarray) -> np.ndarray:
        """Return an item's row: each statistic of each dimension over time, float64.

        The dimensions are those of `linear`: statistics · dims columns, in the settings' order.
        """
        values = over_time(features)
        return np.concatenate([STATISTICS[word](values) for word in self.settings.statistics])

    def fit(
        self,
        rows: np.ndarray,
        targets: np.ndarray,
        n_classes: int,
        weights: np.ndarray,
        groups: np.ndarray,
    ) -> dict[str, np.ndarray]:
        """Return what `posterior` needs of a support vector machine for z-scored rows.

        rows: (n, columns) float64; targets: (n,) class indices, each of `n_classes` at least once;
        weights: (n_classes,) that C is multiplied with; groups: (n,) int64, what inner folds keep
        whole. The result does not depend on the rows' order.

        Of the candidates C and sigma the pair is taken whose held-out predictions of the inner
        folds, pooled, have the highest UAR or accuracy; of several such, the smallest C, then the
        largest sigma. Each inner fold is z-scored, and its median distance taken, by its training
        side alone. The decisions that were held out set the softmax's temperature; it is 1 where C
        and sigma are given and the items are too few for folds.

        Arrays: mean, sd (columns,); for rbf: support (vectors, columns), z-scored, coefficients
        (pairs, vectors) and sigma (1,); for linear: coefficients (pairs, columns); intercepts
        (pairs,), pairs (0, 1), (0, 2), …, (1, 2), …; temperature (1,); chosen (5,): C, sigma as a
        multiple of the median, UAR or accuracy of the inner folds, how many they are, and 1 where
        groups are whole in them; 0 where there is none.

        Warns where the solver has not converged. Raises InputError for rows that are not finite,
        more than MOST_ROWS of them (their kernel takes 8 · n² bytes, and half as much again in a
        search), a single class, a class without a row, and candidates to choose from by too few
        items.
        """
        settings = self.settings
        _check(rows, targets, n_classes)
        count = n_classes * (n_classes - 1) // 2
        try:
            afford(8 * count * len(rows), f"svm: {count} pairs of classes by {len(rows)} rows")
        except TooMuch as error:
            raise InputError(str(error)) from error
        order = _order(rows, targets, groups)
        rows, targets, groups = rows[order], targets[order], groups[order]
        every_c, sigmas = candidates(settings.C), candidates(settings.sigma)[::-1]
        if settings.kernel == "linear":
            sigmas = [float("nan")]
        several = len(every_c) * len(sigmas) > 1
        folds, whole = inner_folds(targets, groups, settings.folds)
        if several and folds is None:
            raise InputError(
                "svm: too few items to choose C and sigma by; give one of each:"
                " --set C=1 --set sigma=1"
            )
        c, sigma, score, temperature, count = every_c[0], sigmas[0], float("nan"), 1.0, 0
        with workers.one_thread():
            if folds is not None:
                count = int(folds.max()) + 1
                decisions = _held_out(rows, targets, folds, every_c, sigmas, settings, weights)
                scores = rates(decisions, targets, settings.search)
                best = np.unravel_index(int(scores.argmax()), scores.shape)
                c, sigma, score = every_c[best[0]], sigmas[best[1]], float(scores[best])
                temperature = fit_temperature(decisions[best], targets, weights)
            arrays = _final(rows, targets, c, sigma, settings, weights)
        chosen = np.nan_to_num(np.array([c, sigma, score, count, float(whole)]))
        return arrays | {"temperature": np.array([temperature]), "chosen": chosen}

    def posterior(self, arrays: Mapping[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
        """Return softmax posteriors (n, n_classes) float64 of rows (n, columns), by NumPy alone.

        softmax(t · decision), the decision that of `decide`, t the temperature. Row by row, so that
        a row's posterior does not depend on the others.
        """
        z = (rows - arrays["mean"]) / arrays["sd"]
        support = arrays.get("support")
        if support is not None:
            lengths = np.square(support).sum(1)
            scale = -0.5 / float(arrays["sigma"][0]) ** 2
        pairs = np.empty((len(z), len(arrays["intercepts"])))
        for i, row in enumerate(z):
            seen = row
            if support is not None:
                squares = np.maximum(lengths - 2 * (support @ row) + row @ row, 0)
                seen = np.exp(scale * squares)
            pairs[i] = arrays["coefficients"] @ seen + arrays["intercepts"]
        classes = _classes(pairs.shape[1])
        return softmax(float(arrays["temperature"][0]) * decide(pairs, classes))

    def row_graph(self, graph: Graph, values: graphs.Values) -> str:
        """Return the statistics, in the settings' order."""
        made = {
            "mean": values.mean,
            "sd": values.sd,
            "min": lambda: values.extreme("Min"),
            "max": lambda: values.extreme("Max"),
            "range": lambda: graph.op("Sub", values.extreme("Max"), values.extreme("Min")),
        }
        return graph.op("Concat", *(made[word]() for word in self.settings.statistics), axis=1)

    def answer_graph(self, graph: Graph, arrays: Mapping[str, np.ndarray], rows: str) -> str:
        """Return posteriors."""
        seen = graphs.scaled(graph, rows, arrays["mean"], arrays["sd"])
        support = arrays.get("support")
        if support is not None:
            lengths = np.square(support).sum(1)
            scale = -0.5 / float(arrays["sigma"][0]) ** 2
            squares = graphs.dense(graph, seen, -2 * support, lengths)
            own = graph.total(graph.op("Mul", seen, seen), 1)
            squares = graph.op("Max", graph.op("Add", squares, own), graph.constant(0.0))
            seen = graph.op("Exp", graph.op("Mul", squares, graph.constant(scale)))
        pairs = graphs.dense(graph, seen, arrays["coefficients"], arrays["intercepts"])
        decisions = _decide_graph(graph, pairs, len(arrays["intercepts"]))
        return graph.softmax(
            graph.op("Mul", decisions, graph.constant(float(arrays["temperature"][0])))
        )

    def score(self, arrays: Mapping[str, np.ndarray]) -> float | None:
        """Return the UAR or accuracy of the inner folds, None where there were none."""
        _, _, score, folds, _ = arrays["chosen"].tolist()
        return float(score) if folds else None

    def describe(self, arrays: Mapping[str, np.ndarray]) -> str:
        """Return one line about what `fit` chose."""
        c, sigma, score, folds, whole = arrays["chosen"].tolist()
        words = f"C {c:g}" + ("" if not sigma else f", sigma {sigma:g} median distances")
        return f"{words}; {said(score, folds, whole)}"


def _check(rows: np.ndarray, targets: np.ndarray, n_classes: int) -> None:
    if len(rows) > MOST_ROWS:
        raise InputError(
            f"svm: {len(rows)} rows; the kernel of more than {MOST_ROWS} does not fit in memory:"
            " train on fewer (--where), or use --model linear"
        )
    if n_classes < 2:
        raise InputError("svm: needs items of at least two classes")
    if len(np.unique(targets)) < n_classes:
        raise InputError("svm: needs at least one item of every class")
    if not np.isfinite(rows).all():
        raise InputError("svm: features that are not finite; featurize again")


def _order(rows: np.ndarray, targets: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return an order of the items that is the same whatever order they come in."""
    content = [hashlib.sha256(row.tobytes()).digest() for row in np.ascontiguousarray(rows)]
    keys = list(zip(targets.tolist(), groups.tolist(), content, strict=True))
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int64)


def _held_out(
    rows: np.ndarray,
    targets: np.ndarray,
    folds: np.ndarray,
    every_c: list[float],
    sigmas: list[float],
    settings: SvmSettings,
    weights: np.ndarray,
) -> np.ndarray:
    """Return the decisions on each item by the machines that were not trained on its fold.

    Shape (C, sigmas, n, classes); -inf for a class that the training side lacks.
    """
    decisions = np.full((len(every_c), len(sigmas), len(rows), len(weights)), -np.inf)
    for fold in range(folds.max() + 1):
        inside, outside = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        mean, sd = mean_and_deviation(rows[inside])
        train, test = (rows[inside] - mean) / sd, (rows[outside] - mean) / sd
        known = np.unique(targets[inside])
        width = median_distance(train)
        kernels = zip(
            _kernels(train, train, sigmas, width), _kernels(test, train, sigmas, width), strict=True
        )
        for s, (among, across) in enumerate(kernels):
            for k, c in enumerate(every_c):
                machine = _solve(among, targets[inside], c, weights, settings.max_iter)
                pairs = across[:, machine.support] @ machine.coefficients.T + machine.intercepts
                decisions[k, s][np.ix_(outside, known)] = decide(pairs, len(known))
    return decisions


def _final(
    rows: np.ndarray,
    targets: np.ndarray,
    c: float,
    sigma: float,
    settings: SvmSettings,
    weights: np.ndarray,
) -> dict[str, np.ndarray]:
    """Return the arrays of the machine that is trained on all rows."""
    mean, sd = mean_and_deviation(rows)
    z = (rows - mean) / sd
    width = median_distance(z)
    (kernel,) = _kernels(z, z, [sigma], width)
    machine = _solve(kernel, targets, c, weights, settings.max_iter)
    if not machine.converged:
        warnings.warn(
            f"not converged in {settings.max_iter} steps; raise max_iter, or lower C", stacklevel=2
        )
    support, coefficients = z[machine.support], machine.coefficients
    arrays = {"mean": mean, "sd": sd, "intercepts": machine.intercepts}
    if np.isnan(sigma):
        return arrays | {"coefficients": coefficients @ support}
    rbf = {"support": support, "coefficients": coefficients, "sigma": np.array([sigma * width])}
    return arrays | rbf


def median_distance(rows: np.ndarray) -> float:
    """Return the median distance of two rows (n, columns), over at most PAIRS pairs of them.

    Drawn from a fixed seed where there are more. 1 where the median is 0.
    """
    n = len(rows)
    if n * (n - 1) // 2 <= PAIRS:
        left, right = np.triu_indices(n, 1)
    else:
        random = np.random.default_rng(0)
        left = random.integers(n, size=PAIRS)
        right = (left + random.integers(1, n, size=PAIRS)) % n
    median = float(np.median(np.linalg.norm(rows[left] - rows[right], axis=1)))
    return median if median > 0 else 1.0


def _kernels(
    left: np.ndarray, right: np.ndarray, sigmas: list[float], width: float
) -> Iterator[np.ndarray]:
    """Yield the kernel (left, right) for each sigma, a multiple of `width`; NaN is linear."""
    if np.isnan(sigmas[0]):
        yield left @ right.T
        return
    squares = left @ right.T
    squares *= -2
    squares += np.square(left).sum(1)[:, None]
    squares += np.square(right).sum(1)
    np.maximum(squares, 0, out=squares)
    for i, sigma in enumerate(sigmas):
        out = squares if i == len(sigmas) - 1 else None  # memory for one matrix less
        kernel = np.multiply(squares, -0.5 / (sigma * width) ** 2, out=out)
        yield np.exp(kernel, out=kernel)


@dataclass(frozen=True)
class _Machine:
    """support: (vectors,) row numbers; coefficients: (pairs, vectors); intercepts: (pairs,)."""

    converged: bool
    support: np.ndarray
    coefficients: np.ndarray
    intercepts: np.ndarray


def _solve(
    kernel: np.ndarray, targets: np.ndarray, c: float, weights: np.ndarray, max_iter: int
) -> _Machine:
    """Return the machines of all pairs of classes; a decision above 0 is for a pair's first."""
    from sklearn.svm import SVC

    known = np.unique(targets)
    solver = SVC(
        kernel="precomputed",
        C=c,
        class_weight={int(k): float(weights[k]) for k in known},
        tol=TOLERANCE,
        max_iter=max_iter,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a candidate nobody asks
        svc = solver.fit(kernel, targets)
    converged = svc.fit_status_ == 0
    if len(known) == 2:  # scikit-learn turns the sign of two classes round
        return _Machine(converged, svc.support_, -svc.dual_coef_, -svc.intercept_)
    ends = np.cumsum(svc.n_support_)
    own = [slice(end - n, end) for end, n in zip(ends, svc.n_support_, strict=True)]
    coefficients = np.zeros((len(svc.intercept_), len(svc.support_)))
    for pair, (i, j) in enumerate(_pairs(len(known))):
        coefficients[pair, own[i]] = svc.dual_coef_[j - 1, own[i]]
        coefficients[pair, own[j]] = svc.dual_coef_[i, own[j]]
    return _Machine(converged, svc.support_, coefficients, svc.intercept_)


def _pairs(classes: int) -> Iterator[tuple[int, int]]:
    return ((i, j) for i in range(classes) for j in range(i + 1, classes))


def decide(pairs: np.ndarray, classes: int) -> np.ndarray:
    """Return one decision per class (n, classes) from the pairs' (n, pairs).

    For two classes ± half the decision. For more, the pairs that a class won plus the sum of its
    decisions, brought between -1/3 and 1/3 so that it decides between equals alone (as
    scikit-learn's `decision_function_shape="ovr"`).
    """
    if classes == 2:
        return np.concatenate([pairs, -pairs], 1) / 2
    votes, sums = np.zeros((2, len(pairs), classes))
    for pair, (i, j) in enumerate(_pairs(classes)):
        won = pairs[:, pair] >= 0
        votes[:, i] += won
        votes[:, j] += ~won
        sums[:, i] += pairs[:, pair]
        sums[:, j] -= pairs[:, pair]
    decisions: np.ndarray = votes + sums / (3 * (np.abs(sums) + 1))
    return decisions


def _classes(pairs: int) -> int:
    """Return of how many classes there are so many pairs."""
    return int((1 + np.sqrt(1 + 8 * pairs)) / 2)


def _decide_graph(graph: Graph, pairs: str, count: int) -> str:
    """Return what `decide` does of the decisions (rows, count) of pairs."""
    classes = _classes(count)
    first, second = np.zeros((2, count, classes))
    for pair, (i, j) in enumerate(_pairs(classes)):
        first[pair, i] = second[pair, j] = 1
    if classes == 2:
        return graph.op("MatMul", pairs, graph.constant((first - second) / 2))
    won = graph.cast(graph.op("GreaterOrEqual", pairs, graph.constant(0.0)), "f8")
    votes = graph.op("MatMul", won, graph.constant(first - second))
    votes = graph.op("Add", votes, graph.constant(second.sum(0)))
    sums = graph.op("MatMul", pairs, graph.constant(first - second))
    size = graph.op("Add", graph.op("Abs", sums), graph.constant(1.0))
    return graph.op("Add", votes, graph.op("Div", sums, graph.op("Mul", size, graph.constant(3.0))))
