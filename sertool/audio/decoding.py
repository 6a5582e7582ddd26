"""The only door to audio files: decode, cut, mix down, resample, and say what is unusual."""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import os
import re
import struct
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
import soundfile

from sertool.audio import FASTEST
from sertool.audio.fingerprint import fingerprint
from sertool.audio.opening import (
    NEEDS_FFMPEG,
    bounds,
    ffmpeg_for,
    ordinary,
    quiet,
    suffix,
    told_as,
    why_not,
)
from sertool.core.errors import InputError, ItemError
from sertool.core.paths import show
from sertool.items import Item

FULL_SCALE = 32768  # int16 value v stands for v / 32768
CLIPPED_RUN = 3  # so many samples in a row at full scale are called clipping
SILENCE = 1e-4  # -80 dB of full scale: a peak below it is called silence
LOUDEST = 1e12  # times full scale: beyond, powers in float32 overflow
MP3_SLACK = 0.1  # share of an MP3's announced length, often an estimate, that may be missing
INT16_EXACT = frozenset({"PCM_16", "PCM_S8", "PCM_U8", "ALAC_16", "DPCM_16", "DPCM_8"})

_SHORTENED = re.compile(r"^ *(?:data|SSND) : (\d+) \(should be (\d+)\)", re.MULTILINE)
_STREAMED = 0x7FFFF000  # a pipe's writer puts such a size where it cannot know the real one
_WAV_LIMIT = (1 << 32) - (1 << 16)  # bytes: beyond, a WAV's own sizes overflow
_BLOCK = 1 << 18  # samples handled at a time where a second copy of the whole would be large
_CODED_BLOCK = 1 << 14  # samples encoded at a time: Vorbis puts each block on the stack


@dataclass
class Decoded:
    """One utterance as samples.

    `samples` (n,) is mono: float32 with full scale 1, or the file's own int16 with full scale
    32768. `sample_rate` is theirs, `source_rate` the file's. `duration` in seconds, `audio_hash`
    and `fingerprint` (empty unless asked for) are the whole utterance's, before a crop. `notes`
    holds "mixed", "resampled", "clipped", "silent", "padded".
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
) -> Decoded:
    """Return one utterance of a file (or of a `Sound`), cropped and resampled.

    `start` and `end` (seconds) cut the utterance out of the file; `offset` and `duration`
    (seconds) crop it, before resampling to `sample_rate`. `channel` is "mix" (the mean), "left"
    or "right" (the first, the second). `fingerprinted` asks for the fingerprint, too. Raises
    ItemError for a file unreadable or not finite.
    """
    data, rate, channels = _read(path, start, end, channel)
    decoded = from_samples(data, rate, offset=offset, duration=duration, to_rate=sample_rate)
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
) -> Decoded:
    """Return samples (n,), int16 or float32, as `decode` returns those of a mono file."""
    if len(samples) == 0:
        raise ItemError("no samples")
    check_finite(samples)
    cropped = crop(samples, sample_rate, offset, duration)
    notes = faults(cropped)
    if to_rate is not None and to_rate != sample_rate:
        cropped = resample(cropped, sample_rate, to_rate)
        notes.insert(0, "resampled")
    return Decoded(
        samples=cropped,
        sample_rate=to_rate or sample_rate,
        source_rate=sample_rate,
        channels=1,
        audio_hash=audio_hash(samples),
        duration=len(samples) / sample_rate,
        notes=notes,
    )


def read_rate(path: str | os.PathLike[str]) -> int:
    """Return a file's sample rate in Hz from its header; raises ItemError."""
    if suffix(path) in NEEDS_FFMPEG:
        return _ffmpeg(path, header_only=True)[1]
    with quiet(path), opened(path) as file:
        return int(file.samplerate)


def to_float(samples: np.ndarray) -> np.ndarray:
    """Return samples as float32 with full scale 1; exact for int16."""
    if samples.dtype == np.int16:
        return np.multiply(samples, np.float32(1 / FULL_SCALE), dtype=np.float32)
    return samples.astype(np.float32, copy=False)


def to_int16(samples: np.ndarray) -> np.ndarray:
    """Return samples as int16 with full scale 32768, rounded and clipped; int16 is left as is."""
    if samples.dtype == np.int16:
        return samples
    scaled = np.rint(samples * np.float32(FULL_SCALE))
    return np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def from_pcm16(data: bytes) -> np.ndarray:
    """Return raw little-endian 16-bit samples as int16 (n,); raises ItemError if one is halved."""
    if len(data) % 2:
        raise ItemError("an odd number of bytes is not 16-bit audio")
    return np.frombuffer(data, dtype="<i2").astype(np.int16, copy=False)


def read_wav_header(file: BinaryIO) -> tuple[int, int]:
    """Return (sample rate, channels) of a 16-bit WAV stream, leaving `file` at its first sample.

    Reads forward only, as from a pipe; announced lengths are ignored. Else raises ItemError.
    """
    head = file.read(12)
    if head[:4] not in (b"RIFF", b"RF64") or head[8:12] != b"WAVE":
        raise ItemError("not a WAV stream")
    rate = channels = 0
    while len(chunk := file.read(8)) == 8:
        name, size = struct.unpack("<4sI", chunk)
        if name == b"data":
            break
        body = file.read(size + size % 2)
        if name == b"fmt " and len(body) >= 16:
            code, channels, rate, _, _, bits = struct.unpack("<HHIIHH", body[:16])
            if code not in (1, 0xFFFE) or bits != 16:
                raise ItemError(f"a WAV stream must be 16-bit PCM, this is {bits}-bit, code {code}")
    if not (rate and channels):
        raise ItemError("a WAV stream without a format")
    return rate, channels


def crop(samples: np.ndarray, rate: int, offset: float, duration: float | None) -> np.ndarray:
    """Return the view of `samples` from `offset` on, at most `duration` long (both in seconds).

    Raises ItemError where `offset` lies past the end.
    """
    first = round(offset * rate)
    last = len(samples) if duration is None else first + round(duration * rate)
    part = samples[first:last]
    if len(part) == 0:
        raise ItemError(f"nothing left after {offset:g} s: it is {len(samples) / rate:.3f} s long")
    return part


def resample(samples: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """Return samples (n,) at another rate: float32 (ceil(n * to_rate / from_rate),).

    The band-limited interpolation of soxr at its quality HQ, cut or zero-padded to that length.
    """
    samples = to_float(samples)
    if from_rate == to_rate:
        return samples
    import soxr

    wanted = -(-len(samples) * to_rate // from_rate)
    result = soxr.resample(samples, from_rate, to_rate, quality="HQ")
    return np.pad(result, (0, max(0, wanted - len(result))))[:wanted]


def check_finite(samples: np.ndarray) -> None:
    """Raise ItemError where a sample is NaN, infinite, or so large that its power would be."""
    if samples.dtype.kind != "f":
        return
    peak = float(max(samples.max(), -samples.min()))
    if not math.isfinite(peak):
        count = int(np.count_nonzero(~np.isfinite(samples)))
        raise ItemError(f"NaN or infinity in {count} of {len(samples)} samples")
    if peak > LOUDEST:
        raise ItemError(f"a sample of {peak:.0e} times full scale: this is no audio")


def faults(samples: np.ndarray) -> list[str]:
    """Return what is odd about samples (n,) that are otherwise good.

    "clipped": at least three samples in a row at full scale (32767 of 32768 or more, of either
    sign). "silent": no sample reaches -80 dB of full scale.
    """
    scale = FULL_SCALE if samples.dtype == np.int16 else 1.0
    peak = max(samples.max().item(), -samples.min().item())
    if peak < SILENCE * scale:
        return ["silent"]
    full = scale * (FULL_SCALE - 1) / FULL_SCALE
    if peak < full:
        return []
    at_full = (samples >= full) | (samples <= -full)
    run = at_full[CLIPPED_RUN - 1 :].copy()
    for lag in range(1, CLIPPED_RUN):
        run &= at_full[CLIPPED_RUN - 1 - lag : len(at_full) - lag]
    return ["clipped"] if run.any() else []


def audio_hash(samples: np.ndarray) -> str:
    """Return 32 hex digits of the SHA-256 of samples (n,).

    Of their little-endian int16 where every sample is exactly one (value / 32768), so that WAV,
    FLAC and 24-bit copies of one recording agree; else of their float32.
    """
    digest = hashlib.sha256()
    if samples.dtype == np.int16:
        digest.update(np.ascontiguousarray(samples, dtype="<i2").data)
        return digest.hexdigest()[:32]
    blocks = [samples[i : i + _BLOCK] for i in range(0, len(samples), _BLOCK)]
    exact = all(_is_int16(block) for block in blocks)
    for block in blocks:
        digest.update((to_int16(block).astype("<i2") if exact else block.astype("<f4")).data)
    return digest.hexdigest()[:32]


def _is_int16(block: np.ndarray) -> bool:
    scaled = block * np.float32(FULL_SCALE)
    inside = scaled.max() < FULL_SCALE and scaled.min() >= -FULL_SCALE
    return bool(inside and (scaled == np.rint(scaled)).all())


def _read(
    path: Recording, start: float | None, end: float | None, channel: str
) -> tuple[np.ndarray, int, int]:
    """Return (mono samples (n,), rate, channels of the file) between `start` and `end`."""
    if isinstance(path, Sound):
        rate, channels = path.sample_rate, path.samples.shape[1]
        first, last = bounds(len(path.samples), rate, start, end)
        mixed = channels > 1 and channel == "mix"
        samples = to_float(path.samples) if mixed else path.samples
        return _mono(samples[first:last], channel), rate, channels
    if suffix(path) in NEEDS_FFMPEG:
        data, rate = _ffmpeg(path)
        first, last = bounds(len(data), rate, start, end)
        return _mono(data[first:last], channel), rate, data.shape[1]
    with quiet(path), opened(path) as file:
        rate, channels, total = file.samplerate, file.channels, file.frames
        check_whole(file)
        first, last = bounds(total, rate, start, end)
        try:
            if first and file.format == "MP3":
                _read_frames(file, first, channel)  # to seek in MP3 is not exact
            elif first:
                file.seek(first)
            data = _read_frames(file, last - first, channel)
        except soundfile.LibsndfileError as error:
            raise ItemError(f"truncated or damaged: {_reason(error)}") from None
        except MemoryError:
            raise ItemError(f"its header claims {total} samples, more than memory holds") from None
        missing = last - first - len(data)
        slack = MP3_SLACK * total if file.format == "MP3" else 0
        if missing > slack and len(data):
            raise ItemError(f"truncated: {len(data)} of {last - first} samples are there")
        return data, rate, channels


def _read_frames(file: soundfile.SoundFile, frames: int, channel: str) -> np.ndarray:
    """Return `frames` mono samples from where `file` stands; int16 where that is exact."""
    raw = file.subtype in INT16_EXACT and (file.channels == 1 or channel != "mix")
    dtype = "int16" if raw else "float32"
    if file.channels == 1:
        return file.read(frames, dtype=dtype)
    mono = np.empty(frames, dtype=dtype)
    done = 0
    # block by block: all channels of an hour would be large
    while len(block := file.read(min(_BLOCK, frames - done), dtype=dtype, always_2d=True)):
        mono[done : done + len(block)] = _mono(block, channel)
        done += len(block)
    return mono[:done]


def _mono(data: np.ndarray, channel: str) -> np.ndarray:
    """Return one channel of `data` (n, channels): the mean, the first or the second."""
    count = data.shape[1]
    if channel != "mix":
        return data[:, min(count - 1, 1 if channel == "right" else 0)]
    if count == 1:
        return data[:, 0]
    total = data[:, 0] + data[:, 1]  # column by column: a mean along so short an axis is slow
    for i in range(2, count):
        total += data[:, i]
    return total / np.float32(count)


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
        told = _reason(error) if known else "not all could be written; is the disk full?"
        raise InputError(f"{show(os.path.dirname(path))}: {told}; nothing was replaced") from None


def codes(container: str, coding: str) -> bool:
    """Return whether libsndfile can write and read such a file, e.g. ("OGG", "VORBIS")."""
    return coding in soundfile.available_subtypes(container)


def coded(samples: np.ndarray, rate: int, container: str, coding: str) -> np.ndarray:
    """Return samples (n,), full scale 1, written to such a file in memory and read: float32 (n,).

    What a coding appends to fill up its last block is cut off.
    """
    made = io.BytesIO()
    with soundfile.SoundFile(made, "w", rate, 1, coding, format=container) as file:
        for first in range(0, len(samples), _CODED_BLOCK):
            file.write(samples[first : first + _CODED_BLOCK])
    made.seek(0)
    with quiet(f"made.{container}"), soundfile.SoundFile(made) as file:
        read = file.read(file.frames, dtype="float32")
    return np.pad(read, (0, max(0, len(samples) - len(read))))[: len(samples)]


def check_whole(file: soundfile.SoundFile) -> None:
    """Raise ItemError where a WAV or AIFF is shorter than its own header says."""
    short = _SHORTENED.search(file.extra_info)
    if short and int(short[1]) < _STREAMED:
        raise ItemError(f"truncated: {short[2]} of {short[1]} bytes of sound are there")


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[soundfile.SoundFile]:
    """Open a file through libsndfile; ItemError says why it cannot be."""
    # as bytes, so that a name that is not UTF-8 arrives unchanged
    name = os.fsencode(path) if os.name == "posix" else os.fspath(path)
    if "\0" in os.fspath(path) or suffix(path) == ".raw":  # C would read the name up to the NUL
        raise ItemError(why_not(path, "samples without a header"))
    ordinary(path)
    try:
        file = soundfile.SoundFile(name)
    except soundfile.LibsndfileError as error:
        raise ItemError(why_not(path, _reason(error))) from None
    with file:
        if file.samplerate > FASTEST:
            raise ItemError(f"a sample rate of {file.samplerate} Hz: this is no audio")
        yield file


def _reason(error: soundfile.LibsndfileError) -> str:
    """Return what libsndfile says of an error, without its frame."""
    return str(error.error_string).removeprefix("Error : ").strip().rstrip(".")


def _ffmpeg(path: str | os.PathLike[str], header_only: bool = False) -> tuple[np.ndarray, int]:
    """Return (samples (n, channels) float32, rate) of the first audio stream, through ffmpeg."""
    program = ffmpeg_for(path)
    # AU: the one container with a header of 24 bytes that a pipe cannot spoil
    command = [program, "-nostdin", "-v", "error", "-i", f"file:{os.fspath(path)}"]
    command += ["-map", "0:a:0", *(["-t", "0.1"] if header_only else [])]
    command += ["-c:a", "pcm_f32be", "-f", "au", "-"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode or done.stdout[:4] != b".snd":
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise ItemError(told_as(lines[-1].strip() if lines else f"ffmpeg exit {done.returncode}"))
    begin, _, _, rate, channels = struct.unpack(">5I", done.stdout[4:24])
    whole = (len(done.stdout) - begin) // (4 * channels) * channels
    data = np.frombuffer(done.stdout, ">f4", whole, begin).astype(np.float32)
    return data.reshape(-1, channels), rate
