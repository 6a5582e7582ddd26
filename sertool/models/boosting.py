"""Gradient boosting: trees that each mend what those before them missed (Friedman 2001).

Fitted by scikit-learn's HistGradientBoostingClassifier, kept as arrays of nodes, and computed from
them by NumPy alone: no pickle, and no scikit-learn to predict with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sertool.core import workers
from sertool.core.errors import InputError
from sertool.core.settings import setting
from sertool.models.contract import Tabular
from sertool.models.inner_folds import candidates, fit_temperature, inner_folds, rates, said
from sertool.models.layer_choice import LayerSettings
from sertool.models.linear import mean_and_sd, softmax

NODES = ("feature", "threshold", "left", "right", "value")
ROWS = 256  # computed at a time, which bounds memory
BINS = 31  # that a column's values are sorted into: time is spent on them, and there are few rows


@dataclass(frozen=True)
class BoostingSettings(LayerSettings):
    """Settings of gradient boosting."""

    leaves: int | tuple[int, ...] = setting(
        6, "leaves of a tree; the inner folds choose among several", least=2
    )
    trees: int = setting(
        100, "most trees of a class; the inner folds choose how many of them", least=1
    )
    rate: float = setting(0.1, "learning rate: the share of a tree's correction", above=0, most=1)
    samples: int = setting(10, "training items of a leaf, at least", "items", least=1)
    penalty: float = setting(1.0, "squared penalty on a leaf's value", least=0)
    folds: int = setting(
        3, "inner folds of the training part, which keep speakers together", "folds", least=2
    )
    search: Literal["uar", "accuracy"] = setting("uar", "what the inner folds choose by")

    def __post_init__(self) -> None:
        if not candidates(self.leaves):
            raise ValueError("leaves needs a number of 2 or more, or several")


class Boosting(Tabular):
    """Gradient-boosted trees on the columns of `linear`, their posteriors tempered."""

    name = "boosting"
    summary = "gradient-boosted trees on mean and standard deviation over time of each dimension"
    needs = "sklearn"
    class_weights = "balanced"
    chooses = True
    Settings = BoostingSettings
    settings: BoostingSettings

    def row(self, features: np.ndarray) -> np.ndarray:
        """Return the columns of `linear`: (2 · dims,) float64."""
        return mean_and_sd(features)

    def fit(
        self,
        rows: np.ndarray,
        targets: np.ndarray,
        n_classes: int,
        weights: np.ndarray,
        groups: np.ndarray,
    ) -> dict[str, np.ndarray]:
        """Return the nodes of the trees, and what was chosen.

        Of the candidates (leaves, number of trees) the pair is taken whose held-out predictions of
        the inner folds, pooled, have the highest UAR or accuracy; of several such the fewest
        leaves, then trees. What was held out sets the temperature, by which all values are
        multiplied. With too few items for folds it is 1, and all trees are taken.

        Arrays: of all nodes, feature, left, right int32 (a leaf's left is itself), threshold and
        value float64; roots (trees, n_classes) int32; first (n_classes,), the logits before any
        tree; chosen (6,): leaves, trees, UAR or accuracy of the inner folds, how many they are, 1
        where groups are whole in them, and the temperature. Raises InputError for several
        candidates and too few items to choose by.
        """
        every = [int(n) for n in candidates(self.settings.leaves)]
        folds, whole = inner_folds(targets, groups, self.settings.folds)
        if len(every) > 1 and folds is None:
            raise InputError("boosting: too few items to choose by; give --set leaves=4")
        varied = np.flatnonzero(np.ptp(rows, axis=0) > 0)
        varied = varied if len(varied) else np.arange(1)  # of what does not vary nothing is learned
        rows = rows[:, varied]
        leaves, trees = every[0], self.settings.trees
        score, temperature, count = 0.0, 1.0, 0
        with workers.one_thread():
            if folds is not None:
                count = int(folds.max()) + 1
                decisions = self._held_out(rows, targets, folds, every, weights)
                scores = rates(decisions, targets, self.settings.search)
                best = np.unravel_index(int(scores.argmax()), scores.shape)
                leaves, trees, score = every[best[0]], int(best[1]) + 1, float(scores[best])
                temperature = fit_temperature(decisions[best], targets, weights)
            arrays = _nodes(self._trees(rows, targets, leaves, trees, weights))
        arrays["feature"] = varied.astype(np.int32)[arrays["feature"]]
        arrays["value"] *= temperature
        arrays["first"] *= temperature
        chosen = [leaves, len(arrays["roots"]), score, count, float(whole), temperature]
        return arrays | {"chosen": np.array(chosen, np.float64)}

    def _trees(
        self, rows: np.ndarray, targets: np.ndarray, leaves: int, trees: int, weights: np.ndarray
    ) -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier

        settings = self.settings
        return HistGradientBoostingClassifier(
            learning_rate=settings.rate,
            max_iter=trees,
            max_leaf_nodes=leaves,
            max_bins=BINS,
            min_samples_leaf=settings.samples,
            l2_regularization=settings.penalty,
            early_stopping=False,
            random_state=0,
        ).fit(rows, targets, sample_weight=weights[targets])

    def _held_out(
        self,
        rows: np.ndarray,
        targets: np.ndarray,
        folds: np.ndarray,
        every: list[int],
        weights: np.ndarray,
    ) -> np.ndarray:
        """Return the logits (leaves, trees, n, classes) by the trees that did not see an item's
        fold; -inf for a class that the training side lacks.
        """
        shape = len(every), self.settings.trees, len(rows), len(weights)
        decisions = np.full(shape, -np.inf)
        for fold in range(folds.max() + 1):
            inside, outside = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            known = np.unique(targets[inside])
            for i, leaves in enumerate(every):
                fitted = self._trees(
                    rows[inside], targets[inside], leaves, self.settings.trees, weights
                )
                for k, raw in enumerate(fitted.staged_decision_function(rows[outside])):
                    decisions[i, k][np.ix_(outside, known)] = _of_all(raw)
        return decisions

    def posterior(self, arrays: Mapping[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
        """Return softmax posteriors (n, n_classes) float64 of rows (n, columns), by NumPy alone."""
        feature, threshold, left, right, value = (arrays[name] for name in NODES)
        roots = arrays["roots"]
        logits = np.empty((len(rows), len(arrays["first"])))
        for first in range(0, len(rows), ROWS):
            block = rows[first : first + ROWS]
            place = np.broadcast_to(roots.ravel(), (len(block), roots.size))
            items = np.arange(len(block))[:, None]
            while True:
                below = block[items, feature[place]] <= threshold[place]
                following = np.where(below, left[place], right[place])
                if np.array_equal(following, place):
                    break
                place = following
            values = value[place].reshape(len(block), *roots.shape)
            logits[first : first + ROWS] = arrays["first"] + values.sum(1)
        return softmax(logits)

    def score(self, arrays: Mapping[str, np.ndarray]) -> float | None:
        """Return the UAR or accuracy of the inner folds, None where there were none."""
        return float(arrays["chosen"][2]) if arrays["chosen"][3] else None

    def describe(self, arrays: Mapping[str, np.ndarray]) -> str:
        """Return one line about what `fit` chose."""
        leaves, trees, score, folds, whole, _ = arrays["chosen"].tolist()
        return f"{trees:.0f} trees of {leaves:.0f} leaves; {said(score, folds, whole)}"


def _of_all(raw: np.ndarray) -> np.ndarray:
    """Return one logit per class (n, classes); of two classes scikit-learn gives the second's."""
    return np.stack([np.zeros_like(raw), raw], 1) if raw.ndim == 1 else raw


def _nodes(fitted: Any) -> dict[str, np.ndarray]:
    """Return the arrays of scikit-learn's trees; a leaf's children are the leaf itself."""
    parts: dict[str, list[np.ndarray]] = {name: [] for name in NODES}
    roots, count = [], 0
    for stage in fitted._predictors:
        for predictor in stage:
            nodes = predictor.nodes
            own = np.arange(count, count + len(nodes))
            leaf = nodes["is_leaf"].astype(bool)
            parts["feature"].append(np.where(leaf, 0, nodes["feature_idx"]))
            parts["threshold"].append(np.where(leaf, 0, nodes["num_threshold"]))
            parts["left"].append(np.where(leaf, own, count + nodes["left"]))
            parts["right"].append(np.where(leaf, own, count + nodes["right"]))
            parts["value"].append(nodes["value"])
            roots.append(count)
            count += len(nodes)
    floats = ("threshold", "value")
    arrays = {
        name: np.concatenate(found).astype(np.float64 if name in floats else np.int32)
        for name, found in parts.items()
    }
    first = np.ravel(fitted._baseline_prediction).astype(np.float64)
    table = np.array(roots, np.int32).reshape(len(fitted._predictors), -1)
    if len(first) == 1:  # of two classes scikit-learn has trees for the second's logit
        table, arrays = _with_nothing(table, arrays)
        first = np.concatenate([[0.0], first])
    return arrays | {"roots": table, "first": first}


def _with_nothing(
    roots: np.ndarray, arrays: dict[str, np.ndarray]
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return roots (trees, 2) and nodes where the first class has but a leaf of 0 every time."""
    empty = {"feature": 0, "threshold": 0, "left": 0, "right": 0, "value": 0}
    moved = {
        name: np.concatenate([np.array([empty[name]], found.dtype), found])
        for name, found in arrays.items()
    }
    for name in ("left", "right"):
        moved[name][1:] += 1
    return np.concatenate([np.zeros_like(roots), roots + 1], 1), moved
