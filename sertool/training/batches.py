"""Batches read from a store: normalised, padded, in an order that depends on the seed alone."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from sertool.errors import InputError
from sertool.paths import show
from sertool.seeds import rng
from sertool.store import Store
from sertool.training.statistics import Statistics

T = TypeVar("T")
Batch = tuple[np.ndarray, np.ndarray, np.ndarray]  # features, lengths, positions
_END = object()


@dataclass
class Source:
    """A store's items as a network sees them: the model's view of each, normalised."""

    store: Store
    view: Callable[[np.ndarray], np.ndarray]
    statistics: Statistics | None = None

    def stored(self, i: int) -> np.ndarray:
        """Return the features of item `i` (frames, ...) as the store has them."""
        try:
            return self.store.features(i)
        except OSError as error:
            raise InputError(f"{show(self.store.path)}: damaged; make it again") from error

    def seen(self, i: int) -> np.ndarray:
        """Return the view of item `i` (frames, ...) before normalisation."""
        return self.view(self.stored(i))

    def batch(self, positions: Sequence[int]) -> Batch:
        """Return features (batch, frames, ...) float32 padded with zeros, lengths, positions."""
        return self.collate(map(self.seen, positions), positions)

    def collate(self, views: Iterable[np.ndarray], positions: Sequence[int]) -> Batch:
        """Return a batch of views, normalised here, that belong to the items at `positions`."""
        assert self.statistics is not None
        items = [self.statistics.apply(view) for view in views]
        lengths = np.array([len(item) for item in items], np.int64)
        x = np.zeros((len(items), int(lengths.max()), *items[0].shape[1:]), np.float32)
        for row, item in zip(x, items, strict=True):
            row[: len(item)] = item
        return x, lengths, np.asarray(positions, np.int64)


def plan(positions: Sequence[int], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """Return the batches of an epoch: drawn from (seed, epoch), ascending within each batch.

    A last batch of one item joins the batch before it: no variance can be taken of one.
    """
    order = rng(seed, "order", epoch).permutation(np.asarray(positions, np.int64))
    return [sorted(batch) for batch in _cut(order.tolist(), batch_size)]


def _cut(order: list[int], batch_size: int) -> list[list[int]]:
    batches = [order[at : at + batch_size] for at in range(0, len(order), batch_size)]
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [batches[-2] + batches[-1]]
    return batches


def in_order(positions: Sequence[int], batch_size: int) -> list[list[int]]:
    """Return batches of ascending positions, for validation."""
    ordered = sorted(positions)
    return [ordered[at : at + batch_size] for at in range(0, len(ordered), batch_size)]


def prefetch(batches: Iterable[T], ahead: int = 1) -> Iterator[T]:
    """Yield what `batches` yields, made in a second thread at most `ahead` + 1 of them early.

    The order stays; an exception in the thread is raised here. Leaving the loop ends the thread.
    """
    ready: queue.Queue[Any] = queue.Queue(maxsize=ahead)
    stop = threading.Event()

    def put(value: object) -> bool:
        while not stop.is_set():
            try:
                ready.put(value, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for batch in batches:
                if not put(batch):
                    return
            put(_END)
        except BaseException as error:
            put(error)

    thread = threading.Thread(target=work, name="prefetch", daemon=True)
    thread.start()
    try:
        while (value := ready.get()) is not _END:
            if isinstance(value, BaseException):
                raise value
            yield value
    finally:
        stop.set()
        thread.join()
