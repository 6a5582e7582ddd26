"""Corpora whose file names, or one table, say everything: each is a file NAME.toml, read here.

Those that sertool knows are in `data/corpora`; `--corpus MINE.toml` reads any other. It needs no
more than a `title`, a `name` and `fields`.

`name` is the pattern of a file's name without suffix, in any case; it may begin with the names of
`folders` folders above, with `/` between. `shape` is a wider one, by which a misspelt name is
explained. Their groups are codes. `codes.GROUP` lists what a code may be and what it means (""
for unknown), `spellings.GROUP` other ways to write it; a group without codes is kept as it is, in
lower case, or in upper case where `upper` names it. A group that a name lacks is unknown. `fields`
says what becomes a column of the manifest: a group for its code, "=GROUP" for its meaning,
"~GROUP" for it as it is written. `constants` are columns that all recordings share, unless a field
says otherwise. With a `table`, its columns are groups, too.
"""

from __future__ import annotations

import csv
import functools
import io
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from sertool.core.data import data_path
from sertool.core.errors import InputError
from sertool.core.paths import MOST_TOML, contents, show, text_of, to_text
from sertool.core.texts import toml
from sertool.corpora import Corpus, Published, Skipped, half, labels, make, stem
from sertool.corpora.layout import (
    NAME_FLAGS,
    OTHER_FORMAT,
    folders,
    misnamed,
    other_formats,
    tables,
)
from sertool.formats.schema import convert
from sertool.items import FIELDS, Item, Value

# of one recording: group -> code, as the corpus's own table spells it; "~group" -> as it is written
Codes = dict[str, str]
DELIMITERS = "\t|;,"


class Counts(msgspec.Struct, forbid_unknown_fields=True):
    """Published counts of the corpus.

    when: (column, value), of the recordings that have it. unless: a column that tells of
    recordings cut into pieces, which are not counted.
    """

    classes: dict[str, int]
    speakers: dict[str, int] = {}
    when: tuple[str, str] | None = None
    unless: str = ""


class Table(msgspec.Struct, forbid_unknown_fields=True):
    """The table of a corpus, in the folder of its recordings or above, a line for each of them.

    name: the pattern of its own name. file: the column of recordings, whose folder and suffix do
    not matter. columns: those that it must have; numbers: those that hold whole numbers.
    """

    name: str
    file: str
    columns: list[str]
    numbers: list[str] = []


class Spec(msgspec.Struct, forbid_unknown_fields=True):
    """A corpus as its file declares it; see the module.

    title, example: for messages, "EmoDB's files (03a01Fa)". words: groups whose codes are words for
    emotions, brought to the house's nouns. folder: the group that the name of
    a folder above stands for where the file's name lacks it. formats: whether a recording may be
    there in several formats, of which the best is taken. left_out: (group, code, reason) of files
    that are not recordings of the corpus. instead: (this folder, another folder, reason): what lies
    in the second under the same name is left out.
    """

    title: str
    name: str
    fields: dict[str, str]
    summary: str = ""
    about: str = ""
    source: str = ""
    licence: str = ""
    citation: str = ""
    layout: str = ""
    example: str = ""
    shape: str = ""
    codes: dict[str, dict[str, str | int] | list[str]] = {}
    constants: dict[str, str] = {}
    spellings: dict[str, dict[str, str]] = {}
    upper: list[str] = []
    folder: str = ""
    folders: int = 0
    words: list[str] = []
    formats: bool = False
    left_out: list[tuple[str, str, str]] = []
    instead: tuple[str, str, str] | None = None
    table: Table | None = None
    published: list[Counts] = []


@dataclass(frozen=True)
class Named:
    """A corpus's names, from `spec`; its methods are those that a `Corpus` needs."""

    spec: Spec

    @functools.cached_property
    def _patterns(self) -> tuple[re.Pattern[str], re.Pattern[str]]:
        shape = self.spec.shape or self.spec.name
        return _compiled(self.spec.name), _compiled(shape)

    @functools.cached_property
    def _known(self) -> dict[str, dict[str, str]]:
        """For each group with codes: every way to write one, in lower case, and its spelling."""
        return {
            group: {code.lower(): code for code in codes} | self.spec.spellings.get(group, {})
            for group, codes in self.spec.codes.items()
        }

    def parse(self, relative: str, root: Path | None = None) -> Codes | None:
        """Return the codes of a recording, None for a file that is not named as the corpus's.

        `root` is the folder that `relative` counts from, for names of folders that lie above it.
        """
        names = [stem(relative)]
        if self.spec.folders:
            parts = [*(root.absolute().parts[1:] if root else ()), *relative.split("/")[:-1]]
            names.insert(0, "/".join([*parts[-self.spec.folders :], *names]))
        for match in map(self._patterns[0].fullmatch, names):
            codes = self._codes(relative, match) if match else None
            if codes is not None:
                return codes
        return None

    def _codes(self, relative: str, match: re.Match[str]) -> Codes | None:
        codes: Codes = {}
        for group, written in match.groupdict().items():
            if written is None and group == self.spec.folder:
                above = (name.lower() for name in folders(relative))
                written = next((name for name in above if name in self._known[group]), "?")
            if written is None and group != self.spec.folder:
                codes[f"~{group}"] = codes[group] = ""
            elif (code := self._code(group, written or "")) is None:
                return None
            else:
                codes[f"~{group}"], codes[group] = to_text(written or ""), code
        return codes

    def _code(self, group: str, written: str) -> str | None:
        """Return the code that is written so, None where the group has none such."""
        word = labels.noun(written) if group in self.spec.words else written.lower()
        if group in self._known:
            return self._known[group].get(word)
        return word.upper() if group in self.spec.upper else word

    def fits(self, relative: str) -> bool:
        """Return whether the file is named as the corpus's are."""
        return self.parse(relative) is not None

    def utterances(self, root: Path, files: Sequence[str]) -> Iterator[Item | Skipped]:
        """Yield one utterance per recording, its columns from its name."""
        spec = self.spec
        usual = f"{spec.title}'s files" + (f" ({spec.example})" if spec.example else "")
        rows = self._rows(root, files) if spec.table else {}
        key = functools.partial(self._recording, root)
        worse = other_formats(files, key) if spec.formats else set()
        better = {stem(file).lower() for file in files if self._within(file, 0)}
        for relative in files:
            codes = self.parse(relative, root)
            if codes is None:
                yield misnamed(relative, usual, self._patterns[1], self._known)
                continue
            row = rows.get(stem(relative).lower())
            for group, text in (row or {}).items():
                codes[f"~{group}"], codes[group] = text, self._code(group, text) or ""
            strange = [g for g, text in (row or {}).items() if text and not codes[g]]
            if strange:
                value = show(codes[f"~{strange[0]}"])
                yield Skipped(relative, f"{strange[0]} {value!r} in its line is unknown")
                continue
            reasons = [why for group, code, why in spec.left_out if codes[group] == code]
            if spec.table and row is None:
                reasons.append(f"not in {spec.title}'s table")
            if relative in worse:
                reasons.append(OTHER_FORMAT)
            elif spec.instead and stem(relative).lower() in better and self._within(relative, 1):
                reasons.append(spec.instead[2])
            if reasons:
                yield Skipped(relative, reasons[0], harmless=True)
            else:
                yield self._item(root, relative, codes)

    def _rows(self, root: Path, files: Sequence[str]) -> dict[str, dict[str, str]]:
        """Return the table's rows, {column: text}, by the names of recordings.

        Raises InputError where there is no such table.
        """
        path = self._nearest(root, files)
        if path is None:
            raise InputError(f"{show(root)}: the table of {self.spec.title} is not in it or above")
        assert self.spec.table
        header, *lines = _lines(path)
        places = [header.index(column) for column in self.spec.table.columns]
        file = header.index(self.spec.table.file)
        rows = {}
        for cells in lines:
            if len(cells) == len(header):
                row = {header[place]: to_text(cells[place].strip()) for place in places}
                rows[stem(cells[file].strip().replace("\\", "/")).lower()] = row
        return rows

    def _nearest(self, root: Path, files: Sequence[str]) -> Path | None:
        """Return the corpus's table, of several the one least deep; None where there is none."""
        if self.spec.table is None:
            return None
        wanted = {self.spec.table.file, *self.spec.table.columns}
        for path in tables(root, files, _compiled(self.spec.table.name)):
            if wanted <= set(next(iter(_lines(path)), [])):
                return path
        return None

    def claims(self, root: Path, files: Sequence[str]) -> bool:
        """Return whether at least half of the files fit, and its table, if any, is near."""
        enough = half(lambda relative: self.parse(relative, root) is not None, files)
        return enough and (not self.spec.table or self._nearest(root, files) is not None)

    def _recording(self, root: Path, relative: str) -> tuple[str, ...] | None:
        codes = self.parse(relative, root)
        if codes is None:
            return None
        return tuple(code for group, code in codes.items() if not group.startswith("~"))

    def _within(self, relative: str, side: int) -> bool:
        """Return whether a folder above the file is named after one side of `instead`."""
        word = self.spec.instead and self.spec.instead[side]
        return bool(word) and any(str(word) in name.lower() for name in folders(relative))

    def _item(self, root: Path, relative: str, codes: Mapping[str, str]) -> Item:
        columns: dict[str, Value] = dict(self.spec.constants)
        numbers = self.spec.table.numbers if self.spec.table else []
        for column, wanted in self.spec.fields.items():
            group = wanted.removeprefix("=")
            meanings = self.spec.codes.get(group)
            value: Value = codes[group]
            if value and wanted != group and isinstance(meanings, dict):
                value = meanings[codes[group]]
            elif group in numbers and codes[group].isdecimal():
                value = int(codes[group])
            columns[column] = value if value != "" else columns.get(column)
        own: dict[str, Any] = {name: columns[name] for name in FIELDS if name in columns}
        extra = {name: value for name, value in columns.items() if name not in FIELDS}
        return make(root, relative, **own, extra=extra)

    def published(self, root: Path, found: Sequence[Item]) -> Published | None:
        """Return the published counts for what was found, or None."""
        classes: Counter[str] = Counter()
        speakers: Counter[str] = Counter()
        for counts in self.spec.published:
            if counts.unless and any(item.value(counts.unless) for item in found):
                return None
            column, value = counts.when or ("", None)
            if counts.when is None or any(item.value(column) == value for item in found):
                classes.update(counts.classes)
                speakers.update(counts.speakers)
        return Published(dict(classes), dict(speakers)) if self.spec.published else None


def _lines(path: Path) -> list[list[str]]:
    """Return a table's lines as cells, the header first; none of what is no table."""
    try:
        content = contents(path)
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("cp1252", "replace")
        first = text.partition("\n")[0]
        delimiter = max(DELIMITERS, key=first.count)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        header = [name.strip() for name in next(reader, [])]
        return [header, *reader]
    except (OSError, csv.Error):
        return []


def _compiled(pattern: str) -> re.Pattern[str]:
    with warnings.catch_warnings():  # of what Python may come to read otherwise
        warnings.simplefilter("ignore", FutureWarning)
        return re.compile(pattern, NAME_FLAGS)


def _spec(path: Path) -> Spec:
    return convert(toml(text_of(path, most=MOST_TOML)), Spec)


def described(name: str) -> Spec | None:
    """Return what data/corpora says of a corpus; None where it has no file there."""
    known = {path.stem: path for path in data_path("corpora").iterdir()}
    return _spec(known[name]) if name in known else None


def read(path: Path) -> Corpus:
    """Return the corpus that a file declares; InputError where it is damaged."""
    try:
        spec = _spec(path)
        named = Named(spec)
        groups = set(named._patterns[0].groupindex)
        if spec.table is not None:
            _compiled(spec.table.name)
            groups |= set(spec.table.columns)
        used = {wanted.lstrip("=~") for wanted in spec.fields.values()} | set(spec.codes)
        if not used <= groups:
            raise ValueError(f"name has no group {min(used - groups)}")
    except OSError as error:
        raise InputError(f"{show(path)}: {error.strerror}") from error
    except (ValueError, re.error, OverflowError, RecursionError) as error:
        raise InputError(f"{show(path)}: not a corpus description: {error}") from error
    return Corpus(
        path.stem,
        spec.summary or spec.title,
        named.fits,
        named.utterances,
        named.published,
        claims=named.claims,
        licence=spec.licence.rstrip("."),
    )


@functools.cache
def _brought(name: str) -> Corpus:
    return read(data_path("corpora", f"{name}.toml"))


def __getattr__(name: str) -> Corpus:
    """Return the corpus of data/corpora/NAME.toml."""
    try:
        return _brought(name)
    except InputError as error:
        raise AttributeError(str(error)) from error
