"""A paper's published tables: data/papers/NAME.toml as cells, and what our columns beside are."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from sertool.audit import FACTS
from sertool.data import data_path
from sertool.errors import InputError, UsageError
from sertool.paths import show
from sertool.report.measures import FIGURE_KEYS

# unit -> what a value of ours is multiplied by, and its decimals
UNITS = {"%": (100.0, 1), "1": (1.0, 3), "nats": (1.0, 3), "files": (1.0, 1), "items": (1.0, 1)}


@dataclass(frozen=True)
class Cell:
    """One published number: in which table, of which system (`tags`), which `figure` of it."""

    table: str
    tags: dict[str, str]
    figure: dict[str, str]
    value: int | Decimal
    unit: str
    sd: int | Decimal | None = None
    note: str = ""


@dataclass(frozen=True)
class Protocol:
    """One column of ours: reports tagged protocol=`tag`, which must state what it `requires`."""

    tag: str
    column: str
    text: str
    requires: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """One table of the paper: its number, what it is about, and where it stands."""

    id: str
    title: str
    where: str
    note: str = ""


@dataclass(frozen=True)
class Paper:
    """A paper: its published numbers, our protocols, and why some of it was not run."""

    name: str
    title: str
    authors: str
    published: str
    recipe: str
    about: str
    corpora: tuple[str, ...]
    remarks: tuple[str, ...]
    protocols: tuple[Protocol, ...]
    tables: tuple[Table, ...]
    cells: tuple[Cell, ...]
    not_run: tuple[tuple[dict[str, str], str], ...]

    def reason(self, tags: Mapping[str, str]) -> str:
        """Return why nothing was measured for these tags, "" where the file does not say."""
        for wanted, reason in self.not_run:
            if wanted.items() <= tags.items():
                return reason
        return ""


def names() -> list[str]:
    """Return the papers whose tables come with sertool, sorted."""
    return sorted(path.stem for path in data_path("papers").glob("*.toml"))


def paper(name: str) -> Paper:
    """Return a paper by its name, or from a TOML file of one's own.

    Raises UsageError for a name that is none, InputError for a file that is not as it should be.
    """
    if name in names():
        return load(data_path("papers", f"{name}.toml"))
    if name.endswith(".toml"):
        return load(Path(name))
    raise UsageError(f"--paper {name}: there are {', '.join(names())}, or name a TOML file")


def load(path: Path) -> Paper:
    """Return the paper in a TOML file; InputError with file and place where it is damaged."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except OSError as error:
        raise InputError(f"{show(path)}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{show(path)}: not TOML: {error}") from error
    try:
        return _paper(path.stem, raw)
    except KeyError as error:
        raise InputError(f"{show(path)}: {error.args[0]} is missing") from error
    except (TypeError, AttributeError, ValueError) as error:
        raise InputError(f"{show(path)}: {error}") from error


def _paper(name: str, raw: dict[str, Any]) -> Paper:
    tables = _each(
        raw, "table", lambda t: Table(t["id"], t["title"], t["where"], t.get("note", ""))
    )
    cells = _each(raw, "cells", _cell)
    known, seen = {table.id for table in tables}, set()
    for cell in cells:
        if cell.table not in known:
            raise ValueError(f"a cell is of table {cell.table!r}, which no [[table]] describes")
        place = (cell.table, *sorted((cell.tags | cell.figure).items()))
        if place in seen:
            raise ValueError(f"two cells of table {cell.table!r} have the same tags {place[1:]}")
        seen.add(place)
    return Paper(
        name=name,
        title=raw["title"],
        authors=raw["authors"],
        published=raw["published"],
        recipe=raw.get("recipe", ""),
        about=raw["about"],
        corpora=tuple(raw["corpora"]),
        remarks=tuple(raw.get("remarks", ())),
        protocols=_each(raw, "protocol", _protocol),
        tables=tables,
        cells=cells,
        not_run=_each(raw, "not_run", lambda row: (dict(row["tags"]), str(row["reason"]))),
    )


def _each(raw: dict[str, Any], key: str, made: Callable[[dict[str, Any]], Any]) -> tuple[Any, ...]:
    """Return every entry of a list, an error in one named by the list and its number."""
    found = []
    for i, entry in enumerate(raw.get(key, ()), 1):
        try:
            found.append(made(entry))
        except KeyError as error:
            raise ValueError(f"{key} {i}: {error.args[0]} is missing") from error
        except (TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{key} {i}: {error}") from error
    return tuple(found)


def _cell(row: dict[str, Any]) -> Cell:
    tags = row["tags"]
    if not all(isinstance(value, str) for value in tags.values()):
        raise ValueError("every tag is a text in quotes")
    if "measure" not in tags:
        raise ValueError("tags name no measure")
    if row["unit"] not in UNITS:
        raise ValueError(f"unit {row['unit']!r} is none of {', '.join(UNITS)}")
    for key in ("value", "sd"):
        if isinstance(row.get(key, 0), bool) or not isinstance(row.get(key, 0), int | Decimal):
            raise ValueError(f"{key} is no number")
    return Cell(
        table=row["table"],
        tags={key: value for key, value in tags.items() if key not in FIGURE_KEYS},
        figure={key: tags[key] for key in FIGURE_KEYS if key in tags},
        value=row["value"],
        unit=row["unit"],
        sd=row.get("sd"),
        note=row.get("note", ""),
    )


def _protocol(row: dict[str, Any]) -> Protocol:
    requires = tuple(row.get("requires", ()))
    for name in requires:
        if name not in FACTS:
            raise ValueError(f"requires {name!r}: none of {', '.join(FACTS)}")
    return Protocol(row["tag"], row["column"], row["text"], requires)
