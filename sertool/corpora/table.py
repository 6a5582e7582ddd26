"""A table of recordings: CSV or TSV, one line an utterance, columns by their header.

Read as they are: audformat's tables (`file,start,end,speaker,emotion`, times such as
`0 days 00:00:01.5`) and nkululeko's (`file,speaker,gender,emotion`). Relative paths count from the
table's folder, or from the one below it in which the files are (see `located`). A folder that holds
one such table serves too. Further columns pass through. What a table's own names are, where its
files lie and in which encoding it is can be told by a `Reading`.
"""

from __future__ import annotations

import csv
import functools
import json
import math
import os
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from sertool.core.errors import InputError, UsageError
from sertool.core.paths import contents, show, to_text
from sertool.core.texts import whole
from sertool.corpora import Corpus, Note, Skipped, labels, located, proposals, raters, reading
from sertool.corpora.layout import GENDERS
from sertool.formats.manifest import FIELDS, MAX_SECONDS
from sertool.items import Item
from sertool.items import number as number_of
from sertool.ui.words import plural

SUFFIXES = (".csv", ".tsv")
# field -> the headers it goes by, the most telling first
COLUMNS = {
    "file": (
        "file",
        "path",
        "filename",
        "file_name",
        "filepath",
        "file_path",
        "wav",
        "audio",
        "file_id",
        "audio_file",
        "audio_path",
        "wav_file",
    ),
    "label": ("emotion", "label", "class"),
    "raw_label": ("raw_label",),
    "speaker": ("speaker", "speaker_id", "spk"),
    "gender": ("gender", "sex"),
    "start": ("start",),
    "end": ("end",),
    "corpus": ("corpus", "database", "dataset"),
    "language": ("language", "lang"),
    "text": ("text", "transcription", "transcript", "sentence", "normalized_text", "raw_text"),
    "session": ("session",),
    "part": ("part", "split", "partition"),
    "fold": ("fold",),
}
# names that later stages keep for themselves
RESERVED = frozenset(FIELDS) | {"origin", "augmentation", "audio_hash", "fingerprint"}
LANGUAGES = {"eng": "en", "english": "en", "deu": "de", "ger": "de", "german": "de", "ita": "it"}
LANGUAGES |= {"italian": "it", "fra": "fr", "french": "fr", "spa": "es", "spanish": "es"}
LANGUAGES |= {"dan": "da", "danish": "da", "urd": "ur", "urdu": "ur", "cmn": "zh", "zho": "zh"}
PART_WORDS = {"train": "train", "dev": "val", "val": "val", "test": "test"}  # by their beginnings
_TIMEDELTA = re.compile(r"(?:(\d+) days?,?\s*)?(?:(\d+):(\d\d):(\d\d(?:\.\d+)?))?")
_DECIMAL_COMMA = re.compile(r"(\d),(\d+)$")  # of spreadsheets in most of Europe
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?")
_GAP = re.compile(r"[\s_-]+")
LARGEST = 10**300  # of whole numbers: those beyond are not floats
MAX_DIGITS = 16  # longer numbers are names: no float keeps them
_UNKNOWN = frozenset({"", "nan", "nat", "null", "none", "na", "n/a", "<na>"})


def fits(relative: str) -> bool:
    """Return False: a table is known by its header, not by the names of recordings."""
    return False


@dataclass(frozen=True)
class Reading:
    """What a person says of a table.

    columns: field (see `COLUMNS`) or new name -> the column that holds it. audio_root: the folder
    that the files' names count from. encoding: the table's. raters: the columns of raters, by what
    they rate (see `raters.parse`). rater: the column that says who rates, where a line is one
    rater's. output: the manifest, for messages.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    audio_root: Path | None = None
    encoding: str | None = None
    raters: Mapping[str | None, Sequence[str]] = field(default_factory=dict)
    rater: str | None = None
    output: str = "manifest.jsonl"

    def command(self, table: Path, more: Mapping[str, str]) -> str:
        """Return the command line that reads a table with these columns, too."""
        words = ["sertool", "prepare", to_text(table), self.output]
        for name, column in {**self.columns, **more}.items():
            words += ["--column", f"{name}={column}"]
        if self.audio_root is not None:
            words += ["--audio-root", to_text(self.audio_root)]
        if self.encoding is not None:
            words += ["--encoding", self.encoding]
        for rated, columns in self.raters.items():
            words += ["--raters", (f"{rated}=" if rated else "") + ",".join(columns)]
        if self.rater is not None:
            words += ["--rater", self.rater]
        return shlex.join(words)


AS_IT_IS = Reading()


def reader(given: Reading) -> Corpus:
    """Return the corpus `csv` with tables read as a person says."""
    return Corpus(
        name=CORPUS.name,
        summary=CORPUS.summary,
        fits=fits,
        utterances=functools.partial(utterances, given=given),
        generic=True,
        claims=claims,
    )


def tables(folder: Path, given: Reading = AS_IT_IS) -> list[Path]:
    """Return the tables directly in a folder whose header names files and something of them."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith("."):
            try:
                columns = find_columns(open_table(path, given.encoding)[0], given.columns)
            except (InputError, UnknownColumn):
                continue
            told = columns.keys() & {"label", "speaker"} or given.raters or given.rater
            if "file" in columns and told:
                found.append(path)
    return found


def claims(root: Path, files: Sequence[str]) -> bool:
    """Return whether `root` is a table, or a folder in which a table of recordings lies."""
    return bool(tables(root)) if root.is_dir() else root.suffix.lower() in SUFFIXES


def locate(root: Path, given: Reading = AS_IT_IS) -> Path:
    """Return the table that `root` is or holds; raises InputError where it is not exactly one."""
    if not root.is_dir():
        return root
    found = tables(root, given)
    if not found:  # the only one, whose columns are to be explained
        listed = sorted(p for p in root.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
        found = listed if len(listed) == 1 else []
    if len(found) != 1:
        what = ", ".join(path.name for path in found) or "no table with a column file"
        raise InputError(f"{show(root)}: holds {what}; name the table itself (a .csv or .tsv)")
    return found[0]


def utterances(
    root: Path, files: Sequence[str], given: Reading = AS_IT_IS
) -> Iterator[Item | Skipped | Note]:
    """Yield one utterance per line of the table; then the recordings that it does not name."""
    table = locate(root, given)
    header, lines, encoding = _open(table, given.encoding)
    if encoding is not None:
        yield Note(f"{show(table)}: read as {encoding}, by a guess; --encoding names another")
    folder = table.parent if given.audio_root is None else given.audio_root
    try:
        rating = find_raters(header, lines, given)
        columns = find_columns(header, given.columns, rating.columns)
        likely = proposals.likely(header, lines, rating.known(columns), folder)
        _check_file(header, columns, likely, given.command(root, likely))
        places = located.locate(folder, _names(header, lines, columns["file"]))
    except (UnknownColumn, ValueError, InputError) as error:
        raise InputError(f"{show(table)}: {error}") from error
    if likely:
        what, how = " and ".join(likely), given.command(root, likely)
        yield Note(f"{show(table)}: no column is taken for {what}; likely: {how}", warning=True)
    if places.root != folder or places.dropped:
        without = f", without the first {places.dropped} of their folders" if places.dropped else ""
        yield Note(f"{show(table)}: its files are in {show(places.root)}{without}")
    extras = find_extras(header, columns, lines, rating.columns)
    gathered = raters.Gathered("label" in columns) if rating.one else None
    read = _Lines(table, header, columns, extras, rating, places, given.audio_root, gathered)
    for number, cells in lines:
        yield from read.line(f"{to_text(table)} line {number}", cells)
    if gathered is not None:
        yield from gathered.items()
        if apart := sorted(name for name, amounts in gathered.rated().items() if not amounts):
            yield Note(
                f"{show(table)}: raters differ in {', '.join(map(show, apart))}, which is left out"
            )
    if read.named and not read.present:
        raise InputError(
            f"{show(table)}: none of its files exists, e.g. {show(min(read.named))}; "
            "paths are relative to the table's folder, or to --audio-root"
        )
    if places.renamed:
        yield Note(
            f"{show(table)}: {plural(places.renamed, 'file')} taken in another format than the"
            " table names"
        )
    for relative in files:
        if os.path.abspath(root / relative) not in read.named:
            yield Skipped(relative, f"not in {show(table.name)}", harmless=True)


def _check_file(
    header: Sequence[str], columns: Mapping[str, str], likely: Mapping[str, str], command: str
) -> None:
    """Raise InputError where no column names files; `command` has those that are likely."""
    if "file" in columns:
        return
    found = show(", ".join(map(repr, header)) or "no header")
    how = f"try: {command}" if "file" in likely else "name it by --column"
    raise InputError(f"no column file (or path, filename); has {found}; {how}")


def _names(header: Sequence[str], lines: Sequence[tuple[int, list[str]]], column: str) -> list[str]:
    """Return the files that the table names."""
    at = list(header).index(column)
    cells = (known_cell(cells[at]) for _, cells in lines if len(cells) == len(header))
    return [cell for cell in cells if cell]


@dataclass
class _Lines:
    """What makes an item of each line of a table.

    extras: the columns that pass through. gathered: where a line is one rater's. named: the files
    that lines name, of which so many lines' were `present`.
    """

    table: Path
    header: Sequence[str]
    columns: Mapping[str, str]
    extras: Mapping[str, tuple[str, type]]
    rating: Raters
    places: located.Places
    audio_root: Path | None
    gathered: raters.Gathered | None
    named: set[str] = field(default_factory=set)
    present: int = 0

    def line(self, where: str, cells: Sequence[str]) -> Iterator[Item | Skipped]:
        """Yield a line's item, or what is wrong with it; nothing yet where items are gathered."""
        if len(cells) != len(self.header):
            yield Skipped(where, f"{len(cells)} cells, the header has {len(self.header)}")
            return
        row = dict(zip(self.header, cells, strict=True))
        file = known_cell(row[self.columns["file"]])
        if file is None:
            yield Skipped(where, "names no file")
            return
        path = self.places.find(file)
        self.named.add(path or self.places.path(file))
        if path is None:
            gone = self.places.path(file)
            yield Skipped(where, f"no such file: {show(gone)}", missing=True)
            return
        self.present += 1
        try:
            made, said = self._item(path, row)
        except ValueError as error:
            yield Skipped(where, str(error))
            return
        if self.gathered is None:
            yield made
            return
        wrong = self.gathered.add(where, known_cell(row[str(self.rating.one)]), said, made)
        if wrong is not None:
            yield wrong

    def _item(self, path: str, row: Mapping[str, str]) -> tuple[Item, str | None]:
        """Return a line's item, and what its rater said where a line is one rater's.

        Raises ValueError for a cell that cannot be read.
        """
        values = {name: known_cell(row[column]) for name, column in self.columns.items()}
        extra = {name: convert(row[column], kind) for name, (column, kind) in self.extras.items()}
        span = seconds(values.get("start")), seconds(values.get("end"))
        cells = self.rating.cells(row)
        if cells:
            label, further = raters.wide(cells)
            extra |= further
            if "label" in cells and "label" not in self.columns:
                values |= {"label": label, "raw_label": None}
        said = values.pop("label", None) if self.gathered else None
        identity = _identity(path, self.table.parent, self.audio_root)
        return make_utterance(identity, path, span, values, extra), said


def _identity(path: str, folder: Path, root: Path | None) -> str:
    """Return a file's path below the table's folder, or else below the folder of the audio."""
    inside = below(path, folder)
    return below(path, root) if root is not None and f"/{inside}" == path else inside


def open_table(
    path: Path, encoding: str | None = None
) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return a table's header and its lines with their numbers; raises InputError."""
    header, lines, _ = _open(path, encoding)
    return header, lines


def _open(
    path: Path, encoding: str | None
) -> tuple[list[str], list[tuple[int, list[str]]], str | None]:
    """Return a table's header, its lines and the encoding where that is a guess."""
    try:
        text = reading.decode(contents(path), encoding)
        header, lines = reading.split(text.text)
    except OSError as error:
        raise InputError(f"{show(path)}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{show(path)}: not a table in {error.encoding}: {error}") from error
    except (ValueError, csv.Error) as error:
        raise InputError(f"{show(path)}: not a table: {error}") from error
    repeated = [name for name, times in Counter(filter(None, header)).items() if times > 1]
    if repeated:
        raise InputError(f"{show(path)}: two columns are called {min(repeated)!r}")
    return header, lines, text.encoding if text.guessed else None


def check_fields(columns: Mapping[str, str]) -> None:
    """Raise UsageError for a field that is one of the manifest's misspelt, or is no Unicode."""
    known = [*COLUMNS, *RESERVED]
    for name, column in columns.items():
        if to_text(name + column) != name + column:
            raise UsageError(f"--column {show(name)}={show(column)}: not in UTF-8")
        near = [] if name in COLUMNS else get_close_matches(name, known, 1)
        if near or not name.strip() or name in RESERVED - set(COLUMNS):
            meant = f"; did you mean {near[0]}?" if near and near[0] in COLUMNS else ""
            raise UsageError(f"--column {name}=…: fields are {', '.join(COLUMNS)}{meant}")


class UnknownColumn(ValueError):
    """A column that a table does not have."""


@dataclass(frozen=True)
class Raters:
    """Where a table has its raters.

    of: what is rated -> its raters' columns. one: the column that says who rates, where a line is
    one rater's.
    """

    of: Mapping[str, Sequence[str]]
    one: str | None = None

    @property
    def columns(self) -> frozenset[str]:
        """All columns that are raters', and no other field's."""
        found = {column for columns in self.of.values() for column in columns}
        return frozenset(found | ({self.one} if self.one else set()))

    def known(self, columns: Mapping[str, str]) -> dict[str, str]:
        """Return {field: column} with the raters' columns, which are no other field's."""
        more = {f"rater {i}": column for i, column in enumerate(sorted(self.columns))}
        return more | {name: of[0] for name, of in self.of.items()} | dict(columns)

    def cells(self, row: Mapping[str, str]) -> dict[str, dict[str, str | None]]:
        """Return what is rated -> rater -> the cell of a line; {} without columns of raters."""
        return {
            name: {column: known_cell(row[column]) for column in columns}
            for name, columns in self.of.items()
        }


def find_raters(
    header: Sequence[str], lines: Sequence[tuple[int, list[str]]], given: Reading
) -> Raters:
    """Return the raters' columns as a table has them.

    Raises UnknownColumn for one that is not there, ValueError where raters of nothing that is named
    give numbers.
    """
    of: dict[str, list[str]] = {}
    for name, patterns in given.raters.items():
        found = [c for p in patterns for c in raters.matching(header, p) or [_column(header, p)]]
        of[name or raters.LABEL] = list(dict.fromkeys(found))
        places = [header.index(column) for column in found]
        rows = [row for _, row in lines if len(row) == len(header)]
        cells = {cell for row in rows for i in places if (cell := known_cell(row[i]))}
        if name is None and cells and all(number_of(cell) is not None for cell in cells):
            columns = ",".join(patterns)
            raise ValueError(
                f"--raters {columns}: they give numbers; say of what, --raters arousal={columns},"
                f" or --raters label={columns} if they are names of classes"
            )
    return Raters(of, None if given.rater is None else _column(header, given.rater))


def _column(header: Sequence[str], name: str) -> str:
    return find_columns(header, {"file": name})["file"]


def find_columns(
    header: Sequence[str],
    given: Mapping[str, str] | None = None,
    taken_before: frozenset[str] = frozenset(),
) -> dict[str, str]:
    """Return {field: the column that holds it}; those that are `given` first.

    Columns that are `taken_before` hold no field, unless they are given. Case, spaces, hyphens and
    underscores in a header make no difference. Raises UnknownColumn for a given column that is not
    there.
    """
    lower: dict[str, str] = {}
    for name in header:
        lower.setdefault(_key(name), name)
    found = {}
    for name, column in (given or {}).items():
        same = column if column in header else lower.get(_key(column))
        if not same:
            near = get_close_matches(_key(column), lower, 1)
            meant = f"; did you mean {lower[near[0]]!r}?" if near else ""
            there = ", ".join(map(repr, filter(None, header)))
            raise UnknownColumn(f"no column {column!r}; there are {there}{meant}")
        found[name] = same
    taken = set(found.values()) | taken_before
    for name, words in COLUMNS.items():
        free = (lower[word] for word in words if word in lower and lower[word] not in taken)
        column = next(free, "")
        if column and name not in found:
            found[name] = column
    return found


def _key(name: str) -> str:
    return _GAP.sub("_", name.strip().casefold())


def find_extras(
    header: Sequence[str],
    columns: Mapping[str, str],
    lines: Sequence[tuple[int, list[str]]],
    others: frozenset[str] = frozenset(),
) -> dict[str, tuple[str, type]]:
    """Return {name: (column, type)} of the columns that pass through, without the `others`.

    A column whose every cell is a plain finite number holds numbers; 007 and 1e400 are not such.
    """
    extras: dict[str, tuple[str, type]] = {}
    # a split's own words (Test1, Test2) stay too, for --where, beside the part made of them
    used = {column for column in columns.values() if column != columns.get("part")}
    used |= {column for column in columns.values() if column.lower() == "part"}
    renamed = {column: name for name, column in columns.items() if name not in COLUMNS}
    used -= renamed.keys()
    for i, column in enumerate(header):
        if column in used or column in others or not column or column.startswith("Unnamed:"):
            continue
        cells = [known for _, row in lines if i < len(row) and (known := known_cell(row[i]))]
        matches = [_NUMBER.fullmatch(cell) for cell in cells]
        kind: type = str
        short = bool(cells) and all(matches) and max(map(len, cells)) < MAX_DIGITS
        if short and all(math.isfinite(float(cell)) for cell in cells):
            kind = float if any(m and (m[2] or m[3]) for m in matches) else int
        name = f"table_{column}" if column in RESERVED else column
        extras[renamed.get(column, name)] = (column, kind)
    return extras


def known_cell(cell: str) -> str | None:
    """Return a cell's text, None for an empty one and for the words that stand for unknown."""
    cell = cell.strip()
    return None if cell.lower() in _UNKNOWN else cell


def convert(cell: str, kind: type) -> Any:
    """Return a cell as the type of its column (see `find_extras`), None where unknown."""
    known = known_cell(cell)
    return None if known is None else kind(known)


def word(value: Any) -> str | None:
    """Return a JSON value as a cell's text, None where it is empty or no text and no number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not storable(value):
        return None
    return (f"{value:g}" if isinstance(value, float) else str(value)).strip() or None


def storable(value: Any) -> bool:
    """Return whether a manifest can hold a JSON value: neither NaN nor half a surrogate."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return False
    return not isinstance(value, int) or abs(value) < LARGEST


def make_utterance(
    identity: str,
    path: str,
    span: tuple[float | None, float | None],
    values: Mapping[str, str | None],
    extra: dict[str, Any],
) -> Item:
    """Return the utterance of a line; raises ValueError with what is wrong in it.

    `span` is the cut in seconds, `values` maps fields to their words. A label is brought to the
    house's noun; where there is a field `raw_label`, it is a class already.
    """
    start, end = span
    if end is not None and end <= (start or 0.0):
        raise ValueError(f"the end, {end:g} s, is not after the start, {start or 0.0:g} s")
    gender, language, fold = values.get("gender"), values.get("language"), values.get("fold")
    if fold is not None:
        fold = fold.removesuffix(".0")  # pandas makes floats of a column with empty cells
        if whole(fold) is None:
            raise ValueError(f"fold {fold!r} is not a whole number from 0")
    label = values.get("label")
    if end is None:
        start = start or None  # from 0 to the end is not a cut
    elif start is None:
        start = 0.0
    return Item(
        id=identity,
        path=to_text(path),
        start=start,
        end=end,
        corpus=values.get("corpus"),
        speaker=values.get("speaker"),
        gender=None if gender is None else GENDERS.get(gender.lower()),
        language=None if language is None else LANGUAGES.get(language.lower(), language.lower()),
        text=values.get("text"),
        session=values.get("session"),
        label=label if label is None or "raw_label" in values else labels.noun(label),
        raw_label=values.get("raw_label", label),
        fold=None if fold is None else whole(fold),
        part=part_word(values.get("part")),
        extra=extra,
    )


def seconds(text: str | None) -> float | None:
    """Return the time of a cell, `1.5` or `0 days 00:00:01.5`, in seconds; None where unknown.

    Raises ValueError for anything else and for negative times.
    """
    if text is None:
        return None
    text = _DECIMAL_COMMA.sub(r"\1.\2", text)
    match = _TIMEDELTA.fullmatch(text)
    if match and (match[1] or match[2]):
        days, hours, minutes, rest = (float(piece or 0) for piece in match.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + rest
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a time; write seconds or 0 days 00:00:01.5") from None
    if not 0 <= value <= MAX_SECONDS:
        raise ValueError(f"{text!r} is not a time from 0")
    return value


def part_word(word: str | None) -> str | None:
    """Return train, val or test for a split's word (Training, dev, Test1 …), None for others."""
    folded = (word or "").lower()
    return next((part for start, part in PART_WORDS.items() if folded.startswith(start)), None)


def below(path: str, folder: Path) -> str:
    """Return a path below the folder as relative, any other without what leads to the root."""
    parent = to_text(os.path.abspath(folder)).rstrip("/") + "/"
    return to_text(path).removeprefix(parent).lstrip("/")


CORPUS = Corpus(
    name="csv",
    summary="a CSV or TSV table of files (audformat's and nkululeko's among them)",
    fits=fits,
    utterances=utterances,
    generic=True,
    claims=claims,
)
