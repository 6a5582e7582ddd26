"""Predictions of a stream: raw samples or WAV on a pipe, window by window."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO

import numpy as np

from sertool.audio.decoding import mono
from sertool.audio.listening import Ear
from sertool.audio.streams import RATES, Stream, wav_stream
from sertool.audio.voice import OFF, Span
from sertool.core.errors import InputError, ItemError, UsageError
from sertool.evaluation.predictor import Giver, Predictor, Sink, names_of
from sertool.features.hearing import Clip
from sertool.items import Item
from sertool.ui.console import Console

WINDOW = 2.0  # seconds of a window, where neither an option nor the pipeline says
REMEMBERED = 15.0  # seconds of a stream from which its background is known


def predict_stream(
    predictor: Predictor, source: Callable[[], Stream], sink: Sink, console: Console
) -> None:
    """Give `sink` a row for every window of a stream, once it is complete.

    With `--channel each` there is a row for each channel of it. The stream is opened once the model
    is loaded. Without `window` a window is as long as what the model was trained on, else `WINDOW`.
    The rest at the end is covered by a last window that ends with the stream. Speech is told from
    what was heard so far. Raises InputError for a stream without samples.
    """
    item = _speaking(predictor)
    predictor.load()
    hearing, options = predictor.hearing, predictor.options
    stream = source()
    rate = stream.rate
    seconds = options.window or hearing.length or WINDOW
    hop = options.hop or seconds
    giver = Giver(predictor, sink, console)
    giver.begin()
    heard = names_of(stream.channels) if options.channel == "each" else [options.channel]
    kept = max(REMEMBERED, 2 * seconds)
    ears = {one: Ear(options.vad, rate, kept) for one in heard if options.vad != OFF}
    for channel in heard:
        _check_known(predictor, item, channel)
    end = 0
    length, step = max(1, round(seconds * rate)), max(1, round(hop * rate))
    _rehearse(predictor, min(length, round(REMEMBERED * rate)), rate)
    for begin, frames in _windows(stream, length, step):
        fresh, end = max(0, end - begin), begin + len(frames)
        for channel in heard:
            samples = mono(frames, channel or hearing.pipeline.stages[0].channel)
            speech = None
            if channel in ears:
                ears[channel].hear(samples[fresh:])
                speech = _within(ears[channel].so_far(end / rate), begin / rate)
            clip = hearing.part(samples, rate, speech)
            predictor.hears.normalise(item, channel, clip)
            clip.start, clip.end = begin / rate, end / rate
            (scored,) = predictor.scores([clip], [None])
            giver.clip(item, clip, scored, channel)
    if not end:
        raise InputError("standard input: no samples")
    giver.conclude()


def _rehearse(predictor: Predictor, length: int, rate: int) -> None:
    """Answer `length` samples of noise and forget them, before the stream is read.

    What is loaded or laid out when it is first used would delay the first window's answer.
    """
    noise = np.random.default_rng(0).integers(-3000, 3000, length, np.int16)
    if predictor.options.vad != OFF:
        Ear(predictor.options.vad, rate).hear(noise)
    scorer = predictor.load()
    counts = scorer.windows_averaged, scorer.padded
    with contextlib.suppress(InputError):  # whoever hears the stream will say it
        predictor.scores([predictor.hearing.part(noise, rate, None)], [None])
    scorer.windows_averaged, scorer.padded = counts  # of nothing that anybody said


def _speaking(predictor: Predictor) -> Item:
    """Return what is known of a stream: who speaks, where that is all that the statistics know."""
    item = Item("", "-")
    if not predictor.normalised:
        return item
    if predictor.known is None:
        raise UsageError(
            "--stream: the model was trained with --speaker-normalisation, and what the speaker"
            " will say is not known; give --speaker-statistics FILE"
        )
    if predictor.options.speaker is not None:
        return item
    names = {key[:2] for key in predictor.known.speakers}
    if len(names) > 1:
        raise UsageError(
            f"--stream: {predictor.known.source} has {len(names)} speakers; say who speaks with"
            " --speaker NAME"
        )
    ((corpus, speaker),) = names
    return item.replace(corpus=corpus, speaker=speaker)


def _check_known(predictor: Predictor, item: Item, channel: str | None) -> None:
    """Raise InputError where the speaker of a stream has no statistics, before any of it is."""
    try:
        predictor.hears.normalise(item, channel, Clip([], 0.0))
    except ItemError as error:
        raise InputError(str(error)) from error


def opened(file: BinaryIO, sample_rate: int | None, channels: int) -> Stream:
    """Return a stream of raw 16-bit PCM, or of a WAV, by what its first bytes say it is.

    `sample_rate` (Hz) is needed for raw PCM, whose `channels` are interleaved.
    """
    head = file.read(4)
    if head not in (b"RIFF", b"RF64"):
        if sample_rate is None:
            raise UsageError("--stream of raw 16-bit PCM needs --sample-rate")
        if sample_rate not in RATES:
            limits = f"{RATES[0]} to {RATES[-1]} Hz"
            raise UsageError(f"--sample-rate {sample_rate}: a stream has {limits}")
        return Stream(file, sample_rate, channels, head=head)
    try:
        stream = wav_stream(file, head)
    except ItemError as error:
        raise InputError(f"standard input: {error}") from error
    if sample_rate not in (None, stream.rate):
        raise UsageError(f"--sample-rate {sample_rate}: the WAV stream has {stream.rate} Hz")
    return stream


def _within(speech: Sequence[Span], begin: float) -> list[Span]:
    """Return stretches of speech in seconds from `begin` on."""
    return [(max(0.0, a - begin), b - begin) for a, b in speech if b > begin]


def _windows(stream: Stream, length: int, hop: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (first frame, frames (n, channels)) of windows as they are complete, then the rest.

    Holds one window: the same windows as `pipeline.spans` cuts from a whole recording.
    """
    kept = np.zeros((0, stream.channels), np.int16)
    begin = end = done = 0  # of what is kept; of what a whole window has covered
    following = 0
    while True:
        fresh = stream.read(following + length - end)
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
