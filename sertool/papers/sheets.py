"""Figures by class as tables of their own: confusion matrices, and rates with classes as rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sertool.papers.papers import Protocol
from sertool.papers.study import Row
from sertool.papers.words import mean, named, part, published, runs_of, value
from sertool.ui.tables import Block, Heading, Sheet, Text

Cell = Callable[[Row], str]


@dataclass(frozen=True)
class Family:
    """Measured rows of one table that differ in class, or in truth and prediction.

    across: the figures' key that makes the columns: "prediction", or "measure".
    """

    across: str
    rows: list[Row] = field(default_factory=list)

    @property
    def down(self) -> str:
        """The figures' key that makes the rows: "truth", or "class"."""
        return "truth" if self.across == "prediction" else "class"

    @property
    def rates(self) -> bool:
        """Whether it is one rate of each class: systems' protocols then stand side by side."""
        return self.across == "measure" and len(self.places("measure")) == 1

    def places(self, key: str) -> list[str]:
        """Return every value that the figures have of a key, in order of first sight."""
        return list(dict.fromkeys(row.figure[key] for row in self.rows))

    def runs(self) -> list[list[Row]]:
        """Return the rows of each system."""
        found: dict[int, list[Row]] = {}
        for row in self.rows:
            found.setdefault(id(row.pooled), []).append(row)
        return list(found.values())


def split(rows: Sequence[Row]) -> tuple[list[Row], list[Family]]:
    """Return the rows that stand alone, and the families of those that belong together.

    A family has two classes at least.
    """
    families: dict[Any, Family] = {}
    homes: list[Any] = []
    for row in rows:
        across = "prediction" if "truth" in row.figure else "measure"
        if across == "measure" and "class" not in row.figure:
            homes.append(None)
            continue
        measure = row.figure["measure"] if across == "prediction" else ""
        tags = row.published.tags if row.published else {}
        homes.append((across, measure, row.published is None, *sorted(tags.items())))
        families.setdefault(homes[-1], Family(across)).rows.append(row)
    kept = {key: family for key, family in families.items() if len(family.places(family.down)) > 1}
    alone = [row for row, home in zip(rows, homes, strict=True) if home not in kept]
    return alone, list(kept.values())


def blocks(
    family: Family, columns: Sequence[Protocol], keys: Sequence[str], notes: list[str]
) -> list[Block]:
    """Return a family: what was published, then a table for each system and protocol.

    One rate of each class has what was published and measured side by side, one table per system.
    keys: the tags that name a system. What the tables refer to is added to `notes`.
    """
    systems = family.runs()
    paper = [row for row in family.rows if row.published]
    made: list[Block] = []
    if paper and not family.rates:
        made.append(Text([f"The paper's{_said(family)}:"]))
        made.append(_sheet(family, paper, lambda row: published(row, notes)))
    for rows in systems:
        title = _title(rows, systems, keys)
        if title:
            made.append(Heading(title, 3))
        made += _measured(family, rows, columns, notes)
    return made


def _measured(
    family: Family, rows: list[Row], columns: Sequence[Protocol], notes: list[str]
) -> list[Block]:
    """Return the tables of one system."""
    known = [p for p in columns if any(p.tag in row.measured for row in rows)]
    if family.rates:
        header = ["class", "paper", *(p.column for p in known)]
        lines = [
            [row.figure["class"], published(row, notes)]
            + [value(row.measured.get(p.tag), row.unit) for p in known]
            for row in {row.figure["class"]: row for row in rows}.values()
        ]
        name = named(rows[0].figure["measure"])
        return [Text([f"{name[:1].upper()}{name[1:]}{_said(family)}:"]), Sheet(header, lines)]
    made: list[Block] = []
    for p in known:
        runs = runs_of(rows[0].pooled[p.tag])
        made.append(Text([f"Measured, {p.column} ({runs}){part(rows[0])}:"]))
        made.append(_sheet(family, rows, partial(_mean, p.tag), p.tag))
    return made


def _mean(tag: str, row: Row) -> str:
    return mean(row.measured.get(tag), row.unit)


def _title(rows: list[Row], systems: list[list[Row]], keys: Sequence[str]) -> str:
    """Return what a system is: where there are several, in what it differs from the others."""
    values = {key: {each[0].tags.get(key) for each in systems} for key in keys}
    told = [key for key in keys if len(systems) == 1 or len(values[key]) > 1]
    return ", ".join(f"{key} {rows[0].tags[key]}" for key in told if rows[0].tags.get(key))


def _said(family: Family) -> str:
    """Return what the numbers are: ", rows the truth, %"."""
    units = list(dict.fromkeys(row.unit for row in family.rows if row.unit != "1"))
    if family.across == "prediction":
        return f", rows the truth{''.join(f', {unit}' for unit in units)}"
    return f", {units[0]}" if len(units) == 1 else ""


def _sheet(family: Family, rows: Sequence[Row], shown: Cell, tag: str | None = None) -> Sheet:
    """Return rows as a table; a measured confusion matrix has each class's count at its end."""
    at = {(row.figure[family.down], row.figure[family.across]): row for row in rows}
    down, across = family.places(family.down), family.places(family.across)
    counts = _counts(rows[0], tag) if tag is not None and family.across == "prediction" else {}
    names = across
    if family.across == "measure":
        units = {row.figure["measure"]: row.unit for row in rows}
        several = len(set(units.values())) > 1
        names = [
            named(name) + (f", {units[name]}" if several and units.get(name, "1") != "1" else "")
            for name in across
        ]
    lines = [
        [a, *(shown(at[a, b]) if (a, b) in at else "" for b in across)]
        + ([counts.get(a, "–")] if counts else [])
        for a in down
    ]
    header = [family.down, *names, *(["n"] if counts else [])]
    return Sheet(header, lines, classes=family.across == "prediction")


def _counts(row: Row, tag: str) -> dict[str, str]:
    """Return how many of each class a system was tested on, in the mean over seeds."""
    if row.sliced:
        return {}
    run = row.pooled[tag]
    each = run.matrices.sum((0, 3)).mean(0)
    return {label: f"{n:g}" for label, n in zip(run.classes, each.tolist(), strict=True)}
