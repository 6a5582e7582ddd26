"""From a checkpoint and feature arrays to posteriors: the one scorer of `eval` and `predict`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sertool.core.errors import InputError, UsageError
from sertool.core.paths import show
from sertool.core.settings import check_types
from sertool.formats import checkpoint as checkpoints
from sertool.formats.checkpoint import Checkpoint
from sertool.models import BASELINES, Network, Whole, model, per
from sertool.models.statistics import Statistics

Score = Callable[[np.ndarray], np.ndarray]  # features (frames, ...) -> posterior (classes,)


@dataclass(frozen=True)
class Route:
    """By which of a checkpoint's models a recording is scored, and what decided that.

    by: "field" (it is known of the recording), "option" (of all of them), or "chooser".
    """

    value: str
    by: str


class Scorer:
    """A trained model, or a baseline beside it, that gives posteriors.

    classes: the labels, in the order of the posterior's columns. windows_averaged: how many
    arrays so far were longer than a fixed-length model; padded: how many were shorter than the
    `shortest` that is not filled up. network: the torch module in evaluation
    mode, None where the model is no network.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        name: str,
        score: Score,
        frames: int | None = None,
        shortest: int = 1,
        network: Any = None,
    ) -> None:
        self.checkpoint = checkpoint
        self.name = name
        self.classes: list[str] = checkpoint.meta["classes"]
        self.frames = frames
        self.shortest = shortest
        self.network = network
        self.headed = bool(checkpoint.meta["model"].get("head"))  # its output is no logits
        self.windows_averaged = 0
        self.padded = 0
        self._score = score

    @classmethod
    def load(cls, path: Path, device: str = "cpu") -> Scorer:
        """Return the scorer of a checkpoint file; InputError where it is none or does not fit."""
        return cls.of(checkpoints.load(path), device, show(path))

    @classmethod
    def of(cls, checkpoint: Checkpoint, device: str = "cpu", path: str = "checkpoint") -> Scorer:
        """Return the scorer of a checkpoint in memory; `path` names it in messages."""
        try:
            if per.field_of(checkpoint.meta) is not None:
                models, chooser = per.take_apart(checkpoint)
                scorers = {value: cls.of(one, device, path) for value, one in models.items()}
                return Routed(checkpoint, scorers, cls.of(chooser, device, path))
            _check_finite(checkpoint.tensors)
            found = model(checkpoint.meta["model"]["name"])
            check_types(found.Settings, checkpoint.meta["model"]["settings"])
            if isinstance(found, Whole):
                settings = found.Settings(**checkpoint.meta["model"]["settings"])
                score = _score_whole(found, settings, checkpoint, "model")
                return cls(checkpoint, found.name, score)._with_baselines()
            network, score = _score_network(found, checkpoint, device)
            meta = checkpoint.meta["model"]
            settings = found.Settings(**meta["settings"])
            least = found.shortest(settings)
            if meta["frames"] is not None and not found.shorter(settings):
                least = meta["frames"]
            made = cls(checkpoint, found.name, score, meta["frames"], least, network)
            return made._with_baselines()
        except UsageError as error:
            raise InputError(f"{path}: {error}; is the package that made it installed?") from error
        except (KeyError, TypeError, ValueError, IndexError, RuntimeError) as error:
            raise InputError(f"{path}: its content does not fit its model") from error

    def _with_baselines(self) -> Scorer:
        """Return the scorer; ValueError or KeyError where a baseline's content does not fit."""
        for name in BASELINES:
            self.baseline(name)
        return self

    @property
    def pipeline(self) -> list[dict[str, Any]]:
        """The stages that made the features, as `features.pipeline.Pipeline` reads them."""
        stages: list[dict[str, Any]] = self.checkpoint.meta["pipeline"]
        return stages

    def baseline(self, name: str) -> Scorer | None:
        """Return "majority" or "linear", fitted on the same items; None where it was left out."""
        if name not in self.checkpoint.meta.get("baselines", ()):
            return None
        found = model(name)
        assert isinstance(found, Whole)
        score = _score_whole(found, found.Settings(), self.checkpoint, f"baseline.{name}")
        return Scorer(self.checkpoint, name, score)

    def route(self, arrays: Sequence[np.ndarray], value: str | None) -> Route | None:
        """Return by which model a recording of these arrays is scored: None, there is one."""
        return None

    def posterior(
        self, arrays: Sequence[np.ndarray], values: Sequence[str | None] | None = None
    ) -> np.ndarray:
        """Return posteriors (items, classes) float64, rows summing to 1, of features (frames, ...).

        values: for each array the value that chooses its model, where there are several.

        Each array is scored alone, in float32 with a float64 softmax, so that its posterior does
        not depend on its company. For a model of fixed length, one that is longer is averaged
        over consecutive windows (the last one ends with the array), and one that is shorter is
        filled up with zeros after normalisation, that is with training means. Raises InputError
        for arrays of other dimensions than the model was trained on.
        """
        rows = np.empty((len(arrays), len(self.classes)))
        for row, array in zip(rows, arrays, strict=True):
            self._check(array)
            windows = self._windows(array)
            row[:] = np.mean([self._score(window) for window in windows], axis=0)
        if not np.isfinite(rows).all():
            raise InputError("features that are not finite have no posterior")
        return rows

    def _check(self, array: np.ndarray) -> None:
        dims = tuple(self.checkpoint.meta["dims"])
        if array.shape[1:] != dims:
            raise InputError(
                f"features of shape {_shape(array.shape[1:])} a frame; the checkpoint was trained"
                f" on {_shape(dims)}: featurize as it was trained"
            )
        if not len(array):
            raise InputError("features without a single frame have no posterior")

    def _windows(self, array: np.ndarray) -> list[np.ndarray]:
        """Return the array, or its consecutive windows of the model's length."""
        n, frames = len(array), self.frames
        if n < self.shortest:
            self.padded += 1
        if frames is None or n <= frames:
            return [array]
        self.windows_averaged += 1
        return [array[start : start + frames] for start in self.window_starts(n)]

    def window_starts(self, n: int) -> list[int]:
        """Return the first frame of each window that `n` frames are scored in."""
        if self.frames is None or n <= self.frames:
            return [0]
        return [*range(0, n - self.frames, self.frames), n - self.frames]


class Routed(Scorer):
    """Several models, one for each value of an item's field, and a chooser among them.

    scorers: value -> its model's scorer. chooser: the scorer whose classes are the values. A class
    that a model does not know has a posterior of 0 by it.
    """

    def __init__(
        self, checkpoint: Checkpoint, scorers: Mapping[str, Scorer], chooser: Scorer
    ) -> None:
        super().__init__(checkpoint, checkpoint.meta["model"]["name"], _routed_elsewhere)
        self.field = str(per.field_of(checkpoint.meta))
        self.scorers = dict(scorers)
        self.chooser = chooser
        if set(chooser.classes) != set(self.scorers):
            raise ValueError("a chooser of other values")
        self._columns = {
            value: [self.classes.index(label) for label in scorer.classes]
            for value, scorer in self.scorers.items()
        }

    def baseline(self, name: str) -> Scorer | None:
        """Return a baseline that each model has, routed as the models are."""
        found = {value: scorer.baseline(name) for value, scorer in self.scorers.items()}
        known = {value: scorer for value, scorer in found.items() if scorer is not None}
        return Routed(self.checkpoint, known, self.chooser) if len(known) == len(found) else None

    def route(self, arrays: Sequence[np.ndarray], value: str | None) -> Route:
        """Return the model of `value`; where there is none, of what the chooser makes of arrays.

        They are one recording's: the chooser's posteriors are averaged over them.
        """
        if value in self.scorers:
            return Route(str(value), "field")
        return Route(self.chosen(self.chooser.posterior(arrays)), "chooser")

    def chosen(self, posteriors: np.ndarray) -> str:
        """Return the chooser's value of a recording from its posteriors (arrays, values)."""
        return self.chooser.classes[int(posteriors.mean(0).argmax())]

    def posterior(
        self, arrays: Sequence[np.ndarray], values: Sequence[str | None] | None = None
    ) -> np.ndarray:
        """Return posteriors (items, classes) float64, each by the model of its value.

        Each array whose value is None or has no model is a recording of its own to the chooser.
        """
        rows = np.zeros((len(arrays), len(self.classes)))
        given = [None] * len(arrays) if values is None else values
        for row, array, value in zip(rows, arrays, given, strict=True):
            routed = self.route([array], value).value
            scorer = self.scorers[routed]
            averaged, padded = scorer.windows_averaged, scorer.padded
            row[self._columns[routed]] = scorer.posterior([array])[0]
            self.windows_averaged += scorer.windows_averaged - averaged
            self.padded += scorer.padded - padded
        return rows


def _routed_elsewhere(features: np.ndarray) -> np.ndarray:
    raise AssertionError("the model of a value scores, not all of them")


def _shape(dims: tuple[int, ...]) -> str:
    return " × ".join(map(str, dims)) or "1"


def _score_whole(found: Whole, settings: Any, checkpoint: Checkpoint, prefix: str) -> Score:
    """Return the posterior by the model whose arrays stand under `prefix`."""
    arrays = checkpoint.subset(prefix)

    def score(features: np.ndarray) -> np.ndarray:
        return found.posterior(arrays, found.columns(features, settings)[np.newaxis])[0]

    trial = score(np.zeros((1, *checkpoint.meta["dims"]), np.float32))
    if trial.shape != (len(checkpoint.meta["classes"]),):
        raise ValueError(f"a posterior of shape {trial.shape}")
    return score


def _score_network(found: Network, checkpoint: Checkpoint, device: str) -> tuple[Any, Score]:
    """Return the network, and the posterior of one window by it, in float32."""
    import torch

    from sertool.models import device as devices

    where = devices.choose(device)
    devices.prepare(where)
    meta = checkpoint.meta["model"]
    settings = found.Settings(**meta["settings"])
    view = found.view(settings)
    frames, classes = meta["frames"], len(checkpoint.meta["classes"])
    if meta["outputs"] < classes:
        raise ValueError(f"{meta['outputs']} outputs for {classes} classes")
    if found.fixed_length and not frames:
        raise ValueError("a network of fixed length, which is not known")
    weights = {name: torch.from_numpy(a) for name, a in checkpoint.subset("model").items()}
    shape = (frames, tuple(meta["inputs"]), meta["outputs"])
    if _shapes(found, settings, shape) not in (None, {n: w.shape for n, w in weights.items()}):
        raise ValueError("weights of another shape than its description's")
    network = found.build(settings, *shape)
    network.load_state_dict(weights)
    devices.place(network, where)
    network.eval()
    arrays = checkpoint.subset("statistics")
    statistics = Statistics(meta["normalisation"], arrays["mean"], arrays["sd"])
    head = _head(checkpoint, found.poll(settings)) if meta.get("head") else None

    def score(features: np.ndarray) -> np.ndarray:
        seen = statistics.apply(view(features))
        x = np.zeros((1, frames or len(seen), *seen.shape[1:]), np.float32)
        x[0, : len(seen)] = seen
        with torch.inference_mode():
            lengths = torch.tensor([len(seen)])
            said = network(torch.from_numpy(x).to(where), lengths.to(where)).cpu().double()
        if head is not None:
            return head(said.numpy())
        shares: np.ndarray = said[0, :classes].softmax(0).numpy()
        return shares

    return network, score


def _check_finite(tensors: Mapping[str, np.ndarray]) -> None:
    for name, array in tensors.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{name} is not finite")


def _shapes(found: Network, settings: Any, shape: tuple[Any, ...]) -> dict[str, Any] | None:
    """Return the shapes of a network's weights by name; None where they cannot be told.

    It takes no memory, and a description may ask for a network of any size.
    """
    import torch

    try:
        with torch.device("meta"):
            network = found.build(settings, *shape)
    except RuntimeError:  # a network of another package may not be made so
        return None
    return {name: tensor.shape for name, tensor in network.state_dict().items()}


def _head(checkpoint: Checkpoint, poll: Callable[[np.ndarray], np.ndarray]) -> Score:
    """Return the posterior of an item by the model that decides from its rows (rows, columns)."""
    whole = model(checkpoint.meta["model"]["head"]["name"])
    arrays = checkpoint.subset("head")
    assert isinstance(whole, Whole)
    return lambda rows: poll(whole.posterior(arrays, rows))
