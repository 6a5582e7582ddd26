"""Frames of an unpacked dataset, read from where its chunks lie in the file.

HDF5 takes some 0.1 ms for a slice, however short: many times what the bytes of an utterance take.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable
from typing import Any

import numpy as np


class ChunkFrames:
    """The rows of a chunked dataset in slices, as `dataset[start:stop]` gives them, and by items.

    offsets: (items + 1,); item i is the rows offsets[i]:offsets[i + 1]. It reads through the handle
    of an open file, and holds as long as that.
    """

    def __init__(self, descriptor: int, data: Any, offsets: np.ndarray) -> None:
        self._read: Callable[[Any, int], int] = functools.partial(os.preadv, descriptor)
        self._shape, self._dtype = data.shape[1:], data.dtype
        self._rows = data.chunks[0]
        self._size = int(np.prod(self._shape, dtype=np.int64)) * data.dtype.itemsize
        self._places = [-1] * -(-len(data) // self._rows)

        def place(info: Any) -> None:
            self._places[info.chunk_offset[0] // self._rows] = info.byte_offset

        data.id.chunk_iter(place)
        self._offsets, self._lengths = offsets, np.diff(offsets)
        self._items = self._items_at()

    @classmethod
    def of(cls, file: Any, data: Any, offsets: np.ndarray) -> ChunkFrames | None:
        """Return the frames of a dataset of an open file, None where they do not lie so in it."""
        plain = data.chunks is not None and data.chunks[1:] == data.shape[1:]
        if not plain or data.id.get_create_plist().get_nfilters() or file.driver != "sec2":
            return None
        if not hasattr(os, "preadv") or not hasattr(data.id, "chunk_iter"):
            return None
        return cls(file.id.get_vfd_handle(), data, offsets)

    def _items_at(self) -> np.ndarray:
        """Return where each item lies in the file (items,), -1 where not in one piece."""
        places = np.array([*self._places, -1], np.int64)  # one more, for no rows at the end
        on = places[1:] == places[:-1] + self._rows * self._size
        runs = np.concatenate(
            [[0], np.cumsum(~on)]
        )  # chunks of a run follow each other in the file
        starts, stops = self._offsets[:-1], self._offsets[1:]
        first = starts // self._rows
        last = np.maximum(first, (stops - 1) // self._rows)
        whole = (runs[first] == runs[last]) & (places[first] >= 0) & (stops > starts)
        found = places[first] + (starts - first * self._rows) * self._size
        return np.where(whole, found, -1)

    def item(self, i: int) -> np.ndarray:
        """Return the rows of an item; OSError where the file has not as many."""
        start, stop = self._offsets.item(i), self._offsets.item(i + 1)
        place = self._items.item(i)
        if place >= 0:
            found = np.empty((stop - start, *self._shape), self._dtype)
            if self._read([found], place) == found.nbytes:
                return found
        return self[start:stop]

    def items(self, chosen: np.ndarray) -> list[np.ndarray]:
        """Return the rows of items, together in one piece of memory; OSError as `item`."""
        places = self._items[chosen]
        edges = [0, *np.cumsum(self._lengths[chosen]).tolist()]
        found = np.empty((edges[-1], *self._shape), self._dtype)
        made = [found[a:b] for a, b in itertools.pairwise(edges)]
        apart = (places < 0).nonzero()[0].tolist()
        for k in apart:
            made[k][:] = self[self._offsets[chosen[k]] : self._offsets[chosen[k] + 1]]
        # no loop of ours: what Python adds to a call of the system shows
        into = [[m] for m in made]
        if apart:
            into = [one for one, place in zip(into, places.tolist(), strict=True) if place >= 0]
            places = places[places >= 0]
        read = sum(map(self._read, into, places.tolist()))
        if read < found.nbytes - sum(made[k].nbytes for k in apart):
            return [self[self._offsets[i] : self._offsets[i + 1]] for i in chosen.tolist()]
        return made

    def __getitem__(self, part: slice) -> np.ndarray:
        """Return the rows of a slice; OSError where the file has not as many."""
        start, stop = int(part.start), int(part.stop)
        found = np.empty((stop - start, *self._shape), self._dtype)
        view = found.reshape(-1).view(np.uint8).data
        while start < stop:
            chunk, row = divmod(start, self._rows)
            rows = min(stop - start, self._rows - row)
            wanted = view[: rows * self._size]
            if self._places[chunk] < 0:
                raise OSError("a chunk is missing")
            self._fill(wanted, self._places[chunk] + row * self._size)
            view, start = view[len(wanted) :], start + rows
        return found

    def _fill(self, view: memoryview, place: int) -> None:
        """Read bytes from a place in the file."""
        while view:
            n = self._read([view], place)
            if not n:
                raise OSError("the file is cut short")
            view, place = view[n:], place + n
