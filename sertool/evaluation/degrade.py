"""Test items made again from their recordings, degraded on the way: noise, a narrow channel."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sertool.audio import waveform
from sertool.augmentations.noise import add_white_noise
from sertool.core import boxes
from sertool.core.boxes import Box, limits
from sertool.core.errors import InputError, ItemError, UsageError
from sertool.core.paths import from_text, show
from sertool.core.seeds import rng
from sertool.features.pipeline import Pipeline
from sertool.formats.store import Store
from sertool.items import Item


@dataclass(frozen=True)
class Degradation:
    """What is done to a decoded utterance before anything else.

    noise_snr: white Gaussian noise at exactly this signal-to-noise ratio, dB. channel_rate: a
    channel of this sample rate, Hz: down and up again. The noise comes first, as at a microphone
    before a telephone. Noise is drawn from (seed, utterance id).
    """

    noise_snr: float | None = None
    channel_rate: int | None = None
    seed: int = 0

    def __bool__(self) -> bool:
        return self.noise_snr is not None or self.channel_rate is not None

    def apply(self, samples: np.ndarray, rate: int, name: str) -> np.ndarray:
        """Return samples (n,) at `rate` degraded, float32 (n,); `name` is the utterance's id."""
        signal = waveform.to_float(samples)
        if self.noise_snr is not None:
            signal, _ = add_white_noise(signal, self.noise_snr, rng(self.seed, "noise-snr", name))
        if self.channel_rate is not None and self.channel_rate < rate:
            narrow = waveform.resample(signal, rate, self.channel_rate)
            signal = waveform.resample(narrow, self.channel_rate, rate)[: len(samples)]
        return signal


def degraded(
    store: Store, tested: Sequence[int], degradation: Degradation
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (index, array) for every tested item of `store`, from its degraded recording.

    An utterance is decoded once for all its segments. Raises InputError where a recording is not
    where the store says, is another than it was made from, or gives other items; UsageError for
    an augmented copy, which is not a recording.
    """
    pipeline = Pipeline.of_file(store.pipeline, show(store.path))
    items = store.items()
    wanted = set(tested)
    origins: dict[str, list[int]] = {}
    for i, item in enumerate(items):
        if not item.augmentation:
            origins.setdefault(item.origin, []).append(i)
        elif i in wanted:
            raise UsageError("--copies cannot be combined with a degradation: copies are not files")
    with closing(Box(limits(models=pipeline.encoded))) as box:
        for name, members in origins.items():
            if wanted.isdisjoint(members):
                continue
            apply = functools.partial(degradation.apply, name=name)
            item = items[members[0]]
            try:
                arrays = box.call(replayed, pipeline, item, store.root, show(store.path), apply)
            except ItemError as error:
                raise InputError(f"{show(item.path)}: {error}") from error
            if len(arrays) != len(members):
                raise InputError(
                    f"{show(name)}: its recording gives {len(arrays)} items, the store has"
                    f" {len(members)}"
                )
            yield from ((i, array) for i, array in zip(members, arrays, strict=True) if i in wanted)


def replayed(
    pipeline: Pipeline,
    item: Item,
    root: str,
    store: str,
    degrade: Callable[[np.ndarray, int], np.ndarray],
) -> list[np.ndarray]:
    """Return what a store holds of an utterance, its samples degraded after they are decoded.

    root, store: where the store's recordings are, and its name. degrade: of samples (n,) and their
    rate. Raises InputError where the recording is not there, or another than the store's.
    """
    path = Path(root) / from_text(item.path)
    try:
        with boxes.file():
            decoded = pipeline.decode(path, item.start, item.end)
            if item.audio_hash not in ("", decoded.audio_hash):
                raise InputError(f"{show(path)}: not the recording that {store} was made from")
            samples = degrade(decoded.samples, decoded.sample_rate)
            return pipeline.arrays(samples, decoded.sample_rate)
    except ItemError as error:
        raise InputError(f"{show(path)}: {error}; a degraded test needs the recordings") from error
