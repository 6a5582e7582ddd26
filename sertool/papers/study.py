"""What was measured beside what was published: rows of a paper's tables, columns of protocols."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sertool.core.errors import InputError
from sertool.evaluation import measures, pooling
from sertool.evaluation.measures import Difference, Figure, Value
from sertool.evaluation.pooling import Pooled, Result
from sertool.papers.papers import Cell, Paper, Protocol, Table

ACCURACY, UAR = {"measure": "accuracy"}, {"measure": "uar"}
BASELINES = ("linear", "majority")
Part = tuple[str, str]  # the tests of one corpus or one gender
EVERY: Part = ("", "")
OTHER = Table("", "Not in the paper", "")


@dataclass(frozen=True)
class System:
    """What was run under one protocol or several: its tags, and what was pooled under each."""

    tags: dict[str, str]
    runs: dict[str, Pooled]


@dataclass(frozen=True)
class Row:
    """One figure of one system: what was published, and what was measured under each protocol.

    baseline: "" for the system itself. part: what of the system's tests the figure is of, and
    `sliced` whether these have more. reason: why nothing was measured, where nothing was.
    """

    tags: dict[str, str]
    figure: dict[str, str]
    unit: str
    baseline: str = ""
    published: Cell | None = None
    measured: dict[str, Value | None] = field(default_factory=dict)
    gap: Difference | None = None
    pooled: dict[str, Pooled] = field(default_factory=dict)
    reason: str = ""
    part: Part = EVERY
    sliced: bool = False

    @property
    def run(self) -> bool:
        """Whether anything was measured."""
        return bool(self.measured)


@dataclass(frozen=True)
class Section:
    """One table of the paper, with a row a cell and system."""

    table: Table
    rows: list[Row]


@dataclass(frozen=True)
class Study:
    """All of it. `leak` names the columns whose difference is what the paper's protocol adds."""

    paper: Paper | None
    columns: list[Protocol]
    systems: list[System]
    sections: list[Section]
    leak: tuple[str, str] | None


def systems(results: Sequence[Result]) -> list[System]:
    """Return what the reports are of, in order of first sight.

    One system may be tested by items under one protocol and by files under another.
    """
    found: dict[Any, System] = {}
    for group in pooling.group(results):
        pooled = pooling.pool(group)
        tags = {key: value for key, value in pooled.values.items() if key != "protocol"}
        protocol = pooled.values.get("protocol", "")
        other = {key: tags[key] for key in tags if key != "level" or key in pooled.tags}
        system = found.setdefault(tuple(sorted(other.items())), System(other, {}))
        if protocol in system.runs:
            system = found.setdefault(tuple(sorted(tags.items())), System(tags, {}))
        system.runs[protocol] = pooled
    return list(found.values())


def study(results: Sequence[Result], paper: Paper | None = None) -> Study:
    """Return the reports as one study, beside a paper's tables if there is one.

    Raises InputError for reports that contradict each other or the column they are tagged for.
    """
    found = systems(results)
    given = {protocol.tag: protocol for protocol in (paper.protocols if paper else ())}
    for each in results:
        _check_column(each, given.get(each.tags.get("protocol", "")))
    tags = [tag for system in found for tag in system.runs]
    others = [tag for tag in dict.fromkeys(tags) if tag not in given]
    columns = [*given.values(), *(Protocol(tag, tag or "measured", "") for tag in others)]
    free = next((p.tag for p in columns if "speaker_disjoint" in p.requires), None)
    leak = (columns[0].tag, free) if free and columns[0].tag != free else None
    sections = _sections(paper, found, leak) if paper else []
    return Study(paper, columns, found, sections, leak)


def _check_column(result: Result, protocol: Protocol | None) -> None:
    """Raise InputError where a report does not state what its column promises."""
    for fact in protocol.requires if protocol else ():
        value = result.report.protocol.facts.get(fact)
        if value is not True:
            why = "does not hold" if value is False else "cannot be known"
            raise InputError(
                f"{result.name}: tagged protocol={protocol.tag if protocol else ''}, for which"
                f" {fact.replace('_', '-')} must hold, but according to its own data it {why}"
            )


def _match(cell: Cell, system: System, paper: Paper) -> Part | None:
    """Return which part of a system's tests a cell is about, EVERY for all; None for none.

    A cell of a corpus's size is no system's. One that names a corpus is of a system tagged so, or
    of the tests of any other on that corpus. A system that learned another target than the label,
    or is tagged for a corpus of which the paper has cells of its own, is in no cell that is silent
    of it; one tagged for what is beyond the paper is in none.
    """
    parts = []
    if measures.of_corpus(cell.figure) or any(key in system.tags for key in paper.beyond):
        return None
    if system.tags.get("target", "label") != cell.tags.get("target", "label"):
        return None
    for key in pooling.PARTS:
        if key not in cell.tags and (key, system.tags.get(key)) in paper.parts:
            return None
    for key, value in cell.tags.items():
        own = system.tags.get(key, "file" if key == "level" else None)
        if own is None and key in pooling.PARTS:
            parts.append((key, value))
        elif own != value:
            return None
    if not parts:
        return EVERY
    tested = [pooling.part(run, *parts[0]) for run in system.runs.values()]
    return parts[0] if len(parts) == 1 and any(tested) else None


class _Measuring:
    """Values of systems, each computed once: a bootstrap serves all figures of a table."""

    def __init__(self, figures: Sequence[Figure], leak: tuple[str, str] | None) -> None:
        self.figures = list({tuple(f.items()): dict(f) for f in [*figures, ACCURACY, UAR]}.values())
        self.leak = leak
        self._known: dict[Any, list[Any]] = {}

    def row(self, row: Row, system: System, part: Part) -> Row:
        """Return the row with what was measured of a system, or of a part of its tests."""
        i = self.figures.index(row.figure)
        measured, sliced = {}, False
        for tag, run in system.runs.items():
            pooled = run if part == EVERY else pooling.part(run, *part)
            if pooled is None or (row.baseline and row.baseline not in pooled.baselines):
                continue
            sliced = sliced or pooled is not run
            key = (id(run), part, row.baseline)
            if key not in self._known:
                matrices = pooled.baselines[row.baseline] if row.baseline else None
                self._known[key] = measures.values(pooled, self.figures, matrices)
            measured[tag] = self._known[key][i]
        gap = None if sliced or row.baseline else self._gap(system, i)
        return replace(
            row, measured=measured, gap=gap, pooled=system.runs, part=part, sliced=sliced
        )

    def _gap(self, system: System, i: int) -> Difference | None:
        if not self.leak or not set(self.leak) <= set(system.runs):
            return None
        left, right = (system.runs[tag] for tag in self.leak)
        if measures.alike(left, right):
            return None
        key = (id(left), id(right))
        if key not in self._known:
            self._known[key] = measures.differences(left, right, self.figures)
        difference: Difference | None = self._known[key][i]
        return difference


def _sections(paper: Paper, found: Sequence[System], leak: tuple[str, str] | None) -> list[Section]:
    """Return every table of the paper, then what was run and is in none of them.

    Of the systems that are one cell those of fewer tags come first: variants follow what they vary.
    """
    found = sorted(found, key=lambda system: len(system.tags))
    matched: set[int] = set()
    homes: dict[int, str] = {}
    for cell in paper.cells:
        matched |= {i for i, system in enumerate(found) if _match(cell, system, paper) is not None}
    for i, system in enumerate(found):
        if i not in matched:
            homes[i] = next((t.id for t in paper.tables if _fits(paper, t, system)), OTHER.id)
    sections = []
    for table in (*paper.tables, OTHER):
        cells = [cell for cell in paper.cells if cell.table == table.id]
        measuring = _Measuring([cell.figure for cell in cells], leak)
        rows = [row for cell in cells for row in _rows(cell, cells, paper, found, measuring)]
        for i, home in homes.items():
            if home == table.id:
                rows += _further(found[i], cells, measuring)
        if rows:
            sections.append(Section(table, rows))
    return sections


def _fits(paper: Paper, table: Table, system: System) -> bool:
    """Return whether a system that is in no cell of a table could have been a row of it.

    A table of nothing but classes is one system's: no other has a row there, nor has one of what
    is beyond the paper.
    """
    if any(key in system.tags for key in paper.beyond):
        return False
    cells = [cell for cell in paper.cells if cell.table == table.id]
    keys = {key for cell in cells for key in cell.tags}
    whole = any(len(cell.figure) == 1 for cell in cells)
    return whole and bool(keys) and keys <= set(system.tags) and "target" not in system.tags


def _rows(
    cell: Cell,
    cells: Sequence[Cell],
    paper: Paper,
    found: Sequence[System],
    measuring: _Measuring,
) -> list[Row]:
    """Return a cell's rows: one per matching system, with UAR and baselines next to accuracy."""
    row = Row(
        cell.tags,
        cell.figure,
        cell.unit,
        published=cell,
        reason=paper.reason(cell.tags | cell.figure),
    )
    rows = []
    for system in found:
        part = _match(cell, system, paper)
        if part is None:
            continue
        own = Row(system.tags | cell.tags, cell.figure, cell.unit, published=cell)
        rows.append(measuring.row(own, system, part))
        has_uar = any(c.tags == cell.tags and c.figure == UAR for c in cells)
        if cell.figure == UAR or (cell.figure == ACCURACY and not has_uar):
            rows += _beside(own, system, part, measuring, cell.figure == UAR)
    return rows or [row]


def _beside(
    row: Row, system: System, part: Part, measuring: _Measuring, has_uar: bool
) -> list[Row]:
    """Return UAR, if it is not there yet, and UAR of the baselines."""
    wanted = [*([] if has_uar else [""]), *BASELINES]
    rows = [Row(row.tags, UAR, "%", baseline=name) for name in wanted]
    return [made for r in rows if (made := measuring.row(r, system, part)).run]


def _further(system: System, cells: Sequence[Cell], measuring: _Measuring) -> list[Row]:
    """Return the rows of a system that the paper does not have."""
    units = {tuple(cell.figure.items()): cell.unit for cell in cells}
    figures = [dict(key) for key in units] or [ACCURACY, UAR]
    rows: list[Row] = []
    for figure in figures:
        row = Row(system.tags, figure, units.get(tuple(figure.items()), "%"))
        rows.append(measuring.row(row, system, EVERY))
        if figure == UAR or (figure == ACCURACY and UAR not in figures):
            rows += _beside(row, system, EVERY, measuring, figure == UAR)
    return rows
