"""A paper's part of the page of all papers, and a page of its own: what was measured and found."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sertool.evaluation.pooling import Pooled
from sertool.papers import convergence, findings, headlines
from sertool.papers.papers import Cell, Paper, Scale
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
    blocks: list[Block] = [
        Heading(f"{paper.name}: {paper.title}"),
        Text([f"{paper.authors}. {paper.published}. {paper.about}"]),
        Text(["", *_protocols(study, paper)]),
        *headlines.page(study),
    ]
    parts = [markdown(blocks), *_found(study, paper, root, here)]
    if paper.deviations:
        parts += ["Where the recipe departs from the paper:\n", _deviations(paper, root, here)]
    return "\n".join(parts)


def page(study: Study, root: Path, here: Path) -> str:
    """Return a page on one paper: what it did, how the recipe does it, what contradicts, what we
    found. Links lead from the folder `here` below `root`; raises as `section` does.
    """
    paper = study.paper
    if paper is None:
        return ""
    script = f"recipes/{paper.recipe}.sh"
    kept = os.path.relpath(root / "recipes" / "results" / paper.name / "TABLES.md", here)
    blocks: list[Block] = [
        Heading(f"{paper.name}: {paper.title}"),
        Text([f"{paper.authors}. {paper.published}."]),
        Heading("What it did", 2),
        Text([paper.about]),
        Heading("How the recipe does it", 2),
        Text(["", *_protocols(study, paper)]),
    ]
    parts = [
        markdown(blocks, level=1),
        f"The script is [{script}]({os.path.relpath(root / script, here)}); the comment at its top"
        " says how to call it and what it reads from the environment.\n",
        "Where it departs from the paper:\n",
        _deviations(paper, root, here),
        "## Contradictions and gaps\n",
        *(f"- {escaped(line)}" for line in paper.remarks),
        *(f"- {escaped(line)}" for line in _doubted(paper)),
        "\n## What we found\n",
        markdown(headlines.page(study)),
        *_found(study, paper, root, here),
        f"All tables, and how each was tested: [TABLES.md]({kept}); what the columns mean:"
        f" [recipes/README.md]({os.path.relpath(root / 'recipes' / 'README.md', here)}).\n",
    ]
    return "\n".join(parts)


def _protocols(study: Study, paper: Paper) -> list[str]:
    """Return a line for each way of testing that the main table shows or that leaks on purpose."""
    shown = {headline.protocol for headline in paper.headlines}
    shown |= {line.free for line in headlines.lines(study)}
    return [
        f"{p.column[:1].upper()}{p.column[1:]}: {p.text}."
        for p in paper.protocols
        if p.tag in shown or p.leaky
    ]


def _doubted(paper: Paper) -> list[str]:
    """Return a line for each note on printed numbers: "60.5, 61 % (tables 1, 2): the text …"."""
    noted: dict[str, list[Cell]] = {}
    for cell in paper.cells:
        if cell.note:
            noted.setdefault(cell.note, []).append(cell)
    lines = []
    for note, cells in noted.items():
        numbers = ", ".join(dict.fromkeys(f"{c.value} {c.unit}".removesuffix(" 1") for c in cells))
        tables = dict.fromkeys("text" if c.table == "text" else f"table {c.table}" for c in cells)
        lines.append(f"{numbers} ({', '.join(tables)}): {note}")
    return lines


def _found(study: Study, paper: Paper, root: Path, here: Path) -> list[str]:
    """Return the findings and the pictures of a paper as Markdown."""
    found = findings.lines(study, strict=True)
    parts = []
    if found:
        parts.append("\n".join(f"- {_bold(escaped(line))}" for line in found) + "\n")
    for picture in paper.pictures:
        text = escaped(picture.text)
        file = root / "recipes" / "results" / paper.name / picture.file
        image = f"![{text.partition(',')[0]}]({os.path.relpath(file, here)})\n\n{text}"
        parts.append(f"{image if picture.file else f'Missing: {text}'}\n")
    return parts


def _deviations(paper: Paper, root: Path, here: Path) -> str:
    """Return what the recipe does otherwise, each with the line of code that does it."""
    lines = []
    for each in paper.deviations:
        path, line = findings.line_of(each, root)
        link = f"[{Path(path).name}:{line}]({os.path.relpath(root / path, here)}#L{line})"
        lines.append(f"- {escaped(each.text)} ({link})\n")
    return "".join(lines)


def _bold(line: str) -> str:
    """Return a finding with its mark in bold."""
    mark, _, text = line.partition(": ")
    return f"**{mark}:** {text}"
