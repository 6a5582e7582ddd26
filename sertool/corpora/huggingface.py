"""Hugging Face `datasets` audio folders: audio files with a metadata file, or in folders of splits.

Format: https://huggingface.co/docs/datasets/audio_dataset (AudioFolder). `metadata.csv` or
`metadata.jsonl` lies with its audio files, or above them, and names them in a column `file_name`
relative to itself; its other columns are read as corpus `csv` reads a table's. Without metadata,
the folder that holds a file is its class. Where the folders on the way are several of `train`,
`validation` and `test` (or synonyms; `test-clean`, too), they are the parts, unless a column
`split` says them; a split in a file's own name is not read. Where metadata has no label, a folder
that is called by a known class word gives it.

Datasets that keep their sound inside Parquet or Arrow files have to be written out as audio first.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sertool.core.errors import InputError
from sertool.core.paths import from_text, opened_text, show, to_text
from sertool.corpora import Corpus, Skipped, labels, make
from sertool.corpora.table import (
    RESERVED,
    below,
    convert,
    find_columns,
    find_extras,
    known_cell,
    make_utterance,
    open_table,
    seconds,
    storable,
    word,
)
from sertool.items import Item

CSV, JSONL, PARQUET = "metadata.csv", "metadata.jsonl", "metadata.parquet"
FILE = "file_name"
PARTS = {"train": "train", "training": "train", "validation": "val", "valid": "val", "dev": "val"}
PARTS |= {"val": "val", "test": "test", "testing": "test", "eval": "test", "evaluation": "test"}
PACKED = ("*-of-*.parquet", "data/*-of-*.parquet", "*.arrow", "*/*.arrow")
_GAP = re.compile(r"[-._ 0-9]+")  # what may stand beside a split's word in a folder's name
_UNREAD = "only CSV and JSON Lines are read; in Python, pandas.read_parquet(…).to_csv(…)"


@dataclass
class _Row:
    """A line of a metadata file: fields of an utterance as words, and further ones."""

    where: str
    values: dict[str, str | None]
    extra: dict[str, Any]
    wrong: str = ""


def fits(relative: str) -> bool:
    """Return False: metadata and folders describe the recordings, not the recordings' names."""
    return False


def claims(root: Path, files: Sequence[str]) -> bool:
    """Return whether `root` is metadata, or holds some, or holds splits with folders of classes."""
    if not root.is_dir():
        return root.name in (CSV, JSONL) and _file_column(_header(root)) is not None
    if any(path.name == PARQUET or _file_column(_header(path)) for path in _metadata(root, files)):
        return True
    if not files:
        return any(next(root.glob(pattern), None) for pattern in PACKED)
    classes = {_class_folder(file) for file in files}
    return None not in classes and len(classes) > 1 and len(_parts(files)) > 1


def utterances(root: Path, files: Sequence[str]) -> Iterator[Item | Skipped]:
    """Yield an utterance for each line of the metadata, or for each file where there is none."""
    folder = root if root.is_dir() else root.parent
    metadata = _metadata(root, files) if root.is_dir() else [root]
    if not metadata and not files:
        raise InputError(
            f"{show(root)}: no audio files; what it may hold inside Parquet or "
            "Arrow files has to be written out as audio first"
        )
    rows: list[tuple[str, _Row]] = []
    for path in metadata:
        for row in _rows(path):
            name = row.values.get("file")
            if row.wrong or name is None:
                yield Skipped(row.where, row.wrong or f"names no file ({FILE})")
            else:
                place = os.path.join(to_text(path.parent), name)
                rows.append((os.path.abspath(from_text(place)), row))
    named, present = {place for place, _ in rows}, 0
    parts = _parts([below(place, folder) for place in named] if metadata else files)
    for place, row in rows:
        if os.path.isfile(place):
            present += 1
            yield _utterance(row, place, folder, parts)
        else:
            yield Skipped(row.where, f"no such file: {show(place)}", missing=True)
    if named and not present:
        raise InputError(f"{show(root)}: none of its files exists, e.g. {show(min(named))}")
    for file in files:
        if metadata and os.path.abspath(folder / file) not in named:
            yield Skipped(file, "in no metadata file", harmless=True)
        elif not metadata:
            yield _unlisted(folder, file, parts)


def _metadata(root: Path, files: Sequence[str]) -> list[Path]:
    """Return the metadata files with the audio files or above them, sorted by path."""
    folders = {PurePosixPath("."), *(up for file in files for up in PurePosixPath(file).parents)}
    found = [root / folder / name for folder in sorted(folders) for name in (CSV, JSONL, PARQUET)]
    return [path for path in found if path.is_file()]


def _header(path: Path) -> list[str]:
    """Return the columns of a metadata file; none where it cannot be read."""
    try:
        if path.suffix == ".csv":
            return open_table(path)[0]
        if path.suffix == ".jsonl":
            return next((list(row) for _, row in _json_lines(path) if row), [])
    except InputError:
        pass
    return []


def _file_column(header: Sequence[str]) -> str | None:
    """Return the column that names the files: `file_name`, or the only `…_file_name`."""
    others = [name for name in header if name.endswith(f"_{FILE}")]
    return FILE if FILE in header else others[0] if len(others) == 1 else None


def _rows(path: Path) -> Iterator[_Row]:
    """Yield the lines of a metadata file; raises InputError where it is none."""
    if path.name == PARQUET:
        raise InputError(f"{show(path)}: {_UNREAD}")
    return _csv_rows(path) if path.suffix == ".csv" else _jsonl_rows(path)


def _csv_rows(path: Path) -> Iterator[_Row]:
    header, lines = open_table(path)
    columns = _columns(path, header)
    extras = find_extras(header, columns, lines)
    for number, cells in lines:
        where = f"{to_text(path)} line {number}"
        if len(cells) != len(header):
            wrong = f"{len(cells)} cells, the header has {len(header)}"
            yield _Row(where, {}, {}, wrong)
            continue
        row = dict(zip(header, cells, strict=True))
        values = {name: known_cell(row[column]) for name, column in columns.items()}
        extra = {name: convert(row[column], kind) for name, (column, kind) in extras.items()}
        yield _Row(where, values, extra)


def _jsonl_rows(path: Path) -> Iterator[_Row]:
    lines = list(_json_lines(path))
    header = list(dict.fromkeys(name for _, row in lines for name in row or ()))
    columns = _columns(path, header)
    used = {column for name, column in columns.items() if name != "part" or column == "part"}
    for where, row in lines:
        if row is None:
            yield _Row(where, {}, {}, "not a JSON object")
            continue
        values = {name: word(row.get(column)) for name, column in columns.items()}
        extra = {
            f"table_{name}" if name in RESERVED else name: row.get(name)
            for name in header
            if name and name not in used and storable(name) and storable(row.get(name))
        }
        yield _Row(where, values, extra)


def _json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Yield (file and line, its object, or None) of JSON Lines; raises InputError."""
    try:
        with opened_text(path, "utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    try:
                        row = json.loads(line)
                    except (ValueError, RecursionError):
                        row = None
                    where = f"{to_text(path)} line {number}"
                    yield where, row if isinstance(row, dict) else None
    except OSError as error:
        raise InputError(f"{show(path)}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{show(path)}: not UTF-8: {error.reason}") from error


def _columns(path: Path, header: Sequence[str]) -> dict[str, str]:
    """Return {field: column} of a metadata file; raises InputError where none names files."""
    file = _file_column(header)
    if file is None:
        raise InputError(f"{show(path)}: no column {FILE}; has {show(', '.join(header))}")
    return find_columns(header) | {"file": file}


def _utterance(row: _Row, path: str, folder: Path, parts: set[str]) -> Item | Skipped:
    """Return the utterance of a metadata line, or what is wrong in the line."""
    identity = below(path, folder)
    values = dict(row.values)
    if "part" not in values and len(parts) > 1:
        values["part"] = _part(identity)
    if "label" not in values:
        words = [word for word in _folders(identity) if labels.folder_noun(word)]
        values["label"] = labels.folder_noun(words[-1]) if words else None
        values.setdefault("raw_label", words[-1] if words else None)
    try:
        span = seconds(values.get("start")), seconds(values.get("end"))
        return make_utterance(identity, path, span, values, row.extra)
    except ValueError as error:
        return Skipped(row.where, str(error))


def _unlisted(folder: Path, file: str, parts: set[str]) -> Item | Skipped:
    """Return the utterance of a file described by its folders alone."""
    name = _class_folder(file)
    if name is None:
        return Skipped(file, "no metadata names it, and no folder is its class")
    name = to_text(name)
    label = labels.folder_noun(name) or labels.noun(name)
    part = _part(file) if len(parts) > 1 else None
    return make(folder, file, label=label, raw_label=name, part=part)


def _folders(file: str) -> tuple[str, ...]:
    return PurePosixPath(file).parts[:-1]


def _split(folder: str) -> str | None:
    """Return the part that a folder's name states: `train`, `test-clean`, `my_dev_2`."""
    return next((PARTS[w] for w in _GAP.split(folder.lower()) if w in PARTS), None)


def _part(file: str) -> str | None:
    """Return the part of a file below the dataset's folder, by the highest folder that is one."""
    return next((part for folder in _folders(file) if (part := _split(folder))), None)


def _parts(files: Iterable[str]) -> set[str]:
    """Return the parts that the folders state."""
    return {part for file in files if (part := _part(file))}


def _class_folder(file: str) -> str | None:
    """Return the folder that holds a file; None where that is a split's, or the dataset's."""
    folders = _folders(file)
    return folders[-1] if folders and _split(folders[-1]) is None else None


CORPUS = Corpus(
    name="huggingface",
    summary="a Hugging Face audio folder: metadata.csv or .jsonl with file_name, or splits",
    fits=fits,
    utterances=utterances,
    generic=True,
    claims=claims,
)
