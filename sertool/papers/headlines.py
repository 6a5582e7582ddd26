"""The numbers that a paper is known for, each next to ours, one per line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sertool.evaluation import measures, pooling, stuck
from sertool.evaluation.measures import Value
from sertool.evaluation.pooling import Pooled
from sertool.papers import convergence
from sertool.papers.papers import Headline, Paper, Protocol
from sertool.papers.study import EVERY, Row, Study
from sertool.papers.study_json import value_json
from sertool.papers.words import label, mean, value
from sertool.ui.tables import Block, Grid, Text

BASELINE = "linear"
HOW = ("n (seeds × folds)", "epochs", "converged")


@dataclass(frozen=True)
class Measured:
    """What one column has of a line: ours, its linear baseline, the runs, on how much a seed's."""

    value: Value | None
    linear: Value | None
    run: Pooled
    tested: int


@dataclass(frozen=True)
class Line:
    """A published cell beside what was measured in each column; of a row that was not run none."""

    headline: Headline
    row: Row
    columns: dict[str, Measured]
    free: str

    @property
    def name(self) -> str:
        """What it is of: the headline's text, and what tells its cells apart; or all its tags."""
        own = self.row.published.tags if self.row.published else {}
        told, known = self.headline.text, self.headline.tags
        more = ", ".join(v for key, v in own.items() if not told or key not in known)
        return ": ".join(text for text in (told, more) if text)

    @property
    def by_protocol(self) -> Measured | None:
        """What was measured by the paper's protocol."""
        return self.columns.get(self.headline.protocol)

    @property
    def leak_free(self) -> Measured | None:
        """What was measured with speakers and recordings apart."""
        return self.columns.get(self.free)


def lines(study: Study) -> list[Line]:
    """Return every headline's cells of a study's paper.

    Of several systems that are one cell's, the one of the fewest tags, as variants have more; of
    those the one that was tested most.
    """
    if study.paper is None:
        return []
    return [line for headline in study.paper.headlines for line in _lines(study, headline)]


def _lines(study: Study, headline: Headline) -> list[Line]:
    wanted = headline.run.items()
    free = next((p.tag for p in study.columns if "speaker_disjoint" in p.requires), "")
    found = []
    for section in study.sections:
        cells: dict[int, list[Row]] = {}
        for row in section.rows:
            cell = row.published
            if cell and headline.names(cell) and row.figure == cell.figure and not row.baseline:
                cells.setdefault(id(cell), []).append(row)
        for rows in cells.values():
            ours = [r for r in rows if r.run and all(r.tags.get(k, "") == v for k, v in wanted)]
            row = max(ours, key=_standing, default=rows[0])
            columns = {tag: _measured(row, tag) for tag in row.measured} if ours else {}
            found.append(Line(headline, row, columns, free))
    return found


def _standing(row: Row) -> tuple[int, int]:
    return -len(row.tags), sum(run.matrices.sum() for run in row.pooled.values())


def _measured(row: Row, tag: str) -> Measured:
    run = row.pooled[tag]
    part = run if row.part == EVERY else pooling.part(run, *row.part) or run
    linear = None
    if BASELINE in part.baselines:
        linear = measures.values(part, [row.figure], part.baselines[BASELINE])[0]
    tested = round(part.matrices.sum() / len(part.seeds))
    return Measured(row.measured[tag], linear, run, tested)


# --- as a table ---


def page(study: Study) -> list[Block]:
    """Return the headlines as a table of those that were run, and how many were not.

    Without any report all of them, as printed.
    """
    every = lines(study)
    run = [line for line in every if line.columns or not study.systems]
    leaky = [p for p in study.columns if p.leaky and any(p.tag in line.columns for line in run)]
    values = ["printed", "by its protocol", "linear", "leak-free", "linear"]
    header = ["what", "on", "figure", *values, *(p.column for p in leaky), *HOW]
    blocks: list[Block] = []
    if run and study.paper:
        rows = [_cells(line, study.paper, leaky) for line in run]
        blocks.append(Grid(header, rows, 3, 2))
    if len(run) < len(every):
        rest = len(every) - len(run)
        what = "more of these printed numbers" if run else "printed numbers of the main table"
        blocks.append(Text([f"Not run: {rest} {what}."]))
    return blocks


def _cells(line: Line, paper: Paper, leaky: Sequence[Protocol]) -> list[str]:
    unit = line.row.unit
    shown = [
        text
        for one in (line.by_protocol, line.leak_free)
        for text in ((value(one.value, unit), mean(one.linear, unit)) if one else ("", ""))
    ]
    more = [value(line.columns[p.tag].value, unit) if p.tag in line.columns else "" for p in leaky]
    both = [one for one in (line.by_protocol, line.leak_free) if one]
    runs = [one.run for one in both or line.columns.values()]
    printed = str(line.row.published.value) if line.row.published else ""
    return [line.name, line.headline.on, label(line.row), printed, *shown, *more,
            "; ".join(dict.fromkeys(map(_tested, both))), epochs(runs, paper),
            " / ".join(dict.fromkeys(map(_level, runs)))]  # fmt: skip


def _tested(one: Measured) -> str:
    folds = [len(each) for each in one.run.folds]
    most = f"≤ {max(folds)}" if len(set(folds)) > 1 else f"{folds[0]}"
    return f"{one.tested} ({len(one.run.seeds)} × {most})"


def epochs(runs: Sequence[Pooled], paper: Paper) -> str:
    """Return "60 of 500" epochs of the paper's; "–" for what is fitted in one step."""
    found = dict.fromkeys(epochs for run in runs if (epochs := run.values.get("epochs")))
    return f"{', '.join(found)} of {paper.scale.epochs or '?'}" if found else "–"


def _level(run: Pooled) -> str:
    """Return "yes" where every training loss had levelled off, else in how many it had.

    Trainings that never left one class are told beside it.
    """
    known = convergence.of(run)
    level = sum(not curve.falling for curve in known)
    told = "–" if not known else "yes" if level == len(known) else f"{level} of {len(known)}"
    failed = stuck.count(run)
    return f"{told}; {failed.runs} stuck" if failed and failed.runs else told


def json_values(study: Study) -> list[dict[str, Any]]:
    """Return the headlines as JSON has them."""
    return [
        {
            "text": line.name,
            "on": line.headline.on,
            "tags": (line.row.published.tags if line.row.published else {}) | line.headline.run,
            "figure": line.row.figure,
            "unit": line.row.unit,
            "paper": float(line.row.published.value) if line.row.published else None,
            "protocol": line.headline.protocol,
            "by_protocol": value_json(line.by_protocol.value if line.by_protocol else None),
            "leak_free": value_json(line.leak_free.value if line.leak_free else None),
            "linear": value_json(line.leak_free.linear if line.leak_free else None),
        }
        for line in lines(study)
    ]
