"""Predictions of a stream: raw samples or WAV on a pipe, window by window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np

from sertool.audio.decoding import mono, read_wav_header
from sertool.audio.listening import Ear
from sertool.audio.voice import OFF, Span
from sertool.core.errors import InputError, ItemError, UsageError
from sertool.evaluation.predictor import Giver, Predictor, Sink
from sertool.items import Item
from sertool.ui.console import Console

WINDOW = 2.0  # seconds of a window, where neither an option nor the pipeline says
REMEMBERED = 15.0  # seconds of a stream from which its background is known
READ_BYTES = 1 << 16  # asked of a stream at a time, however long its window


class _Rejoined:
    """A stream whose first bytes were looked at already."""

    def __init__(self, head: bytes, file: BinaryIO) -> None:
        self._head, self._file = head, file

    def read(self, n: int) -> bytes:
        """Return `n` bytes, fewer only at the end."""
        found, self._head = bytearray(self._head[:n]), self._head[n:]
        while len(found) < n and (block := self._file.read(min(n - len(found), READ_BYTES))):
            found += block
        return bytes(found)


def predict_stream(
    predictor: Predictor, file: BinaryIO, sample_rate: int | None, sink: Sink, console: Console
) -> None:
    """Give `sink` a row for every window of a raw 16-bit PCM or WAV stream, once it is complete.

    `sample_rate` (Hz) is needed for raw PCM, which is mono. Without `window` a window is as long
    as what the model was trained on, else `WINDOW`. The rest at the end is covered by a
    last window that ends with the stream. Speech is told from what was heard so far.
    """
    predictor.load()
    hearing, options = predictor.hearing, predictor.options
    channel = hearing.pipeline.stages[0].channel
    head = file.read(4)
    stream: Any = _Rejoined(head, file)
    channels = 1
    if head in (b"RIFF", b"RF64"):
        try:
            rate, channels = read_wav_header(stream)
        except ItemError as error:
            raise InputError(f"standard input: {error}") from error
        if sample_rate not in (None, rate):
            raise UsageError(f"--sample-rate {sample_rate}: the WAV stream has {rate} Hz")
    elif sample_rate is None:
        raise UsageError("--stream of raw 16-bit PCM needs --sample-rate")
    else:
        rate = sample_rate
    seconds = options.window or hearing.length or WINDOW
    hop = options.hop or seconds
    giver = Giver(predictor, sink, console)
    giver.begin()
    ear = None if options.vad == OFF else Ear(options.vad, rate, max(REMEMBERED, 2 * seconds))
    end = 0
    for begin, samples in _windows(
        stream, channels, max(1, round(seconds * rate)), max(1, round(hop * rate)), channel
    ):
        if ear is not None:
            ear.hear(samples[max(0, end - begin) :])
        end = begin + len(samples)
        speech = None if ear is None else _within(ear.so_far(end / rate), begin / rate)
        clip = hearing.part(samples, rate, speech)
        clip.start, clip.end = begin / rate, end / rate
        (scored,) = predictor.scores([clip], [None])
        giver.clip(Item("", "-"), clip, scored)
    if not end:
        raise InputError("standard input: no samples")
    giver.conclude()


def _within(speech: Sequence[Span], begin: float) -> list[Span]:
    """Return stretches of speech in seconds from `begin` on."""
    return [(max(0.0, a - begin), b - begin) for a, b in speech if b > begin]


def _windows(
    file: BinaryIO, channels: int, length: int, hop: int, channel: str
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (first sample, samples) of windows as they are complete, then what is left over.

    Holds one window: the same windows as `pipeline.spans` cuts from a whole recording.
    """
    kept = np.zeros(0, np.int16)
    begin = end = done = 0  # of what is kept; of what a whole window has covered
    following = 0
    while True:
        wanted = following + length - end
        block = file.read(2 * channels * wanted)
        fresh = _mono(block, channels, channel)
        kept = np.concatenate([kept, fresh])
        end += len(fresh)
        if len(kept) > length:
            begin, kept = end - length, kept[-length:]
        if end < following + length:
            break
        yield begin, kept
        done = end
        following += hop
    if done < end and following < end:
        yield begin, kept


def _mono(block: bytes, channels: int, channel: str) -> np.ndarray:
    """Return whole 16-bit frames as mono: int16 as they are, or the mean of channels as float32."""
    whole = len(block) // (2 * channels) * 2 * channels
    frames = np.frombuffer(block[:whole], "<i2").astype(np.int16, copy=False)
    return mono(frames.reshape(-1, channels), channel)
