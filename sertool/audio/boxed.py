"""Recordings read in a process of their own, by stages that read one now and then."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing

import numpy as np

from sertool.audio import blocks as reading
from sertool.audio.blocks import Facts
from sertool.core.boxes import Box, limits


def facts(path: str | os.PathLike[str]) -> Facts:
    """Return what a file's header says; raises ItemError for a file that cannot be read."""
    with closing(Box(limits())) as box:
        return box.call(reading.facts, path)


def blocks(path: str | os.PathLike[str], frames: int) -> Iterator[np.ndarray]:
    """Yield a file's blocks as `blocks.blocks` does; raises ItemError."""
    with closing(Box(limits())) as box:
        yield from box.stream(reading.blocks, path, frames)
