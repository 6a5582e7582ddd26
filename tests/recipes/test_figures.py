"""The front page's results are those that `make figures` counts from the kept predictions."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from sertool.evaluation.report import Report

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "recipes"))
import figures  # noqa: E402

README = ROOT / "README.md"


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> str:
    assert figures.main() == 0, capsys.readouterr().out
    return figures.words(capsys.readouterr().out)


def test_every_result_of_the_front_page_is_printed(printed: str) -> None:
    page = figures.words(README.read_text("utf-8"))
    sentences = printed.partition(" README.md ")[2].partition(" box.md ")[0]
    results = re.findall(r"\d+(?:\.\d+)? %|UAR of \d\S+|(?:ECE|kappa|MCC)\s+\d\S+", page)
    assert len(results) >= 5
    for number in results:
        assert page.count(number) == sentences.count(number), number


def test_the_card_of_the_box_is_that_of_its_predictions(printed: str) -> None:
    assert printed.endswith("All its figures are those of box.jsonl.xz.")
    results = figures.kept()["box"]
    report = next(each.report for each in results if each.tags["test"] == "corpora")
    assert isinstance(report, Report)
    report.figures.per_class["anger"].recall = 0.99
    assert any("anger 99" in line for line in figures.card(results))


def test_every_file_is_counted_again(printed: str, capsys: pytest.CaptureFixture[str]) -> None:
    files = sorted(path.name for path in figures.KEPT.iterdir() if path.suffix == ".xz")
    assert len(files) >= 2
    assert all(name in printed for name in files)
    figures.main()
    assert capsys.readouterr().err.count("counted again: ") == len(files)
    assert sum(path.stat().st_size for path in figures.KEPT.iterdir()) < 2_000_000


def test_another_number_is_said_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = README.read_text("utf-8")
    (number,) = set(re.findall(r"scores (\d\d\.\d) % UAR", page))
    other = tmp_path / "README.md"
    other.write_text(page.replace(f"scores {number}", f"scores {float(number) + 0.1:.1f}"), "utf-8")
    monkeypatch.setattr(figures, "PAGE", other)
    assert figures.main() == 1
    assert f"NOT THERE: the same linear model on EmoDB scores {number}" in capsys.readouterr().out
