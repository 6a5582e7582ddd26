"""Features over time that are stretched, coloured and cut: what each does, and in training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_store import items, make

from sertool.augmentations import masks, parts
from sertool.core.errors import UsageError
from sertool.core.seeds import rng
from sertool.formats import checkpoint
from sertool.formats.store import Store
from sertool.models import statistics
from sertool.models.stretching import between
from sertool.training.augmenting import Augmenting
from sertool.training.batches import Source

SIZES = ("--set", "widths=[4,4]", "--set", "hidden=8", "--set", "attention=4")
NETWORK = ("--model", "sertool", *SIZES, "--epochs", 2, "--batch-size", 9, "--no-baselines")
FOLD = ("--test-fold", 0, "--val-fold", 1)


def changed(name: str, values: list, features: np.ndarray, seed: int = 0) -> tuple:
    made = parts("frames", {name: values})
    out, drawn = masks.masked(features, features[0], made, rng(seed))
    return out, drawn[name]


def ramp(frames: int = 40, dims: int = 12) -> np.ndarray:
    """Features whose value is 100 · frame + dimension."""
    return (100.0 * np.arange(frames)[:, None] + np.arange(dims)).astype(np.float32)


@given(n=st.integers(1, 9), at=st.lists(st.floats(-3, 12), min_size=1, max_size=20))
def test_between_is_linear_interpolation(n: int, at: list[float]) -> None:
    rows = np.random.default_rng(n).normal(size=(n, 2))
    wanted = np.stack([np.interp(at, np.arange(n), column) for column in rows.T], 1)
    np.testing.assert_allclose(between(rows, np.array(at)), wanted, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_time_stretch(seed: int) -> None:
    out, factor = changed("time-stretch", [0.5, 2.0], ramp(), seed)
    assert 0.5 <= factor <= 2
    assert len(out) == round(40 / factor)
    inside = np.arange(len(out)) * factor <= 39
    wanted = 100 * np.arange(len(out)) * factor
    np.testing.assert_allclose(out[inside, 0], wanted[inside], rtol=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_freq_stretch(seed: int) -> None:
    out, factor = changed("freq-stretch", [0.8, 1.25], ramp(), seed)
    wanted = np.minimum(np.arange(12) * factor, 11)
    np.testing.assert_allclose(out[0], wanted, rtol=1e-4)
    np.testing.assert_allclose(out[7] - out[0], 700, rtol=1e-4)


def test_factors_spread_evenly_around_one() -> None:
    drawn = [changed("time-stretch", [0.5, 2.0], ramp(4), k)[1] for k in range(400)]
    assert abs(np.mean(np.log(drawn))) < 0.06
    assert min(drawn) < 0.55
    assert max(drawn) > 1.8


def test_response_is_the_same_in_every_frame() -> None:
    out, knots = changed("response", [3.0], ramp())
    added = out - ramp()
    np.testing.assert_allclose(added, np.broadcast_to(added[0], added.shape), atol=1e-3)
    np.testing.assert_allclose(added[0][[0, -1]], [knots[0], knots[-1]], atol=1e-3)
    assert np.ptp(added[0]) > 0.5
    drawn = [changed("response", [3.0], ramp(4), k)[1] for k in range(300)]
    assert np.std(drawn) == pytest.approx(3, rel=0.1)


@pytest.mark.parametrize(("frames", "wanted"), [(40, 16), (5, 16), (16, 16), (1, 3)])
def test_crop(frames: int, wanted: int) -> None:
    starts = set()
    for seed in range(200):
        out, first = changed("crop", [wanted], ramp(frames), seed)
        assert len(out) == wanted
        rows = (out[:, 0] / 100).astype(int).tolist()
        assert rows == [(first + k) % frames for k in range(wanted)]
        starts.add(first)
    assert starts == set(range(max(1, frames - wanted + 1) if frames >= wanted else frames))


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ({"time-stretch": [0, 2]}, "needs factors above 0"),
        ({"freq-stretch": [-1, 1]}, "needs factors above 0"),
        ({"freq-stretch": [1.2, 0.9]}, "needs LOW <= HIGH"),
        ({"response": [-1]}, "--response -1: needs a number"),
        ({"crop": [0]}, "--crop 0: needs a whole number"),
    ],
)
def test_wrong_values(steps: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parts("frames", steps)


def test_in_training_before_normalisation_and_masks_after(tmp_path: Path) -> None:
    source = Source(Store(make(tmp_path / "s.h5")), lambda features: features)
    source.statistics = statistics.fit((source.seen(i) for i in range(8)), "feature")
    steps = {"response": [3.0], "crop": [9], "time-mask": [8, 3, 0.5]}
    how = Augmenting(parts("frames", steps), None, 3, "frames")
    x, lengths, _ = how.batch(source, 1, [2, 5])
    assert lengths.tolist() == [9, 9]
    for row, i in zip(x, (2, 5), strict=True):
        random = rng(3, source.store.items()[i].id, 2)
        made = parts("frames", steps)
        mask = made.pop("time-mask")
        raw, _ = masks.masked(source.seen(i), source.seen(i)[0], made, random)
        wanted = source.normalised(raw)
        mask(wanted, np.zeros(wanted.shape[1], np.float32), random)
        np.testing.assert_array_equal(row, wanted)
        assert not row.all()


def test_stored_copies_have_lengths_of_their_own(cli, tmp_path: Path) -> None:
    store = make(tmp_path / "s.h5", items(copies=0))
    out = tmp_path / "more.h5"
    made = cli("augment", "--time-stretch", "0.5:0.6", "--crop", 200, store, out)
    assert made.code == 0, made.err
    lengths = Store(out).lengths()
    assert (lengths[1::2] == 200).all()
    assert (lengths[::2] == Store(store).lengths()).all()


def test_a_models_own_are_its_defaults(cli, tmp_path: Path) -> None:
    store = make(tmp_path / "s.h5", items(copies=0))
    for name, asked in {
        "own": (),
        "none": ("--augment", "none"),
        "crop": ("--augment", "crop=8"),
    }.items():
        made = cli("train", store, tmp_path / f"{name}.ckpt", *NETWORK, *FOLD, *asked)
        assert made.code == 0, made.err
    said = {p.stem: checkpoint.load(p).meta["augment"] for p in tmp_path.glob("*.ckpt")}
    assert set(said["own"]["steps"]) > {"time-stretch", "crop", "time-mask"}
    assert said["own"]["mixup"] > 0
    assert said["none"]["steps"] == {}
    assert said["crop"]["steps"] == {"crop": [8]}


def test_refused_where_all_items_must_have_one_length(cli, tmp_path: Path) -> None:
    store = make(tmp_path / "s.h5", items(copies=0))
    asked = (*NETWORK, *FOLD, "--normalisation", "cell")
    made = cli("train", store, tmp_path / "a.ckpt", *asked)
    assert made.code == 2
    assert "time-stretch, crop: --normalisation cell needs items of one length" in made.err
