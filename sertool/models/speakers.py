"""Normalisation by speaker: features less the mean of their speaker's own recordings, over its sd.

It takes no labels, but it takes the other recordings of a test speaker, so that every report says
so (`NOTE`). One mean and one deviation per dimension, over all frames of all original recordings
that are at hand of a speaker: augmented copies are normalised by them, and not counted in. This
comes before everything else: the model's view of an item, `--normalisation`, a first stage.

Training and testing read a store through `speaker_store`; features that are made in another way, of
degraded recordings, go through `normalised`, and those of recordings without a store through
`evaluation.by_speaker`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sertool.core.errors import InputError
from sertool.core.paths import show
from sertool.items import Item
from sertool.models.statistics import Moments, Statistics, standard_deviation

if TYPE_CHECKING:
    from sertool.formats.checkpoint import Header

DECLARED = "speaker_normalisation"  # in a checkpoint's protocol, and so in a report's
NOTE = "each speaker normalised by his or her own recordings, unlabelled"
LISTED = 3  # items named in a message
Speaker = tuple[str, str]  # the corpus, and the name that is unique within it
Read = Callable[[Sequence[int]], Iterable[tuple[int, np.ndarray]]]  # positions -> with features


def declared(header: Header) -> bool:
    """Return whether a checkpoint was trained on features normalised by speaker."""
    return bool((header.protocol or {}).get(DECLARED))


def speaker_of(item: Item) -> Speaker | None:
    """Return an item's speaker, None where it is unknown."""
    return (item.corpus or "", item.speaker) if item.speaker else None


def check(items: Sequence[Item], positions: Iterable[int], path: Path) -> None:
    """Raise InputError where the speaker of an item that is used is unknown."""
    unknown = [show(items[i].id) for i in positions if speaker_of(items[i]) is None]
    if unknown:
        more = ", …" if len(unknown) > LISTED else ""
        raise InputError(
            f"{show(path)}: --speaker-normalisation needs to know who speaks, and {len(unknown)}"
            f" of the items used have no speaker ({', '.join(unknown[:LISTED])}{more})"
        )


def fit(arrays: Iterable[np.ndarray]) -> Statistics:
    """Return the statistics of one speaker's recordings, each (frames, dims), read once.

    Raises InputError for features that are not finite.
    """
    moments = Moments()
    for array in arrays:
        moments.add(array)
    return statistics_of(moments)


def statistics_of(moments: Moments) -> Statistics:
    """Return the statistics that all frames of a speaker add up to; InputError if not finite."""
    mean, variance = moments.mean, moments.variance()
    if not (np.isfinite(mean).all() and np.isfinite(variance).all()):
        raise InputError("features that are not finite; featurize again")
    sd = standard_deviation(variance, mean)
    return Statistics("feature", mean.astype(np.float32), sd.astype(np.float32))


def recordings(items: Sequence[Item]) -> dict[Speaker, list[int]]:
    """Return the positions of each speaker's original items; of copies where there is no other."""
    found: dict[Speaker, list[int]] = {}
    for original in (True, False):
        known = set(found)
        for i, item in enumerate(items):
            speaker = speaker_of(item)
            if speaker and speaker not in known and original == (not item.augmentation):
                found.setdefault(speaker, []).append(i)
    return found


def normalised(
    items: Sequence[Item], wanted: Sequence[int], read: Read
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (position, features normalised by speaker) of the wanted items, in `read`'s order.

    read: called twice for each speaker, once with all recordings, once with the wanted ones.
    """
    theirs: dict[Speaker | None, list[int]] = {}
    for i in wanted:
        theirs.setdefault(speaker_of(items[i]), []).append(i)
    of = recordings(items)
    for speaker, own in theirs.items():
        assert speaker is not None
        statistics = fit(array for _, array in read(of[speaker]))
        for i, array in read(own):
            yield i, statistics.apply(array)
