"""What a model is: its name, its settings, and what training and scoring ask of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from sertool.core.errors import UsageError
from sertool.models.hyperparameters import Hyperparameters

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

    from sertool.formats.checkpoint import Checkpoint
    from sertool.formats.onnx_graph import Graph
    from sertool.models.graphs import Values
    from sertool.models.scoring import Scorer


ANY_LENGTH = "any length"


class Model(ABC):
    """A model with its settings; add one by a subclass of `Network` (classes or numbers),
    `Tabular` (classes) or `Regressor` (numbers).

    name: what `--model` calls it. summary: one line for `sertool list models`. Settings: a frozen
    dataclass of what `--set` may change (see `core.settings`), ValueError for values that make no
    sense; a subclass annotates `settings` with it.
    """

    name: str
    summary: str
    Settings: type[Any]
    settings: Any

    def __init__(self, settings: Any = None) -> None:
        self.settings = self.Settings() if settings is None else settings

    @classmethod
    def takes(cls) -> str:
        """Return which items it takes by their length, for `sertool list models`."""
        return ANY_LENGTH


class OfTables(Model):
    """A model of rows of numbers, one per item; what it may add to an ONNX graph."""

    def row_graph(self, graph: Graph, values: Values) -> str:
        """Return the rows (rows, columns) that `row` makes of features, float64."""
        raise self._none()

    def answer_graph(self, graph: Graph, arrays: Mapping[str, np.ndarray], rows: str) -> str:
        """Return the posteriors, or numbers, (rows, outputs) of rows (rows, columns), float64."""
        raise self._none()

    def _none(self) -> UsageError:
        return UsageError(f"the model {self.name} has no ONNX graph; predict takes its checkpoint")


class Tabular(OfTables):
    """A model fitted in one step to a table: one row of numbers per item.

    needs: a package beyond NumPy that `fit` imports. soft: whether there is `fit_shares`. across:
    whether there is `fit_across`. chooses: whether `fit` has inner folds of its own, of which
    `score` knows the result.
    class_weights: what `--class-weights` is unless it is given.
    """

    needs: str | None = None
    class_weights: str = "none"
    soft: bool = False
    across: bool = False
    chooses: bool = False

    @abstractmethod
    def row(self, features: np.ndarray) -> np.ndarray:
        """Return the row (columns,) of one item's features (frames, ...)."""

    @abstractmethod
    def fit(
        self,
        rows: np.ndarray,
        targets: np.ndarray,
        n_classes: int,
        weights: np.ndarray,
        groups: np.ndarray,
    ) -> dict[str, np.ndarray]:
        """Return the arrays that `posterior` needs, by names of the model's own.

        rows: (items, columns) float64. targets: (items,) class indices, every class at least once.
        weights: (n_classes,), each class's weight in the loss. groups: (items,) int64; folds within
        the training part keep a group whole: a speaker's items, or those of a recording (see
        `training.baselines.groups`).
        """

    def fit_shares(
        self, rows: np.ndarray, shares: np.ndarray, weights: np.ndarray, groups: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Return the same arrays, fitted to shares (items, n_classes) in place of classes.

        shares: of raters' votes, float64, each row of sum 1, every class in one at least.
        """
        raise NotImplementedError

    def fit_across(
        self, rows: np.ndarray, targets: np.ndarray, n_classes: int, corpora: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Return the same arrays, fitted to hold on other corpora than these.

        corpora: (items,) int64, two of them at least.
        """
        raise NotImplementedError

    @abstractmethod
    def posterior(self, arrays: Mapping[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
        """Return posteriors (items, n_classes) float64 of rows (items, columns), each summing to 1.

        arrays: what `fit` returned. A row's posterior does not depend on the other rows.
        """

    def describe(self, arrays: Mapping[str, np.ndarray]) -> str:
        """Return one line about what `fit` chose, "" where it chooses nothing."""
        return ""

    def score(self, arrays: Mapping[str, np.ndarray]) -> float | None:
        """Return the rate of the inner folds' held-out predictions; None where there were none."""
        return None


class Regressor(OfTables):
    """A model of numbers fitted in one step to a table: one row of numbers per item.

    needs: a package beyond NumPy that `fit` imports.
    """

    needs: str | None = None

    @abstractmethod
    def row(self, features: np.ndarray) -> np.ndarray:
        """Return the row (columns,) of one item's features (frames, ...)."""

    @abstractmethod
    def fit(self, rows: np.ndarray, values: np.ndarray) -> dict[str, np.ndarray]:
        """Return the arrays that `numbers` needs, by names of the model's own.

        rows: (items, columns) float64. values: (items, targets) float64.
        """

    @abstractmethod
    def numbers(self, arrays: Mapping[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
        """Return the numbers (items, targets) float64 of rows (items, columns).

        arrays: what `fit` returned. A row's numbers do not depend on the other rows.
        """

    def describe(self, arrays: Mapping[str, np.ndarray]) -> str:
        """Return one line about what `fit` chose, "" where it chooses nothing."""
        return ""


class Combined(Model):
    """A model made of whole checkpoints, which `train` cannot train."""

    @abstractmethod
    def scorer(self, checkpoint: Checkpoint, device: str, path: str) -> Scorer:
        """Return what gives the posteriors of a checkpoint of this model.

        path: what messages call it. Raises ValueError, KeyError or TypeError for a checkpoint whose
        content does not fit.
        """


@dataclass(frozen=True)
class Output:
    """A group of logits: the field of an item whose classes they are, and its weight in the loss.

    The first group of a network is that of `label`; its classes are the checkpoint's.
    """

    field: str
    weight: float = 1.0


@dataclass(frozen=True)
class Examples:
    """Features without labels, read one item at a time, for a network's first stage.

    lengths: (n,), the frames of each item. read(i): item i as a batch would hold it, normalised,
    float32 (frames, ...). names: the items' ids.
    """

    lengths: np.ndarray
    read: Callable[[int], np.ndarray]
    names: tuple[str, ...]


class Losses(NamedTuple):
    """The outputs of a network with its own loss on a batch; all of them tensors.

    total: the scalar that is minimised. logits: (batch, classes). terms: the loss's parts by name,
    for the history. shown: what the history has as the loss, where `total` does not tell how far
    training has come; None: `total`.
    """

    total: torch.Tensor
    logits: torch.Tensor
    terms: dict[str, torch.Tensor]
    shown: torch.Tensor | None = None


class Network(Model):
    """A model trained by gradient descent: a torch module, and how it is trained and scored.

    fixed_length: `build` needs the number of frames; all items have it, unless `takes_shorter`.
    pictures: an item is one picture, a frame of shape (height, width, channels).
    layered: it takes features of several layers (kind ssl), frames of shape (layers, dims), too.
    pretrained: published weights for `--init NAME`, each the address of a torch file.
    first_stage_tensors: the tensors that `first_stage` fits are those whose names have one of these
        among their parts; none: there is no first stage.
    host_lengths: on a GPU, training and validation leave the `lengths` of `forward` in host memory,
        so that to look at one is not to wait for the GPU.
    own_loss: `loss` takes the place of the cross-entropy of all `outputs`.
    shorter_by: the setting, as `--set` takes it, that makes `takes_shorter` true; None for none.
    augment: what training does to items as they are read, unless `--augment` says otherwise.
    time_axis: the axis of time, 2 or 3, of the module's maps (batch, channels, a, b); None where
        their shapes tell (see `inspection.Recorder`).
    exports: whether torch's exporter can trace the module for an ONNX model.
    """

    fixed_length: bool = False
    pictures: bool = False
    layered: bool = False
    pretrained: Mapping[str, str] = {}
    first_stage_tensors: tuple[str, ...] = ()
    host_lengths: bool = False
    own_loss: bool = False
    shorter_by: str | None = None
    time_axis: int | None = None
    exports: bool = True
    augment: Mapping[str, Sequence[float]] = {}

    @classmethod
    def takes(cls) -> str:
        """Return which items it takes by their length, for `sertool list models`."""
        if cls.pictures:
            return "pictures"
        if not cls.fixed_length:
            return ANY_LENGTH
        return "one length"

    @abstractmethod
    def build(self, frames: int | None, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """Return the untrained module.

        frames: of an item, None unless `fixed_length`. shape: of one frame, (dims,) or, of
        pictures, (height, width, channels). outputs: the number of logits. The module's
        `forward(x, lengths)` takes normalised features (batch, frames, *shape), float32, zeros
        after each item's `lengths` (batch,) int64, and returns logits (batch, outputs). Raises
        InputError for features that do not suit the network.
        """

    @abstractmethod
    def defaults(self) -> Hyperparameters:
        """Return how the network is trained, unless options say otherwise: as in its paper."""

    def outputs(self) -> tuple[Output, ...]:
        """Return the groups of logits, in their order: the label's alone, unless overridden."""
        return (Output("label"),)

    def view(self, features: np.ndarray) -> np.ndarray:
        """Return what the network is given of an item's features (frames, ...), not normalised."""
        return features

    def further_views(self, view: np.ndarray) -> Sequence[np.ndarray]:
        """Return what else is heard of an item in scoring: posteriors, or numbers, are averaged.

        view: as `view` gives it (frames, ...); so are these, of as many for every item.
        """
        return ()

    @property
    def sample_rate(self) -> int | None:
        """The rate (Hz) of the waveforms that the network takes, a frame being a sample.

        None where it takes features. `build` is given the shape ().
        """
        return None

    def begin_epoch(self, module: nn.Module, epoch: int) -> None:
        """Prepare `module` for an epoch of training, from 0: which of its layers learn, if not all.

        It depends on nothing but the epoch, so that a resumed run goes on as it would have.
        """

    def from_encoder(self, source: str) -> tuple[Network, Mapping[str, torch.Tensor]]:
        """Return this network around the pre-trained encoder `source`, and the encoder's tensors.

        source: a folder or ID (see `models.encoders`). The tensors have their names in the module.
        Raises UsageError where the network has no encoder.
        """
        raise UsageError(f"--init ssl:{source}: {self.name} has no encoder; use --model finetune")

    @property
    def shortest(self) -> int:
        """Frames up to which `forward` zero-pads a shorter item."""
        return 1

    @property
    def longest(self) -> int | None:
        """The most frames of an item that `forward` takes; None for any number."""
        return None

    @property
    def takes_shorter(self) -> bool:
        """Whether a network of fixed length takes items of fewer frames, by their `lengths`."""
        return False

    @property
    def masks_padding(self) -> bool:
        """Whether the frames after an item's length change nothing in `forward`.

        Then items of several lengths are scored in one batch, else only those of one length.
        """
        return False

    @property
    def batched(self) -> bool:
        """Whether a processor scores several items in one pass.

        Not where other rows may change the last bits of one, as in recurrent layers, from which
        rows leave as they end.
        """
        return True

    def first_stage(
        self,
        module: nn.Module,
        train: Examples,
        unlabelled: Examples | None,
        seed: int,
        note: Callable[[str], None],
    ) -> None:
        """Fit what is learned before gradient descent, without labels, into `module`.

        It is left out where `--init` brings all `first_stage_tensors`. unlabelled: recordings
        beyond the training part. note: takes a line for people.
        """

    def loss(
        self, module: nn.Module, x: torch.Tensor, lengths: torch.Tensor, labels: torch.Tensor
    ) -> Losses:
        """Return the loss of a training batch, where `own_loss`.

        labels: (batch,) int64, `targets.IGNORED` where unknown.
        """
        raise NotImplementedError

    def logits(self, module: nn.Module, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return the logits (batch, outputs) that validation goes by."""
        logits: torch.Tensor = module(x, lengths)
        return logits

    def classifier(self) -> Tabular | None:
        """Return the model that is fitted after training and decides; None: the logits do.

        With one, `forward` returns rows for it instead of logits: (batch, columns), or, of items
        of one length, (batch, rows, columns). Raises ValueError for settings that it does not take.
        """
        return None

    def pool(self, posteriors: np.ndarray) -> np.ndarray:
        """Return an item's posterior (classes,) from those of its rows (rows, classes)."""
        pooled: np.ndarray = posteriors.mean(0)
        return pooled
