"""Sparse auto-encoders: their loss against loops and autograd, and what a fit finds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck
from torch.autograd.functional import jacobian

from sertool.core.errors import InputError
from sertool.models.huang2014 import sparse_autoencoder as sae

EXACTLY: dict[str, float] = {"rtol": 1e-10, "atol": 1e-12}


def network(values: int = 5, units: int = 4, seed: int = 0) -> sae.SparseAutoencoder:
    made = sae.SparseAutoencoder(values, units, torch.Generator().manual_seed(seed)).double()
    with torch.no_grad():
        for layer in (made.encoder, made.decoder):
            layer.bias.copy_(torch.linspace(-1, 1, len(layer.bias)))
    return made


def patches(count: int = 6, values: int = 5, seed: int = 1) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(count, values, generator=random, dtype=torch.float64)


@pytest.mark.parametrize(("frames", "expected"), [(6, 43_620), (10, 72_660)])
def test_parameters_of_both_kernels(frames: int, expected: int) -> None:
    made = sae.SparseAutoencoder(60 * frames, 60)
    assert sum(p.numel() for p in made.parameters()) == expected
    codes, rebuilt = made(torch.zeros(2, 60 * frames))
    assert codes.shape == (2, 60)
    assert rebuilt.shape == (2, 60 * frames)
    bound = math.sqrt(6 / (60 * frames + 61))
    for layer in (made.encoder, made.decoder):
        assert 0.99 * bound < float(layer.weight.detach().abs().max()) <= bound
        assert not layer.bias.any()


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**31), st.integers(1, 6), st.integers(1, 5), st.floats(0.01, 0.99),
)  # fmt: skip
def test_divergence_is_a_loop_in_float64(seed: int, count: int, units: int, rho: float) -> None:
    codes = np.random.default_rng(seed).uniform(0.001, 0.999, (count, units))
    expected = 0.0
    for j in range(units):
        mean = sum(codes[i, j] for i in range(count)) / count
        expected += rho * math.log(rho / mean) + (1 - rho) * math.log((1 - rho) / (1 - mean))
    ours = float(sae.divergence(torch.from_numpy(codes), rho))
    assert ours == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert ours >= -1e-12


def test_divergence_is_none_at_its_aim_and_finite_where_units_are_stuck() -> None:
    aim = torch.full((3, 2), 0.05, dtype=torch.float64)
    assert float(sae.divergence(aim, 0.05)) == pytest.approx(0, abs=1e-15)
    for stuck in (0.0, 1.0):
        assert 0.4 < float(sae.divergence(torch.full((3, 1), stuck), 0.05)) < 20


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 4), st.integers(1, 5), st.integers(1, 4))
def test_contraction_is_the_norm_of_the_jacobian(
    seed: int, count: int, values: int, units: int
) -> None:
    made, x = network(values, units, seed), patches(count, values, seed)
    expected = 0.0
    for row in x:
        by_value: Any = jacobian(made.codes, row.unsqueeze(0))
        expected += float(by_value.square().sum()) / count
    ours = sae.contraction(made.codes(x), made.encoder.weight)
    assert float(ours.detach()) == pytest.approx(expected, rel=1e-10)


def test_the_loss_is_the_sum_of_its_parts() -> None:
    made, x = network(), patches()
    form = sae.Fit(4, sparsity=0.2, sparsity_weight=0.7, weight_decay=0.3, contraction=0.9)
    w, back = (layer.weight.detach().numpy() for layer in (made.encoder, made.decoder))
    codes = 1 / (1 + np.exp(-(x.numpy() @ w.T + made.encoder.bias.detach().numpy())))
    wrong = x.numpy() - (codes @ back.T + made.decoder.bias.detach().numpy())
    expected = 0.5 * (wrong**2).sum() / 6 + 0.15 * ((w**2).sum() + (back**2).sum())
    expected += 0.7 * float(sae.divergence(torch.from_numpy(codes), 0.2))
    slopes = (codes * (1 - codes)) ** 2
    expected += 0.9 * sum(slopes[:, j].sum() * (w[j] ** 2).sum() for j in range(4)) / 6
    assert float(sae.loss(made, x, form).detach()) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("contraction", [0.0, 0.5])
def test_gradients_of_the_loss(contraction: float) -> None:
    """By patches and by every weight and bias, by central differences."""
    made, x = network(4, 3), patches(3, 4).requires_grad_()
    form = sae.Fit(3, contraction=contraction)

    def value(x: torch.Tensor, w: Any, a: Any, back: Any, b: Any) -> torch.Tensor:
        codes = torch.sigmoid(x @ w.T + a)
        total = 0.5 * (x - codes @ back.T - b).square().sum(1).mean()
        total = total + form.weight_decay / 2 * (w.square().sum() + back.square().sum())
        total = total + form.sparsity_weight * sae.divergence(codes, form.sparsity)
        return total + contraction * sae.contraction(codes, w)

    inputs = (x, *(p.detach().clone().requires_grad_() for p in made.parameters()))
    assert gradcheck(value, inputs)
    expected = torch.autograd.grad(value(*inputs), inputs)
    ours = torch.autograd.grad(sae.loss(made, x, form), (x, *made.parameters()))
    for one, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(one, other, **EXACTLY)


def sparse(count: int = 2000, parts: int = 8, values: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Patches (count, values) that are sums of few of the rows of a dictionary (parts, values)."""
    random = np.random.default_rng(0)
    dictionary = np.linalg.qr(random.standard_normal((values, parts)))[0].T
    active = random.random((count, parts)) < 0.1
    patches = 3 * active @ dictionary + 0.05 * random.standard_normal((count, values))
    return patches.astype(np.float32), dictionary


def found(kernels: np.ndarray, dictionary: np.ndarray) -> float:
    """The mean over a dictionary's rows of the best correlation with a kernel, of either sign."""
    unit = kernels / np.linalg.norm(kernels, axis=1, keepdims=True)
    return float(np.abs(dictionary @ unit.T).max(1).mean())


def fitted(**changed: Any) -> sae.SparseAutoencoder:
    form = sae.Fit(8, **({"sparsity": 0.1, "lr": 0.05} | changed))
    return sae.fit(sae.shuffled(sparse()[0], 200, 80, 0), form, 0)


def test_a_fit_finds_a_planted_dictionary_and_its_sparsity() -> None:
    x, dictionary = sparse()
    made = fitted()
    start = sae.SparseAutoencoder(24, 8, torch.Generator().manual_seed(0))
    by_chance = found(start.encoder.weight.detach().numpy(), dictionary)
    after = found(made.encoder.weight.detach().numpy(), dictionary)
    assert by_chance < 0.6
    assert after > 0.98
    mean = made.codes(torch.from_numpy(x)).detach().mean(0)
    assert ((mean - 0.1).abs() < 0.02).all()
    careless = fitted(sparsity_weight=0.0).codes(torch.from_numpy(x)).detach().mean(0)
    assert ((careless - 0.1).abs() > 0.1).any()


def test_one_seed_gives_the_same_bits_and_leaves_torchs_generator_alone() -> None:
    x, _ = sparse(300)

    def weights(seed: int) -> list[np.ndarray]:
        made = sae.fit(sae.shuffled(x, 100, 2, 0), sae.Fit(3), seed)
        return [p.detach().numpy() for p in made.parameters()]

    torch.manual_seed(5)
    first = weights(0)
    after = torch.rand(1)
    torch.manual_seed(6)
    second, other = weights(0), weights(1)
    torch.manual_seed(5)
    assert torch.rand(1) == after
    assert all((a == b).all() for a, b in zip(first, second, strict=True))
    assert not all((a == b).all() for a, b in zip(first, other, strict=True))


def test_a_fit_takes_a_step_a_batch_and_reads_them_once(monkeypatch: pytest.MonkeyPatch) -> None:
    x, _ = sparse(200)
    taken: list[int] = []
    steps: list[float] = []
    loss = sae.loss

    def watched(*given: Any) -> Any:
        found = loss(*given)
        steps.append(float(found.detach()))
        return found

    monkeypatch.setattr(sae, "loss", watched)

    def stream() -> Any:
        for i in range(0, 200, 40):
            assert len(steps) == len(taken)  # nothing is read ahead
            taken.append(i)
            yield x[i : i + 40].astype(np.float64)

    sae.fit(stream(), sae.Fit(3), 0)
    assert len(taken) == len(steps) == 5
    assert all(map(math.isfinite, steps))


def test_fits_that_cannot_be() -> None:
    with pytest.raises(InputError, match="no patches"):
        sae.fit([], sae.Fit(3), 0)
    bad = np.ones((4, 5), np.float32)
    bad[0, 0] = np.nan
    with pytest.raises(InputError, match="is nan in step 2"):
        sae.fit([np.ones((4, 5), np.float32), bad], sae.Fit(3), 0)


def test_shuffled_gives_every_patch_once_an_epoch() -> None:
    x = np.arange(10, dtype=np.float32)[:, None]
    batches = list(sae.shuffled(x, 4, 2, 0))
    assert [len(b) for b in batches] == [4, 4, 2] * 2
    epochs = [np.concatenate(batches[:3])[:, 0], np.concatenate(batches[3:])[:, 0]]
    for epoch in epochs:
        assert sorted(epoch) == list(range(10))
    assert epochs[0].tolist() != epochs[1].tolist()
    again = np.concatenate(list(sae.shuffled(x, 4, 2, 0)))
    assert again.tolist() == np.concatenate(batches).tolist()
