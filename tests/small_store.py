"""A small store for tests of training: speakers, folds, classes and copies, random features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from made_stores import write_store

from sertool.items import Item

LABELS = ("anger", "calm", "joy")


def items(
    speakers: int = 6, each: int = 6, copies: int = 1, labels: tuple[str, ...] = LABELS
) -> list[Item]:
    """Return the items of `speakers` speakers, two a fold, every second one female."""
    rows = []
    for s in range(speakers):
        for k in range(each):
            row = {
                "id": f"c/s{s}/{k}",
                "origin": f"c/s{s}/{k}",
                "path": f"/nowhere/s{s}-{k}.wav",
                "corpus": "c",
                "speaker": f"s{s}",
                "gender": "female" if s % 2 else "male",
                "session": None,
                "text": f"t{k % 2}",
                "label": labels[k % len(labels)],
                "fold": s // 2,
                "part": None,
                "intensity": "strong" if k % 2 else "normal",
                "augmentation": "",
            }
            rows.append(Item.from_row(row))
            for c in range(1, copies + 1):
                changes = {"id": f"{row['id']}~{c}", "augmentation": f'{{"awgn":{c}}}'}
                rows.append(Item.from_row(row | changes))
    return rows


def features(
    rows: list[Item], frames: int = 40, dims: int = 4, ragged: bool = False
) -> list[np.ndarray]:
    """Return random features (frames, dims) that tell the class a little; seeded by position."""
    arrays = []
    for i, row in enumerate(rows):
        random = np.random.default_rng(i)
        n = frames + int(random.integers(0, 9)) if ragged else frames
        array = random.standard_normal((n, dims)).astype(np.float32) * 2 + 5
        array[:, hash_label(row.label) % dims] += 1.0
        arrays.append(array)
    return arrays


def hash_label(label: str | None) -> int:
    """Return a small number for a label, the same in every process."""
    return sum((label or "").encode())


def make(path: Path, rows: list[Item] | None = None, **shape: Any) -> Path:
    """Write the store and return its path."""
    rows = items() if rows is None else rows
    write_store(path, features(rows, **shape), rows, kind="mel")
    return path
