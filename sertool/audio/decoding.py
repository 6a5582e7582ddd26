"""Audio files decoded and written: cut, mixed down, resampled, with notes on what is unusual."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO

import numpy as np
import soundfile

from sertool.audio import FASTEST, SLOWEST, resampling
from sertool.audio.ffmpeg import all_of, big_endian_floats, converted
from sertool.audio.fingerprint import fingerprint
from sertool.audio.opening import (
    NEEDS_FFMPEG,
    bounds,
    check_length,
    local,
    ordinary,
    quiet,
    suffix,
    why_not,
)
from sertool.audio.waveform import audio_hash, check_finite, crop, faults, resample, to_float
from sertool.core import boxes, memory
from sertool.core.errors import InputError, ItemError
from sertool.core.paths import show
from sertool.items import Item

MP3_SLACK = 0.1  # share of an MP3's announced length, often an estimate, that may be missing
INT16_EXACT = frozenset({"PCM_16", "PCM_S8", "PCM_U8", "ALAC_16", "DPCM_16", "DPCM_8"})

_SHORTENED = re.compile(r"^ *(?:data|SSND) : (\d+) \(should be (\d+)\)", re.MULTILINE)
_STREAMED = 0x7FFFF000  # a pipe's writer puts such a size where it cannot know the real one
_WAV_LIMIT = (1 << 32) - (1 << 16)  # bytes: beyond, a WAV's own sizes overflow
_UNSTATED = (1 << 63) - 1  # libsndfile's number of samples where a FLAC's header has none
_FLAC_HEAD = 1 << 16  # bytes among which a FLAC begins; other programs' tags may come first
_BLOCK = 1 << 18  # samples read at a time where all channels of the whole would be large
_CODED_BLOCK = 1 << 14  # samples encoded at a time: Vorbis puts each block on the stack

boxes.forked_free(getattr(soundfile.SoundFile, "_sf_error_lock", None))


@dataclass
class Decoded:
    """One utterance as samples.

    `samples` (n,) is mono: float32 with full scale 1, or the file's own int16 with full scale
    32768. `sample_rate` is theirs, `source_rate` the file's. `duration` in seconds, `audio_hash`
    and `fingerprint` (empty unless asked for) are the whole utterance's, before a crop. `notes`
    holds "mixed", "resampled", "upsampled", "clipped", "silent", "padded".
    """

    samples: np.ndarray
    sample_rate: int
    source_rate: int
    channels: int
    audio_hash: str
    duration: float
    notes: list[str] = field(default_factory=list)
    fingerprint: str = ""


@dataclass(slots=True, eq=False)
class Sound(Item):
    """A recording in memory: `samples` (n, channels) at `sample_rate`, int16 or float32."""

    samples: np.ndarray = field(default_factory=lambda: np.zeros((0, 1), np.float32))
    sample_rate: int = 0


class TooLong(Exception):
    """An utterance has more samples than may be held."""


@dataclass(frozen=True)
class Held:
    """How many samples of an utterance may be in memory; rate: to which they are resampled, Hz."""

    most: int
    rate: int | None


Recording = str | os.PathLike[str] | Sound


def decode(
    path: Recording,
    *,
    start: float | None = None,
    end: float | None = None,
    offset: float = 0.0,
    duration: float | None = None,
    channel: str = "mix",
    sample_rate: int | None = None,
    fingerprinted: bool = False,
    hashed: bool = True,
    most: int | None = None,
) -> Decoded:
    """Return one utterance of a file (or of a `Sound`), cropped and resampled.

    `start` and `end` (seconds) cut the utterance out of the file; `offset` and `duration`
    (seconds) crop it, before resampling to `sample_rate`. `channel` is "mix" (the mean), "left"
    or "right" (the first, the second). `fingerprinted` asks for the fingerprint, too, and `hashed`
    for the hash. Raises ItemError for a file unreadable or not finite, and TooLong for an utterance
    of more samples than `most`, at its own rate or at `sample_rate`.
    """
    held = None if most is None else Held(most, sample_rate)
    data, rate, channels = _read(path, start, end, channel, held)
    decoded = from_samples(
        data, rate, offset=offset, duration=duration, to_rate=sample_rate, hashed=hashed
    )
    decoded.channels = channels
    if channels > 1 and channel == "mix":
        decoded.notes.insert(0, "mixed")
    if fingerprinted:
        decoded.fingerprint = fingerprint(data, rate)
    return decoded


def from_samples(
    samples: np.ndarray,
    sample_rate: int,
    *,
    offset: float = 0.0,
    duration: float | None = None,
    to_rate: int | None = None,
    hashed: bool = True,
) -> Decoded:
    """Return samples (n,), int16 or float32, as `decode` returns those of a mono file."""
    if len(samples) == 0:
        raise ItemError("no samples")
    check_finite(samples)
    cropped = crop(samples, sample_rate, offset, duration)
    notes = faults(cropped)
    if to_rate is not None and to_rate != sample_rate:
        cropped = resample(cropped, sample_rate, to_rate)
        notes.insert(0, resampling(sample_rate, to_rate))
    return Decoded(
        samples=cropped,
        sample_rate=to_rate or sample_rate,
        source_rate=sample_rate,
        channels=1,
        audio_hash=audio_hash(samples) if hashed else "",
        duration=len(samples) / sample_rate,
        notes=notes,
    )


def read_rate(path: str | os.PathLike[str]) -> int:
    """Return a file's sample rate in Hz from its header; raises ItemError."""
    if suffix(path) in NEEDS_FFMPEG:
        with converted(path, "-t", "0.1") as (_, rate, _):
            return rate
    with quiet(path), opened(path) as file:
        return int(file.samplerate)


def _read(
    path: Recording,
    start: float | None,
    end: float | None,
    channel: str,
    held: Held | None,
) -> tuple[np.ndarray, int, int]:
    """Return (mono samples (n,), rate, channels of the file) between `start` and `end`."""
    if isinstance(path, Sound):
        rate, channels = path.sample_rate, path.samples.shape[1]
        first, last = bounds(len(path.samples), rate, start, end)
        return mono(path.samples[first:last], channel), rate, channels
    if suffix(path) in NEEDS_FFMPEG:
        with converted(path) as (stream, rate, channels):
            most = int(memory.longest() * rate) + 1
            if held is not None:
                most = min(most, held.most + 1)
            data = big_endian_floats(all_of(stream, 4 * channels * most), channels)
            check_length(len(data), rate)
            _check_held(len(data), rate, held)
        first, last = bounds(len(data), rate, start, end)
        return mono(data[first:last], channel), rate, channels
    with quiet(path), opened(path) as file:
        rate, channels, total = file.samplerate, file.channels, file.frames
        check_whole(file)
        first, last = bounds(total, rate, start, end)
        check_length(last - first, rate)
        _check_held(last - first, rate, held)
        try:
            skip(file, first)
            data = _read_frames(file, last - first, channel)
        except soundfile.LibsndfileError as error:
            raise ItemError(f"truncated or damaged: {_reason(error)}") from None
        except MemoryError:
            raise ItemError(f"its header claims {total} samples; that {boxes.hunger()}") from None
        missing = last - first - len(data)
        slack = MP3_SLACK * total if file.format == "MP3" else 0
        if missing > slack and len(data):
            raise ItemError(f"truncated: only {len(data)} of {last - first} samples")
        return data, rate, channels


def _read_frames(file: soundfile.SoundFile, frames: int, channel: str) -> np.ndarray:
    """Return `frames` mono samples from where `file` stands; int16 where that is exact."""
    raw = file.subtype in INT16_EXACT and (file.channels == 1 or channel != "mix")
    dtype = "int16" if raw else "float32"
    if file.channels == 1:
        return file.read(frames, dtype=dtype)
    mixed = np.empty(frames, dtype=dtype)
    done = 0
    # block by block: all channels of an hour would be large
    while len(block := file.read(min(_BLOCK, frames - done), dtype=dtype, always_2d=True)):
        mixed[done : done + len(block)] = mono(block, channel)
        done += len(block)
        boxes.step()
    return mixed[:done]


def mono(data: np.ndarray, channel: str) -> np.ndarray:
    """Return one channel of `data` (n, channels): the mean (float32), or one of them.

    channel: "mix", "left" (the first), "right" (the second) or a number from 1; the last one, where
    there are not so many.
    """
    count = data.shape[1]
    if channel != "mix":
        number = {"left": 1, "right": 2}.get(channel) or int(channel)
        return data[:, min(count, number) - 1]
    if count == 1:
        return data[:, 0]
    data = to_float(data)
    total = data[:, 0] + data[:, 1]  # column by column: a mean along so short an axis is slow
    for i in range(2, count):
        total += data[:, i]
    return total / np.float32(count)


def skip(file: soundfile.SoundFile, frames: int) -> int:
    """Leave out the first samples of a file that was just opened; return how many it had of them.

    Raises ItemError.
    """
    try:
        if not frames or file.format != "MP3":
            return int(file.seek(frames)) if frames else 0
        done = 0  # to seek in MP3 is not exact
        while done < frames and (read := len(file.read(min(_BLOCK, frames - done)))):
            done += read
            boxes.step()
        return done
    except soundfile.LibsndfileError as error:
        raise ItemError(f"truncated or damaged: {_reason(error)}") from None


def _check_held(samples: int, rate: int, held: Held | None) -> None:
    """Raise TooLong where so many samples, or what they are resampled to, may not be held."""
    if held is not None and samples * max(1.0, (held.rate or rate) / rate) > held.most:
        raise TooLong


def read_on(file: soundfile.SoundFile, frames: int) -> np.ndarray:
    """Return the next samples of all channels, float32 (at most `frames`, channels); ItemError."""
    try:
        return file.read(frames, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ItemError(f"truncated or damaged: {_reason(error)}") from None


@contextlib.contextmanager
def wav_writer(
    path: str | os.PathLike[str], rate: int, frames: int, comment: str
) -> Iterator[Callable[[np.ndarray], None]]:
    """Yield what appends samples (n,), full scale 1, to a new mono WAV file of 16 bits.

    `frames` in all are announced: past a WAV's 4 GB it is an RF64. `comment` is kept in the file.
    Raises InputError where it cannot be written.
    """
    kind = "WAV" if 2 * frames < _WAV_LIMIT else "RF64"
    try:
        with soundfile.SoundFile(os.fsencode(path), "w", rate, 1, "PCM_16", format=kind) as file:
            file.comment = comment
            yield file.write
    except (soundfile.LibsndfileError, AssertionError) as error:  # it asserts that all was written
        known = isinstance(error, soundfile.LibsndfileError)
        reason = _reason(error) if known else "not all could be written; is the disk full?"
        raise InputError(f"{show(os.path.dirname(path))}: {reason}; nothing was replaced") from None


def codes(container: str, coding: str) -> bool:
    """Return whether libsndfile can write and read such a file, e.g. ("OGG", "VORBIS")."""
    return coding in soundfile.available_subtypes(container)


def coded(samples: np.ndarray, rate: int, container: str, coding: str) -> np.ndarray:
    """Return samples (n,), full scale 1, written to such a file in memory and read: float32 (n,).

    What a codec appends to fill its last block is cut off.
    """
    made = io.BytesIO(written(samples, rate, container, coding))
    with quiet(f"made.{container}"), soundfile.SoundFile(made) as file:
        read = file.read(file.frames, dtype="float32")
    return np.pad(read, (0, max(0, len(samples) - len(read))))[: len(samples)]


def written(samples: np.ndarray, rate: int, container: str, coding: str) -> bytes:
    """Return samples (n,), full scale 1, as such a file, e.g. ("MP3", "MPEG_LAYER_III")."""
    made = io.BytesIO()
    with soundfile.SoundFile(made, "w", rate, 1, coding, format=container) as file:
        for first in range(0, len(samples), _CODED_BLOCK):
            file.write(samples[first : first + _CODED_BLOCK])
    return made.getvalue()


def check_whole(file: soundfile.SoundFile) -> None:
    """Raise ItemError where a WAV or AIFF is shorter than its header announces."""
    short = _SHORTENED.search(file.extra_info)
    if short and int(short[1]) < _STREAMED:
        raise ItemError(f"truncated: only {short[2]} of {short[1]} bytes of sound")


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[soundfile.SoundFile]:
    """Open a file through libsndfile; ItemError says why it cannot be."""
    path = local(path)
    if "\0" in os.fspath(path) or suffix(path) == ".raw":  # C would read the name up to the NUL
        raise ItemError(why_not(path, "samples without a header"))
    with ordinary(path) as found:
        try:
            file = soundfile.SoundFile(found.fileno(), closefd=False)
        except soundfile.LibsndfileError as error:
            raise ItemError(why_not(path, _reason(error))) from None
        with file:
            if not SLOWEST <= file.samplerate <= FASTEST:
                raise ItemError(f"a sample rate of {file.samplerate} Hz: this is not audio")
            if file.frames < _UNSTATED:
                yield file
                return
        with _stated(found) as copy, soundfile.SoundFile(copy) as file:
            yield file


@contextlib.contextmanager
def _stated(found: IO[bytes]) -> Iterator[IO[bytes]]:
    """Yield a copy of a FLAC whose header leaves out the length, as a stream's, with it; ItemError.

    The number of samples is the last 36 bits of the 64 that begin 18 bytes after the mark.
    """
    with tempfile.TemporaryFile() as copy:
        found.seek(0)
        shutil.copyfileobj(found, copy)
        found.seek(0)
        try:
            total = _count(found)
        except soundfile.LibsndfileError as error:
            raise ItemError(f"truncated or damaged: {_reason(error)}") from None
        copy.seek(0)
        mark = copy.read(_FLAC_HEAD).find(b"fLaC")
        if mark < 0 or not total:
            raise ItemError("no samples" if not total else "its header does not say how long it is")
        at = copy.seek(mark + 18)
        stated = int.from_bytes(copy.read(8), "big") | min(total, (1 << 36) - 1)
        copy.seek(at)
        copy.write(stated.to_bytes(8, "big"))
        copy.seek(0)
        yield copy


def _count(found: IO[bytes]) -> int:
    """Return how many samples a file holds; it is decoded for that."""
    with soundfile.SoundFile(found.fileno(), closefd=False) as file:
        file.seekable = lambda: False  # where it ends is not known, so soundfile must not seek
        total = 0
        while block := len(file.read(_BLOCK, dtype="int16")):
            total += block
            check_length(total, file.samplerate)
            boxes.step()
        return total


def _reason(error: soundfile.LibsndfileError) -> str:
    """Return libsndfile's reason for an error, without prefix and full stop."""
    return str(error.error_string).removeprefix("Error : ").strip().rstrip(".")
