"""`sertool fuse`: means of members, of the same features or of several, and honest accounts."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_store import items, make

from sertool.evaluation.fused_weights import best_weights
from sertool.formats import checkpoint

DEMO = Path(__file__).parents[1] / "data" / "demo" / "corpus"
SIZES = ("--set", "widths=[4]", "--set", "hidden=6", "--set", "attention=3")
NETWORK = ("--model", "sertool", *SIZES, "--epochs", 2, "--batch-size", 9, "--no-baselines")


def posteriors(path: Path) -> dict[str, np.ndarray]:
    rows = json.loads(path.read_text())["items"]
    return {row["id"]: np.array(list(row["posterior"].values())) for row in rows}


def said_by(cli, folder: Path, name: str, store: Path, *more: Any) -> dict[str, np.ndarray]:
    out = folder / f"{name}.json"
    result = cli("eval", folder / f"{name}.ckpt", store, "--json", out, "--force", *more)
    assert result.code == 0, result.err
    return posteriors(out)


@pytest.fixture
def seeds(cli, tmp_path: Path) -> Path:
    """A folder with a store and three networks of it, of seeds 0 to 2, that hold fold 0 out."""
    store = make(tmp_path / "s.h5", items(copies=0))
    for seed in range(3):
        out = tmp_path / f"{seed}.ckpt"
        made = cli("train", store, out, *NETWORK, "--test-fold", 0, "--seed", seed, "--val-fold", 1)
        assert made.code == 0, made.err
    return tmp_path


def members(folder: Path, names: Any = range(3)) -> list[Path]:
    return [folder / f"{name}.ckpt" for name in names]


@given(st.integers(2, 4), st.integers(1, 40), st.integers(2, 4), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_no_other_weights_make_the_truth_likelier(
    n: int, count: int, classes: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    shares = random.dirichlet(np.ones(classes), (n, count))
    truth = random.integers(0, classes, count)
    weights = best_weights(shares, truth)
    assert weights.sum() == pytest.approx(1)

    def likelihood(w: np.ndarray) -> float:
        mean = np.tensordot(w, shares, 1)
        return float(np.log(mean[np.arange(count), truth]).mean())

    best = likelihood(weights)
    for other in random.dirichlet(np.ones(n), 50):
        assert likelihood(other) <= best + 1e-5


def test_seeds(cli, seeds: Path) -> None:
    store = seeds / "s.h5"
    for name, more in {"mean": (), "two": ("--weights", "3,1,0")}.items():
        made = cli("fuse", *members(seeds), seeds / f"{name}.ckpt", *more)
        assert made.code == 0, made.err
    each = [said_by(cli, seeds, str(k), store) for k in range(3)]
    for name, weights in {"mean": [1 / 3] * 3, "two": [0.75, 0.25, 0]}.items():
        found = said_by(cli, seeds, name, store)
        assert len(found) == 12
        for key, row in found.items():
            wanted = sum(w * one[key] for w, one in zip(weights, each, strict=True))
            np.testing.assert_allclose(row, wanted, atol=1e-12)
    many = said_by(cli, seeds, "mean", store, "--batch-size", 5)
    for key, row in said_by(cli, seeds, "mean", store).items():
        np.testing.assert_allclose(many[key], row, atol=1e-5)
    loaded = checkpoint.load(seeds / "mean.ckpt")
    assert loaded.meta["lineage"][-1]["stage"] == "fuse"
    assert loaded.meta["kind"] == checkpoint.load(seeds / "0.ckpt").meta["kind"]
    again = cli("fuse", *members(seeds), seeds / "again.ckpt")
    assert again.code == 0
    assert (seeds / "again.ckpt").read_bytes() == (seeds / "mean.ckpt").read_bytes()
    whole = cli("fuse", *members(seeds), seeds / "mean.ckpt", "--resume")
    assert "already complete" in whole.err
    other = cli("fuse", *members(seeds), seeds / "mean.ckpt", "--resume", "--weights", "1,1,2")
    assert other.code == 3
    page = cli("info", seeds / "two.ckpt").out
    assert "sertool on mel, weight 0.75" in page or "weight 0.75" in page


def test_weights_fitted_to_validation(cli, seeds: Path) -> None:
    asked = ("fuse", *members(seeds), seeds / "fit.ckpt", "--fit-on", seeds / "s.h5")
    result = cli(*asked)
    assert result.code == 0, result.err
    assert "weights fitted to 12 items of validation" in result.err
    made = checkpoint.load(seeds / "fit.ckpt")
    weights = made.meta["model"]["settings"]["weights"]
    assert sum(weights) == pytest.approx(1)
    assert weights != [1 / 3] * 3
    both = cli(*asked, "--force", "--weights", "1,1,1")
    assert both.code == 2
    plain = seeds / "plain.ckpt"
    assert cli("train", seeds / "s.h5", plain, "--test-fold", 0).code == 0
    pair = (plain, seeds / "copy.ckpt")
    assert cli("train", seeds / "s.h5", pair[1], "--test-fold", 0, "--seed", 1).code == 0
    none = cli("fuse", *pair, seeds / "none.ckpt", "--fit-on", seeds / "s.h5")
    assert none.code == 3
    assert "none of the items that the members validated on" in none.err


def test_what_any_member_learned_from_is_not_held_out(cli, seeds: Path) -> None:
    store = seeds / "s.h5"
    assert cli("train", store, seeds / "f1.ckpt", "--test-fold", 1).code == 0
    mixed = cli("fuse", seeds / "0.ckpt", seeds / "f1.ckpt", seeds / "m.ckpt")
    assert mixed.code == 0
    assert "no item is held out by every member" in mixed.err
    loaded = checkpoint.load(seeds / "m.ckpt")
    assert {item.part for item in loaded.items} == {"train", "val"}
    assert cli("eval", seeds / "m.ckpt", store).code == 3
    every = cli("eval", seeds / "m.ckpt", store, "--all", "--require", "speaker-disjoint")
    assert every.code == 3
    assert "speaker" in every.err


def test_refused(cli, seeds: Path, tmp_path: Path) -> None:
    store = seeds / "s.h5"
    assert cli("train", store, seeds / "g.ckpt", "--target", "gender", "--test-fold", 0).code == 0
    assert cli("train", store, seeds / "p.ckpt", "--per", "gender", "--test-fold", 0).code == 0
    for given_, code, said in [
        ([0], 2, "two checkpoints or more"),
        ([0, "g"], 3, "says "),
        ([0, "p"], 3, "holds a model per gender"),
        ([0, 1, "--weights", "1"], 2, "needs 2 numbers"),
        ([0, 1, "--weights", "0,0"], 2, "needs 2 numbers"),
        ([0, 1, "--weights", "a,b"], 2, "needs numbers, joined by commas"),
    ]:
        names = [w for w in given_[:2] if w != "--weights"]
        result = cli("fuse", *members(seeds, names), seeds / "x.ckpt", *given_[2:])
        assert (result.code, said in result.err) == (code, True), result.err
        assert not (seeds / "x.ckpt").exists()
    trained = cli("train", store, seeds / "x.ckpt", "--model", "fused", "--test-fold", 0)
    assert trained.code == 2
    assert "by sertool fuse" in trained.err


def test_members_of_different_features(cli, tmp_path: Path) -> None:
    """Each is fed by its own pipeline from the waveform; eval and predict say the same."""
    manifest = tmp_path / "m.jsonl"
    assert cli("prepare", DEMO, manifest, "--split", "speakers:4").code == 0
    stores = {
        "mel": ("--kind", "mel", "--sample-rate", 8000, "--set", "n_mels=16"),
        "acoustic": ("--kind", "mfcc", "--sample-rate", 16000, "--set", "n_mfcc=8"),
        "wave": ("--kind", "wave", "--sample-rate", 16000),
    }
    for name, how in stores.items():
        assert cli("featurize", manifest, tmp_path / f"{name}.h5", *how, "-j", 1).code == 0
    for name in ("mel", "acoustic"):
        asked = (tmp_path / f"{name}.h5", tmp_path / f"{name}.ckpt", "--test-fold", 0)
        assert cli("train", *asked).code == 0
    pair = [tmp_path / "mel.ckpt", tmp_path / "acoustic.ckpt"]
    made = cli("fuse", *pair, tmp_path / "both.ckpt", "--weights", "1,3")
    assert made.code == 0, made.err
    assert "store of waveforms (featurize --kind wave --sample-rate 16000)" in made.err
    one, other = (said_by(cli, tmp_path, n, tmp_path / f"{n}.h5") for n in ("mel", "acoustic"))
    found = said_by(cli, tmp_path, "both", tmp_path / "wave.h5")
    assert found.keys() == one.keys()
    for key, row in found.items():
        np.testing.assert_allclose(row, (one[key] + 3 * other[key]) / 4, atol=1e-3)
    wrong = cli("eval", tmp_path / "both.ckpt", tmp_path / "mel.h5")
    assert wrong.code == 3
    assert "not the features" in wrong.err
    rows = map(json.loads, manifest.read_text().splitlines())
    name, path = next((row["id"], row["path"]) for row in rows if row["id"] in found)
    said = cli("predict", tmp_path / "both.ckpt", path, "--format", "jsonl", "--vad", "off")
    assert said.code == 0, said.err
    row = json.loads(said.out)
    np.testing.assert_allclose(list(row["posterior"].values()), found[name], atol=1e-6)
    assert row["model"].startswith("fused@")
    short = tmp_path / "short.h5"
    cut = ("--kind", "mel", "--sample-rate", 8000, "--duration", 1)
    assert cli("featurize", manifest, short, *cut, "-j", 1).code == 0
    assert cli("train", short, tmp_path / "short.ckpt", "--test-fold", 0).code == 0
    refused = cli("fuse", pair[1], tmp_path / "short.ckpt", tmp_path / "x.ckpt")
    assert refused.code == 3
    assert "cut recordings differently" in refused.err


@pytest.fixture
def nested(cli, tmp_path: Path) -> Path:
    """A folder with pairs of models: outer ones hold fold 0 out, inner ones never saw it."""
    store = make(tmp_path / "s.h5", items(copies=0))
    parts = {
        "outer": (0,),
        "inner1": (1, "--where", "fold!=0"),
        "inner2": (2, "--where", "fold!=0"),
        "leak": (1,),
    }
    for name, part in parts.items():
        pair = [tmp_path / f"{name}-{model}.ckpt" for model in ("linear", "logistic")]
        for path, model in zip(pair, ("linear", "logistic"), strict=True):
            made = cli("train", store, path, "--model", model, "--test-fold", *part)
            assert made.code == 0, made.err
        assert cli("fuse", *pair, tmp_path / f"{name}.ckpt").code == 0
    return tmp_path


def refit(cli, folder: Path, *inner: str, pair: Any = ("linear", "logistic")) -> Any:
    named = [word for name in inner for word in ("--inner", folder / f"{name}.ckpt")]
    members_ = [folder / f"outer-{model}.ckpt" for model in pair]
    return cli("fuse", *members_, folder / "fit.ckpt", "--fit-on", folder / "s.h5", *named)


def test_weights_fitted_to_inner_folds(cli, nested: Path) -> None:
    """They are those of what inner models held out, and of nothing that the test holds."""
    result = refit(cli, nested, "inner1", "inner2")
    assert result.code == 0, result.err
    assert "weights fitted to 24 items held out by 2 inner folds" in result.err
    made = checkpoint.load(nested / "fit.ckpt")
    shares, truth = [], []
    for model in ("linear", "logistic"):
        names = [nested / f"inner{k}-{model}.ckpt" for k in (1, 2)]
        out = nested / "r.json"
        assert cli("eval", *names, nested / "s.h5", "--json", out, "--force").code == 0
        report = json.loads(out.read_text())
        rows = {row["id"]: row for row in report["items"]}
        assert len(rows) == 24
        shares.append([list(rows[name]["posterior"].values()) for name in sorted(rows)])
        truth = [report["classes"].index(rows[name]["truth"]) for name in sorted(rows)]
    wanted = best_weights(np.array(shares), np.array(truth))
    np.testing.assert_allclose(made.meta["model"]["settings"]["weights"], wanted, atol=1e-6)
    step = made.meta["lineage"][-1]
    assert [name for name, _ in step["params"]["inner"]] == ["inner1.ckpt", "inner2.ckpt"]
    assert [one["option"] for one in step["sources"][1:3]] == ["--inner", "--inner"]
    tested = cli("eval", nested / "fit.ckpt", nested / "s.h5", "--require", "speaker-disjoint")
    assert tested.code == 0, tested.err
    assert "linear" in tested.out
    assert "majority" in tested.out


def test_inner_folds_that_would_leak_are_refused(cli, nested: Path) -> None:
    for inner, code, said in [
        (["leak"], 3, "knows what the members hold out"),
        (["outer"], 3, "knows what the members hold out"),
        (["inner1-linear"], 3, "is no fused checkpoint"),
        (["inner1", "inner1x"], 3, "held out by two of them"),
    ]:
        (nested / "inner1x.ckpt").write_bytes((nested / "inner1.ckpt").read_bytes())
        result = refit(cli, nested, *inner)
        assert (result.code, said in result.err) == (code, True), result.err
        assert not (nested / "fit.ckpt").exists()
    swapped = refit(cli, nested, "inner1", pair=("logistic", "linear"))
    assert swapped.code == 3
    assert "members' models are not" in swapped.err
    pair = [nested / "outer-linear.ckpt", nested / "outer-logistic.ckpt"]
    bare = cli("fuse", *pair, nested / "fit.ckpt", "--inner", nested / "inner1.ckpt")
    assert bare.code == 2
    assert "--fit-on STORE" in bare.err


def test_what_an_inner_fold_knows_is_not_new_to_the_fused(cli, nested: Path) -> None:
    """Trained with another corpus inside: a test on it is no test of speakers apart."""
    rows = [dataclasses.replace(i, id=f"d/{i.id}", origin=f"d/{i.id}", corpus="d") for i in items()]
    rows = [*items(copies=0), *(row for row in rows if not row.augmentation)]
    both = make(nested / "both.h5", rows)
    pair = []
    for model in ("linear", "logistic"):
        pair.append(nested / f"wide-{model}.ckpt")
        part = ("--test-fold", 1, "--where", "fold!=0")
        assert cli("train", both, pair[-1], "--model", model, *part).code == 0
    assert cli("fuse", *pair, nested / "wide.ckpt").code == 0
    result = cli(
        "fuse", *(nested / f"outer-{m}.ckpt" for m in ("linear", "logistic")),
        nested / "fit.ckpt", "--fit-on", both, "--inner", nested / "wide.ckpt",
    )  # fmt: skip
    assert result.code == 0, result.err
    asked = ("eval", nested / "fit.ckpt", both, "--all", "--where", "corpus=d")
    assert cli(*asked, "--require", "origin-disjoint").code == 3
    plain = ("eval", nested / "outer.ckpt", both, "--all", "--where", "corpus=d")
    assert cli(*plain, "--require", "origin-disjoint").code == 0


@pytest.mark.parametrize("seed", range(4))
def test_weights_are_those_of_another_optimiser(seed: int) -> None:
    from scipy.optimize import minimize

    random = np.random.default_rng(seed)
    truth = random.integers(0, 4, 200)
    sure = np.array([1.0, 0.8, 1.5])[:, np.newaxis, np.newaxis]
    logits = random.standard_normal((3, 200, 4)) + sure * np.eye(4)[truth]
    shares = np.exp(logits) / np.exp(logits).sum(2, keepdims=True)
    own = shares[:, np.arange(200), truth]

    def loss(weights: np.ndarray) -> float:
        return float(-np.log(weights @ own).mean())

    whole = {"type": "eq", "fun": lambda w: w.sum() - 1}
    found = minimize(
        loss, np.full(3, 1 / 3), method="SLSQP", bounds=[(0, 1)] * 3, constraints=[whole],
        options={"ftol": 1e-14},
    )  # fmt: skip
    weights = best_weights(shares, truth)
    assert loss(weights) <= found.fun + 1e-6
    np.testing.assert_allclose(weights, found.x, atol=5e-3)
