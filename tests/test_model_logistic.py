"""Tests of `logistic` and `boosting` against scikit-learn, and of how they choose."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_models import tabular
from made_settings import parse
from small_store import items, make

from sertool.core.errors import InputError, UsageError
from sertool.formats import checkpoint
from sertool.models import boosting, logistic
from sertool.models.inner_folds import inner_folds
from sertool.models.statistics import mean_and_deviation

QUICK = ("trees=7", "leaves=[2, 5]", "folds=3")
Data = tuple[np.ndarray, np.ndarray, np.ndarray]


def data(n_classes: int, n: int = 90, dims: int = 6, speakers: int = 6) -> Data:
    """Rows, targets (unbalanced) and groups; speakers are far from each other."""
    random = np.random.default_rng(n_classes)
    groups = np.arange(n) % speakers
    targets = np.minimum(random.integers(0, n_classes + 1, n), n_classes - 1)
    rows = random.standard_normal((n, dims)) + random.standard_normal((n_classes, dims))[targets]
    rows += random.standard_normal((speakers, dims))[groups]
    return rows * np.geomspace(0.01, 100, dims) + 7, targets, groups


def balanced(targets: np.ndarray) -> np.ndarray:
    counts = np.bincount(targets)
    return np.asarray(len(targets) / len(counts) / counts)


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("dims", [6, 200])
def test_logistic_is_scikit_learns(n_classes: int, dims: int) -> None:
    """More columns than rows are turned, which changes nothing. The temperature is taken out."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows, targets, groups = data(n_classes, dims=dims)
    rows[:, 3] = 5  # a column that does not vary
    model = tabular("logistic", "C=0.03")
    arrays = model.fit(rows, targets, n_classes, balanced(targets), groups)
    theirs = LogisticRegression(C=0.03, class_weight="balanced", tol=1e-9, max_iter=9999)
    pipeline = make_pipeline(StandardScaler(), theirs).fit(rows, targets)
    temperature = arrays["chosen"][4]
    assert temperature != 1
    plain = arrays | {name: arrays[name] / temperature for name in ("coef", "intercept")}
    fresh = data(n_classes, n=50, dims=dims)[0] * 1.1
    np.testing.assert_allclose(
        model.posterior(plain, fresh), pipeline.predict_proba(fresh), atol=2e-5
    )


def test_logistic_chooses_by_speakers_held_out() -> None:
    """The same choice as by a loop over the folds, with scikit-learn from the start each time."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score

    rows, targets, groups = data(3, dims=40)
    given = (0.0001, 0.01, 1.0)
    model = tabular("logistic", f"C={list(given)}", "folds=3")
    chosen = model.fit(rows, targets, 3, balanced(targets), groups)["chosen"]
    folds, _ = inner_folds(targets, groups, 3)
    assert folds is not None
    assert all(len(set(folds[groups == group])) == 1 for group in set(groups))
    rates = []
    for c in given:
        found = np.empty(len(rows), int)
        for fold in range(3):
            mean, sd = mean_and_deviation(rows[folds != fold])
            z = (rows - mean) / sd
            weights = dict(enumerate(balanced(targets)))
            theirs = LogisticRegression(C=c, class_weight=weights, tol=1e-6, max_iter=9999)
            theirs.fit(z[folds != fold], targets[folds != fold])
            found[folds == fold] = theirs.predict(z[folds == fold])
        rates.append(balanced_accuracy_score(targets, found))
    assert chosen[0] == given[int(np.argmax(rates))]
    assert chosen[1] == pytest.approx(max(rates), abs=0.02)
    assert chosen[2:4].tolist() == [3, 1]


@pytest.mark.parametrize("n_classes", [2, 4])
def test_boosting_is_scikit_learns(n_classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """To 1e-12, on rows never seen, some of them far away or exactly on a threshold."""
    rows, targets, groups = data(n_classes)
    rows[:, 2] = -1  # a column that does not vary
    made: list[Any] = []
    trees = boosting.Boosting._trees

    def watched(*given: Any) -> Any:
        made.append(trees(*given))
        return made[-1]

    monkeypatch.setattr(boosting.Boosting, "_trees", watched)
    model = tabular("boosting", *QUICK)
    arrays = model.fit(rows, targets, n_classes, balanced(targets), groups)
    temperature = arrays["chosen"][5]
    plain = arrays | {name: arrays[name] / temperature for name in ("value", "first")}
    random = np.random.default_rng(1)
    fresh = np.concatenate([rows, rows * random.uniform(-9, 9, rows.shape)])
    edges = np.repeat(rows[:1], len(arrays["threshold"]), 0)
    edges[np.arange(len(edges)), arrays["feature"]] = arrays["threshold"]
    fresh = np.concatenate([fresh, edges])
    expected = made[-1].predict_proba(np.delete(fresh, 2, axis=1))
    np.testing.assert_allclose(model.posterior(plain, fresh), expected, rtol=0, atol=1e-12)
    assert arrays["roots"].shape == (arrays["chosen"][1], n_classes)


def test_boosting_chooses_by_speakers_held_out() -> None:
    """Leaves and trees as by a loop in which every number of trees is fitted from the start."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import balanced_accuracy_score

    rows, targets, groups = data(3)
    model = tabular("boosting", *QUICK)
    chosen = model.fit(rows, targets, 3, balanced(targets), groups)["chosen"]
    folds, _ = inner_folds(targets, groups, 3)
    rates = {}
    for leaves in (2, 5):
        for trees in range(1, 8):
            found = np.empty(len(rows), int)
            for fold in range(3):
                inside = folds != fold
                theirs = HistGradientBoostingClassifier(
                    max_iter=trees, max_leaf_nodes=leaves, min_samples_leaf=10, random_state=0,
                    l2_regularization=1, early_stopping=False, max_bins=31,
                )  # fmt: skip
                weights = balanced(targets)[targets[inside]]
                theirs.fit(rows[inside], targets[inside], sample_weight=weights)
                found[~inside] = theirs.predict(rows[~inside])
            rates[leaves, trees] = balanced_accuracy_score(targets, found)
    best = max(rates, key=lambda key: (rates[key], -key[0], -key[1]))
    assert tuple(chosen[:2]) == best
    assert chosen[2] == pytest.approx(rates[best])


@pytest.mark.parametrize("name", ["logistic", "boosting"])
def test_posteriors_need_numpy_only_and_are_the_same_alone(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, targets, groups = data(3)
    model = tabular(name, *(QUICK if name == "boosting" else ()))
    arrays = model.fit(rows, targets, 3, np.ones(3), groups)
    again = model.fit(rows, targets, 3, np.ones(3), groups)
    for key in arrays:
        np.testing.assert_array_equal(arrays[key], again[key])
    for module in ("sklearn", "sklearn.ensemble", "sklearn.linear_model", "scipy"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(boosting, "ROWS", 16)
    together = model.posterior(arrays, rows)
    alone = np.concatenate([model.posterior(arrays, row[None]) for row in rows])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_allclose(together.sum(1), 1)
    assert (together.argmax(1) == targets).mean() > 0.6


@pytest.mark.parametrize("name", ["logistic", "boosting"])
def test_few_items_and_rows_that_tell_nothing(name: str) -> None:
    rows, targets, groups = data(2)
    few, classes = rows[[0, 30, 59]], np.array([0, 1, 1])
    several = "C=[1, 2]" if name == "logistic" else "leaves=[4, 8]"
    with pytest.raises(InputError, match="too few items to choose") as error:
        tabular(name, several).fit(few, classes, 2, np.ones(2), np.arange(3))
    assert "\n" not in str(error.value)
    single = tabular(name, "C=1" if name == "logistic" else "leaves=4")
    arrays = single.fit(few, classes, 2, np.ones(2), np.arange(3))
    assert "too few items for inner folds" in single.describe(arrays)
    arrays = tabular(name).fit(rows * 0, targets, 2, balanced(targets), groups)
    np.testing.assert_allclose(tabular(name).posterior(arrays, rows * 0), 0.5, atol=1e-6)


@pytest.mark.parametrize("name", ["logistic", "boosting"])
def test_trained_on_a_store(name: str, cli: Callable[..., Any], tmp_path: Path) -> None:
    """Classes are balanced unless asked otherwise; the choice is told, and kept."""
    store = make(tmp_path / "s.h5", items(6, 9)[6:])
    more = tuple(text for one in QUICK for text in ("--set", one)) if name == "boosting" else ()
    run = ("train", store, "--model", name, "--test-fold", 0, "--no-baselines", *more)
    result = cli("train", store, tmp_path / "m.ckpt", *run[2:])
    assert (result.code, result.out) == (0, "")
    assert "inner folds, speakers or recordings whole" in result.err
    kept = checkpoint.load(tmp_path / "m.ckpt")
    assert kept.meta["training"]["class_weights"] == "balanced"
    shown = cli("info", tmp_path / "m.ckpt")
    assert "inner folds, speakers or recordings whole" in " ".join(shown.out.split())
    same = cli("train", store, tmp_path / "n.ckpt", *run[2:], "--class-weights", "none")
    assert same.code == 0
    other = checkpoint.load(tmp_path / "n.ckpt")
    assert other.meta["training"]["class_weights"] == "none"
    assert cli("eval", tmp_path / "m.ckpt", store, "--quiet").code == 0


@pytest.mark.parametrize(
    ("settings", "text", "said"),
    [
        (logistic.LogisticSettings, "C=[]", "C needs a number above 0, or several"),
        (logistic.LogisticSettings, "C=[1, 0]", "above 0"),
        (boosting.BoostingSettings, "leaves=[]", "leaves needs a number of 2 or more"),
        (boosting.BoostingSettings, "leaves=1", "2 or more"),
        (boosting.BoostingSettings, "rate=2", "at most 1"),
    ],
)
def test_settings_are_checked(settings: Any, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse(settings, [text])
