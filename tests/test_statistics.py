"""Tests of what training is made of: statistics, schedules, batches, targets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from small_store import make

from sertool.core.errors import InputError, UsageError
from sertool.formats.store import Store
from sertool.items import Item
from sertool.models import statistics
from sertool.models.hyperparameters import Hyperparameters
from sertool.targets import IGNORED, class_names, make_target
from sertool.training import batches, schedules

# ---- statistics


@given(
    hnp.arrays(np.float32, (7, 3, 2), elements=st.floats(-100, 100, width=32)),
    st.floats(-1e4, 1e4, width=32),
)
@settings(max_examples=50, deadline=None)
def test_cell_statistics_equal_float64_numpy(values: np.ndarray, shift: float) -> None:
    values = values + np.float32(shift)
    moments = statistics.Moments()
    for item in values:
        moments.add(item[None])
    exact = values.astype(np.float64)
    np.testing.assert_allclose(moments.mean, exact.mean(0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(moments.variance(), exact.var(0), rtol=1e-9, atol=1e-9)


def test_feature_statistics_weigh_every_frame_alike() -> None:
    random = np.random.default_rng(0)
    arrays = [random.standard_normal((n, 5)).astype(np.float32) + 1e3 for n in (1, 30, 7)]
    fitted = statistics.fit(iter(arrays), "feature")
    frames = np.concatenate(arrays).astype(np.float64)
    np.testing.assert_allclose(fitted.mean, frames.mean(0), rtol=1e-7)
    np.testing.assert_allclose(fitted.sd, frames.std(0), rtol=1e-6)
    np.testing.assert_allclose(
        fitted.apply(arrays[2]), (arrays[2] - fitted.mean) / fitted.sd, rtol=1e-6
    )


def test_statistics_of_pictures_are_of_each_channel() -> None:
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (9, 1, 4, 5, 3), dtype=np.uint8)
    pixels = pictures.reshape(-1, 3).astype(np.float64)
    x = pictures[3].astype(np.float64)
    wanted = {
        "mean": x - pixels.mean(0),
        "feature": (x - pixels.mean(0)) / pixels.std(0),
        "global": (x - pixels.mean()) / pixels.std(),
        "unit": x / 255,
        "imagenet": (x / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225],
        "none": x,
    }
    for name, values in wanted.items():
        got = statistics.fit(iter(pictures), name).apply(pictures[3])
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, values, rtol=1e-5, atol=1e-5, err_msg=name)
    cell = statistics.fit(iter(pictures), "cell")
    assert cell.mean.shape == (1, 4, 5, 3)
    every = pictures.astype(np.float64)
    np.testing.assert_allclose(cell.apply(pictures[3]), (x - every.mean(0)) / every.std(0), 1e-4)
    image = statistics.fit(iter(pictures), "mean-image")
    assert image.mean.shape == (1, 4, 5, 3)
    np.testing.assert_allclose(image.apply(pictures[3]), x - every.mean(0), rtol=1e-5, atol=1e-5)


@given(st.integers(0, 99), st.floats(-1e4, 1e4), st.booleans())
@settings(max_examples=30, deadline=None)
def test_global_statistics_are_one_mean_and_deviation_of_all_values(
    seed: int, shift: float, half: bool
) -> None:
    random = np.random.default_rng(seed)
    kind = np.float16 if half else np.float32
    arrays = [(random.standard_normal((n, 5)) + shift).astype(kind) for n in (1, 30, 7)]
    fitted = statistics.fit(iter(arrays), "global")
    values = np.concatenate([array.ravel() for array in arrays]).astype(np.float64)
    assert fitted.mean.shape == fitted.sd.shape == ()
    assert fitted.mean.dtype == fitted.sd.dtype == np.float32
    np.testing.assert_allclose(fitted.mean, values.mean(), rtol=1e-6, atol=1e-7)
    if values.std() > 1e-6 * abs(values.mean()):
        np.testing.assert_allclose(fitted.sd, values.std(), rtol=1e-6)
    np.testing.assert_array_equal(
        fitted.apply(arrays[2]), (arrays[2].astype(np.float32) - fitted.mean) / fitted.sd
    )


def test_constant_cells_are_not_blown_up() -> None:
    arrays = [np.full((2, 2), 0.1, np.float32) for _ in range(5)]
    fitted = statistics.fit(iter(arrays), "cell")
    np.testing.assert_array_equal(fitted.sd, 1)
    np.testing.assert_allclose(fitted.apply(arrays[0]), 0, atol=1e-7)


def test_statistics_refuse_what_is_not_finite() -> None:
    with pytest.raises(InputError, match="not finite"):
        statistics.fit(iter([np.array([[1.0, np.nan]])]), "cell")


# ---- schedules


def torch_rates(name: str, hp: Hyperparameters, losses: list[float]) -> list[float]:
    import torch

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=hp.lr)
    kinds: dict[str, Any] = {
        "step": lambda: torch.optim.lr_scheduler.StepLR(
            optimizer, hp.schedule_step, hp.schedule_factor
        ),
        "cosine": lambda: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, hp.epochs),
        "plateau": lambda: torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, factor=hp.schedule_factor, patience=hp.schedule_patience
        ),
        "constant": lambda: torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0),
    }
    schedule = kinds[name]()
    rates = []
    for loss in losses:
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step(loss) if name == "plateau" else schedule.step()
    return rates


@pytest.mark.parametrize("name", ["constant", "step", "cosine", "plateau"])
def test_schedules_equal_those_of_torch(name: str) -> None:
    random = np.random.default_rng(3)
    losses = (2 + 0.2 * random.standard_normal(60).cumsum() ** 2).tolist()
    hp = Hyperparameters(
        epochs=60, lr=0.3, schedule=name, schedule_step=7, schedule_factor=0.9, schedule_patience=3
    )
    ours = [schedules.learning_rate(hp, losses[:epoch]) for epoch in range(60)]
    np.testing.assert_allclose(ours, torch_rates(name, hp, losses), rtol=1e-9, atol=1e-12)
    assert len(set(ours)) == 1 if name == "constant" else len(set(ours)) > 3


@pytest.mark.parametrize(
    "bad",
    [
        {"epochs": 0},
        {"lr": 0.0},
        {"lr": float("nan")},
        {"optimizer": "lion"},
        {"patience": -1},
        {"schedule": "x"},
        {"monitor": "f1"},
        {"betas": (1.0, 0.9)},
        {"precision": "int8"},
        {"batch_by": "size"},
        {"batch_frames": -1},
        {"bucket_noise": 1.5},
        {"bucket_padding": float("nan")},
        {"length_weights": "balanced"},
        {"loss_norm": "w"},
        {"clip_norm": -1.0},
        {"clip_norm": float("nan")},
    ],
)
def test_hyperparameters_out_of_range_name_their_option(bad: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="--" + next(iter(bad)).replace("_", "-")):
        Hyperparameters(**bad).check()


# ---- batches


@given(st.integers(1, 60), st.integers(1, 9), st.integers(0, 5), st.integers(0, 3))
def test_an_epoch_takes_every_item_once(count: int, size: int, seed: int, epoch: int) -> None:
    positions = list(range(100, 100 + count))
    plan = batches.plan(positions, size, seed, epoch)
    assert sorted(i for batch in plan for i in batch) == positions
    assert all(batch == sorted(batch) for batch in plan)
    assert all(len(batch) == size for batch in plan[:-2])
    if count > 1 and size > 1:
        assert min(map(len, plan)) > 1  # batch normalisation needs two
    assert plan == batches.plan(positions, size, seed, epoch)


def test_epochs_and_seeds_differ_in_order() -> None:
    plans = {
        str(batches.plan(range(50), 10, seed, epoch)) for seed in range(3) for epoch in range(3)
    }
    assert len(plans) == 9


def test_prefetch_keeps_order_raises_and_stops() -> None:
    assert list(batches.prefetch(iter(range(20)), 3)) == list(range(20))

    def broken() -> Iterator[int]:
        yield 1
        raise InputError("broken store")

    with pytest.raises(InputError, match="broken store"):
        list(batches.prefetch(broken()))
    made = []
    for value in batches.prefetch((made.append(i) or i for i in range(1000)), 1):
        if value == 2:
            break
    assert len(made) < 10


def test_ragged_batches_are_padded_with_zeros(tmp_path: Path) -> None:
    with Store(make(tmp_path / "s.h5", ragged=True)) as store:
        source = batches.Source(store, lambda features: features)
        source.statistics = statistics.fit(map(source.seen, range(6)), "feature")
        x, lengths, positions = source.batch([0, 3, 4])
        assert x.dtype == np.float32
        assert x.shape == (3, max(lengths), 4)
        for row, length, i in zip(x, lengths, positions, strict=True):
            np.testing.assert_array_equal(
                row[:length], source.statistics.apply(store.features(int(i)))
            )
            assert not row[length:].any()


# ---- targets


def test_targets_know_training_classes_only() -> None:
    rows = [Item("", label=name) for name in ("b", "a", "b", "c", None)]
    target = make_target(class_names(rows, "label"), [0, 1, 2], "label", class_weights="balanced")
    assert target.classes == ["a", "b"]
    assert target.indices.tolist() == [1, 0, 1, IGNORED, IGNORED]
    np.testing.assert_allclose(target.class_weights, [3 / 2, 3 / 4])
    with pytest.raises(InputError, match="no training item has the field intensity"):
        make_target(class_names(rows, "intensity"), [0, 1], "intensity")
