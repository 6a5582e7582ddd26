"""semi-CNN: its table of layers, its formulas in plain sums, its kernels, its gradients."""

from __future__ import annotations

import pytest
import torch
from small_semi_cnn import EXACTLY
from torch import nn
from torch.autograd import gradcheck

from sertool.models.huang2014 import loss as losses
from sertool.models.huang2014 import semi_cnn, sparse_autoencoder
from sertool.targets import IGNORED

LITERAL = losses.Objective(curvature="exact", clamp="off", hold_target=False)


def count(part: nn.Module) -> int:
    return sum(p.numel() for p in part.parameters())


def test_the_table_line_by_line() -> None:
    """The sizes of the paper: 15 × 60 in, maps 10 × 1 and 6 × 1, 600 features, seven classes."""
    network = semi_cnn.SemiCnn(7)
    shapes: list[tuple[int, ...]] = []
    for kernel in network.kernels.sizes:
        kernel.register_forward_hook(lambda m, i, o: shapes.append(tuple(o.shape)))
    outputs = network(torch.rand(2, 15, 60))
    assert shapes == [(2, 300), (2, 180)]
    assert [tuple(t.shape) for t in outputs] == [(2, 480), (2, 600), (2, 480), (2, 7)]
    assert [tuple(block.shape) for block in network.features.split(outputs.features)] == [
        (2, 300)
    ] * 2
    assert [count(kernel) for kernel in network.kernels.sizes] == [21_660, 36_060]
    later = (network.features, network.decoder, network.classifier)
    assert [count(part) for part in later] == [288_600, 288_480, 2_107]


@pytest.mark.parametrize(
    ("maps", "local", "kernels", "later"),
    [(60, 480, 57_720, 579_187), (120, 960, 115_440, 576_600 + 576_960 + 2_107)],
)
def test_parameters_of_both_readings_of_120_kernels(
    maps: int, local: int, kernels: int, later: int
) -> None:
    """Frozen kernels are not among what is trained; those to be fine-tuned are."""
    frozen, tuned = (semi_cnn.SemiCnn(7, semi_cnn.Sizes(maps=maps), tune) for tune in (False, True))
    assert frozen.decoder.out_features == local
    assert count(frozen.kernels) == kernels
    assert sum(p.numel() for p in frozen.parameters() if p.requires_grad) == later
    assert sum(p.numel() for p in tuned.parameters() if p.requires_grad) == kernels + later


def test_the_network_is_its_formulas_in_plain_sums() -> None:
    """Eqs. 2 to 5 patch by patch, y in the order of Eq. 3: sizes, in them windows, then maps."""
    torch.manual_seed(0)
    odd = semi_cnn.Sizes(frames=8, dims=3, kernels=(3, 4), maps=2, salient=3, other=2)
    network = semi_cnn.SemiCnn(4, odd).double()  # 6 and 5 positions: the fifth is dropped
    x = torch.rand(2, 8, 3, dtype=torch.float64)
    y, features, rebuilt, logits = network(x)
    assert odd.windows == (3, 2)
    expected = []
    for kernel, length, windows in zip(network.kernels.sizes, (3, 4), (3, 2), strict=True):
        for window in range(windows):
            for unit in range(2):
                sums = [
                    (x[:, start : start + length] * kernel.weight[unit]).sum((1, 2))
                    + kernel.bias[unit]
                    for start in (2 * window, 2 * window + 1)
                ]
                expected.append(sum(torch.sigmoid(one) for one in sums) / 2)
    torch.testing.assert_close(y, torch.stack(expected, 1), **EXACTLY)
    v, u, a = network.matrices()
    torch.testing.assert_close(
        features, torch.sigmoid(y @ v.T + network.features.linear.bias), **EXACTLY
    )
    again = torch.sigmoid(features @ u.T + network.decoder.bias)
    torch.testing.assert_close(rebuilt, again, **EXACTLY)
    ours, others = network.features.split(features)
    torch.testing.assert_close(torch.cat([ours, others], 1), features)
    torch.testing.assert_close(logits, ours @ a.T + network.classifier.bias, **EXACTLY)


def test_maps_are_the_codes_of_the_auto_encoders() -> None:
    """Eq. 1 of every patch is Eq. 2 of the fragment, once `set` has the weights."""
    torch.manual_seed(0)
    small = semi_cnn.Sizes(frames=7, dims=3, kernels=(2, 4), maps=2, salient=2, other=2)
    network = semi_cnn.SemiCnn(2, small)
    coders = [sparse_autoencoder.SparseAutoencoder(3 * length, 2) for length in (2, 4)]
    network.kernels.set([coder.encoder for coder in coders])
    x = torch.rand(1, 7, 3)
    means = []
    for coder, length in zip(coders, (2, 4), strict=True):
        patches = torch.stack([x[0, i : i + length].flatten() for i in range(8 - length)])
        codes = coder.codes(patches)[: (8 - length) // 2 * 2]
        means.append(codes.unflatten(0, (-1, 2)).mean(1).flatten())
    torch.testing.assert_close(network.kernels(x)[0], torch.cat(means))
    assert not any(p.requires_grad for p in network.kernels.parameters())
    with pytest.raises(ValueError, match="kernels of"):
        network.kernels.set([coder.encoder for coder in reversed(coders)])
    with pytest.raises(ValueError, match="shorter"):
        network.kernels.set([coders[0].encoder])


def test_only_what_is_trained_gets_a_gradient() -> None:
    torch.manual_seed(0)
    small = semi_cnn.Sizes(frames=7, dims=3, kernels=(2, 4), maps=2, salient=2, other=2)
    for tune in (False, True):
        network = semi_cnn.SemiCnn(2, small, tune)
        outputs = network(torch.rand(3, 7, 3))
        labels = torch.tensor([0, 1, IGNORED])
        losses.objective(outputs, network.matrices(), labels, losses.Objective()).total.backward()
        got = {name for name, p in network.named_parameters() if p.grad is not None}
        assert any(name.startswith("kernels") for name in got) == tune
        assert {n.split(".")[0] for n in got} >= {"features", "decoder", "classifier"}


def test_gradients_of_the_network_down_to_its_kernels_and_input() -> None:
    torch.manual_seed(0)
    tiny = semi_cnn.Sizes(frames=5, dims=2, kernels=(2, 4), maps=2, salient=2, other=2)
    network = semi_cnn.SemiCnn(2, tiny, finetune_kernels=True).double()
    names = [name for name, _ in network.named_parameters()]
    x = torch.rand(2, 5, 2, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([1, IGNORED])

    def value(x: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        given_weights = dict(zip(names, weights, strict=True))
        outputs = torch.func.functional_call(network, given_weights, (x,))
        matrices = losses.Matrices(
            *(given_weights[f"{n}.weight"] for n in ("features.linear", "decoder", "classifier"))
        )
        return losses.objective(outputs, matrices, labels, LITERAL).total

    assert len(names) == 10
    assert gradcheck(value, (x, *network.parameters()))
