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

STATUS = ("paper", "printed", "measured", "at full scale", "corpus: ours", "the paper's", "seeds",
          "not measured")  # fmt: skip


def status(studies: Sequence[Study]) -> Grid:
    """Return a line a paper: how many of its numbers were measured, how fully, on what."""
    rows = [_status(study, study.paper) for study in studies if study.paper]
    return Grid(STATUS, rows, 1)


def _status(study: Study, paper: Paper) -> list[str]:
    measured, full = set(), set()
    missing: Counter[str] = Counter()
    own = paper.protocols[0].tag if paper.protocols else ""
    for row in (row for section in study.sections for row in section.rows):
        cell = row.published
        if cell is None or row.baseline or row.figure != cell.figure:
            continue
        if any(value is not None for value in row.measured.values()):
            measured.add(id(cell))
            if own in row.measured and at_full_scale(row.pooled[own], paper.scale):
                full.add(id(cell))
    for cell in paper.cells:
        if id(cell) not in measured:
            missing[paper.reason(cell.tags | cell.figure) or "not run"] += 1
    systems = [run for system in study.systems for run in system.runs.values()]
    data = dict.fromkeys(name for run in systems if (name := run.values.get("data")))
    seeds = sorted({len(run.seeds) for run in systems})
    return [
        paper.name,
        str(len(paper.cells)),
        str(len(measured)),
        str(len(full)),
        ", ".join(data or paper.corpora),
        ", ".join(paper.corpora),
        "–".join(str(n) for n in dict.fromkeys((seeds[0], seeds[-1]))) if seeds else "",
        "; ".join(f"{n}: {reason}" for reason, n in missing.most_common()),
    ]


def at_full_scale(run: Pooled, scale: Scale) -> bool:
    """Return whether a system was trained and tested as much as the paper's.

    Where the paper does not say for how many epochs, its training loss must have levelled off.
    """
    epochs = run.values.get("epochs")  # None where it is fitted in one step
    if epochs and scale.epochs is None:
        known = convergence.of(run)
        trained = bool(known) and not any(curve.falling for curve in known)
    else:
        trained = not epochs or int(epochs) >= (scale.epochs or 0)
    return (
        trained
        and len(run.seeds) >= scale.seeds
        and min(len(each) for each in run.folds) >= scale.folds
    )


def section(study: Study, root: Path, here: Path) -> str:
    """Return one paper's part of the page; links lead from the folder `here` below `root`.

    Raises InputError for a finding with a number that no run gives, and for a deviation that is no
    longer in the code.
    """
    paper = study.paper
    if paper is None:
        return ""
    shown = {headline.protocol for headline in paper.headlines}
    protocols = [
        f"{p.column}: {p.text}"
        for p in paper.protocols
        if p.tag in shown or p.leaky or "speaker_disjoint" in p.requires
    ]
    blocks: list[Block] = [
        Heading(f"{paper.name}: {paper.title}"),
        Text([f"{paper.authors}. {paper.published}. {paper.about}"]),
        Text([f"{'. '.join(text[:1].upper() + text[1:] for text in protocols)}."]),
        *headlines.page(study),
    ]
    found = findings.lines(study, strict=True)
    parts = [markdown([*blocks, Text(["", *found])] if found else blocks)]
    if paper.deviations:
        parts.append("Where the recipe departs from the paper:\n")
        for each in paper.deviations:
            path, line = findings.line_of(each, root)
            link = f"[{Path(path).name}:{line}]({os.path.relpath(root / path, here)}#L{line})"
            parts.append(f"- {escaped(each.text)} ({link})")
        parts[-1] += "\n"
    return "\n".join(parts)
