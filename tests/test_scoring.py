"""Tests of the scorer: the same posterior alone and in company, for files of any length."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import made_models
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_store import items, make

from sertool.commands.train import train
from sertool.core.errors import InputError
from sertool.core.options import RunOptions
from sertool.formats import checkpoint
from sertool.formats.checkpoint import Checkpoint
from sertool.formats.store import Store
from sertool.models import scoring
from sertool.models.scoring import Scorer
from sertool.splits.division import PartOptions
from sertool.training.options import TrainOptions


def trained(folder: Path, store: Path, model: str, name: str = "m.ckpt", **more: Any) -> Path:
    path = folder / name
    overrides = {"epochs": 2, "batch_size": 16, **more.pop("overrides", {})}
    if model != "sundharam-cnn":
        overrides = {}
    options = TrainOptions(model, overrides=overrides, parts=PartOptions(test_fold="0"), **more)
    train(store, path, options, RunOptions(force=True))
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("scoring") / "s.h5")


@pytest.fixture(scope="module")
def cnn(small: Path) -> Path:
    return trained(small.parent, small, "sundharam-cnn", "cnn.ckpt")


def arrays(store: Path) -> list[np.ndarray]:
    with Store(store) as opened:
        return [opened.features(i) for i in range(len(opened))]


def test_posterior_does_not_depend_on_company(small: Path, cnn: Path) -> None:
    scorer = Scorer.load(cnn)
    some = arrays(small)[:20]
    whole = scorer.posterior(some)
    assert whole.shape == (20, 3)
    assert whole.dtype == np.float64
    np.testing.assert_allclose(whole.sum(1), 1, rtol=1e-12)
    assert whole.std(0).min() > 1e-4  # says something
    for size in (1, 3, 16):
        fresh = Scorer.load(cnn)
        pieces = [fresh.posterior(some[i : i + size]) for i in range(0, 20, size)]
        np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-6, rtol=0)
    backwards = scorer.posterior(some[::-1])[::-1]
    np.testing.assert_allclose(backwards, whole, atol=1e-6, rtol=0)
    assert scorer.posterior([]).shape == (0, 3)


def test_posterior_equals_the_network_run_in_float64(small: Path, cnn: Path) -> None:
    import torch

    from sertool.models.sundharam.cnn import SundharamCnn

    loaded = checkpoint.load(cnn)
    network = SundharamCnn().build(40, (4,), 3)
    network.load_state_dict(
        {name: torch.from_numpy(array) for name, array in loaded.subset("model").items()}
    )
    network.double().eval()
    mean, sd = loaded.tensors["statistics.mean"], loaded.tensors["statistics.sd"]
    x = torch.from_numpy((np.stack(arrays(small)) - mean.astype(float)) / sd)
    with torch.no_grad():
        expected = network(x, torch.full((72,), 40)).softmax(1).numpy()
    np.testing.assert_allclose(Scorer.load(cnn).posterior(arrays(small)), expected, atol=1e-6)


def test_validation_in_training_is_what_the_scorer_gives(small: Path) -> None:
    path = small.parent / "val.ckpt"
    parts = PartOptions(test_fold="0", val_fold="1")
    options = TrainOptions("sundharam-cnn", overrides={"epochs": 2}, parts=parts)
    train(small, path, options, RunOptions(force=True))
    loaded = checkpoint.load(path)
    with Store(small) as store:
        rows = {item.id: i for i, item in enumerate(store.items())}
        labels = store.column("label")
    chosen = [rows[item.id] for item in loaded.part("val")]
    posterior = Scorer.load(path).posterior([arrays(small)[i] for i in chosen])
    truth = np.array([loaded.meta["classes"].index(labels[i]) for i in chosen])
    best = loaded.meta["history"][loaded.meta["best_epoch"] - 1]
    loss = -np.log(posterior[np.arange(len(truth)), truth]).mean()
    assert best["val_loss"] == pytest.approx(loss, rel=1e-5)
    assert best["val_accuracy"] == pytest.approx((posterior.argmax(1) == truth).mean())


def test_longer_files_are_averaged_over_consecutive_windows(cnn: Path) -> None:
    long = np.random.default_rng(0).standard_normal((100, 4)).astype(np.float32)
    scorer = Scorer.load(cnn)
    got = scorer.posterior([long, long[:40]])
    windows = [long[0:40], long[40:80], long[60:100]]
    expected = Scorer.load(cnn).posterior(windows)
    np.testing.assert_allclose(got[0], expected.mean(0), rtol=1e-12)
    np.testing.assert_allclose(got[1], expected[0], rtol=1e-12)
    assert (scorer.windows_averaged, scorer.padded) == (1, 0)
    twice = scorer.posterior([long[:80]])
    np.testing.assert_allclose(twice[0], expected[:2].mean(0), rtol=1e-12)


def test_shorter_files_are_filled_up_with_training_means(cnn: Path) -> None:
    scorer = Scorer.load(cnn)
    mean = scorer.checkpoint.tensors["statistics.mean"]
    short = np.random.default_rng(0).standard_normal((25, 4)).astype(np.float32)
    filled = np.concatenate([short, mean[25:]])
    np.testing.assert_allclose(scorer.posterior([short]), scorer.posterior([filled]), rtol=1e-12)
    assert (scorer.windows_averaged, scorer.padded) == (0, 1)


@pytest.mark.parametrize("name", ["majority", "linear"])
def test_baselines_in_a_checkpoint_are_those_models_trained_alone(
    small: Path, cnn: Path, name: str
) -> None:
    baseline = Scorer.load(cnn).baseline(name)
    assert baseline is not None
    assert baseline.classes == ["anger", "calm", "joy"]
    alone = Scorer.load(trained(small.parent, small, name))
    longer = [*arrays(small), np.ones((100, 4), np.float32)]
    np.testing.assert_array_equal(baseline.posterior(longer), alone.posterior(longer))
    assert baseline.windows_averaged == 0


def test_linear_equals_scikit_learn_on_the_store(small: Path) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scorer = Scorer.load(trained(small.parent, small, "linear"))
    rows = np.stack([np.concatenate([a.mean(0), a.std(0)]) for a in arrays(small)]).astype(float)
    with Store(small) as store:
        labels = np.array(store.column("label"))
        train_rows = np.array([fold != 0 for fold in store.column("fold")])
    scaler = StandardScaler().fit(rows[train_rows])
    reference = LogisticRegression(max_iter=2000).fit(
        scaler.transform(rows[train_rows]), labels[train_rows]
    )
    expected = reference.predict_proba(scaler.transform(rows))
    np.testing.assert_allclose(scorer.posterior(arrays(small)), expected, atol=1e-4)


def test_left_out_baselines_are_none(small: Path) -> None:
    path = trained(small.parent, small, "majority", baselines=False)
    scorer = Scorer.load(path)
    assert scorer.baseline("majority") is None
    assert scorer.baseline("linear") is None
    assert scorer.checkpoint.meta["baselines"] == []


def test_bfloat16_training_is_scored_in_float32(small: Path) -> None:
    path = trained(
        small.parent, small, "sundharam-cnn", overrides={"precision": "bfloat16", "epochs": 1}
    )
    loaded = checkpoint.load(path)
    kinds = {str(array.dtype) for name, array in loaded.subset("model").items()}
    assert kinds == {"float32", "int64"}
    whole = Scorer.load(path).posterior(arrays(small)[:9])
    alone = np.concatenate([Scorer.load(path).posterior([a]) for a in arrays(small)[:2]])
    np.testing.assert_allclose(whole[:2], alone, atol=1e-6)


def test_intensity_head_is_trained_and_left_out_of_the_posterior(small: Path) -> None:
    path = trained(
        small.parent,
        small,
        "sundharam-cnn",
        settings={"input": "curve", "intensity_head": True},
        overrides={"epochs": 1},
    )
    meta = checkpoint.load(path).meta["model"]
    assert (meta["inputs"], meta["outputs"]) == ([1], 5)
    assert meta["heads"][1] == {
        "field": "intensity",
        "classes": ["normal", "strong"],
        "weight": 1e-3,
    }
    posterior = Scorer.load(path).posterior(arrays(small)[:3])
    assert posterior.shape == (3, 3)
    np.testing.assert_allclose(posterior.sum(1), 1)


def test_features_that_do_not_fit_are_refused(cnn: Path) -> None:
    scorer = Scorer.load(cnn)
    for array, message in [
        (np.zeros((40, 5), np.float32), "shape 5 per frame; the checkpoint was trained on 4"),
        (np.zeros(40, np.float32), "shape 1 per frame"),
        (np.zeros((0, 4), np.float32), "without a single frame"),
        (np.full((40, 4), np.nan, np.float32), "not finite"),
    ]:
        with pytest.raises(InputError, match=message):
            scorer.posterior([array])


def test_checkpoint_that_does_not_fit_its_model_is_refused(cnn: Path, tmp_path: Path) -> None:
    changes: list[tuple[str, Any]] = [("outputs", 4), ("name", "nothing"), ("settings", {"x": 1})]
    for name, value in changes:
        loaded = checkpoint.load(cnn)
        loaded.meta["model"][name] = value
        checkpoint.save(loaded, tmp_path / "odd.ckpt")
        with pytest.raises(InputError, match=r"odd\.ckpt: "):
            Scorer.load(tmp_path / "odd.ckpt")
    loaded = checkpoint.load(cnn)
    del loaded.tensors["statistics.mean"]
    checkpoint.save(loaded, tmp_path / "odd.ckpt")
    with pytest.raises(InputError, match="does not fit its model"):
        Scorer.load(tmp_path / "odd.ckpt")


def test_a_description_larger_than_its_weights_takes_no_memory(cnn: Path, tmp_path: Path) -> None:
    large = made_models.network("sundharam-bilstm", "hidden=100000")  # 320 GB
    shapes = scoring.shapes(large, 200, (40,), 4)
    assert shapes
    assert max(shape.numel() for shape in shapes.values()) > 10**10
    loaded = checkpoint.load(cnn)
    loaded.meta["model"]["inputs"] = [10**6]
    checkpoint.save(loaded, tmp_path / "odd.ckpt")
    with pytest.raises(InputError, match="does not fit its model"):
        Scorer.load(tmp_path / "odd.ckpt")


@pytest.mark.parametrize("settings", [{"n_mels": "x"}, {"hop_length": -1}, {"no": 1}])
def test_a_pipeline_that_cannot_be_replayed_is_told(
    cli: Callable[..., Any], cnn: Path, tmp_path: Path, settings: dict[str, object]
) -> None:
    loaded = checkpoint.load(cnn)
    loaded.meta["pipeline"][-1]["settings"] |= settings
    checkpoint.save(loaded, tmp_path / "odd.ckpt")
    (tmp_path / "a.wav").touch()
    result = cli("predict", tmp_path / "odd.ckpt", tmp_path)
    assert result.code == 3
    assert "odd.ckpt: its pipeline cannot be replayed: " in result.err


def test_weights_or_a_baseline_that_do_not_serve_are_told(cnn: Path, tmp_path: Path) -> None:
    for prefix in ("model.", "statistics.", "baseline.linear."):
        loaded = checkpoint.load(cnn)
        key = next(n for n, a in loaded.tensors.items() if n.startswith(prefix) and a.dtype != int)
        loaded.tensors[key] = np.full_like(loaded.tensors[key], np.nan)
        checkpoint.save(loaded, tmp_path / "odd.ckpt")
        with pytest.raises(InputError, match=r"odd\.ckpt: .*does not fit its model"):
            Scorer.load(tmp_path / "odd.ckpt")
    loaded = checkpoint.load(cnn)
    loaded.tensors["baseline.majority.prior"] = np.ones(1)
    checkpoint.save(loaded, tmp_path / "odd.ckpt")
    with pytest.raises(InputError, match=r"odd\.ckpt: .*does not fit its model"):
        Scorer.load(tmp_path / "odd.ckpt")


def test_items_listed_in_a_checkpoint(small: Path, cnn: Path) -> None:
    loaded = checkpoint.load(cnn)
    rows = {row.id: row for row in items()}
    assert len(loaded.items) == len(rows) == 72
    for item in loaded.items:
        row = rows[item.id]
        assert item.part == ("test" if row.fold == 0 else "train")
        assert (item.origin, item.speaker) == (row.origin, row.speaker)


def test_arrays_that_do_not_fit_their_model_are_refused() -> None:
    named = {"name": "majority", "settings": {}, "parameters": 2}
    meta = {"classes": ["a", "b"], "pipeline": [], "dims": [3], "model": named, "lineage": []}
    fitting = Checkpoint({"model.prior": np.array([0.5, 0.5])}, [], meta)
    assert Scorer.of(fitting).posterior([np.zeros((4, 3))]).tolist() == [[0.5, 0.5]]
    for arrays in ({}, {"model.prior": np.ones(1)}):
        with pytest.raises(InputError, match="does not fit its model"):
            Scorer.of(Checkpoint(arrays, [], meta))


# batches

SIZES = ["pools=[2,2,2]", "hidden=4", "dense=5"]
SMALL = ["components=4", "frames=12", "test_hop=3", "maps=2", "salient=3", "other=2"]
HOUSE = ["widths=[4]", "hidden=6", "attention=3", "trim=0", "voices=[0.9]", "tempos=[]"]
BATCHED = {  # name: (model, settings, frames that it is built for, shape of a frame)
    "1-D CNN": ("sundharam-cnn", [], 40, (4,)),
    "two branches": ("sundharam-transformer", ["layers=1", "heads=2"], 128, (13,)),
    "two branches, masked": ("sundharam-bilstm", ["mask=true", "hidden=4"], 128, (13,)),
    "any length, masked": ("ma2018", SIZES, None, (8,)),
    "any length": ("ma2018", [*SIZES, "mask=false"], None, (8,)),
    "several views": ("sertool", HOUSE, None, (16,)),
    "pictures": ("fser2021", ["widths=[2]", "dense=[4]"], None, (6, 5, 3)),
    "rows": ("huang2014", SMALL, None, (8,)),
    "several rows": ("huang2014", [*SMALL, "utterance=votes"], None, (8,)),
}


def untrained(name: str) -> Checkpoint:
    """Return a checkpoint of a network with its first weights, and of a classifier after it."""
    import torch

    kind, texts, frames, shape = BATCHED[name]
    made = made_models.network(kind, *texts)
    torch.manual_seed(0)
    module = made.build(frames, shape, 3)
    for buffer in module.buffers():
        if buffer.is_floating_point():
            torch.nn.init.uniform_(buffer, 0.5, 1.5)
    tensors = {f"model.{n}": t.numpy() for n, t in module.state_dict().items()}
    tensors |= {"statistics.mean": np.zeros(shape[-1]), "statistics.sd": np.ones(shape[-1])}
    described: dict[str, Any] = {
        "name": kind,
        "settings": asdict(made.settings),
        "frames": frames,
        "inputs": list(shape),
        "outputs": 3,
        "normalisation": "feature",
        "parameters": 0,
    }
    if classifier := made.classifier():
        random = np.random.default_rng(0)
        rows = random.random((30, 3))
        fitted = classifier.fit(rows, np.arange(30) % 3, 3, np.ones(3), np.arange(30))
        tensors |= {f"head.{key}": value for key, value in fitted.items()}
        described["head"] = {"name": "svm", "settings": {}}
    meta = {"classes": ["a", "b", "c"], "pipeline": [], "dims": list(shape), "lineage": []}
    meta["model"] = described
    return Checkpoint(tensors, [], meta)


@pytest.fixture(scope="module")
def scorers() -> dict[str, Scorer]:
    return {name: Scorer.of(untrained(name)) for name in BATCHED}


@pytest.mark.parametrize("name", BATCHED)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=9), st.integers(2, 5), st.integers(0, 99))
@settings(max_examples=12, deadline=None)
def test_batches_give_what_each_item_gives_alone(
    scorers: dict[str, Scorer], name: str, lengths: list[int], size: int, seed: int
) -> None:
    scorer = scorers[name]
    dims = scorer.checkpoint.meta["dims"]
    random = np.random.default_rng(seed)
    frames = [1] * len(lengths) if len(dims) == 3 else lengths
    arrays = [random.standard_normal((n, *dims)).astype(np.float32) for n in frames]
    alone = np.concatenate([scorer.posterior([array]) for array in arrays])
    np.testing.assert_array_equal(scorer.posterior(arrays), alone)
    together = scorer.posterior(arrays, batch_size=size)
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6)
    scorer.use_threads(2)
    assert together.tobytes() == scorer.posterior(arrays, batch_size=size).tobytes()
    scorer.use_threads(1)


@pytest.mark.parametrize("name", BATCHED)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=30), st.integers(0, 99))
@settings(max_examples=8, deadline=None)
def test_no_bit_of_a_posterior_depends_on_its_company(
    scorers: dict[str, Scorer], name: str, lengths: list[int], seed: int
) -> None:
    scorer = scorers[name]
    dims = scorer.checkpoint.meta["dims"]
    random = np.random.default_rng(seed)
    frames = [1] * len(lengths) if len(dims) == 3 else lengths
    arrays = [random.standard_normal((n, *dims)).astype(np.float32) for n in frames]
    together = scorer.posterior(arrays, batch_size=8)
    some = random.permutation(len(arrays))[: 1 + seed % len(arrays)]
    apart = scorer.posterior([arrays[i] for i in some], batch_size=8)
    assert apart.tobytes() == together[some].tobytes()


@pytest.mark.parametrize(
    ("name", "lengths", "expected"),
    [
        ("1-D CNN", [40, 90, 10], [(5, 40)]),  # the second is three windows
        ("1-D CNN", [40], [(4, 40)]),  # whatever else there is: no fewer rows
        ("several views", [40, 38, 90, 37, 39], [(8, 40), (4, 96)]),  # two views
        ("several views", [38], [(4, 40)]),  # and as many frames
        ("any length, masked", [40, 20, 40], [(1, 40), (1, 20), (1, 40)]),  # recurrent
        ("any length", [40, 20], [(1, 40), (1, 20)]),  # padding would count
    ],
)
def test_items_of_like_length_are_scored_in_one_pass(
    scorers: dict[str, Scorer], name: str, lengths: list[int], expected: list[tuple[int, int]]
) -> None:
    scorer = scorers[name]
    assert isinstance(scorer, scoring.NetworkScorer)
    dims = scorer.checkpoint.meta["dims"]
    sizes: list[tuple[int, int]] = []
    hook = scorer.module.register_forward_pre_hook(
        lambda _, given: sizes.append(tuple(given[0].shape[:2]))
    )
    arrays = [np.ones((n, *dims), np.float32) for n in lengths]
    scorer.posterior(arrays, batch_size=8)
    assert sizes == expected
    sizes.clear()
    scorer.posterior(arrays, batch_size=1)
    assert {rows for rows, _ in sizes} == {1}
    assert len(sizes) >= len(arrays)
    hook.remove()


def test_windows_with_much_in_them_are_scored_alone(
    scorers: dict[str, Scorer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And batches of others have fewer rows; no posterior depends on either."""
    scorer = scorers["several views"]
    assert isinstance(scorer, scoring.NetworkScorer)
    dims = scorer.checkpoint.meta["dims"]
    sizes: list[tuple[int, int]] = []
    arrays = [np.ones((n, *dims), np.float32) for n in (40, 90, 38, 40, 39, 90)]
    before = scorer.posterior(arrays, batch_size=8)
    monkeypatch.setattr(scoring, "ALONE", 50 * math.prod(dims))
    monkeypatch.setattr(scoring, "MOST", 1)
    hook = scorer.module.register_forward_pre_hook(
        lambda _, given: sizes.append(tuple(given[0].shape[:2]))
    )
    found = scorer.posterior(arrays, batch_size=8)
    hook.remove()
    assert sizes == [(4, 40), (4, 40), (1, 90), (1, 90), (1, 90), (1, 90)]  # two views of each
    np.testing.assert_allclose(found, before, rtol=0, atol=1e-6)
    scorer.use_threads(2)
    assert found[1:3].tobytes() == scorer.posterior(arrays[1:3], batch_size=8).tobytes()
    scorer.use_threads(1)
