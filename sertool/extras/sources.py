"""How mixtures of several sources become a recording of each, in bounded memory."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from sertool.audio.blocks import Facts
from sertool.audio.decoding import wav_writer
from sertool.core.errors import InputError, UsageError
from sertool.core.options import RunOptions, recorded
from sertool.core.paths import show
from sertool.core.seeds import derive, rng
from sertool.extras import separation
from sertool.extras.mixtures import (
    FRAMES,
    Mixtures,
    check_alike,
    check_folder,
    file_facts,
    name_of,
    open_mixtures,
    together,
)
from sertool.extras.options import Recovered, SeparateOptions, Separation
from sertool.extras.separation import Follower, Sample, Settings, Unmixing
from sertool.formats import lineage, made
from sertool.formats.outputs import atomic_set, check_output, complete_set
from sertool.formats.reuse import State, decide, of_side
from sertool.models.statistics import Covariance
from sertool.ui.console import Console, Progress

PEAK = 0.99  # of full scale, Sundharam & Johari's demonstration


def separate(
    paths: Sequence[Path],
    folder: Path,
    options: SeparateOptions,
    run: RunOptions,
    console: Console,
    name: str | None = None,
) -> Separation:
    """Write a WAV file per source into `folder`, made if it is missing; return what was done.

    The files are NAME-1.wav, NAME-2.wav …, 16 bits, each with its peak at 0.99, and appear only
    when all are whole. name: what they are called before their numbers, None for what the mixtures
    are. With `options.against`, the result says what was found of each known source. Raises
    UsageError for options that contradict, InputError for mixtures that cannot be read or
    separated.
    """
    force, resume = run.force, run.resume
    mixtures = open_mixtures(paths)
    count = _check(mixtures, options)
    name = name or name_of(mixtures.paths)
    outputs = [folder / f"{name}-{i + 1}.wav" for i in range(count)]
    check_folder(folder)
    complete_set(outputs)
    for output in outputs if folder.is_dir() else []:
        inputs = [*paths, *options.against]
        check_output(output, force, resume, inputs, audio=True, alone=False)
    record = _record(mixtures, options, count)
    state = decide(outputs, record, of_side, console, resume=resume, force=force)
    if state is not State.WHOLE:
        _write(mixtures, outputs, count, options, record, console)
        older = folder / f"{name}-{count + 1}.wav"
        if older.exists():
            console.warn(f"{show(older)}: left over from a run with more sources")
    facts = file_facts(outputs[0])
    known = score(outputs, mixtures.paths, options.against) if options.against else []
    return Separation(outputs, facts.sample_rate, (facts.frames or 0) / facts.sample_rate, known)


def _check(mixtures: Mixtures, options: SeparateOptions) -> int:
    """Return the number of sources.

    Raises UsageError for what cannot be asked, InputError for known sources that cannot be used.
    """
    heard = len(mixtures.names)
    count = heard if options.sources is None else options.sources
    if not 2 <= count <= heard:
        raise UsageError(
            f"--sources {count}: {heard} mixtures give "
            + ("2 sources" if heard == 2 else f"2 to {heard} sources")
        )
    known = 0
    for path in options.against:
        fact = file_facts(path)
        known += fact.channels
        check_alike(path, fact, mixtures.paths[0], Facts(mixtures.sample_rate, 1, mixtures.frames))
    if known > count:
        raise UsageError(f"--against: {known} known sources, but only {count} are separated")
    if known:
        names = _names(options.against)
        moments = Covariance()
        for block in together(options.against, FRAMES):
            moments.add(block)
        silent = np.diagonal(moments.variance()) <= 0
        if silent.any():
            name = names[int(silent.argmax())]
            raise InputError(f"{name}: silent; nothing can be compared with it")
    return count


def _names(paths: Sequence[Path]) -> list[str]:
    """Return what each channel of some files is called."""
    return [
        show(path) if fact.channels == 1 else f"{show(path)} channel {i + 1}"
        for path in paths
        for fact in [file_facts(path)]
        for i in range(fact.channels)
    ]


def _record(mixtures: Mixtures, options: SeparateOptions, count: int) -> dict[str, Any]:
    """Return the normalised command, as the outputs keep it."""
    params = recorded(options) | {"sources": count}
    hashes = [lineage.file_sha256(path) for path in mixtures.paths]
    content = (
        hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
    )
    return lineage.record("separate", params, ", ".join(p.name for p in mixtures.paths), content)


def _comment(record: dict[str, Any], source: int) -> str:
    return lineage.canonical(record | {"source": source})


def _write(
    mixtures: Mixtures,
    outputs: Sequence[Path],
    count: int,
    options: SeparateOptions,
    record: dict[str, Any],
    console: Console,
) -> None:
    """Separate the mixtures and write the outputs, all of them or none."""
    settings = Settings(
        count, options.algorithm, seed=derive(options.seed, "separate", "fit") % 2**32
    )
    folder = outputs[0].parent
    with _shown(mixtures, console, "seconds read") as progress:
        moments, frames = _listen(mixtures, options.seed, settings, progress)
    _check_spread(mixtures, moments, count, console)
    first = separation.fit(frames, settings)
    del frames
    if not first.converged:
        console.warn(
            f"not converged after {settings.iterations} iterations: what follows may still be "
            "mixed (sources that are plain Gaussian noise cannot be separated)"
        )
    new = not folder.is_dir()
    try:
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as spool:
            with _shown(mixtures, console, "seconds separated") as progress:
                peaks = _spool(
                    spool, _sources(mixtures, moments.mean, first, options, settings, console),
                    count, progress, mixtures.sample_rate,
                )  # fmt: skip
            _write_files(spool, outputs, peaks, mixtures.sample_rate, moments.count, record)
    except BaseException:
        if new:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise
    seconds = moments.count / mixtures.sample_rate
    console.note(
        f"{show(outputs[0])} to {outputs[-1].name}: {count} sources of {seconds:.1f} s from "
        f"{len(mixtures.names)} mixtures"
    )


@contextlib.contextmanager
def _shown(mixtures: Mixtures, console: Console, what: str) -> Iterator[Progress]:
    """Show progress through a recording's seconds."""
    total = None if mixtures.frames is None else -(-mixtures.frames // mixtures.sample_rate)
    with console.progress(total, what) as progress:
        yield progress


def _listen(
    mixtures: Mixtures, seed: int, settings: Settings, progress: Progress
) -> tuple[Covariance, np.ndarray]:
    """Return the mixtures' moments and frames (n, mixtures) drawn evenly from all of them."""
    count = len(mixtures.names)
    moments = Covariance()
    sample = Sample(max(1, settings.sample // count), rng(seed, "separate", "sample"))
    for block in mixtures.read():
        moments.add(block)
        sample.add(block)
        progress.advance(moments.count // mixtures.sample_rate - progress.done)
    return moments, sample.frames()


def _check_spread(mixtures: Mixtures, moments: Covariance, count: int, console: Console) -> None:
    """Raise InputError where the mixtures are too few different ones; warn if they are nearly."""
    covariance = moments.variance()
    reason = separation.why_not(covariance, count, mixtures.names)
    if reason:
        least = "" if count == 2 else "; fewer --sources may be found"
        raise InputError(
            f"{show(mixtures.paths[0])}: {reason}: {count} sources need {count} different "
            f"mixtures{least}"
        )
    if separation.spread(covariance)[count - 1] < separation.NEARLY:
        console.warn("the mixtures are nearly the same: their difference may be mere rounding")


def _sources(
    mixtures: Mixtures,
    mean: np.ndarray,
    first: Unmixing,
    options: SeparateOptions,
    settings: Settings,
    console: Console,
) -> Iterator[np.ndarray]:
    """Yield the sources (n, K) float32 of one block after the other."""
    if options.block is None:
        for block in mixtures.read():
            yield separation.unmix(block, mean, first, first)
        return
    half = max(1, round(options.block * mixtures.sample_rate / 2))
    follower = Follower(first, mean, settings)
    yield from follower.follow(mixtures.read(half))
    kept = "the matrix before it was kept"
    if follower.unclear:
        console.warn(
            f"{follower.unclear} of {follower.blocks} blocks do not hold {settings.sources} "
            f"different mixtures: {kept}"
        )
    if follower.unconverged:
        console.warn(f"{follower.unconverged} of {follower.blocks} blocks did not converge: {kept}")
    if follower.unsure:
        console.warn(
            f"in {follower.unsure} of {follower.blocks} blocks it is not clear which source is"
            " which: from there on they may be swapped; longer blocks may help, or no --block"
        )


def _spool(
    spool: IO[bytes],
    sources: Iterator[np.ndarray],
    count: int,
    progress: Progress,
    rate: int,
) -> np.ndarray:
    """Write sources (n, K) to `spool` as they are; return the peak of each (K,)."""
    peaks, done = np.zeros(count), 0
    for block in sources:
        spool.write(block.tobytes())
        peaks = np.maximum(peaks, np.abs(block).max(0))
        done += len(block)
        progress.advance(done // rate - progress.done)
    return peaks


def _write_files(
    spool: IO[bytes],
    outputs: Sequence[Path],
    peaks: np.ndarray,
    rate: int,
    frames: int,
    record: dict[str, Any],
) -> None:
    """Write each source of `spool` (n, K) to a WAV file of its own, its peak at `PEAK`."""
    count = len(outputs)
    gains = (PEAK / np.where(peaks > 0, peaks, 1.0)).astype(np.float32)
    with contextlib.ExitStack() as stack:
        targets = stack.enter_context(atomic_set(outputs))
        with contextlib.ExitStack() as files:
            writers = [
                files.enter_context(wav_writer(target, rate, frames, _comment(record, i + 1)))
                for i, target in enumerate(targets)
            ]
            spool.seek(0)
            while data := spool.read(4 * count * FRAMES):
                block = np.frombuffer(data, np.float32).reshape(-1, count) * gains
                for i, write in enumerate(writers):
                    write(block[:, i])
        for output, target in zip(outputs, targets, strict=True):
            made.keep(output, lineage.file_sha256(target), [record])


def score(
    outputs: Sequence[Path],
    mixtures: Sequence[Path],
    references: Sequence[Path],
) -> list[Recovered]:
    """Return for each known source, a channel of `references`, the output that is it.

    The outputs are matched one to one, so that the sum of the ratios is largest. Raises InputError
    where files cannot be read or differ in length.
    """
    names = _names(references)
    heard = sum(file_facts(path).channels for path in mixtures)
    count = len(outputs)
    moments = Covariance()
    for block in together([*outputs, *mixtures, *references], FRAMES):
        moments.add(block)
    table = separation.si_sdr_table(moments.variance())[:, count + heard :]
    rows = []
    for column, row in enumerate(separation.match(table[:count])):
        ratio = float(table[row, column])
        mixture = float(table[count : count + heard, column].max())
        ratios = (_finite(value) for value in (ratio, mixture, ratio - mixture))
        rows.append(Recovered(names[column], show(outputs[row]), *ratios))
    return rows


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
