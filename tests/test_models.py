"""Tests of the models against their papers' tables and against independent references."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from made_models import network
from made_settings import parse

from sertool.core.errors import InputError, UsageError
from sertool.models import MODELS, Model, linear, majority, model, tabular


def cnn(frames: int, dims: int, outputs: int, *assignments: str) -> Any:
    return network("sundharam-cnn", *assignments).build(frames, (dims,), outputs)


def test_table_and_descriptions() -> None:
    for name in MODELS:
        found = model(name)
        assert found.name == name
        assert issubclass(found, Model)
        assert found.summary
    with pytest.raises(UsageError, match=", ".join(MODELS)):
        model("nothing")


def test_listing_models_imports_neither_torch_nor_sklearn() -> None:
    code = (
        "import sys; from sertool.models import MODELS, Model, model\n"
        "[model(name) for name in MODELS]\n"
        "assert not {'torch', 'sklearn', 'librosa', 'soundfile'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("outputs", "expected"), [(10, 906_922), (8, 906_280)])
def test_sundharam_cnn_has_the_published_parameters(outputs: int, expected: int) -> None:
    network = cnn(216, 1, outputs)
    assert sum(p.numel() for p in network.parameters()) == expected


def test_sundharam_cnn_layers_are_those_of_the_table() -> None:
    import torch
    from torch import nn

    network = cnn(216, 1, 10)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    sizes = [sum(p.numel() for p in m.parameters()) for m in convolutions]
    assert sizes == [2048, 459_008, 163_968, 82_048, 82_048, 82_048, 24_640, 6_176]
    norms = [m.num_features for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms == [256, 128, 128, 128, 128, 64, 32]
    frames = []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
            layer.register_forward_hook(lambda m, i, o: frames.append(o.shape[-1]))
    network.eval()
    assert network(torch.zeros(2, 216, 1), torch.tensor([216, 216])).shape == (2, 10)
    assert frames == [216, 216, 30, 30, 30, 30, 30, 6, 8, 10]


def test_sundharam_cnn_equals_one_dimensional_convolutions() -> None:
    import torch
    from torch import nn

    torch.manual_seed(0)
    ours = cnn(70, 3, 4, "dropout=0.0")
    twins: dict[type, Any] = {
        nn.Conv2d: lambda m: nn.Conv1d(
            m.in_channels, m.out_channels, m.kernel_size[1], padding=m.padding[1]
        ),
        nn.BatchNorm2d: lambda m: nn.BatchNorm1d(m.num_features),
        nn.MaxPool2d: lambda m: nn.MaxPool1d(m.kernel_size[1]),
    }
    plain = nn.Sequential(*[twins.get(type(m), lambda m: m)(m) for m in ours.layers])
    linear_layer = nn.Linear(ours.layers[-1].in_features, 4)
    plain[-1] = linear_layer
    with torch.no_grad():
        for mine, other in zip(ours.parameters(), plain.parameters(), strict=True):
            other.copy_(mine.reshape(other.shape))
    x = torch.randn(5, 70, 3)
    ours.to(memory_format=torch.channels_last)
    left = ours(x, torch.full((5,), 70))
    right = plain(x.transpose(1, 2))
    torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-5)
    left.square().sum().backward()
    right.square().sum().backward()
    for mine, other in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad.reshape(other.shape), other.grad, rtol=2e-3, atol=1e-3)


def test_sundharam_cnn_variants() -> None:
    notebook = network("sundharam-cnn", "input=curve", "intensity_head=true")
    assert [output.field for output in notebook.outputs()] == ["label", "intensity"]
    assert notebook.outputs()[1].weight == 1e-3
    features = np.arange(12.0, dtype=np.float32).reshape(4, 3)
    np.testing.assert_array_equal(notebook.view(features)[:, 0], [1, 4, 7, 10])
    hp = notebook.defaults()
    assert (hp.batch_size, hp.weight_decay, hp.betas) == (512, 1e-3, (0.5, 0.999))
    assert (hp.schedule, hp.schedule_factor, hp.schedule_patience) == ("plateau", 0.1, 10)
    paper = network("sundharam-cnn")
    assert paper.view(features) is features
    hp = paper.defaults()
    assert (hp.optimizer, hp.lr, hp.batch_size, hp.weight_decay) == ("adam", 1e-3, 150, 1e-4)
    assert (hp.betas, hp.schedule, hp.epochs) == ((0.9, 0.999), "constant", 500)


def test_sundharam_cnn_refuses_what_its_pools_leave_nothing_of() -> None:
    assert cnn(35, 2, 3)
    with pytest.raises(InputError, match="at least 35 frames"):
        cnn(34, 2, 3)
    with pytest.raises(UsageError, match="dropout"):
        cnn(35, 2, 3, "dropout=1.5")


def columns_and_targets(n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    targets = np.arange(60) % n_classes
    return random.standard_normal((60, 7)) * 3 + 10 + targets[:, None] * 0.7, targets


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("class_weight", [None, "balanced"])
def test_linear_equals_scikit_learn(n_classes: int, class_weight: str | None) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows, targets = columns_and_targets(n_classes)
    rows, targets = rows[7:], targets[7:]  # classes of unequal size
    weights = np.ones(n_classes)
    if class_weight:
        weights = len(targets) / (n_classes * np.bincount(targets))
    arrays = linear.Linear(linear.LinearSettings()).fit(rows, targets, n_classes, weights, targets)
    reference = make_pipeline(
        StandardScaler(), LogisticRegression(max_iter=2000, class_weight=class_weight)
    ).fit(rows, targets)
    fresh = np.random.default_rng(2).standard_normal((20, 7)) * 3 + 10
    expected = reference.predict_proba(fresh)
    np.testing.assert_allclose(linear.Linear().posterior(arrays, fresh), expected, atol=1e-9)
    again = linear.Linear(linear.LinearSettings()).fit(rows, targets, n_classes, weights, targets)
    assert all(arrays[name].tobytes() == again[name].tobytes() for name in arrays)


def test_linear_posterior_is_the_same_alone() -> None:
    rows, targets = columns_and_targets(3)
    arrays = linear.Linear(linear.LinearSettings(C=0.1)).fit(rows, targets, 3, np.ones(3), targets)
    together = linear.Linear().posterior(arrays, rows)
    alone = np.concatenate([linear.Linear().posterior(arrays, row[None]) for row in rows])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_allclose(together.sum(1), 1, rtol=1e-12)


def test_linear_bears_constant_columns_and_huge_logits() -> None:
    rows, targets = columns_and_targets(3)
    rows[:, 2] = 0.1
    arrays = linear.Linear(linear.LinearSettings()).fit(rows, targets, 3, np.ones(3), targets)
    assert arrays["sd"][2] == 1
    assert np.isfinite(linear.Linear().posterior(arrays, rows * 1e6)).all()


@pytest.mark.parametrize("shape", [(20, 8), (1, 3), (50,)])
def test_columns_are_mean_and_sd_over_time(shape: tuple[int, ...]) -> None:
    features = np.random.default_rng(0).standard_normal(shape).astype(np.float16)
    got = linear.Linear().row(features)
    dims = shape[-1] if len(shape) > 1 else 1
    assert got.shape == (2 * dims,)
    assert got.dtype == np.float64
    for d in range(dims):
        values = features[..., d].astype(float) if len(shape) > 1 else features.astype(float)
        np.testing.assert_allclose(got[d], values.mean())
        np.testing.assert_allclose(got[dims + d], values.std(), atol=1e-12)


def test_columns_of_pictures_are_of_each_row_over_the_width() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (1, 4, 9, 3), dtype=np.uint8)
    got = linear.Linear().row(picture)
    assert got.shape == (2 * 4 * 3,)
    for row in range(4):
        for channel in range(3):
            values = picture[0, row, :, channel].astype(float)
            np.testing.assert_allclose(got[3 * row + channel], values.mean())
            np.testing.assert_allclose(got[12 + 3 * row + channel], values.std())


def test_linear_settings_are_checked() -> None:
    with pytest.raises(UsageError, match=r"C=0\.0: needs a number, above 0"):
        parse(linear.LinearSettings, ["C=0.0"])
    with pytest.raises(UsageError, match="no such setting"):
        parse(majority.MajoritySettings, ["C=1"])


def test_majority_gives_the_shares_of_training() -> None:
    found = tabular("majority")
    rows = np.empty((5, 0))
    targets = np.array([1, 1, 2, 1, 0])
    arrays = found.fit(rows, targets, 3, np.ones(3), targets)
    np.testing.assert_allclose(found.posterior(arrays, np.empty((2, 0))), [[0.2, 0.6, 0.2]] * 2)
    assert found.row(np.zeros((9, 4))).shape == (0,)
