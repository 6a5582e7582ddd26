"""Predictions as a database in audformat: what `predict --format jsonl` wrote, read again.

A table has a row for each recording, or for each part with its start and end: the class, as a
machine's rating, its confidence and all posteriors (`p_anger`), as columns of the same names as in
`predict --format csv`. Where several rows are of one stretch, as channels or speakers are, each
channel and speaker has a table of its own. Files are named as `predict` was given them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec import Struct

from sertool.core.errors import InputError
from sertool.core.paths import opened_text, show
from sertool.evaluation.predictions import OF_CLASSES
from sertool.formats import audformat, schema
from sertool.formats.audformat import EMOTION, SHARE, Place, Schemes, Table
from sertool.formats.manifest import MOST_LINE, Seconds, bounded
from sertool.formats.schema import Name, Rate

NAME, RATER = "predictions", "model"
WHO = ("channel", "speaker")  # whose rows may be of one stretch
TYPES = {"duration": "float", "heard": "float", "speech": "float", "windows": "int"}

Row = dict[str, Any]


class Line(Struct, kw_only=True):
    """What a row must hold to be one; further fields are texts or null."""

    path: Name
    start: Seconds | None = None
    end: Seconds | None = None
    label: str | None = None
    confidence: Rate | None = None
    posterior: dict[str, Rate] | None = None
    numbers: dict[str, schema.Number] | None = None
    error: str | None = None


@dataclass
class Found:
    """What the rows of a file have: its columns, by which models, and who shares a stretch."""

    columns: Schemes = field(default_factory=dict)
    classes: dict[str, None] = field(default_factory=dict)
    models: dict[str, None] = field(default_factory=dict)
    segmented: bool = False
    several: bool = False
    names: dict[str, None] = field(default_factory=dict)
    count: int = 0


def write(path: Path, folder: Path) -> int:
    """Write the rows of a file into a folder that is there and empty; return how many.

    Raises InputError for what `predict` did not write, or where two rows are the same.
    """
    found = _looked(path)
    tables = {
        name: Table(name, found.columns, found.segmented, RATER if found.models else None)
        for name in found.names or {NAME: None}
    }
    raters = {RATER: {"type": "machine", "description": ", ".join(found.models)}}
    source = "sertool predict"
    audformat.write_header(
        folder, NAME, source, list(tables.values()), raters=raters if found.models else None
    )
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(audformat.opened(folder, table))
            for name, table in tables.items()
        }
        for row in _rows(path):
            values = _values(row)
            own = [values.get(name) for name in found.columns]
            writers[_table(row, found.several)](_place(row), own)
    return found.count


def _looked(path: Path) -> Found:
    """Return what a first pass over the rows tells."""
    found, places = Found(), set[tuple[Place, str]]()
    alone = set[Place]()
    further: dict[str, None] = {}
    numbers: dict[str, None] = {}
    fields: dict[str, None] = {}
    for row in _rows(path):
        place, table = _place(row), _table(row, True)
        if (place, table) in places:
            raise InputError(f"{show(path)}: {show(place[0])} is there twice")
        found.several |= place in alone
        places.add((place, table))
        alone.add(place)
        found.names[table] = None
        found.segmented |= place[1:] != (None, None)
        found.classes |= dict.fromkeys(row.get("posterior") or ())
        numbers |= dict.fromkeys(row.get("numbers") or ())
        found.models |= dict.fromkeys([row["model"]] if row.get("model") else ())
        fields |= dict.fromkeys(row)
        further |= dict.fromkeys(name for name in row if name not in Line.__struct_fields__)
        found.count += 1
    if not found.several:
        found.names = dict.fromkeys([NAME] * bool(found.count))
    if found.classes or not numbers:
        found.columns |= {EMOTION: {"dtype": "str", "labels": list(found.classes)}}
        found.columns |= {"confidence": SHARE}
        found.columns |= {f"p_{name}": SHARE for name in found.classes}
    found.columns |= {name: {"dtype": "float"} for name in numbers}
    found.columns |= {name: {"dtype": TYPES.get(name, "str")} for name in further}
    found.columns |= {"error": {"dtype": "str"}} if "error" in fields else {}
    return found


def _rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a file, checked; InputError."""
    try:
        with opened_text(path) as file:
            for number, line in enumerate(bounded(file), 1):
                try:
                    if len(line) > MOST_LINE:
                        raise ValueError(f"longer than {MOST_LINE} characters")
                    row = json.loads(line)
                    schema.convert(row, Line)
                    _check_further(row)
                except (ValueError, RecursionError) as error:
                    why = "not JSON" if isinstance(error, json.JSONDecodeError) else error
                    raise InputError(
                        f"{show(path)}: line {number}: {why}; what is converted is a store, what"
                        " convert wrote, or the rows of predict --format jsonl"
                    ) from error
                yield row
    except OSError as error:
        raise InputError(f"{show(path)}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{show(path)}: is no store, and no text") from error


def _check_further(row: Row) -> None:
    """Raise ValueError where another field is of a type that no column has."""
    for name, value in row.items():
        if name in Line.__struct_fields__ or value is None:
            continue
        kinds = {"float": (int, float), "int": (int,)}.get(TYPES.get(name, "str"), (str,))
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise ValueError(f"{name} is {str(value)[:40]}")


def _place(row: Row) -> Place:
    return row["path"], row.get("start"), row.get("end")


def _table(row: Row, several: bool) -> str:
    """Return the name of a row's table."""
    who = [str(row[name]) for name in WHO if row.get(name) is not None] if several else []
    return audformat.table_name(NAME, *who)


def _values(row: Row) -> Row:
    """Return the values of a row by column."""
    shares = {f"p_{name}": share for name, share in (row.get("posterior") or {}).items()}
    own = {name: value for name, value in row.items() if name not in (*OF_CLASSES, "numbers")}
    confidence = {"confidence": row.get("confidence"), EMOTION: row.get("label")}
    return own | (row.get("numbers") or {}) | shares | confidence
