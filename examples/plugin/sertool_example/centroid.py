"""The model "centroid": the class whose mean row is nearest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sertool.core.settings import option
from sertool.models import Tabular


@dataclass(frozen=True)
class Settings:
    """Settings of the nearest centroid."""

    temperature: float = option(1.0, "softens the posterior", above=0)


class Centroid(Tabular):
    """The nearest mean of z-scored columns; the posterior is a softmax of the distances."""

    name = "centroid"
    summary = "the nearest class mean"
    Settings = Settings
    settings: Settings

    def row(self, features: np.ndarray) -> np.ndarray:
        """Return the mean over time of an item's features (frames, ...): (columns,) float64."""
        return features.mean(0, dtype=np.float64).reshape(-1)

    def fit(
        self,
        rows: np.ndarray,
        targets: np.ndarray,
        n_classes: int,
        weights: np.ndarray,
        groups: np.ndarray,
    ) -> dict[str, np.ndarray]:
        """Return mean and deviation of the columns, and the centroid of each class."""
        mean, sd = rows.mean(0), np.maximum(rows.std(0), 1e-12)
        z = (rows - mean) / sd
        centroids = np.stack([z[targets == k].mean(0) for k in range(n_classes)])
        return {"mean": mean, "sd": sd, "centroids": centroids}

    def posterior(self, arrays: Mapping[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
        """Return posteriors (n, n_classes) of rows (n, columns)."""
        z = (rows - arrays["mean"]) / arrays["sd"]
        distances = ((z[:, None] - arrays["centroids"]) ** 2).sum(-1) / self.settings.temperature
        odds = np.exp(distances.min(1, keepdims=True) - distances)
        return odds / odds.sum(1, keepdims=True)
