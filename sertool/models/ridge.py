"""The baselines of numbers: their mean, and ridge regression on the columns of `linear`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from sertool.core import workers
from sertool.core.settings import setting
from sertool.models import graphs
from sertool.models.contract import Regressor
from sertool.models.linear import mean_and_sd, mean_and_sd_graph
from sertool.models.statistics import mean_and_deviation

if TYPE_CHECKING:
    from sertool.formats.onnx_graph import Graph

ALPHAS = np.logspace(-2, 5, 15)  # that ridge chooses among


@dataclass(frozen=True)
class MeanSettings:
    """The mean has no settings."""


class Mean(Regressor):
    """The mean of each number over the training items, whatever the features."""

    name = "mean"
    summary = "numbers: the mean of each over the training items"
    Settings = MeanSettings

    def row(self, features: np.ndarray) -> np.ndarray:
        """Return no column: the features do not matter."""
        return np.empty(0)

    def fit(self, rows: np.ndarray, values: np.ndarray) -> dict[str, np.ndarray]:
        """Return {"mean": (targets,)}."""
        return {"mean": values.mean(0)}

    def numbers(self, arrays: Mapping[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
        """Return the training means for each row: (n, targets)."""
        return np.tile(arrays["mean"], (len(rows), 1))

    def row_graph(self, graph: Graph, values: graphs.Values) -> str:
        """Return something for each item: how many there are."""
        return values.mean()

    def answer_graph(self, graph: Graph, arrays: Mapping[str, np.ndarray], rows: str) -> str:
        """Return the training means for each row."""
        count, one = graph.op("Shape", rows, end=1), graph.constant([1])
        shape = graph.op("Concat", count, one, axis=0)
        return graph.op("Expand", graph.constant(arrays["mean"][np.newaxis]), shape)


@dataclass(frozen=True)
class RidgeSettings:
    """Settings of the ridge regression."""

    layer: int | Literal["mean"] = setting(
        "mean",
        "of features of several layers (kind ssl): one by its number, or their mean",
        least=0,
    )
    alpha: float | None = setting(
        None, "strength of the squared penalty; unset: chosen for each number by leave-one-out",
        above=0,
    )  # fmt: skip


class Ridge(Regressor):
    """Ridge regression on z-scored columns (scikit-learn), one for each number."""

    name = "ridge"
    summary = "numbers: ridge regression on mean and standard deviation over time"
    needs = "sklearn"
    Settings = RidgeSettings
    settings: RidgeSettings

    def row(self, features: np.ndarray) -> np.ndarray:
        """Return mean and standard deviation of each dimension over time: (2 · dims,) float64."""
        return mean_and_sd(features)

    def fit(self, rows: np.ndarray, values: np.ndarray) -> dict[str, np.ndarray]:
        """Return mean and sd of the training rows, weights, biases and penalties of each number.

        Without `alpha` the penalty is the one of `ALPHAS` with the least squared error when each
        training item in turn is left out.
        """
        from sklearn.linear_model import RidgeCV

        mean, sd = mean_and_deviation(rows)
        alphas = ALPHAS if self.settings.alpha is None else [self.settings.alpha]
        with workers.one_thread():
            found = RidgeCV(alphas=alphas, alpha_per_target=True).fit((rows - mean) / sd, values)
        targets = values.shape[1]
        return {
            "mean": mean,
            "sd": sd,
            "coef": np.asarray(found.coef_, np.float64).reshape(targets, -1),
            "intercept": np.asarray(found.intercept_, np.float64).reshape(targets),
            "alpha": np.asarray(found.alpha_, np.float64).reshape(-1),
        }

    def numbers(self, arrays: Mapping[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
        """Return the numbers (n, targets) float64 of rows (n, columns), row by row."""
        z = (rows - arrays["mean"]) / arrays["sd"]
        return np.stack([arrays["coef"] @ row for row in z]) + arrays["intercept"]

    def row_graph(self, graph: Graph, values: graphs.Values) -> str:
        """Return mean and standard deviation."""
        return mean_and_sd_graph(graph, values)

    def answer_graph(self, graph: Graph, arrays: Mapping[str, np.ndarray], rows: str) -> str:
        """Return the numbers."""
        z = graphs.scaled(graph, rows, arrays["mean"], arrays["sd"])
        return graphs.dense(graph, z, arrays["coef"], arrays["intercept"])

    def describe(self, arrays: Mapping[str, np.ndarray]) -> str:
        """Return the penalty of each number."""
        return f"alpha {', '.join(f'{alpha:g}' for alpha in arrays['alpha'])}"
