"""The pages of papers, their tables and those of several corpora, from kept summaries.

`make results` runs it. A number on these pages comes from recipes/results/PAPER/*.jsonl, one line
per run as `eval --summary` wrote it, or from data/papers/PAPER.toml, what the paper printed.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import boards

from sertool.evaluation import pooling
from sertool.formats import figures
from sertool.papers import front, pages, papers
from sertool.papers.study import Study, study
from sertool.ui.tables import markdown

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "recipes" / "results"
FOREST = "forest.svg"


def kept(name: str) -> list[Path]:
    """Return the files of kept summaries of a paper."""
    return sorted((KEPT / name).glob("*.jsonl"))


def runs(name: str) -> list[pooling.Result]:
    """Return the kept runs of a recipe."""
    return pooling.load(kept(name))


def of_paper(name: str) -> Study:
    """Return a paper's kept runs beside what it printed."""
    return study(runs(name), papers.paper(name))


def pages_of(studies: Mapping[str, Study]) -> dict[str, str]:
    """Return every page by its path below recipes/."""
    made, parts = {}, []
    for name, each in studies.items():
        parts.append(front.section(each, ROOT, ROOT / "recipes"))
        parts.append(
            f"All tables, and how each was tested: [TABLES.md](results/{name}/TABLES.md).\n"
        )
        made[f"results/{name}/TABLES.md"] = markdown(pages.page(each, told=False), level=1)
        made[f"../docs/papers/{name}.md"] = front.page(each, ROOT, ROOT / "docs" / "papers")
    status = markdown([front.status(list(studies.values()))])
    made["README.md"] = filled(KEPT, status=status, papers="\n".join(parts))
    tables = {
        "leaderboard": boards.leaderboard(boards.board(runs("leaderboard"))),
        "crosscorpus": boards.crosscorpus(boards.matrix(runs("crosscorpus"))),
        "leakage": boards.inflation(runs("leakage")),
    }
    for name, blocks in tables.items():
        page = filled(KEPT / name, tables=markdown(blocks, level=1))
        made[f"results/{name}/TABLES.md"] = page
    return made


def filled(folder: Path, **parts: str) -> str:
    """Return a folder's page.in.md with {name} replaced by the part of that name."""
    text = (folder / "page.in.md").read_text(encoding="utf-8")
    for name, part in parts.items():
        text = text.replace(f"{{{name}}}", part)
    return text


def main(out: Path) -> None:
    """Write the pages and the picture below `out`."""
    import board_figures

    from sertool.papers.forest import forest, rows

    studies = {name: of_paper(name) for name in papers.names()}
    for path, text in pages_of(studies).items():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_text(text, encoding="utf-8")
    figures.draw(out, {FOREST: lambda: forest(list(studies.values()))})
    board, matrix = boards.board(runs("leaderboard")), boards.matrix(runs("crosscorpus"))
    figures.draw(
        out / "results/leaderboard",
        {"leaderboard.svg": partial(board_figures.leaderboard, board)},
    )
    figures.draw(
        out / "results/crosscorpus",
        {"matrix.svg": partial(board_figures.crosscorpus, matrix)},
    )
    for name, each in studies.items():
        drawn = {
            picture.file: partial(rows, each, picture)
            for picture in (each.paper.pictures if each.paper else ())
            if picture.rows
        }
        figures.draw(out / "results" / name, drawn)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "recipes")
