"""`train --across-corpora`: fitted to several corpora for recordings of others."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from made_models import tabular
from small_store import items, make

from sertool.formats import checkpoint
from sertool.models import across

CORPORA = 3


def data(shift: float = 5.0, n: int = 240) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, unbalanced targets and corpora, one half of the items in the first.

    Corpora lie apart along the same columns that tell the classes apart.
    """
    random = np.random.default_rng(3)
    corpora = np.concatenate([np.zeros(n // 2, int), 1 + np.arange(n // 2) % (CORPORA - 1)])
    targets = (random.random(n) < np.array([0.8, 0.3, 0.5])[corpora]).astype(int)
    rows = random.standard_normal((n, 5))
    rows[:, 0] += 2 * targets
    rows += shift * random.standard_normal((CORPORA, 5))[corpora]
    return rows, targets, corpora


def test_it_is_weighted_logistic_regression_around_each_corpus_own_mean() -> None:
    from sklearn.linear_model import LogisticRegression

    rows, targets, corpora = data()
    arrays = tabular("logistic", "C=0.05").fit_across(rows, targets, 2, corpora)
    z, each = rows.copy(), np.empty(len(rows))
    for k in range(CORPORA):
        z[corpora == k] -= rows[corpora == k].mean(0)
        for c in range(2):
            cell = (corpora == k) & (targets == c)
            each[cell] = len(rows) / (2 * CORPORA) / cell.sum()
    z /= z.std(0)
    theirs = LogisticRegression(C=0.05, tol=1e-9, max_iter=9999).fit(z, targets, each)
    coef = (arrays["coef"][1] - arrays["coef"][0]) / arrays["chosen"][4]
    np.testing.assert_allclose(coef, theirs.coef_[0], rtol=1e-3, atol=1e-5)
    means = [rows[corpora == k].mean(0) for k in range(CORPORA)]
    np.testing.assert_allclose(arrays["mean"], np.mean(means, 0), rtol=1e-12)


def test_where_corpora_lie_does_not_matter_and_their_sizes_do_not_either() -> None:
    rows, targets, corpora = data()
    model = tabular("logistic", "C=0.05")
    found = model.fit_across(rows, targets, 2, corpora)
    moved = model.fit_across(data(50.0)[0], targets, 2, corpora)
    plain = [one["coef"] / one["chosen"][4] for one in (found, moved)]  # less the temperature
    np.testing.assert_allclose(*plain, rtol=1e-4, atol=1e-6)
    twice = np.concatenate([np.arange(len(rows)), np.flatnonzero(corpora == 0)])
    more = across.alike(targets[twice], corpora[twice])
    for k in range(CORPORA):
        for c in range(2):
            cell = (corpora[twice] == k) & (targets[twice] == c)
            assert more[cell].sum() == pytest.approx(len(twice) / (2 * CORPORA))


def test_inner_folds_hold_corpora_out() -> None:
    rows, targets, corpora = data()
    model = tabular("logistic", "C=[0.001, 0.1]", "folds=5")
    arrays = model.fit_across(rows, targets, 2, corpora)
    assert arrays["chosen"][2] == CORPORA
    assert "inner folds of whole corpora" in model.describe(arrays)


def store(path: Path, corpora: int) -> Path:
    rows = items(copies=0)
    named = [dataclasses.replace(row, corpus=f"c{k % corpora}") for k, row in enumerate(rows)]
    return make(path, named)


def test_train_takes_it_and_one_corpus_is_as_without_it(cli, tmp_path: Path) -> None:
    several, one = store(tmp_path / "two.h5", 2), store(tmp_path / "one.h5", 1)
    common = (
        "train",
        "--model",
        "logistic",
        "--set",
        "C=0.1",
        "--no-baselines",
        "--test-fold",
        "0",
    )
    made = {}
    for name, path, more in (
        ("across", several, ["--across-corpora"]),
        ("plain", several, []),
        ("one", one, ["--across-corpora"]),
        ("one-plain", one, []),
    ):
        result = cli(*common, *more, path, tmp_path / f"{name}.ckpt")
        assert result.code == 0, result.err
        assert ("alone trains" in result.err) == (name == "one")
        made[name] = checkpoint.load(tmp_path / f"{name}.ckpt")
    for left, right, same in (("across", "plain", False), ("one", "one-plain", True)):
        pair = (made[name].tensors["model.coef"] for name in (left, right))
        assert np.array_equal(*pair) == same


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--model", "linear"], "choose --model logistic"),
        (["--model", "sertool"], "choose --model logistic"),
        (["--model", "logistic", "--class-weights", "none"], "leave out --class-weights"),
    ],
)
def test_contradictions(cli, tmp_path: Path, given: list[str], said: str) -> None:
    path = store(tmp_path / "two.h5", 2)
    result = cli("train", "--across-corpora", "--test-fold", "0", *given, path, tmp_path / "m.ckpt")
    assert result.code == 2
    assert said in result.err
    assert not (tmp_path / "m.ckpt").exists()
