"""The linear baseline: logistic regression on mean and standard deviation over time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sertool.core.settings import setting
from sertool.models.contract import Tabular
from sertool.models.statistics import mean_and_deviation


@dataclass(frozen=True)
class LinearSettings:
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
    Settings = LinearSettings
    settings: LinearSettings

    def row(self, features: np.ndarray) -> np.ndarray:
        """Return mean and standard deviation of each dimension over time: (2 · dims,) float64."""
        values = over_time(features)
        return np.concatenate([values.mean(0), values.std(0)])

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
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        mean, sd = mean_and_deviation(rows)
        with threadpool_limits(1):  # one thread: the same sums in the same order on any machine
            regression = LogisticRegression(
                C=self.settings.C,
                max_iter=self.settings.max_iter,
                class_weight=dict(enumerate(weights.tolist())),
            ).fit((rows - mean) / sd, targets)
        coef, intercept = regression.coef_, regression.intercept_
        if n_classes == 2:  # scikit-learn keeps one row of two: the logit of the second class
            coef = np.concatenate([np.zeros_like(coef), coef])
            intercept = np.concatenate([np.zeros_like(intercept), intercept])
        return {"mean": mean, "sd": sd, "coef": coef, "intercept": intercept}

    def posterior(self, arrays: Mapping[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
        """Return softmax posteriors (n, n_classes) float64 of rows (n, columns).

        Row by row, so that a row's posterior does not depend on the others.
        """
        z = (rows - arrays["mean"]) / arrays["sd"]
        return softmax(np.stack([arrays["coef"] @ row for row in z]) + arrays["intercept"])
