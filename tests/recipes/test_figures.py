"""The front page's results are those that `make figures` counts from the kept predictions."""

from __future__ import annotations

import copy
import io
import re
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sertool.evaluation.report import Report

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "recipes"))
import figures  # noqa: E402

README = ROOT / "README.md"


@dataclass
class Counted:
    """What `make figures` prints, to either stream, and the reports that it counted again."""

    printed: str
    told: str
    results: dict[str, Any]


@pytest.fixture(scope="module")
def counted() -> Counted:
    out, err, results = io.StringIO(), io.StringIO(), figures.kept()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(figures, "kept", lambda: results)
        assert figures.main() == 0, out.getvalue()
    return Counted(figures.words(out.getvalue()), err.getvalue(), results)


def test_every_result_of_the_front_page_is_printed(counted: Counted) -> None:
    page = figures.words(README.read_text("utf-8"))
    sentences = counted.printed.partition(" README.md ")[2].partition(" box.md ")[0]
    results = re.findall(r"\d+(?:\.\d+)? %|UAR of \d\S+|(?:ECE|kappa|MCC)\s+\d\S+", page)
    assert len(results) >= 5
    for number in results:
        assert page.count(number) == sentences.count(number), number


def test_the_card_of_the_box_is_that_of_its_predictions(counted: Counted) -> None:
    assert counted.printed.endswith("All its figures are those of box.jsonl.xz.")
    results = copy.deepcopy(counted.results["box"])
    report = next(each.report for each in results if each.tags["test"] == "corpora")
    assert isinstance(report, Report)
    report.figures.per_class["anger"].recall = 0.99
    assert any("anger 99" in line for line in figures.card(results))


def test_every_file_is_counted_again(counted: Counted) -> None:
    files = sorted(path.name for path in figures.KEPT.iterdir() if path.suffix == ".xz")
    assert len(files) >= 2
    assert all(name in counted.printed for name in files)
    assert counted.told.count("counted again: ") == len(files)
    assert sum(path.stat().st_size for path in figures.KEPT.iterdir()) < 2_000_000


def test_another_number_is_said_and_fails(
    counted: Counted,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = README.read_text("utf-8")
    (number,) = set(re.findall(r"scores (\d\d\.\d) % UAR", page))
    other = tmp_path / "README.md"
    other.write_text(page.replace(f"scores {number}", f"scores {float(number) + 0.1:.1f}"), "utf-8")
    monkeypatch.setattr(figures, "PAGE", other)
    monkeypatch.setattr(figures, "kept", lambda: counted.results)
    monkeypatch.setattr(figures.reporting, "recount_all", lambda *_: None)  # they were
    assert figures.main() == 1
    assert f"NOT THERE: the same linear model on EmoDB scores {number}" in capsys.readouterr().out
