"""The majority baseline: how often each class occurs in training, whatever the features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sertool.models.contract import Tabular


@dataclass(frozen=True)
class MajoritySettings:
    """The majority baseline has no settings."""


class Majority(Tabular):
    """The share of each class among the training items."""

    name = "majority"
    summary = "each class's share of the training items; its label is the most frequent class"
    Settings = MajoritySettings
    soft = True

    def row(self, features: np.ndarray) -> np.ndarray:
        """Return no column: the features do not matter."""
        return np.empty(0)

    def fit(
        self,
        rows: np.ndarray,
        targets: np.ndarray,
        n_classes: int,
        weights: np.ndarray,
        groups: np.ndarray,
    ) -> dict[str, np.ndarray]:
        """Return {"prior": each class's share of the training items, float64 (n_classes,)}."""
        counts = np.bincount(targets, minlength=n_classes).astype(np.float64)
        return {"prior": counts / counts.sum()}

    def fit_shares(
        self, rows: np.ndarray, shares: np.ndarray, weights: np.ndarray, groups: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Return {"prior": the mean shares of the training items, float64 (n_classes,)}."""
        return {"prior": shares.mean(0)}

    def posterior(self, arrays: Mapping[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
        """Return the training shares for each row: (n, n_classes) float64."""
        return np.tile(arrays["prior"], (len(rows), 1))
