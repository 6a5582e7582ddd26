"""The few numbers that a paper is known for, each next to ours, one per line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sertool.evaluation.measures import Value
from sertool.papers.papers import Headline, Paper
from sertool.papers.study import Row, Study
from sertool.papers.study_json import value_json
from sertool.papers.words import label, value
from sertool.ui.tables import Grid

HEADER = ("paper", "what", "ours on", "figure", "printed", "by its protocol", "nothing leaks")


@dataclass(frozen=True)
class Line:
    """A headline, the row of its published cell, and what was measured in both columns."""

    headline: Headline
    row: Row
    by_protocol: Value | None
    leak_free: Value | None


def lines(study: Study) -> list[Line]:
    """Return every headline of a study's paper.

    Of several systems that are one headline's, the one that was tested most.
    """
    if study.paper is None:
        return []
    return [_line(study, study.paper, headline) for headline in study.paper.headlines]


def _line(study: Study, paper: Paper, headline: Headline) -> Line:
    rows = [
        row
        for section in study.sections
        for row in section.rows
        if row.published and headline.names(row.published)
        if row.figure == headline.figure and not row.baseline
    ]
    wanted = headline.run.items()
    ours = [row for row in rows if row.run and all(row.tags.get(k, "") == v for k, v in wanted)]
    if not ours:
        return Line(headline, rows[0], None, None)
    row = max(ours, key=lambda row: sum(run.matrices.sum() for run in row.pooled.values()))
    free = next((p.tag for p in paper.protocols if "speaker_disjoint" in p.requires), "")
    return Line(headline, row, row.measured.get(headline.protocol), row.measured.get(free))


def grid(study: Study) -> Grid:
    """Return the headlines as a table."""
    rows = []
    for line in lines(study):
        told, row = line.headline, line.row
        ours = [
            value(found, row.unit) if found else "not run"
            for found in (line.by_protocol, line.leak_free)
        ]
        name = study.paper.name if study.paper else ""
        printed = str(row.published.value) if row.published else ""
        rows.append([name, told.text, told.on, label(row), printed, *ours])
    return Grid(HEADER, rows, 4, 1)


def json_values(study: Study) -> list[dict[str, Any]]:
    """Return the headlines as JSON has them."""
    return [
        {
            "text": line.headline.text,
            "on": line.headline.on,
            "tags": line.headline.tags | line.headline.run,
            "figure": line.row.figure,
            "unit": line.row.unit,
            "paper": float(line.row.published.value) if line.row.published else None,
            "protocol": line.headline.protocol,
            "by_protocol": value_json(line.by_protocol),
            "leak_free": value_json(line.leak_free),
        }
        for line in lines(study)
    ]
