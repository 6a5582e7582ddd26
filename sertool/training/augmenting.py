"""Copies of training pictures that are made as they are needed, and stored nowhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sertool import augment
from sertool.augment.image import Map, draw, warp
from sertool.errors import InputError, UsageError
from sertool.seeds import rng
from sertool.training.batches import Batch, Source

if TYPE_CHECKING:
    from sertool.models import Network, Whole


@dataclass(frozen=True)
class Augmenting:
    """What is done to training pictures: `parts` are augmentations by name, in their order.

    copies: an epoch goes over each original and so many copies of it, the very ones that
    `augment` would store with `seed`: copy k draws from (seed, id, k). None: over each picture
    once, never as it is; epoch e, counted from 1, takes copy e.
    """

    parts: Mapping[str, Any]
    copies: int | None
    seed: int

    @property
    def each(self) -> int:
        """The number of pictures that an epoch makes of an item."""
        return 1 + (self.copies or 0)

    @property
    def sentence(self) -> str:
        """What is done, for people."""
        what = "statistics and baselines are fitted to the originals"
        if self.copies is None:
            return f"each epoch changes every training picture anew; {what}"
        return f"each epoch adds {self.copies} copies of every training picture; {what}"

    def places(self, positions: Sequence[int]) -> list[int]:
        """Return a number for every picture of an epoch, in the order of a store with copies.

        Picture k of the item at position i (0: the original) has the number i · each + k.
        """
        return [i * self.each + k for i in positions for k in range(self.each)]

    def batch(self, source: Source, epoch: int, places: Sequence[int]) -> Batch:
        """Return the pictures at `places`, as `Source.batch` does, and their items' positions.

        Each item is one picture. epoch: counted from 0.
        """
        items = source.store.items()
        pairs = [divmod(place, self.each) for place in places]
        maps = [
            self._map(items[i]["id"], epoch + 1 if self.copies is None else k) for i, k in pairs
        ]
        pictures = np.concatenate([source.stored(i) for i, _ in pairs])
        views = [source.view(picture[np.newaxis]) for picture in warp(pictures, maps)]
        return source.collate(views, [i for i, _ in pairs])

    def _map(self, name: str, k: int) -> Map:
        """Return what is done to the item called `name` for its copy `k`: nothing for 0."""
        return draw(self.parts, rng(self.seed, name, k))[0] if k else Map()


def prepare(
    found: Network | Whole,
    items: Sequence[Mapping[str, Any]],
    steps: augment.Steps,
    copies: int | None,
    seed: int,
) -> Augmenting | None:
    """Return what `train --augment` and `--copies` ask for; None where they ask for nothing.

    Raises UsageError for augmentations that are none of pictures or a model that is given none,
    InputError where `items` hold copies already.
    """
    if not steps:
        if copies is not None:
            raise UsageError("--copies: of what? --augment shift=0.1,zoom=0.1,flip makes some")
        return None
    parts = augment.parts("image", steps)
    if not getattr(found, "pictures", False):
        raise UsageError(
            f"--augment changes pictures, and {found.name} is given none;"
            " sertool augment makes copies of waveforms"
        )
    if any(item["augmentation"] for item in items):
        raise InputError(
            "--augment: the store holds copies already; leave it out, or train on the store that"
            " they were made of"
        )
    return Augmenting(parts, copies, seed)


def described(
    augmenting: Augmenting | None,
    steps: augment.Steps,
    n_train: int,
    before: Mapping[str, Any] | None,
) -> dict[str, Any] | None:
    """Return what a checkpoint keeps of how its pictures were changed, None for not at all.

    `steps` and `copies` as they were asked for; `added`, how many copies an epoch has beside the
    `n_train` originals, which are all that it lists. before: the same of the checkpoint that
    training started from; weights stay those of augmented pictures.
    """
    if augmenting is not None:
        made = {"steps": {name: list(steps[name]) for name in augmenting.parts}}
        return made | {"copies": augmenting.copies, "added": n_train * (augmenting.copies or 0)}
    return {**before, "added": 0} if before else None
