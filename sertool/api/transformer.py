"""Features of recordings as a step of a scikit-learn pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.parallel import Parallel, delayed

from sertool.core.errors import ItemError, UsageError
from sertool.core.paths import show, to_text
from sertool.features.pipeline import Pipeline, recording
from sertool.features.stage import Stage
from sertool.items import Item
from sertool.models.linear import over_time

POOLS = ("mean_sd", "mean")
SAMPLE_RATE = 16000  # Hz


class Features(TransformerMixin, BaseEstimator):
    """Recordings to rows for scikit-learn: a step of `make_pipeline`, searched by `GridSearchCV`.

    Recordings are paths, `Item`s (which may be parts of a file), or arrays of samples (n,), int16
    or float with full scale 1, at `sample_rate`. It learns nothing, so that no row depends on
    another; a row is what `Store.pooled` gives of a store with the same settings.

    kind: see `sertool list kinds`. settings: those of the kind, by name, its defaults otherwise.
    sample_rate: in Hz, what recordings are resampled to. duration: seconds that each is cut or
    padded to. channel: mix, left or right. pool: what is taken over time of each dimension,
    "mean_sd" or "mean". n_jobs: processes, as scikit-learn counts them. A recording that cannot be
    read raises ItemError, settings that are wrong raise UsageError.

    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import GroupKFold, cross_val_score
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> items = Manifest.open("manifest.jsonl")
    >>> model = make_pipeline(Features("mfcc"), StandardScaler(), LogisticRegression())
    >>> scores = cross_val_score(
    ...     model, items, [item.label for item in items], cv=GroupKFold(4),
    ...     groups=[item.speaker for item in items], scoring="recall_macro",
    ... )
    >>> len(scores), all(0 <= score <= 1 for score in scores)
    (4, True)
    """

    def __init__(
        self,
        kind: str = "mel",
        *,
        settings: Mapping[str, Any] | None = None,
        sample_rate: int = SAMPLE_RATE,
        duration: float | None = None,
        channel: str = "mix",
        pool: str = "mean_sd",
        n_jobs: int | None = None,
    ) -> None:
        self.kind = kind
        self.settings = settings
        self.sample_rate = sample_rate
        self.duration = duration
        self.channel = channel
        self.pool = pool
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any = None) -> Features:
        """Check the settings and return the transformer itself; nothing is learnt from `X`.

        >>> Features("mel", settings={"n_mels": 40}).fit([]).settings
        {'n_mels': 40}
        """
        if issparse(X):
            raise TypeError("recordings are paths or samples, not a sparse matrix")
        self._pipeline()
        return self

    def transform(self, X: Iterable[Any]) -> np.ndarray:
        """Return a row for each recording: (n, 2 · dims) float64, (n, dims) of pool "mean".

        >>> Features("mfcc").transform(["corpus/spk01/spk01_sadness_s1_r2.flac"]).shape
        (1, 40)
        """
        pipeline = self._pipeline()
        recordings = [X] if isinstance(X, str | PathLike | Item) else list(X)
        if not recordings:
            raise ValueError("no recordings")
        if len(recordings) == 1 or self.n_jobs in (None, 1):
            return np.stack(
                [_row(pipeline, one, self.pool, self.sample_rate) for one in recordings]
            )
        rows = Parallel(n_jobs=self.n_jobs)(
            delayed(_row)(pipeline, one, self.pool, self.sample_rate) for one in recordings
        )
        return np.stack(rows)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of a row's columns, which `set_output(transform="pandas")` takes.

        input_features: what names the recordings' own columns; nothing depends on it.

        >>> Features("mfcc", settings={"n_mfcc": 2}).get_feature_names_out().tolist()
        ['mfcc_0_mean', 'mfcc_1_mean', 'mfcc_0_sd', 'mfcc_1_sd']
        """
        pipeline, seconds = self._pipeline(), self.duration or 1.0
        noise = np.random.default_rng(0).integers(
            -3000, 3000, round(seconds * self.sample_rate), np.int16
        )
        dims = len(_row(pipeline, noise, "mean", self.sample_rate))
        taken = self.pool.split("_")
        return np.array([f"{self.kind}_{k}_{one}" for one in taken for k in range(dims)], object)

    def _pipeline(self) -> Pipeline:
        if self.pool not in POOLS:
            raise UsageError(f"pool {self.pool!r}: there are {' and '.join(POOLS)}")
        stage = Stage(
            self.kind,
            dict(self.settings or {}),
            sample_rate=self.sample_rate,
            duration=self.duration,
            channel=self.channel,
        )
        _ = stage.prepared
        return Pipeline((stage,))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.no_validation = True
        tags.input_tags.string = True
        return tags


def _row(pipeline: Pipeline, one: Any, pool: str, sample_rate: int) -> np.ndarray:
    """Return the row of a recording; ItemError, with its name, where it cannot be read."""
    stage = pipeline.stages[0]
    if isinstance(one, np.ndarray):
        if one.ndim != 1:
            raise ItemError(f"samples have one axis, not {one.ndim}")
        samples = one if one.dtype == np.int16 else one.astype(np.float32, copy=False)
        decoded = stage.load_samples(samples, sample_rate)
    else:
        item = one if isinstance(one, Item) else Item("", to_text(one))
        try:
            decoded = stage.load(recording(item), item.start, item.end)
        except ItemError as error:
            raise ItemError(f"{show(item.path)}: {error}") from error
    values = over_time(stage.compute(decoded.samples, decoded.sample_rate))
    return np.concatenate(
        [values.mean(0), values.std(0)] if pool == "mean_sd" else [values.mean(0)]
    )
