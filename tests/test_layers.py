"""Layers that several networks share, against torch's own and against what chance allows."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from sertool.models.layers import Dropout
from sertool.models.sundharam import branches as parallel


@given(
    st.lists(st.integers(1, 9), min_size=4, max_size=4),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
)
@settings(max_examples=30, deadline=None)
def test_largest_is_torchs_maximum(shape: list[int], window: tuple[int, int]) -> None:
    x = torch.randn(shape[0], 1, shape[2] + 4, shape[3] + 4)
    torch.testing.assert_close(
        parallel.Largest(window)(x), functional.max_pool2d(x, window), rtol=0, atol=0
    )


@pytest.mark.parametrize("p", [0.1, 0.3, 0.4, 0.5])
def test_dropout_keeps_a_share(p: float) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 101, 33, 17).permute(0, 3, 1, 2).requires_grad_()  # channels last
    drop = Dropout(p)
    out = drop(x)
    kept = out != 0
    n = x.numel()
    assert abs(float(kept.double().mean()) - (1 - p)) < 4 * (p * (1 - p) / n) ** 0.5
    torch.testing.assert_close(out[kept], x[kept] / (1 - p), rtol=1e-4, atol=0)
    assert out.stride() == x.stride()
    (slope,) = torch.autograd.grad(out.sum(), x)
    torch.testing.assert_close(slope, kept / (1 - p), rtol=1e-4, atol=0)
    flat = kept.permute(0, 2, 3, 1).flatten().double()  # as it lies
    for apart in (1, 2, 3, 4):
        together = float((flat[apart:] * flat[:-apart]).mean())
        assert abs(together - (1 - p) ** 2) < 4 / n**0.5
    torch.manual_seed(0)
    torch.randn(3, 101, 33, 17)
    assert torch.equal(drop(x), out)
    assert not torch.equal(drop(x), out)
    assert drop.eval()(x) is x
    assert Dropout(0.0)(x) is x or torch.equal(Dropout(0.0)(x), x)


@pytest.mark.parametrize("shape", [(1,), (7,), (2, 3), (0, 4)])
def test_dropout_of_any_size(shape: tuple[int, ...]) -> None:
    assert Dropout(0.5)(torch.ones(shape)).shape == shape
    assert Dropout(0.5)(torch.ones(shape).bfloat16()).dtype == torch.bfloat16
    assert not Dropout(0.999999)(torch.ones(5)).isnan().any()
