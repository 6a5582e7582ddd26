"""Whitening against scikit-learn's principal components, block by block, and where it cannot be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from sertool.core.errors import InputError
from sertool.models.huang2014 import whitening


def frames(n: int = 400, dims: int = 7, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    mixed = random.standard_normal((n, dims)) @ random.standard_normal((dims, dims))
    return (mixed + 100 * random.standard_normal(dims)).astype(np.float32)


def test_against_scikit_learn() -> None:
    x = frames()
    mean, matrix = whitening.fit([x], 4)
    reference = PCA(4).fit(x.astype(np.float64))
    variances = reference.explained_variance_ * (len(x) - 1) / len(x)
    directions = reference.components_ / np.sqrt(variances + whitening.RIDGE)[:, np.newaxis]
    np.testing.assert_allclose(mean, reference.mean_, rtol=1e-10)
    np.testing.assert_allclose(np.abs(matrix.T), np.abs(directions), rtol=1e-6, atol=1e-9)
    largest = np.abs(matrix).argmax(0)
    assert (matrix[largest, range(4)] > 0).all()


@given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_blocks_are_one_block(cuts: list[int], seed: int) -> None:
    x = frames(sum(cuts) + 20, seed=seed)
    blocks = np.split(x, np.cumsum(cuts))
    whole, parts = whitening.fit([x], 3), whitening.fit(blocks, 3)
    for ours, theirs in zip(parts, whole, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


def test_what_it_was_fitted_to_is_white() -> None:
    x = frames()
    layer = whitening.Whitening(7, 5).double()
    layer.set(*whitening.fit([x[:100], x[100:]], 5))
    z = layer(torch.from_numpy(x.astype(np.float64))).numpy()
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(np.cov(z.T, bias=True), np.eye(5), atol=1e-2)
    assert not list(layer.parameters())


def test_a_direction_without_variance_is_not_blown_up() -> None:
    x = frames(dims=4)
    x[:, 3] = x[:, 2]
    _, matrix = whitening.fit([x], 4)
    assert np.abs(matrix).max() <= 1 / np.sqrt(whitening.RIDGE) + 1e-6


def test_too_few_values_or_frames_and_values_that_are_none() -> None:
    with pytest.raises(InputError, match="8 principal components are more than 7 values"):
        whitening.fit([frames()], 8)
    with pytest.raises(InputError, match="more than 3 frames"):
        whitening.fit([frames(3)], 5)
    with pytest.raises(InputError, match="not finite"):
        whitening.fit([np.full((9, 2), np.nan)], 2)
