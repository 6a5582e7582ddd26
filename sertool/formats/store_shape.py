"""What must hold of an HDF5 file before a store is read from it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from sertool.core.paths import show
from sertool.formats import shape

JSON: dict[str, shape.Shape] = {
    "settings": shape.TABLE,
    "pipeline": shape.PIPELINE,
    "classes": shape.Listed(shape.NAME),
    "lineage": shape.LINEAGE,
}
COLUMNS = {"start": "f", "end": "f", "fold": "i"}  # kinds of NumPy's types; of other fields "S"
FURTHER = "Sfiu"  # of what is no field of the house
FEATURES = "fiu"


def attributes(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a store's root attributes as the types that they have; ValueError where not."""
    made: dict[str, Any] = {}
    for name in ("kind", "root", "sha256", *JSON):
        if not isinstance(found.get(name), str):
            raise ValueError(f"its attribute {name} is no text")
        made[name] = found[name]
    for name, wanted in JSON.items():
        try:
            made[name] = json.loads(made[name])
            json.dumps(made[name], allow_nan=False)
            shape.check(made[name], wanted)
        except (ValueError, RecursionError) as error:
            why = "no JSON" if isinstance(error, json.JSONDecodeError | RecursionError) else error
            raise ValueError(f"its attribute {name} is damaged: {why}") from error
    for name in ("sample_rate", "frame_rate"):
        value = found.get(name)
        if not isinstance(value, int | float | np.integer | np.floating):
            raise ValueError(f"its attribute {name} is no number")
        if not 0 <= value < shape.MOST or math.isnan(value):
            raise ValueError(f"its attribute {name} is {value:g}")
    made["sample_rate"] = int(found["sample_rate"])
    made["frame_rate"] = float(found["frame_rate"])
    if made["sample_rate"] < 1:
        raise ValueError("its attribute sample_rate is 0")
    return made


def content(file: Any, fields: tuple[str, ...]) -> np.ndarray:
    """Return the offsets of an open file; ValueError where its datasets are not those of a store.

    fields: columns that every store has.
    """
    features, offsets = (_dataset(file, name) for name in ("features", "offsets"))
    if offsets.dtype.kind != "i" or offsets.ndim != 1 or not len(offsets):
        raise ValueError("its offsets are no list of whole numbers")
    if features.dtype.kind not in FEATURES or not features.ndim:
        raise ValueError("its features are no numbers")
    edges: np.ndarray = offsets[()]
    if edges[0] != 0 or (np.diff(edges) < 0).any() or edges[-1] != len(features):
        raise ValueError("its offsets are not those of its features")
    if not _stored(features):
        raise ValueError("it lacks features that it says it has")
    items = file.get("items")
    if not hasattr(items, "keys"):
        raise ValueError("it has no items")
    lacking = [name for name in fields if name not in items]
    if lacking:
        raise ValueError(f"it lacks the column {lacking[0]}")
    for name in items:
        column = _dataset(file, f"items/{name}")
        allowed = COLUMNS.get(name, "S" if name in fields else FURTHER)
        if column.shape != (len(edges) - 1,) or column.dtype.kind not in allowed:
            raise ValueError(f"its column {show(name)} is not one value an item")
    return edges


def _dataset(file: Any, name: str) -> Any:
    found = file.get(name)
    if getattr(found, "shape", None) is None:  # missing, a group, or empty
        raise ValueError(f"it lacks {show(name)}")
    return found


def _stored(features: Any) -> bool:
    """Return whether the file holds what the shape of a dataset claims, chunk by chunk."""
    if not features.size:
        return True
    if features.chunks is None:
        return bool(features.id.get_storage_size() >= features.nbytes)
    sides = zip(features.shape, features.chunks, strict=True)
    wanted = math.prod(-(-whole // part) for whole, part in sides)
    return bool(features.id.get_num_chunks() >= wanted)
