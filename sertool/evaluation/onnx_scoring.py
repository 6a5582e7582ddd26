"""Posteriors of ONNX models: our features, views and windows, and ONNX Runtime for the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sertool.core.errors import InputError, ItemError, UsageError
from sertool.features.pipeline import Pipeline
from sertool.formats.checkpoint import Checkpoint
from sertool.formats.onnx import OnnxModel, Session
from sertool.models import Network, create
from sertool.models.scoring import Scorer

INPUTS = ("features", "lengths", "item")  # of each part
ON = ("auto", "cpu")  # devices
STRETCH = 2  # times its shortest item's frames: no item of a batch is longer

PARITY = 1e-5  # of posteriors
LONG, SAMPLES = 300, 100  # frames of a trial, and samples for each where a frame is one

Way = tuple[tuple[Pipeline, int], ...]


class Part(Scorer):
    """A single model of those that an ONNX model is made of, and its inputs.

    suffix: what ends their names. way: the pipelines, each with the rate (Hz) of what it is given,
    that lead from what the whole model is given to the features; none where that is the same.
    """

    def __init__(self, checkpoint: Checkpoint, suffix: str, way: Way) -> None:
        described = checkpoint.header.model
        super().__init__(checkpoint, create(described.name, described.settings))
        self.suffix, self.way = suffix, way
        self.frames = described.frames
        if isinstance(self.model, Network):
            self.longest, self.shortest = self.model.longest, self.model.shortest
            if self.frames is not None and not self.model.takes_shorter:
                self.shortest = self.frames

    @property
    def alone(self) -> bool:
        """Whether rows of different lengths would change each other's posteriors."""
        return isinstance(self.model, Network) and not (self.frames or self.model.masks_padding)

    def rows(self, array: np.ndarray) -> list[np.ndarray]:
        """Return what of an item's features (frames, ...) are rows: its windows, in every view."""
        found: list[np.ndarray] = []
        for window in self._windows(array):
            if not isinstance(self.model, Network):
                found.append(window)
                continue
            view = self.model.view(window)
            found += [view, *self.model.further_views(view)]
        if self.longest is not None and max(map(len, found)) > self.longest:
            raise InputError(
                f"an item of {max(map(len, found))} frames, and the model takes {self.longest}"
            )
        return found

    def feeds(self, arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Return the inputs of items' features (frames, ...)."""
        rows = [self.rows(array) for array in arrays]
        every = [row for own in rows for row in own]
        frames = self.frames or self.longest or max(self.shortest, *map(len, every))
        x = np.zeros((len(every), frames, *every[0].shape[1:]), np.float32)
        for place, row in zip(x, every, strict=True):
            place[: len(row)] = row
        return {
            f"features{self.suffix}": x,
            f"lengths{self.suffix}": np.array([len(row) for row in every], np.int64),
            f"item{self.suffix}": np.repeat(np.arange(len(rows)), [len(own) for own in rows]),
        }


class OnnxScorer(Scorer):
    """An ONNX model, run by ONNX Runtime on one thread of the processor; no torch is needed."""

    def __init__(self, model: OnnxModel, path: str, device: str = "cpu") -> None:
        if device not in ON:
            raise UsageError(f"--device {device}: ONNX models run on the processor")
        try:
            described = model.header.model
            super().__init__(model, create(described.name, described.settings))
            self.parts = list(_parts(model, "", (), path))
            self._session = Session(model.content, fused="int8" in model.meta)
            wanted = {f"{name}{part.suffix}" for part in self.parts for name in INPUTS}
            if set(self._session.inputs) != wanted:
                raise ValueError("inputs that its description has not")
        except UsageError:
            raise
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise InputError(f"{path}: its graph does not fit its description") from error
        self._path = path
        self.batches = any(isinstance(part.model, Network) for part in self.parts)
        if len(self.parts) == 1 and not model.meta.get("fused"):
            self.frames = self.parts[0].frames

    def posterior(
        self,
        arrays: Sequence[np.ndarray],
        values: Sequence[str | None] | None = None,
        batch_size: int = 1,
    ) -> np.ndarray:
        """Return posteriors (items, outputs) float64: see `Scorer.posterior`."""
        for array in arrays:
            self._check(array)
        found = np.empty((len(arrays), len(self.outputs)))
        before = [(part.windows_averaged, part.padded) for part in self.parts]
        for batch in self._batches([len(array) for array in arrays], batch_size):
            found[batch] = self._run([arrays[i] for i in batch])
        for part, (averaged, padded) in zip(self.parts, before, strict=True):
            self.windows_averaged += part.windows_averaged - averaged
            self.padded += part.padded - padded
        if not np.isfinite(found).all():
            raise InputError("features that are not finite have no posterior")
        return found

    def _batches(self, lengths: Sequence[int], size: int) -> Iterator[list[int]]:
        """Yield the indices of items that are scored together: those of like length."""
        together = size > 1 and not any(part.alone for part in self.parts)
        batch: list[int] = []
        for i in sorted(range(len(lengths)), key=lengths.__getitem__):
            apart = batch and lengths[i] > STRETCH * lengths[batch[0]]
            if batch and (apart or not together or len(batch) == size):
                yield batch
                batch = []
            batch.append(i)
        if batch:
            yield batch

    def feeds(self, arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Return the inputs of the graph for items' features (frames, ...), by name."""
        feeds: dict[str, np.ndarray] = {}
        made: list[tuple[Way, Sequence[np.ndarray]]] = []
        for part in self.parts:
            given = next((rows for known, rows in made if known == part.way), None)
            if given is None:
                given = [_features(part.way, array) for array in arrays]
                made.append((part.way, given))
            feeds |= part.feeds(given)
        return feeds

    def _run(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        feeds = self.feeds(arrays)
        try:
            found = self._session.run(feeds)
        except ValueError as error:
            raise InputError(f"{self._path}: cannot be computed: {error}") from error
        if found.shape != (len(arrays), len(self.outputs)):
            raise InputError(f"{self._path}: its graph does not fit its description")
        return found


def _features(way: Way, array: np.ndarray) -> np.ndarray:
    """Return what the pipelines of a way make of an array; InputError where they cannot."""
    try:
        for pipeline, rate in way:
            array = pipeline.features(array, rate)
    except ItemError as error:
        raise InputError(str(error)) from error
    return array


def _parts(model: Checkpoint, suffix: str, way: Way, path: str) -> Iterator[Part]:
    """Yield the single models of a model, in their order."""
    members = model.meta.get("fused")
    if not members:
        yield Part(model, suffix, way)
        return
    rate = int(model.meta["sample_rate"])
    for k, meta in enumerate(members):
        further: Way = ()
        if meta["pipeline"] != model.meta["pipeline"]:
            further = ((Pipeline.of_file(meta["pipeline"], path), rate),)
        yield from _parts(Checkpoint({}, [], meta), f"{suffix}.{k}", way + further, path)


def difference(scorer: Scorer, model: OnnxModel) -> float:
    """Return by how much an ONNX model's posteriors differ at most from those of its checkpoint.

    On noise: of one length each where the model has one, else of several, in a batch and alone.
    Raises InputError where it is more than PARITY.
    """
    made = OnnxScorer(model, "the ONNX model")
    random = np.random.default_rng(0)
    pictures = isinstance(scorer.model, Network) and scorer.model.pictures
    dims = tuple(scorer.header.dims)
    most = scorer.frames or scorer.longest
    lengths = [1, 1] if pictures else [most or LONG, most or LONG // 2, (most or LONG) // 3]
    if not dims:  # samples
        lengths = [n * SAMPLES for n in lengths]
    scale = 255.0 if pictures else 1.0
    arrays = [scale * random.random((n, *dims), np.float32) for n in lengths]
    wanted = scorer.posterior(arrays)
    away = max(float(np.abs(made.posterior(arrays, None, n) - wanted).max()) for n in (1, 8))
    if not away <= PARITY * max(1.0, float(np.abs(wanted).max())):
        raise InputError(f"the ONNX model's posteriors differ by {away:.2g} from the checkpoint's")
    return away
