"""A whole store in one call, for tests and benchmarks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sertool.formats.outputs import atomic
from sertool.formats.store import StoreWriter
from sertool.items import Item


def write_store(
    path: Path,
    arrays: Iterable[np.ndarray],
    items: Iterable[Item | Mapping[str, Any]],
    *,
    kind: str = "mel",
    settings: dict[str, Any] | None = None,
    pipeline: list[dict[str, Any]] | None = None,
    sample_rate: int = 16000,
    frame_rate: float = 100.0,
    root: str = "",
    lineage: list[dict[str, Any]] | None = None,
    compress: str = "none",
) -> None:
    """Write a store of arrays (frames, …) of one dtype and their items, by fields or as Items."""
    arrays = list(arrays)
    with atomic(Path(path)) as temporary:
        temporary.unlink(missing_ok=True)
        writer = StoreWriter(temporary, arrays[0].shape[1:], str(arrays[0].dtype), compress)
        for array, item in zip(arrays, items, strict=True):
            row = item if isinstance(item, Item) else Item.from_row(item)
            writer.append(array, row if row.origin else row.replace(origin=row.id))
        stages = pipeline or [{"stage": "featurize", "kind": kind, "settings": settings or {}}]
        writer.finish(
            {"kind": kind, "settings": settings or {}, "pipeline": stages, "root": root}
            | {"sample_rate": sample_rate, "frame_rate": frame_rate, "lineage": lineage or []}
        )
