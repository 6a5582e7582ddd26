"""The options of `eval`, of audits, and of `predict`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sertool.audio import CHANNELS
from sertool.audio.voice import OFF, VADS
from sertool.core.errors import UsageError
from sertool.core.executors import Executor
from sertool.core.options import (
    FileOptions,
    Options,
    destination,
    executor,
    nested,
    seed,
    shared,
    strict,
    workers,
)
from sertool.core.settings import meant, option, pairs
from sertool.core.texts import whole
from sertool.evaluation.facts import FACTS
from sertool.models.hyperparameters import device, scoring_batch

LOUDEST = 200.0  # dB: beyond it noise or signal is below what float32 holds beside the other
TESTED = "What is tested"
ENCODER = (
    "Folder of the pre-trained encoder that features of kind ssl come from, or of several; where it"
    " is not given, SERTOOL_ENCODERS, this folder and the hub's cache are searched."
)
STRESSES = ("telephone", "codec", "noise", "room", "level", "half")  # families of conditions
ALL = "all"


def facts(panel: str, *more: str) -> Any:
    """Return the field of `--require`: facts of a protocol, "speaker-disjoint", and `more`."""
    return option(
        (),
        "Exit with 3 unless these facts hold.",
        metavar="FACT,...",
        choices=(*(name.replace("_", "-") for name in FACTS), *more),
        panel=panel,
        read=lambda texts: tuple(
            name.strip().replace("_", "-") for text in _several(texts) for name in text.split(",")
        ),
        recorded=False,
    )


def _several(texts: str | Sequence[str]) -> Sequence[str]:
    return [texts] if isinstance(texts, str) else texts


def stresses(texts: str | Sequence[str]) -> tuple[str, ...]:
    """Return the families of conditions in "NAME,…", each once and in one order; UsageError."""
    words = [word.strip() for text in _several(texts) for word in text.split(",")]
    for word in words:
        if word not in (*STRESSES, ALL):
            near = meant(word, (*STRESSES, ALL))
            raise UsageError(f"--stress {word}: needs {', '.join(STRESSES)} or {ALL}{near}")
    return tuple(name for name in STRESSES if name in words or ALL in words)


def _tested(default: Any, help: str, unit: str = "", **more: Any) -> Any:
    return option(default, help, unit, panel=TESTED, **more)


@dataclass(frozen=True)
class PageOptions(Options):
    """A page for a browser, and how much sound goes with it."""

    html: Path | None = destination(
        None, "Write a page to look at in a browser, one file without a network.", metavar="FILE"
    )
    audio: str | None = destination(
        None,
        "With --html: the sound of N recordings, of each cell or label in turn, in the page; all:"
        " of every one, in a folder beside it (FILE-audio).",
        metavar="N|all",
    )

    def check(self) -> None:
        """Raise UsageError for sound without a page, or of what is no number."""
        if self.audio is not None and self.html is None:
            raise UsageError("--audio: is the sound of a page; add --html FILE")
        if self.audio is not None and self.audio != ALL and not whole(self.audio):
            raise UsageError(f"--audio {self.audio}: needs a number of recordings above 0, or all")

    @property
    def beside(self) -> bool:
        """Whether the sound lies beside the page."""
        return self.audio == ALL


@dataclass(frozen=True)
class EvalOptions(Options):
    """How to test.

    by: the level that counts, "file" or "item". pool: how the segments of a file become one
    posterior. choose: where a checkpoint holds a model for each value of a field, its chooser
    alone decides, whatever is known of an item. stress: see `conditions`.
    """

    all: bool = _tested(False, "Test every item (another corpus), not only those held out.")
    where: tuple[str, ...] = _tested(
        (), "Test only items that match, e.g. gender=female; repeatable.", metavar="EXPR"
    )
    copies: bool = _tested(False, "Test augmented copies as well.")
    by: str = _tested("file", "Unit to score: a file, or an item (segment).",
                      choices=("file", "item"))  # fmt: skip
    pool: str = _tested(
        "mean", "How the segments of a file are pooled.", choices=("mean", "max", "vote")
    )
    noise_snr: float | None = _tested(
        None,
        "Add white noise to the decoded recordings at this signal-to-noise ratio.",
        "dB",
        least=-LOUDEST,
        most=LOUDEST,
    )
    channel_rate: int | None = _tested(
        None, "Pass recordings through a channel of this sample rate.", "Hz", least=100
    )
    stress: tuple[str, ...] = _tested(
        (),
        "Test under other conditions, too: a telephone, codecs, noise, rooms, levels, speech in"
        " half of the file; or only under some of these.",
        metavar="[NAME,...]",
        choices=(*STRESSES, ALL),
        bare=ALL,
        read=stresses,
    )
    choose: bool = _tested(
        False, "With models of train --per, use the chooser's choice, whatever the store says."
    )
    require: tuple[str, ...] = facts(TESTED, "encoder-clean")
    ci: float = option(
        0.95, "Level of the confidence intervals (bootstrap over speakers).", metavar="LEVEL",
        above=0, below=1,
    )  # fmt: skip
    summary: bool = option(False, "Leave the items out of the report.", panel="Output")
    encoder: Path | None = option(None, ENCODER, metavar="FOLDER", recorded=False)
    tags: dict[str, str] = option(
        {}, "Tag of the report; repeatable.", metavar="KEY=VALUE", flag="tag", panel="Output",
        read=lambda texts: dict(sorted(pairs("--tag", texts))),
    )  # fmt: skip
    device: str = device()
    batch_size: int = scoring_batch("items")
    seed: int = seed()
    workers: int = shared(
        0,
        "Threads that score, and worker processes of --stress (0: one per core).",
        metavar="N",
        short="-j",
        least=0,
    )

    def check(self) -> None:
        """Raise UsageError for values that contradict each other."""
        others = {
            "--noise-snr": self.noise_snr is not None,
            "--channel-rate": self.channel_rate is not None,
            "--copies": self.copies,
            "--by item": self.by == "item",
        }
        for name, given in others.items():
            if self.stress and given:
                raise UsageError(f"--stress has conditions of its own, of files: no {name}")


LONGEST = 1e6  # seconds that a window or hop may have
INPUT = "Input"
COLUMN = "column="  # before the name of a column, in --speaker-by
HEARD = "What is heard"
SPEAKERS = "Normalisation by speaker"


def classes(texts: str | Sequence[str]) -> tuple[str, ...]:
    """Return the classes of "A,B,..."; UsageError where there is none."""
    words = tuple(w.strip() for text in _several(texts) for w in text.split(",") if w.strip())
    if texts and not words:
        raise UsageError(f"--only {','.join(_several(texts))!r}: names no class")
    return words


@dataclass(frozen=True)
class HearOptions(Options):
    """What is heard of recordings, and how answers are given.

    only: classes kept, the others masked and the rest renormalised; synonyms will do. fields: what
    is known of all recordings, where one of several models is chosen by it (`train --per`).
    pool: how the windows of the model's own length become one row; with "none" each is a row.
    window, hop: seconds; a row for every window. segments: a row for every stretch of speech.
    """

    only: tuple[str, ...] = option(
        (), "Keep only these classes and renormalise.", metavar="A,B,...", read=classes
    )
    fields: dict[str, str] = option(
        {},
        "A known field of all recordings, which chooses among the models of train --per NAME.",
        metavar="NAME=VALUE",
        flag="field",
        read=lambda texts: dict(pairs("--field", texts)),
    )
    pool: str = option(
        "mean",
        "How the windows of a recording longer than the model's input become one line; none: a"
        " line for each.",
        choices=("mean", "max", "vote", "none"),
        panel=HEARD,
    )
    vad: str = option(
        "energy",
        "What finds speech: where there is none, a line has no label. silero and webrtc are extras"
        " (sertool[silero], sertool[webrtc]); off counts everything.",
        choices=(*VADS, OFF),
        panel=HEARD,
    )
    channel: str | None = option(
        None,
        "Channel to hear of a recording with several; each: a line for each.",
        choices=(*CHANNELS, "each"),
        unset="as the model was trained",
        panel=HEARD,
    )
    segments: bool = option(False, "One line per stretch of speech.", panel=HEARD)
    window: float | None = option(
        None, "One line per window of this length.", "s", above=0, most=LONGEST, panel=HEARD
    )
    hop: float | None = option(
        None, "From one window to the next.", "s", above=0, most=LONGEST, panel=HEARD,
        unset="--window",
    )  # fmt: skip
    whole_crop: bool = option(
        False,
        "Hear only what featurize --offset --duration keeps of a recording, as some papers do.",
        panel=HEARD,
    )
    reject: float | None = option(
        None, "Give no label below this confidence.", metavar="P", above=0, below=1
    )
    encoder: Path | None = option(None, ENCODER, metavar="FOLDER", recorded=False)
    device: str = device()
    batch_size: int = scoring_batch("recordings or windows")

    def check(self) -> None:
        """Raise UsageError for values that contradict each other."""
        if self.hop is not None and self.window is None:
            raise UsageError("--hop needs --window")
        given = [name for name, value in self._lines.items() if value]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)} exclude each other")
        if self.segments and self.vad == OFF:
            raise UsageError("--segments are what --vad finds: it cannot be off")
        if self.pool == "none" and given:
            raise UsageError(f"--pool none gives lines of its own: no {given[0]}")
        if self.whole_crop and self.several:
            raise UsageError("--whole-crop is one line a recording")

    @property
    def _lines(self) -> dict[str, object]:
        """The options that ask for lines of their own, by their names."""
        return {"--segments": self.segments, "--window": self.window}

    @property
    def several(self) -> bool:
        """Whether a recording may have several lines."""
        return self.pool == "none" or any(self._lines.values())


@dataclass(frozen=True)
class PredictOptions(HearOptions):
    """How to predict.

    speaker_by, speaker, speaker_statistics: see `by_speaker`.
    """

    by_speaker: Path | None = option(
        None,
        "One line per turn in this file (RTTM, or CSV with start, end, speaker), and per speaker.",
        metavar="FILE",
        panel=HEARD,
    )
    speaker_by: str | None = option(
        None,
        "Who speaks, for a model that normalises by speaker: all recordings of a folder, or of a"
        " channel (with --channel each), or of a value of a column of manifest lines"
        " (column=NAME), are one speaker's.",
        metavar="BY",
        unset="the manifest's speaker",
        panel=SPEAKERS,
    )
    speaker: str | None = option(
        None, "All recordings are this speaker's (NAME or CORPUS/NAME).", metavar="NAME",
        panel=SPEAKERS,
    )  # fmt: skip
    speaker_statistics: Path | None = option(
        None,
        "Normalise by the speakers' statistics in this file, instead of those of all recordings"
        " given, heard in a pass of their own.",
        metavar="FILE",
        panel=SPEAKERS,
    )
    strict: bool = strict()
    workers: int = workers(1)
    executor: str | Executor = executor()
    files: FileOptions = nested(FileOptions)

    def check(self) -> None:
        """Raise UsageError for values that contradict each other."""
        super().check()
        self._check_speakers()

    @property
    def _lines(self) -> dict[str, object]:
        """The options that ask for lines of their own, by their names."""
        return super()._lines | {"--by-speaker": self.by_speaker}

    def _check_speakers(self) -> None:
        told = {
            "--speaker-by": self.speaker_by,
            "--speaker": self.speaker,
            "--by-speaker": self.by_speaker,
        }
        given = [name for name, value in told.items() if value is not None]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)} exclude each other: each says who speaks")
        by = self.speaker_by
        if by == "channel" and self.channel != "each":
            raise UsageError("--speaker-by channel needs --channel each")
        if by not in (None, "folder", "channel", COLUMN) and str(by).startswith(COLUMN):
            return
        if by not in (None, "folder", "channel"):
            raise UsageError(f"--speaker-by {by}: needs folder, channel or column=NAME")
        if self.speaker == "":
            raise UsageError("--speaker: needs a name")


AUDIT = "Audit"


@dataclass(frozen=True)
class AuditOptions(Options):
    """How to audit, and the facts that must hold."""

    deep: bool = option(
        False,
        "Decode recordings of unknown hash or fingerprint; compare the waveforms of"
        " near-duplicates.",
        panel=AUDIT,
    )
    require: tuple[str, ...] = facts(AUDIT)
    workers: int = workers()
    files: FileOptions = nested(FileOptions)
