"""Batches read from a store: normalised, padded, in an order that depends on the seed alone."""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from sertool.core.errors import InputError
from sertool.core.paths import show
from sertool.core.seeds import rng
from sertool.formats.store import Store
from sertool.models.contract import Network
from sertool.models.hyperparameters import Hyperparameters
from sertool.models.statistics import Statistics

T = TypeVar("T")
Batch = tuple[np.ndarray, np.ndarray, np.ndarray]  # features, lengths, positions
ROOM = 2**29  # bytes of items kept in memory: 20 copies of 2100 pictures of 64 x 64 x 3
_END = object()


class Kept:
    """Arrays made once and kept, as far as `room` bytes go; what has no room is made again."""

    def __init__(self, room: int = ROOM) -> None:
        self.room = room
        self._arrays: dict[Hashable, np.ndarray] = {}

    def __contains__(self, key: Hashable) -> bool:
        return key in self._arrays

    def get(self, key: Hashable, make: Callable[[], np.ndarray]) -> np.ndarray:
        """Return the array called `key`, read-only where it is kept, else what `make` returns."""
        found = self._arrays.get(key)
        if found is not None:
            return found
        made = make()
        if made.nbytes <= self.room:
            self.room -= made.nbytes
            made.setflags(write=False)
            self._arrays[key] = made
        return made


@dataclass
class Source:
    """A store's items as a network sees them: the model's view of each, normalised.

    kept: what was read or viewed once, as epochs come back to it: a small item costs more to find
    in the file, and to view, than to train on.
    """

    store: Store
    view: Callable[[np.ndarray], np.ndarray]
    statistics: Statistics | None = None
    kept: Kept = field(default_factory=Kept)
    _fresh: dict[int, np.ndarray] = field(default_factory=dict)

    def fetch(self, positions: Sequence[int]) -> None:
        """Read what is wanted next of these items, and not kept, in one go."""
        places = dict.fromkeys(positions)
        wanted = [
            i for i in places if ("stored", i) not in self.kept and ("seen", i) not in self.kept
        ]
        with self._undamaged():
            self._fresh = dict(zip(wanted, self.store.batch(wanted), strict=True))

    def stored(self, i: int) -> np.ndarray:
        """Return the features of item `i` (frames, ...) as the store has them."""
        return self.kept.get(("stored", i), lambda: self.read(i))

    def read(self, i: int) -> np.ndarray:
        """Return the features of item `i` (frames, ...) from the store; InputError if damaged."""
        fresh = self._fresh.pop(i, None)
        if fresh is not None:
            return fresh
        with self._undamaged():
            return self.store.features(i)

    @contextlib.contextmanager
    def _undamaged(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(f"{show(self.store.path)}: damaged; make it again") from error

    def seen(self, i: int) -> np.ndarray:
        """Return the view of item `i` (frames, ...) before normalisation."""
        if getattr(self.view, "__func__", None) is Network.view:
            return self.stored(i)  # as it is: one array to keep, not two
        return self.kept.get(("seen", i), lambda: self.view(self.read(i)))

    def batch(self, positions: Sequence[int]) -> Batch:
        """Return features (batch, frames, ...) float32 padded with zeros, lengths, positions."""
        self.fetch(positions)
        return self.collate(map(self.seen, positions), positions)

    def collate(self, views: Iterable[np.ndarray], positions: Sequence[int]) -> Batch:
        """Return a batch of views, normalised here, that belong to the items at `positions`."""
        return self.pad([self.normalised(view) for view in views], positions)

    def normalised(self, view: np.ndarray) -> np.ndarray:
        """Return a view (frames, ...) normalised, float32, in memory of its own."""
        assert self.statistics is not None
        return self.statistics.apply(view)

    def pad(self, items: Sequence[np.ndarray], positions: Sequence[int]) -> Batch:
        """Return a batch of items that are normalised already."""
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


def frame_limit(hp: Hyperparameters, lengths: np.ndarray) -> int | None:
    """Return how many frames a batch may hold, padding counted in; None where nothing bounds it.

    lengths: (n,), the frames of the training part's items.
    """
    if hp.batch_by != "frames":
        return None
    return hp.batch_frames or max(1, round(hp.batch_size * float(np.median(lengths))))


def plan_by_length(
    positions: Sequence[int], lengths: np.ndarray, hp: Hyperparameters, seed: int, epoch: int
) -> list[list[int]]:
    """Return the batches of an epoch, of items of like length (see `Hyperparameters.batch_by`).

    lengths: (n,), the frames of each position, before padding. The items are sorted by length, cut
    into batches, and the order of the batches is drawn: Ma et al. (2018, section 4.1). Ours are
    the noise, equal lengths in random order, and the end of a batch before it pads too much. All
    is drawn from (seed, epoch). No batch is of one item where it can be helped: one that is left
    over takes its neighbour along. By frames, an item of more than half the limit goes alone.
    """
    random = rng(seed, "buckets", epoch)
    shuffled = random.permutation(len(positions))
    off = 1 + hp.bucket_noise * random.uniform(-1, 1, len(positions))
    order = shuffled[np.argsort((lengths * off)[shuffled], kind="stable")]
    most = frame_limit(hp, lengths)
    buckets = _buckets(lengths[order].tolist(), hp.batch_size, most, hp.bucket_padding)
    places = np.asarray(positions, np.int64)[order]
    batches = [sorted(places[first:last].tolist()) for first, last in buckets]
    return [batches[i] for i in random.permutation(len(batches))]


def _buckets(
    lengths: list[int], size: int, most: int | None, padding: float
) -> list[tuple[int, int]]:
    """Return where the batches of items in this order begin and end.

    A batch is full with `size` items or, where there is one, at `most` padded frames.
    """
    starts = [0]
    longest = total = 0
    for i, length in enumerate(lengths):
        number = i - starts[-1] + 1
        area = number * max(longest, length)
        full = number > size if most is None else area > most
        loose = number > 2 and area - (total + length) > padding * area
        if number > 1 and (full or loose):
            starts.append(i)
            longest = total = 0
        longest, total = max(longest, length), total + length
    edges = [*starts, len(lengths)]
    if most is not None or size > 1:
        edges = _pair(edges, lengths, most)
    return list(itertools.pairwise(edges))


def _pair(edges: list[int], lengths: list[int], most: int | None) -> list[int]:
    """Return the edges of batches moved so that none is of one item, where `most` allows it.

    A batch of one takes the last item of the batch before it, and so does every pair on the way
    to a larger batch; where there is none, it joins the pair before it.
    """

    def fits(first: int, last: int) -> bool:
        return most is None or (last - first) * max(lengths[first:last]) <= most

    for k in range(1, len(edges) - 1):
        if edges[k + 1] - edges[k] > 1:
            continue
        giver = k - 1
        while giver >= 0 and edges[giver + 1] - edges[giver] == 2:
            giver -= 1
        moved = range(giver + 1, k + 1)
        large = giver >= 0 and edges[giver + 1] - edges[giver] > 2
        if large and all(fits(edges[j] - 1, edges[j] + 1) for j in moved):
            for j in moved:
                edges[j] -= 1
        elif fits(edges[k - 1], edges[k + 1]):
            edges[k] = edges[k - 1]  # an empty batch, taken out below
    return sorted(set(edges))


def plan_epoch(
    positions: Sequence[int],
    lengths: np.ndarray,
    hp: Hyperparameters,
    seed: int,
    epoch: int,
    recordings: Sequence[str] | None = None,
) -> list[list[int]]:
    """Return the batches of an epoch as `hp.batch_by` asks.

    lengths: (n,), the frames of each position. recordings: what each position is a piece of; then
    all pieces of a recording are in one batch, as if they were one item of all their frames.
    """
    if recordings is not None:
        pieces: dict[str, list[int]] = {}
        for k, name in enumerate(recordings):
            pieces.setdefault(name, []).append(k)
        members = list(pieces.values())
        whole = np.array([lengths[ks].sum() for ks in members])
        made = plan_epoch(range(len(members)), whole, hp, seed, epoch)
        return [sorted(positions[k] for i in batch for k in members[i]) for batch in made]
    if hp.batch_by == "count":
        return plan(positions, hp.batch_size, seed, epoch)
    return plan_by_length(positions, lengths, hp, seed, epoch)


def plan_validation(
    positions: Sequence[int],
    lengths: np.ndarray,
    hp: Hyperparameters,
    largest: int,
    most: int | None,
) -> list[list[int]]:
    """Return batches for validation: by `hp.batch_by`, nothing drawn, at most `largest` items.

    lengths: (n,), the frames of each position; most: what `frame_limit` says of the training part.
    """
    if hp.batch_by == "count":
        return in_order(positions, min(hp.batch_size, largest))
    order = np.argsort(lengths, kind="stable")
    limit = [(lengths[order]).tolist(), min(hp.batch_size, largest), most, hp.bucket_padding]
    places = np.asarray(positions, np.int64)[order]
    return [sorted(places[first:last].tolist()) for first, last in _buckets(*limit)]


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
