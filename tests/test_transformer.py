"""Features as a step of scikit-learn's pipelines: its own checks, and the numbers of a store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import check_estimator

import sertool

DEMO = Path(__file__).parents[1] / "data/demo/corpus"


@pytest.fixture(scope="module")
def manifest() -> sertool.Manifest:
    """Four speakers of the demo corpus."""
    return sertool.prepare(DEMO, where="speaker in spk01,spk02,spk03,spk04")


def test_it_passes_the_checks_of_scikit_learn() -> None:
    results = check_estimator(sertool.Features(), on_fail=None, on_skip=None)
    assert [one for one in results if one["status"] == "failed"] == []
    assert sum(one["status"] == "passed" for one in results) > 30


def test_columns_have_names(manifest: sertool.Manifest) -> None:
    made = sertool.Features("mfcc", settings={"n_mfcc": 3})
    estimator_checks.check_set_output_transform("Features", made)
    assert made.get_feature_names_out().dtype == object
    assert list(made.get_feature_names_out()) == [
        f"mfcc_{k}_{one}" for one in ("mean", "sd") for k in range(3)
    ]
    pandas = pytest.importorskip("pandas")
    estimator_checks.check_set_output_transform_pandas("Features", made)
    estimator_checks.check_global_output_transform_pandas("Features", made)
    paths = pandas.Series([one.path for one in manifest[:5]], [one.id for one in manifest[:5]])
    pipeline = make_pipeline(made, StandardScaler()).set_output(transform="pandas")
    table = pipeline.fit_transform(paths)
    assert list(table.columns) == list(pipeline.get_feature_names_out())
    assert list(table.index) == list(paths.index)
    raw = sertool.Features("mfcc", settings={"n_mfcc": 3}).transform(list(paths))
    np.testing.assert_allclose(table, StandardScaler().fit_transform(raw))
    for kind in ("wave", "mel", "image", "logpower"):
        short = clone(made).set_params(kind=kind, settings=None, pool="mean")
        assert len(short.get_feature_names_out()) == short.transform([paths.iloc[0]]).shape[1]


@pytest.mark.parametrize(("kind", "settings"), [("mel", {"n_mels": 20}), ("mfcc", {})])
def test_rows_are_those_of_a_store(
    manifest: sertool.Manifest, tmp_path: Path, kind: str, settings: dict[str, int]
) -> None:
    paths = [item.path for item in manifest[:12]]
    store = sertool.featurize(
        manifest, tmp_path / "s.h5", kind=kind, sample_rate=8000, duration=1.0, **settings
    )
    made = sertool.Features(kind, settings=settings, sample_rate=8000, duration=1.0)
    X = made.fit_transform(paths)
    np.testing.assert_array_equal(X, store.pooled().X[:12])
    np.testing.assert_array_equal(made.transform([Path(one) for one in paths]), X)
    np.testing.assert_array_equal(clone(made).set_params(n_jobs=2).transform(paths), X)
    means = clone(made).set_params(pool="mean").transform(manifest[:12])
    np.testing.assert_array_equal(means, X[:, : X.shape[1] // 2])


def test_folds_of_speakers_give_the_predictions_of_a_store(
    manifest: sertool.Manifest, tmp_path: Path
) -> None:
    store = sertool.featurize(manifest, tmp_path / "s.h5", kind="mfcc", sample_rate=16000)
    X, y, groups = store.pooled()
    rest = make_pipeline(StandardScaler(), LogisticRegression())
    wanted = cross_val_predict(rest, X, y, cv=GroupKFold(4), groups=groups)
    whole = make_pipeline(sertool.Features("mfcc"), StandardScaler(), LogisticRegression())
    found = cross_val_predict(whole, manifest, y, cv=GroupKFold(4), groups=groups)
    assert (found == wanted).all()


def test_settings_are_searched(manifest: sertool.Manifest) -> None:
    labels, speakers = [one.label for one in manifest], [one.speaker for one in manifest]
    model = make_pipeline(sertool.Features("mfcc"), StandardScaler(), LogisticRegression())
    grid = {"features__settings": [{"n_mfcc": 2}, {"n_mfcc": 13}]}
    search = GridSearchCV(model, grid, cv=GroupKFold(2), error_score="raise")
    search.fit([one.path for one in manifest], labels, groups=speakers)
    assert search.best_estimator_[0].settings == search.best_params_["features__settings"]
    assert search.best_estimator_[1].n_features_in_ in (4, 26)


def test_samples_and_parts_of_files(tmp_path: Path) -> None:
    samples = (np.random.default_rng(0).standard_normal(16000) * 3000).astype(np.int16)
    path = tmp_path / "a.wav"
    soundfile.write(path, samples, 16000, "PCM_16")
    made = sertool.Features("mfcc")
    np.testing.assert_array_equal(made.transform([samples]), made.transform([path]))
    part = sertool.Item("a", str(path), start=0.25, end=0.75)
    np.testing.assert_array_equal(made.transform([samples[4000:12000]]), made.transform([part]))


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    with pytest.raises(sertool.ItemError, match=r"missing\.wav: "):
        sertool.Features().transform([tmp_path / "missing.wav"])
    with pytest.raises(sertool.ItemError, match="one axis"):
        sertool.Features().transform([np.zeros((2, 100), np.int16)])
    with pytest.raises(sertool.UsageError, match="pool"):
        sertool.Features(pool="max").fit([])
    with pytest.raises(sertool.UsageError, match="n_mel"):
        sertool.Features(settings={"n_mell": 3}).fit([])
    with pytest.raises(ValueError, match="no recordings"):
        sertool.Features().transform([])
