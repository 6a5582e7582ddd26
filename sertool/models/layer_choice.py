"""Features of several layers (kind `ssl`), and which of them a model of tables is fitted to.

An item is one frame (1, layers, dims), pooled over time. The layer is one that is named, or that
of the best held-out predictions within the training part: never chosen by what is tested.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from sertool import metrics
from sertool.core.errors import InputError
from sertool.core.settings import setting
from sertool.models import graphs
from sertool.models.contract import Regressor, Tabular
from sertool.models.inner_folds import inner_folds

if TYPE_CHECKING:
    from sertool.formats.onnx_graph import Graph

FOLDS = 3
BESIDE = 16  # bytes a number of an item while its row is made: float64, and its squared deviations
LAYER, SCORES = "layer", "layer_scores"  # arrays of a model that chose


@dataclass(frozen=True, kw_only=True)
class LayerSettings:
    """The setting of a model that is fitted to one layer of several."""

    layer: int | Literal["auto"] = setting(
        "auto",
        "of features of several layers (kind ssl): one by its number, or the one that inner folds"
        " of the training part choose",
        least=0,
    )


def takes(itemsize: int) -> float:
    """Return how often an item, of numbers of so many bytes, is in memory while `row` is made."""
    return 1 + BESIDE / itemsize


def row(model: Tabular | Regressor, features: np.ndarray) -> np.ndarray:
    """Return the row of an item for `fit`: (columns,), or (layers, columns) to choose among.

    A regressor is given the mean of the layers where it names none. Raises InputError for a layer
    that the features do not have.
    """
    if features.ndim != 3:
        return model.row(features)
    layers = features.shape[1]
    if not model.row(features[:, 0]).size:  # it looks at nothing
        return np.empty(0)
    pooled = features.mean(0, dtype=np.float64)
    layer = getattr(model.settings, "layer", None)
    if isinstance(layer, int):
        if layer >= layers:
            raise InputError(f"layer={layer}: these features have layers 0 to {layers - 1}")
        return np.asarray(pooled[layer])
    if isinstance(model, Regressor):
        return np.asarray(pooled.mean(0))
    return pooled.astype(features.dtype)  # no more memory than the store's for all of them


def row_graph(
    model: Tabular | Regressor,
    graph: Graph,
    given: graphs.Inputs,
    dims: Sequence[int],
    arrays: Mapping[str, np.ndarray],
) -> str:
    """Return what `row` makes of features in an ONNX graph: (rows, columns) of the layer chosen."""
    if len(dims) != 2:
        return model.row_graph(graph, graphs.Values(graph, given, dims))
    layer = getattr(model.settings, "layer", None)
    layer = int(arrays[LAYER][0]) if LAYER in arrays else layer
    layers, width = dims
    every = [layer] if isinstance(layer, int) else list(range(layers))
    pooled = graphs.Values(graph, given, [layers * width]).mean()
    pooled = graph.op("Reshape", pooled, graph.constant([-1, layers, width]))
    if LAYER in arrays:  # as they were kept while one was chosen
        pooled = graph.cast(graph.cast(pooled, "f4"), "f8")
    own = graph.op("Gather", pooled, graph.constant(every), axis=1)
    return graph.op("ReduceMean", own, graph.constant([1]), keepdims=0)


def fit(
    model: Tabular,
    rows: np.ndarray,
    targets: np.ndarray,
    n_classes: int,
    weights: np.ndarray,
    groups: np.ndarray,
) -> dict[str, np.ndarray]:
    """Return `model.fit` of rows (items, columns), or, of (items, layers, columns), of one layer.

    The layer is that of the highest UAR of held-out predictions: of the folds by which the model
    chooses anything else, or of FOLDS that keep groups whole; the middle one where the items are
    too few for folds. `layer` and `layer_scores` are arrays then.
    """
    if rows.ndim == 2:
        return model.fit(rows, targets, n_classes, weights, groups)
    layer, scores, found = _best(model, rows, targets, n_classes, weights, groups)
    if found is None:
        found = model.fit(rows[:, layer].astype(np.float64), targets, n_classes, weights, groups)
    return found | {LAYER: np.array([layer]), SCORES: scores}


def fit_shares(
    model: Tabular, rows: np.ndarray, shares: np.ndarray, weights: np.ndarray, groups: np.ndarray
) -> dict[str, np.ndarray]:
    """Return `model.fit_shares` likewise; the layer is chosen by each item's largest share."""
    if rows.ndim == 2:
        return model.fit_shares(rows, shares, weights, groups)
    layer, scores, _ = _best(model, rows, shares.argmax(1), shares.shape[1], weights, groups)
    found = model.fit_shares(rows[:, layer].astype(np.float64), shares, weights, groups)
    return found | {LAYER: np.array([layer]), SCORES: scores}


def _best(
    model: Tabular,
    rows: np.ndarray,
    targets: np.ndarray,
    n_classes: int,
    weights: np.ndarray,
    groups: np.ndarray,
) -> tuple[int, np.ndarray, dict[str, np.ndarray] | None]:
    """Return (layer, every layer's score, the model fitted to it if there is one)."""
    scores = np.zeros(rows.shape[1])
    best: tuple[float, int, dict[str, np.ndarray] | None] = (-1.0, rows.shape[1] // 2, None)
    for layer in range(rows.shape[1]):
        own = rows[:, layer].astype(np.float64)
        arrays = None
        score = _held_out(model, own, targets, n_classes, weights, groups)
        if score is None:
            arrays = model.fit(own, targets, n_classes, weights, groups)
            score = model.score(arrays)
        if score is None:
            break  # too few items: the middle one
        scores[layer] = score
        if score > best[0]:
            best = (score, layer, arrays)
    return best[1], scores, best[2]


def _held_out(
    model: Tabular,
    rows: np.ndarray,
    targets: np.ndarray,
    n_classes: int,
    weights: np.ndarray,
    groups: np.ndarray,
) -> float | None:
    """Return the UAR of rows (n, columns) by models that did not know their fold.

    None where the model has folds of its own for what it chooses, or the items are too few.
    """
    folds, _ = inner_folds(targets, groups, FOLDS)
    if model.chooses or folds is None:
        return None
    predicted = np.zeros(len(rows), np.int64)
    for fold in range(folds.max() + 1):
        inside, outside = folds != fold, folds == fold
        known, own = np.unique(targets[inside], return_inverse=True)
        arrays = model.fit(rows[inside], own, len(known), weights[known], groups[inside])
        predicted[outside] = known[model.posterior(arrays, rows[outside]).argmax(1)]
    return float(metrics.uar(metrics.confusion(targets, predicted, n_classes)))


def posterior(model: Tabular, arrays: Mapping[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Return `model.posterior` of rows that `row` made, by the layer that `fit` chose."""
    if rows.ndim == 3:
        rows = rows[:, int(arrays[LAYER][0])].astype(np.float64)
    return model.posterior(arrays, rows)


def describe(model: Tabular | Regressor, arrays: Mapping[str, np.ndarray]) -> str:
    """Return one line about what `fit` chose, the layer first."""
    own = model.describe(arrays)
    if LAYER not in arrays:
        return own
    layer, scores = int(arrays[LAYER][0]), arrays[SCORES]
    words = f"layer {layer} of 0 to {len(scores) - 1}"
    if scores.any():
        words += (
            f", by inner folds (UAR {100 * scores[layer]:.1f} %, the last {100 * scores[-1]:.1f} %)"
        )
    else:
        words += ", the middle one: too few items for inner folds"
    return "; ".join(filter(None, (words, own)))
