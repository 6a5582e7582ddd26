"""predict: recordings become labels, a row as soon as it is known."""

from __future__ import annotations

import functools
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

from sertool.commands.recordings import STDIN, check_arguments, refuse_terminal, sources
from sertool.core import remote
from sertool.core.boxes import Box, limits
from sertool.core.errors import InputError, UsageError
from sertool.core.executors import PROCESSES
from sertool.core.options import (
    Argument,
    Command,
    Options,
    RunOptions,
    destination,
    nested,
    recorded,
    shard,
)
from sertool.core.paths import show
from sertool.core.settings import option
from sertool.core.shard import Shard
from sertool.evaluation import timed_labels
from sertool.evaluation.options import INPUT, SPEAKERS, PageOptions, PredictOptions
from sertool.evaluation.predictions import FORMATS, Formatter, Prediction, Row, Unread, formatter
from sertool.formats import box
from sertool.items import Item
from sertool.ui.console import Console
from sertool.ui.words import plural

if TYPE_CHECKING:
    from sertool.evaluation import prediction_page
    from sertool.evaluation.predictor import Explain, Predictor
    from sertool.formats.checkpoint import Checkpoint
    from sertool.formats.journal import Inputs, Journal


MOST_CHANNELS = 64
MOST_REPEATED = 3  # arguments that a message spells out
MOST_DIGITS = 17  # that a number of 64 bits has


@dataclass(frozen=True)
class PredictOutputs(Options):
    """How to predict, where recordings come from, and where rows and figures go."""

    how: PredictOptions = nested(PredictOptions)
    stream: bool = option(
        False, "Read 16-bit PCM or WAV from -; print a line as soon as its window is complete.",
        panel=INPUT,
    )  # fmt: skip
    sample_rate: int | None = option(None, "Sample rate of a raw --stream.", "Hz", above=0,
                                     panel=INPUT)  # fmt: skip
    channels: int = option(1, "Channels of a raw --stream, interleaved.", metavar="N", least=1,
                           most=MOST_CHANNELS, panel=INPUT)  # fmt: skip
    null: bool = option(False, "Paths on - end in NUL.", panel=INPUT)
    format: str | None = destination(
        None,
        "Format of the rows; of one recording: subtitles (srt, vtt), a label track (audacity), a"
        " tier per channel and speaker for Praat (textgrid) or ELAN (elan, which makes an EAF).",
        choices=(*FORMATS, *timed_labels.LINES, *timed_labels.TIERS),
        unset="table on a terminal, else jsonl",
    )
    csv_raw: bool = destination(
        False,
        "In CSV and TSV leave texts as they are, for programs: without it, one that a spreadsheet"
        " would run as a formula (= + - @) begins with a quote.",
    )
    digits: int | None = destination(
        None, "Digits after the point.", metavar="N", least=0, most=MOST_DIGITS,
        unset="all; 4 in a table",
    )  # fmt: skip
    output: Path | None = destination(
        None, "Write to this file.", metavar="FILE", short="-o", unset="standard output"
    )
    figure: Path | None = destination(
        None,
        "Draw the posteriors of one recording over time into this file (.png, .svg), a panel per"
        " channel.",
        metavar="FILE",
    )
    page: PageOptions = nested(PageOptions)
    write_statistics: Path | None = option(
        None,
        "Predict nothing: write the statistics of the speakers of these recordings to this file.",
        metavar="FILE",
        panel=SPEAKERS,
        recorded=False,
    )
    explain: Path | None = destination(
        None, "Draw what the model saw and computed in each file into DIR.", metavar="DIR"
    )

    shard: str | None = shard(
        "Predict the K-th of N parts of the recordings alone, for one of N machines. FILE is a"
        " folder: of a file each, which are the whole one after the other."
    )

    def check(self) -> None:
        """Raise UsageError for values that contradict each other."""
        self._check_shared_out()
        if self.explain is not None and self.how.several:
            raise UsageError(
                "--explain draws whole files, one line each: no --window, --segments and the like"
            )
        self._check_speakers()
        lines = self.how.several and self.how.window is None
        if self.stream and (lines or self.how.whole_crop):
            raise UsageError("--stream gives a line per window: see --window")
        if self.explain is not None and self.stream:
            raise UsageError("--explain draws files: --stream has none")
        if self.sample_rate is not None and not self.stream:
            raise UsageError("--sample-rate is the rate of a --stream; files state their own")
        if self.figure is not None:
            if not self.how.several:
                raise UsageError("--figure draws lines over time: add --pool none or --window S")
            if self.figure.suffix.lower() not in (".png", ".svg"):
                raise UsageError(f"--figure {self.figure}: needs a name that ends in .png or .svg")
        if self.channels != 1 and not self.stream:
            raise UsageError("--channels are those of a raw --stream; files state their own")
        if self.page.html is not None and self.stream:
            raise UsageError("--html is of recordings: --stream has none")
        if self.format in timed_labels.TIERS:
            self._check_tiers()

    def _check_shared_out(self) -> None:
        """Raise UsageError for what is of one recording, or needs all of them here."""
        others = {
            "--stream": self.stream,
            "--figure": self.figure is not None,
            "--write-statistics": self.write_statistics is not None,
            f"--format {self.format}": self.format not in (None, *FORMATS),
        }
        if Shard.read(self.shard) is not None and any(others.values()):
            name = next(name for name, given in others.items() if given)
            raise UsageError(f"--shard: is a part of several recordings; {name} takes no part")
        if self.how.executor != PROCESSES and (self.stream or self.explain is not None):
            name = "--stream" if self.stream else "--explain"
            raise UsageError(f"{name} is of this process: no --executor")

    def _check_tiers(self) -> None:
        """Raise UsageError for what no tier of intervals can show."""
        window, hop = self.how.window, self.how.hop
        overlap = "windows overlap, and the intervals of a tier cannot"
        if self.how.pool == "none":
            raise UsageError(
                f"--format {self.format}: the model's {overlap}; instead of --pool none give"
                " --window S or --segments"
            )
        if window is not None and hop is not None and hop < window:
            raise UsageError(
                f"--format {self.format}: such {overlap}; give --window {window:g} without --hop"
            )
        if self.digits is not None:
            raise UsageError(f"--format {self.format}: has labels alone, no numbers for --digits")

    def _check_speakers(self) -> None:
        if self.stream and self.how.speaker_by is not None:
            raise UsageError("--speaker-by: is of files; say who speaks in a --stream by --speaker")
        if self.write_statistics is None:
            return
        others = {
            "--speaker-statistics": self.how.speaker_statistics,
            "--stream": self.stream or None,
            "--output": self.output,
            "--figure": self.figure,
            "--html": self.page.html,
            "--explain": self.explain,
        }
        given = [name for name, value in others.items() if value is not None]
        if given:
            raise UsageError(f"--write-statistics predicts nothing: no {given[0]}")


def predict(
    checkpoint: Annotated[
        Path,
        Argument("MODEL|PATH", "A model; or the first PATH, which the model in the box labels."),
    ],
    paths: Annotated[
        list[str] | None,
        Argument("PATH", "Audio files, folders, or - (paths or manifest lines on standard input)."),
    ] = None,
    options: PredictOutputs = PredictOutputs(),
    run: RunOptions = RunOptions(),
    console: Console | None = None,
) -> None:
    """Write one row per recording, or per part of it, in their order.

    All of a recording is heard: in windows of the length that the model was trained on, half
    overlapping, whose posteriors are averaged. Windows without speech are left out; a recording,
    or a part, that has none gets no label.

    A model trained on features normalised by speaker hears all recordings twice: first for the
    statistics of their speakers.

    Without a checkpoint, that is where no argument is one, the model in the box predicts.

    Raises UsageError for options that contradict each other, InputError where the checkpoint or a
    named path cannot be used; a recording that cannot be read gives a row with its error.
    """
    from sertool.evaluation.loading import load
    from sertool.evaluation.predictor import Predictor

    console = console or Console.silent()
    options.how.files.begin()
    checkpoint, paths = _model(checkpoint, list(paths or ()), console)
    options = _placed(options)
    _check_files([checkpoint, *paths], options, run)
    if options.stream:
        if paths != ["-"]:
            raise UsageError("--stream reads sound from standard input: name - and nothing else")
        refuse_terminal("arecord -f S16_LE -r 16000 | sertool predict MODEL.ckpt - --stream")
    else:
        check_arguments(paths)
    model = load(checkpoint, items=False)
    explain = _explain(model, paths, options, run)
    predictor = Predictor(checkpoint, model, options.how, explain=explain)
    if options.figure is not None and predictor.numbers:
        raise UsageError("--figure: is of classes, and the model says numbers")
    if options.shard is not None and predictor.normalised and predictor.known is None:
        raise UsageError(
            "--shard: the model normalises by speaker, whose recordings are in all parts: write"
            " --write-statistics FILE of all, then give each part --speaker-statistics FILE"
        )
    if options.write_statistics is not None:
        _write_statistics(predictor, paths, options, console)
    elif options.output is None or options.stream:
        items = () if options.stream else _given(paths, options, console)
        _run(predictor, items, options, console)
    else:
        _resumable(predictor, paths, options, run, console)


def _placed(options: PredictOutputs) -> PredictOutputs:
    """Return options whose output is the file that is written: of a shard, one in its folder."""
    shard, folder = Shard.read(options.shard), options.output
    if shard is None or folder is None:
        return options
    from sertool.formats.outputs import check_output
    from sertool.formats.shard_frames import file_name

    if not folder.is_dir():
        check_output(folder, force=False)
        folder.mkdir()
    form = options.format or "jsonl"
    return replace(options, output=folder / f"{Path(file_name(shard)).stem}.{form}")


def _given(
    paths: Sequence[str], options: PredictOutputs, console: Console, inputs: Inputs | None = None
) -> Iterable[Item | None]:
    """Return the recordings to predict; `inputs` hears of all, of which they may be a part."""
    items: Iterable[Item | None] = sources(paths, options.null, console)
    items = items if inputs is None else inputs.passing(items)
    shard = Shard.read(options.shard)
    if shard is None:
        return items
    every = [item for item in items if item is not None]
    part = shard.part(len(every))
    return every[part.start : part.stop]


def _check_files(inputs: Sequence[str | Path], options: PredictOutputs, run: RunOptions) -> None:
    """Raise InputError where a file cannot be written, UsageError for one that cannot resume."""
    from sertool.formats.outputs import check_output
    from sertool.formats.pages import check_page

    if options.output is not None:
        check_output(options.output, run.force, run.resume, inputs)
    if options.write_statistics is not None:
        if run.resume:
            raise UsageError("--write-statistics has nothing to resume: --force replaces")
        check_output(options.write_statistics, run.force, False, inputs)
    if options.figure is not None:
        if run.resume:
            raise UsageError("--figure is drawn of all rows: leave --resume out")
        check_output(options.figure, run.force)
    page = options.page
    if page.html is not None:
        if run.resume:
            raise UsageError("--html is of all rows: leave --resume out")
        check_page(page.html, run.force, inputs, page.beside)


def _explain(
    model: Checkpoint, paths: Sequence[str], options: PredictOutputs, run: RunOptions
) -> Explain | None:
    """Return what makes the figures of `--explain`; None without.

    Raises UsageError for a model that is not computed here, InputError for figures that are there.
    """
    if options.explain is None:
        return None
    from sertool.extras import explain

    if not model.tensors:
        raise UsageError(
            "--explain: draws what a network computes, which an ONNX model does not tell; name its"
            " checkpoint"
        )
    replace = run.force or run.resume
    explain.check(options.explain, paths, replace)
    return functools.partial(explain.explainer, folder=options.explain, replace=replace)


def _model(first: Path, paths: Sequence[str], console: Console) -> tuple[Path, list[str]]:
    """Return the model and what it is to predict: the first argument and the others.

    Or the model that comes with sertool, which is named once, and all arguments, where none of them
    is a model. Raises InputError where a model comes after recordings, or none is installed;
    UsageError where there is only a model.
    """
    url = remote.url_of(first)
    if str(first) != STDIN and url is None and box.is_model(first):
        if not paths:
            raise UsageError(
                f"no recordings: sertool predict {shlex.join([show(first)])} and files, folders"
                " or - after it"
            )
        return first, list(paths)
    given = [url or str(first), *paths]
    later = next((path for path in paths if path != STDIN and box.is_model(Path(path))), None)
    if later is not None:
        rest = shlex.join(show(path) for path in given if path != later)
        raise InputError(
            f"the model comes first: sertool predict {shlex.join([show(later)])} {rest}"
        )
    model = box.quickest()
    if model is None:
        rest = shlex.join(map(show, given[:MOST_REPEATED]))
        rest += " …" * (len(given) > MOST_REPEATED)
        raise InputError(
            f"{show(first)}: is no model, and none comes with sertool; train one"
            f" (sertool --help has the commands), then: sertool predict model.ckpt {rest}"
        )
    if given != [STDIN]:
        check_arguments(given)
    console.note(
        f"no model named: the one that comes with sertool predicts (sertool info {box.NAME}: what"
        " it knows, and how far to trust it)"
    )
    return model, given


def _write_statistics(
    predictor: Predictor, paths: list[str], options: PredictOutputs, console: Console
) -> None:
    """Write the statistics of the recordings' speakers, and predict nothing."""
    from sertool.evaluation import by_speaker
    from sertool.formats.outputs import atomic

    path = options.write_statistics
    assert path is not None
    if not predictor.normalised:
        raise UsageError(
            f"--write-statistics: {show(predictor.path)} was trained without"
            " --speaker-normalisation"
        )
    predictor.prepared(sources(paths, options.null, console), console)
    assert predictor.known is not None
    with atomic(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.writelines(by_speaker.texts(predictor.known, predictor.head))
    console.note(f"{show(path)}: statistics of {plural(len(predictor.known.speakers), 'speaker')}")


def _resumable(
    predictor: Predictor,
    paths: list[str],
    options: PredictOutputs,
    run: RunOptions,
    console: Console,
) -> None:
    """Predict into a file, rows waiting in parts beside it till all are there."""
    from sertool.formats import made as side
    from sertool.formats.journal import Inputs, Journal, inputs_sha256
    from sertool.formats.lineage import file_sha256, record
    from sertool.formats.outputs import Parts
    from sertool.formats.reuse import State, decide, of_side

    assert options.output is not None
    model = file_sha256(predictor.path)
    params = recorded(options.how) | {"format": options.format or "jsonl", "digits": options.digits}
    if options.how.by_speaker is not None:
        params["by_speaker"] = file_sha256(options.how.by_speaker)
    params.pop("speaker_statistics")
    if predictor.known is not None:  # as a file has them; else what is heard decides
        params["speakers"] = predictor.known.sha256
    if run.resume and not run.force and options.output.exists():
        sha256 = inputs_sha256(sources(paths, options.null, Console.silent()))
        wanted = record("predict", params | {"model": model}, "recordings", sha256)
        decide(options.output, wanted, of_side, console, resume=True)
        _say_what_lacks(options, console)
        return
    inputs, output = Inputs(), options.output
    items = predictor.prepared(_given(paths, options, console, inputs), console)
    heard = params | ({} if predictor.known is None else {"speakers": predictor.known.sha256})
    job = {"stage": "predict", "params": heard, "model": model}
    shard = Shard.read(options.shard)
    if shard is not None:
        wanted = record("predict", params | {"model": model}, "recordings", inputs.sha256)
        _check_others(output, shard, wanted, run.force)
    state = decide(options.output, None, None, console, resume=run.resume, force=run.force, job=job)
    parts = Parts(options.output, job, state is State.PARTS)
    journal = Journal(parts)
    if journal.resumed:
        console.note(f"{show(options.output)}: {plural(journal.resumed, 'recording')} done before")

    def keep(whole: Path) -> None:
        made = record("predict", params | {"model": model}, "recordings", inputs.sha256)
        side.keep(output, file_sha256(whole), [made])

    try:
        _run(predictor, items, options, console, journal, keep)
    finally:
        journal.write()
    parts.remove_all()
    _say_what_lacks(options, console)


def _check_others(output: Path, own: Shard, record: dict[str, Any], force: bool) -> None:
    """Raise InputError where shards of another run are beside one; with `force`, remove them."""
    from sertool.formats import made as side
    from sertool.formats.shard_frames import NAME

    for path in sorted(output.parent.glob("shard-*-of-*")):
        found = NAME.fullmatch(path.stem + ".h5")
        if path == output or found is None:
            continue
        same = int(found[2]) == own.of and path.suffix == output.suffix
        if same and side.lineage_of(path) == [record]:
            continue
        if not force:
            raise InputError(
                f"{show(path)}: is of another run (options, recordings or number of parts);"
                " --force removes such parts"
            )
        path.unlink()


def _say_what_lacks(options: PredictOutputs, console: Console) -> None:
    """Say which shards are missing, or that all are there."""
    if options.shard is None or options.output is None:
        return
    from sertool.formats.shard_frames import NAME, lacking_in

    folder, suffix = options.output.parent, options.output.suffix
    names = [NAME.fullmatch(path.stem + ".h5") for path in folder.glob(f"shard-*{suffix}")]
    there = sorted(Shard(int(name[1]), int(name[2])) for name in names if name is not None)
    whole = f"all {len(there)} shards: cat {show(folder)}/*{suffix} is the whole"
    console.note(f"{show(folder)}: {lacking_in(there) or whole}")


def _run(
    predictor: Predictor,
    items: Iterable[Item | None],
    options: PredictOutputs,
    console: Console,
    journal: Journal | None = None,
    keep: Callable[[Path], None] | None = None,
) -> None:
    """Predict and write the rows: at once, or with a journal when all are there.

    `keep` writes down what made the output, before that gets its name.
    """
    from sertool.evaluation import predicting

    shown = options.output is None and sys.stdout.isatty()
    form = options.format or ("table" if shown else "jsonl")
    header, text = _formatter(form, predictor, options)
    one = timed_labels.OneRecording(items, form) if form not in FORMATS else None
    kept: list[str] = []  # rows that wait for the others
    drawn: list[Prediction] = []
    told = _told(options)
    with _opened(options.output, keep) as write:
        if options.shard is None or Shard.parse(options.shard).number == 1:
            write(header)

        def sink(row: Row) -> None:
            if journal is not None:
                journal.add(text(row), isinstance(row, Unread))
            else:
                (kept.append if form in timed_labels.TIERS else write)(text(row))
            if options.figure is not None and isinstance(row, Prediction) and row.end is not None:
                drawn.append(row)
            if told is not None:
                told.add(row)

        if options.stream:
            from sertool.evaluation.streaming import opened, predict_stream

            given = sys.stdin.buffer, options.sample_rate, options.channels
            predict_stream(predictor, functools.partial(opened, *given), sink, console)
        else:
            bar = options.output is not None or not sys.stdout.isatty()
            predicting.predict(predictor, one or items, sink, console, bar, journal)
        rows = kept if journal is None else journal.texts()
        if one is not None and form in timed_labels.TIERS:
            rows = [_document(form, rows, one.item, predictor, options, console)]
        for waiting in rows:
            write(waiting)
    if options.figure is not None:
        from sertool.evaluation.course import draw

        draw(drawn, options.figure)
        console.note(f"{show(options.figure)}: the figure")
    if told is not None:
        _write_page(told, predictor, options.page, console)


def _told(options: PredictOutputs) -> prediction_page.Told | None:
    """Return what gathers the rows of a page; None without one."""
    if options.page.html is None:
        return None
    from sertool.evaluation.prediction_page import Told

    return Told(options.how.several)


def _write_page(
    told: prediction_page.Told, predictor: Predictor, options: PageOptions, console: Console
) -> None:
    """Write the rows of a run as a page, with the sound of recordings where that is asked for."""
    from msgspec import to_builtins

    from sertool.commands.retrace import of_file
    from sertool.evaluation import prediction_page
    from sertool.evaluation.page import sound_said
    from sertool.evaluation.page_sound import write

    assert options.html is not None
    places = told.places(predictor.options.channel or "mix")
    made = of_file(to_builtins(predictor.made), predictor.path.name)
    sound = sound_said(options.audio)
    page = prediction_page.page(told, predictor.classes, made, sound, predictor.told)
    recordings = told.recordings(predictor.classes)
    write(options.html, page, predictor.classes, recordings, options.audio, places.__getitem__,
          console=console)  # fmt: skip


def _formatter(form: str, predictor: Predictor, options: PredictOutputs) -> tuple[str, Formatter]:
    """Return (header, function from a row to its text), or to a note for what is made at the end.

    Raises UsageError for labels of a model that has none.
    """
    if form in FORMATS:
        more = predictor.further, options.digits, predictor.numbers
        return formatter(form, predictor.classes, *more, options.csv_raw)
    if predictor.numbers:
        raise UsageError(f"--format {form}: is of labels, and the model says numbers")
    turns = options.how.by_speaker is not None
    if form in timed_labels.TIERS:
        return "", functools.partial(timed_labels.note, turns=turns)
    digits = 2 if options.digits is None else options.digits
    return timed_labels.line_formatter(form, digits, turns)


def _document(
    form: str,
    notes: Iterable[str],
    item: Item | None,
    predictor: Predictor,
    options: PredictOutputs,
    console: Console,
) -> str:
    """Return the annotations of a recording, or of a stream, in one document."""
    from sertool.evaluation.predictor import channels_of

    channels: list[str | None] = []
    if item is not None and "speaker" not in predictor.further:
        with closing(Box(limits())) as reader:
            channels = channels_of(item, options.how.channel, reader)
    text, within = timed_labels.document(form, notes, item, channels, options.output)
    if within:
        console.note(f"{plural(within, 'row')} left out: within another of the same tier")
    return text


@contextmanager
def _opened(
    output: Path | None, keep: Callable[[Path], None] | None = None
) -> Iterator[Callable[[str], None]]:
    """Yield a function that writes text at once: to standard output, or to a file kept if whole."""

    def writer(file: IO[str]) -> Callable[[str], None]:
        def write(text: str) -> None:
            file.write(text)
            file.flush()

        return write

    if output is None:
        yield writer(sys.stdout)  # as it is now: a progress bar may stand in for it later
        return
    from sertool.formats.outputs import atomic

    with atomic(output) as temporary:
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            yield writer(file)
        if keep is not None:
            keep(temporary)


COMMAND = Command(
    "predict",
    predict,
    """sertool predict recordings/  # without a model: the one that comes with sertool

    sertool predict model.ckpt recordings/ one.wav > predictions.jsonl

    sertool predict model.ckpt call.wav --segments

    sertool predict model.ckpt one.wav --explain figures/

    find . -name '*.wav' -print0 | sertool predict model.ckpt - --null

    Exit codes: 0 done, 1 done but a file could not be read, 2 wrong usage, 3 cannot start.
    """,
)
