"""`separate --mix`: recordings of single voices mixed as several microphones would record them."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from sertool.audio.boxed import blocks
from sertool.audio.decoding import wav_writer
from sertool.core.errors import InputError, ItemError, UsageError
from sertool.core.paths import show
from sertool.core.seeds import rng
from sertool.extras.mixtures import FRAMES, check_folder, file_facts
from sertool.formats import lineage
from sertool.formats.outputs import atomic_set, check_output, complete_set
from sertool.ui.console import Console

OTHERS = (0.3, 0.8)  # of the level of a microphone's own voice: that of every other
PEAK = 0.99  # of full scale


def mix(
    paths: Sequence[Path], folder: Path, seed: int, *, force: bool, console: Console
) -> tuple[list[Path], list[Path]]:
    """Write source-1.wav … and microphone-1.wav … into `folder`; return the latter, the former.

    Sources are mixed down to one channel, brought to one peak and zero-padded to the
    longest. A microphone records its own at full level and each other at a share that is drawn from
    `seed`: mixtures without delay. Raises UsageError for a single file, InputError where a file
    cannot be read, is silent or has another rate.
    """
    if len(paths) < 2:
        raise UsageError("--mix: needs two recordings or more")
    names = [f"source-{i + 1}.wav" for i in range(len(paths))]
    mixtures = [f"microphone-{i + 1}.wav" for i in range(len(paths))]
    check_folder(folder)
    outputs = [folder / name for name in (*names, *mixtures)]
    complete_set(outputs)
    for output in outputs if folder.is_dir() else []:
        check_output(output, force, inputs=paths, audio=True, alone=False)
    rate = _rate(paths)
    peaks, frames = zip(*(_measure(path) for path in paths), strict=True)
    matrix = np.eye(len(paths))
    drawn = rng(seed, "separate", "mix").uniform(*OTHERS, matrix.shape)
    matrix[matrix == 0] = drawn[matrix == 0]
    matrix /= matrix.sum(1, keepdims=True)
    hashes = [lineage.file_sha256(path) for path in paths]
    if len(set(hashes)) < len(hashes):
        raise InputError(f"--mix {' '.join(map(show, paths))}: the same voice twice")
    params = {"seed": seed, "sources": hashes}
    comment = lineage.canonical(lineage.record("mix", params, "", ""))
    folder.mkdir(exist_ok=True)
    length = max(frames)
    with contextlib.ExitStack() as stack:
        targets = stack.enter_context(atomic_set(outputs))
        with contextlib.ExitStack() as files:
            writers = [
                files.enter_context(wav_writer(path, rate, length, comment)) for path in targets
            ]
            for block in _together(paths, np.array(peaks)):
                mixed = np.concatenate([block, block @ matrix.T], 1)
                for writer, channel in zip(writers, mixed.T, strict=True):
                    writer(channel)
    seconds = length / rate
    console.note(
        f"{show(folder / mixtures[0])} to {mixtures[-1]}: {len(names)} voices, {seconds:.1f} s"
    )
    return [folder / name for name in mixtures], [folder / name for name in names]


def _rate(paths: Sequence[Path]) -> int:
    rates = [file_facts(path).sample_rate for path in paths]
    for path, rate in zip(paths, rates, strict=True):
        if rate != rates[0]:
            raise InputError(
                f"{show(path)}: {rate} Hz, but {show(paths[0])} has {rates[0]} Hz; voices are"
                " mixed at one rate"
            )
    return rates[0]


def _voice(path: Path) -> Iterator[np.ndarray]:
    """Yield a file's blocks, mixed down (n,); an ItemError becomes an InputError that names it."""
    try:
        for block in blocks(path, FRAMES):
            yield block.mean(1)
    except ItemError as error:
        raise InputError(f"{show(path)}: {error}") from None


def _measure(path: Path) -> tuple[float, int]:
    """Return a voice's peak and its frames; InputError for silence."""
    peak, frames = 0.0, 0
    for block in _voice(path):
        peak, frames = max(peak, float(np.abs(block).max())), frames + len(block)
    if not peak:
        raise InputError(f"{show(path)}: silent; it has no voice to mix")
    return peak, frames


def _together(paths: Sequence[Path], peaks: np.ndarray) -> Iterator[np.ndarray]:
    """Yield blocks (n, voices) float32 of all voices at one peak, the shorter ones zero-padded."""
    for parts in itertools.zip_longest(*map(_voice, paths)):
        longest = max(0 if part is None else len(part) for part in parts)
        block = np.zeros((longest, len(paths)), np.float32)
        for column, part in enumerate(parts):
            if part is not None:
                block[: len(part), column] = part
        yield block * (PEAK / peaks).astype(np.float32)
