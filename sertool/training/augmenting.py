"""Changes of training items that are made as they are needed, and stored nowhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sertool import augmentations as augment
from sertool.augmentations import masks
from sertool.augmentations.image import Map, draw
from sertool.augmentations.warping import warp
from sertool.core.errors import InputError, UsageError
from sertool.core.seeds import rng
from sertool.items import Item
from sertool.models import Network
from sertool.models.statistics import FIXED
from sertool.training.batches import Batch, Source

if TYPE_CHECKING:
    from sertool.models import Model

WORDS = {"image": "picture", "frames": "item"}  # what is changed, for people


@dataclass(frozen=True)
class Augmenting:
    """What is done to training items.

    augmentations: by name, in their order. copies: an epoch goes over each original and this many
    copies of it, drawn as `augment` draws with `seed`: copy k from (seed, id, k). None: over each
    item once, never as it is; epoch e, counted from 1, takes copy e. family: what is changed,
    "image" or "frames".
    """

    augmentations: Mapping[str, Any]
    copies: int | None
    seed: int
    family: str = "image"

    @property
    def each(self) -> int:
        """The number of items that an epoch makes of one."""
        return 1 + (self.copies or 0)

    @property
    def steps(self) -> dict[str, list[Any]]:
        """What is done by name, every value with its default, as a lineage keeps it."""
        return {name: one.recorded for name, one in self.augmentations.items()}

    @property
    def sentence(self) -> str:
        """What is done, for people."""
        what, word = (
            "statistics and baselines are fitted to the items of the store",
            WORDS[self.family],
        )
        if self.copies is None:
            return f"each epoch changes every training {word} anew; {what}"
        return f"each epoch adds {self.copies} copies of every training {word}; {what}"

    def places(self, positions: Sequence[int]) -> list[int]:
        """Return a number for every item of an epoch, in the order of a store with copies.

        Copy k of the item at position i (0: the original) has the number i · each + k.
        """
        return [i * self.each + k for i in positions for k in range(self.each)]

    def batch(self, source: Source, epoch: int, places: Sequence[int]) -> Batch:
        """Return the items at `places`, as `Source.batch` does, and their positions.

        A picture is an item of its own. epoch: counted from 0.
        """
        items = source.store.items()
        pairs = [divmod(place, self.each) for place in places]
        drawn = [(i, items[i].id, epoch + 1 if self.copies is None else k) for i, k in pairs]
        positions = [i for i, _ in pairs]
        if self.family == "frames":
            source.fetch(positions)
            return source.pad([self._frames(source, *one) for one in drawn], positions)
        views = [source.view(self._picture(source, *one)) for one in drawn]
        return source.collate(views, positions)

    def _picture(self, source: Source, i: int, name: str, k: int) -> np.ndarray:
        """Return copy `k` of the picture `i`, called `name`; kept where epochs share copies."""

        def make() -> np.ndarray:
            return warp(source.stored(i), [self._map(name, k)])

        return make() if self.copies is None else source.kept.get((i, k), make)

    def _map(self, name: str, k: int) -> Map:
        """Return what is done to the item called `name` for its copy `k`: nothing for 0."""
        return draw(self.augmentations, rng(self.seed, name, k))[0] if k else Map()

    def _frames(self, source: Source, i: int, name: str, k: int) -> np.ndarray:
        """Return item `i`, called `name`, normalised; changed for a copy `k` above 0.

        Masks come last: what is hidden is the mean of the training part, 0 by then. Where nothing
        is fitted it is that of the item.
        """
        features = source.seen(i)
        if not k:
            return source.normalised(features)
        random = rng(self.seed, name, k)
        kinds: dict[bool, dict[str, Any]] = {True: {}, False: {}}
        for key, one in self.augmentations.items():
            kinds[one.hides][key] = one
        nothing = np.zeros(features.shape[1], features.dtype)  # is hidden by these
        features, _ = masks.masked(features, nothing, kinds[False], random)
        features = source.normalised(features)
        assert source.statistics is not None
        fitted = source.statistics.normalisation not in FIXED
        fill = np.zeros(features.shape[1], np.float32) if fitted else masks.own_mean(features)
        return masks.masked(features, fill, kinds[True], random)[0]


def make(
    model: Model,
    items: Sequence[Item],
    steps: augment.Steps,
    copies: int | None,
    seed: int,
) -> Augmenting | None:
    """Return what `train --augment` and `--copies` ask for; None where they ask for nothing.

    Raises UsageError for augmentations of something else than the model is given, or a tabular
    model; InputError where `items` hold copies already, unless they are only masked.
    """
    if not steps:
        if copies is not None:
            raise UsageError(
                "--copies: needs --augment, e.g. shift=0.1,zoom=0.1,flip or time-mask=40:2"
            )
        return None
    if not isinstance(model, Network):
        raise UsageError(
            f"--augment: {model.name} is fitted in one step, to the items as they are;"
            " sertool augment makes copies"
        )
    family = "image" if model.pictures else "frames"
    augmentations = augment.parts(family, steps)
    if (family == "image" or copies) and any(item.augmentation for item in items):
        raise InputError(
            "--augment: the store holds copies already; leave it out, or train on the store that"
            " they were made from"
        )
    return Augmenting(augmentations, copies, seed, family)


def described(
    augmenting: Augmenting | None,
    n_train: int,
    before: Mapping[str, Any] | None,
    mixup: float = 0.0,
) -> dict[str, Any] | None:
    """Return what a checkpoint keeps of how its items were changed, None for not at all.

    `steps` and `copies` as they were asked for; `added`, how many copies an epoch has beside the
    `n_train` originals, which are all that it lists; `mixup`, where items were mixed. before: the
    same of the checkpoint that training started from; weights stay those of changed items.
    """
    made = dict(before) | {"added": 0} if before else None
    if augmenting is not None:
        copies = augmenting.copies
        made = {"steps": augmenting.steps, "copies": copies, "added": n_train * (copies or 0)}
    if mixup:
        made = (made or {"steps": {}, "copies": None, "added": 0}) | {"mixup": mixup}
    return made
