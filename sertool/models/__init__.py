"""Models: one module a paper, a table that lists them, and what the training loop asks of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sertool.models.hyperparameters import Hyperparameters

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

MODELS = {
    "majority": "sertool.models.majority:MODEL",
    "linear": "sertool.models.linear:MODEL",
    "svm": "sertool.models.svm:MODEL",
    "sundharam-cnn": "sertool.models.sundharam.cnn:CNN",
    "sundharam-bilstm": "sertool.models.sundharam.parallel:BILSTM",
    "sundharam-transformer": "sertool.models.sundharam.parallel:TRANSFORMER",
    "badshah2017": "sertool.models.badshah2017:CNN",
    "badshah2017-alexnet": "sertool.models.badshah2017:ALEXNET",
    "fser2021": "sertool.models.fser2021:CNN",
    "ma2018": "sertool.models.ma2018:VARIABLE",
    "ma2018-fixed": "sertool.models.ma2018:FIXED",
    "huang2014": "sertool.models.huang2014.model:MODEL",
}
GROUP = "sertool.models"  # entry points of other packages
BASELINES = ("majority", "linear")  # fitted beside every model, on the same items


@dataclass(frozen=True)
class Head:
    """A group of logits: which field of an item it names, and its weight in the loss.

    The first head of a network is the one for `label`; its classes are the checkpoint's.
    """

    field: str
    weight: float = 1.0


def label_only(settings: Any) -> tuple[Head, ...]:
    """Return the heads of a network that knows nothing but the label."""
    return (Head("label"),)


def any_length(settings: Any) -> int:
    """Return 1: the frames of the shortest item of a network that hears every one as it is."""
    return 1


def whole_item(settings: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Return the view of a network that takes an item's features as they are."""
    return lambda features: features


def never(settings: Any) -> bool:
    """Return False: the items of a network of fixed length all have that length."""
    return False


def mean_of_rows(settings: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Return the mean over the rows of an item (rows, classes)."""
    return lambda posteriors: posteriors.mean(0)


def no_head(settings: Any) -> None:
    """Return None: the last stage of a network that gives the posteriors itself."""


@dataclass(frozen=True)
class Heard:
    """Features that a network may look at before it is trained, without labels, read one by one.

    lengths: (n,), the frames of each item. read(i): item i as a batch would hold it, normalised,
    float32 (frames, ...). names: what the items are called, unique.
    """

    lengths: np.ndarray
    read: Callable[[int], np.ndarray]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Material:
    """What the first stage of a network is given: the training part, and unlabelled recordings.

    `tell` takes a line for people.
    """

    train: Heard
    unlabelled: Heard | None
    seed: int
    tell: Callable[[str], None]


@dataclass(frozen=True)
class Network:
    """A model trained by gradient descent.

    `build(settings, frames, shape, outputs)` returns a torch module whose `forward(x, lengths)`
    takes normalised features (batch, frames, *shape), zeros after each item's `lengths` (batch,)
    frames, and returns logits (batch, outputs); it raises InputError for features that do not
    suit it. `shape` is that of one frame: (dims,), or (height, width, channels) where `pictures`
    is true; an item is then one picture, and `frames` of a batch is 1. The argument `frames` is
    None unless `fixed_length`. `view(settings)` returns a function from an item's features
    (frames, ...) to what the network is given of them, before normalisation. `pretrained` names
    published weights for `train --init NAME`: the address of a file of torch. `shortest(settings)`
    is the frames up to which `forward` fills a shorter item up. `shorter(settings)` says whether
    a network of fixed length takes items of fewer frames as they are, by their `lengths`.

    Three more stages are for networks that learn in several. `prepare(module, settings, material)`
    fits what is learned before gradient descent, without labels; it is left out where `--init`
    brings the tensors whose names begin with one of `prepared`. A module with a method
    `objective(x, lengths, labels)` has a loss of its own: it returns the loss, logits
    (batch, classes) and a dictionary of the loss's terms, all of them tensors; labels int64
    (batch,) may be `targets.IGNORED`. Its `logits(x, lengths)` are what validation goes by. A
    module with nothing to train is not. `head(settings)` is the name of a model that is fitted
    whole, after training, and its settings: `forward` of a batch of one item then gives not logits
    but rows (rows, columns) for it, and an item's posterior is what `poll(settings)` makes of
    those of its rows (rows, classes).
    """

    name: str
    summary: str
    Settings: type
    build: Callable[[Any, int | None, tuple[int, ...], int], nn.Module]
    defaults: Callable[[Any], Hyperparameters]
    heads: Callable[[Any], tuple[Head, ...]] = label_only
    view: Callable[[Any], Callable[[np.ndarray], np.ndarray]] = whole_item
    fixed_length: bool = False
    pictures: bool = False
    pretrained: Mapping[str, str] = field(default_factory=dict)
    shortest: Callable[[Any], int] = any_length
    shorter: Callable[[Any], bool] = never
    prepare: Callable[[nn.Module, Any, Material], None] | None = None
    prepared: tuple[str, ...] = ()
    head: Callable[[Any], tuple[str, dict[str, Any]] | None] = no_head
    poll: Callable[[Any], Callable[[np.ndarray], np.ndarray]] = mean_of_rows


@dataclass(frozen=True)
class Whole:
    """A model fitted in one go to a row of numbers an item; it needs no more of the features.

    `columns(features, settings)` returns the row (columns,) of an item's features (frames, ...).
    `fit(rows, targets, n_classes, settings, weights, groups)` takes float64 rows (items, columns),
    class indices (items,), a weight a class (n_classes,) and int64 groups (items,), and returns
    named arrays. A group is what folds within the training part keep whole: a speaker's items, or
    those of a recording (see `training.baselines.groups`).
    `posterior(arrays, rows)` returns (items, n_classes) float64, rows summing to 1.
    `needs` names a package beyond NumPy that `fit` imports. `describe(arrays)` says in one line
    what `fit` chose, where it chooses.
    """

    name: str
    summary: str
    Settings: type
    columns: Callable[[np.ndarray, Any], np.ndarray]
    fit: Callable[[np.ndarray, np.ndarray, int, Any, np.ndarray, np.ndarray], dict[str, np.ndarray]]
    posterior: Callable[[dict[str, np.ndarray], np.ndarray], np.ndarray]
    needs: str | None = None
    describe: Callable[[dict[str, np.ndarray]], str] | None = None


def model(name: str) -> Network | Whole:
    """Return a model by name, importing its module only now; UsageError lists the known names."""
    from sertool.core.plugins import lookup

    found: Network | Whole = lookup(MODELS, GROUP, name)
    return found
