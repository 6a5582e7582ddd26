"""Augmented copies of one item, for each kind of store that can be augmented."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sertool.audio import to_float, to_int16
from sertool.augment import image

AT_ONCE = 32  # copies resampled together: fast, and memory does not grow with their number
Copy = tuple[np.ndarray, dict[str, Any]]  # features, and what was drawn by name


def of_waveform(
    samples: np.ndarray, parts: Mapping[str, Any], randoms: Sequence[np.random.Generator]
) -> Iterator[Copy]:
    """Yield a copy of `samples` (n,) float or int16 for each generator, in their type."""
    clean = to_float(samples)
    for random in randoms:
        signal, drawn = clean, {}
        for name, part in parts.items():
            signal, drawn[name] = part(signal, random)
        if samples.dtype == np.int16:
            signal = to_int16(signal)
        yield signal.astype(samples.dtype, copy=False), drawn


def of_pictures(
    pictures: np.ndarray, parts: Mapping[str, Any], randoms: Sequence[np.random.Generator]
) -> Iterator[Copy]:
    """Yield a copy of an item's `pictures` (n, height, width, channels) for each generator.

    All pictures of an item are changed alike.
    """
    n = len(pictures)
    for start in range(0, len(randoms), AT_ONCE):
        drawn = [image.draw(parts, random) for random in randoms[start : start + AT_ONCE]]
        repeated = np.broadcast_to(pictures, (len(drawn), *pictures.shape))
        maps = [one for one, _ in drawn for _ in range(n)]
        made = image.warp(repeated.reshape(-1, *pictures.shape[1:]), maps)
        yield from zip(made.reshape(repeated.shape), (values for _, values in drawn), strict=True)


COPIES = {"wave": of_waveform, "image": of_pictures}
