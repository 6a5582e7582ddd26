"""Logistic regression whose penalty is chosen by folds within the training part."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from sertool.core import workers
from sertool.core.errors import InputError
from sertool.core.settings import setting
from sertool.models import across
from sertool.models.contract import Tabular
from sertool.models.inner_folds import candidates, fit_temperature, inner_folds, rates, said
from sertool.models.layer_choice import LayerSettings
from sertool.models.linear import mean_and_sd, mean_and_sd_graph, regressed, regressed_graph
from sertool.models.statistics import mean_and_deviation

if TYPE_CHECKING:
    from sertool.formats.onnx_graph import Graph
    from sertool.models.graphs import Values

ROUGH, EXACT = 1e-3, 1e-6  # gradients at which the solver ends, while choosing and in the end
OF_CORPORA = 2  # in `chosen`: what is whole in the inner folds
NOTHING = 1e-12  # share of the largest square below which rows do not differ along an axis


@dataclass(frozen=True)
class LogisticSettings(LayerSettings):
    """Settings of the logistic regression."""

    C: float | tuple[float, ...] = setting(
        tuple(10 ** (e / 2) for e in range(-8, 1)),
        "inverse strength of the squared penalty on the weights; the inner folds choose among"
        " several; by default every half power of 10 from 10^-4 to 1",
        above=0,
    )
    folds: int = setting(
        5, "inner folds of the training part, which keep speakers together", "folds", least=2
    )
    search: Literal["uar", "accuracy"] = setting("uar", "what the inner folds choose C by")
    max_iter: int = setting(2000, "the solver's limit", "iterations", least=1)

    def __post_init__(self) -> None:
        if not candidates(self.C):
            raise ValueError("C needs a number above 0, or several")


class Logistic(Tabular):
    """Multinomial logistic regression on z-scored columns, its posteriors tempered."""

    name = "logistic"
    summary = "logistic regression, its penalty chosen by inner folds of the training speakers"
    needs = "sklearn"
    class_weights = "balanced"
    chooses = True
    across = True
    Settings = LogisticSettings
    settings: LogisticSettings

    def row(self, features: np.ndarray) -> np.ndarray:
        """Return the columns of `linear`: (2 · dims,) float64."""
        return mean_and_sd(features)

    def fit(
        self,
        rows: np.ndarray,
        targets: np.ndarray,
        n_classes: int,
        weights: np.ndarray,
        groups: np.ndarray,
    ) -> dict[str, np.ndarray]:
        """Return what `linear` does, and what was chosen.

        Of the candidates C the one is taken whose held-out predictions of the inner folds, pooled,
        have the highest UAR or accuracy; of several such the smallest. Each inner fold is z-scored
        by its training side alone. What was held out sets the temperature, by which weights and
        biases are multiplied; it is 1 where C is given and the items are too few for folds.

        Arrays: mean, sd (columns,), coef (n_classes, columns), intercept (n_classes,), chosen (5,):
        C, UAR or accuracy of the inner folds, how many they are, 1 where groups are whole in them
        (OF_CORPORA: corpora), and the temperature. Warns where the solver has not converged. Raises
        InputError for several candidates and too few items to choose by.
        """
        return self._fitted(rows, targets, groups, weights, weights[targets], None)

    def fit_across(
        self, rows: np.ndarray, targets: np.ndarray, n_classes: int, corpora: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Return the same, fitted for other corpora than these; see `models.across`.

        Each class of each corpus weighs alike, rows count from the mean of their corpus, and the
        inner folds hold corpora out: C has the highest mean of their rates.
        """
        weights = len(targets) / (n_classes * np.bincount(targets, minlength=n_classes))
        each = across.alike(targets, corpora)
        return self._fitted(rows, targets, corpora, weights, each, corpora)

    def _fitted(
        self,
        rows: np.ndarray,
        targets: np.ndarray,
        groups: np.ndarray,
        weights: np.ndarray,
        each: np.ndarray,
        corpora: np.ndarray | None,
    ) -> dict[str, np.ndarray]:
        """Return the arrays of `fit`; each: (n,), the items' weights in the loss.

        corpora: whose means rows are less; None: less the mean of all.
        """
        every, search = candidates(self.settings.C), self.settings.search
        folds, whole = inner_folds(targets, groups, self.settings.folds)
        if len(every) > 1 and folds is None:
            raise InputError("logistic: too few items to choose C by; give one: --set C=0.01")
        best, score, temperature, count = 0, 0.0, 1.0, 0
        with workers.one_thread():
            if folds is not None:
                count = int(folds.max()) + 1
                decisions = self._held_out(rows, targets, folds, every, each, corpora)
                if corpora is None:
                    scores = rates(decisions, targets, search)
                else:
                    scores = across.mean_rates(decisions, targets, corpora, search)
                best = int(scores.argmax())
                score = float(scores[best])
                temperature = fit_temperature(decisions[best], targets, weights)
            z, mean, sd = _scaled(rows, corpora)
            fitted = self._path(z, targets, every[best : best + 1], each, EXACT)
        coef, intercept = fitted[0]
        kept = 0 if not whole else 1 if corpora is None else OF_CORPORA
        chosen = np.array([every[best], score, count, kept, temperature], np.float64)
        return {
            "mean": mean,
            "sd": sd,
            "coef": temperature * coef,
            "intercept": temperature * intercept,
            "chosen": chosen,
        }

    def _held_out(
        self,
        rows: np.ndarray,
        targets: np.ndarray,
        folds: np.ndarray,
        every: Sequence[float],
        each: np.ndarray,
        corpora: np.ndarray | None,
    ) -> np.ndarray:
        """Return the logits (C, n, classes) of each item by the models that did not see its fold.

        -inf for a class that the training side lacks.
        """
        decisions = np.full((len(every), len(rows), targets.max() + 1), -np.inf)
        for fold in range(folds.max() + 1):
            inside, outside = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            train, mean, sd = _scaled(rows[inside], None if corpora is None else corpora[inside])
            test = (rows[outside] - mean) / sd
            known = np.unique(targets[inside])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a candidate nobody asks
                fitted = self._path(train, targets[inside], every, each[inside], ROUGH)
            for k, (coef, intercept) in enumerate(fitted):
                decisions[k][np.ix_(outside, known)] = test @ coef.T + intercept
        return decisions

    def _path(
        self,
        rows: np.ndarray,
        targets: np.ndarray,
        every: Sequence[float],
        each: np.ndarray,
        tolerance: float,
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return (weights (known classes, columns), biases) for each C, each begun at the last.

        Columns beyond the number of rows are turned into as many as there are rows: the penalty is
        the same from every side, so that the solution is, too.
        """
        from sklearn.linear_model import LogisticRegression

        turn = None
        if rows.shape[1] > len(rows):
            squares, axes = np.linalg.eigh(rows @ rows.T)
            kept = squares > NOTHING * squares[-1]
            turn = (axes[:, kept] / np.sqrt(squares[kept])).T @ rows
            rows = axes[:, kept] * np.sqrt(squares[kept])
        regression = LogisticRegression(
            max_iter=self.settings.max_iter, tol=tolerance, warm_start=True
        )
        found = []
        for c in every:
            regression.set_params(C=c).fit(rows, targets, each)
            coef, intercept = regression.coef_, regression.intercept_
            if len(coef) == 1:  # scikit-learn keeps one row of two: the logit of the second class
                coef = np.concatenate([np.zeros_like(coef), coef])
                intercept = np.concatenate([np.zeros_like(intercept), intercept])
            found.append((coef @ turn if turn is not None else coef.copy(), intercept.copy()))
        return found

    def posterior(self, arrays: Mapping[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
        """Return softmax posteriors (n, n_classes) float64 of rows (n, columns), as `linear`."""
        return regressed(arrays, rows)

    def row_graph(self, graph: Graph, values: Values) -> str:
        """Return mean and standard deviation."""
        return mean_and_sd_graph(graph, values)

    def answer_graph(self, graph: Graph, arrays: Mapping[str, np.ndarray], rows: str) -> str:
        """Return posteriors."""
        return regressed_graph(graph, arrays, rows)

    def score(self, arrays: Mapping[str, np.ndarray]) -> float | None:
        """Return the UAR or accuracy of the inner folds, None where there were none."""
        return float(arrays["chosen"][1]) if arrays["chosen"][2] else None

    def describe(self, arrays: Mapping[str, np.ndarray]) -> str:
        """Return one line about what `fit` chose."""
        c, score, folds, whole, _ = arrays["chosen"].tolist()
        if whole == OF_CORPORA:
            return f"C {c:.3g}; {100 * score:.1f} % in {folds:.0f} inner folds of whole corpora"
        return f"C {c:.3g}; {said(score, folds, whole)}"


def _scaled(
    rows: np.ndarray, corpora: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (z-scored rows, mean, sd): around the mean of all, or each around its corpus' own."""
    if corpora is None:
        mean, sd = mean_and_deviation(rows)
        return (rows - mean) / sd, mean, sd
    centred, mean, sd = across.moments(rows, corpora)
    return centred / sd, mean, sd
