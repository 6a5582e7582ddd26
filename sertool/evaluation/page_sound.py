"""A page written with the sound of its recordings: some inside it, or all in a folder beside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sertool.core.boxes import Box, limits
from sertool.core.errors import ItemError
from sertool.evaluation.options import ALL
from sertool.formats import pages
from sertool.ui.console import Console
from sertool.ui.page.clips import LEVELS, Clip, chosen
from sertool.ui.page.document import Page, document
from sertool.ui.page.recordings import Recording, json_values
from sertool.ui.words import plural

RATE = 16000  # Hz: of the sound, whose spectrogram ends at half of it
LONGEST = {True: 15.0, False: 60.0}  # seconds of a clip inside a page, and beside it
BANDS, FRAMES, RANGE = 48, 160, 60.0  # of a spectrogram: bands, frames at most, dB
BLOCK = 1 << 18  # frames decoded at a time to count them
MP3 = ("MP3", "MPEG_LAYER_III")


@dataclass(frozen=True)
class Place:
    """Where a recording lies: a path or URL, seconds within it, a channel, its hash if known."""

    path: Path | str
    start: float | None = None
    end: float | None = None
    channel: str = "mix"
    audio_hash: str = ""


def write(
    path: Path,
    page: Page,
    classes: Sequence[str],
    recordings: Sequence[Recording],
    audio: str | None,
    place: Callable[[int], Place | None] = lambda i: None,
    *,
    console: Console,
) -> None:
    """Write a page, with the sound of recordings where `audio` asks for it.

    place: of a recording by its place in the list, None where it is of none. What cannot be heard
    is named and counted as failed.
    """
    beside = audio == ALL
    made: dict[int, dict[str, Any]] = {}
    with pages.opened(path, beside) as (temporary, keep):
        known = [i for i in range(len(recordings)) if audio is not None and place(i) is not None]
        wanted = _wanted(recordings, known, audio)
        with closing(Box(limits())) as box, console.progress(len(wanted), "clips") as progress:
            for i in wanted:
                clip = _heard(place(i), not beside, console, box)
                if clip is not None:
                    made[i] = clip.to_json(inside=not beside)
                if clip is not None and beside:
                    keep(f"{i:05d}.mp3", clip.sound)
                    keep(f"{i:05d}.png", clip.png())
                progress.advance()
        if recordings:
            folder = pages.folder_of(path).name if beside else None
            page = replace(page, data=json_values(classes, recordings, made, folder))
        temporary.write_text(document(page), encoding="utf-8", errors="backslashreplace")
    beside_it = f", sound in {pages.folder_of(path)}" if beside else ""
    inside = f" with the sound of {plural(len(made), 'recording')}" if made and not beside else ""
    console.note(f"{path}: the page{inside}{beside_it}")


def _wanted(
    recordings: Sequence[Recording], known: Sequence[int], audio: str | None
) -> Sequence[int]:
    """Return those of the recordings at `known` places whose sound the page is to have."""
    if audio in (None, ALL):
        return known
    given = [recordings[i] for i in known]
    sure = [max(one.posterior or [0.0]) for one in given]
    return [known[k] for k in chosen([(one.truth, one.said) for one in given], sure, int(audio))]


def _heard(place: Place | None, inside: bool, console: Console, box: Box) -> Clip | None:
    if place is None:
        return None
    try:
        return box.call(cut, place, LONGEST[inside])
    except ItemError as error:
        console.failed(place.path, f"{error}; no sound of it in the page")
        return None


def cut(place: Place, longest: float) -> Clip:
    """Return the beginning of a recording, at most `longest` seconds; ItemError."""
    from sertool.audio.decoding import decode, written

    first = place.start or 0.0
    length = (_end(place) if place.end is None else place.end) - first
    entire = length <= longest
    decoded = decode(
        place.path, start=place.start, end=place.end if entire else first + longest,
        channel=place.channel, sample_rate=RATE,
    )  # fmt: skip
    if entire and place.audio_hash not in ("", decoded.audio_hash):
        raise ItemError("not the recording that was tested")
    samples = np.asarray(decoded.samples)
    heard = samples / 32768 if samples.dtype == np.int16 else samples.astype(np.float64)
    loudest = float(np.abs(heard).max()) or 1.0
    heard = heard / max(1.0, loudest)
    sound = written(heard.astype(np.float32), RATE, *MP3)
    return Clip(sound, len(heard) / RATE, length, spectrogram(heard), RATE / 2)


def _end(place: Place) -> float:
    """Return how long a file is in seconds, decoding one whose header only estimates it."""
    from sertool.audio.blocks import blocks, facts

    known = facts(place.path)
    frames = known.frames
    if frames is None:
        frames = sum(len(block) for block in blocks(place.path, BLOCK))
    return frames / known.sample_rate


def spectrogram(samples: np.ndarray) -> np.ndarray:
    """Return levels (frames, bands) from 0 to 63: dB below the loudest, over `RANGE`."""
    from sertool.features.mel import Settings
    from sertool.features.mel import spectrogram as mel

    power = mel(samples.astype(np.float32), RATE, Settings(n_fft=512, hop_length=128, n_mels=BANDS))
    edges = np.linspace(0, len(power), min(FRAMES, len(power)) + 1).astype(int)
    means = np.add.reduceat(power.astype(np.float64), edges[:-1], axis=0) / np.diff(edges)[:, None]
    level = 10 * np.log10(np.maximum(means, 1e-12) / max(means.max(), 1e-12))
    top = len(LEVELS) - 1
    return np.clip(np.round(top * (1 + level / RANGE)), 0, top).astype(np.uint8)


def of_store(path: Path) -> Mapping[str, Place]:
    """Return where the recordings of a store lie, by item and by what it is a segment of.

    Copies are left out: no file has their sound.
    """
    from sertool.core.paths import located
    from sertool.evaluation.heldout import file_of
    from sertool.formats.store import Store

    found: dict[str, Place] = {}
    with Store(path) as store:
        channel = str((store.pipeline or [{}])[0].get("channel") or "mix")
        for item in store.items():
            if item.augmentation or not item.path:
                continue
            own = located(item.path)
            where = own if isinstance(own, str) else Path(store.root) / own
            place = Place(where, item.start, item.end, channel, item.audio_hash)
            found.setdefault(item.id, place)
            found.setdefault(file_of(item), place)
    return found


def of_item(places: Mapping[str, Place], name: str) -> Place | None:
    """Return where a report's item lies: one that several checkpoints tested has a fold behind."""
    return places.get(name) or places.get(name.rpartition(" [")[0])
