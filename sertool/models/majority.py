"""The majority baseline: how often each class occurs in training, whatever is heard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sertool.models import Whole


@dataclass(frozen=True)
class Settings:
    """The majority baseline has no settings."""


def columns(features: np.ndarray, settings: Any) -> np.ndarray:
    """Return no column: the features do not matter."""
    return np.empty(0)


def fit(
    rows: np.ndarray,
    targets: np.ndarray,
    n_classes: int,
    settings: Any,
    weights: np.ndarray,
    groups: np.ndarray,
) -> dict[str, np.ndarray]:
    """Return {"prior": each class's share of the training items, float64 (n_classes,)}."""
    counts = np.bincount(targets, minlength=n_classes).astype(np.float64)
    return {"prior": counts / counts.sum()}


def posterior(arrays: dict[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Return the training shares for each row: (n, n_classes) float64."""
    return np.tile(arrays["prior"], (len(rows), 1))


MODEL = Whole(
    name="majority",
    summary="each class's share of the training items; its label is the most frequent class",
    Settings=Settings,
    columns=columns,
    fit=fit,
    posterior=posterior,
)
