"""A paper's published tables: data/papers/NAME.toml as cells, and what our columns beside are."""

from __future__ import annotations

import math
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from sertool.core.data import data_path
from sertool.core.errors import InputError, UsageError
from sertool.core.paths import show
from sertool.evaluation.leaks import FACTS
from sertool.evaluation.measures import FIGURE_KEYS, check_figure, of_corpus
from sertool.evaluation.pooling import PARTS

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
class Headline:
    """A number that a paper is known for, and what of ours stands beside it.

    text: what the number is of. table, tags, figure: the published cell's. on: the data of ours.
    run: further tags of ours, where several systems are that cell, "" for one that is not there.
    protocol: the column that reads the paper's words.
    """

    text: str
    table: str
    tags: dict[str, str]
    figure: dict[str, str]
    on: str
    run: dict[str, str]
    protocol: str

    def names(self, cell: Cell) -> bool:
        """Return whether this is the published number that is meant."""
        own = (self.table, self.tags, self.figure)
        return (cell.table, cell.tags, cell.figure) == own


@dataclass(frozen=True)
class Paper:
    """A paper: its published numbers, our protocols, and why some of it was not run.

    remarks: what to know of the paper's numbers. findings: what ours say beside them. beyond: the
    tags of questions that the paper does not ask; what carries one is in none of its tables.
    """

    name: str
    title: str
    authors: str
    published: str
    recipe: str
    about: str
    corpora: tuple[str, ...]
    remarks: tuple[str, ...]
    findings: tuple[str, ...]
    protocols: tuple[Protocol, ...]
    tables: tuple[Table, ...]
    cells: tuple[Cell, ...]
    not_run: tuple[tuple[dict[str, str], str], ...]
    beyond: tuple[str, ...] = ()
    headlines: tuple[Headline, ...] = ()

    @property
    def parts(self) -> set[tuple[str, str]]:
        """The corpora and genders that cells of tests name, as (key, value)."""
        tests = [cell for cell in self.cells if not of_corpus(cell.figure)]
        return {(k, v) for cell in tests for k, v in cell.tags.items() if k in PARTS}

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
    except ValueError as error:
        raise InputError(f"{show(path)}: {error}") from error


def _paper(name: str, raw: dict[str, Any]) -> Paper:
    tables = _each(raw, "table", _table)
    protocols = _each(raw, "protocol", _protocol)
    cells = _each(raw, "cells", _cell)
    _single("table", [table.id for table in tables])
    _single("protocol", [protocol.tag for protocol in protocols])
    _single("cell", [(c.table, *sorted((c.tags | c.figure).items())) for c in cells])
    headlines = _each(raw, "headline", _headline)
    for i, line in enumerate(headlines, 1):
        if not any(line.names(cell) for cell in cells):
            raise ValueError(f"headline {i}: no cell of this table has these tags")
        if line.protocol not in [protocol.tag for protocol in protocols]:
            raise ValueError(f"headline {i}: protocol {line.protocol!r} is none of these")
    unknown = sorted({cell.table for cell in cells} - {table.id for table in tables})
    if unknown:
        raise ValueError(f"a cell is of table {unknown[0]!r}, which no [[table]] describes")
    return Paper(
        name=name,
        title=_text(raw, "title"),
        authors=_text(raw, "authors"),
        published=_text(raw, "published"),
        recipe=_text(raw, "recipe", ""),
        about=_text(raw, "about"),
        corpora=_texts({"corpora": raw["corpora"]}, "corpora"),
        remarks=_texts(raw, "remarks"),
        findings=_texts(raw, "findings"),
        protocols=protocols,
        tables=tables,
        cells=cells,
        not_run=_each(raw, "not_run", lambda row: (_tags(row), _text(row, "reason"))),
        beyond=_texts(raw, "beyond"),
        headlines=headlines,
    )


def _single(what: str, names: Sequence[Any]) -> None:
    doubled = [name for name, n in Counter(names).items() if n > 1]
    if doubled:
        raise ValueError(f"{what} {doubled[0]!r} is there twice")


def _text(row: dict[str, Any], key: str, default: str | None = None) -> str:
    text = row[key] if default is None else row.get(key, default)
    if not isinstance(text, str):
        raise ValueError(f"{key} is no text in quotes")
    return text


def _texts(row: dict[str, Any], key: str) -> tuple[str, ...]:
    texts = row.get(key, [])
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{key} is no list of texts in quotes")
    return tuple(texts)


def _tags(row: dict[str, Any], key: str = "tags") -> dict[str, str]:
    tags = row[key]
    if not isinstance(tags, dict) or not all(isinstance(v, str) for v in tags.values()):
        raise ValueError(f"{key}: no table of texts in quotes")
    return dict(tags)


def _figure(row: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Return an entry's tags, and apart from them which figure they name."""
    tags = _tags(row)
    if "measure" not in tags:
        raise ValueError("tags name no measure")
    figure = {key: tags.pop(key) for key in FIGURE_KEYS if key in tags}
    check_figure(figure)
    return tags, figure


def _each(raw: dict[str, Any], key: str, made: Callable[[dict[str, Any]], Any]) -> tuple[Any, ...]:
    """Return every entry of a list, an error in one named by the list and its number."""
    entries = raw.get(key, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"{key} is no list of tables")
    found = []
    for i, entry in enumerate(entries, 1):
        try:
            found.append(made(entry))
        except KeyError as error:
            raise ValueError(f"{key} {i}: {error.args[0]} is missing") from error
        except ValueError as error:
            raise ValueError(f"{key} {i}: {error}") from error
    return tuple(found)


def _table(row: dict[str, Any]) -> Table:
    id_, title, where = (_text(row, key) for key in ("id", "title", "where"))
    return Table(id_, title, where, _text(row, "note", ""))


def _headline(row: dict[str, Any]) -> Headline:
    tags, figure = _figure(row)
    text, table, on, protocol = (_text(row, key) for key in ("text", "table", "on", "protocol"))
    return Headline(text, table, tags, figure, on, _tags(row, "run"), protocol)


def _cell(row: dict[str, Any]) -> Cell:
    tags, figure = _figure(row)
    if _text(row, "unit") not in UNITS:
        raise ValueError(f"unit {row['unit']!r} is none of {', '.join(UNITS)}")
    return Cell(
        table=_text(row, "table"),
        tags=tags,
        figure=figure,
        value=_number(row, "value"),
        unit=row["unit"],
        sd=_number(row, "sd") if "sd" in row else None,
        note=_text(row, "note", ""),
    )


def _number(row: dict[str, Any], key: str) -> int | Decimal:
    number = row[key]
    if isinstance(number, bool) or not isinstance(number, int | Decimal):
        raise ValueError(f"{key} is no number")
    try:
        finite = math.isfinite(float(number))
    except OverflowError:
        finite = False
    if not finite:
        raise ValueError(f"{key} is not finite")
    return number


def _protocol(row: dict[str, Any]) -> Protocol:
    requires = _texts(row, "requires")
    for name in requires:
        if name not in FACTS:
            raise ValueError(f"requires {name!r}: none of {', '.join(FACTS)}")
    tag, column, text = (_text(row, key) for key in ("tag", "column", "text"))
    return Protocol(tag, column, text, requires)
