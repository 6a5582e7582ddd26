"""Tests of support vector machines against scikit-learn's, SciPy's distances and their rules."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_settings import parse
from small_store import items, make

from sertool.core.errors import InputError, UsageError
from sertool.formats import checkpoint
from sertool.formats.store import Store
from sertool.models import linear, svm
from sertool.models.scoring import Scorer

Arrays = dict[str, np.ndarray]
EXACT = 1e-9  # libsvm's tolerance, where two of its solutions are compared
Data = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svm, "TOLERANCE", EXACT)


def data(n_classes: int, n: int = 60, speakers: int = 6, dims: int = 4) -> Data:
    """Return rows, targets (unbalanced) and groups; speakers are far from each other."""
    random = np.random.default_rng(n_classes)
    groups = np.arange(n) % speakers
    targets = np.minimum(random.integers(0, n_classes + 1, n), n_classes - 1)
    shift = random.standard_normal((speakers, dims)) * 2
    means = random.standard_normal((n_classes, dims)) * 1.5
    rows = random.standard_normal((n, dims)) + means[targets] + shift[groups]
    rows *= np.array([1.0, 10.0, 0.1, 3.0])
    return rows + 7, targets, groups


def fresh(n: int = 80) -> np.ndarray:
    return np.random.default_rng(9).standard_normal((n, 4)) * np.array([3, 30, 0.3, 9]) + 7


def single(kernel: str = "rbf", **more: Any) -> Any:
    return svm.SvmSettings(kernel=kernel, C=4.0, sigma=0.5, **more)  # type: ignore[arg-type]


def reference(kernel: str, c: float, sigma: float, weights: np.ndarray) -> Any:
    """Return scikit-learn's own way from raw rows to decisions, sigma in median distances."""
    from scipy.spatial.distance import pdist
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    class Machine(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
        def fit(self, x: np.ndarray, y: np.ndarray) -> Any:
            self.scaler = StandardScaler().fit(x)
            z = self.scaler.transform(x)
            gamma = 1 / (2 * (sigma * np.median(pdist(z))) ** 2)
            self.svc = SVC(
                kernel=kernel,
                C=c,
                gamma=gamma,
                class_weight=dict(enumerate(weights)),
                break_ties=True,
                tol=EXACT,
            ).fit(z, y)
            self.classes_ = self.svc.classes_
            return self

        def predict(self, x: np.ndarray) -> np.ndarray:
            predicted: np.ndarray = self.svc.predict(self.scaler.transform(x))
            return predicted

        def decision_function(self, x: np.ndarray) -> np.ndarray:
            found: np.ndarray = self.svc.decision_function(self.scaler.transform(x))
            return np.stack([-found, found], 1) / 2 if found.ndim == 1 else found

    return Machine()


def decisions(arrays: Arrays, rows: np.ndarray) -> np.ndarray:
    """Return the decisions behind the posterior, the first class's taken off."""
    logs = np.log(svm.SupportVectors().posterior(arrays, rows)) / arrays["temperature"][0]
    return logs - logs[:, :1]


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("weighted", [False, True])
def test_labels_and_decisions_are_scikit_learns(
    kernel: str, n_classes: int, weighted: bool, exact: None
) -> None:
    rows, targets, groups = data(n_classes)
    weights = np.linspace(0.5, 3, n_classes) if weighted else np.ones(n_classes)
    arrays = svm.SupportVectors(single(kernel)).fit(rows, targets, n_classes, weights, groups)
    sklearn = reference(kernel, 4.0, 0.5, weights).fit(rows, targets)
    found = svm.SupportVectors().posterior(arrays, fresh())
    np.testing.assert_array_equal(found.argmax(1), sklearn.predict(fresh()))
    expected = sklearn.decision_function(fresh())
    np.testing.assert_allclose(decisions(arrays, fresh()), expected - expected[:, :1], atol=1e-5)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-12)


def test_equal_votes_are_told_apart_by_the_decisions(exact: None) -> None:
    rows, targets, groups = data(5)
    arrays = svm.SupportVectors(single("linear")).fit(rows, targets, 5, np.ones(5), groups)
    sklearn = reference("linear", 4.0, 0.5, np.ones(5)).fit(rows, targets)
    many = fresh(2000)
    ours = svm.SupportVectors().posterior(arrays, many).argmax(1)
    np.testing.assert_array_equal(ours, sklearn.predict(many))
    sklearn.svc.break_ties = False
    assert (ours != sklearn.predict(many)).any()


def test_median_distance() -> None:
    from scipy.spatial.distance import pdist

    random = np.random.default_rng(0)
    rows = random.standard_normal((100, 3))
    assert svm.median_distance(rows) == pytest.approx(np.median(pdist(rows)), rel=1e-12)
    many = random.standard_normal((900, 3)) * 4
    assert svm.median_distance(many) == pytest.approx(np.median(pdist(many)), rel=0.03)
    assert svm.median_distance(many) == svm.median_distance(many.copy())
    assert svm.median_distance(np.ones((5, 3))) == 1


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
@pytest.mark.parametrize("search", ["uar", "accuracy"])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_search_and_temperature_are_those_of_the_inner_folds(
    kernel: str, search: str, n_classes: int, exact: None
) -> None:
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss
    from sklearn.model_selection import cross_val_predict

    rows, targets, groups = data(n_classes, 90)
    weights = np.linspace(1, 1.937, n_classes)  # odd: else the intercept can be any of a range
    every_c, sigmas = (0.1, 1.0, 30.0), (0.05, 0.4, 3.0)
    given = svm.SvmSettings(kernel=kernel, C=every_c, sigma=sigmas, search=search)  # type: ignore[arg-type]
    arrays = svm.SupportVectors(given).fit(rows, targets, n_classes, weights, groups)
    folds, whole = svm.inner_folds(targets, groups, 3)
    assert whole
    cv = [(np.flatnonzero(folds != k), np.flatnonzero(folds == k)) for k in range(3)]
    found = {}
    for c in every_c:
        for sigma in sigmas if kernel == "rbf" else (1.0,):
            machine = reference(kernel, c, sigma, weights)
            held = cross_val_predict(machine, rows, targets, cv=cv, method="decision_function")
            label = cross_val_predict(machine, rows, targets, cv=cv)
            score = balanced_accuracy_score if search == "uar" else accuracy_score
            found[c, sigma] = score(targets, label), held
    best = max(found, key=lambda pair: (round(found[pair][0], 9), -pair[0], pair[1]))
    c, sigma, score, count, kept = arrays["chosen"]
    assert (c, count, kept) == (best[0], 3, 1)
    assert sigma == (0 if kernel == "linear" else best[1])
    assert score == pytest.approx(found[best][0])
    assert len({round(score, 6) for score, _ in found.values()}) > 1

    def loss(log_t: float) -> float:
        odds = np.exp(np.exp(log_t) * found[best][1])
        shares = odds / odds.sum(1, keepdims=True)
        return float(log_loss(targets, shares, sample_weight=weights[targets]))

    t = float(arrays["temperature"][0])
    assert 0.02 < t < 50
    steps = np.linspace(-0.01, 0.01, 21)
    losses = [loss(np.log(t) + step) for step in steps]
    assert abs(steps[int(np.argmin(losses))]) <= 0.001
    if kernel == "rbf":
        from scipy.spatial.distance import pdist

        z = (rows - rows.mean(0)) / rows.std(0)
        assert arrays["sigma"][0] == pytest.approx(sigma * np.median(pdist(z)), rel=1e-9)


def test_of_equals_the_smallest_C_and_the_largest_sigma_are_taken() -> None:
    rows = np.concatenate([np.zeros((12, 1)), np.ones((12, 1))]) + np.arange(24)[:, None] * 1e-3
    targets, groups = np.repeat([0, 1], 12), np.arange(24) % 4
    given = svm.SvmSettings(C=(64.0, 2.0, 8.0), sigma=(0.5, 1.0, 0.25))
    chosen = svm.SupportVectors(given).fit(rows, targets, 2, np.ones(2), groups)["chosen"]
    assert chosen.tolist() == [2, 1, 1, 3, 1]


@pytest.mark.parametrize("n_classes", [2, 4])
def test_order_of_the_rows_does_not_matter(n_classes: int) -> None:
    rows, targets, groups = data(n_classes, 120)
    given = svm.SvmSettings(C=(0.5, 8.0), sigma=(0.5, 2.0))
    one = svm.SupportVectors(given).fit(rows, targets, n_classes, np.ones(n_classes), groups)
    mixed = np.random.default_rng(0).permutation(len(rows))
    rows, targets, groups = rows[mixed], targets[mixed], groups[mixed]
    other = svm.SupportVectors(given).fit(rows, targets, n_classes, np.ones(n_classes), groups)
    assert all(one[name].tobytes() == other[name].tobytes() for name in one | other)


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_posterior_is_the_same_alone_and_needs_numpy_only(
    kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, targets, groups = data(3)
    arrays = svm.SupportVectors(single(kernel)).fit(rows, targets, 3, np.ones(3), groups)
    for name in ("sklearn", "sklearn.svm", "scipy", "scipy.optimize"):
        monkeypatch.setitem(sys.modules, name, None)
    together = svm.SupportVectors().posterior(arrays, fresh())
    alone = np.concatenate([svm.SupportVectors().posterior(arrays, row[None]) for row in fresh()])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_allclose(
        svm.SupportVectors().posterior(arrays, rows * 1e9).sum(1), 1, rtol=1e-12
    )
    assert svm.SupportVectors().posterior(arrays, np.empty((0, 4))).shape == (0, 3)


@pytest.mark.parametrize("rare", [0, 1, 3])
def test_a_class_that_an_inner_fold_lacks_is_wrong_there_alone(rare: int) -> None:
    usual = np.delete(np.arange(4), rare)
    targets = np.append(usual[np.arange(30) % 3], rare)
    rows = np.eye(4)[targets] * 9 + np.random.default_rng(0).standard_normal((31, 4)) * 0.1
    given = svm.SvmSettings(C=(1.0, 8.0), sigma=1.0, search="accuracy")
    chosen = svm.SupportVectors(given).fit(rows, targets, 4, np.ones(4), np.arange(31) // 2 % 6)[
        "chosen"
    ]
    assert chosen[2] == pytest.approx(30 / 31)


def test_a_class_of_one_item_and_few_items() -> None:
    rows, targets, groups = data(3)
    rows = np.concatenate([rows, [[99.0, 99, 99, 99]]])
    targets, groups = np.append(targets, 3), np.append(groups, 0)
    given = svm.SvmSettings(C=(1.0, 8.0), sigma=1.0)
    arrays = svm.SupportVectors(given).fit(rows, targets, 4, np.ones(4), groups)
    assert svm.SupportVectors().posterior(arrays, rows).argmax(1)[-1] == 3
    assert np.isfinite(arrays["temperature"]).all()
    few, classes = rows[[0, 30, 59]], np.array([0, 1, 1])
    arrays = svm.SupportVectors(single()).fit(few, classes, 2, np.ones(2), np.arange(3))
    assert arrays["temperature"][0] == 1
    assert "too few items" in svm.SupportVectors().describe(arrays)
    with pytest.raises(InputError, match="too few items to choose C and sigma"):
        svm.SupportVectors(svm.SvmSettings()).fit(few, classes, 2, np.ones(2), np.arange(3))


def test_what_cannot_be_fitted_is_refused_in_one_line() -> None:
    rows, targets, groups = data(2)
    broken = np.where(rows == rows[3, 1], np.nan, rows)
    many = svm.MOST_ROWS + 1
    for values, classes, n_classes, said in [
        (rows, targets * 0, 1, "two classes"),
        (rows, targets, 3, "every class"),
        (broken, targets, 2, "not finite"),
        (np.zeros((many, 1)), np.arange(many) % 2, 2, "--where"),
    ]:
        with pytest.raises(InputError, match=said) as error:
            svm.SupportVectors(single()).fit(values, classes, n_classes, np.ones(n_classes), groups)
        assert "\n" not in str(error.value)


def test_constant_columns_are_borne() -> None:
    rows, targets, groups = data(2)
    rows[:, 2] = 0.1
    arrays = svm.SupportVectors(single()).fit(rows, targets, 2, np.ones(2), groups)
    assert arrays["sd"][2] == 1
    same = svm.SupportVectors(single()).fit(rows * 0, targets, 2, np.ones(2), groups)
    assert np.isfinite(svm.SupportVectors().posterior(same, rows)).all()


def test_statistics_make_the_row() -> None:
    values = np.random.default_rng(0).standard_normal((9, 3)).astype(np.float32)
    every = svm.SvmSettings(statistics=("range", "min", "sd", "max", "mean"))
    exact = values.astype(float)
    parts = [np.ptp(exact, 0), exact.min(0), exact.std(0), exact.max(0), exact.mean(0)]
    np.testing.assert_array_equal(svm.SupportVectors(every).row(values), np.concatenate(parts))
    for shape in ((9, 3), (50,), (1, 4, 9, 3)):
        features = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
        got = svm.SupportVectors().row(features)
        np.testing.assert_array_equal(got, linear.Linear().row(features))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("statistics=[]", "statistics needs some of mean, sd, min, max, range"),
        ('statistics=["mean", "mode"]', "statistics needs some of"),
        ('statistics=["sd", "sd"]', "each once"),
        ("statistics=mean", "a list in brackets, each a word"),
        ("C=[1, 0]", "above 0"),
        ("C=[]", "C needs a number above 0, or several"),
        ("sigma=-1", "above 0"),
        ("sigma=[1, inf]", "needs a number or a list"),
        ("kernel=poly", "rbf or linear"),
        ("search=f1", "uar or accuracy"),
        ("folds=1", "2 or more"),
        ("max_iter=0", "1 or more"),
    ],
)
def test_settings_are_checked(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse(svm.SvmSettings, [text])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("svm") / "s.h5", items(6, 9)[6:])


SMALL = ("--model", "svm", "--set", "C=[0.5, 8]", "--set", "sigma=[0.5, 2]")


def test_trained_on_a_store_keeps_speakers_whole(
    cli: Callable[..., Any], store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    folds = svm.inner_folds

    def watched(targets: np.ndarray, groups: np.ndarray, k: int) -> Any:
        seen.append(groups)
        return folds(targets, groups, k)

    monkeypatch.setattr(svm, "inner_folds", watched)
    result = cli("train", store, tmp_path / "m.ckpt", *SMALL, "--test-fold", 0)
    assert (result.code, result.out) == (0, "")
    assert "in 3 inner folds, speakers or recordings whole" in result.err
    with Store(store) as opened:
        speakers = [item.speaker for item in opened.items() if item.fold != 0]
    assert len(seen) == 1
    assert sorted(np.bincount(seen[0]).tolist()) == [18] * 4
    assert len(speakers) == len(seen[0])
    again = cli("train", store, tmp_path / "n.ckpt", *SMALL, "--test-fold", 0)
    assert again.code == 0
    assert (tmp_path / "m.ckpt").read_bytes() == (tmp_path / "n.ckpt").read_bytes()


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_eval_of_a_store_and_statistics(
    cli: Callable[..., Any], store: Path, tmp_path: Path, kernel: str
) -> None:
    path = tmp_path / "m.ckpt"
    options = (*SMALL, "--set", 'statistics=["mean"]', "--test-fold", 0, "--val-fold", 1)
    options += ("--set", f"kernel={kernel}")
    assert cli("train", store, path, *options).code == 0
    kept = checkpoint.load(path)
    assert kept.tensors["model.mean"].shape == (4,)
    assert kept.meta["history"][0]["val_uar"] > 0
    result = cli("eval", path, store, "--json", "-", "--quiet")
    assert result.code == 0
    report = json.loads(result.out)
    rows = {item["id"]: item for item in report["items"]}
    with Store(store) as opened:
        scorer = Scorer.load(path)
        for i, item in enumerate(opened.items()):
            if item.id in rows:
                (shares,) = scorer.posterior([opened.features(i)])
                found = [rows[item.id]["posterior"][name] for name in scorer.classes]
                np.testing.assert_allclose(found, shares, rtol=1e-12)
    assert len(rows) == 15


def test_from_sound_to_a_line_of_predict(
    cli: Callable[..., Any], sounds: Path, tmp_path: Path
) -> None:
    store, path = tmp_path / "s.h5", tmp_path / "m.ckpt"
    assert cli("featurize", sounds, store, "--kind", "mfcc").code == 0
    trained = cli("train", store, path, "--model", "svm", "--resplit", "kfold:3", "--test-fold", 0)
    assert trained.code == 0
    file = sounds / "happy" / "s01.wav"
    result = cli("predict", path, file, "--quiet")
    assert result.code == 0
    line = json.loads(result.out)
    assert line["label"] == "happiness"
    assert sum(line["posterior"].values()) == pytest.approx(1)


def test_a_solver_that_ends_too_early_is_told_once(
    cli: Callable[..., Any], store: Path, tmp_path: Path
) -> None:
    options = (*SMALL, "--set", "max_iter=1", "--test-fold", 0, "--no-baselines")
    result = cli("train", store, tmp_path / "m.ckpt", *options)
    assert result.code == 0
    assert result.err.count("onverge") == 1
    assert "Traceback" not in result.err
