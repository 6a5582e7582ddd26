"""prepare: folders and tables become a manifest of utterances, labels, speakers and folds."""

from __future__ import annotations

import filecmp
import io
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Annotated, Any

from msgspec import to_builtins

from sertool import votes
from sertool.core import remote
from sertool.core.errors import InputError, UsageError
from sertool.core.options import (
    Argument,
    Command,
    FileOptions,
    Instead,
    Options,
    RunOptions,
    nested,
    recorded,
    seed,
    strict,
)
from sertool.core.paths import absolute, from_text, is_url, show, to_text
from sertool.core.settings import option, pairs
from sertool.corpora import (
    CORPORA,
    Corpus,
    agreement,
    export,
    pattern,
    provenance,
    raters,
    reading,
    suggest,
    table,
    where,
)
from sertool.corpora import counts as counted
from sertool.corpora import labels as label_maps
from sertool.corpora.discover import AUTO, TABLE, Found, Manners, find
from sertool.formats import made as side
from sertool.formats.journal import Journal
from sertool.formats.lineage import Record, file_sha256
from sertool.formats.outputs import Parts, atomic, atomic_folder, check_output, remove_left
from sertool.formats.reuse import State, decide
from sertool.items import Item
from sertool.splits import disjoint, protocols
from sertool.ui.console import Console
from sertool.ui.words import plural

STDOUT = Path("-")
OWN = "Own data"


@dataclass(frozen=True)
class PrepareOptions(Options):
    """The options of `prepare`.

    labels: a map of classes, by name or as a TOML file. where: expressions of
    `sertool.corpora.where`. split: a protocol of `sertool.splits.protocols`, whose folds share no
    value of the fields in `also_disjoint` either. to: a format of `sertool.corpora.export`;
    lhotse's is a folder. strict: stop at the first file that contains no utterances. columns:
    field of the manifest -> column of the table that holds it.
    """

    corpus: str = option(
        AUTO, "Corpus (see: sertool list corpora).", metavar="auto|NAME|FILE.toml",
        choices=(AUTO, *CORPORA), open=True,
    )  # fmt: skip
    labels: str = option(
        label_maps.NATIVE,
        "Map of classes (see: sertool list labels). A FILE.toml that is not there yet is written,"
        " with the labels found, to be edited.",
        metavar="NAME|FILE.toml",
        choices=label_maps.names(),
        open=True,
    )
    where: tuple[str, ...] = option(
        (), "Keep only these: field=value, field!=value, field in a,b; repeatable.", metavar="EXPR"
    )
    split: str = option(
        "none",
        "Folds or parts: random:80:20, random:8:1:1, kfold:5, speakers:5, loso, sessions, texts,"
        " corpora, file:FOLDS.csv or none.",
        metavar="PROTOCOL",
    )
    also_disjoint: tuple[str, ...] = option(
        (),
        "Also keep folds disjoint in this field (text, speaker or session); reports what that"
        " leaves out. Repeatable.",
        metavar="FIELD",
    )
    to: str = option(
        export.MANIFEST,
        "Output: manifest; audformat, a segmented CSV table; lhotse, a folder of two manifests.",
        metavar="FORMAT",
        choices=export.FORMATS,
    )
    columns: dict[str, str] = option(
        {}, 'Column of a table that holds a field, e.g. file="File Name"; repeatable.',
        metavar="FIELD=NAME", flag="column", panel=OWN,
        read=lambda texts: dict(pairs("--column", texts)),
    )  # fmt: skip
    audio_root: Path | None = option(
        None, "Folder that a table's file names count from.", metavar="DIR", panel=OWN,
        unset="the table's, or the one below it that has the files",
    )  # fmt: skip
    encoding: str | None = option(
        None, "Encoding of a table, e.g. cp1252.", metavar="NAME", panel=OWN,
        unset="by its mark, else UTF-8, else guessed",
    )  # fmt: skip
    pattern: str | None = option(
        None, "What the files' names say, e.g. '{speaker}_{label}_{text}.wav'; {speaker:2} is two"
        " characters, {} anything.", metavar="PATTERN", panel=OWN,
    )  # fmt: skip
    raters: tuple[str, ...] = option(
        (), "Columns of a table's raters, by name or 'rater*': the field votes counts what they"
        " say, and the label is what most of them say (none for a tie). Of numbers name the field,"
        " which is their mean: arousal=a1,a2,a3. Repeatable.",
        metavar="[FIELD=]NAME,...", panel=OWN,
    )  # fmt: skip
    rater: str | None = option(
        None, "Column that says who rates, in a table with a line for each file and rater: votes as"
        " with --raters, and the mean of every column of numbers in which a file's lines differ.",
        metavar="NAME", panel=OWN,
    )  # fmt: skip
    skip_missing: bool = option(
        False, "Leave out lines of a table whose file is not there; they are counted.",
        panel=OWN,
    )  # fmt: skip
    relative: bool = option(False, "Write paths relative to the manifest's folder.")
    strict: bool = strict()
    seed: int = seed()
    files: FileOptions = nested(FileOptions)

    def check(self) -> None:
        """Raise UsageError for an unknown protocol, or for folds that nothing makes."""
        protocol = protocols.parse(self.split)
        if self.also_disjoint and protocol.name == "none":
            raise UsageError("--also-disjoint: needs a --split that makes folds of groups")
        if self.encoding is not None and not reading.known(self.encoding):
            raise UsageError(f"--encoding {self.encoding}: no such encoding of text")
        table.check_fields(self.columns)
        raters.parse(self.raters)
        if self.raters and self.rater is not None:
            raise UsageError("--raters (a column each) excludes --rater (a line each)")
        told = [name for name, value in self._told().items() if value]
        if told and self.pattern is not None:
            raise UsageError(f"{told[0]} is for tables, --pattern for names")
        if self.pattern is not None:
            pattern.expression(self.pattern)
            told = ["--pattern"]
        if told and self.corpus not in (AUTO, TABLE if told != ["--pattern"] else AUTO):
            raise UsageError(f"--corpus {self.corpus} reads no {told[0]}")

    def _told(self) -> dict[str, object]:
        """What is told of tables, by option."""
        return {
            "--column": self.columns,
            "--audio-root": self.audio_root,
            "--encoding": self.encoding,
            "--raters": self.raters,
            "--rater": self.rater,
        }

    def reader(self, output: Path) -> tuple[Corpus, bool]:
        """Return what reads tables, or names, as these options say, and whether it reads all."""
        if self.pattern is not None:
            return pattern.reader(self.pattern), True
        told = table.Reading(
            self.columns,
            self.audio_root,
            self.encoding,
            raters.parse(self.raters),
            self.rater,
            to_text(output),
        )
        return table.reader(told), any(self._told().values())


def prepare(
    corpora: Annotated[
        list[Path],
        Argument(
            "CORPUS",
            "Folders, tables (.csv, .tsv), manifests or audio files; - for manifest lines.",
        ),
    ],
    manifest: Annotated[
        Path, Argument("MANIFEST", "JSON Lines file to write; - for standard output.")
    ],
    options: PrepareOptions = PrepareOptions(),
    run: RunOptions = RunOptions(),
    console: Console | None = None,
) -> list[Item] | None:
    """Write the manifest of corpora and return its utterances, None where it is already complete.

    `manifest` may be `-`, standard output. Raises UsageError and InputError, then writing nothing.
    """
    console = console or Console.silent()
    options.files.begin()
    chosen = [where.parse(text) for text in options.where]
    template = label_maps.template_wanted(options.labels)
    classes = label_maps.load(label_maps.NATIVE if template else options.labels)
    if manifest == STDOUT and options.relative:
        raise UsageError("--relative needs a manifest with a folder, not standard output")
    files: list[Path] = []
    if manifest != STDOUT or options.to == export.LHOTSE:
        files = export.check_target(manifest, options.to, run.force, run.resume)
    if options.audio_root is not None and not options.audio_root.is_dir():
        raise InputError(f"--audio-root {show(options.audio_root)}: no such folder")
    whole = run.resume and not run.force and bool(files) and all(map(Path.exists, files))
    voice = Console.silent() if whole else console
    utterances, made = _utterances(corpora, manifest, options, voice, chosen, classes, template)
    sources = [_absolute(path) for path in corpora]
    job = {"stage": "prepare", "params": _params(options), "input": sources}
    output = _Output(manifest, options, Manners(voice, stop=options.strict), job, made)
    if whole:
        output.check_same(utterances, files)
        console.note(f"{show(manifest)}: already complete")
        return None
    count = output.write(utterances, run.resume, run.force)
    name = "standard output" if manifest == STDOUT else show(manifest)
    left = f"; {count} of them written" if count < len(utterances) else ""
    console.note(f"{name}: {_summary(utterances)}{left}")
    return utterances


def _utterances(
    corpora: Sequence[Path],
    manifest: Path,
    options: PrepareOptions,
    console: Console,
    chosen: Sequence[where.Condition],
    classes: label_maps.LabelMap,
    template: Path | None,
) -> tuple[list[Item], Record]:
    """Return the utterances of corpora that were asked for, with their folds or parts.

    And the record of this run.
    """
    manners = Manners(console, strict=True, stop=options.strict, skip_missing=options.skip_missing)
    sources = find(corpora, options.corpus, manners, *options.reader(manifest))
    console.tally()
    _report(sources, console)
    utterances = [utterance for part in sources for utterance in part.utterances]
    if manifest.is_file():
        paths = {utterance.path for utterance in utterances}
        check_output(manifest, True, inputs=[*(s.root for s in sources), *map(from_text, paths)])
    for doubt in filter(None, map(side.doubt, filter(Path.is_file, corpora))):
        console.warn(doubt)
    made = provenance.record(corpora, sources, recorded(options))
    if template is not None:
        _write_template(template, utterances)
    utterances = _choose(utterances, classes, chosen, console)
    for line in agreement.lines(utterances):
        console.note(line)
    return _split(utterances, options, console), made


COMMAND = Command(
    "prepare",
    prepare,
    """sertool prepare corpus/ m.jsonl --split speakers:6

    sertool prepare corpus/ - --where 'label in anger,sadness' | jq .speaker

    sertool prepare m.jsonl table.csv --to audformat

    sertool prepare mine.csv mine.jsonl --column file="File Name" --column label=Emotion

    sertool prepare votes.csv votes.jsonl --raters 'rater*'

    --suggest mydata/ prints such a command for a folder with names or tables of one's own.

    A map of classes (--labels FILE.toml) has a table [classes] with lines class = ["label", …], and
    may have a list drop of labels to leave out; sertool list labels --format explains it.

    Of several raters (--raters, --rater, IEMOCAP) the manifest keeps votes, {"anger": 2, "neutral":
    1}, a map applied, and prepare says how far they agree; train --soft learns their shares.

    Exit codes: 0 done, 1 a file gave no utterance, 2 wrong usage, 3 a corpus cannot be used.
    """,
    instead=(
        Instead(
            "suggest",
            "Look at the names and tables in a folder and print the command that reads it; nothing"
            " else is done.",
            "FOLDER",
            suggest.show_command,
        ),
    ),
)


def _write_template(path: Path, utterances: Sequence[Item]) -> None:
    """Write a map of the classes found, and stop: it is there to be edited."""
    found = Counter((utterance.label, utterance.raw_label) for utterance in utterances)
    own = {label for label, _ in found}
    for name in votes.vote_classes(map(votes.votes_of, utterances)):
        if name not in own:  # which most raters never chose
            found[name, None] = 0
    with atomic(path) as temporary:
        temporary.write_text(label_maps.template(found), encoding="utf-8")
    n = len({label for label, _ in found} - {None})
    raise InputError(
        f"--labels {show(path)}: was not there, so it was written, with the {plural(n, 'class')}"
        " found; edit it and run this again"
    )


def _split(utterances: list[Item], options: PrepareOptions, console: Console) -> list[Item]:
    """Return the utterances with their folds or parts, less those that --also-disjoint drops."""
    if options.split == "none":
        return utterances
    places = protocols.split(utterances, options.split, options.seed)
    for name in options.also_disjoint:
        utterances, places = _thin(utterances, places, name, options.seed, console)
    for utterance in utterances:
        utterance.fold, utterance.part = places[utterance.id]
    for line in protocols.remarks(utterances, places):
        console.warn(line)
    return utterances


@dataclass(frozen=True)
class _Output:
    """Where utterances go, and in which format; `job` describes the parts of the run.

    made: the record of the run, which is kept beside a manifest.
    """

    path: Path
    options: PrepareOptions
    manners: Manners
    job: dict[str, Any]
    made: Record

    def write(self, utterances: list[Item], resume: bool, force: bool) -> int:
        """Write all or nothing, return how many utterances were written.

        Only lhotse's manifests need what is in the sound files: that waits in parts.
        """
        if self.options.to == export.LHOTSE:
            path = Path(os.path.abspath(self.path))
            console = self.manners.console
            state = decide(path, None, None, console, resume=resume, force=True, job=self.job)
            parts = Parts(path, self.job, state is State.PARTS)
            journal = Journal(parts)
            if journal.resumed:
                done = plural(journal.resumed, "header")
                console.note(f"{show(self.path)}: {done} read before")
            with atomic_folder(path) as folder:
                count = self._lhotse(utterances, folder, journal)
                if not count:
                    parts.remove_all()
                    raise InputError(
                        f"{show(self.path)}: no recording can be read, so nothing is written"
                    )
            parts.remove_all()
            return count
        if self.path == STDOUT:
            if isinstance(sys.stdout, io.TextIOWrapper):
                sys.stdout.reconfigure(encoding="utf-8")  # a manifest's, whatever the locale's
            self._lines(utterances, sys.stdout)
        else:
            with atomic(self.path) as temporary, open(temporary, "w", encoding="utf-8") as file:
                self._lines(utterances, file)
                file.flush()
                if self.options.to == export.MANIFEST:
                    self._keep_made(temporary)
        return len(utterances)

    def check_same(self, utterances: list[Item], files: Sequence[Path]) -> None:
        """Raise InputError where the output that is there is not what would be written now."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            if self.options.to == export.LHOTSE:
                parts = Parts(folder / "lhotse", self.job, resume=False)
                self._lhotse(utterances, folder, Journal(parts))
            else:
                with open(folder / files[0].name, "w", encoding="utf-8") as file:
                    self._lines(utterances, file)
            for path in files:
                if not filecmp.cmp(path, folder / path.name, shallow=False):
                    raise InputError(
                        f"{show(path)}: exists, and is not what this command makes now (other"
                        " options, other files, or edited since); --force replaces it"
                    )
        remove_left(Path(os.path.abspath(self.path)))
        if self.options.to == export.MANIFEST and not side.lineage_of(self.path):
            self._keep_made(self.path)

    def _keep_made(self, manifest: Path) -> None:
        side.keep(self.path, file_sha256(manifest), [to_builtins(self.made)])

    def _lhotse(self, utterances: list[Item], folder: Path, journal: Journal) -> int:
        base = self.path.absolute() if self.options.relative else None
        return export.write_lhotse(utterances, folder, self.manners.fail, journal, base)

    def _lines(self, utterances: list[Item], file: IO[str]) -> None:
        if self.options.relative:
            utterances = [_relative(utterance, self.path.parent) for utterance in utterances]
        export.write_lines(utterances, self.options.to, file)


def _absolute(path: Path) -> str:
    return "-" if path == STDOUT else remote.url_of(path) or to_text(absolute(path))


def _params(options: PrepareOptions) -> dict[str, Any]:
    """Return the options as JSON has them."""
    found = recorded(options)
    return {name: to_text(v) if isinstance(v, Path) else v for name, v in found.items()}


def _thin(
    utterances: list[Item],
    places: dict[str, protocols.Place],
    name: str,
    seed: int,
    console: Console,
) -> tuple[list[Item], dict[str, protocols.Place]]:
    """Return what remains when folds share no value of a second field, and note what does not."""
    kept = disjoint.also_disjoint(utterances, places, name, seed)
    if len(kept) < len(utterances):
        lost = len(utterances) - len(kept)
        console.warn(
            f"--also-disjoint {name}: {lost} of {plural(len(utterances), 'utterance')} left out,"
            f" as their {name} is in another fold"
        )
    return [utterance for utterance in utterances if utterance.id in kept], kept


def _report(found: Sequence[Found], console: Console) -> None:
    """Print found against published counts, corpus by corpus."""
    for part in found:
        published = part.published()
        console.note(counted.table(part.name, part.utterances, published))
        known = published.classes if published else {}
        counts = Counter(utterance.label for utterance in part.utterances)
        if any(n > known.get(label or "", n) for label, n in counts.items()):
            console.warn(f"{part.name}: more than published; are some recordings duplicated?")


def _choose(
    utterances: list[Item],
    classes: label_maps.LabelMap,
    conditions: Sequence[where.Condition],
    console: Console,
) -> list[Item]:
    """Return the utterances with their classes mapped that fulfil the conditions.

    A condition on the label is about the mapped class; the others come first, so that the map
    need not know the labels of what they exclude.
    """
    kept = where.select(utterances, [c for c in conditions if c.field != "label"])
    kept = _map(kept, classes, console)
    chosen = where.select(kept, [c for c in conditions if c.field == "label"])
    if not chosen:
        seen = [
            f"{c.field} is {where.values_seen(kept or utterances, c.field)}" for c in conditions
        ]
        raise InputError(f"no utterance is left; {'; '.join(seen) or 'all were dropped'}")
    if len(chosen) < len(kept) or len(kept) < len(utterances):
        console.note(f"{len(chosen)} of {plural(len(utterances), 'utterance')} kept")
    return chosen


def _map(utterances: list[Item], classes: label_maps.LabelMap, console: Console) -> list[Item]:
    """Return the utterances under the map's classes, less those that it drops."""
    if classes.name == label_maps.NATIVE:
        return utterances
    kept: list[Item] = []
    dropped: Counter[str] = Counter()
    for utterance in utterances:
        try:
            mapped = _mapped(utterance, classes)
        except KeyError as error:
            raise InputError(
                f"{show(utterance.path)}: label {error.args[0]!r} is unknown to the label map "
                f"{classes.name}; add it to a class there, or to its drop"
            ) from None
        if mapped is None:
            dropped[utterance.label or utterance.raw_label or "votes alone"] += 1
        else:
            kept.append(mapped)
    if dropped:
        what = ", ".join(f"{n} {label}" for label, n in sorted(dropped.items()))
        console.note(f"{dropped.total()} dropped by the label map {classes.name}: {what}")
    return kept


def _mapped(utterance: Item, classes: label_maps.LabelMap) -> Item | None:
    """Return an utterance with its label and its votes mapped, None where the map drops it.

    A label that is the votes' own majority is that of the mapped ones. Raises KeyError for a label
    that the map does not know.
    """
    said = votes.votes_of(utterance)
    left = classes.votes(said) if said else None
    extra = utterance.extra | ({votes.VOTES: dict(left) or None} if left is not None else {})
    if said and utterance.raw_label is None and utterance.label == votes.majority(said):
        return replace(utterance, label=votes.majority(left), extra=extra) if left else None
    label = classes.apply(utterance.label, utterance.raw_label)
    if label is None and (utterance.label or utterance.raw_label in classes.dropped):
        return None
    return replace(utterance, label=label, extra=extra)


def _relative(utterance: Item, folder: Path) -> Item:
    if is_url(utterance.path):
        return utterance
    path = os.path.relpath(from_text(utterance.path), folder.absolute())
    return replace(utterance, path=to_text(path))


def _summary(utterances: Sequence[Item]) -> str:
    """Return "1440 utterances, 8 classes, 6 folds of 240"."""
    labels = {utterance.label for utterance in utterances} - {None}
    folds = Counter(u.fold for u in utterances if u.fold is not None)
    parts = Counter(u.part for u in utterances if u.part is not None)
    words = [plural(len(utterances), "utterance"), plural(len(labels), "class")]
    if folds:
        words.append(f"{plural(len(folds), 'fold')} of {counted.spread(folds.values())}")
    words += [f"{parts[name]} in {name}" for name in ("train", "val", "test") if parts[name]]
    return ", ".join(words)
