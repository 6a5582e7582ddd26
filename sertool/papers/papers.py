"""A paper's published tables: data/papers/NAME.toml as cells, and the columns of our results."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct, field, structs
from msgspec.structs import force_setattr

from sertool.core.data import data_path
from sertool.core.errors import InputError, UsageError
from sertool.core.paths import MOST_TOML, show, text_of
from sertool.core.settings import meant
from sertool.core.texts import toml
from sertool.evaluation.facts import FACTS
from sertool.evaluation.measures import FIGURE_KEYS, check_figure, of_corpus
from sertool.evaluation.pooling import PARTS
from sertool.formats import schema

FIELD = re.compile(r"\{(\w+)\}")  # of a finding's text: stands for a figure
MEASURED = re.compile(r"\d+\.\d+|\d+(?= ?%)")  # what looks measured: a decimal, a percentage
_ENTRY = re.compile(r"^(\w+)/(\d+)(?:(/)|(?= ))")
# unit -> what a value of ours is multiplied by, and its decimals
UNITS = {"%": (100.0, 1), "1": (1.0, 3), "nats": (1.0, 3), "files": (1.0, 1), "items": (1.0, 1)}


class _Figure(Struct, frozen=True, kw_only=True):
    """What a number is of: tags say which system, and apart from them `figure` which measure."""

    table: str
    tags: dict[str, str]
    figure: dict[str, str] = {}

    def __post_init__(self) -> None:
        figure = self.figure or {key: self.tags.pop(key) for key in FIGURE_KEYS if key in self.tags}
        if "measure" not in figure:
            raise ValueError("tags name no measure")
        check_figure(figure)
        force_setattr(self, "figure", figure)


class Cell(_Figure, frozen=True, kw_only=True):
    """One published number: in which table, of which system (`tags`), which `figure` of it."""

    value: int | Decimal
    unit: Literal["%", "1", "nats", "files", "items"]
    sd: int | Decimal | None = None
    note: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        for key, number in (("value", self.value), ("sd", self.sd)):
            if number is not None and not _finite(number):
                raise ValueError(f"{key} is not finite")


class Protocol(Struct, frozen=True):
    """One column of ours: reports tagged protocol=`tag`, which must state what it `requires`.

    leaky: it leaks on purpose, to see how much, and is no reading of the paper's words.
    """

    tag: str
    column: str
    text: str
    requires: tuple[str, ...] = ()
    leaky: bool = False

    def __post_init__(self) -> None:
        for name in self.requires:
            if name not in FACTS:
                raise ValueError(f"requires {name!r}: none of {', '.join(FACTS)}")


class Table(Struct, frozen=True):
    """One table of the paper: its number, what it is about, and where it stands."""

    id: str
    title: str
    where: str
    note: str = ""


class Headline(_Figure, frozen=True, kw_only=True):
    """Numbers that a paper is known for, and our results to compare with them.

    table, tags, figure: those of the published cells, "" for a tag that they must not have; what
    further tags a cell has names its row.
    text: what they are of. on: our data. run: further tags of ours, where several systems match a
    cell, "" for one that is absent. protocol: the column that follows the paper's words. plot:
    whether the picture of all papers shows them.
    """

    text: str
    on: str
    run: dict[str, str]
    protocol: str
    plot: bool = False

    def names(self, cell: Cell) -> bool:
        """Return whether this is a published number that is meant."""
        own = (self.table, self.figure) == (cell.table, cell.figure)
        return own and all(cell.tags.get(key, "") == value for key, value in self.tags.items())


class Scale(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much the paper ran: epochs (None where it does not say), folds, repetitions."""

    epochs: int | None = None
    folds: int = 1
    seeds: int = 1


class Quote(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A number in a finding, by reference: of kept runs, or of the paper's cells.

    figure: a measure, alone ("uar") or with its class ({ measure = "recall", class = "anger" }), or
    one of `findings.COUNTED` (of runs) or `findings.SUMS` (of cells), or "ahead": in how many seeds
    and folds of every system that has both `run` is ahead of `minus`. run: the tags of what was
    run. baseline: its baseline instead of itself. minus: the tags of what is taken away, paired by
    speaker (of a cell: the other cell's); over: the baseline that is. cell: the tags of one printed
    number, with its `table`; cells: of several. n: with what it was tested on. short: without its
    interval.
    """

    figure: str | dict[str, str]
    run: dict[str, str] = {}
    baseline: str = ""
    minus: dict[str, str] = {}
    over: str = ""
    cell: dict[str, str] = {}
    cells: dict[str, str] = {}
    n: bool = False
    short: bool = False

    def __post_init__(self) -> None:
        if sum(map(bool, (self.run, self.cell, self.cells))) != 1:
            raise ValueError("needs one of run, cell and cells")


class Finding(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What runs show, as a sentence whose {names} stand for `figures`.

    mark: how sure it is. decides: the study batch whose runs decide it. constants: the decimals in
    the text that no run or cell gives, each with where it is from.
    """

    mark: Literal["shown", "consistent with", "open"]
    text: str
    decides: str = ""
    figures: dict[str, Quote] = {}
    constants: dict[str, str] = {}

    def __post_init__(self) -> None:
        names = set(FIELD.findall(self.text))
        for name in sorted(names ^ set(self.figures)):
            where = "the text" if name in names else "[finding.figures]"
            raise ValueError(f"{{{name}}} is only in {where}")


class Deviation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the recipe does otherwise than the paper says; code: "file#symbol", where it does."""

    text: str
    code: str


class Picture(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A figure of the paper's, made of ours: a file beside the kept runs, "" where it is missing.

    rows: the tags of the runs that are its rows, by name, tested on the same speakers, where it is
    drawn from kept runs; otherwise the text says which command drew it. figure: of these.
    """

    text: str
    file: str = ""
    rows: dict[str, dict[str, str]] = {}
    figure: str = "accuracy"


class NotRun(Struct, frozen=True):
    """Why nothing was measured for these tags."""

    tags: dict[str, str]
    reason: str


class Paper(Struct, frozen=True, kw_only=True):
    """A paper: its published numbers, our protocols, and why some of it was not run.

    remarks: what to know about the paper's numbers. findings: what ours show beside them, by
    reference to runs. deviations: what the recipe does otherwise. beyond:
    the tags of questions that the paper does not ask; what carries one is in none of its tables.
    """

    name: str = ""
    title: str
    authors: str
    published: str
    recipe: str = ""
    about: str
    corpora: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    protocols: tuple[Protocol, ...] = field(name="protocol", default=())
    tables: tuple[Table, ...] = field(name="table", default=())
    cells: tuple[Cell, ...] = ()
    not_run: tuple[NotRun, ...] = ()
    beyond: tuple[str, ...] = ()
    headlines: tuple[Headline, ...] = field(name="headline", default=())
    findings: tuple[Finding, ...] = field(name="finding", default=())
    deviations: tuple[Deviation, ...] = field(name="deviation", default=())
    pictures: tuple[Picture, ...] = field(name="picture", default=())
    scale: Scale = Scale()

    def __post_init__(self) -> None:
        _single("table", [table.id for table in self.tables])
        _single("protocol", [protocol.tag for protocol in self.protocols])
        _single("cell", [(c.table, *sorted((c.tags | c.figure).items())) for c in self.cells])
        honest = [protocol.tag for protocol in self.protocols if not protocol.leaky]
        for i, line in enumerate(self.headlines, 1):
            if not any(line.names(cell) for cell in self.cells):
                raise ValueError(f"headline {i}: no cell of this table has these tags")
            if line.protocol not in honest:
                raise ValueError(f"headline {i}: protocol {line.protocol!r} is none, or leaky")
        printed = {str(number) for c in self.cells for number in (c.value, c.sd)}
        for i, note in enumerate(self.findings, 1):
            loose = [n for n in MEASURED.findall(FIELD.sub("", note.text)) if n not in printed]
            if any(number not in note.constants for number in loose):
                raise ValueError(
                    f"finding {i}: {', '.join(loose)} in its text: quote the run or the cell as a"
                    " figure, or say under [finding.constants] where it is from"
                )
        unknown = sorted({c.table for c in self.cells} - {table.id for table in self.tables})
        if unknown:
            raise ValueError(f"a cell is of table {unknown[0]!r}, which no [[table]] describes")

    @property
    def parts(self) -> set[tuple[str, str]]:
        """The corpora and genders that cells of tests name, as (key, value)."""
        tests = [cell for cell in self.cells if not of_corpus(cell.figure)]
        return {(k, v) for cell in tests for k, v in cell.tags.items() if k in PARTS}

    def reason(self, tags: Mapping[str, str]) -> str:
        """Return why nothing was measured for these tags, "" where the file does not say."""
        found = (each.reason for each in self.not_run if each.tags.items() <= tags.items())
        return next(found, "")


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
    raise UsageError(
        f"--paper {name}: there are {', '.join(names())}, or name a TOML file{meant(name, names())}"
    )


def load(path: Path) -> Paper:
    """Return the paper in a TOML file; InputError with file and place where it is damaged."""
    try:
        raw = toml(text_of(path, most=MOST_TOML), parse_float=Decimal)
    except OSError as error:
        raise InputError(f"{show(path)}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{show(path)}: not TOML: {error}") from error
    try:
        _refuse_texts(raw.get("cells"))
        return structs.replace(schema.convert(raw, Paper), name=path.stem)
    except ValueError as error:
        raise InputError(f"{show(path)}: {_ENTRY.sub(_numbered, str(error))}") from error


def _refuse_texts(cells: Any) -> None:
    """Raise ValueError for a number in quotes, which would do as a Decimal."""
    for i, cell in enumerate(cells if isinstance(cells, list) else ()):
        for key in ("value", "sd"):
            if isinstance(cell, dict) and isinstance(cell.get(key), str):
                raise ValueError(f"cells/{i}/{key} is text, not a number")


def _numbered(place: re.Match[str]) -> str:
    """Return "cells 1: " for the place cells/0/."""
    return f"{place[1]} {int(place[2]) + 1}" + (": " if place[3] else "")


def _single(what: str, names: Sequence[Any]) -> None:
    doubled = [name for name, n in Counter(names).items() if n > 1]
    if doubled:
        raise ValueError(f"{what} {doubled[0]!r} is there twice")


def _finite(number: int | Decimal) -> bool:
    try:
        return math.isfinite(float(number))
    except OverflowError:
        return False
