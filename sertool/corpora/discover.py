"""From folders, tables and files to utterances: which corpus is it, and what are the ids."""

from __future__ import annotations

import os
import shlex
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sertool.core import remote
from sertool.core.errors import InputError
from sertool.core.paths import absolute, find_audio, is_audio, show, to_text
from sertool.corpora import Corpus, Note, Published, Skipped, load, make, names
from sertool.corpora.counts import difference
from sertool.corpora.lhotse_files import kind, leader
from sertool.formats.manifest import parse_line, read_manifest, resolve
from sertool.items import Item
from sertool.ui.console import Console
from sertool.ui.words import plural

AUTO = "auto"
TABLE = "csv"  # the corpus that reads tables
FOLDER = "folder"
# which generic corpus is taken where several claim: the one whose marks are the least common
GENERIC = ("lhotse", "audformat", "huggingface", TABLE, FOLDER)
MANIFEST_SUFFIX = ".jsonl"
TABLE_SUFFIXES = (".csv", ".tsv", MANIFEST_SUFFIX, ".jsonl.gz")
STDIN = Path("-")


@dataclass
class Source:
    """A folder with the audio files below it, a table, a manifest, or files named one by one."""

    root: Path
    files: list[str] = field(default_factory=list)  # POSIX paths below root
    stray: int = 0
    given: Path | None = None  # the root as the user wrote it
    url: str | None = None  # the root's, where it lies elsewhere

    @property
    def shown(self) -> str:
        """The source's name for messages."""
        return show(self.url or self.given or self.root)


@dataclass
class Found:
    """The utterances of one source, and the corpus that they are of (None: unknown)."""

    name: str
    root: Path
    corpus: Corpus | None
    utterances: list[Item]
    finished: bool = False  # ids are the manifest's own
    url: str | None = None  # of a source that lies elsewhere

    def published(self) -> Published | None:
        """Return the corpus's published counts, if it has any."""
        return self.corpus.published(self.root, self.utterances) if self.corpus else None


@dataclass(frozen=True)
class Manners:
    """How `find` goes about what does not fit.

    `strict`: an unknown corpus, or a missing one of several files, stops the run. `stop`: so
    does any file that contains no utterances. `skip_missing`: files that a table names and that
    are not there are counted, and fail nothing.
    """

    console: Console
    strict: bool = True
    stop: bool = False
    skip_missing: bool = False

    def fail(self, path: str | Path, reason: str) -> None:
        """Name a file that contains no utterances, or stop at it."""
        if self.stop:
            raise InputError(f"{show(path)}: {reason} (--strict)")
        self.console.failed(path, reason)


def find(
    paths: Sequence[Path],
    corpus: str,
    manners: Manners,
    reader: Corpus | None = None,
    always: bool = False,
) -> list[Found]:
    """Return what each source holds, in the order given, ids finished and unique.

    `reader`, made from what a person says of tables or of names, replaces the corpus of its name,
    or `always` reads all but manifests.

    Raises InputError for a source that is missing, empty, or of an unknown corpus, UsageError for
    an unknown corpus name.
    """
    if corpus != AUTO:
        load(corpus)
    forced = reader if always else None
    own = {} if reader is None else {reader.name: reader}
    found = [_read(source, corpus, manners, own, forced) for source in _sources(paths, manners)]
    _finish([part for part in found if not part.finished])
    _check_ids([utterance for part in found for utterance in part.utterances])
    return found


def _sources(paths: Sequence[Path], manners: Manners) -> list[Source]:
    """Return the sources of what the user named; single files are one source together."""
    sources: list[Source] = []
    singles: list[Path] = []
    place = 0
    for path in paths:
        if (url := remote.url_of(path)) is not None:
            sources.append(_elsewhere(url))
        elif path.is_dir():
            sources.append(_folder(path))
        elif path == STDIN:
            sources.append(Source(path))
        elif not path.exists():
            if manners.strict or len(paths) == 1:
                raise InputError(f"{show(path)}: no such file or folder")
            manners.fail(path, "no such file")
        elif manners.strict and path.is_file() and not _readable(path):
            raise InputError(f"{show(path)}: neither audio, nor a table, nor a manifest (.jsonl)")
        elif is_table(path):
            root = leader(path)  # lhotse's recordings and supervisions are one source
            if kind(path) is None or all(source.root != root for source in sources):
                sources.append(Source(root))
        else:
            place = place if singles else len(sources)
            singles.append(absolute(path))
    if singles:
        root = Path(os.path.commonpath([path.parent for path in singles]))
        files = [path.relative_to(root).as_posix() for path in singles]
        sources.insert(place, Source(root, files))
    return sources


def _readable(path: Path) -> bool:
    return is_audio(path) or is_table(path)


def is_table(path: Path) -> bool:
    """Return whether a file's suffix is that of a table or a manifest, ours or a foreign one."""
    return path.name.lower().endswith(TABLE_SUFFIXES)


def is_foreign(path: Path) -> bool:
    """Return whether `find` reads a file as a table or another tool's manifest, not as our own."""
    return is_table(path) and bool(_claiming(Source(path)))


def _folder(path: Path) -> Source:
    try:
        audio, stray = find_audio(path)
    except OSError as error:
        raise InputError(f"{show(error.filename or path)}: {error.strerror}") from error
    files = [file.relative_to(path).as_posix() for file in audio]
    # what follows a link's .. is not what the text says, so ask the system
    root = path.resolve() if ".." in path.parts else path.absolute()
    return Source(root, files, len(stray), given=path)


def _elsewhere(url: str) -> Source:
    """Return the source at a URL: a manifest, a folder, or an audio file; InputError."""
    if url.endswith(MANIFEST_SUFFIX):
        return Source(remote.named(url), url=url)
    above = url.rpartition("/")[0] if is_audio(url) else url.rstrip("/")
    files = [url] if is_audio(url) else remote.listed(url)
    root = remote.stand_in(above)
    return Source(root, [file[len(above) + 1 :] for file in files], given=root, url=above)


def _read(
    source: Source,
    corpus: str,
    manners: Manners,
    own: Mapping[str, Corpus],
    forced: Corpus | None,
) -> Found:
    """Return the utterances of one source, and say what it is."""
    root, where = source.root, source.shown
    if root == STDIN:
        return _read_manifest(root, manners)
    if source.url is not None and not source.files:
        return _read_manifest(root, manners, source.url)
    chosen: Corpus | None
    if forced is not None and root.suffix.lower() != MANIFEST_SUFFIX:
        chosen = forced
        if not source.files and root.is_dir() and forced.claims is None:
            raise InputError(f"{where}: {_nothing(source)}")
    elif root.is_file():
        chosen = _choose_table(source, corpus, manners)
        if chosen is None:
            return _read_manifest(root, manners)
    else:
        chosen = _choose(source, corpus, manners)
    if chosen is not None:
        chosen = own.get(chosen.name, chosen)
    name = chosen.name if chosen and not chosen.generic else _folder_name(root)
    what = f"corpus {chosen.name}" if chosen else "not a known corpus, so labels are null"
    others = f", and {plural(source.stray, 'other file')}" if source.stray else ""
    count = f", {plural(len(source.files), 'audio file')}" if source.files else ""
    manners.console.note(f"{where}: {what}{count}{others}")
    utterances: list[Item] = []
    left_out: Counter[str] = Counter()
    for item in _utterances(chosen, source):
        if isinstance(item, Item):
            if source.url is not None:
                below = item.path.removeprefix(to_text(root)).lstrip("/")
                item.path = f"{source.url}/{below}"
            utterances.append(item)
        elif isinstance(item, Note):
            (manners.console.warn if item.warning else manners.console.note)(item.text)
        elif item.harmless:
            left_out[item.reason] += 1
        elif item.missing and manners.skip_missing:
            left_out["no such file"] += 1
        else:
            path = Path(item.path)
            whole = path.is_absolute() or root.is_file()  # a table names its line itself
            manners.fail(path if whole else root / path, item.reason)
    for reason, n in sorted(left_out.items()):
        manners.console.note(f"{where}: {plural(n, 'file')} left out: {reason}")
    if not utterances:
        raise InputError(f"{where}: contains no utterances")
    told = {utterance.corpus for utterance in utterances}
    name = (told.pop() if len(told) == 1 else None) or name
    return Found(name, root, chosen, utterances, url=source.url)


def _read_manifest(path: Path, manners: Manners, url: str | None = None) -> Found:
    """Return the utterances of a manifest, unchanged; `-` is standard input.

    url: of the manifest that `path` is a copy of.
    """
    name = "standard input" if path == STDIN else show(url or path)

    bad: list[tuple[int, str]] = []

    def keep(number: int, reason: str) -> None:
        bad.append((number, reason))

    utterances = list(_stdin(keep) if path == STDIN else read_manifest(path, keep, url))
    if not utterances:
        why = f" (line {bad[0][0]}: {bad[0][1]})" if bad else ""
        raise InputError(f"{name}: contains no utterances{why}")
    for number, reason in bad:
        manners.fail(f"{name} line {number}", reason)
    manners.console.note(f"{name}: a manifest, {plural(len(utterances), 'utterance')}")
    return Found(path.stem, path, None, utterances, finished=True, url=url)


def _stdin(bad: Callable[[int, str], None]) -> Iterator[Item]:
    """Yield the utterances of manifest lines on standard input; relative paths count from here."""
    for number, line in enumerate(sys.stdin.buffer, 1):
        if line.strip():
            try:
                utterance = parse_line(line.decode("utf-8", "surrogateescape"))
            except ValueError as error:
                bad(number, str(error))
            else:
                yield resolve(utterance, Path.cwd())


def _utterances(corpus: Corpus | None, source: Source) -> Iterable[Item | Skipped | Note]:
    if corpus is None:
        return [make(source.root, relative) for relative in source.files]
    return corpus.utterances(source.root, source.files)


def _folder_name(root: Path) -> str:
    """Return the name that an unnamed corpus goes by: its folder's, a table's folder's."""
    folder = root.absolute() if root.is_dir() else root.absolute().parent
    return to_text(os.path.basename(os.path.normpath(folder)) or "files")


def _choose_table(source: Source, corpus: str, manners: Manners) -> Corpus | None:
    """Return the corpus that reads a table named by itself; None for a manifest of our own."""
    claiming = _claiming(source)
    if corpus in claiming:
        return load(corpus)
    if claiming and corpus == AUTO:
        _announce(source, claiming[0], claiming[1:], manners)
        return load(claiming[0])
    if claiming:
        able = " or ".join(claiming)
        raise InputError(f"{source.shown}: is not {corpus}; use --corpus {able} or auto")
    if source.root.suffix.lower() != MANIFEST_SUFFIX:
        raise InputError(
            f"{source.shown}: not a lhotse manifest; gunzip it if it is one of sertool's"
        )
    return None


def _choose(source: Source, corpus: str, manners: Manners) -> Corpus | None:
    """Return the corpus that a source is of, None where it is unknown and that may be."""
    where = source.shown
    if corpus != AUTO:
        chosen = load(corpus)
        if not source.files and not (chosen.generic and chosen.claims):
            raise InputError(f"{where}: {_nothing(source)}")
        fits = any(map(chosen.fits, source.files)) or chosen.claim(source.root, source.files)
        if not chosen.generic and not fits:
            raise InputError(f"{where}: no audio file is named like {corpus}'s")
        return chosen
    every = [load(name) for name in names()]
    named = [c for c in every if not c.generic and c.claim(source.root, source.files)]
    claiming = _claiming(source)
    if len(named) == 1:
        # a corpus's own folders may well be called after classes
        _announce(source, named[0].name, [name for name in claiming if name != FOLDER], manners)
        return named[0]
    if not named and claiming:
        _announce(source, claiming[0], claiming[1:], manners)
        return load(claiming[0])
    if not source.files:
        raise InputError(f"{where}: {_nothing(source)}")
    known = ", ".join(c.name for c in named)
    problem = (
        f"may be {known}"
        if named
        else "is not a known corpus, and no folder is named after a class"
    )
    if manners.strict:
        how = f"name it with --corpus ({', '.join(names())})"
        look = f"{shlex.join(['sertool', 'prepare', '--suggest', where])} looks at names and tables"
        own = "" if named else ", e.g. folder where each class is a folder"
        raise InputError(f"{where}: {problem}; {how}{own}, or {look}")
    if named:
        manners.console.note(f"{where}: {problem}")
    return None


def _claiming(source: Source) -> list[str]:
    """Return the generic corpora that claim a source, the one to be taken first."""

    def rank(name: str) -> float:  # what a package adds is less common than a table
        return GENERIC.index(name) if name in GENERIC else GENERIC.index(TABLE) - 0.5

    generic = [corpus for name in names() if (corpus := load(name)).generic]
    if source.given is None and source.root.is_dir():  # audio files that were named one by one:
        generic = [corpus for corpus in generic if corpus.claims is None]  # a table has others
    found = [corpus.name for corpus in generic if corpus.claim(source.root, source.files)]
    return sorted(found, key=rank)


def _announce(source: Source, taken: str, others: Sequence[str], manners: Manners) -> None:
    """Say which generic corpora would read a source too."""
    if others:
        able = " or ".join(others)
        manners.console.note(f"{source.shown}: read as {taken}; --corpus {able} can read it, too")


def _nothing(source: Source) -> str:
    if source.stray:
        return f"has no audio file, only {plural(source.stray, 'other file')}"
    return "is empty: no audio file"


def _finish(found: Sequence[Found]) -> None:
    """Give the utterances their corpus and their ids, `corpus/path` with the suffix if needed."""
    stems: defaultdict[str, set[str]] = defaultdict(set)
    todo = [(part, utterance) for part in found for utterance in part.utterances]
    for part, utterance in todo:
        utterance.corpus = utterance.corpus or part.name
        utterance.id = f"{utterance.corpus}/{utterance.id}"
        stems[os.path.splitext(utterance.id)[0]].add(utterance.path)
    for _, utterance in todo:
        stem = os.path.splitext(utterance.id)[0]
        utterance.id = (stem if len(stems[stem]) == 1 else utterance.id) + cut_suffix(utterance)


def cut_suffix(utterance: Item) -> str:
    """Return `@start-end` in milliseconds where the utterance is a cut of its file."""
    if utterance.start is None and utterance.end is None:
        return ""
    end = "" if utterance.end is None else f"{utterance.end * 1000:.0f}"
    return f"@{(utterance.start or 0.0) * 1000:.0f}-{end}"


def _check_ids(utterances: Iterable[Item]) -> None:
    """Raise InputError where two utterances have one id, or one recording comes twice."""
    by_id: dict[str, str] = {}
    by_place: dict[tuple[str, float | None, float | None], str] = {}
    for utterance in utterances:
        name, path = utterance.id, utterance.path
        place = (path, utterance.start, utterance.end)
        if by_id.get(name, path) != path:
            raise InputError(
                f"two files have the id {show(name)}: {show(by_id[name])} and {show(path)}; "
                "rename one, or prepare them separately"
            )
        if name in by_id:
            raise InputError(f"{show(path)}: appears twice with the id {show(name)}")
        if place in by_place:
            raise InputError(
                f"{show(path)}: appears twice, as {show(by_place[place])} and {show(name)}"
            )
        by_id[name], by_place[place] = path, name


def discover(
    paths: Sequence[Path],
    corpus: str = AUTO,
    console: Console | None = None,
    strict: bool = False,
) -> list[Item]:
    """Return the utterances of folders, tables, manifests and audio files, as `prepare` sees them.

    In the order given, files of a folder by their POSIX path below it. Where no corpus fits,
    labels are null and one line says so, unless `strict` asks for InputError instead. Raises
    InputError for what is missing or empty and for doubled ids, UsageError for an unknown corpus.
    """
    console = console or Console.silent()
    found = find(paths, corpus, Manners(console, strict))
    for part in found:
        text = difference(part.utterances, part.published())
        if text:
            console.note(f"{part.name}: differs from the published counts, {text}")
    return [utterance for part in found for utterance in part.utterances]
