"""What the functions of the API return: checkpoints, and what they predict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from sertool.api.calls import AnyPath, call
from sertool.api.signatures import documented
from sertool.audio import FASTEST
from sertool.audio.decoding import Sound
from sertool.commands.recordings import check_arguments, sources
from sertool.core.errors import ItemError, UsageError
from sertool.core.options import Command
from sertool.core.paths import show
from sertool.evaluation.loading import load, scorer
from sertool.evaluation.options import PredictOptions
from sertool.evaluation.predicting import predict
from sertool.evaluation.predictions import Prediction, Row
from sertool.evaluation.predictor import Predictor
from sertool.formats import checkpoint as checkpoints
from sertool.items import Item
from sertool.ui.console import Console, Failure

if TYPE_CHECKING:
    from sertool.models.scoring import Scorer

Samples = tuple[np.ndarray, int]  # (n,) or (n, channels), and their rate in Hz
Audio = AnyPath | Samples | Item


class Predictions(list[Prediction]):
    """The predictions of several recordings, or of the windows of one, in order.

    failures: the recordings that could not be read, each with its `path` and `reason`.

    >>> made = load("model.ckpt").predict(["corpus/spk01", "manifest.jsonl"])
    >>> len(made), [failure.path for failure in made.failures]
    (16, ['manifest.jsonl'])
    """

    failures: Sequence[Failure] = ()


def _predict(
    make: Callable[[PredictOptions], Predictor],
    audio: Sequence[Audio],
    options: PredictOptions,
    console: Console,
) -> Predictions:
    """Return the predictions of recordings; failures go to `console`."""
    made = Predictions()

    def sink(row: Row) -> None:
        if isinstance(row, Prediction):
            made.append(row)

    options.files.begin()
    items = [item for i, one in enumerate(audio) for item in _items(one, i, console)]
    predict(make(options), items, sink, console, False)
    return made


PREDICT = Command("predict", _predict, "")


@dataclass(repr=False)
class Checkpoint(checkpoints.Checkpoint):
    """A trained model, with everything it needs to predict from a recording.

    items: what it was trained and validated on and what was held out (`item.part`); none of an
    ONNX model. meta: the pipeline, model, history and lineage. path: the file.

    >>> model = load("model.ckpt")
    >>> model.model, model.classes, len(model.part("train")), len(model.part("test"))
    ('linear', ['anger', 'happiness', 'neutral', 'sadness'], 48, 16)
    """

    path: Path = Path()
    source: checkpoints.Checkpoint | None = None
    _scorers: dict[str, Scorer] = field(default_factory=dict)

    @classmethod
    def open(cls, path: AnyPath) -> Checkpoint:
        """Open a checkpoint, or an ONNX model; InputError if the file is neither.

        >>> Checkpoint.open("model.ckpt").path.name
        'model.ckpt'
        """
        loaded = load(Path(path))
        parts = loaded.tensors, loaded.items, loaded.meta, loaded.identity
        return cls(*parts, Path(path), source=loaded)

    def __repr__(self) -> str:
        return f"<Checkpoint {self.path}, model {self.model}, classes {', '.join(self.classes)}>"

    @property
    def model(self) -> str:
        """The name of the model, as `sertool list models` shows it."""
        return self.header.model.name

    @property
    def classes(self) -> list[str]:
        """The labels that it predicts."""
        return self.header.classes

    @overload
    def predict(
        self, audio: Audio, *, segments: Literal[True], console: Console | None = None,
        verbose: bool = False, **options: Any,
    ) -> Predictions: ...  # fmt: skip
    @overload
    def predict(
        self, audio: Audio, *, pool: Literal["none"], console: Console | None = None,
        verbose: bool = False, **options: Any,
    ) -> Predictions: ...  # fmt: skip
    @overload
    def predict(
        self, audio: Audio, *, window: None = None, console: Console | None = None,
        verbose: bool = False, **options: Any,
    ) -> Prediction: ...  # fmt: skip
    @overload
    def predict(
        self, audio: Sequence[Audio], *, window: float | None = None,
        console: Console | None = None, verbose: bool = False, **options: Any,
    ) -> Predictions: ...  # fmt: skip
    @overload
    def predict(
        self, audio: Audio, *, window: float, console: Console | None = None,
        verbose: bool = False, **options: Any,
    ) -> Predictions: ...  # fmt: skip
    @documented(PREDICT)
    def predict(
        self,
        audio: Audio | Sequence[Audio],
        *,
        window: float | None = None,
        console: Console | None = None,
        verbose: bool = False,
        **options: Any,
    ) -> Prediction | Predictions:
        """Return the prediction for a recording, or for several.

        audio: a path, samples and their rate in Hz, `(samples, rate)`, or an `Item`; or a list of
        these, such as a manifest, and of folders. Samples are int16, or floats with full scale 1,
        of shape (n,) or (n, channels). window: seconds; a prediction for every window. With
        `segments=True`, `by_speaker`, `pool="none"` or `channel="each"` there may be several, too.

        >>> model = load("model.ckpt")
        >>> prediction = model.predict("corpus/spk01/spk01_sadness_s1_r2.flac")
        >>> prediction.label, round(sum(prediction.posterior.values()), 6)
        ('sadness', 1.0)
        >>> import soundfile
        >>> samples, rate = soundfile.read("corpus/spk01/spk01_sadness_s1_r2.flac", dtype="int16")
        >>> model.predict((samples, rate)).posterior == prediction.posterior
        True
        >>> len(model.predict(["corpus/spk01"])), len(model.predict((samples, rate), window=0.5))
        (16, 2)
        >>> for said in model.predict((samples, rate), segments=True):
        ...     print(f"{said.start:.1f} to {said.end:.1f} s: {said.label}")
        0.0 to 0.8 s: sadness

        A recording that cannot be read raises ItemError; in a list it is skipped and listed in
        `.failures`, unless `strict=True`.

        {options}
        """

        def make(chosen: PredictOptions) -> Predictor:
            return Predictor(self.path, self, chosen, self._scorer)

        single = isinstance(audio, str | PathLike | tuple | Item)
        given = {"make": make, "audio": [audio] if single else audio}
        found, failures = call(PREDICT, given, options | {"window": window}, console, verbose)
        found.failures = failures
        if single and failures:
            raise ItemError(f"{failures[0].path}: {failures[0].reason}")
        several = window is not None or options.get("segments") or options.get("by_speaker")
        several = several or options.get("pool") == "none" or options.get("channel") == "each"
        return found[0] if single and not several else found

    def _scorer(self, device: str) -> Scorer:
        """Return the model on a device, made once."""
        if device not in self._scorers:
            self._scorers[device] = scorer(self.source or self, device, show(self.path))
        return self._scorers[device]


def _items(audio: Audio, number: int, console: Console) -> list[Item]:
    """Return what is to be predicted: of a folder each recording in it."""
    if isinstance(audio, Item):
        return [audio]
    if isinstance(audio, tuple):
        return [_sound(*audio, number)]
    check_arguments([fspath(audio)])
    return [item for item in sources([fspath(audio)], False, console) if item is not None]


def _sound(samples: np.ndarray, sample_rate: int, number: int) -> Sound:
    """Return samples as `predict` takes them; UsageError for what are none."""
    array = np.asarray(samples)
    name = f"samples {number}"
    if array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[1] > array.shape[0]):
        raise UsageError(f"{name} of shape {array.shape}: needs (n,) or (n, channels)")
    if array.dtype != np.int16 and array.dtype.kind != "f":
        raise UsageError(f"{name} of type {array.dtype}: needs int16, or floats up to 1")
    if array.dtype.kind == "f":
        array = array.astype(np.float32, copy=False)
    rate = int(sample_rate)
    if not 0 < rate <= FASTEST:
        raise UsageError(f"{name} at {rate} Hz: needs a rate above 0, at most {FASTEST}")
    return Sound(name, name, samples=array.reshape(len(array), -1), sample_rate=rate)
