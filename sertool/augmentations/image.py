"""Pictures shifted, zoomed and flipped: one bilinear resampling, each axis by itself.

The semantics are those of Keras's ImageDataGenerator (width_shift_range, height_shift_range,
zoom_range, horizontal_flip, fill_mode "nearest"), which FSER (Dossou & Gbenou 2021, section 3)
made its copies with: a zoom about the picture's centre, then a shift, and a flip at the end. The
centre is (size − 1) / 2, as Keras has it now; its releases up to 2020 took a point one pixel away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sertool.augmentations.ranges import fraction


@dataclass(frozen=True)
class Map:
    """Where a picture's pixels come from, for the vertical and the horizontal axis.

    Pixel p of an axis shows what the input holds at scale · (p − c) + shift · size + c, where
    c = (size − 1) / 2: a scale above 1 shows more of the picture, smaller.
    """

    scale: tuple[float, float] = (1.0, 1.0)
    shift: tuple[float, float] = (0.0, 0.0)

    def __matmul__(self, inner: Map) -> Map:
        """Return the map of a picture changed by this map and what came out of it by `inner`."""
        (sy, sx), (ty, tx) = self.scale, self.shift
        return Map(
            (sy * inner.scale[0], sx * inner.scale[1]),
            (ty + sy * inner.shift[0], tx + sx * inner.shift[1]),
        )


def warp(pictures: np.ndarray, maps: Sequence[Map]) -> np.ndarray:
    """Return `pictures` (n, height, width, channels), each resampled by its own map.

    Bilinear in float32; what lies outside is the nearest pixel of the edge. The type stays:
    whole numbers are rounded half to even.
    """
    n, height, width, channels = pictures.shape
    scale = np.array([m.scale for m in maps], np.float64).reshape(n, 2)
    shift = np.array([m.shift for m in maps], np.float64).reshape(n, 2)
    top, bottom, down = _between(height, scale[:, 0], shift[:, 0])
    left, right, along = _between(width, scale[:, 1], shift[:, 1])
    channel = np.arange(channels)
    # columns as places in a flat row (width · channels): one gather of numbers, no tiny copies
    left, right = ((x[:, :, None] * channels + channel).reshape(n, -1) for x in (left, right))
    along = np.repeat(along, channels, axis=1)
    out = np.empty((n, height, width * channels), pictures.dtype)
    whole = np.issubdtype(pictures.dtype, np.integer)
    for i in range(n):
        rows = pictures[i].reshape(height, -1).astype(np.float32)
        rows = _mix(rows.take(top[i], 0), rows.take(bottom[i], 0), down[i][:, None])
        rows = _mix(
            rows.take(left[i], 1, mode="clip"), rows.take(right[i], 1, mode="clip"), along[i]
        )
        out[i] = np.rint(rows, out=rows) if whole else rows
    return out.reshape(pictures.shape)


def _between(
    size: int, scale: np.ndarray, shift: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, (n, size) each, the two pixels that each output pixel lies between, and how far."""
    centre = (size - 1) / 2
    at = scale[:, None] * (np.arange(size) - centre) + (shift * size)[:, None] + centre
    np.clip(at, 0, size - 1, out=at)
    low = at.astype(np.intp)
    return low, np.minimum(low + 1, size - 1), (at - low).astype(np.float32)


def _mix(low: np.ndarray, high: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return low + weight · (high − low), in the memory of `high`."""
    high -= low
    high *= weight
    high += low
    return high


@dataclass(frozen=True)
class Shift:
    """A shift of each axis, uniform in −share to share of its size."""

    share: float

    def __post_init__(self) -> None:
        fraction("shift", self.share)

    help = "moved by -F to F of height and of width, uniform; the edge fills up (0 <= F < 1)"

    def __call__(self, random: np.random.Generator) -> tuple[Map, list[float]]:
        """Return the map and [vertical, horizontal] in fractions of height and width."""
        drawn = random.uniform(-self.share, self.share, 2).tolist()
        return Map(shift=(drawn[0], drawn[1])), drawn


@dataclass(frozen=True)
class Zoom:
    """Each axis scaled about the centre by a factor of its own, uniform in 1 − share to 1 + share.

    The factor is Keras's: above 1 the picture's content gets smaller.
    """

    share: float

    def __post_init__(self) -> None:
        fraction("zoom", self.share)

    help = "height and width scaled, each by its own factor, 1-F to 1+F, uniform (0 <= F < 1)"

    def __call__(self, random: np.random.Generator) -> tuple[Map, list[float]]:
        """Return the map and [vertical, horizontal] factors."""
        drawn = random.uniform(1 - self.share, 1 + self.share, 2).tolist()
        return Map(scale=(drawn[0], drawn[1])), drawn


@dataclass(frozen=True)
class Flip:
    """Left and right changed over, in one of two copies: time runs backwards there.

    FSER asks for it (section 3), though no voice is ever heard so.
    """

    help = "left and right changed over in every second copy: speech played backwards"

    def __call__(self, random: np.random.Generator) -> tuple[Map, bool]:
        """Return the map and whether it changes sides."""
        drawn = bool(random.random() < 0.5)
        return Map(scale=(1.0, -1.0 if drawn else 1.0)), drawn


def draw(parts: Mapping[str, Any], random: np.random.Generator) -> tuple[Map, dict[str, Any]]:
    """Return one map made of what all `parts` draw, in their order, and what they drew."""
    whole, drawn = Map(), {}
    for name, part in parts.items():
        one, drawn[name] = part(random)
        whole = whole @ one
    return whole, drawn
