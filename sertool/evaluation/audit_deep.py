"""`info --audit --deep`: hashes and fingerprints of recordings that lack them, and a closer look.

Two recordings are called near-duplicates by their fingerprints; here their waveforms are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from functools import lru_cache
from typing import TYPE_CHECKING

from sertool.core import boxes
from sertool.core.boxes import Box, limits
from sertool.core.errors import ItemError
from sertool.core.paths import from_text
from sertool.core.workers import cores, ordered
from sertool.evaluation.leaks import Item, Known, Near, alike
from sertool.ui.console import Console

if TYPE_CHECKING:
    import numpy as np

    from sertool.evaluation.audit_files import Side

Cut = tuple[str, float | None, float | None, str]  # file, start, end (seconds), channel

RATE = 8000  # Hz at which waveforms are compared: most of a voice lies far below its half
LONGEST = 120.0  # seconds of a recording that are compared
# Correlation from which two waveforms are one recording. Of RAVDESS's 2064 pairs of takes of one
# sentence and emotion by one actor the highest has 0.57, its identical pair apart; a recording
# that is cut, resampled and in noise of its own power keeps 0.70.
SAME = 0.65
MOST, LEAST = 0.5, 0.01  # shares of two waveforms' energies that an overlap must hold
FIELDS = ("audio_hash", "fingerprint")


def complete(sides: Sequence[Side], console: Console, workers: int) -> tuple[int, int]:
    """Fill in hash and fingerprint of every item that lacks one and whose file is known.

    Returns how many recordings were decoded and how many could not be, which are named on the
    console and counted.
    """
    wanted: dict[Cut, list[Item]] = {}
    for side in sides:
        for item in side.items:
            lacks = not (item.audio_hash and item.fingerprint)
            if lacks and item.value("file") and not item.augmentation:
                wanted.setdefault(_cut(item, side), []).append(item)
    cuts = sorted(wanted, key=lambda cut: (cut[0], cut[1] or 0.0, cut[2] or 0.0, cut[3]))
    failed = 0
    most = min(workers or cores(), max(1, len(cuts) // 8))
    with (
        console.progress(len(cuts), "recordings") as progress,
        closing(ordered(_hear, cuts, most, limits=limits())) as heard,
    ):
        for cut, found in zip(cuts, heard, strict=True):
            if isinstance(found, str):
                failed += 1
                console.failed(cut[0], found)
            else:
                for item in wanted[cut]:
                    for name, value in zip(FIELDS, found, strict=True):
                        setattr(item, name, item.value(name) or value)
            progress.advance()
    return len(cuts) - failed, failed


def _cut(item: Item, side: Side) -> Cut:
    """Return what of which file an item's recording is, and the channel that its store took."""
    first = next((s for s in side.pipeline if s.get("stage") == "featurize"), {})
    return str(item.value("file")), item.start, item.end, str(first.get("channel") or "mix")


def _hear(cut: Cut) -> tuple[str, str] | str:
    """Return hash and fingerprint of a recording, or why there are none."""
    from sertool.audio.decoding import decode
    from sertool.audio.fingerprint import fingerprint

    path, start, end, channel = cut
    try:
        with boxes.file():
            decoded = decode(from_text(path), start=start, end=end, channel=channel)
            return decoded.audio_hash, fingerprint(decoded.samples, decoded.sample_rate)
    except ItemError as error:
        return str(error)


def verify(
    pairs: Sequence[tuple[list[Known], list[Known]]], near: Near, console: Console
) -> tuple[int, int]:
    """Compare the waveforms of near-duplicates; those that differ are near-duplicates no more.

    Returns how many pairs were compared and how many dismissed. A pair of which one recording
    cannot be decoded stays.
    """
    links = [link for left, right in pairs for link in alike(left, right, near)]
    links.sort(key=lambda link: (link.trained.id, link.tested.id))
    verdicts: dict[frozenset[Cut], bool | None] = {}
    with closing(Box(limits())) as box, console.progress(len(links), "pairs") as progress:
        for link in links:
            places = frozenset(_place(k.item) for k in (link.trained, link.tested))
            if places not in verdicts:
                verdicts[places] = _boxed(box, *places) if len(places) == 2 else None
            if verdicts[places] is False:
                near.apart.add((link.trained.recording, link.tested.recording))
            progress.advance()
    known = [same for same in verdicts.values() if same is not None]
    return len(known), known.count(False)


def _boxed(box: Box, one: Cut, other: Cut) -> bool | None:
    """Return the same as `_same`; None, too, where the process that decodes them ends."""
    try:
        return box.call(_same, one, other)
    except ItemError:
        return None


def _place(item: Item) -> Cut:
    return str(item.value("file") or ""), item.start, item.end, "mix"


def _same(one: Cut, other: Cut) -> bool | None:
    """Return whether two recordings have one waveform, None where one cannot be decoded."""
    first, second = _wave(one), _wave(other)
    return None if first is None or second is None else likeness(first, second) >= SAME


@lru_cache(maxsize=4)
def _wave(cut: Cut) -> np.ndarray | None:
    """Return a recording's first `LONGEST` seconds at `RATE`, without its mean."""
    import numpy as np

    from sertool.audio import waveform
    from sertool.audio.decoding import decode

    path, start, end, channel = cut
    try:
        decoded = decode(from_text(path), start=start, end=end, duration=LONGEST, channel=channel)
    except ItemError:
        return None
    samples = waveform.resample(decoded.samples, decoded.sample_rate, RATE).astype(np.float64)
    return samples - samples.mean()


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    """Return the highest correlation of two waveforms, (n,) and (m,), over all shifts: 0 to 1.

    Of the samples that overlap, in magnitude. A shift counts only where these hold half of one
    waveform's energy (one may be a quiet cut of the other) and a hundredth of the other's.
    """
    import numpy as np

    size = 1 << (len(a) + len(b) - 2).bit_length()
    product = np.fft.rfft(a, size) * np.conj(np.fft.rfft(b, size))
    circular = np.fft.irfft(product, size)
    shifts = np.arange(1 - len(b), len(a))  # of b against a
    energies, shares = [], []
    for wave, begins, other in ((a, shifts, len(b)), (b, -shifts, len(a))):
        total = np.concatenate([[0.0], np.cumsum(wave * wave)])
        if not total[-1] > 0:
            return 0.0
        first, last = np.maximum(begins, 0), np.minimum(begins + other, len(wave))
        energies.append(total[last] - total[first])
        shares.append(energies[-1] / total[-1])
    enough = (np.maximum(*shares) >= MOST) & (np.minimum(*shares) >= LEAST)
    if not enough.any():
        return 0.0
    norm = np.sqrt(energies[0][enough] * energies[1][enough])
    return float(min(1.0, np.max(np.abs(circular[shifts[enough]]) / norm)))
