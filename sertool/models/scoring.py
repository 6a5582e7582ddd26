"""From a checkpoint and feature arrays to posteriors: the one scorer of `eval` and `predict`."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from sertool import metrics
from sertool.core.errors import InputError, UsageError
from sertool.core.memory import TooMuch, afford
from sertool.core.paths import show
from sertool.formats import checkpoint as checkpoints
from sertool.formats.checkpoint import Checkpoint
from sertool.models import (
    BASELINES,
    NUMBER_BASELINES,
    Combined,
    Model,
    Network,
    Regressor,
    Tabular,
    create,
    graphs,
    layer_choice,
    regressor,
    tabular,
)
from sertool.models.statistics import Statistics
from sertool.ui.console import Console

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

    import torch
    from torch import nn

    from sertool.formats.onnx_graph import Graph
    from sertool.models.graphs import Inputs
    from sertool.models.inspection import Recorder

S = TypeVar("S")
T = TypeVar("T")
INPUT = 32  # bytes a number of an input: it, its normalised copy, what a first layer makes of it
PASS = 128  # bytes a number of an input of any length, of which a network makes much in a pass
MOST = 1 << 22  # numbers of the batches that are in memory at a time, if they are several
ALONE = 1 << 20  # numbers of a window beyond which nothing is added to it
STEPS = 4  # lengths per octave that windows are padded to where padding is masked
LEAST = 4  # rows of a batch: libraries multiply fewer in another order, so that others are added


@dataclass(frozen=True)
class Route:
    """By which of a checkpoint's models a recording is scored, and what decided that.

    by: "field" (it is known of the recording), "option" (of all of them), or "chooser".
    """

    value: str
    by: str


class Scorer:
    """A trained model, or a baseline beside it, that gives posteriors, or numbers.

    classes: the labels; none of a model of numbers. outputs: the names of the columns, classes or
    fields of numbers: what is said here of posteriors is true of numbers, in their own units, too,
    but that they do not sum to 1. frames: of a network of fixed length, else None.
    windows_averaged: how many arrays so far were longer than that; padded: how many were shorter
    than `shortest`, the fewest frames that need no zero-padding. longest: the most frames that it
    takes, None for any number. batches: whether it takes less time for arrays together than apart.
    """

    frames: int | None = None
    batches: bool = False
    shortest: int = 1
    longest: int | None = None

    def __init__(self, checkpoint: Checkpoint, model: Model) -> None:
        self.checkpoint = checkpoint
        self.model = model
        self.header = checkpoint.header
        self.classes = self.header.classes
        self.outputs = self.header.outputs
        shape = (self.header.model.frames or 1, *self.header.dims)
        afford(INPUT * math.prod(shape), f"an input of {_shape(shape)}")
        scales = self.header.numbers or []
        self._scale = np.array([(scale.mean, scale.sd) for scale in scales]).reshape(-1, 2).T
        known = self.header.calibration
        self.temperature = known.temperature if known else 1.0
        self.windows_averaged = 0
        self.padded = 0

    @classmethod
    def load(cls, path: Path, device: str = "cpu") -> Scorer:
        """Return the scorer of a checkpoint file; InputError where it is none or does not fit."""
        return cls.of(checkpoints.load(path), device, show(path))

    @classmethod
    def of(cls, checkpoint: Checkpoint, device: str = "cpu", path: str = "checkpoint") -> Scorer:
        """Return the scorer of a checkpoint in memory; `path` names it in messages."""
        try:
            if checkpoint.header.per:
                from sertool.models import per_field

                models, chooser = per_field.take_apart(checkpoint)
                scorers = {value: cls.of(one, device, path) for value, one in models.items()}
                return Routed(checkpoint, scorers, cls.of(chooser, device, path))
            _check_finite(checkpoint.tensors)
            described = checkpoint.header.model
            model = create(described.name, described.settings)
            if isinstance(model, Tabular | Regressor):
                made: Scorer = TabularScorer(checkpoint, model, "model")
            elif isinstance(model, Network):
                made = NetworkScorer(checkpoint, model, device)
            elif isinstance(model, Combined):
                made = model.scorer(checkpoint, device, path)
            else:
                raise TypeError(f"{model.name} is neither a network nor a tabular model")
            for name in made.baselines:
                made.baseline(name)
            return made
        except TooMuch as error:
            raise InputError(f"{path}: {error}") from error
        except UsageError as error:
            raise InputError(f"{path}: {error}; is the package that made it installed?") from error
        except (KeyError, TypeError, ValueError, IndexError, RuntimeError) as error:
            raise InputError(f"{path}: its content does not fit its model") from error

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a frame as the model is given it."""
        return tuple(self.header.dims)

    @property
    def pipeline(self) -> list[dict[str, Any]]:
        """The stages that made the features, as `features.pipeline.Pipeline` reads them."""
        stages: list[dict[str, Any]] = self.checkpoint.meta["pipeline"]
        return stages

    @property
    def baselines(self) -> tuple[str, ...]:
        """The names of the baselines that a model of its kind may have."""
        return NUMBER_BASELINES if self.header.numbers else BASELINES

    def baseline(self, name: str) -> Scorer | None:
        """Return a baseline, fitted on the same items; None where it was left out.

        Raises ValueError or KeyError where its arrays do not fit.
        """
        if name not in (self.header.baselines or ()):
            return None
        model = regressor(name) if self.header.numbers else tabular(name)
        return TabularScorer(self.checkpoint, model, f"baseline.{name}")

    def use_threads(self, count: int) -> None:
        """Let a network compute so many batches at a time, each on one thread of the processor."""

    def takes(self, itemsize: int) -> float:
        """Return how often an item of numbers of so many bytes is in memory while it is scored."""
        return 1 + INPUT / itemsize

    def route(self, arrays: Sequence[np.ndarray], value: str | None) -> Route | None:
        """Return by which model a recording of these arrays is scored: None, there is one."""
        return None

    def route_of(self, parts: Iterable[Sequence[np.ndarray]]) -> Route | None:
        """Return by which model a recording is scored that comes in parts, each of some arrays."""
        return None

    def posterior(
        self,
        arrays: Sequence[np.ndarray],
        values: Sequence[str | None] | None = None,
        batch_size: int = 1,
    ) -> np.ndarray:
        """Return posteriors (items, classes) float64, rows summing to 1, of features (frames, ...).

        values: for each array the value that chooses its model, where there are several.
        batch_size: how many windows a network is given together, those of like length. With more
        than 1 posteriors differ from those one by one by rounding alone (less than 1e-6). On the
        processor they depend neither on what else is in a batch nor on the number of threads.

        Networks compute in float32, with a float64 softmax. For a model of fixed length, an array
        that is longer is averaged over consecutive windows (the last one ends with the array), and
        one that is shorter is zero-padded after normalisation, that is with training means. Raises
        InputError for arrays of other dimensions than the model was trained on.
        """
        if not len(arrays):
            return np.empty((0, len(self.outputs)))
        windows = [window for array in arrays for window in self._windows(array)]
        shares = self._score(windows, batch_size)
        if not np.isfinite(shares).all():
            raise InputError("features that are not finite have no posterior")
        ends = np.cumsum([len(self.window_starts(len(array))) for array in arrays])
        return self.calibrated(np.stack([part.mean(0) for part in np.split(shares, ends[:-1])]))

    def calibrated(self, shares: np.ndarray) -> np.ndarray:
        """Return posteriors (n, classes) at the temperature that the checkpoint was given."""
        return shares if self.temperature == 1.0 else metrics.tempered(shares, self.temperature)

    def _score(self, windows: Sequence[np.ndarray], batch_size: int) -> np.ndarray:
        """Return posteriors (windows, classes) of features (frames, ...), at most `frames` each."""
        raise NotImplementedError

    def graph(self, graph: Graph, suffix: str = "") -> str:
        """Add the model to an ONNX graph; return its posteriors (items, outputs), float64.

        suffix: what ends the names of its inputs (see `formats.onnx`). Raises UsageError for a
        model that has no graph.
        """
        frames = self.frames or self.longest
        given = graphs.inputs(graph, suffix, frames or f"frames{suffix}", self.shape)
        shares = graphs.averaged(graph, self._graph(graph, given), given.item)
        return graphs.tempered(graph, shares, self.temperature)

    def _graph(self, graph: Graph, given: Inputs) -> str:
        """Return the posteriors (rows, outputs), float64, of rows of features."""
        raise UsageError(f"{self.model.name} has no ONNX graph; predict takes its checkpoint")

    def _check(self, array: np.ndarray) -> None:
        dims = tuple(self.header.dims)
        if array.shape[1:] != dims:
            raise InputError(
                f"features of shape {_shape(array.shape[1:])} per frame; the checkpoint was trained"
                f" on {_shape(dims)}: featurize as it was trained"
            )
        if not len(array):
            raise InputError("features without a single frame have no posterior")

    def _windows(self, array: np.ndarray) -> list[np.ndarray]:
        """Return the array, or its consecutive windows of the model's length."""
        self._check(array)
        n, frames = len(array), self.frames
        self.padded += n < self.shortest
        if frames is None or n <= frames:
            return [array]
        self.windows_averaged += 1
        return [array[start : start + frames] for start in self.window_starts(n)]

    def window_starts(self, n: int) -> list[int]:
        """Return the first frame of each window that `n` frames are scored in."""
        if self.frames is None or n <= self.frames:
            return [0]
        return [*range(0, n - self.frames, self.frames), n - self.frames]

    def windows_in(self, array: np.ndarray, value: str | None = None) -> int:
        """Return how many windows an array is scored in, by the model of `value`."""
        return len(self.window_starts(len(array)))


class TabularScorer(Scorer):
    """A tabular model, whose arrays stand under `prefix` in the checkpoint."""

    model: Tabular | Regressor

    def __init__(self, checkpoint: Checkpoint, model: Tabular | Regressor, prefix: str) -> None:
        super().__init__(checkpoint, model)
        self.arrays = checkpoint.subset(prefix)
        if prefix != "model":
            self.temperature = 1.0  # a baseline says what it was fitted to
        trial = self._score([np.zeros((1, *self.header.dims), np.float32)], 1)
        if trial.shape != (1, len(self.outputs)):
            raise ValueError(f"outputs of shape {trial.shape}")

    def takes(self, itemsize: int) -> float:
        """Return how often an item is in memory while its row is made."""
        return layer_choice.takes(itemsize)

    def _score(self, windows: Sequence[np.ndarray], batch_size: int) -> np.ndarray:
        model = self.model
        rows = (layer_choice.row(model, window)[np.newaxis] for window in windows)
        if isinstance(model, Regressor):
            return np.concatenate([model.numbers(self.arrays, row) for row in rows])
        return np.concatenate([layer_choice.posterior(model, self.arrays, row) for row in rows])

    def _graph(self, graph: Graph, given: Inputs) -> str:
        rows = layer_choice.row_graph(self.model, graph, given, self.header.dims, self.arrays)
        return self.model.answer_graph(graph, self.arrays, rows)


class NetworkScorer(Scorer):
    """A network, and the classifier that decides after it, if there is one.

    module: in evaluation mode, on its device. classifier: with what was fitted of it.
    """

    model: Network

    def __init__(self, checkpoint: Checkpoint, model: Network, device: str) -> None:
        from sertool.models import device as devices

        super().__init__(checkpoint, model)
        described = self.header.model
        self.frames = described.frames
        self.shortest = model.shortest
        if self.frames is not None and not model.takes_shorter:
            self.shortest = self.frames
        self._device = devices.choose(device)
        devices.prepare(self._device)
        self.module = self._module()
        devices.place(self.module, self._device)
        self.module.eval()
        self._recorder: Recorder | None = None
        like = self.frames is not None or model.masks_padding or model.pictures
        self.batches = like and (model.batched or self._device.type != "cpu")
        self._threads = 1
        self._pool: ThreadPoolExecutor | None = None
        fitted = checkpoint.subset("statistics")
        self._statistics = Statistics(str(described.normalisation), fitted["mean"], fitted["sd"])
        self.classifier: tuple[Tabular, dict[str, np.ndarray]] | None = None
        if head := described.head:
            found = create(head.name, head.settings)
            assert isinstance(found, Tabular)
            self.classifier = found, checkpoint.subset("head")
        self.longest = model.longest

    def _graph(self, graph: Graph, given: Inputs) -> str:
        from sertool.models.traced import trace

        if not self.model.exports:
            raise UsageError(
                f"the model {self.model.name} has no ONNX graph; predict takes its checkpoint"
            )
        frames = self.frames or self.longest
        network = trace(self.module, self._statistics, frames, self.shape, self.model.shortest)
        found = graph.cast(graph.insert(network, [given.features, given.lengths]), "f8")
        if self.header.numbers:
            mean, sd = self._scale
            return graphs.dense(graph, found, np.diag(sd), mean)
        if self.classifier is None:
            return graph.softmax(graph.first(found, len(self.classes)))
        model, arrays = self.classifier
        if not self.model.masks_padding:
            raise UsageError(
                f"{self.model.name}: several rows of one recording that are classified apart have"
                " no ONNX graph; predict takes the checkpoint"
            )
        return model.answer_graph(graph, arrays, found)

    def recorder(self) -> Recorder:
        """Return what records the passes of the network from now on."""
        from sertool.models.inspection import Recorder

        self._recorder = Recorder(
            self.module, self.model.pictures, self.shortest, self.model.time_axis
        )
        return self._recorder

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a frame of a view."""
        return tuple(self.header.model.inputs or ())

    @property
    def one_pass(self) -> bool:
        """Whether the softmax of one pass is the posterior of a window."""
        further = type(self.model).further_views is not Network.further_views
        return self.classifier is None and not further

    def _module(self) -> nn.Module:
        """Return the network with the checkpoint's weights; ValueError where they do not fit."""
        import torch

        inputs, outputs = self.header.model.inputs or (), self.header.model.outputs or 0
        if outputs < len(self.outputs):
            raise ValueError(f"{outputs} outputs for {len(self.outputs)} names")
        if self.model.fixed_length and not self.frames:
            raise ValueError("a network of fixed length, which is not known")
        weights = {n: torch.from_numpy(a) for n, a in self.checkpoint.subset("model").items()}
        size = (self.frames, tuple(inputs), outputs)
        if shapes(self.model, *size) not in (None, {n: w.shape for n, w in weights.items()}):
            raise ValueError("weights of another shape than its description's")
        module = self.model.build(*size)
        module.load_state_dict(weights)
        return module

    def takes(self, itemsize: int) -> float:
        """Return how often an item, with what a pass makes of it, is in memory."""
        return 1 + (PASS if self.frames is None else INPUT) / itemsize

    def use_threads(self, count: int) -> None:
        """Let so many batches be computed at a time, each on one thread of the processor."""
        if self._device.type == "cpu" and count != self._threads:
            from concurrent.futures import ThreadPoolExecutor

            self._threads = count
            self._pool = ThreadPoolExecutor(count) if count > 1 else None

    def _each(self, work: Callable[[S], T], tasks: Iterable[S]) -> Iterable[T]:
        """Return `work(task)` of every task, in their order, on the threads that there are."""
        if self._pool is None or self._recorder:
            return map(work, tasks)
        return self._pool.map(work, tasks)

    def _score(self, windows: Sequence[np.ndarray], batch_size: int) -> np.ndarray:
        every = list(self._each(self._views, windows))
        n = len(every[0])
        if self._recorder is None:
            rows = self._once(
                [view for own in zip(*every, strict=True) for view in own], batch_size
            )
            total: np.ndarray = rows.reshape(n, len(windows), -1).sum(0)
            return total / n
        found = self._once([own[0] for own in every], batch_size)
        with self._unwatched():
            for k in range(1, n):
                found += self._once([own[k] for own in every], batch_size)
        return found / n

    def _views(self, window: np.ndarray) -> list[np.ndarray]:
        """Return what the network is given of a window, not normalised."""
        view = self.model.view(window)
        return [view, *self.model.further_views(view)]

    def _once(self, views: Sequence[np.ndarray], batch_size: int) -> np.ndarray:
        """Return posteriors (views, classes) of what the network is given, not normalised."""
        from sertool.models.device import one_thread

        found = np.empty((len(views), len(self.outputs)))
        batches = list(self._batches([len(view) for view in views], batch_size))

        def apart(batch: Sequence[int]) -> bool:
            return batch_size == 1 or not self.batches or self._alone(len(views[batch[0]]))

        def large(batch: Sequence[int]) -> bool:
            rows = len(batch) if apart(batch) else max(LEAST, len(batch))
            return self._threads * rows * max(views[i].size for i in batch) > MOST

        def score(batch: list[int]) -> np.ndarray:
            return self._forward([self._statistics.apply(views[i]) for i in batch], apart(batch))

        with one_thread():  # the number is each thread's own that begins meanwhile, too
            for one_by_one, group in groupby(batches, large):
                some = list(group)
                made = map(score, some) if one_by_one else self._each(score, some)
                for batch, rows in zip(some, made, strict=True):
                    found[batch] = rows
        return found

    @contextlib.contextmanager
    def _unwatched(self) -> Iterator[None]:
        """Leave the passes of a while out of what `recorder` records."""
        assert self._recorder is not None
        before, self._recorder.passes = self._recorder.passes, []
        try:
            yield
        finally:
            self._recorder.passes = before

    def _batches(self, lengths: Sequence[int], size: int) -> Iterator[list[int]]:
        """Yield the indices of windows that are scored together: those of like length.

        One by one they stay in their order, which who watches the network relies on.
        """
        if size == 1 or not self.batches:
            yield from ([i] for i in range(len(lengths)))
            return
        padded = [self._padded(length) for length in lengths]
        order = sorted(range(len(lengths)), key=padded.__getitem__)
        for frames, same in groupby(order, padded.__getitem__):
            room = max(LEAST, MOST // (self._threads * frames * math.prod(self.shape)))
            most = 1 if self._alone(frames) else min(size, room)
            while batch := list(islice(same, most)):
                yield batch

    def _alone(self, length: int) -> bool:
        """Return whether a window of so many frames is too large for anything beside it."""
        return self._padded(length) * math.prod(self.shape) > ALONE

    def _padded(self, length: int) -> int:
        """Return the frames that a window has in a batch, whatever else is in it.

        That, and `LEAST`, are why a window's company does not change how it is computed.
        """
        if self.frames is not None:
            return self.frames
        step = max(1, 2 ** (length.bit_length() - 1) // STEPS)
        padded = -(-length // step) * step
        return padded if self.longest is None else min(padded, max(length, self.longest))

    def _forward(self, items: Sequence[np.ndarray], apart: bool) -> np.ndarray:
        """Return posteriors (batch, classes) of normalised features, in one pass.

        apart: as they are; else padded, and with other rows beside them if they are few.
        """
        import torch

        n = len(items)
        rows = list(items) if apart else [*items, *[items[-1]] * (LEAST - n)]
        lengths = torch.tensor([len(item) for item in rows])
        longest = int(lengths.max())
        frames = self.frames or (longest if apart else self._padded(longest))
        x = np.zeros((len(rows), frames, *rows[0].shape[1:]), np.float32)
        for row, item in zip(x, rows, strict=True):
            row[: len(item)] = item
        with torch.inference_mode():
            there = torch.from_numpy(x).to(self._device), lengths.to(self._device)
            found: torch.Tensor = self.module(*there)[:n].cpu().double()
        if self.header.numbers:
            mean, sd = self._scale
            values: np.ndarray = mean + sd * found.numpy()
            return values
        if self.classifier is None:
            shares: np.ndarray = found[:, : len(self.classes)].softmax(1).numpy()
            return shares
        model, arrays = self.classifier
        outputs = map(np.atleast_2d, found.numpy())
        return np.stack([self.model.pool(model.posterior(arrays, row)) for row in outputs])


class Routed(Scorer):
    """Several models, one for each value of an item's field, and a chooser among them.

    scorers: value -> its model's scorer. chooser: the scorer whose classes are the values. A class
    that a model does not know has a posterior of 0 by it.
    """

    def __init__(
        self, checkpoint: Checkpoint, scorers: Mapping[str, Scorer], chooser: Scorer
    ) -> None:
        described = checkpoint.header.model
        super().__init__(checkpoint, create(described.name, described.settings))
        assert self.header.per is not None
        self.field = self.header.per.field
        self.scorers = dict(scorers)
        self.chooser = chooser
        self.batches = any(scorer.batches for scorer in self.scorers.values())
        if set(chooser.classes) != set(self.scorers):
            raise ValueError("a chooser of other values")
        self._columns = {
            value: [self.classes.index(label) for label in scorer.classes]
            for value, scorer in self.scorers.items()
        }

    def takes(self, itemsize: int) -> float:
        """Return the most that one of the models says."""
        return max(one.takes(itemsize) for one in (self.chooser, *self.scorers.values()))

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

    def use_threads(self, count: int) -> None:
        """Let each of the models use so many threads."""
        for scorer in (*self.scorers.values(), self.chooser):
            scorer.use_threads(count)

    def windows_in(self, array: np.ndarray, value: str | None = None) -> int:
        """Return how many windows an array is scored in, by the model of `value`."""
        return self.scorers[str(value)].windows_in(array)

    def route_of(self, parts: Iterable[Sequence[np.ndarray]]) -> Route | None:
        """Return the same of a recording that comes in parts, None where none has an array."""
        rows = [self.chooser.posterior(arrays) for arrays in parts]
        found = np.concatenate(rows) if rows else np.zeros((0, 0))
        return Route(self.chosen(found), "chooser") if len(found) else None

    def graph(self, graph: Graph, suffix: str = "") -> str:
        """Raise UsageError: what chooses among the models is no graph."""
        raise UsageError(
            f"holds a model per {self.field} and what chooses among them, which no ONNX graph can;"
            " export single models"
        )

    def chosen(self, posteriors: np.ndarray) -> str:
        """Return the chooser's value of a recording from its posteriors (arrays, values)."""
        return self.chooser.classes[int(posteriors.mean(0).argmax())]

    def posterior(
        self,
        arrays: Sequence[np.ndarray],
        values: Sequence[str | None] | None = None,
        batch_size: int = 1,
    ) -> np.ndarray:
        """Return posteriors (items, classes) float64, each by the model of its value.

        Each array whose value is None or has no model is a recording of its own to the chooser.
        """
        found = np.zeros((len(arrays), len(self.classes)))
        given = values or [None] * len(arrays)
        routes = [self.route([a], v).value for a, v in zip(arrays, given, strict=True)]
        for value, scorer in self.scorers.items():
            own = [i for i, route in enumerate(routes) if route == value]
            before = scorer.windows_averaged, scorer.padded
            rows = scorer.posterior([arrays[i] for i in own], batch_size=batch_size)
            found[np.ix_(own, self._columns[value])] = rows
            self.windows_averaged += scorer.windows_averaged - before[0]
            self.padded += scorer.padded - before[1]
        return found


def _shape(dims: tuple[int, ...]) -> str:
    return " × ".join(map(str, dims)) or "1"


def _check_finite(tensors: Mapping[str, np.ndarray]) -> None:
    for name, array in tensors.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{name} is not finite")


def shapes(
    model: Network, frames: int | None, shape: tuple[int, ...], outputs: int
) -> dict[str, torch.Size] | None:
    """Return the shapes of a network's weights by name; None where they cannot be computed.

    It takes no memory, and a description may ask for a network of any size.
    """
    import torch

    try:
        with torch.device("meta"):
            network = model.build(frames, shape, outputs)
    except RuntimeError:  # a network of another package may not be made so
        return None
    return {name: tensor.shape for name, tensor in network.state_dict().items()}


def announce(console: Console, windows: int, padded: int, what: str) -> None:
    """Say what a model of fixed length made of longer and of shorter input."""
    if windows:
        console.note(f"{windows} {what} longer than the model's input: averaged over windows")
    if padded:
        console.note(f"{padded} {what} shorter than the model's input: padded")
