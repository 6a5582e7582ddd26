"""`sertool calibrate`: a temperature from held-out items, which every posterior then has."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_store import items, make

from sertool import metrics
from sertool.evaluation.calibration import temperature_of
from sertool.evaluation.reliability import calibration_error
from sertool.formats import checkpoint
from sertool.formats.store import Store
from sertool.models.scoring import Scorer


@given(st.floats(0.2, 5), st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_the_temperature_of_posteriors_that_were_tempered(t: float, seed: int) -> None:
    """Truths drawn by the posteriors themselves: their own temperature is 1."""
    random = np.random.default_rng(seed)
    right = random.dirichlet(np.ones(3) / 2, 3000)
    truth = (random.random((3000, 1)) > right.cumsum(1)).sum(1).clip(max=2)
    assert temperature_of(truth, metrics.tempered(right, 1 / t)) == pytest.approx(t, rel=0.2)


def test_tempered_is_the_softmax_of_divided_logits() -> None:
    logits = np.random.default_rng(0).normal(0, 9, (50, 4))
    odds = np.exp(logits)
    expected = np.exp(logits / 2.5)
    expected /= expected.sum(1, keepdims=True)
    found = metrics.tempered(odds / odds.sum(1, keepdims=True), 2.5)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    certain = metrics.tempered(np.array([[1.0, 0.0]]), 2.0)
    assert np.isfinite(certain).all()
    assert certain[0, 0] == pytest.approx(1)


@pytest.fixture
def folder(cli, tmp_path: Path) -> Path:
    """A store, a linear model per fold and of everything, and the report of the folds."""
    store = make(tmp_path / "s.h5", items(copies=0))
    train = ("train", "--model", "linear", store)
    assert cli(*train, tmp_path / "m.ckpt", "--test-fold", "all").code == 0
    assert cli(*train, tmp_path / "whole.ckpt", "--test-fold", "none").code == 0
    folds = [tmp_path / f"m.{k}.ckpt" for k in range(3)]
    assert cli("eval", *folds, store, "--json", tmp_path / "r.json").code == 0
    return tmp_path


def calibrated(cli, folder: Path, out: str = "sure.ckpt") -> checkpoint.Checkpoint:
    result = cli("calibrate", folder / "whole.ckpt", folder / "r.json", folder / out)
    assert result.code == 0, result.err
    assert "calibration error" in result.err
    return checkpoint.load(folder / out)


def test_every_posterior_has_the_temperature(cli, folder: Path) -> None:
    made = calibrated(cli, folder)
    found = made.header.calibration
    assert found is not None
    report = json.loads((folder / "r.json").read_text())
    assert found.items == len(report["items"])
    truth = np.array([report["classes"].index(row["truth"]) for row in report["items"]])
    shares = np.array([list(row["posterior"].values()) for row in report["items"]])
    assert found.error_before == pytest.approx(calibration_error(truth, shares))

    def loss(t: float) -> float:
        given = metrics.tempered(shares, t)[np.arange(len(truth)), truth]
        return float(np.mean([-np.log(given[truth == k]).mean() for k in range(3)]))

    assert all(loss(found.temperature) <= loss(found.temperature * f) + 1e-9 for f in (0.9, 1.1))
    with Store(folder / "s.h5") as store:
        arrays = [store.features(i) for i in range(5)]
    plain, sure = (Scorer.load(folder / f"{name}.ckpt") for name in ("whole", "sure"))
    expected = metrics.tempered(plain.posterior(arrays), found.temperature)
    np.testing.assert_allclose(sure.posterior(arrays), expected, atol=1e-12)
    baselines = [one.baseline("linear") for one in (plain, sure)]
    assert baselines[0] is not None and baselines[1] is not None  # noqa: PT018
    np.testing.assert_array_equal(*(one.posterior(arrays) for one in baselines if one))
    assert made.meta["lineage"][-1]["stage"] == "calibrate"
    assert len(made.items) == len(checkpoint.load(folder / "whole.ckpt").items)


def test_the_same_bytes_and_resume(cli, folder: Path) -> None:
    calibrated(cli, folder)
    calibrated(cli, folder, "again.ckpt")
    assert (folder / "sure.ckpt").read_bytes() == (folder / "again.ckpt").read_bytes()
    again = ("calibrate", folder / "whole.ckpt", folder / "r.json", folder / "sure.ckpt")
    assert cli(*again).code == 3
    assert cli(*again, "--resume").code == 0


def test_what_does_not_go_together(cli, folder: Path) -> None:
    calibrated(cli, folder)
    whole, out = folder / "whole.ckpt", folder / "out.ckpt"

    def refused(model: Path, report: str, words: str) -> None:
        result = cli("calibrate", model, folder / report, out)
        assert result.code == 3
        assert words in result.err
        assert result.err.count("\n") == 1
        assert not out.exists()

    refused(folder / "sure.ckpt", "r.json", "calibrated already")
    refused(whole, "none.json", "none.json")
    folds = [folder / f"m.{k}.ckpt" for k in range(3)]
    store = folder / "s.h5"
    assert cli("eval", *folds, store, "--summary", "--json", folder / "few.json").code == 0
    refused(whole, "few.json", "without --summary")
    assert cli("eval", whole, store, "--all", "--json", folder / "known.json").code == 0
    refused(whole, "known.json", "trained on items")
    svm = ("train", "--model", "majority", store, folder / "other.ckpt", "--test-fold", 0)
    assert cli(*svm).code == 0
    refused(folder / "other.ckpt", "r.json", "not majority")


def test_a_fused_member_keeps_its_temperature_and_the_mean_has_none(cli, folder: Path) -> None:
    sure = calibrated(cli, folder)
    result = cli("fuse", folder / "sure.ckpt", folder / "whole.ckpt", folder / "both.ckpt")
    assert result.code == 0, result.err
    both = checkpoint.load(folder / "both.ckpt")
    assert both.header.calibration is None
    with Store(folder / "s.h5") as store:
        arrays = [store.features(i) for i in range(5)]
    each = [
        Scorer.of(one).posterior(arrays) for one in (sure, checkpoint.load(folder / "whole.ckpt"))
    ]
    found = Scorer.of(both).posterior(arrays)
    np.testing.assert_allclose(found, np.mean(each, 0), atol=1e-12)
