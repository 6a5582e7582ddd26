"""Writing audformat: a header `db.yaml`, and tables `db.NAME.csv`.

Format: https://audeering.github.io/audformat/data-format.html.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sertool.core.texts import json_text
from sertool.core.version import VERSION

EMOTION = "emotion"  # the column of the class
SEGMENTED = ("file", "start", "end")
SHARE = {"dtype": "float", "minimum": 0, "maximum": 1}  # a scheme: a probability
HEADER = "db.yaml"

Place = tuple[str, float | None, float | None]  # a file, start and end in seconds where it is cut
Schemes = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Table:
    """A table that is being described: its columns and their schemes, at files or at segments."""

    name: str
    columns: Schemes
    segmented: bool
    rater: str | None = None  # who says the emotion

    def index(self, place: Place) -> list[str]:
        """Return the cells that name a row."""
        file, start, end = place
        if not self.segmented:
            return [file]
        return [file, timedelta(start or 0.0), "" if end is None else timedelta(end)]


def write_header(
    folder: Path,
    name: str,
    source: str,
    tables: Sequence[Table],
    languages: Sequence[str] = (),
    raters: Schemes | None = None,
) -> None:
    """Write `db.yaml`: YAML whose values are JSON, which it contains."""
    schemes = {column: scheme for one in tables for column, scheme in one.columns.items()}
    described = {
        one.name: {
            "type": "segmented" if one.segmented else "filewise",
            "columns": {
                column: {"scheme_id": column}
                | ({"rater_id": one.rater} if one.rater and column == EMOTION else {})
                for column in one.columns
            },
        }
        for one in tables
    }
    values: dict[str, Any] = {"name": name, "source": source, "usage": "other"}
    values["description"] = f"written by sertool {VERSION}"
    values |= {"raters": raters} if raters else {}
    lines = [f"{key}: {json_text(value)}\n" for key, value in values.items()]
    if languages:
        lines.append(f"languages: [{', '.join(languages)}]\n")
    lines += [f"{key}: {json_text(value)}\n" for key, value in
              (("schemes", schemes), ("tables", described))]  # fmt: skip
    (folder / HEADER).write_text("".join(lines), "utf-8")


@contextmanager
def opened(folder: Path, table: Table) -> Iterator[Any]:
    """Yield what writes a row of a table: its place, and the value of each column."""
    with open(folder / f"db.{table.name}.csv", "w", encoding="utf-8", newline="") as file:
        lines = Lines(file)
        lines.write([*(SEGMENTED if table.segmented else SEGMENTED[:1]), *table.columns])
        yield lambda place, values: lines.write([*table.index(place), *map(cell, values)])


class Lines:
    """Lines of CSV: a carriage return within one is quoted, for some readers it would end it."""

    def __init__(self, file: Any) -> None:
        self._plain = csv.writer(file, lineterminator="\n")
        self._quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)

    def write(self, cells: Sequence[str]) -> None:
        """Write a line; Python before 3.13 leaves a carriage return bare."""
        (self._quoted if any("\r" in one for one in cells) else self._plain).writerow(cells)


def timedelta(seconds: float) -> str:
    """Return seconds as pandas writes a time span.

    >>> timedelta(61.5)
    '0 days 00:01:01.500000'
    """
    nanoseconds = round(seconds * 10**9)
    whole, rest = divmod(nanoseconds, 10**9)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    fraction = f"{rest:09d}".removesuffix("000")
    return f"{days} days {hour:02d}:{minute:02d}:{second:02d}.{fraction}"


def cell(value: Any) -> str:
    """Return a value as a cell: what is neither text nor number is JSON, None is empty."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def free(names: Iterable[str], ours: Iterable[str]) -> dict[str, str]:
    """Return {further field: the name it is written under}, another where it is one of ours."""
    taken = set(ours)
    found: dict[str, str] = {}
    for name in names:
        given = name
        while given.lower() in taken or given in found.values():
            given = f"extra_{given}"
        found[name] = given
    return found


def table_name(*words: str) -> str:
    """Return words as the name of a table, which is part of a file's name.

    >>> table_name("predictions", "left"), table_name("predictions", "Zoë/2")
    ('predictions.left', 'predictions.Zo_eb__2f_2')
    """
    kept = [re.sub(r"[^A-Za-z0-9-]", lambda found: f"_{ord(found[0]):x}_", one) for one in words]
    return ".".join(kept)
