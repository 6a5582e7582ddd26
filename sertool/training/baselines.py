"""Tabular models: their rows, read from the store once, and the baselines."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Sequence

import numpy as np

from sertool.core.errors import InputError, UsageError
from sertool.core.paths import show
from sertool.formats.store import Store
from sertool.items import Item
from sertool.models import (
    BASELINES,
    NUMBER_BASELINES,
    Regressor,
    Tabular,
    layer_choice,
    regressor,
    tabular,
)
from sertool.targets import Numbers, Target
from sertool.ui.console import Console


class Columns:
    """One row of numbers per item for tabular models: all that is ever held of a store.

    Rows are made when they are first asked for and then kept for the folds to come, a set for
    each model and its settings.
    """

    def __init__(self, store: Store, console: Console) -> None:
        self._store, self._console = store, console
        self._rows: dict[tuple[str, str], np.ndarray] = {}
        self._known: dict[tuple[str, str], np.ndarray] = {}

    def rows(self, model: Tabular | Regressor, positions: Sequence[int]) -> np.ndarray:
        """Return (positions, columns) float64, or (positions, layers, columns) to choose among.

        Raises InputError for features that are not finite.
        """
        index = np.asarray(positions, np.int64)
        key = (model.name, repr(model.settings))
        if key not in self._rows:
            first = self._row(model, int(index[0]))
            self._rows[key] = np.zeros((len(self._store), *first.shape), first.dtype)
            self._known[key] = np.zeros(len(self._store), bool)
        rows, known = self._rows[key], self._known[key]
        missing = index[~known[index]]
        if rows.shape[-1] and len(missing):
            with self._console.progress(len(missing), f"rows for {model.name}") as progress:
                for i in missing.tolist():
                    rows[i] = self._row(model, i)
                    progress.advance()
        known[missing] = True
        return rows[index]

    def _row(self, model: Tabular | Regressor, i: int) -> np.ndarray:
        try:
            held = layer_choice.takes(self._store.dtype.itemsize)
            self._store.check_room([i], held, f" in {model.name}")
            row = layer_choice.row(model, self._store.features(i))
        except OSError as error:
            raise InputError(f"{show(self._store.path)}: damaged; make it again") from error
        if not np.isfinite(row).all():
            name = show(self._store.items()[i].id)
            raise InputError(f"{name}: features that are not finite; featurize again")
        return row

    def items(self, positions: Sequence[int]) -> list[Item]:
        """Return the items at these positions, as the store has them."""
        items = self._store.items()
        return [items[i] for i in positions]


def groups(items: Sequence[Item], targets: np.ndarray) -> np.ndarray:
    """Return what folds within a training part keep whole, as an index per item: int64 (items,).

    A group is a speaker of a corpus, and for an item without one its recording (`origin`). Where
    that tells nothing apart, because there is one speaker or every class is one speaker's
    alone, each recording is a group. targets: (items,) class indices.
    """
    recordings = [(item.corpus or "", "", item.origin) for item in items]
    speakers = [
        (corpus, item.speaker, "") if item.speaker else (corpus, "", origin)
        for item, (corpus, _, origin) in zip(items, recordings, strict=True)
    ]
    speakers_of: dict[int, set[tuple[str, str, str]]] = {}
    for target, speaker in zip(targets.tolist(), speakers, strict=True):
        speakers_of.setdefault(target, set()).add(speaker)
    alone = all(len(them) == 1 for them in speakers_of.values())
    named = recordings if alone else speakers
    number = {name: i for i, name in enumerate(sorted(set(named)))}
    return np.array([number[name] for name in named], np.int64)


def fit_tabular(
    model: Tabular,
    columns: Columns,
    train: Sequence[int],
    target: Target,
    across: bool = False,
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return (the model's arrays, what its solver warned of), fitted on the training positions.

    across: by `fit_across`, where the items are of several corpora.
    """
    rows = columns.rows(model, train)
    return fit_rows(model, rows, target, columns.items(train), train, across)


def fit_rows(
    model: Tabular,
    rows: np.ndarray,
    target: Target,
    items: Sequence[Item],
    positions: Sequence[int],
    across: bool = False,
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return (the model's arrays, what its solver warned of), fitted on rows (n, columns).

    items, positions: what each row is of, (n,), and its place among the target's indices.
    """
    indices = target.indices[np.asarray(positions, np.int64)]
    together = groups(items, indices)
    names, corpora = np.unique([item.corpus or "" for item in items], return_inverse=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if target.shares is not None:
            mine = target.shares[np.asarray(positions, np.int64)]
            arrays = layer_choice.fit_shares(model, rows, mine, target.class_weights, together)
        elif across and len(names) > 1:
            if rows.ndim == 3:
                raise UsageError("--across-corpora: name a layer of the features: --set layer=N")
            arrays = model.fit_across(rows, indices, len(target.classes), corpora)
        else:
            arrays = layer_choice.fit(
                model, rows, indices, len(target.classes), target.class_weights, together
            )
    odd = [str(w.message).splitlines()[0] for w in caught if "onverge" in str(w.message)]
    if across and len(names) < 2:
        odd.append(f"--across-corpora: {names[0] or 'one corpus'} alone trains, as without it")
    return arrays, odd


def fit_regressor(
    model: Regressor, columns: Columns, train: Sequence[int], target: Numbers
) -> dict[str, np.ndarray]:
    """Return the arrays of a model of numbers, fitted on the training positions."""
    return model.fit(columns.rows(model, train), target.values[np.asarray(train, np.int64)])


def fit_baselines(
    columns: Columns, train: Sequence[int], target: Target | Numbers, console: Console
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Return (tensors `baseline.NAME.*`, names) of the baselines that this installation can fit."""
    tensors: dict[str, np.ndarray] = {}
    fitted = []
    of_numbers = isinstance(target, Numbers)
    for name in NUMBER_BASELINES if of_numbers else BASELINES:
        model: Tabular | Regressor = regressor(name) if of_numbers else tabular(name)
        if model.needs and importlib.util.find_spec(model.needs) is None:
            console.note(f"no baseline {name}: {model.needs} is not installed")
            continue
        if isinstance(target, Numbers):
            assert isinstance(model, Regressor)
            arrays = fit_regressor(model, columns, train, target)
        else:
            assert isinstance(model, Tabular)
            arrays, odd = fit_tabular(model, columns, train, target)
            for text in odd:
                console.note(f"baseline {name}: {text}")
        tensors |= {f"baseline.{name}.{key}": value for key, value in arrays.items()}
        fitted.append(name)
    return tensors, fitted
