"""Several recordings of one scene, sample by sample: what `separate` reads."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sertool.audio.blocks import Facts
from sertool.audio.boxed import blocks, facts
from sertool.core.errors import InputError, ItemError, UsageError
from sertool.core.paths import show
from sertool.formats.outputs import check_output

FRAMES = 1 << 16  # read at a time


@dataclass(frozen=True)
class Mixtures:
    """The files of a mixture, the names of their channels, rate (Hz), and frames if known."""

    paths: list[Path]
    names: list[str]
    sample_rate: int
    frames: int | None

    def read(self, frames: int = FRAMES) -> Iterator[np.ndarray]:
        """Yield blocks (at most `frames`, mixtures); raises InputError."""
        return together(self.paths, frames)


def open_mixtures(paths: Sequence[Path]) -> Mixtures:
    """Return the mixtures that files hold: one of several channels, or several of one.

    Raises InputError where a file cannot be read, or they differ in rate or length.
    """
    known = [file_facts(path) for path in paths]
    if len(paths) == 1:
        count = known[0].channels
        if count < 2:
            raise InputError(
                f"{show(paths[0])}: one channel is one mixture; as many are needed as sources, "
                "in one file of several channels or in several files"
            )
        names = [f"channel {i + 1}" for i in range(count)]
        return Mixtures(list(paths), names, known[0].sample_rate, known[0].frames)
    for path, fact in zip(paths, known, strict=True):
        if fact.channels > 1:
            raise InputError(f"{show(path)}: {fact.channels} channels; several files have one each")
        check_alike(path, fact, paths[0], known[0])
    names = [show(path) for path in paths]
    return Mixtures(list(paths), names, known[0].sample_rate, known[0].frames)


def file_facts(path: Path) -> Facts:
    """Return what a file's header says; raises InputError, UsageError for standard input."""
    if str(path) == "-":
        raise UsageError("separate reads its mixtures twice: name a file, not standard input")
    try:
        return facts(path)
    except ItemError as error:
        raise InputError(f"{show(path)}: {error}") from None


def check_alike(path: Path, fact: Facts, other_path: Path, other: Facts) -> None:
    """Raise InputError unless two files have one rate and (as far as is known) one length."""
    if fact.sample_rate != other.sample_rate:
        raise InputError(
            f"{show(path)}: {fact.sample_rate} Hz, but {show(other_path)} has "
            f"{other.sample_rate} Hz; they must be one recording's"
        )
    if None not in (fact.frames, other.frames) and fact.frames != other.frames:
        raise InputError(
            f"{show(path)}: {fact.frames} samples, but {show(other_path)} has {other.frames}; "
            "they must be equally long"
        )


def check_folder(folder: Path) -> None:
    """Raise InputError where `folder` is none, and cannot become one."""
    if folder.is_dir():
        return
    if os.path.lexists(folder):
        raise InputError(f"{show(folder)}: is not a folder; separate writes into one")
    check_output(folder, force=False)


def name_of(paths: Sequence[Path]) -> str:
    """Return what outputs are called after: a file's name, or what several have in common."""
    stems = [path.stem for path in paths]
    alike = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*stems, strict=False))
    return "".join(letters[0] for letters in alike).rstrip("-_. ") or "source"


def together(paths: Sequence[Path], frames: int) -> Iterator[np.ndarray]:
    """Yield blocks (at most `frames`, all channels of all files) float32; raises InputError.

    The files must be equally long, which is known for certain only when they end.
    """
    streams = [_named(path, frames) for path in paths]
    for parts in itertools.zip_longest(*streams):
        lengths = [0 if part is None else len(part) for part in parts]
        if min(lengths) < max(lengths):
            short, long = paths[lengths.index(min(lengths))], paths[lengths.index(max(lengths))]
            raise InputError(f"{show(short)}: shorter than {show(long)}; they must be equally long")
        yield np.concatenate(parts, axis=1)


def _named(path: Path, frames: int) -> Iterator[np.ndarray]:
    """Yield a file's blocks; an ItemError becomes an InputError that names it."""
    try:
        yield from blocks(path, frames)
    except ItemError as error:
        raise InputError(f"{show(path)}: {error}") from None
