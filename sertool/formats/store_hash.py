"""What a store's checksum is made of: its attributes, its columns, and every item's frames."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

import numpy as np

from sertool.formats.lineage import canonical

READ_BYTES = 8 * 1024 * 1024  # read at once when hashing


def content_sha256(file: Any, features_sha256: str | None = None) -> str:
    """Return the checksum over attributes, features, offsets and columns.

    `features_sha256` is the digest of the features' bytes where the writer has it already.
    """
    digest = hashlib.sha256()
    names = sorted(set(file.attrs) - {"sha256"})
    header = {name: _plain(file.attrs[name]) for name in names}
    digest.update(canonical(header).encode("utf-8"))
    if features_sha256 is None:
        features_sha256 = _features_sha256(file["features"], file["offsets"][()])
    datasets = {"features": file["features"], "offsets": file["offsets"]}
    datasets |= {f"items/{name}": file["items"][name] for name in sorted(file["items"])}
    for name, data in datasets.items():
        known = features_sha256 if name == "features" else _dataset_sha256(data)
        digest.update(f"{name} {data.dtype.str} {list(data.shape)} {known}\n".encode())
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def frames_sha256(frames: np.ndarray) -> bytes:
    """Return the SHA-256 of contiguous frames, as `StoreWriter.end_item` takes it."""
    return hashlib.sha256(frames.reshape(-1).view(np.uint8).data).digest()


def _features_sha256(data: Any, offsets: np.ndarray) -> str:
    """Return the SHA-256 of the items' SHA-256s, reading no more than READ_BYTES at once."""
    digest = hashlib.sha256()
    rows = _rows(data)
    for start, end in itertools.pairwise(offsets.tolist()):
        item = hashlib.sha256()
        for first in range(start, end, rows):
            item.update(data[first : min(first + rows, end)].tobytes())
        digest.update(item.digest())
    return digest.hexdigest()


def _rows(data: Any) -> int:
    """Return how many rows of a dataset are READ_BYTES."""
    row = int(np.prod(data.shape[1:], dtype=np.int64)) * data.dtype.itemsize
    return max(1, READ_BYTES // max(1, row))


def _dataset_sha256(data: Any) -> str:
    """Return the SHA-256 of a dataset's bytes, read block by block through one buffer."""
    digest = hashlib.sha256()
    rows = _rows(data)
    for start in range(0, data.shape[0], rows):
        digest.update(data[start : start + rows].tobytes())
    return digest.hexdigest()
