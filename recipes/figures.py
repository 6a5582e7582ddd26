"""`make figures`: every result on the front page, counted again from predictions, without audio.

recipes/predictions/*.jsonl.xz hold reports with each tested recording: its id, speaker, truth and
posterior, as `report --pack NAME.jsonl.xz --round N` keeps them. Every figure of each is counted
from these and must be the one that it states. Then the sentences of recipes/figures.toml are
filled from them and must stand in README.md, word by word, and the card of the model in the box
must be what box.py prints from them; exit 1 where one is not.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import sys
import tempfile
import tomllib
from pathlib import Path

import box
import msgspec
from msgspec import Struct

from sertool.core.errors import SertoolError
from sertool.evaluation import measures, pooling
from sertool.evaluation.pooling import Result
from sertool.evaluation.report import dumps
from sertool.papers import findings, pages, reporting
from sertool.papers.study import Study, study
from sertool.ui import tables
from sertool.ui.console import Console

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "recipes" / "predictions"
SENTENCES = ROOT / "recipes" / "figures.toml"
PAGE = ROOT / "README.md"
MODELS = ROOT / "data" / "models"  # the box: box.ckpt, box.md
SUFFIX = ".jsonl.xz"


class Quote(Struct, forbid_unknown_fields=True):
    """A figure of the runs in a file that have these tags, in per cent if it is a rate."""

    file: str
    run: dict[str, str]
    figure: str = "uar"
    decimals: int = 1
    baseline: str = ""


class Sentence(Struct, forbid_unknown_fields=True):
    """Words of the front page with {names}, and the figures that these stand for."""

    text: str
    figures: dict[str, Quote]


def sentences(studies: dict[str, Study]) -> list[str]:
    """Return the sentences with their figures."""
    rows = tomllib.loads(SENTENCES.read_text("utf-8"))["sentence"]
    return [
        one.text.format(**{name: quoted(studies, quote) for name, quote in one.figures.items()})
        for one in msgspec.convert(rows, list[Sentence])
    ]


def quoted(studies: dict[str, Study], quote: Quote) -> str:
    """Return a figure as the front page has it: "52.3"."""
    run = findings.chosen(studies[quote.file], quote.run)
    own = pooling.baseline(run, quote.baseline) if quote.baseline else run
    (value,) = measures.values(own, [{"measure": quote.figure}])
    assert value is not None, quote
    scale = 1 if quote.figure in measures.OF_CALIBRATION else 100
    return f"{scale * value.mean:.{quote.decimals}f}"


def kept() -> dict[str, list[Result]]:
    """Return the kept reports by the names of their files."""
    paths = sorted(KEPT.glob(f"*{SUFFIX}"))
    return {path.name.removesuffix(SUFFIX): pooling.load([path]) for path in paths}


def words(text: str) -> str:
    """Return text as one line, whatever its line breaks."""
    return " ".join(text.split())


def card(results: list[Result]) -> list[str]:
    """Return what differs between the box's card and what its reports give, as lines of a diff."""
    told = io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        for each in results:
            path = Path(folder, f"{each.tags['test']}.json")
            path.write_text(dumps(each.report), encoding="utf-8")
        with contextlib.redirect_stdout(told):
            box.main(MODELS, Path(folder))
    kept = (MODELS / "box.md").read_text("utf-8").splitlines()
    return [*difflib.unified_diff(kept, told.getvalue().splitlines(), "box.md", "here", "", "", 0)]


def main() -> int:
    """Print the figures of every file and the sentences; return the exit code."""
    console = Console("figures")
    studies, every = {}, kept()
    for name, results in every.items():
        print(f"\n{name}{SUFFIX}\n")
        sys.stdout.flush()
        reporting.recount_all(results, console)
        studies[name] = study(results, None)
        print(tables.render(*tables.terminal(pages.page(studies[name]))))
    print(f"\n{PAGE.name}\n")
    page, missing = words(PAGE.read_text("utf-8")), 0
    for sentence in sentences(studies):
        there = words(sentence) in page
        missing += not there
        print(("" if there else "NOT THERE: ") + sentence)
    differing = card(every["box"])
    print("\nbox.md\n\n" + ("\n".join(differing) or "All its figures are those of box.jsonl.xz."))
    return 1 if missing or differing else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SertoolError as error:
        sys.exit(f"recipes/figures.py: {error}")
