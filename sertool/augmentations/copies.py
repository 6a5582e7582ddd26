"""Augmented copies of one item, for each family of augmentations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sertool.audio.waveform import FULL_SCALE, to_float, to_int16
from sertool.augmentations import Drawn, image, masks
from sertool.augmentations.warping import warp

AT_ONCE = 32  # copies resampled together: fast, and memory does not grow with their number
Randoms = Sequence[np.random.Generator]
Copy = tuple[np.ndarray, Drawn, list[str]]  # features, what was drawn by name, notes


def of_item(
    family: str, features: np.ndarray, rate: int, parts: Mapping[str, Any], randoms: Randoms
) -> Iterator[Copy]:
    """Yield a copy of an item of a store for each generator; `rate` is the store's, in Hz.

    Notes: "no_noise" (silence has no ratio to noise), "clipped" (samples cut off at full scale).
    """
    if family == "wave":
        return of_waveform(features, rate, parts, randoms)
    if family == "image":
        return of_pictures(features, parts, randoms)
    return of_frames(features, parts, randoms)


def of_waveform(
    samples: np.ndarray, rate: int, parts: Mapping[str, Any], randoms: Randoms
) -> Iterator[Copy]:
    """Yield a copy of `samples` (n,) float or int16 for each generator, in their type.

    Where a copy does not fit int16, `clipped` counts the samples that were cut off: a ratio or a
    gain is then the one that was drawn, and no longer quite that of the sound.
    """
    clean = to_float(samples)
    for random in randoms:
        signal, drawn = clean, {}
        for name, part in parts.items():
            signal, drawn[name] = part(signal, rate, random)
        reports = [values for values in drawn.values() if isinstance(values, dict)]
        notes = ["no_noise"] if any(v.get("snr_db", 0) is None for v in reports) else []
        clipped = any(v.get("clipped") for v in reports)
        if samples.dtype == np.int16:
            lost = _beyond(signal)
            if lost:
                drawn["clipped"], clipped = lost, True
            signal = to_int16(signal)
        yield signal.astype(samples.dtype, copy=False), drawn, notes + ["clipped"] * clipped


def _beyond(signal: np.ndarray) -> int:
    """Return how many samples lie beyond what int16 holds, once rounded."""
    low, high = (-FULL_SCALE - 0.5) / FULL_SCALE, (FULL_SCALE - 0.5) / FULL_SCALE
    return int(np.count_nonzero((signal < low) | (signal > high)))


def of_pictures(pictures: np.ndarray, parts: Mapping[str, Any], randoms: Randoms) -> Iterator[Copy]:
    """Yield a copy of an item's `pictures` (n, height, width, channels) for each generator.

    All pictures of an item are changed alike.
    """
    n = len(pictures)
    for start in range(0, len(randoms), AT_ONCE):
        drawn = [image.draw(parts, random) for random in randoms[start : start + AT_ONCE]]
        repeated = np.broadcast_to(pictures, (len(drawn), *pictures.shape))
        maps = [one for one, _ in drawn for _ in range(n)]
        made = warp(repeated.reshape(-1, *pictures.shape[1:]), maps)
        for copy, (_, values) in zip(made.reshape(repeated.shape), drawn, strict=True):
            yield copy, values, []


def of_frames(features: np.ndarray, parts: Mapping[str, Any], randoms: Randoms) -> Iterator[Copy]:
    """Yield a copy of `features` (frames, dims) for each generator.

    What is hidden becomes the item's own mean of its dimension: nothing is known of other items.
    """
    fill = masks.own_mean(features)
    for random in randoms:
        yield *masks.masked(features, fill, parts, random), []
