"""A look at the recordings of a manifest: every header, and the samples of all or of a sample."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from sertool.audio.headers import Header, read_header
from sertool.core import boxes
from sertool.core.boxes import Limits
from sertool.core.errors import ItemError
from sertool.core.paths import from_text
from sertool.core.seeds import derive
from sertool.core.workers import cores, ordered
from sertool.items import Item
from sertool.ui.console import Console

if TYPE_CHECKING:
    import numpy as np

S = TypeVar("S")
T = TypeVar("T")
Cut = tuple[str, float | None, float | None]  # path, start, end

SAMPLED = 2000  # utterances decoded unless all are asked for: some five seconds
SAMPLED_SECONDS = 5 * 3600.0  # and no more than about so much sound, where utterances are long
HEADERS_A_TASK = 64
CUTS_A_TASK = 8
GONE = "no such file"
BLOCK_SECONDS = 0.01
QUIET = 0.01  # of the recording's peak, -40 dB: what stays below it at either end is quiet


@dataclass
class Look:
    """What is known of one utterance's sound: from the header, and once decoded from the samples.

    `seconds` is the length of the utterance; `quiet` that of its quiet start and end.
    """

    error: str | None = None
    seconds: float | None = None
    sample_rate: int | None = None
    channels: int | None = None
    coding: str | None = None
    audio_hash: str | None = None
    notes: tuple[str, ...] = ()
    quiet: tuple[float, float] | None = None


@dataclass(frozen=True)
class Failed:
    """An utterance whose recording cannot be read, and why."""

    id: str
    path: str
    reason: str


@dataclass(frozen=True)
class Spread:
    """The median and the extremes of seconds."""

    median: float
    min: float
    max: float


@dataclass(frozen=True)
class Sound:
    """What was found in the recordings of a manifest: counts of utterances, and ids of odd ones.

    missing: of `failed`, those whose file is not there. decoded: how many of the readable ones
    (`of`) were decoded, drawn with `seed`. identical: ids of utterances with the same samples.
    quiet_start and quiet_end: seconds, of those decoded that are not silent.
    """

    files: int
    failed: list[Failed]
    missing: int
    decoded: int
    of: int
    seed: int
    sample_rates: dict[str, int]
    channels: dict[str, int]
    codings: dict[str, int]
    clipped: list[str]
    silent: list[str]
    identical: list[list[str]]
    quiet_start: Spread | None
    quiet_end: Spread | None


def listen(
    rows: Sequence[Item],
    console: Console,
    *,
    everything: bool = False,
    seed: int = 0,
    workers: int = 0,
    limits: Limits | None = None,
) -> tuple[list[float | None], Sound]:
    """Return each utterance's length in seconds (None: unknown), and what was found in the sound.

    Headers are read of every file; samples are decoded of at most `SAMPLED` utterances, drawn
    by id, unless `everything` is asked for. Who failed is named on the console and counted. limits:
    of each recording.
    """
    cuts: list[Cut] = [(row.path, row.start, row.end) for row in rows]
    looks = _headers(cuts, workers, console, limits)
    chosen = _choose(rows, looks, everything, seed)
    tasks = [cuts[i] for i in chosen]
    with console.progress(len(chosen), "utterances") as progress:
        for i, look in zip(
            chosen, _spread(_decoded, tasks, CUTS_A_TASK, workers, limits), strict=True
        ):
            look.coding = looks[i].coding or look.coding
            looks[i] = look
            progress.advance()
    found = _found(rows, looks, seed)
    _name(found.failed, console)
    return [look.seconds for look in looks], found


def _spread(
    work: Callable[[int, S], T], tasks: Sequence[S], size: int, workers: int, limits: Limits | None
) -> Iterator[T]:
    """Yield the result of every task in order, `size` tasks at a time through the workers."""
    parts = [tasks[i : i + size] for i in range(0, len(tasks), size)]
    most = min(workers or cores(), len(tasks) // (4 * size))
    with closing(ordered(_Each(work), parts, max(1, most), limits=limits)) as results:
        for part in results:
            yield from part


@dataclass(frozen=True)
class _Each:
    """A function of a list of tasks, which a worker of any platform can be sent."""

    work: Callable[[int, Any], Any]

    def __call__(self, tasks: Sequence[Any]) -> list[Any]:
        return [self.work(number, task) for number, task in enumerate(tasks)]


def _headers(
    cuts: Sequence[Cut], workers: int, console: Console, limits: Limits | None
) -> list[Look]:
    """Return what the headers say of every utterance, each file opened once."""
    paths = sorted({path for path, _, _ in cuts})
    known: dict[str, Header | str | None] = {}
    with console.progress(len(paths), "files") as progress:
        results = _spread(_header, paths, HEADERS_A_TASK, workers, limits)
        for path, header in zip(paths, results, strict=True):
            known[path] = header
            progress.advance()
    return [_look(known[path], start, end) for path, start, end in cuts]


def _header(number: int, path: str) -> Header | str | None:
    """Return a file's header, None where it must be decoded, or why it cannot be read."""
    try:
        with boxes.file(number):
            return read_header(from_text(path))
    except ItemError as error:
        return str(error)


def _look(header: Header | str | None, start: float | None, end: float | None) -> Look:
    if header is None:
        return Look()
    if isinstance(header, str):
        return Look(error=header)
    try:
        seconds = header.seconds(start, end)
    except ItemError as error:
        return Look(error=str(error))
    return Look(None, seconds, header.sample_rate, header.channels, header.coding)


def _choose(rows: Sequence[Item], looks: Sequence[Look], everything: bool, seed: int) -> list[int]:
    """Return which utterances to decode, in the order of the manifest.

    The draw depends on the seed and the ids, never on the order of the lines.
    """
    usable = [i for i, look in enumerate(looks) if look.error is None]
    if everything:
        return usable
    usable.sort(key=lambda i: (derive(seed, "listen", rows[i].id), *_place(rows[i])))
    chosen: list[int] = []
    seconds = 0.0
    for i in usable[:SAMPLED]:
        if seconds > SAMPLED_SECONDS:
            break
        seconds += looks[i].seconds or 0.0
        chosen.append(i)
    return sorted(chosen)


def _place(row: Item) -> tuple[str, float, float]:
    return row.path, row.start or 0.0, row.end or 0.0


def _decoded(number: int, cut: Cut) -> Look:
    """Decode one utterance."""
    from sertool.audio.decoding import decode

    path, start, end = cut
    try:
        with boxes.file(number):
            decoded = decode(from_text(path), start=start, end=end)
    except ItemError as error:
        return Look(error=str(error))
    return Look(
        seconds=decoded.duration,
        sample_rate=decoded.source_rate,
        channels=decoded.channels,
        coding=path.rpartition(".")[2].upper() + ", through ffmpeg",
        audio_hash=decoded.audio_hash,
        notes=tuple(decoded.notes),
        quiet=quiet_ends(decoded.samples, decoded.sample_rate),
    )


def quiet_ends(samples: np.ndarray, rate: int) -> tuple[float, float]:
    """Return the seconds before the first and after the last block that is not quiet.

    Of samples (n,), in blocks of 10 ms; a block is quiet whose peak is below 1 % (-40 dB) of the
    highest. Of a recording that is all zeros, nothing is.
    """
    import numpy as np

    size = max(1, round(BLOCK_SECONDS * rate))
    starts = np.arange(0, len(samples), size)
    high = np.maximum.reduceat(samples, starts).astype(np.float64)
    low = np.minimum.reduceat(samples, starts).astype(np.float64)
    peaks = np.maximum(high, -low)
    loud = np.flatnonzero(peaks >= QUIET * peaks.max())
    after = len(samples) - (int(loud[-1]) + 1) * size
    return int(loud[0]) * size / rate, max(0, after) / rate


def _found(rows: Sequence[Item], looks: Sequence[Look], seed: int) -> Sound:
    """Return what the looks at all utterances show."""
    pairs = list(zip(rows, looks, strict=True))
    failed = [Failed(row.id, row.path, look.error) for row, look in pairs if look.error]
    good = [(row.id, look) for row, look in pairs if not look.error]
    decoded = [(name, look) for name, look in good if look.audio_hash is not None]
    same: dict[str, list[str]] = {}
    for name, look in decoded:
        same.setdefault(look.audio_hash or "", []).append(name)
    ends = [look.quiet for _, look in decoded if look.quiet and "silent" not in look.notes]
    return Sound(
        files=len({row.path for row in rows}),
        failed=sorted(failed, key=astuple),
        missing=sum(one.reason == GONE for one in failed),
        decoded=len(decoded),
        of=len(good),
        seed=seed,
        sample_rates=_count(look.sample_rate for _, look in good),
        channels=_count(look.channels for _, look in good),
        codings=_count(look.coding for _, look in good),
        clipped=sorted(name for name, look in decoded if "clipped" in look.notes),
        silent=sorted(name for name, look in decoded if "silent" in look.notes),
        identical=sorted(sorted(names) for names in same.values() if len(names) > 1),
        quiet_start=_middle([start for start, _ in ends]),
        quiet_end=_middle([end for _, end in ends]),
    )


def _count(values: Iterable[int | str | None]) -> dict[str, int]:
    """Return how often each known value occurs, numbers in their order."""
    found: Counter[Any] = Counter(value for value in values if value is not None)
    return {str(value): n for value, n in sorted(found.items())}


def _middle(values: list[float]) -> Spread | None:
    """Return the spread of seconds; None of none."""
    if not values:
        return None
    values.sort()
    n = len(values)
    median = math.fsum((values[(n - 1) // 2], values[n // 2])) / 2
    return Spread(median, values[0], values[-1])


def _name(failed: Sequence[Failed], console: Console) -> None:
    """Name the failures, of many that are alike the first, and count all."""
    for one in failed:
        console.failed(one.path, one.reason)
    console.tally("--json")
