"""`predict` with a model trained on features normalised by speaker: whose recordings these are.

What `train` and `eval` take from a store, `predict` hears in a pass of its own: of all windows in
which the model hears all of a speaker's recordings, whatever is silent and whatever a row is for,
which are the items that a store of these recordings holds. So the statistics do not depend on
`--vad`, `--window`, `--segments`, `--pool` or what was done before `--resume`. They are kept in
memory, a mean and a deviation a speaker; the recordings are not.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sertool.audio.decoding import Sound
from sertool.core import boxes, workers
from sertool.core.boxes import Limits
from sertool.core.errors import InputError, ItemError
from sertool.core.paths import from_text, is_url, show, to_text
from sertool.evaluation.heldout import features_sha256
from sertool.evaluation.options import COLUMN, PredictOptions
from sertool.features.hearing import Clip, Hearing
from sertool.features.turns import Turns, turns_of
from sertool.formats import speaker_statistics
from sertool.formats.speaker_statistics import Head, Line
from sertool.items import Item
from sertool.models.speakers import statistics_of
from sertool.models.statistics import Moments, Statistics
from sertool.ui.console import Console
from sertool.ui.words import plural

LITTLE = 30.0  # seconds: a single recording shorter than this says little of its speaker
LISTED = 3  # speakers named in a message
Task = tuple[Item, str | None]  # a recording, and which of its channels is to be heard


class Key(NamedTuple):
    """A speaker: a name, unique within `corpus`, and the channel where each is heard apart.

    Where a folder is a speaker, its path is the name; where a channel or a diariser's turn is, the
    recording is the corpus.
    """

    corpus: str
    speaker: str
    channel: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.corpus, self.speaker, self.channel) if part)


@dataclass(frozen=True)
class Who:
    """Who speaks in a recording: by a field of its manifest line, or what an option says.

    by: "folder", "channel", the name of a column, or None for `speaker`. name: all recordings'
    speaker. turns: whether turns say it. each: whether every channel has statistics of its own.
    """

    by: str | None = None
    column: str = "speaker"
    name: str | None = None
    turns: bool = False
    each: bool = False

    @classmethod
    def of(cls, options: PredictOptions) -> Who:
        """Return what the options of `predict` say."""
        by, column = options.speaker_by, "speaker"
        if by not in (None, "folder", "channel"):
            by, column = None, str(by).removeprefix(COLUMN)
        turns = options.by_speaker is not None
        return cls(by, column, options.speaker, turns, options.channel == "each")

    def key(self, item: Item, channel: str | None, turn: str | None = None) -> Key | None:
        """Return the speaker of a recording, a channel or a turn of it; None where unknown."""
        part = (channel or "") if self.each else ""
        if self.turns:
            return Key(_absolute(item), turn, part) if turn is not None else None
        if self.by == "channel":
            return Key(_absolute(item), part)
        if self.name is not None:
            return Key("", self.name, part)
        if self.by == "folder":
            return None if isinstance(item, Sound) else Key("", _folder(_absolute(item)), part)
        value = item.value(self.column)
        return None if value in (None, "") else Key(item.corpus or "", _text(value), part)

    def shown(self, item: Item, key: Key) -> str:
        """Return what a row calls the speaker: a folder as its path names it."""
        return _folder(item.path) or "." if self.by == "folder" else key.speaker or key.channel


def _absolute(item: Item) -> str:
    there = isinstance(item, Sound) or is_url(item.path)
    return item.path if there else to_text(os.path.abspath(from_text(item.path)))


def _folder(path: str) -> str:
    return os.path.dirname(path)


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass
class Own:
    """What is known of one speaker, and of how much that is."""

    statistics: Statistics
    recordings: int
    frames: int
    seconds: float


@dataclass(frozen=True)
class Known:
    """The statistics of every speaker there is, and how a recording's is found."""

    who: Who
    speakers: Mapping[Key, Own]
    source: str = "these recordings"

    def normalise(self, item: Item, channel: str | None, clip: Clip) -> None:
        """Normalise a clip's features in place, and say whose they are.

        Raises ItemError where the speaker or his or her statistics are not known.
        """
        key = self.who.key(item, channel, clip.speaker)
        if key is None:
            raise ItemError("whose recording it is, is not known")
        clip.whose = self.who.shown(item, key)
        if clip.segments or clip.error is None:
            statistics = self.find(key).statistics
            clip.segments[:] = [
                one._replace(array=statistics.apply(one.array)) for one in clip.segments
            ]

    def find(self, key: Key) -> Own:
        """Return what is known of a speaker; ItemError where nothing, or of several, is.

        A name that an option gives may be that of any corpus, or "corpus/name".
        """
        if key in self.speakers:
            return self.speakers[key]
        alike: list[Key] = []
        if self.who.name is not None:
            names = {other: (other.speaker, f"{other.corpus}/{other.speaker}")
                     for other in self.speakers if other.channel == key.channel}  # fmt: skip
            alike = [other for other, own in names.items() if key.speaker in own]
        if len(alike) == 1:
            return self.speakers[alike[0]]
        what = "several speakers" if alike else "no statistics of speaker"
        raise ItemError(f"{what} {show(str(key))} in {self.source}")

    @property
    def sha256(self) -> str:
        """The hash of all statistics: equal ones give equal predictions."""
        digest = hashlib.sha256()
        for text in speaker_statistics.texts(Head(pipeline="-", channel="-", whole_crop=False,
                                                  dims=0), self.lines()):  # fmt: skip
            digest.update(text.encode())
        return digest.hexdigest()

    def lines(self) -> Iterator[Line]:
        """Yield what a file keeps of every speaker, in the order of their names."""
        for key, own in sorted(self.speakers.items()):
            yield Line(
                corpus=key.corpus,
                speaker=key.speaker,
                channel=key.channel,
                recordings=own.recordings,
                frames=own.frames,
                seconds=own.seconds,
                mean=own.statistics.mean.ravel().tolist(),
                sd=own.statistics.sd.ravel().tolist(),
            )


@dataclass(frozen=True)
class Measures:
    """Hears all of one recording for its speakers' statistics; runs in a worker."""

    hearing: Hearing
    turns: Turns | None
    who: Who

    def __call__(self, task: Task) -> dict[Key, tuple[Moments, float]]:
        """Return moments and seconds by speaker; nothing of what cannot be heard.

        Whoever predicts it says why. What is not finite is an error of its own recording alone.
        """
        item, channel = task
        made: dict[Key, tuple[Moments, float]] = {}
        if not self.who.turns and self.who.key(item, channel) is None:
            return made
        try:
            with boxes.file():
                for clip in self._clips(item, channel):
                    self._add(clip, self.who.key(item, channel, clip.speaker), made)
        except ItemError:
            return {}
        return {key: pair for key, pair in made.items() if _finite(pair[0])}

    def _add(self, clip: Clip, key: Key | None, made: dict[Key, tuple[Moments, float]]) -> None:
        """Count a clip's features among those of its speaker."""
        if key is None or not clip.segments:
            return
        moments, seconds = made.get(key, (Moments(), 0.0))
        for array in clip.arrays:
            moments.add(array)
        # parts of a recording that becomes one row all have its duration
        length = seconds + clip.duration if self.who.turns else clip.duration
        made[key] = moments, length

    def _clips(self, item: Item, channel: str | None) -> Iterator[Clip]:
        turns = turns_of(self.turns, item.path) if self.turns is not None else None
        if turns is None and self.turns is not None:
            return
        hearing = self.hearing.everything(channel, turns)
        heard = hearing.hear(item)
        yield from heard.clips
        if heard.listened is not None:
            yield from hearing.clips(item, heard.listened)


def _finite(moments: Moments) -> bool:
    return bool(np.isfinite(moments.mean).all() and np.isfinite(moments.variance()).all())


def measure(
    hearing: Hearing,
    turns: Turns | None,
    who: Who,
    tasks: Sequence[Task],
    processes: int,
    console: Console,
    limits: Limits | None,
) -> Known:
    """Return the statistics of the speakers of recordings, each read once.

    Raises InputError where nobody is known.
    """
    if not who.turns and all(who.key(*task) is None for task in tasks):
        raise InputError(
            "the model was trained with --speaker-normalisation, and whose these recordings are is"
            " not known: give manifest lines (-) with a speaker, --speaker-by folder, or --speaker"
        )
    found: dict[Key, tuple[Moments, float, int]] = {}
    with console.progress(len(tasks), "files (speakers)") as progress:
        for made in workers.ordered(Measures(hearing, turns, who), tasks, processes, limits=limits):
            for key, (moments, seconds) in made.items():
                before, time, count = found.get(key, (Moments(), 0.0, 0))
                before.merge(moments)
                found[key] = before, time + seconds, count + 1
            progress.advance()
    known = {
        key: Own(statistics_of(moments), count, moments.count, seconds)
        for key, (moments, seconds, count) in found.items()
    }
    console.note(f"{plural(len(known), 'speaker')}, each normalised by all recordings given")
    _warn_of_few(known, console)
    return Known(who, known)


def _warn_of_few(known: Mapping[Key, Own], console: Console) -> None:
    few = [k for k, own in known.items() if own.recordings == 1 and own.seconds < LITTLE]
    if few:
        more = ", …" if len(few) > LISTED else ""
        console.warn(
            f"{plural(len(few), 'speaker')} with a single recording of less than {LITTLE:g} s"
            f" ({', '.join(show(str(key)) for key in few[:LISTED])}{more}): normalised by that"
            " alone, which leaves little of what tells it from others"
        )


def head_of(hearing: Hearing, options: PredictOptions, dims: int) -> Head:
    """Return of which features statistics are, and of what of a recording."""
    return Head(
        pipeline=features_sha256(hearing.pipeline),
        channel=options.channel or hearing.pipeline.stages[0].channel,
        whole_crop=hearing.whole_crop and hearing.cropped,
        dims=dims,
    )


def texts(known: Known, head: Head) -> Iterable[str]:
    """Return the lines of a file with these statistics."""
    return speaker_statistics.texts(head, known.lines())


def read(path: Path, wanted: Head, who: Who, shape: Sequence[int]) -> Known:
    """Return the statistics in a file; InputError where they are of other features.

    shape: of a frame, (dims,) or (layers, dims).
    """
    head, lines = speaker_statistics.read(path)
    if (head.pipeline, head.dims) != (wanted.pipeline, wanted.dims):
        raise InputError(
            f"{show(path)}: speakers' statistics of other features than the model's; write them"
            " again with this model (--write-statistics)"
        )
    for name in ("channel", "whole_crop"):
        mine, theirs = getattr(wanted, name), getattr(head, name)
        if mine != theirs:
            flag = name.replace("_", "-")
            raise InputError(
                f"{show(path)}: written with --{flag} {theirs}, not {mine}: of other sound"
            )
    speakers = {
        Key(line.corpus, line.speaker, line.channel): Own(
            Statistics(
                "feature",
                np.array(line.mean, "f4").reshape(shape),
                np.array(line.sd, "f4").reshape(shape),
            ),
            line.recordings,
            line.frames,
            line.seconds,
        )
        for line in lines
    }
    if len(speakers) < len(lines):
        raise InputError(f"{show(path)}: a speaker stands in it twice")
    return Known(who, speakers, show(path))
