"""Folders of recordings that are mixed into others, identified by content, never by name.

The files are put in the order of their content's hash, so that a draw gives the same sound
wherever the folder lies and whatever its files are called.
"""

from __future__ import annotations

import hashlib
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sertool.audio import waveform
from sertool.audio.decoding import decode
from sertool.augmentations import Failed
from sertool.core.boxes import Box, limits
from sertool.core.errors import InputError, ItemError
from sertool.core.paths import find_audio, show


@dataclass(frozen=True)
class Recording:
    """An audio file: its `content` (`waveform.audio_hash`), its own sample rate, its length."""

    path: Path
    content: str
    sample_rate: int
    samples: int
    channel: str  # of several: "mix", or "left" for the first

    def read(self, first: int = 0, count: int | None = None) -> np.ndarray:
        """Return `count` samples (all) from `first` on, mono, float32.

        Raises InputError where a file that `scan` could read can no longer be read.
        """
        last = self.samples if count is None else first + count
        rate = self.sample_rate
        try:
            found = decode(self.path, start=first / rate, end=last / rate, channel=self.channel)
        except ItemError as error:
            raise InputError(
                f"{show(self.path)}: {error}, though it could be read at the start"
            ) from None
        return waveform.to_float(found.samples)


@dataclass(frozen=True)
class Recordings:
    """The audio files of a folder, in the order of their content."""

    files: tuple[Recording, ...]

    @property
    def recorded(self) -> dict[str, int | str]:
        """What a lineage keeps: how many there are, and the SHA-256 of all contents."""
        lines = "".join(f"{one.content} {one.sample_rate}\n" for one in self.files)
        return {"files": len(self.files), "sha256": hashlib.sha256(lines.encode()).hexdigest()}

    def draw(self, random: np.random.Generator) -> Recording:
        """Return one of the files, each as likely as any other."""
        return self.files[int(random.integers(len(self.files)))]


def scan(option: str, folder: Path, failed: Failed, channel: str = "mix") -> Recordings:
    """Return the recordings below `folder`, each decoded once; equal ones count once.

    channel: as for `decoding.decode`. `failed(path, reason)` is called for each file that cannot
    be read or is silent. Raises InputError, with the `option`, where none is left.
    """
    if not folder.is_dir():
        reason = "a file, not a folder" if folder.exists() else "no such folder"
        raise InputError(f"--{option} {show(folder)}: {reason}")
    try:
        paths, _ = find_audio(folder)
    except OSError as error:
        raise InputError(f"--{option} {show(folder)}: {error.strerror}") from error
    if not paths:
        raise InputError(f"--{option} {show(folder)}: no audio files in it")
    found: dict[tuple[str, int], Recording] = {}
    with closing(Box(limits())) as box:
        for path in paths:
            try:
                one = box.call(_scanned, path, channel)
            except ItemError as error:
                failed(path, str(error))
                continue
            found.setdefault((one.content, one.sample_rate), one)
    if not found:
        raise InputError(f"--{option} {show(folder)}: none of its recordings can be used")
    return Recordings(tuple(found[key] for key in sorted(found)))


def _scanned(path: Path, channel: str) -> Recording:
    """Return a recording that is not silent; ItemError."""
    one = decode(path, channel=channel)
    if not one.samples.any():
        raise ItemError("nothing but silence")
    return Recording(path, one.audio_hash, one.sample_rate, len(one.samples), channel)


def stretch(
    of: Recording, count: int, rate: int, random: np.random.Generator
) -> tuple[np.ndarray, int]:
    """Return `count` samples at `rate` Hz from a random place of a recording, and that place.

    float32 (count,); the place is the first sample at the recording's own rate, each that leaves
    enough as likely as any other. One that is too short is repeated from there on.
    """
    needed = -(-count * of.sample_rate // rate)
    if of.samples >= needed:
        first = int(random.integers(of.samples - needed + 1))
        part = of.read(first, needed)
    else:
        first = int(random.integers(of.samples))
        part = np.roll(of.read(), -first)
    return np.resize(waveform.resample(part, of.sample_rate, rate), count), first
