"""A table of recordings: CSV or TSV, one line an utterance, columns by their header.

Read as they are: audformat's tables (`file,start,end,speaker,emotion`, times such as
`0 days 00:00:01.5`) and nkululeko's (`file,speaker,gender,emotion`). Relative paths count from the
table's folder. A folder that holds one such table serves too. Further columns pass through.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sertool.core.errors import InputError
from sertool.core.paths import from_text, show, to_text
from sertool.corpora import Corpus, Skipped, labels
from sertool.formats.manifest import FIELDS, MAX_SECONDS
from sertool.items import Item

SUFFIXES = (".csv", ".tsv")
# field -> the headers it goes by, the most telling first
COLUMNS = {
    "file": ("file", "path", "filename", "file_name", "filepath", "file_path", "wav", "audio"),
    "label": ("emotion", "label", "class"),
    "raw_label": ("raw_label",),
    "speaker": ("speaker", "speaker_id", "spk"),
    "gender": ("gender", "sex"),
    "start": ("start",),
    "end": ("end",),
    "corpus": ("corpus", "database", "dataset"),
    "language": ("language", "lang"),
    "text": ("text", "transcription", "transcript", "sentence"),
    "session": ("session",),
    "part": ("part", "split", "partition"),
    "fold": ("fold",),
}
# names that later stages keep for themselves
RESERVED = frozenset(FIELDS) | {"origin", "augmentation", "audio_hash", "fingerprint"}
GENDERS = {"m": "male", "male": "male", "man": "male"}
GENDERS |= {"f": "female", "female": "female", "woman": "female", "w": "female"}
GENDERS |= {"other": "other", "diverse": "other", "nonbinary": "other", "non-binary": "other"}
LANGUAGES = {"eng": "en", "english": "en", "deu": "de", "ger": "de", "german": "de", "ita": "it"}
LANGUAGES |= {"italian": "it", "fra": "fr", "french": "fr", "spa": "es", "spanish": "es"}
LANGUAGES |= {"dan": "da", "danish": "da", "urd": "ur", "urdu": "ur", "cmn": "zh", "zho": "zh"}
PART_WORDS = {"train": "train", "dev": "val", "val": "val", "test": "test"}  # by their beginnings
_TIMEDELTA = re.compile(r"(?:(\d+) days?,?\s*)?(?:(\d+):(\d\d):(\d\d(?:\.\d+)?))?")
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?")
LARGEST = 10**300  # of whole numbers: those beyond are not floats
MAX_DIGITS = 16  # longer numbers are names: no float keeps them
_UNKNOWN = frozenset({"", "nan", "nat", "null", "none", "na", "n/a", "<na>"})


def fits(relative: str) -> bool:
    """Return False: a table is known by its header, not by the names of recordings."""
    return False


def tables(folder: Path) -> list[Path]:
    """Return the tables directly in a folder whose header names files and something of them."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith("."):
            try:
                header = open_table(path)[0]
            except InputError:
                continue
            columns = find_columns(header)
            if "file" in columns and columns.keys() & {"label", "speaker"}:
                found.append(path)
    return found


def claims(root: Path, files: Sequence[str]) -> bool:
    """Return whether `root` is a table, or a folder in which a table of recordings lies."""
    return bool(tables(root)) if root.is_dir() else root.suffix.lower() in SUFFIXES


def locate(root: Path) -> Path:
    """Return the table that `root` is or holds; raises InputError where it is not exactly one."""
    if not root.is_dir():
        return root
    found = tables(root)
    if len(found) != 1:
        what = ", ".join(path.name for path in found) or "no table with a column file"
        raise InputError(f"{show(root)}: holds {what}; name the table itself (a .csv or .tsv)")
    return found[0]


def utterances(root: Path, files: Sequence[str]) -> Iterator[Item | Skipped]:
    """Yield one utterance per line of the table; then the recordings that it does not name."""
    table = locate(root)
    header, lines = open_table(table)
    columns = find_columns(header)
    if "file" not in columns:
        raise InputError(f"{show(table)}: no column file (or path, filename); has {show(header)}")
    extras = find_extras(header, columns, lines)
    named, present = set(), 0
    for number, cells in lines:
        where = f"{to_text(table)} line {number}"
        if len(cells) != len(header):
            yield Skipped(where, f"{len(cells)} cells, the header has {len(header)}")
            continue
        row = dict(zip(header, cells, strict=True))
        values = {name: known_cell(row[column]) for name, column in columns.items()}
        if values["file"] is None:
            yield Skipped(where, "names no file")
            continue
        path = os.path.abspath(from_text(os.path.join(to_text(table.parent), values["file"])))
        named.add(path)
        if not os.path.isfile(path):
            yield Skipped(where, f"no such file: {show(path)}")
            continue
        present += 1
        extra = {name: convert(row[column], kind) for name, (column, kind) in extras.items()}
        try:
            span = seconds(values.get("start")), seconds(values.get("end"))
            yield make_utterance(below(path, table.parent), path, span, values, extra)
        except ValueError as error:
            yield Skipped(where, str(error))
    if lines and not present and named:
        raise InputError(
            f"{show(table)}: none of its files exists, e.g. {show(min(named))}; "
            "paths are relative to the table's folder"
        )
    for relative in files:
        if os.path.abspath(root / relative) not in named:
            yield Skipped(relative, f"not in {show(table.name)}", harmless=True)


def open_table(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return a table's header and its lines with their numbers; raises InputError."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            delimiters = sorted("\t;,", key=first.count)
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiters[-1])
            header = [name.strip() for name in next(reader, [])]
            lines = [(reader.line_num, cells) for cells in reader if any(cells)]
    except OSError as error:
        raise InputError(f"{show(path)}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{show(path)}: not a table in UTF-8: {error}") from error
    repeated = {name for name in header if name and header.count(name) > 1}
    if repeated:
        raise InputError(f"{show(path)}: two columns are called {min(repeated)!r}")
    return header, lines


def find_columns(header: Sequence[str]) -> dict[str, str]:
    """Return {field: the column that holds it}."""
    lower = {name.lower(): name for name in header}
    found = {}
    for name, words in COLUMNS.items():
        column = next((lower[word] for word in words if word in lower), None)
        if column is not None:
            found[name] = column
    return found


def find_extras(
    header: Sequence[str], columns: Mapping[str, str], lines: Sequence[tuple[int, list[str]]]
) -> dict[str, tuple[str, type]]:
    """Return {name: (column, type)} of the columns that pass through.

    A column whose every cell is a plain number holds numbers; 007 is not a plain number.
    """
    extras: dict[str, tuple[str, type]] = {}
    # a split's own words (Test1, Test2) stay too, for --where, beside the part made of them
    used = {column for column in columns.values() if column != columns.get("part")}
    used |= {column for column in columns.values() if column.lower() == "part"}
    for i, column in enumerate(header):
        if column in used or not column or column.startswith("Unnamed:"):
            continue
        cells = [known for _, row in lines if i < len(row) and (known := known_cell(row[i]))]
        matches = [_NUMBER.fullmatch(cell) for cell in cells]
        kind: type = str
        if cells and all(matches) and max(map(len, cells)) < MAX_DIGITS:
            kind = float if any(m and (m[2] or m[3]) for m in matches) else int
        name = f"table_{column}" if column in RESERVED else column
        extras[name] = (column, kind)
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
        if not (fold.isascii() and fold.isdigit()):
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
        fold=None if fold is None else int(fold),
        part=part_word(values.get("part")),
        extra=extra,
    )


def seconds(text: str | None) -> float | None:
    """Return the time of a cell, `1.5` or `0 days 00:00:01.5`, in seconds; None where unknown.

    Raises ValueError for anything else and for negative times.
    """
    if text is None:
        return None
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
