"""The page of all papers: what was measured of each, its main table, findings and deviations."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sertool.evaluation.pooling import Pooled
from sertool.papers import convergence, findings, headlines
from sertool.papers.papers import Paper, Scale
from sertool.papers.study import Study
from sertool.ui.tables import Block, Grid, Heading, Text, escaped, markdown

STATUS = ("paper", "printed", "measured", "at full scale", "on", "the paper's corpora", "seeds",
          "what is missing")  # fmt: skip


def status(studies: Sequence[Study]) -> Grid:
    """Return a line a paper: how many of its numbers were measured, how fully, on what."""
    rows = [_status(study, study.paper) for study in studies if study.paper]
    return Grid(STATUS, rows, len(STATUS))


def _status(study: Study, paper: Paper) -> list[str]:
    """Return a paper's line; a cell of several systems counts as the one nearest to full scale."""
    own = paper.protocols[0].tag if paper.protocols else ""
    lacking: dict[int, list[str]] = {}
    for row in (row for section in study.sections for row in section.rows):
        cell = row.published
        if cell is None or row.baseline or not any(row.measured.values()):
            continue
        if row.figure == cell.figure:
            lacks = (
                _lacks(row.pooled[own], paper.scale)
                if own in row.measured
                else ["not by its protocol"]
            )
            lacking[id(cell)] = min(lacking.get(id(cell), lacks), lacks, key=len)
    missing = Counter(
        paper.reason(cell.tags | cell.figure) or "not run"
        for cell in paper.cells
        if id(cell) not in lacking
    )
    short = Counter(what for lacks in lacking.values() for what in lacks)
    systems = [run for system in study.systems for run in system.runs.values()]
    data = dict.fromkeys(name for run in systems if (name := run.values.get("data")))
    seeds = sorted({len(run.seeds) for run in systems})
    return [
        paper.name,
        str(len(paper.cells)),
        str(len(lacking)),
        str(sum(not lacks for lacks in lacking.values())),
        ", ".join(data or paper.corpora),
        ", ".join(paper.corpora),
        "–".join(str(n) for n in dict.fromkeys((seeds[0], seeds[-1]))) if seeds else "",
        "; ".join(f"{n}: {why}" for why, n in [*short.most_common(), *missing.most_common()]),
    ]


def _lacks(run: Pooled, scale: Scale) -> list[str]:
    """Return in what a system falls short of the paper's scale.

    Where the paper does not say for how many epochs, its training loss must have levelled off.
    """
    lacks = []
    epochs = run.values.get("epochs")  # None where it is fitted in one step
    if epochs and scale.epochs is None:
        known = convergence.of(run)
        if not known or any(curve.falling for curve in known):
            lacks.append("not converged")
    elif epochs and int(epochs) < (scale.epochs or 0):
        lacks.append("too few epochs")
    if min(len(each) for each in run.folds) < scale.folds:
        lacks.append("too few folds")
    if len(run.seeds) < scale.seeds:
        lacks.append("too few seeds")
    return lacks


def section(study: Study, root: Path, here: Path) -> str:
    """Return one paper's part of the page; links lead from the folder `here` below `root`.

    Raises InputError for a finding with a number that no run gives, and for a deviation that is no
    longer in the code.
    """
    paper = study.paper
    if paper is None:
        return ""
    shown = {headline.protocol for headline in paper.headlines}
    shown |= {line.free for line in headlines.lines(study)}
    protocols = [
        f"{p.column[:1].upper()}{p.column[1:]}: {p.text}."
        for p in paper.protocols
        if p.tag in shown or p.leaky
    ]
    blocks: list[Block] = [
        Heading(f"{paper.name}: {paper.title}"),
        Text([f"{paper.authors}. {paper.published}. {paper.about}"]),
        Text(["", *protocols]),
        *headlines.page(study),
    ]
    found = findings.lines(study, strict=True)
    parts = [markdown(blocks)]
    if found:
        parts.append("\n".join(f"- {_bold(escaped(line))}" for line in found) + "\n")
    for picture in paper.pictures:
        text = escaped(picture.text)
        image = f"![{text.partition(',')[0]}](results/{paper.name}/{picture.file})\n\n{text}"
        parts.append(f"{image if picture.file else f'Missing: {text}'}\n")
    if paper.deviations:
        parts.append("Where the recipe departs from the paper:\n")
        for each in paper.deviations:
            path, line = findings.line_of(each, root)
            link = f"[{Path(path).name}:{line}]({os.path.relpath(root / path, here)}#L{line})"
            parts.append(f"- {escaped(each.text)} ({link})")
        parts[-1] += "\n"
    return "\n".join(parts)


def _bold(line: str) -> str:
    """Return a finding with its mark in bold."""
    mark, _, text = line.partition(": ")
    return f"**{mark}:** {text}"
