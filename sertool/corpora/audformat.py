"""Databases in audformat: a header `db.yaml` and tables `db.NAME.csv`, as audb publishes them.

Format: https://audeering.github.io/audformat/data-format.html. Filewise tables (index `file`),
segmented tables (`file,start,end`) and misc tables (another index, such as speakers) lie beside the
header, paths count from there.

Utterances are the lines of the tables with a column `emotion` (`label`, `class`); without such a
table, of the filewise ones, else of the segmented ones. A table given by itself is the one whose
lines count. A filewise table tells what it knows of a file to all its segments, a misc table what
it knows of a value to all lines with that value: where `db.speaker.csv` has a line 3 with age and
gender, all of speaker 3 have them. `….train.…`, `….dev.…` and `….test.…` in the name of a table of
emotions is the part.

Of the header only the database's name and its one language are read: the rest takes a YAML parser.
What it alone knows, as genders among a scheme's labels, is said to be left out. Tables must be CSV.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sertool.core.errors import InputError
from sertool.core.paths import from_text, show, to_text
from sertool.corpora import Corpus, Skipped
from sertool.corpora.table import (
    COLUMNS,
    below,
    convert,
    find_columns,
    find_extras,
    known_cell,
    make_utterance,
    open_table,
    seconds,
)
from sertool.items import Item

HEADER = "db.yaml"
SUFFIXES = (".csv", ".parquet", ".pkl")
PART_WORDS = {"train": "train", "dev": "val", "devel": "val", "val": "val", "test": "test"}
PART_WORDS |= {"valid": "val", "validation": "val"}
_SEGMENTED = ["file", "start", "end"]
_NAME = re.compile(r"^name:[ \t]*(['\"]?)(\S.*?)\1[ \t]*$", re.MULTILINE)
_LANGUAGE = re.compile(r"^languages:[ \t]*\[(\w+)\]", re.MULTILINE)
_GENDER = re.compile(r"\bgender: *(?:male|female)\b")

Span = tuple[float | None, float | None]
Place = tuple[str, Span]  # a file as the tables name it, and the cut in seconds


@dataclass
class _Table:
    """One table: its columns, and its lines by their numbers."""

    path: Path
    header: list[str]
    lines: list[tuple[int, list[str]]]

    @property
    def index(self) -> int:
        """The number of columns of the index: 1 for files, 3 for segments, 0 for a misc table."""
        if self.header[:3] == _SEGMENTED:
            return 3
        return 1 if self.header[:1] == ["file"] else 0

    @property
    def labels(self) -> set[str]:
        """The columns that name a class."""
        return {name for name in self.header[self.index :] if name.lower() in COLUMNS["label"]}

    @property
    def part(self) -> str:
        """The part that the table's name states, or an empty string."""
        words = self.path.name.lower().split(".")[1:-1]
        return next((PART_WORDS[word] for word in words if word in PART_WORDS), "")


@dataclass
class _Line:
    """What the tables state of one place: cells by column; `table` and `where` state it first."""

    table: _Table
    where: str
    cells: dict[str, str]

    def learn(self, cells: dict[str, str]) -> None:
        """Take the cells of columns that are unknown yet."""
        for name, cell in cells.items():
            if known_cell(self.cells.get(name, "")) is None:
                self.cells[name] = cell


def fits(relative: str) -> bool:
    """Return False: tables describe the recordings, not the recordings' names."""
    return False


def claims(root: Path, files: Sequence[str]) -> bool:
    """Return whether `root` is a database's folder, or one of its CSV tables."""
    if root.is_dir():
        return (root / HEADER).is_file() and bool(_table_files(root))
    is_table = root.name.startswith("db.") and root.suffix == ".csv"
    return is_table and root.with_name(HEADER).is_file()


def utterances(root: Path, files: Sequence[str]) -> Iterator[Item | Skipped]:
    """Yield an utterance for each line of the tables that label; then what they do not name."""
    folder = root if root.is_dir() else root.parent
    name, language, knows_genders = _header(folder)
    tables = _tables(folder)
    main = _main(tables, root)
    lines: dict[Place, _Line] = {}
    for table in main:
        yield from _collect(table, lines)
    _check_overlap(lines)
    _join(lines, [table for table in tables if table not in main])
    columns = list(dict.fromkeys(column for line in lines.values() for column in line.cells))
    fields = find_columns(columns)
    for index in _SEGMENTED:
        fields.pop(index, None)
    wide = [(0, [line.cells.get(c, "") for c in columns]) for line in lines.values()]
    extras = find_extras(columns, fields, wide)
    named, genders, present = set(), 0, 0
    for (file, span), line in lines.items():
        path = os.path.abspath(from_text(os.path.join(to_text(folder), file)))
        named.add(path)
        if not os.path.isfile(path):
            yield Skipped(line.where, f"no such file: {show(path)}", missing=True)
            continue
        present += 1
        values = {key: known_cell(line.cells.get(column, "")) for key, column in fields.items()}
        values["corpus"] = values.get("corpus") or name
        values["language"] = values.get("language") or language
        extra = {
            key: convert(line.cells.get(column, ""), kind) for key, (column, kind) in extras.items()
        }
        try:
            made = make_utterance(below(path, folder), path, span, values, extra)
        except ValueError as error:
            yield Skipped(line.where, str(error))
            continue
        genders += made.gender is not None
        yield made
    if named and not present:
        raise InputError(f"{show(root)}: none of its files exists, e.g. {show(min(named))}")
    if knows_genders and not genders:
        yield Skipped(HEADER, "genders that only the header states (db.yaml)", harmless=True)
    for relative in files:
        if os.path.abspath(folder / relative) not in named:
            yield Skipped(relative, "in no table of emotions", harmless=True)


def _header(folder: Path) -> tuple[str | None, str | None, bool]:
    """Return the database's name, its only language, and whether schemes' labels state genders."""
    try:
        text = (folder / HEADER).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        why = f"{HEADER}: {error.strerror}"
        raise InputError(f"{show(folder)}: not an audformat database: {why}") from error
    name, language = _NAME.search(text), _LANGUAGE.search(text)
    return name and name[2], language and language[1], _GENDER.search(text) is not None


def _table_files(folder: Path) -> dict[str, set[str]]:
    """Return {table: suffixes of its files}."""
    found: dict[str, set[str]] = {}
    for path in folder.iterdir():
        if path.name.startswith("db.") and path.suffix in SUFFIXES and path.is_file():
            found.setdefault(path.name.removesuffix(path.suffix), set()).add(path.suffix)
    return found


def _tables(folder: Path) -> list[_Table]:
    """Return the tables of a database, sorted by name; raises InputError."""
    found = _table_files(folder)
    if not found:
        raise InputError(f"{show(folder)}: holds no audformat table (db.NAME.csv)")
    for name, suffixes in sorted(found.items()):
        if ".csv" not in suffixes:
            raise InputError(
                f"{show(folder / name)}{min(suffixes)}: only CSV tables are read; in Python: "
                'audformat.Database.load(folder).save(folder, storage_format="csv")'
            )
    tables = []
    for name in sorted(found):
        path = folder / f"{name}.csv"
        tables.append(_Table(path, *open_table(path)))
    return tables


def _main(tables: Sequence[_Table], root: Path) -> list[_Table]:
    """Return the tables whose lines are utterances: the one given, those that label, or others."""
    if not root.is_dir():
        chosen = [table for table in tables if table.path.name == root.name and table.index]
        if not chosen:
            raise InputError(f"{show(root)}: its index is not files; name a table of files")
        return chosen
    for choice in (
        [table for table in tables if table.index and table.labels],
        [table for table in tables if table.index == 1],
        [table for table in tables if table.index == 3],
    ):
        if choice:
            return choice
    raise InputError(f"{show(root)}: none of its tables lists files or segments")


def _rows(table: _Table) -> Iterator[tuple[str, dict[str, str] | None]]:
    """Yield (file and line, cells by column), None where their number is not the header's."""
    for number, cells in table.lines:
        whole = len(cells) == len(table.header)
        where = f"{to_text(table.path)} line {number}"
        yield where, dict(zip(table.header, cells, strict=True)) if whole else None


def _place(table: _Table, row: dict[str, str]) -> Place:
    """Return the file and the cut of a line; raises ValueError for times that are none."""
    if table.index == 1:
        return row["file"], (None, None)
    start, end = seconds(known_cell(row["start"])), seconds(known_cell(row["end"]))
    return row["file"], (start or None, end) if end is None else (start or 0.0, end)


def _collect(table: _Table, lines: dict[Place, _Line]) -> Iterator[Skipped]:
    """Add the lines of a table that labels; yield what is wrong in it.

    Raises InputError where another table contradicts it.
    """
    for where, row in _rows(table):
        if row is None:
            yield Skipped(where, f"it has not {len(table.header)} cells as the header")
            continue
        try:
            place = _place(table, row)
        except ValueError as error:
            yield Skipped(where, str(error))
            continue
        if known_cell(row["file"]) is None:
            yield Skipped(where, "names no file")
            continue
        cells = {name: row[name] for name in table.header[table.index :]}
        if table.part and not find_columns(list(cells)).get("part"):
            cells["part"] = table.part
        line = lines.get(place)
        if line is None:
            lines[place] = _Line(table, where, cells)
            continue
        if line.table is table:
            yield Skipped(where, "the same stretch again")
            continue
        for name in sorted({*table.labels, "part"} & cells.keys() & line.cells.keys()):
            told = known_cell(line.cells[name]), known_cell(cells[name])
            if None not in told and told[0] != told[1]:
                raise InputError(
                    f"{show(table.path.parent)}: {show(row['file'])} has {name} {told[0]} in "
                    f"{show(line.table.path.name)} and {told[1]} in {show(table.path.name)}; "
                    "name the table that counts"
                )
        line.learn(cells)


def _check_overlap(lines: dict[Place, _Line]) -> None:
    """Raise InputError where one table labels a file and another a segment of it."""
    cut = {file: line.table for (file, span), line in lines.items() if span != (None, None)}
    for (file, span), line in lines.items():
        if span == (None, None) and cut.get(file, line.table) is not line.table:
            raise InputError(
                f"{show(line.table.path.parent)}: {show(file)} is whole in "
                f"{show(line.table.path.name)} and cut in {show(cut[file].path.name)}; "
                "name the table that counts"
            )


def _join(lines: dict[Place, _Line], others: Sequence[_Table]) -> None:
    """Add to the lines what other tables know of their stretch, their file, and their values."""
    by_index: dict[int, dict[Place, dict[str, str]]] = {1: {}, 3: {}}
    for table in others:
        for _, row in _rows(table) if table.index else ():
            try:
                place = _place(table, row) if row else None
            except ValueError:
                place = None
            if row is None or place is None:
                continue
            told = by_index[table.index].setdefault(place, {})
            for name in table.header[table.index :]:
                if name not in table.labels and known_cell(row[name]) is not None:
                    told.setdefault(name, row[name])
    for place, line in lines.items():
        line.learn(by_index[3].get(place, {}))
        line.learn(by_index[1].get((place[0], (None, None)), {}))
    for table in others:
        rows = [row for _, row in _rows(table) if row] if not table.index else []
        index = table.header[0] if rows else ""
        known = {row[index]: row for row in rows}
        if len(known) < len(rows):
            continue  # an index of several levels
        own = table.path.name.removeprefix("db.").removesuffix(".csv")
        for line in lines.values():
            column = index if index in line.cells else own
            told = known.get(line.cells.get(column, ""), {})
            line.learn({name: cell for name, cell in told.items() if name != index})


CORPUS = Corpus(
    name="audformat",
    summary="an audformat database: db.yaml and its tables db.NAME.csv (audb)",
    fits=fits,
    utterances=utterances,
    generic=True,
    claims=claims,
)
