"""Whitening by principal components: frames whose values are uncorrelated and of unit variance."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import nn

from sertool.core.errors import InputError
from sertool.models.statistics import Covariance

RIDGE = 1e-5  # added to every variance, so that a direction without any is not blown up


def fit(blocks: Iterable[np.ndarray], components: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean (dims,) and matrix (dims, components), float64: whitened is (x - mean) @ matrix.

    blocks: frames (n, dims) each, read once. The matrix is E Λ^(-1/2) of the largest variances Λ,
    in falling order; of each direction the value of largest size is positive. Raises InputError
    where there are fewer dimensions or frames than components, or values that are not finite.
    """
    found = Covariance()
    for block in blocks:
        found.add(block)
    dims = len(found.mean)
    if components > min(dims, found.count):
        what = f"{dims} values per frame" if components > dims else f"{found.count} frames"
        raise InputError(f"{components} principal components are more than {what} can give")
    covariance = found.variance()
    if not np.isfinite(covariance).all():
        raise InputError("the training items hold features that are not finite; featurize again")
    variances, directions = np.linalg.eigh(covariance)
    variances, directions = variances[::-1][:components], directions[:, ::-1][:, :components]
    largest = np.take_along_axis(directions, np.abs(directions).argmax(0)[np.newaxis], 0)
    scale = np.sign(largest) / np.sqrt(np.maximum(variances, 0) + RIDGE)
    return found.mean, directions * scale


class Whitening(nn.Module):
    """(x - mean) @ matrix, for frames (..., dims): (..., components). Nothing in it is trained."""

    mean: torch.Tensor
    matrix: torch.Tensor

    def __init__(self, dims: int, components: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dims))
        self.register_buffer("matrix", torch.zeros(dims, components))

    def set(self, mean: np.ndarray, matrix: np.ndarray) -> None:
        """Take what `fit` found."""
        self.mean.copy_(torch.from_numpy(mean))
        self.matrix.copy_(torch.from_numpy(matrix))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return whitened frames (..., components)."""
        return (x - self.mean) @ self.matrix
