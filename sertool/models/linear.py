"""The linear baseline: logistic regression on mean and standard deviation over time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sertool.core import workers
from sertool.core.settings import setting
from sertool.models import graphs
from sertool.models.contract import Tabular
from sertool.models.layer_choice import LayerSettings
from sertool.models.statistics import mean_and_deviation

if TYPE_CHECKING:
    from sertool.formats.onnx_graph import Graph


@dataclass(frozen=True)
class LinearSettings(LayerSettings):
    """Settings of the logistic regression."""

    C: float = setting(1.0, "inverse strength of the squared penalty on the weights", above=0)
    max_iter: int = setting(2000, "the solver's limit", "iterations", least=1)


def over_time(features: np.ndarray) -> np.ndarray:
    """Return an item's features as float64 (frames, dims), time along the first axis.

    features: (frames, dims), or (samples,) as one dimension. In pictures (frames, height, width,
    channels) time runs along the width: each row of each channel is a dimension.
    """
    if features.ndim == 4:
        features = features.swapaxes(1, 2).reshape(-1, features.shape[1] * features.shape[3])
    dims = features.shape[-1] if features.ndim > 1 else 1
    return features.reshape(-1, dims).astype(np.float64)


def mean_and_sd(features: np.ndarray) -> np.ndarray:
    """Return mean and standard deviation of each dimension over time: (2 · dims,) float64."""
    values = over_time(features)
    return np.concatenate([values.mean(0), values.std(0)])


def regressed(arrays: Mapping[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Return softmax posteriors (n, n_classes) float64 of rows (n, columns).

    arrays: mean, sd (columns,), coef (n_classes, columns), intercept (n_classes,). Row by row, so
    that a row's posterior does not depend on the others.
    """
    z = (rows - arrays["mean"]) / arrays["sd"]
    return softmax(np.stack([arrays["coef"] @ row for row in z]) + arrays["intercept"])


def mean_and_sd_graph(graph: Graph, values: graphs.Values) -> str:
    """Return what `mean_and_sd` does of features."""
    return graph.op("Concat", values.mean(), values.sd(), axis=1)


def regressed_graph(graph: Graph, arrays: Mapping[str, np.ndarray], rows: str) -> str:
    """Return what `regressed` does of rows."""
    z = graphs.scaled(graph, rows, arrays["mean"], arrays["sd"])
    return graph.softmax(graphs.dense(graph, z, arrays["coef"], arrays["intercept"]))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the softmax over the last axis."""
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    shares: np.ndarray = odds / odds.sum(-1, keepdims=True)
    return shares


class Linear(Tabular):
    """Multinomial logistic regression on z-scored columns (scikit-learn, L-BFGS)."""

    name = "linear"
    summary = "logistic regression on mean and standard deviation over time of each dimension"
    needs = "sklearn"
    soft = True
    Settings = LinearSettings
    settings: LinearSettings

    def row(self, features: np.ndarray) -> np.ndarray:
        """Return mean and standard deviation of each dimension over time: (2 · dims,) float64."""
        return mean_and_sd(features)

    def fit(
        self,
        rows: np.ndarray,
        targets: np.ndarray,
        n_classes: int,
        weights: np.ndarray,
        groups: np.ndarray,
    ) -> dict[str, np.ndarray]:
        """Return mean and sd of the training rows, and the weights and biases of the logits.

        Deterministic; groups are not used.
        """
        mean, sd = mean_and_deviation(rows)
        solved = self._solve((rows - mean) / sd, targets, n_classes, weights, None)
        return {"mean": mean, "sd": sd} | solved

    def fit_shares(
        self, rows: np.ndarray, shares: np.ndarray, weights: np.ndarray, groups: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Return the same, fitted by the cross-entropy to shares (items, n_classes).

        Each row stands there once for each class that has a share, weighted by it: the sum of its
        weighted losses is that cross-entropy.
        """
        mean, sd = mean_and_deviation(rows)
        items, classes = np.nonzero(shares)
        z = ((rows - mean) / sd)[items]
        solved = self._solve(z, classes, shares.shape[1], weights, shares[items, classes])
        return {"mean": mean, "sd": sd} | solved

    def _solve(
        self,
        z: np.ndarray,
        targets: np.ndarray,
        n_classes: int,
        weights: np.ndarray,
        row_weights: np.ndarray | None,
    ) -> dict[str, np.ndarray]:
        """Return weights and biases of the logits of z-scored rows."""
        from sklearn.linear_model import LogisticRegression

        with workers.one_thread():
            regression = LogisticRegression(
                C=self.settings.C,
                max_iter=self.settings.max_iter,
                class_weight=dict(enumerate(weights.tolist())),
            ).fit(z, targets, row_weights)
        coef, intercept = regression.coef_, regression.intercept_
        if n_classes == 2:  # scikit-learn keeps one row of two: the logit of the second class
            coef = np.concatenate([np.zeros_like(coef), coef])
            intercept = np.concatenate([np.zeros_like(intercept), intercept])
        return {"coef": coef, "intercept": intercept}

    def posterior(self, arrays: Mapping[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
        """Return softmax posteriors (n, n_classes) float64 of rows (n, columns): `regressed`."""
        return regressed(arrays, rows)

    def row_graph(self, graph: Graph, values: graphs.Values) -> str:
        """Return mean and standard deviation."""
        return mean_and_sd_graph(graph, values)

    def answer_graph(self, graph: Graph, arrays: Mapping[str, np.ndarray], rows: str) -> str:
        """Return posteriors."""
        return regressed_graph(graph, arrays, rows)
