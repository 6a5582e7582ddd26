"""Augmentations of pictures: shifted, zoomed and flipped by one resampling, see `warping`.

The semantics are those of Keras's ImageDataGenerator (width_shift_range, height_shift_range,
zoom_range, horizontal_flip, fill_mode "nearest"), which FSER (Dossou & Gbenou 2021, section 3)
made its copies with: a zoom about the picture's centre, then a shift, and a flip at the end. The
centre is (size − 1) / 2, as Keras has it now; its releases up to 2020 took a point one pixel away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sertool.augmentations import Augmentation, Drawn, required

if TYPE_CHECKING:
    import numpy as np


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


@dataclass(frozen=True)
class Shift(Augmentation):
    """A shift of each axis, uniform in −share to share of its size."""

    share: float = required(
        "Shift by -F to F of the height and of the width; the edge's pixels fill the gap.",
        least=0,
        below=1,
        metavar="F",
    )

    def __call__(self, random: np.random.Generator) -> tuple[Map, list[float]]:
        """Return the map and [vertical, horizontal] in fractions of height and width."""
        drawn = random.uniform(-self.share, self.share, 2).tolist()
        return Map(shift=(drawn[0], drawn[1])), drawn


@dataclass(frozen=True)
class Zoom(Augmentation):
    """Each axis scaled about the centre by a factor of its own, uniform in 1 − share to 1 + share.

    The factor is Keras's: above 1 the picture's content gets smaller.
    """

    share: float = required(
        "Scale height and width, each by its own factor from 1-F to 1+F.",
        least=0,
        below=1,
        metavar="F",
    )

    def __call__(self, random: np.random.Generator) -> tuple[Map, list[float]]:
        """Return the map and [vertical, horizontal] factors."""
        drawn = random.uniform(1 - self.share, 1 + self.share, 2).tolist()
        return Map(scale=(drawn[0], drawn[1])), drawn


@dataclass(frozen=True)
class Flip(Augmentation):
    """Mirror every second copy left to right, as FSER did: it plays speech backwards."""

    def __call__(self, random: np.random.Generator) -> tuple[Map, bool]:
        """Return the map and whether it changes sides."""
        drawn = bool(random.random() < 0.5)
        return Map(scale=(1.0, -1.0 if drawn else 1.0)), drawn


def draw(parts: Mapping[str, Any], random: np.random.Generator) -> tuple[Map, Drawn]:
    """Return one map composed of the draws of all `parts`, in order, and the draws."""
    whole, drawn = Map(), {}
    for name, part in parts.items():
        one, drawn[name] = part(random)
        whole = whole @ one
    return whole, drawn
