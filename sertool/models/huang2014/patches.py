"""Patches of whitened spectrograms, drawn evenly from recordings that are read one at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sertool.core.errors import InputError
from sertool.core.seeds import rng
from sertool.models.contract import Examples

BATCH = 256  # patches per step of an auto-encoder


@dataclass(frozen=True)
class Place:
    """A recording that patches are drawn from: item `i` of `examples`."""

    examples: Examples
    i: int

    @property
    def frames(self) -> int:
        """Frames of the recording."""
        return int(self.examples.lengths[self.i])


def places(train: Examples, unlabelled: Examples | None, share: float, seed: int) -> list[Place]:
    """Return a random `share` of the training part's items, at least one, and all unlabelled ones.

    The choice depends on the seed and the items' names, not on their order.
    """
    draws = [rng(seed, "patches", name).random() for name in train.names]
    wanted = max(1, round(share * len(draws)))
    chosen = [Place(train, int(i)) for i in np.sort(np.argsort(draws, kind="stable")[:wanted])]
    if unlabelled is not None:
        chosen += [Place(unlabelled, i) for i in range(len(unlabelled.lengths))]
    return chosen


def draw(
    chosen: Sequence[Place],
    length: int,
    most: int,
    see: Callable[[np.ndarray], np.ndarray],
    seed: int,
) -> np.ndarray:
    """Return at most `most` patches (n, length · dims) float32, row by row, of all there are.

    Every place in every recording is as likely. `see` makes a recording's frames (frames, dims)
    what patches are cut from. Each recording is read once. Memory: the patches. Raises InputError
    where every recording is shorter than a patch.
    """
    counts = np.array([max(0, place.frames - length + 1) for place in chosen])
    total = int(counts.sum())
    if not total:
        raise InputError(
            f"every recording is shorter than {length} frames: no kernels can be learned"
        )
    if total > most:
        wanted = np.sort(rng(seed, "places", length).choice(total, most, replace=False))
    else:
        wanted = np.arange(total)
    ends = np.cumsum(counts)
    cuts = np.searchsorted(wanted, np.concatenate([[0], ends]))
    patches: np.ndarray | None = None
    for place, count, end, first, last in zip(
        chosen, counts, ends, cuts[:-1], cuts[1:], strict=True
    ):
        if first == last:
            continue
        seen = see(place.examples.read(place.i))
        if patches is None:
            patches = np.empty((len(wanted), length * seen.shape[1]), np.float32)
        starts = wanted[first:last] - (end - count)
        index = starts[:, np.newaxis] + np.arange(length)
        patches[first:last] = seen[index].reshape(len(starts), -1)
    assert patches is not None
    return patches
