"""Where the shards of a store lie, and their features as one array; see `store_shards`."""

from __future__ import annotations

import contextlib
import os
import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sertool.core.errors import InputError
from sertool.core.paths import show
from sertool.core.shard import Shard
from sertool.core.texts import whole

INDEX = "index.h5"
NAME = re.compile(r"shard-(\d{5})-of-(\d{5})\.h5")
_NUMBERS = re.compile(r"[<>|]([fiu][1248])")  # types of features
_OPEN = 128  # shards of one store that are held open at most


class File(Protocol):
    """What is used of a shard: a `store.Store`."""

    sha256: str

    def frames(self, start: int, stop: int) -> np.ndarray:
        """Return frames by their positions."""

    def close(self) -> None:
        """Close the file."""


def file_name(shard: Shard) -> str:
    """Return what a shard's file is called.

    >>> file_name(Shard(2, 16))
    'shard-00002-of-00016.h5'
    """
    return f"shard-{shard.number:05}-of-{shard.of:05}.h5"


def is_sharded(path: Path) -> bool:
    """Return whether a path is a folder of shards."""
    return path.is_dir() and bool(shards_in(path) or (path / INDEX).is_file())


def shards_in(folder: Path) -> list[Shard]:
    """Return the shards that are there, in their order."""
    with contextlib.suppress(OSError):
        matches = filter(None, map(NAME.fullmatch, os.listdir(folder)))
        return sorted(
            (Shard(*map(int, match.groups())) for match in matches),
            key=lambda one: (one.of, one.number),
        )
    return []


def why_not(folder: Path) -> str:
    """Return why a folder without an index cannot be read as a store."""
    there = shards_in(folder)
    if not there:
        return "is a folder, not a store"
    if lacking := lacking_in(there):
        return f"{lacking}; run featurize or augment --shard for what is missing"
    return "its index is missing; repeat one of its shards with --resume"


def lacking_in(there: Sequence[Shard]) -> str:
    """Return which shards are missing, "" for none."""
    of = there[-1].of
    missing = sorted(set(range(1, of + 1)) - {one.number for one in there if one.of == of})
    few = ", ".join(map(str, missing[:8])) + ", …" * (len(missing) > 8)
    return f"lacks {len(missing)} of {of} shards: {few}" if missing else ""


def _sides(text: str) -> list[int]:
    """Return the shape of a frame from "40" or "64x64x3"; ValueError where the text is none."""
    found = [whole(side) or 0 for side in text.split("x")] if text else []
    if not all(found):
        raise ValueError("its features have no shape")
    return found


class Frames:
    """The features of all shards as one array of frames, read in slices.

    Stands in for the dataset `features`. A shard is opened, by `opened`, when it is first read.
    """

    def __init__(
        self, folder: Path, index: Any, total: int, opened: Callable[[Path], File]
    ) -> None:
        table, counts = index["shards"], index["shard_items"]
        self.attrs = {name: str(table.attrs[name]) for name in table.attrs}
        if table.ndim != 1 or table.dtype.kind != "S" or counts.dtype.kind != "i":
            raise ValueError("its table of shards is none")
        if not _NUMBERS.fullmatch(self.attrs["dtype"]):
            raise ValueError("its features are not numbers")
        self.compression = self.attrs["compression"]
        self.dtype = np.dtype(self.attrs["dtype"])
        self.shape: tuple[int, ...] = (total, *_sides(self.attrs["shape"]))
        self.shards = [value.decode("ascii") for value in table[()].tolist()]
        self._counts: np.ndarray = counts[()]
        self._folder, self._opened = folder, opened
        self._open: dict[int, File] = {}
        self._first: list[int] = []  # frame of each shard's first

    def begin(self, offsets: np.ndarray) -> None:
        """Take the items' offsets; ValueError where the shards do not have as many items.

        Raises InputError where a shard is missing.
        """
        counts, known = self._counts, len(self.shards)
        if counts.shape != (known,) or (counts < 0).any() or counts.sum() != len(offsets) - 1:
            raise ValueError("its shards do not match its items")
        self._first = offsets[np.concatenate([[0], np.cumsum(counts)])].tolist()
        there = [one for one in shards_in(self._folder) if one.of == known]
        if len(there) < known:
            lacking = lacking_in(there) or f"lacks its {known} shards"
            raise InputError(f"{show(self._folder)}: {lacking}; make them again")

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice) -> np.ndarray:
        """Return the frames of a slice; InputError for a foreign shard."""
        start, stop = int(part.start), min(int(part.stop), len(self))
        pieces = []
        while start < stop:
            number = bisect_right(self._first, start) - 1
            first, end = self._first[number], min(stop, self._first[number + 1])
            pieces.append(self._shard(number).frames(start - first, end - first))
            start = end
        if len(pieces) == 1:
            return pieces[0]
        return np.concatenate([np.empty((0, *self.shape[1:]), self.dtype), *pieces])

    def _shard(self, number: int) -> File:
        """Return a shard by its position, opened once; those opened first are closed for others."""
        found = self._open.get(number)
        if found is None:
            path = self._folder / file_name(Shard(number + 1, len(self.shards)))
            if not path.is_file():  # nor a folder, which would have an index of its own
                raise InputError(f"{show(path)}: no such file; make that shard again")
            found = self._opened(path)
            if found.sha256 != self.shards[number]:
                found.close()
                raise InputError(
                    f"{show(path)}: is not the shard that the index names; make it again, or repeat"
                    " one with --resume"
                )
            while len(self._open) >= _OPEN:
                self._open.pop(next(iter(self._open))).close()
            self._open[number] = found
        return found

    def close(self) -> None:
        """Close this process's handles."""
        for shard in self._open.values():
            shard.close()
        self._open.clear()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": {}}
